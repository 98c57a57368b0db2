"""``idp config``: are the settings right, and which hold?"""

from __future__ import annotations

import json
import re

import click

from idp.accounts.breach_list import BreachList
from idp.clients import read_file
from idp.config import Config, read_config, read_references
from idp.errors import OperatorError
from idp.parts import clients_path, read_providers


@click.group("config")
def config_command() -> None:
    """Settings: check, show."""


@config_command.command()
def check() -> None:
    """Check all settings and the files that they name, clients.yaml and providers.yaml too, connecting to nothing; list what is wrong. Exit code 1 when something is."""
    config = read_config()
    reading = read_file(clients_path(config), read_references(), loopback=config.on_loopback)
    providers = read_providers(config, read_references())
    if config.breach_list is not None:
        BreachList(config.breach_list).close()
    errors = reading.errors + (providers.errors if providers is not None else [])
    if errors:
        raise OperatorError("\n".join(map(str, errors)))
    for problem in providers.problems if providers is not None else ():
        click.echo(str(problem))
    click.echo("The settings are right.")


@config_command.command()
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def show(as_json: bool) -> None:
    """Show the settings that hold; secrets are masked."""
    config = read_config()
    values = {f"IDP_{name.upper()}": _shown(config, name) for name in Config.model_fields}
    if as_json:
        click.echo(json.dumps(values, indent=2))
        return
    given = {f"IDP_{name.upper()}" for name in config.model_fields_set}
    for name, value in values.items():
        click.echo(f"{name:24} {value or '(empty)'}{'' if name in given else '  (default)'}")


def _shown(config: Config, name: str) -> str:
    value = getattr(config, name)
    if value in (None, ""):
        return ""
    if not Config.model_fields[name].repr:
        return "•••"
    if isinstance(value, tuple):
        return " ".join(str(network) for network in value)
    # Passwords in the URL of a database or of Redis: before the host, or among the options.
    return re.sub(r"(?<=://).*(?=@)|(?<=\?).*", "•••", str(value))
