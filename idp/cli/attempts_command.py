"""``idp attempts``: what a receipt code stands for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from sqlalchemy.orm import Session

from idp.attempts import drain
from idp.cli.made_database import made_database
from idp.config import read_config
from idp.errors import OperatorError, Unavailable
from idp.languages import Languages
from idp.models import Attempt, AttemptStep
from idp.reasons import OWNERS, REASONS
from idp.receipts import find_attempt, latest_attempts, read_code, steps_of
from idp.redis_store import connect


@click.group("attempts")
def attempts_command() -> None:
    """Receipts of sign-in attempts: what happened, and who can mend it."""


@attempts_command.command()
@click.argument("code")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def show(code: str, as_json: bool) -> None:
    """Show the attempt with this receipt CODE, as it was read out: any case, with or without the dash."""
    wanted = read_code(code)
    if wanted is None:
        raise OperatorError(f"{code!r} is not a receipt code: eight letters and digits, such as K7QX-2M4P.")
    with reading_receipts() as db:
        attempt = find_attempt(db, wanted)
        if attempt is None:
            raise OperatorError(f"{wanted}: no such receipt. Receipts are kept for 90 days; was it heard rightly?")
        steps = steps_of(db, wanted)
        if as_json:
            click.echo(json.dumps(_row(attempt) | {"steps": [_step(step) for step in steps]}, indent=2))
        else:
            _print(attempt, steps)


@attempts_command.command(name="list")
@click.option("--failed", is_flag=True, help="Only those that failed.")
@click.option("--limit", default=30, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def list_attempts(failed: bool, limit: int, as_json: bool) -> None:
    """List the newest attempts."""
    with reading_receipts() as db:
        attempts = latest_attempts(db, limit, failed=failed)
        if as_json:
            click.echo(json.dumps([_row(attempt) for attempt in attempts], indent=2))
            return
        for attempt in attempts:
            what = f"{attempt.outcome} {attempt.reason or ''}"
            click.echo(f"{attempt.code}  {_utc(attempt.started_at)}  {what:36} {attempt.client_id or ''}".rstrip())
        if not attempts:
            click.echo("None." if not failed else "None has failed.")


@contextmanager
def reading_receipts() -> Iterator[Session]:
    """The database, with the steps that still stood in Redis: a caller reads out a code that is seconds old."""
    config = read_config()
    with made_database(config) as database:
        try:
            with connect(config) as store:
                drain(store, database)
        except Unavailable as error:
            if error.reason != "redis_down":
                raise
            click.echo("Redis does not answer: the newest steps may be missing.", err=True)
        with database.reading() as db:
            yield db


def _row(attempt: Attempt) -> dict[str, Any]:
    columns = ("code", "started_at", "last_at", "client_id", "door", "connection_id", "account_id", "outcome", "reason")
    return {name: getattr(attempt, name) for name in columns}


def _step(step: AttemptStep) -> dict[str, Any]:
    return {"at": step.at, "name": step.name, "reason": step.reason, "facts": step.facts}


def _print(attempt: Attempt, steps: list[AttemptStep]) -> None:
    lines = [
        ("Receipt", attempt.code),
        ("Started", _utc(attempt.started_at)),
        ("Product", attempt.client_id),
        ("Door", attempt.door),
        ("Connection", attempt.connection_id),
        ("Account", attempt.account_id),
        ("Outcome", attempt.outcome),
    ]
    reason = REASONS.get(attempt.reason or "")
    if reason is not None:
        words = Languages()
        lines += [
            ("Reason", f"{reason.code}: {reason.cause}"),
            ("Mended by", OWNERS[reason.owner]),
            ("Tell them", f"“{words.text('en', reason.says)} {words.text('en', reason.next)}”"),
        ]
    for name, value in lines:
        if value:
            click.echo(f"{name:11} {value}")
    click.echo()
    for step in steps:
        at = datetime.fromtimestamp(step.at / 1000, UTC).isoformat(sep=" ", timespec="milliseconds")[11:23]
        facts = " ".join(f"{name}={value}" for name, value in step.facts.items())
        click.echo(f"{at}  {step.name:18} {f'failed: {step.reason}  ' if step.reason else ''}{facts}".rstrip())


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
