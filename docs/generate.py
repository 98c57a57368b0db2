"""Writes the pages of docs/ that are made from the code: ``python docs/generate.py``. tests/test_docs.py holds them fresh.

Another folder to write to may be given.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from idp.audit import Event
from idp.cli.idp_command import idp
from idp.config import Config
from idp.languages import Languages
from idp.reasons import OWNERS, REASONS

FOLDER = Path(__file__).parent
NOTE = "<!-- Made by docs/generate.py. Change the code that it reads, not this page. -->"


def pages() -> dict[str, str]:
    """Every generated page by its file name."""
    return {
        "settings.md": _settings(),
        "cli.md": _cli(),
        "reasons.md": _reasons(),
        "audit-events.md": _audit_events(),
    }


def _settings() -> str:
    rows = []
    for name, field in Config.model_fields.items():
        default = "required" if field.is_required() else _written(field.default)
        rows.append((f"`IDP_{name.upper()}`", default, field.description or ""))
    return _page(
        "Settings",
        "Environment variables, read once at start. Each can also come from a file: `IDP_SMTP_PASSWORD_FILE=/run/secrets/smtp` "
        "reads its value from there. An unknown or wrong one stops the start with the full list; `idp config check` "
        "prints the same list, `idp config show` what holds. Durations are seconds.",
        _table(("Setting", "Default", "Meaning"), rows),
    )


def _written(value: object) -> str:
    if value is None or value == "" or value == ():
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cli() -> str:
    helps = "\n".join(f"## {name}\n\n```\n{text}\n```\n" for name, text in _commands(idp, "idp", None))
    about = "The operators' command. Exit code 0: done; 1: something must be mended, and one message says what; 2: the command line is wrong."
    return _page("The idp command", about, helps)


def _commands(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    context = click.Context(command, parent, name, terminal_width=100, **command.context_settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for noun in command.list_commands(context):
            found = command.get_command(context, noun)
            if found is not None:
                yield from _commands(found, noun, context)


def _reasons() -> str:
    words = Languages()
    parts = []
    for owner, who in OWNERS.items():
        rows = [
            (f"`{reason.code}`", reason.cause, words.text("en", reason.says), words.text("en", reason.next))
            for reason in REASONS.values()
            if reason.owner == owner
        ]
        parts.append(f"## To be mended by {who}\n\n" + _table(("Reason", "Cause", "It says", "Next step"), rows))
    return _page(
        "Reasons",
        "Every way in which a sign-in can fail. The reason stands in the receipt (`idp attempts show CODE`), in the log and in "
        "the metric `idp_failed_steps_total`; people read the sentences, in their language.",
        "\n".join(parts),
    )


def _audit_events() -> str:
    rows = [(f"`{event.value}`", event.meaning) for event in Event]
    return _page(
        "Audit events",
        "Who did what to whom, in the table `audit_events`, written in the transaction of the act itself (acts on keys and on "
        "clients.yaml: right after it). Each row has the time `at` (seconds since 1970), the `event`, the `actor` "
        "(`person:<account id>`, `operator:<unix user>`, `connection:<id>`: a company's identity provider, or `system`), the `account_id` that it happened to, and further `facts`.",
        _table(("Event", "What happened"), rows),
    )


def _page(title: str, about: str, body: str) -> str:
    return f"{NOTE}\n# {title}\n\n{about}\n\n{body}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
