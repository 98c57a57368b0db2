"""The ``idp`` command: finds the noun, prints errors as one message. Each noun lives in ``<noun>_command.py``."""

from __future__ import annotations

import importlib
import sys

import click

from idp import __version__
from idp.errors import IdpError

NOUNS = {
    "serve": "Run the provider.",
    "worker": "Run the background work alone: mail, logout notices, receipts.",
    "keys": "Signing keys: list, rotate, prune, revoke, replace-lost.",
    "clients": "Relying parties: check, list, show, add, rotate-secret.",
    "people": "Accounts: add, show, set, set-password, suspend, reactivate, withdraw-consent, list.",
    "passwords": "Passwords known from breaches: build-breach-list.",
    "companies": "Companies: policies, domains, members, connections, trying and watching them.",
    "staff": "Who works at the provider, for the admin center: set, list.",
    "attempts": "Receipts of sign-in attempts: show, list.",
    "audit": "Who did what: list, export, verify.",
    "mail": "The outbox: list, retry, test.",
    "database": "The SQL database: upgrade, status.",
    "config": "Settings: check, show.",
    "doctor": "Look for what should not be: enumeration.",
}


class Nouns(click.Group):
    """Loads a noun's module only when it is used, so that ``idp --help`` imports nothing heavy."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in NOUNS:
            return None
        module = importlib.import_module(f"idp.cli.{cmd_name}_command")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(NOUNS.items()))


@click.command(cls=Nouns, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="idp")
def idp() -> None:
    """A standalone OpenID Connect provider. Settings come from IDP_… variables: docs/settings.md."""


def main() -> None:
    """Entry point: an error that an operator must mend is one message and exit code 1, never a traceback."""
    try:
        idp(prog_name="idp")
    except IdpError as error:
        click.echo(f"idp: {error}", err=True)
        sys.exit(1)
