"""``idp companies connections changes``: metadata that was kept aside, because a person must decide about what it changes."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from idp.cli.company_arguments import AS_JSON, CONNECTION, connections_of, find_connection, opened, utc
from idp.errors import OperatorError


@click.group()
def changes() -> None:
    """What metadata says differently and waits for a decision: list, accept, dismiss."""


@changes.command(name="list")
@CONNECTION
@AS_JSON
def list_changes(connection: str, as_json: bool) -> None:
    """Show what CONNECTION's metadata says differently, and waits for a decision: accept or dismiss, by its NUMBER."""
    with opened() as (config, database), database.reading() as db:
        found = find_connection(db, config, connection)
        rows: list[dict[str, Any]] = [
            {"number": one.id, "read_at": one.read_at, "source": one.source, "changes": one.changes}
            for one in connections_of(config).kept_aside(db, found.id)
        ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"Number {row['number']}, read {utc(row['read_at'])} ({row['source']}):")
        for member, change in row["changes"].items():
            click.echo(f"  {member}\n    was {_shown(change['was'])}\n    is  {_shown(change['is'])}")
    if not rows:
        click.echo("Nothing waits for a decision.")


@changes.command()
@CONNECTION
@click.argument("number", type=int)
def accept(connection: str, number: int) -> None:
    """Take the metadata with this NUMBER, that was kept aside for CONNECTION, with all that it changes."""
    from idp import audit
    from idp.doors.saml_metadata import read_metadata

    now = time.time()
    with opened() as (config, database), database.transaction() as db:
        found = find_connection(db, config, connection)
        ours = connections_of(config)
        kept = next((one for one in ours.kept_aside(db, found.id) if one.id == number), None)
        if kept is None:
            raise OperatorError(
                f"No metadata {number} waits here. See: idp companies connections changes list {connection}"
            )
        description = read_metadata(kept.document.encode(), now, loopback=config.on_loopback)
        ours.take_kept_aside(db, number, description, actor=audit.operator(), now=now)
        click.echo("Taken.")


@changes.command()
@CONNECTION
@click.argument("number", type=int)
def dismiss(connection: str, number: int) -> None:
    """Leave the metadata with this NUMBER, that was kept aside for CONNECTION; the same is not told again."""
    from idp import audit

    with opened() as (config, database), database.transaction() as db:
        found = find_connection(db, config, connection)
        ours = connections_of(config)
        if number not in [one.id for one in ours.kept_aside(db, found.id)]:
            raise OperatorError(
                f"No metadata {number} waits here. See: idp companies connections changes list {connection}"
            )
        ours.dismiss_kept_aside(db, number, actor=audit.operator(), now=time.time())
        click.echo("Dismissed.")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
