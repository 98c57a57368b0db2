"""``idp database``: bring the tables up to date, and see whether they are."""

from __future__ import annotations

import json
from contextlib import closing

import click

from idp.config import read_config


@click.group("database")
def database_command() -> None:
    """The SQL database: upgrade, status."""


@database_command.command()
def upgrade() -> None:
    """Bring the tables up to date. Safe to repeat, and while a provider runs."""
    from idp.database import Database

    with closing(Database(read_config())) as database:
        before = database.version()
        if before == database.newest_version:
            click.echo(f"The tables are up to date ({before}).")
            return
        click.echo(f"Upgrading the tables from {before or 'nothing'} to {database.newest_version} …")
        database.upgrade()
        click.echo("Done.")


@database_command.command()
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def status(as_json: bool) -> None:
    """Tell whether the database answers and its tables are up to date. Exit code 1 when not."""
    from idp.cli.made_database import must_be_made
    from idp.database import Database

    config = read_config()
    must_be_made(config)
    with closing(Database(config)) as database:
        kind, version, newest = database.kind, database.version(), database.newest_version
    if as_json:
        click.echo(json.dumps({"kind": kind, "version": version, "newest": newest, "current": version == newest}))
    else:
        click.echo(f"Database: {kind}\nTables:   {version or 'none yet'}")
        if version != newest:
            click.echo(f"Needed:   {newest}. Run: idp database upgrade")
    if version != newest:
        raise SystemExit(1)
