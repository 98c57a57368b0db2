"""Somebody has lost their second factors: two people who may, one after the other, take them away. A working.

One asks and says why; another one, within a day, agrees. Whose factors they were is told by mail, and signs in anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.accounts.changed_factor import Change, Factor, tell_changed_factor
from idp.accounts.lifecycle import end_everything
from idp.admin.staff import STAFF_RIGHTS, Right
from idp.companies import CompanyRefused
from idp.models import Account, Device, FactorRemoval, Member, Passkey, RecoveryCode, Staff, Totp
from idp.sealing import Sealer

ASKED_FOR = 86400  # seconds in which somebody else has to agree
LONGEST_REASON = 300  # characters


@dataclass(frozen=True, slots=True)
class Asked:
    """A removal that waits for a second person. ``asked_by``: as the audit names them; times in seconds since 1970."""

    asked_by: str
    reason: str
    expires_at: int


def held_factors(db: Transaction, account_id: str) -> list[Factor]:
    """The kinds of factors that an account has."""
    tables: tuple[tuple[Factor, type[Totp | Passkey | RecoveryCode]], ...] = (
        ("passkey", Passkey),
        ("totp", Totp),
        ("recovery_codes", RecoveryCode),
    )
    return [kind for kind, table in tables if db.scalar(select(table.account_id).where(table.account_id == account_id))]


def find_asked(db: Transaction, account_id: str, now: float) -> Asked | None:
    """What waits for a second person, if anything does. It counts while whoever asked may still ask for it."""
    row = db.get(FactorRemoval, account_id, populate_existing=True)
    if row is None or row.expires_at <= now or not _may_ask(db, row.asked_by, account_id):
        return None
    return Asked(row.asked_by, row.reason, row.expires_at)


def ask(db: Transaction, account_id: str, reason: str, *, actor: str, now: float) -> None:
    """Ask that all factors of an account are taken away; what was asked before is over.

    :raises CompanyRefused: ``factor_removal_reason``: no reason is given; ``factor_removal_none``: there is nothing to remove.
    """
    reason = " ".join(reason.split())[:LONGEST_REASON]
    if not reason:
        raise CompanyRefused("factor_removal_reason")
    db.get_one(Account, account_id, with_for_update=True)
    if not held_factors(db, account_id):
        raise CompanyRefused("factor_removal_none")
    db.execute(delete(FactorRemoval).where(FactorRemoval.account_id == account_id))
    db.expire_all()
    expires_at = int(now) + ASKED_FOR
    db.add(FactorRemoval(account_id=account_id, asked_by=actor, reason=reason, expires_at=expires_at))
    event = audit.Event.person_factor_removal_asked
    audit.record(db, event, now=now, actor=actor, account_id=account_id, reason=reason)


def withdraw(db: Transaction, account_id: str, *, actor: str, now: float) -> None:
    """Nobody shall agree to it any more."""
    db.execute(delete(FactorRemoval).where(FactorRemoval.account_id == account_id))
    event = audit.Event.person_factor_removal_withdrawn
    audit.record(db, event, now=now, actor=actor, account_id=account_id)


def agree(
    db: Transaction,
    account_id: str,
    *,
    actor: str,
    language: str,
    sealer: Sealer,
    now: float,
    random: Callable[[int], bytes],
) -> None:
    """A second person agrees: all factors of the account go, no browser is remembered, and everybody is signed out.

    :raises CompanyRefused: ``factor_removal_over``: nothing waits; ``factor_removal_alone``: it is who has asked.
    """
    account = db.get_one(Account, account_id, with_for_update=True, populate_existing=True)
    asked = find_asked(db, account_id, now)
    if asked is None:
        raise CompanyRefused("factor_removal_over")
    if actor in (asked.asked_by, f"person:{account_id}"):
        raise CompanyRefused("factor_removal_alone")
    for kind in held_factors(db, account_id):
        tell_changed_factor(
            db, account, Change(kind, added=False), language=language, sealer=sealer, now=now, random=random
        )
    for table in (Passkey, Totp, RecoveryCode):
        db.execute(delete(table).where(table.account_id == account_id))
    db.execute(update(Device).where(Device.account_id == account_id).values(remembered_until=None))
    db.execute(delete(FactorRemoval).where(FactorRemoval.account_id == account_id))
    event = audit.Event.person_factors_removed
    end_everything(db, account_id, event=event, actor=actor, now=now)


def _may_ask(db: Transaction, asked_by: str, account_id: str) -> bool:
    """Whether somebody, as the audit names them, is an administrator of the person's company, or may support everybody."""
    asker = asked_by.removeprefix("person:")
    theirs = select(Member.company_id).where(Member.account_id == account_id).scalar_subquery()
    administrator = exists().where(
        Member.account_id == asker, Member.role == "administrator", Member.company_id == theirs
    )
    supporting = [role for role, rights in STAFF_RIGHTS.items() if Right.support in rights]
    supporter = exists().where(Staff.account_id == asker, Staff.role.in_(supporting))
    active = exists().where(Account.id == asker, Account.state == "active")
    return bool(db.scalar(select(active & (administrator | supporter))))
