"""Whether a company lets its people use passwords of their own here. A working.

Asked before a password is looked at, with the same work for every address of a domain, and once more when the session is
opened: then the company's row is held, so that a session is seen by whoever requires SSO in the same moment.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import literal, select
from sqlalchemy.orm import Session as Transaction

from idp.companies import Policy, is_break_glass, policy_of_holder
from idp.models import CompanyDomain, Email


@dataclass(frozen=True, slots=True)
class OwnDoor:
    """``closed_by``: the company that closes it; None: it is open. ``break_glass``: this person may pass all the same."""

    closed_by: Policy | None = None
    break_glass: bool = False

    @property
    def opens(self) -> bool:
        """Whether a right password signs this person in."""
        return self.closed_by is None or self.break_glass


def own_door(db: Transaction, canonical: str, account_id: str | None, *, hold: bool = False) -> OwnDoor:
    """The standard door for an address and, if it is known, its account: every address of a person counts.

    ``hold``: what was found stays so until the transaction ends.
    """
    typed = select(literal(canonical.rpartition("@")[2]))
    others = select(Email.domain).where(Email.account_id == (account_id or ""))
    # One statement by the index, however many companies there are.
    companies = select(CompanyDomain.held).where(CompanyDomain.held.in_(typed.union(others)))
    passed = OwnDoor()
    for domain in sorted(filter(None, db.scalars(companies))):
        policy = policy_of_holder(db, domain, hold=hold)
        if policy is not None and (policy.sso == "required" or "password" not in policy.doors):
            if not is_break_glass(db, policy.company_id, account_id or ""):
                return OwnDoor(policy)
            passed = OwnDoor(policy, break_glass=True)
    return passed
