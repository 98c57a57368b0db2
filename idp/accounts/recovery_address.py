"""The recovery address: where the mail about a forgotten password goes instead of the account's own address. A working.

It is asked for by somebody who has lately proved who they are, counts once its mailbox has agreed, and is announced to the account's own
address with a way to take it back. Nobody signs in with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import exists, select
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.accounts.forgotten import state_of
from idp.accounts.identity import Address
from idp.accounts.lifecycle import end_everything, primary_email
from idp.accounts.mailed_links import RECOVERY, find_link, find_newest_link, make_link, take_link
from idp.enforcement import own_door
from idp.mail import DAY, queue_mail
from idp.models import Account, Email, Password
from idp.sealing import Sealer

PATH = "/me/recovery/mail"
LIFETIME = 3600  # seconds
UNDO = "undo_recovery"  # the purpose of the link that takes an address back
UNDO_PATH = "/me/recovery/undo"
UNDONE_WITHIN = 30 * DAY

# Why somebody can have none: their own address is not proved, a company signs them in, no password is there to be forgotten.
Hindrance = Literal["unproved", "company", "no_password"]


@dataclass(frozen=True, slots=True)
class Recovery:
    """How it stands with a person's recovery address.

    :ivar address: None: there is none.
    :ivar since: seconds since 1970.
    :ivar hindrance: "" where they can have one.
    """

    address: str | None
    since: int | None
    hindrance: Hindrance | Literal[""]


@dataclass(frozen=True, slots=True)
class Means:
    """What a mail with a link is made with. ``now``: seconds since 1970; ``language``: of the mail."""

    language: str
    sealer: Sealer
    now: float
    random: Callable[[int], bytes]


def recovery_of(db: Transaction, account_id: str) -> Recovery:
    """How it stands with a person's recovery address."""
    account = db.get_one(Account, account_id)
    hindrance: Hindrance | Literal[""] = ""
    if not own_door(db, "", account_id, "password").opens:
        hindrance = "company"
    elif not db.scalar(select(exists().where(Password.account_id == account_id))):
        hindrance = "no_password"
    elif primary_email(account).verified_at is None:
        hindrance = "unproved"
    return Recovery(account.recovery_email, account.recovery_verified_at, hindrance)


def is_own(db: Transaction, account_id: str, address: Address) -> bool:
    """Whether an address is the account's own already, so that it would help nobody who cannot read its mail."""
    own = Email.account_id == account_id, Email.canonical == address.canonical
    return bool(db.scalar(select(exists().where(*own))))


def ask_mailbox(db: Transaction, account_id: str, address: Address, means: Means) -> None:
    """Mail to an address whether it may be the person's recovery address. Whoever reads that mail decides."""
    account = db.get_one(Account, account_id)
    secret = make_link(
        db,
        purpose=RECOVERY,
        account_id=account_id,
        facts={"address": address.canonical, "state": state_of(db, account_id)},
        lifetime=LIFETIME,
        now=means.now,
        random=means.random,
    )
    queue_mail(
        db,
        name="prove_recovery",
        recipient=address.canonical,
        language=means.language,
        now=means.now,
        sealer=means.sealer,
        secrets={"link": f"{PATH}?t={secret}"},
        person=primary_email(account).address,
    )


def find_asked(db: Transaction, secret: str, now: float, *, hold: bool = False) -> tuple[str, str] | None:
    """The account and the address that a link would give it; None when the link is over, or the account no longer as it was.

    ``hold``: it stays so until the transaction ends.
    """
    link = find_newest_link(db, secret, RECOVERY, now)
    if link is None or link.account_id is None:
        return None
    account = db.get_one(Account, link.account_id, with_for_update=hold, populate_existing=True)
    if state_of(db, account.id) != link.facts["state"] or recovery_of(db, account.id).hindrance:
        return None
    return account.id, str(link.facts["address"])


def set_recovery(db: Transaction, secret: str, means: Means) -> str | None:
    """Use a link: the address counts from now on, and the account's own mailbox is told, with a way back.

    :returns: the account; None when the link is over.
    """
    asked = find_asked(db, secret, means.now, hold=True)
    if asked is None or take_link(db, secret, RECOVERY, means.now) is None:
        return None
    account_id, address = asked
    account = db.get_one(Account, account_id)
    account.recovery_email, account.recovery_verified_at = address, int(means.now)
    undo = make_link(
        db,
        purpose=UNDO,
        account_id=account_id,
        facts={"address": address},
        lifetime=UNDONE_WITHIN,
        now=means.now,
        random=means.random,
    )
    queue_mail(
        db,
        name="recovery_set",
        recipient=primary_email(account).address,
        language=account.locale or means.language,  # the link may be opened by who speaks another
        now=means.now,
        sealer=means.sealer,
        secrets={"link": f"{UNDO_PATH}?t={undo}"},
        always=True,  # each costs a proof
        recovery=address,
        at=int(means.now),
    )
    _record(db, audit.Event.person_recovery_set, account_id, means.now)
    return account_id


def tell_removed(db: Transaction, account_id: str, recovery: str, means: Means) -> None:
    """Mail to the owner of an account that its recovery address, ``recovery``, is none any more."""
    account = db.get_one(Account, account_id)
    queue_mail(
        db,
        name="recovery_removed",
        recipient=primary_email(account).address,
        language=account.locale or means.language,
        now=means.now,
        sealer=means.sealer,
        secrets={"link": "/me"},
        always=True,  # to have one again costs a proof
        recovery=recovery,
        at=int(means.now),
    )


def remove_recovery(db: Transaction, account_id: str, *, now: float) -> str | None:
    """Take the address away, and return it; None if there was none."""
    account = db.get_one(Account, account_id, with_for_update=True, populate_existing=True)
    address = account.recovery_email
    if address is not None:
        account.recovery_email = account.recovery_verified_at = None
        _record(db, audit.Event.person_recovery_removed, account_id, now)
    return address


def find_undoable_recovery(db: Transaction, secret: str, now: float) -> tuple[str, str] | None:
    """The account and the recovery address that a mail has announced; None when it is not there any more."""
    link = find_link(db, secret, UNDO, now)
    if link is None or link.account_id is None:
        return None
    address = str(link.facts["address"])
    there = db.scalar(select(Account.recovery_email).where(Account.id == link.account_id)) == address
    return (link.account_id, address) if there else None


def undo_recovery(db: Transaction, secret: str, *, now: float) -> str | None:
    """Take back the address that a mail has announced, and end all that is open: whoever set it may be signed in.

    :returns: the account; None when it is not there any more, and nothing has been done.
    """
    found = find_undoable_recovery(db, secret, now)
    if found is None:
        return None
    account_id = found[0]
    db.get_one(Account, account_id, with_for_update=True)
    if find_undoable_recovery(db, secret, now) is None or take_link(db, secret, UNDO, now) is None:
        return None
    remove_recovery(db, account_id, now=now)
    event = audit.Event.person_disowned_sign_in
    end_everything(db, account_id, event=event, actor=f"person:{account_id}", now=now)
    return account_id


def _record(db: Transaction, event: audit.Event, account_id: str, now: float) -> None:
    audit.record(db, event, now=now, actor=f"person:{account_id}", account_id=account_id)
