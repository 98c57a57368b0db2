"""``idp mail``: see what is in the outbox, send it again, try the mail server."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from idp.models import OutboxMail

STATES = ("waiting", "sent", "bounced", "given_up")


@click.group("mail")
def mail_command() -> None:
    """The outbox: list, retry, test."""


@mail_command.command(name="list")
@click.option("--state", type=click.Choice(STATES), help="Only mails in this state.")
@click.option("--to", "recipient", metavar="ADDRESS", help="Only mails to this address.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def list_mails(state: str | None, recipient: str | None, limit: int, as_json: bool) -> None:
    """List mails: on their way, sent, refused for good (bounced), or not deliverable (given_up)."""
    from sqlalchemy import select

    from idp.cli.made_database import made_database
    from idp.config import read_config
    from idp.models import OutboxMail

    wanted = select(OutboxMail).order_by(OutboxMail.id.desc()).limit(limit)
    if state:
        wanted = wanted.where(OutboxMail.state == state)
    if recipient:
        wanted = wanted.where(OutboxMail.recipient == recipient.lower())
    with made_database(read_config()) as database, database.reading() as db:
        rows = [_row(mail) for mail in db.scalars(wanted)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(
            f"{row['id']:>6}  {row['created_at']}  {row['state']:8}  tries {row['tries']}  {row['name']:12}  {row['recipient']}"
        )
        if row["last_answer"]:
            click.echo(f"        {row['last_answer']}")
        if row["state"] == "waiting":
            click.echo(f"        next try {row['next_try_at']}")


@mail_command.command()
@click.argument("numbers", metavar="ID...", nargs=-1, type=int)
@click.option("--all", "everything", is_flag=True, help="All that bounced or were given up.")
def retry(numbers: tuple[int, ...], everything: bool) -> None:
    """Send mails again, now: those with these IDs, or --all. Mails that were sent stay sent."""
    from idp import audit
    from idp.cli.made_database import made_database
    from idp.config import read_config
    from idp.outbox import retry_mails

    if bool(numbers) == everything:
        raise click.UsageError("Give the IDs of mails (idp mail list), or --all.")
    now = time.time()
    with made_database(read_config()) as database, database.transaction() as db:
        again = retry_mails(db, None if everything else numbers, actor=audit.operator(), now=now)
    click.echo(f"{len(again)} of {len(numbers) or len(again)} will be sent again.")
    left = sorted(set(numbers) - set(again))
    if left:
        click.echo(f"Left as they are (sent, being sent, or no such mail): {' '.join(map(str, left))}")


@mail_command.command()
@click.argument("address")
@click.option("--language", default="en", show_default=True, help="Language of the mail, such as fr.")
def test(address: str, language: str) -> None:
    """Send a test mail to ADDRESS right now, past the outbox, and show what the mail server says."""
    from idp.config import read_config
    from idp.errors import OperatorError
    from idp.languages import Languages
    from idp.mail import Mailer, check_recipient
    from idp.models import OutboxMail

    config = read_config()
    if not config.smtp:
        raise OperatorError("IDP_SMTP: not set, so mail waits in the outbox. Give the mail server as host:port.")
    try:
        recipient = check_recipient(address)
    except ValueError as error:
        raise OperatorError(f"{address!r}: {error}.") from None
    now = time.time()
    values = {"at": int(now)}
    mail = OutboxMail(id=0, name="test", recipient=recipient, language=language, values=values, created_at=int(now))
    mailer = Mailer(config, Languages())
    outcome = mailer.send(mailer.write(mail, {}, now))
    if outcome.state != "sent":
        raise OperatorError(f"{config.smtp} did not take the mail. {outcome.answer}")
    click.echo(f"{config.smtp} took the mail for {recipient}: {outcome.answer}")


def _row(mail: OutboxMail) -> dict[str, Any]:
    return {
        "id": mail.id,
        "name": mail.name,
        "recipient": mail.recipient,
        "language": mail.language,
        "state": mail.state,
        "tries": mail.tries,
        "created_at": _utc(mail.created_at),
        "next_try_at": _utc(mail.next_try_at) if mail.state == "waiting" else None,
        "sent_at": _utc(mail.sent_at) if mail.sent_at is not None else None,
        "last_answer": mail.last_answer,
    }


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
