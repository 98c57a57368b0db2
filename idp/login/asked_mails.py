"""Which mails a browser has asked for today, and what became of them at the mail servers. A working.

What is told is about a mail to the address that was typed there, and every such address gets one: so it says nothing about who has an
account.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session as Transaction

from idp.models import OutboxMail
from idp.redis_store import RedisStore, token_hash

KEPT = 86400  # seconds
MOST = 5  # of one browser; the oldest go


@dataclass(frozen=True, slots=True)
class AskedMail:
    """A mail that was asked for.

    :ivar address: as it was typed.
    :ivar at: when it was asked for, in seconds since 1970.
    :ivar state: ``waiting`` (on its way), ``delayed`` (the mail server has not taken it yet), ``sent`` (it has), ``refused`` (it never
        will) or ``given_up`` (it did not answer for long).
    """

    address: str
    at: int
    state: str


def note_asked(store: RedisStore, browser: str, *, address: str, name: str, recipient: str, now: float) -> None:
    """Note that a mail was queued for whoever is at a browser. One round trip.

    :param browser: the browser cookie's value.
    :param address: as it was typed.
    :param name: of the mail, as ``queue_mail`` was given it; every address must get one, whoever has an account.
    :param recipient: to whom it was queued.
    """
    key = _key(browser)
    with store.batch() as batch:
        batch.command("ZADD", key, int(now), json.dumps([address, name, recipient, int(now)]))
        batch.command("ZREMRANGEBYRANK", key, 0, -MOST - 1)
        batch.command("PEXPIRE", key, (KEPT + 60) * 1000)


def asked_mails(store: RedisStore, db: Transaction, browser: str, now: float) -> list[AskedMail]:
    """What a browser has asked for in the last day, the newest first."""
    found = store.command("ZRANGE", _key(browser), "+inf", int(now) - KEPT, "BYSCORE", "REV")
    return [
        AskedMail(address, at, state)
        for address, name, recipient, at in map(json.loads, found)
        if (state := _state(db, name, recipient, at)) is not None
    ]


def _state(db: Transaction, name: str, recipient: str, at: int) -> str | None:
    queued = select(OutboxMail.state, OutboxMail.tries, OutboxMail.leased_until).where(
        OutboxMail.recipient == recipient, OutboxMail.created_at == at, OutboxMail.name == name
    )
    mail = db.execute(queued.order_by(OutboxMail.id).limit(1)).first()
    if mail is None:
        return None
    if mail.state == "waiting":  # a try that is under way is counted already
        return "delayed" if mail.tries > (mail.leased_until is not None) else "waiting"
    return "refused" if mail.state == "bounced" else str(mail.state)


def _key(browser: str) -> str:
    return f"asked-mails:{{{token_hash(browser)}}}"
