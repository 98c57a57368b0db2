"""A person closes their account: it can be opened again for two weeks, and then nothing of it is left. A working.

Closed, it opens for nobody, and its address stays taken: whoever closed it in somebody else's name has taken nothing that the mail to its
owner does not give back. Then the row goes, and with it all that hangs on it; the audit and the receipts keep its internal number, which
leads to nobody. Its ``sub`` is random and is never given to anybody again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.accounts.lifecycle import end_everything, primary_email, reactivate
from idp.accounts.mailed_links import find_newest_link, make_link, take_link
from idp.accounts.recovery_address import Means
from idp.database import Database
from idp.enforcement import own_door
from idp.mail import DAY, queue_mail
from idp.members import only_administrator_of
from idp.models import Account
from idp.operators import is_only_operator

REOPEN = "reopen"  # the purpose of the link in the mail that says so
REOPEN_PATH = "/me/reopen"
REOPENED_WITHIN = 14 * DAY  # seconds
AT_ONCE = 100

# Why somebody cannot: nobody else could administer their company, or the provider, or their company signs them in and so says who has an account.
Kind = Literal["last_administrator", "last_operator", "company"]


@dataclass(frozen=True, slots=True)
class Hindered:
    """The account cannot be closed by its owner. ``company``: the name of the company for whose sake, if it is for one's."""

    kind: Kind
    company: str


def hindrance(db: Transaction, account_id: str, *, hold: bool = False) -> Hindered | None:
    """Why somebody cannot close their account; None: they can. ``hold``: it stays so until the transaction ends."""
    signs_in = own_door(db, "", account_id, "password", hold=hold).closed_by
    if signs_in is not None:
        return Hindered("company", signs_in.name)
    if is_only_operator(db, account_id, hold=hold):
        return Hindered("last_operator", "")
    administered = only_administrator_of(db, account_id, hold=hold)
    return Hindered("last_administrator", administered) if administered is not None else None


def close(db: Transaction, account_id: str, means: Means) -> bool:
    """Close an account, and mail its owner how to open it again. False: it cannot be closed, or is not open."""
    account = db.get_one(Account, account_id, with_for_update=True, populate_existing=True)
    if account.state != "active" or hindrance(db, account_id, hold=True) is not None:
        return False
    account.state, account.closed_at = "closed", int(means.now)
    end_everything(db, account_id, event=audit.Event.person_closed, actor=f"person:{account_id}", now=means.now)
    tell_closed(db, account, means)
    return True


def tell_closed(db: Transaction, account: Account, means: Means) -> None:
    """Mail to the address of a closed account how to open it again; what was mailed before, to whatever address, opens nothing any more."""
    assert account.closed_at is not None  # it is closed
    secret = make_link(
        db,
        purpose=REOPEN,
        account_id=account.id,
        facts={},
        lifetime=account.closed_at + REOPENED_WITHIN - int(means.now),
        now=means.now,
        random=means.random,
    )
    queue_mail(
        db,
        name="account_closed",
        recipient=primary_email(account).address,
        language=account.locale or means.language,
        now=means.now,
        sealer=means.sealer,
        secrets={"link": f"{REOPEN_PATH}?t={secret}"},
        always=True,  # an account is closed once in a while
        at=account.closed_at,
    )


def find_closed(db: Transaction, secret: str, now: float) -> tuple[str, str] | None:
    """The account that a link opens again, and its address; None when the link is over, or the account is not closed."""
    link = find_newest_link(db, secret, REOPEN, now)
    if link is None or link.account_id is None:
        return None
    account = db.get_one(Account, link.account_id)
    return (account.id, primary_email(account).address) if account.state == "closed" else None


def reopen(db: Transaction, secret: str, *, now: float) -> str | None:
    """Open an account again: everything is as it was, but for what was open. Returns the account; None when the link is over."""
    found = find_closed(db, secret, now)
    if found is None:
        return None
    account = db.get_one(Account, found[0], with_for_update=True, populate_existing=True)
    if account.state != "closed" or take_link(db, secret, REOPEN, now) is None:
        return None
    reactivate(db, account, actor=f"person:{account.id}", now=now)
    return account.id


def erase_closed(database: Database, now: float) -> bool:
    """Delete the accounts that were closed longer than REOPENED_WITHIN ago, a bounded number; return whether there are more."""
    over = Account.state == "closed", Account.closed_at <= int(now) - REOPENED_WITHIN
    # Looked for without the lock of writers, so that no sign-in waits for it.
    with database.reading() as db:
        found = db.scalars(select(Account.id).where(*over).limit(AT_ONCE)).all()
    if found:
        with database.transaction() as db:
            erased = db.scalars(delete(Account).where(Account.id.in_(found), *over).returning(Account.id)).all()
            for account_id in erased:
                audit.record(db, audit.Event.person_erased, now=now, actor="system", account_id=account_id)
    return len(found) == AT_ONCE
