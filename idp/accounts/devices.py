"""Known devices: the browsers in which a person has signed in before, and the mail when there is a new one."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache

from sqlalchemy import delete, select
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.accounts.lifecycle import primary_email
from idp.accounts.mailed_links import make_link
from idp.mail import queue_mail
from idp.models import Account, Device
from idp.redis_store import token_hash
from idp.sealing import Sealer

MOST_DEVICES = 100  # of one person; the one that was not seen for longest is forgotten
LONGEST_USER_AGENT = 512  # characters that are looked at
LONGEST_NAME = 40  # of a browser or a system
NOT_ME = "not_me"  # purpose of the link in the mail, answered by the page profile.py
NOT_ME_PATH = "/me/not-me"
NOT_ME_LIFETIME = 30 * 86400  # seconds: a mail may wait through a holiday; the longest session lasts as long


def describe_agent(user_agent: str) -> str:
    """Name browser and system of a User-Agent header, e.g. "Firefox · Linux"; the same in every language."""
    return _describe(user_agent[:LONGEST_USER_AGENT])


@lru_cache(maxsize=1024)
def _describe(user_agent: str) -> str:
    from ua_parser import parse  # late: its tables take a while to load, and only sign-ins need them

    found = parse(user_agent)
    names = [found.user_agent.family if found.user_agent else "", found.os.family if found.os else ""]
    known = [name for name in map(_printable, names) if name]
    return " · ".join(known) or _printable(user_agent.partition(" ")[0]) or "–"


def _printable(name: str) -> str:
    # Some patterns copy pieces of what the browser sent.
    return "".join(letter for letter in name if unicodedata.category(letter)[0] != "C")[:LONGEST_NAME].strip()


def is_known(db: Transaction, account_id: str | None, cookie: str | None) -> bool:
    """Whether the account has been used in the browser with this device cookie. The same work for every address."""
    if cookie is None:
        return False
    known = select(Device.id).where(Device.account_id == (account_id or ""), Device.secret_hash == token_hash(cookie))
    return db.scalar(known) is not None


def note_sign_in(
    db: Transaction,
    account: Account,
    *,
    cookie: str,
    agent: str,
    address: str,
    language: str,
    sealer: Sealer,
    now: float,
    random: Callable[[int], bytes],
    remembered_until: int | None = None,
) -> None:
    """Remember the browser in which a person has just signed in; if it is new, tell them by mail.

    The first browser of all is not told: whoever made the account knows. ``account`` is held by the caller's transaction
    (``linking.find_linked``), so that of two sign-ins at once only one is the first. ``remembered_until``: until then it is not
    asked for a second factor; None: as it was.
    """
    devices = db.scalars(select(Device).where(Device.account_id == account.id).order_by(Device.last_seen_at)).all()
    this = next((device for device in devices if device.secret_hash == token_hash(cookie)), None)
    if this is not None:
        this.label = agent
        this.last_seen_at = int(now)
        this.remembered_until = remembered_until or this.remembered_until
        return
    for forgotten in devices[: max(0, len(devices) + 1 - MOST_DEVICES)]:
        db.delete(forgotten)
    at = int(now)
    this = Device(account_id=account.id, secret_hash=token_hash(cookie), label=agent, first_seen_at=at, last_seen_at=at)
    this.remembered_until = remembered_until
    db.add(this)
    if devices:
        _tell(db, account, this, address, language, sealer, now, random)


def forget_device(db: Transaction, account_id: str, secret_hash: str) -> None:
    """Make a browser unknown to the account again: its next sign-in is told, and throttled like a stranger's."""
    db.execute(delete(Device).where(Device.account_id == account_id, Device.secret_hash == secret_hash))


def _tell(
    db: Transaction,
    account: Account,
    device: Device,
    address: str,
    language: str,
    sealer: Sealer,
    now: float,
    random: Callable[[int], bytes],
) -> None:
    facts = {"device": device.secret_hash, "agent": device.label, "address": address}
    secret = make_link(
        db,
        purpose=NOT_ME,
        account_id=account.id,
        facts=facts,
        lifetime=NOT_ME_LIFETIME,
        now=now,
        random=random,
    )
    queue_mail(
        db,
        name="new_device",
        recipient=primary_email(account).address,
        language=language,
        now=now,
        sealer=sealer,
        secrets={"link": f"{NOT_ME_PATH}?t={secret}"},
        warning=True,
        agent=device.label,
        address=address,
        at=int(now),
    )
    audit.record(
        db,
        audit.Event.person_device_added,
        now=now,
        actor=f"person:{account.id}",
        account_id=account.id,
        agent=device.label,
    )
