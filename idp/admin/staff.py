"""Who may do what in the admin center: roles, their rights, and the person who acts. A working.

A role in a company counts in that company alone; a role of ours (staff) counts in all of them. Both are read from SQL for every
request, so whoever loses one loses it at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, get_args

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.companies import CompanyRefused
from idp.models import Account, AuditEvent, Company, Email, Member, Staff
from idp.operators import is_only_operator
from idp.search_terms import full_name

StaffRole = Literal["support", "operator", "operator_read_only"]
STAFF_ROLES: tuple[StaffRole, ...] = get_args(StaffRole)


class Right(StrEnum):
    """What a page or an act asks for. Those of the first group are about one company, those of the second about the provider."""

    see_company = "see_company"  # its people, sign-in, policies, settings
    change_people = "change_people"
    change_sign_in = "change_sign_in"  # domains, connections, whether SSO is required
    change_policy = "change_policy"
    change_settings = "change_settings"
    see_audit = "see_audit"

    support = "support"  # open an attempt by its receipt, and the safe acts there
    see_operations = "see_operations"  # companies, clients, keys, mail, numbers
    change_operations = "change_operations"


_COMPANY = frozenset(
    {
        Right.see_company,
        Right.change_people,
        Right.change_sign_in,
        Right.change_policy,
        Right.change_settings,
        Right.see_audit,
    }
)
_SEEN = frozenset({Right.see_company, Right.see_audit})

COMPANY_RIGHTS: Mapping[str, frozenset[Right]] = {
    "administrator": _COMPANY,
    "read_only": _SEEN,
    "member": frozenset(),
    "set_up": frozenset(
        {Right.change_sign_in}
    ),  # of whoever works with a set-up link: only the guide's pages let them in
}
STAFF_RIGHTS: Mapping[str, frozenset[Right]] = {
    "support": frozenset({Right.support}),
    "operator": _COMPANY | {Right.support, Right.see_operations, Right.change_operations},
    "operator_read_only": _SEEN | {Right.see_operations},
}


# What ends sessions in an account: the admin center does not wait until it is told (back-channel logout).
_ENDING = [
    event.value
    for event in (
        audit.Event.person_password_set,
        audit.Event.person_suspended,
        audit.Event.person_closed,
        audit.Event.person_reclaimed,
        audit.Event.person_signed_out_everywhere,
        audit.Event.person_disowned_sign_in,
        audit.Event.person_disowned_factor,
        audit.Event.person_factors_removed,
        audit.Event.company_member_removed,
    )
]


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who is signed in here.

    :ivar company_id: the company that they belong to, ``company`` its name, ``role`` theirs in it; None, "" and "": to none.
    :ivar staff: their role at the provider; "": none.
    :ivar link: the set-up link with which they work, without an account; "": they have one.
    """

    account_id: str
    address: str
    name: str
    locale: str | None
    company_id: str | None
    company: str
    role: str
    staff: str
    link: str = ""

    @property
    def who(self) -> str:
        """How the audit names them."""
        return f"link:{self.link}" if self.link else f"person:{self.account_id}"

    def may(self, right: str, company_id: str | None = None) -> bool:
        """Whether they may do this, in ``company_id`` where it is about a company."""
        if right in STAFF_RIGHTS.get(self.staff, frozenset()):
            return True
        own = company_id is not None and company_id == self.company_id
        return own and right in COMPANY_RIGHTS.get(self.role, frozenset())

    def administers(self, company_id: str) -> bool:
        """Whether they are an administrator of this very company; what they may do there by a role at the provider is another thing."""
        return company_id == self.company_id and self.role == "administrator"

    @property
    def has_role(self) -> bool:
        """Whether there is anything here for them."""
        return bool(self.staff) or bool(COMPANY_RIGHTS.get(self.role))


def set_up_actor(link: str, company_id: str, company: str) -> Actor:
    """Somebody of a company's IT with a set-up link, who has no account here."""
    return Actor("", "", "", None, company_id, company, role="set_up", staff="", link=link)


def find_actor(db: Transaction, sub: str) -> Actor | None:
    """The person whom our own ID token names, as they are now; None when the account is gone or may not be used."""
    return _find_actor(db, Account.sub == sub)


def find_actor_of(db: Transaction, account_id: str) -> Actor | None:
    """The same, for whoever has asked for something that is done later."""
    return _find_actor(db, Account.id == account_id)


def _find_actor(db: Transaction, which: ColumnElement[bool]) -> Actor | None:
    row = db.execute(
        select(
            Account.id,
            Account.profile,
            Account.locale,
            Email.address,
            Company.id.label("company_id"),
            Company.name.label("company"),
            Member.role,
            Staff.role.label("staff"),
        )
        .join(Email, (Email.account_id == Account.id) & Email.primary)
        .outerjoin(Member, Member.account_id == Account.id)
        .outerjoin(Company, Company.id == Member.company_id)
        .outerjoin(Staff, Staff.account_id == Account.id)
        .where(which, Account.state == "active")
    ).first()
    if row is None:
        return None
    return Actor(
        account_id=row.id,
        address=row.address,
        name=full_name(row.profile),
        locale=row.locale,
        company_id=row.company_id,
        company=row.company or "",
        role=row.role or "",
        staff=row.staff or "",
    )


def thrown_out(db: Transaction, account_id: str, since: int) -> bool:
    """Whether all that was open in an account, or all but the session of who did it, was ended after a moment (seconds since 1970). Whoever
    was not meant is signed in again without being asked."""
    ended = AuditEvent.account_id == account_id, AuditEvent.at > since, AuditEvent.event.in_(_ENDING)
    return bool(db.scalar(select(exists().where(*ended))))


def set_staff(
    db: Transaction, account_id: str, role: str | None, *, actor: str, now: float, keep_one: bool = False
) -> None:
    """Give somebody a role at the provider, or (None) take it away.

    :param keep_one: refuse what would leave nobody who can sign in as an operator. At the server there is always somebody who can.
    :raises CompanyRefused: ``staff_role_unknown``, ``company_member_unknown`` (no such account), ``staff_last_operator``.
    """
    if role is not None and role not in STAFF_ROLES:
        raise CompanyRefused("staff_role_unknown", detail=f"there are: {' '.join(STAFF_ROLES)}")
    if db.get(Account, account_id, with_for_update=True) is None:
        raise CompanyRefused("company_member_unknown")
    held = db.get(Staff, account_id)
    was = held.role if held is not None else ""
    if keep_one and role != "operator" and is_only_operator(db, account_id, hold=True):
        raise CompanyRefused("staff_last_operator")
    if role is None and held is not None:
        db.delete(held)
    elif role is not None and held is None:
        db.add(Staff(account_id=account_id, role=role, created_at=int(now)))
    elif role is not None and held is not None:
        held.role = role
    audit.record(
        db, audit.Event.staff_role_changed, now=now, actor=actor, account_id=account_id, was=was, role=role or ""
    )


@dataclass(frozen=True, slots=True)
class Colleague:
    """Somebody with a role at the provider: their account, its primary address and its state."""

    account_id: str
    address: str
    role: str
    state: str


def staff(db: Transaction) -> list[Colleague]:
    """Everybody with a role at the provider, by address."""
    # Who they are first: a database that were asked for all of it at once might read every address that there is.
    roles = {row.account_id: row.role for row in db.execute(select(Staff.account_id, Staff.role))}
    rows = db.execute(
        select(Account.id, Email.address, Account.state)
        .join(Email, (Email.account_id == Account.id) & Email.primary)
        .where(Account.id.in_(roles))
    )
    found = [Colleague(account_id, address, roles[account_id], state) for account_id, address, state in rows]
    return sorted(found, key=lambda one: one.address)


def is_staff(db: Transaction, account_id: str) -> bool:
    """Whether somebody has a role at the provider."""
    return db.get(Staff, account_id) is not None


def suspended_by_provider(db: Transaction, account_id: str) -> bool:
    """Whether it was the provider that suspended an account: a command, or somebody with a role there. Its company does not undo that."""
    latest = select(AuditEvent.actor).where(
        AuditEvent.account_id == account_id, AuditEvent.event == audit.Event.person_suspended.value
    )
    by = db.scalar(latest.order_by(AuditEvent.id.desc()).limit(1)) or ""
    return not by.startswith("person:") or is_staff(db, by.removeprefix("person:"))
