"""Who can sign in to the admin center as an operator: there is always one who stays. A working."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session as Transaction

from idp.models import Account, Staff


def is_only_operator(db: Transaction, account_id: str, *, hold: bool = False) -> bool:
    """Whether somebody is an operator, and nobody else could act as one without them. ``hold``: all operators are held, so that two who
    leave wait for each other."""
    operators = select(Staff.account_id).where(Staff.role == "operator").order_by(Staff.account_id)
    found = set(db.scalars(operators.with_for_update() if hold else operators))
    if account_id not in found:
        return False
    others = select(Account.id).where(Account.id.in_(found - {account_id}), Account.state == "active")
    return db.scalar(others.limit(1)) is None
