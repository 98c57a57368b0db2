"""Links in mails: bound to one person and one purpose, alive until a moment, used once. SQL knows only a hash.

Opening a link changes nothing, because mail scanners open links too; only the form on its page uses it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import CursorResult, exists, select, update
from sqlalchemy.orm import Session as Transaction

from idp.models import MailedLink
from idp.redis_store import token_hash

RESET = "reset"  # the purpose of the link that sets a forgotten password (forgotten.py)
SIGN_UP = "sign_up"  # of the one that proves the address of a new account (signing_up.py)
RECOVERY = "prove_recovery"  # of the one that proves a recovery address (recovery_address.py)
INVITE = "invite"  # of the one in an invitation (invitations.py)
AT_NEW = "email_new"  # of the one to the mailbox that an account is to have (emails.py)
AT_OLD = "email_old"  # of the one to the mailbox that it has


def make_link(
    db: Transaction,
    *,
    purpose: str,
    account_id: str | None,
    facts: dict[str, Any],
    lifetime: int,
    now: float,
    random: Callable[[int], bytes],
) -> str:
    """Make the secret of a link (43 characters, 256 bits) that lives for ``lifetime`` seconds.

    ``account_id`` None: it is about an address that may be nobody's yet.
    """
    secret = base64.urlsafe_b64encode(random(32)).decode().rstrip("=")
    db.add(
        MailedLink(
            secret_hash=token_hash(secret),
            purpose=purpose,
            account_id=account_id,
            facts=facts,
            created_at=int(now),
            expires_at=int(now) + lifetime,
        )
    )
    return secret


def find_link(db: Transaction, secret: str, purpose: str, now: float) -> MailedLink | None:
    """Find a link that can still be used. It stays usable."""
    return db.scalar(select(MailedLink).where(MailedLink.secret_hash == token_hash(secret), *_usable(purpose, now)))


def whose_link(db: Transaction, secret: str, purpose: str) -> str | None:
    """Whose account a link was about, also one that is over: for the receipt, so that support can help. It opens nothing."""
    return db.scalar(
        select(MailedLink.account_id).where(MailedLink.secret_hash == token_hash(secret), MailedLink.purpose == purpose)
    )


def find_newest_link(db: Transaction, secret: str, purpose: str, now: float) -> MailedLink | None:
    """Find a link of an account that can still be used, unless a newer one was made for the same purpose."""
    link = find_link(db, secret, purpose, now)
    if link is None or link.account_id is None:
        return None
    newer = exists().where(
        MailedLink.account_id == link.account_id, MailedLink.purpose == purpose, MailedLink.id > link.id
    )
    return None if db.scalar(select(newer)) else link


def take_link(db: Transaction, secret: str, purpose: str, now: float) -> MailedLink | None:
    """Use a link: of several that try, exactly one gets it, also across processes."""
    link = find_link(db, secret, purpose, now)
    if link is None:
        return None
    used = update(MailedLink).where(MailedLink.id == link.id, MailedLink.used_at.is_(None)).values(used_at=int(now))
    answer = db.execute(used)
    assert isinstance(answer, CursorResult)
    return link if answer.rowcount == 1 else None


def end_links(
    db: Transaction, account_id: str, now: float, *, purposes: Collection[str] = (RESET, RECOVERY, AT_NEW, AT_OLD)
) -> None:
    """Let no link be used any more that would give whoever has it a way into an account that is in use."""
    ending = MailedLink.purpose.in_(purposes), MailedLink.used_at.is_(None)
    db.execute(update(MailedLink).where(MailedLink.account_id == account_id, *ending).values(used_at=int(now)))


def shorten_links(db: Transaction, account_id: str, until: int) -> None:
    """Let no link that was mailed before live longer than ``until``: the mailbox that it lies in is the account's no more."""
    longer = MailedLink.account_id == account_id, MailedLink.expires_at > until, MailedLink.used_at.is_(None)
    db.execute(update(MailedLink).where(*longer).values(expires_at=until))


def _usable(purpose: str, now: float) -> tuple[Any, ...]:
    return MailedLink.purpose == purpose, MailedLink.used_at.is_(None), MailedLink.expires_at > int(now)
