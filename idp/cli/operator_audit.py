"""The audit record of what an operator does at the command line to files, which no SQL transaction covers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing

import click

from idp.config import Config
from idp.errors import Unavailable


def record_acts(config: Config, *acts: tuple[str, Mapping[str, str | int | bool]]) -> None:
    """Record what was just done. Keys must be movable while SQL is down, so failing to record is said and no error.

    :param acts: each the name of a member of ``audit.Event``, and its facts.
    """
    from idp.audit import Event, operator, record
    from idp.database import Database

    if not config.database_url and not (config.data / "idp.sqlite").exists():
        # Opening it would make it, owned by whoever runs this command.
        click.echo("Not recorded in the audit: there is no database yet.", err=True)
        return
    try:
        with closing(Database(config)) as database:
            if not database.is_current():
                click.echo("Not recorded in the audit: the database needs `idp database upgrade`.", err=True)
                return
            with database.transaction() as db:
                for event, facts in acts:
                    record(db, Event[event], now=time.time(), actor=operator(), **facts)  # type: ignore[arg-type]  # no fact is called account_id
    except Unavailable as error:
        click.echo(f"Not recorded in the audit: the database does not answer ({error.detail}).", err=True)
