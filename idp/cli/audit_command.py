"""``idp audit``: who did what, taken along, and whether the record is whole."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from idp.cli.company_arguments import AS_JSON, opened
from idp.errors import OperatorError

if TYPE_CHECKING:
    from idp.audit_trail import Wanted
    from idp.database import Database

WHEN = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])
COMPANY = click.option("--company", metavar="COMPANY", help="Only of this company (id, name or domain) and its people.")
EVENT = click.option("--event", help="Only of this kind, such as person.suspended: docs/audit-events.md.")
SINCE = click.option("--since", type=WHEN, help="Only from this moment on (UTC).")
UNTIL = click.option("--until", type=WHEN, help="Only before this moment (UTC).")


@click.group("audit")
def audit_command() -> None:
    """Who did what to whom: list, export, verify."""


@audit_command.command("list")
@COMPANY
@EVENT
@SINCE
@UNTIL
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first.")
@AS_JSON
def list_events(
    company: str | None, event: str | None, since: datetime | None, until: datetime | None, limit: int, as_json: bool
) -> None:
    """List the newest events."""
    from idp.audit_trail import line, newest, said

    with opened() as (_config, database):
        wanted = _wanted(database, company, event, since, until)
        with database.reading() as db:
            for row in newest(db, wanted, limit=limit):
                if as_json:
                    click.echo(line(row))
                    continue
                facts = " ".join(f"{name}={value}" for name, value in row.facts.items())
                person = f"{row.account_id}  " if row.account_id else ""
                click.echo(f"{said(row)['at']}  {row.event:32} {row.actor}  {person}{facts}".rstrip())


@audit_command.command("export")
@click.option("--format", "form", type=click.Choice(["json", "csv"]), default="json", show_default=True)
@COMPANY
@EVENT
@SINCE
@UNTIL
def export_events(
    form: str, company: str | None, event: str | None, since: datetime | None, until: datetime | None
) -> None:
    """Write events to standard output, newest first: JSON lines, or CSV that spreadsheets open safely."""
    from idp.audit_export import written
    from idp.audit_trail import walk

    with opened() as (_config, database):
        wanted = _wanted(database, company, event, since, until)
        for piece in written(walk(database, wanted), "csv" if form == "csv" else "json"):
            sys.stdout.write(piece)


@audit_command.command()
@click.option("--head", metavar="N:DIGEST", help="A head from the log (audit.sealed): it must still be there.")
def verify(head: str | None) -> None:
    """Walk along the whole chain. The first row that was changed, removed or slipped in is named; then the exit code is 1."""
    from idp.audit_chain import Whole, verify
    from idp.keys import read_lasting_secrets

    with opened() as (config, database):
        key = read_lasting_secrets(config.keys).derive("audit")
        found = verify(database, key, now=time.time(), head=_head(head))
    if isinstance(found, Whole):
        click.echo(f"Whole: {found.sequence} events. Head: {found.sequence}:{found.digest}")
        return
    number, row = f"number {found.sequence}", f"row {found.row} of audit_events"
    words = {
        "changed": f"{row}, {number}, is not as it was sealed, or another stood before it.",
        "removed": f"{number} is gone: somebody has removed it.",
        "unsealed": f"{row} was never sealed although it is older than an hour: it was slipped in, or no worker runs.",
        "head_missing": f"{number} had another digest once: what was sealed then was cut off or made anew.",
    }
    raise OperatorError(f"The audit is not whole: {words[found.what]}")


def _head(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    number, _, digest = text.partition(":")
    if not (number.isascii() and number.isdecimal() and len(digest) == 64):
        raise OperatorError(f"{text[:100]!r} is no head: number and digest, as the log says it (audit.sealed).")
    return int(number), digest


def _wanted(
    database: Database, company: str | None, event: str | None, since: datetime | None, until: datetime | None
) -> Wanted:
    from idp.audit import Event
    from idp.audit_trail import Wanted
    from idp.cli.company_arguments import find_company

    if event is not None and event not in set(Event):
        raise OperatorError(f"{event[:64]!r} is no kind of event. All: docs/audit-events.md")
    company_id = None
    if company is not None:
        with database.reading() as db:
            company_id = find_company(db, company).id
    return Wanted(company_id, event, since=_seconds(since), until=_seconds(until))


def _seconds(moment: datetime | None) -> int | None:
    return int(moment.replace(tzinfo=UTC).timestamp()) if moment is not None else None
