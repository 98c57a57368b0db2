"""Another address for an account: both mailboxes agree first, and the old one can take it back afterwards. A working.

Until both have agreed, the new address gives nothing to anybody: it is in no claim, opens no account and no company's door. Then it
takes the place of the old one, which nobody else can have while its mailbox may still take it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.accounts.closing import tell_closed
from idp.accounts.identity import Address, read_address
from idp.accounts.lifecycle import address_is_free, change_claims, end_everything, primary_email
from idp.accounts.mailed_links import (
    AT_NEW,
    AT_OLD,
    end_links,
    find_link,
    find_newest_link,
    make_link,
    shorten_links,
    take_link,
)
from idp.accounts.reclaimed import take_out_since
from idp.accounts.recovery_address import Means
from idp.enforcement import ClosedBy, own_door
from idp.mail import DAY, queue_mail
from idp.models import Account, Email, EmailChange, HeldAddress, MailedLink

PATH = "/me/email/mail"
REVERT_PATH = "/me/email/revert"
LIFETIME = DAY  # seconds that both mailboxes have to agree
REVERTED_WITHIN = 7 * DAY  # seconds

REVERT = "email_revert"  # the purpose of the link that gives the old address back

Hindrance = Literal["unproved", "company"]
Mailbox = Literal["new", "old"]
_PURPOSES: dict[Mailbox, str] = {"new": AT_NEW, "old": AT_OLD}


@dataclass(frozen=True, slots=True)
class OwnEmail:
    """How it stands with the address of an account.

    :ivar wanted: the address that is to take its place; None: no change is under way.
    :ivar agreed: the mailboxes that have agreed to it.
    :ivar hindrance: why the address cannot be changed; "": it can.
    """

    address: str
    verified: bool
    wanted: str | None
    agreed: frozenset[Mailbox]
    hindrance: Hindrance | Literal[""]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the link in a mail is asked to agree to.

    :ivar mailbox: whose link it is.
    :ivar old: the address of the account, as the person writes it; ``new``: the one that is to take its place.
    """

    account_id: str
    mailbox: Mailbox
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Agreed:
    """A mailbox has agreed; the other one has not yet."""

    asked: Asked


@dataclass(frozen=True, slots=True)
class Changed:
    """Both have agreed: the account has the new address."""

    asked: Asked


def own_email(db: Transaction, account_id: str, now: float) -> OwnEmail:
    """How it stands with the address of an account."""
    email = primary_email(db.get_one(Account, account_id))
    change = db.get(EmailChange, account_id)
    if change is not None and change.expires_at <= now:
        change = None
    return OwnEmail(
        email.address,
        email.verified_at is not None,
        change.address if change is not None else None,
        _agreed(change) if change is not None else frozenset(),
        _hindrance(db, account_id),
    )


def closed_by(db: Transaction, address: Address) -> ClosedBy | None:
    """The company that alone signs in people with such an address; its domain says so, whoever has it (EM-06)."""
    doors = (own_door(db, address.canonical, None, door) for door in ("password", "social"))
    return next((door.for_address for door in doors if door.for_address is not None), None)


def ask_both(db: Transaction, account_id: str, address: Address, means: Means) -> None:
    """Mail to both mailboxes whether the account shall have an address. What was asked before is over. The same work whether or not
    the address is another account's: only its mailbox is told."""
    account = db.get_one(Account, account_id, with_for_update=True, populate_existing=True)
    old = primary_email(account)
    db.execute(delete(EmailChange).where(EmailChange.account_id == account_id))
    db.expire_all()
    db.add(
        EmailChange(
            account_id=account_id,
            address=address.written,
            canonical=address.canonical,
            created_at=int(means.now),
            expires_at=int(means.now) + LIFETIME,
        )
    )
    at_new, at_old = (_link(db, account_id, purpose, address, LIFETIME, means) for purpose in (AT_NEW, AT_OLD))
    free = address_is_free(db, address.canonical, account_id, means.now)
    _queue(db, "email_new" if free else "email_taken", address.canonical, at_new if free else "/login", means, old)
    _queue(db, "email_old", old.address, at_old, means, old, new=address.written)


def forget_change(db: Transaction, account_id: str, *, now: float) -> bool:
    """The person does not want the other address any more; False if none was under way."""
    db.get_one(Account, account_id, with_for_update=True)
    change = db.get(EmailChange, account_id, populate_existing=True)
    if change is None:
        return False
    _end_change(db, change, now)
    return True


def find_change(db: Transaction, secret: str, now: float, *, hold: bool = False) -> Asked | None:
    """What a link to one of the mailboxes is asked to agree to; None when it is over, or the account is no longer as it was.

    ``hold``: it stays so until the transaction ends.
    """
    mailbox: Mailbox
    for mailbox, purpose in _PURPOSES.items():
        link = find_newest_link(db, secret, purpose, now)
        if link is not None:
            return _asked(db, link, mailbox, now, hold=hold)
    return None


def agree(db: Transaction, secret: str, means: Means) -> Agreed | Changed | None:
    """A mailbox agrees. When both have, the account has the new address, and the old mailbox is told how to take it back.

    :returns: None when the link is over; nothing has been done then.
    :raises AddressTaken: somebody else has the address by now; the transaction is then over, and ``forget_change`` tidies up.
    """
    asked = find_change(db, secret, means.now, hold=True)
    if asked is None or take_link(db, secret, _PURPOSES[asked.mailbox], means.now) is None:
        return None
    change = db.get_one(EmailChange, asked.account_id)
    if asked.mailbox == "new":
        change.new_proved_at = int(means.now)
    else:
        change.old_proved_at = int(means.now)
    if change.new_proved_at is None or change.old_proved_at is None:
        return Agreed(asked)
    _change(db, change, means)
    return Changed(asked)


def disown(db: Transaction, secret: str, *, now: float) -> Asked | None:
    """The old mailbox says that its owner did not ask for it: the change is over, and so is all that is open, since whoever asked was
    signed in.

    :returns: what was asked; None when the link is over.
    """
    asked = find_change(db, secret, now, hold=True)
    if asked is None or asked.mailbox != "old" or take_link(db, secret, AT_OLD, now) is None:
        return None
    _throw_out(db, asked.account_id, now)
    return asked


def find_revertible(db: Transaction, secret: str, now: float) -> tuple[str, str] | None:
    """The account and the old address that a link gives back to it; None when it does not any more."""
    link = find_link(db, secret, REVERT, now)
    if link is None or link.account_id is None:
        return None
    address = read_address(str(link.facts["address"]))
    held = HeldAddress.canonical == address.canonical, HeldAddress.account_id == link.account_id
    there = db.scalar(select(exists().where(*held, HeldAddress.until > now)))
    return (link.account_id, address.written) if there else None


def revert(db: Transaction, secret: str, means: Means) -> tuple[str, str] | None:
    """The old mailbox takes its address back, and everybody is signed out: whoever changed it may be signed in. By what they have put
    into the account since, they do not come back. The mailbox that loses the account is told. An account that was closed meanwhile
    can be opened again from the old mailbox alone.

    :returns: the account and its address; None when the link is over.
    """
    found = find_revertible(db, secret, means.now)
    if found is None:
        return None
    account_id = found[0]
    account = db.get_one(Account, account_id, with_for_update=True, populate_existing=True)
    link = take_link(db, secret, REVERT, means.now) if find_revertible(db, secret, means.now) is not None else None
    if link is None:
        return None
    address, lost = read_address(found[1]), primary_email(account).address
    db.execute(delete(HeldAddress).where(HeldAddress.canonical == address.canonical))
    take_out_since(db, account, link, now=means.now)
    claims = {"email": address.written, "email_verified": True}
    change_claims(db, account, claims, actor=f"person:{account_id}", now=means.now)
    _throw_out(db, account_id, means.now)
    _queue(db, "email_reverted", lost, "/login", means, primary_email(account))
    if account.state == "closed":  # by whoever had the other mailbox, and got the mail that opens it again
        tell_closed(db, account, means)
    return found


def _asked(db: Transaction, link: MailedLink, mailbox: Mailbox, now: float, *, hold: bool) -> Asked | None:
    assert link.account_id is not None  # the newest link of an account
    account = db.get_one(Account, link.account_id, with_for_update=hold, populate_existing=True)
    change = db.get(EmailChange, account.id, populate_existing=True)
    if change is None or change.expires_at <= now or change.canonical != link.facts["canonical"]:
        return None
    if account.state != "active" or _hindrance(db, account.id, hold=hold):
        return None
    if closed_by(db, Address(change.address, change.canonical)) is not None:
        return None
    return Asked(account.id, mailbox, primary_email(account).address, change.address)


def _change(db: Transaction, change: EmailChange, means: Means) -> None:
    account = db.get_one(Account, change.account_id)
    email = primary_email(account)
    old = Address(email.address, email.canonical)
    new = Address(change.address, change.canonical)
    _end_change(db, change, means.now)
    claims = {"email": new.written, "email_verified": True}
    change_claims(db, account, claims, actor=f"person:{account.id}", now=means.now)
    if account.recovery_email == new.canonical:  # it would say the same
        account.recovery_email = account.recovery_verified_at = None
    end_links(db, account.id, means.now)
    db.execute(delete(HeldAddress).where(HeldAddress.canonical.in_((old.canonical, new.canonical))))
    until = int(means.now) + REVERTED_WITHIN
    shorten_links(db, account.id, until)  # "this was not me" of sign-ins and factors before, too
    db.add(HeldAddress(canonical=old.canonical, account_id=account.id, until=until))
    back = _link(db, account.id, REVERT, old, REVERTED_WITHIN, means)
    _queue(db, "email_changed", old.written, back, means, email, at=int(means.now))


def _hindrance(db: Transaction, account_id: str, *, hold: bool = False) -> Hindrance | Literal[""]:
    # Break-glass people too: the company says what their address is.
    if own_door(db, "", account_id, "password", hold=hold).closed_by is not None:
        return "company"
    return "unproved" if primary_email(db.get_one(Account, account_id)).verified_at is None else ""


def _agreed(change: EmailChange) -> frozenset[Mailbox]:
    said: dict[Mailbox, int | None] = {"new": change.new_proved_at, "old": change.old_proved_at}
    return frozenset(mailbox for mailbox, at in said.items() if at is not None)


def _end_change(db: Transaction, change: EmailChange, now: float) -> None:
    end_links(db, change.account_id, now, purposes=(AT_NEW, AT_OLD))
    db.delete(change)
    db.flush()


def _throw_out(db: Transaction, account_id: str, now: float) -> None:
    event = audit.Event.person_disowned_sign_in
    end_everything(db, account_id, event=event, actor=f"person:{account_id}", now=now)


def _link(db: Transaction, account_id: str, purpose: str, address: Address, lifetime: int, means: Means) -> str:
    secret = make_link(
        db,
        purpose=purpose,
        account_id=account_id,
        facts={"address": address.written, "canonical": address.canonical},
        lifetime=lifetime,
        now=means.now,
        random=means.random,
    )
    return f"{REVERT_PATH if purpose == REVERT else PATH}?t={secret}"


def _queue(
    db: Transaction, name: str, recipient: str, link: str, means: Means, own: Email, *, new: str = "", at: int = 0
) -> None:
    queue_mail(
        db,
        name=name,
        recipient=recipient,
        language=own.account.locale or means.language,  # whoever opened a link may speak another
        now=means.now,
        sealer=means.sealer,
        secrets={"link": link},
        always=True,  # each costs a proof, and the throttle counts them
        person=own.address,
        new=new,
        at=at,
    )
