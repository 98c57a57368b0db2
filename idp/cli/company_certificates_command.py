"""``idp companies connections certificates``: those with which a company's identity provider may sign."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from idp.cli.company_arguments import AS_JSON, CONNECTION, connections_of, find_connection, opened, read_file, utc


@click.group()
def certificates() -> None:
    """The certificates with which an identity provider may sign: list, add, remove. Several count at once."""


@certificates.command(name="list")
@CONNECTION
@AS_JSON
def list_certificates(connection: str, as_json: bool) -> None:
    """List the certificates of CONNECTION: from when until when each is good, and where it came from."""
    with opened() as (config, database), database.reading() as db:
        found = find_connection(db, config, connection)
        names = ("fingerprint", "not_before", "not_after", "source", "added_at")
        rows = [
            {name: getattr(one, name) for name in names} for one in connections_of(config).certificates(db, found.id)
        ]  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    now = time.time()
    for row in rows:
        days = int((row["not_after"] - now) // 86400)
        left = f"{days} days left" if days >= 0 else "has ended"
        click.echo(
            f"{row['fingerprint']}\n  {utc(row['not_before'])} to {utc(row['not_after'])}, {left}; by {row['source']}"
        )


@certificates.command()
@CONNECTION
@click.argument("file", type=click.Path(path_type=Path))
def add(connection: str, file: Path) -> None:
    """Let the certificates in FILE count too: PEM in any shape, DER, or only its base64; - reads standard input."""
    from idp import audit

    given = read_file(file)
    with opened() as (config, database), database.transaction() as db:
        found = find_connection(db, config, connection)
        changed = connections_of(config).add_certificate(db, found.id, given, actor=audit.operator(), now=time.time())
        click.echo(
            f"{len(changed.certificates) - len(found.certificates)} added, {len(changed.certificates)} count now."
        )


@certificates.command()
@CONNECTION
@click.argument("fingerprint")
def remove(connection: str, fingerprint: str) -> None:
    """Let the certificate with this FINGERPRINT (SHA-256, as list shows it) count no more."""
    from idp import audit

    with opened() as (config, database), database.transaction() as db:
        found = find_connection(db, config, connection)
        connections_of(config).remove_certificate(db, found.id, fingerprint, actor=audit.operator(), now=time.time())
        click.echo("Removed.")
