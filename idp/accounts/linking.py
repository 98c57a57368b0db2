"""Whose account an identity opens: one pure function decides, and its answer is a value.

An account is found by (issuer, subject) alone. An e-mail address never opens an account: at most it says whose account
must be proved first.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session as Transaction

from idp.accounts.identity import Identity
from idp.models import Account, Email, Link


@dataclass(frozen=True, slots=True)
class Known:
    """An account as far as the decision needs it."""

    account_id: str
    state: str


@dataclass(frozen=True, slots=True)
class Found:
    account_id: str


@dataclass(frozen=True, slots=True)
class New:
    """Nobody here yet: an account may be made for this identity."""


@dataclass(frozen=True, slots=True)
class ProveFirst:
    """The address belongs to an account: who proves to own that account may link the identity to it."""

    account_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """``reason`` is a code of the reasons table."""

    reason: str


Decision = Found | New | ProveFirst | Refused


def decide(identity: Identity, linked: Known | None, email_owner: Known | None, *, own_issuer: str) -> Decision:
    """Decide from the account that (issuer, subject) leads to and the account that the address belongs to."""
    if linked is not None:
        return Found(linked.account_id) if linked.state == "active" else Refused("account_suspended")
    if identity.issuer == own_issuer:
        return Refused("account_unknown")
    if email_owner is not None:
        return ProveFirst(email_owner.account_id) if email_owner.state == "active" else Refused("account_suspended")
    return New()


def find_linked(db: Transaction, identity: Identity, *, own_issuer: str) -> Known | None:
    """Find the account that (issuer, subject) leads to, and hold its row until the transaction ends.

    While it is held nobody can suspend the account, so a session that is opened meanwhile is seen by the suspension that
    follows. At the standard door the subject is the account itself.
    """
    query = select(Account.id, Account.state)
    if identity.issuer == own_issuer:
        query = query.where(Account.id == identity.subject)
    else:
        query = query.join(Link).where(Link.issuer == identity.issuer, Link.subject == identity.subject)
    row = db.execute(query.with_for_update(of=Account)).first()
    return Known(*row) if row else None


def find_email_owner(db: Transaction, canonical: str) -> Known | None:
    """Find the account that a canonical address belongs to."""
    row = db.execute(select(Account.id, Account.state).join(Email).where(Email.canonical == canonical)).first()
    return Known(*row) if row else None
