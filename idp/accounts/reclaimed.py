"""An address that was changed is taken back: what was put into the account meanwhile was announced to the other mailbox alone, and
goes with it. A working.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.accounts.second_factors import forget_browsers, settle_without
from idp.models import (
    Account,
    HeldAddress,
    Link,
    MailedLink,
    Member,
    Passkey,
    Password,
    RecoveryCode,
    SearchTerm,
    Totp,
)


def take_out_since(db: Transaction, account: Account, changed: MailedLink, *, now: float) -> None:
    """Take out all by which whoever has the other mailbox could come back: links that were mailed since, addresses that were left since,
    the recovery address, the password, factors, linked ways and the company. What is older stays. The caller holds the account's row.

    :param changed: the link to the mailbox that takes its address back, made when it lost it.
    """
    since, who = changed.created_at, account.id
    newer = MailedLink.account_id == who, MailedLink.id > changed.id, MailedLink.used_at.is_(None)
    db.execute(update(MailedLink).where(*newer).values(used_at=int(now)))
    until = changed.expires_at  # a held address is free when its link is over
    db.execute(delete(HeldAddress).where(HeldAddress.account_id == who, HeldAddress.until >= until))
    if account.recovery_verified_at is not None and account.recovery_verified_at >= since:
        account.recovery_email = account.recovery_verified_at = None
        _record(db, audit.Event.person_recovery_removed, who, now)
    db.execute(delete(Password).where(Password.account_id == who, Password.changed_at >= since))
    for table, factor in ((Passkey, "passkey"), (Totp, "totp"), (RecoveryCode, "recovery_codes")):
        added: Any = delete(table).where(table.account_id == who, table.created_at >= since)
        if db.execute(added.returning(table.account_id)).first() is not None:
            _record(db, audit.Event.person_factor_removed, who, now, factor=factor, by="mail")
    settle_without(db, who)
    forget_browsers(db, who)
    linked = delete(Link).where(Link.account_id == who, Link.created_at >= since).returning(Link.door)
    for door in db.scalars(linked).all():
        _record(db, audit.Event.person_unlinked, who, now, door=door, by="mail")
    # Also as its last administrator: the other address, and so perhaps the company, is that of whoever changed it.
    joined = delete(Member).where(Member.account_id == who, Member.created_at >= since).returning(Member.company_id)
    for company_id in db.scalars(joined).all():
        db.execute(update(SearchTerm).where(SearchTerm.account_id == who).values(company_id=None))
        _record(db, audit.Event.company_member_removed, who, now, company=company_id)
    db.flush()
    db.expire_all()


def _record(db: Transaction, event: audit.Event, account_id: str, now: float, **facts: str) -> None:
    audit.record(db, event, now=now, actor=f"person:{account_id}", account_id=account_id, **facts)
