"""Whose account an identity opens: one pure function decides, and its answer is a value.

An account is found by (issuer, subject) alone. An e-mail address never opens an account: at most it says whose account
must be proved first. How it was proved stands in the link, so that a link can be judged, and undone, later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import exists, select
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.accounts.identity import Identity
from idp.models import Account, Email, Link, Member, Password

# How an account was proved to be that of who arrives: by what opens it otherwise, or by reading its mail.
Proof = Literal["password", "mail"]


@dataclass(frozen=True, slots=True)
class Known:
    """An account as far as the decision needs it.

    :ivar company_id: the company that the person belongs to; None: to none.
    :ivar prepared: that company made the account, and nobody has used it yet.
    :ivar has_password: whether somebody could prove to be its owner by that.
    :ivar company_subjects: by what names (``Link.subject``) a company's own sign-in has led to it so far.
    """

    account_id: str
    state: str
    company_id: str | None = None
    prepared: bool = False
    has_password: bool = True
    company_subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Welcome:
    """What the company whose door was used says about people whom it sends. ``jit``: they may be unknown here."""

    company_id: str
    jit: bool


@dataclass(frozen=True, slots=True)
class Found:
    """``prepared``: nobody has used the account so far; the identity is linked to it now."""

    account_id: str
    prepared: bool = False


@dataclass(frozen=True, slots=True)
class New:
    """Nobody here yet: an account may be made for this identity."""


@dataclass(frozen=True, slots=True)
class ProveFirst:
    """The address belongs to an account: who proves to own that account, in one of these ways, may link the identity to it."""

    account_id: str
    proofs: tuple[Proof, ...] = ("password", "mail")


@dataclass(frozen=True, slots=True)
class Refused:
    """``reason`` is a code of the reasons table."""

    reason: str


Decision = Found | New | ProveFirst | Refused


def decide(
    identity: Identity,
    linked: Known | None,
    email_owner: Known | None,
    *,
    own_issuer: str,
    welcome: Welcome | None = None,
) -> Decision:
    """Decide from the account that (issuer, subject) leads to and the account that the address belongs to.

    ``welcome``: of the company whose door was used; None at any other door.
    """
    if linked is None and identity.issuer == own_issuer:
        return Refused("account_unknown")
    account = linked or email_owner
    if account is not None and account.state != "active":
        return Refused("account_suspended")
    if welcome is not None and (reason := _unwelcome(account, welcome)):
        return Refused(reason)
    if linked is not None and welcome is not None and linked.company_id is None and not _is_same(linked, email_owner):
        # They have left the company, and taken their account to an address of their own: it is not the company's to open.
        return Refused("company_member_missing")
    if linked is not None:
        return Found(linked.account_id)
    if email_owner is None:
        return New()
    if welcome is not None and email_owner.prepared:
        return Found(email_owner.account_id, prepared=True)
    proofs = _proofs(identity, email_owner)
    return ProveFirst(email_owner.account_id, proofs) if proofs else Refused("company_name_id_changed")


def _is_same(linked: Known, email_owner: Known | None) -> bool:
    return email_owner is not None and email_owner.account_id == linked.account_id


def _unwelcome(account: Known | None, welcome: Welcome) -> str:
    belongs_to = account.company_id if account is not None else None
    if belongs_to is None:
        return "" if welcome.jit else "company_member_missing"
    return "" if belongs_to == welcome.company_id else "company_member_elsewhere"


def _proofs(identity: Identity, owner: Known) -> tuple[Proof, ...]:
    # The company knew somebody with this address by another name before. It may be a new colleague who was given the address
    # of one who left (SA-37), and with it the mailbox: then mail proves nothing.
    other_person = any(subject != identity.subject for subject in owner.company_subjects)
    by_password: tuple[Proof, ...] = ("password",) if owner.has_password else ()
    return by_password if other_person else (*by_password, "mail")


def find_linked(db: Transaction, identity: Identity, *, own_issuer: str) -> Known | None:
    """Find the account that (issuer, subject) leads to, and hold its row until the transaction ends.

    While it is held nobody can suspend the account, so a session that is opened meanwhile is seen by the suspension that
    follows. At the standard door the subject is the account itself.
    """
    query = _known()
    if identity.issuer == own_issuer:
        query = query.where(Account.id == identity.subject)
    else:
        query = query.join(Link, Link.account_id == Account.id)
        query = query.where(Link.issuer == identity.issuer, Link.subject == identity.subject)
    row = db.execute(query.with_for_update(of=Account)).first()
    return Known(*row) if row else None


def find_email_owner(db: Transaction, canonical: str) -> Known | None:
    """Find the account that a canonical address belongs to, and hold its row until the transaction ends."""
    query = _known().join(Email, Email.account_id == Account.id).where(Email.canonical == canonical)
    row = db.execute(query.with_for_update(of=Account)).first()
    if row is None:
        return None
    subjects = select(Link.subject).where(Link.account_id == row.id, Link.issuer.startswith("company:"))
    return replace(Known(*row), company_subjects=tuple(db.scalars(subjects)))


def _known() -> Any:
    has_password = exists().where(Password.account_id == Account.id).correlate(Account)
    unused = Member.prepared.is_(True) & ~has_password  # who was given a password meanwhile may have used it
    return (
        select(Account.id, Account.state, Member.company_id, unused, has_password)
        .select_from(Account)
        .outerjoin(Member, Member.account_id == Account.id)
    )


def link(db: Transaction, account_id: str, identity: Identity, *, proof: Mapping[str, Any], now: float) -> None:
    """Let an identity lead to an account from now on. ``proof``: how it was proved that it is theirs, ``by`` what first.

    :raises IntegrityError: it leads to an account already: another request was faster; the transaction is over.
    """
    kept = {**proof, "at": int(now)}
    db.add(
        Link(
            account_id=account_id,
            issuer=identity.issuer,
            subject=identity.subject,
            door=identity.door,
            email=identity.email,
            proof=kept,
            created_at=int(now),
        )
    )
    db.flush()
    audit.record(
        db, audit.Event.person_linked, now=now, actor=f"person:{account_id}", account_id=account_id,
        door=identity.door, by=str(proof["by"]),
    )  # fmt: skip


def verify_address(db: Transaction, account_id: str, canonical: str, *, now: float) -> bool:
    """Note that an address is its account's own; False when it was known before, or is no address of the account."""
    email = db.scalar(select(Email).where(Email.account_id == account_id, Email.canonical == canonical))
    if email is None or email.verified_at is not None:
        return False
    email.verified_at = int(now)
    return True
