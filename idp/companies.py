"""Companies: made, named, taken away, and which domains are theirs.

A company reaches an address only by a domain that it has proved (``domain_proof.py``). Who belongs to it stands in
``members.py``, what it decides about their sign-ins in ``company_policy.py``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

from sqlalchemy import Select, delete, insert, literal, select, update
from sqlalchemy.orm import Session

from idp import audit
from idp.company_search import write_company_terms
from idp.errors import IdpError
from idp.models import (
    Company,
    CompanyDomain,
    Member,
    Revocation,
)

# Characters that change how the text around them is read.
_DIRECTION = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
LONGEST_NAME = 120
BINDING = ("verified", "lost")  # a domain in these states binds its people to what the company has decided
COOLING_OFF = 30 * 86400  # seconds for which a domain that was given back stays closed to everybody else
AT_ONCE = 5000  # accounts whose sessions are ended by one statement


class CompanyRefused(IdpError):
    """What somebody wanted for a company cannot be. Nothing was changed.

    ``reason`` is a code of the reasons table (``company_…``, ``domain_…``), which has its sentences; ``detail`` says in
    English what exactly, for operators.
    """

    status = 409


def create_company(db: Session, name: str, *, actor: str, now: float, random: Callable[[int], bytes]) -> Company:
    """Make a company without members, domains or connections. ``actor`` as in the audit.

    :raises CompanyRefused: ``company_field_wrong``: the name.
    """
    company = Company(
        id=random(16).hex(), name=_name(name), sso="optional", jit=False, doors=["password", "social"], contacts=[],
        created_at=int(now), updated_at=int(now),
    )  # fmt: skip
    db.add(company)
    db.flush()
    write_company_terms(db, company.id, company.name)
    audit.record(db, audit.Event.company_created, now=now, actor=actor, company=company.id, name=company.name)
    return company


def find_company(db: Session, company_id: str) -> Company | None:
    """Find a company by its id."""
    return db.get(Company, company_id)


def hold_company(db: Session, company_id: str) -> Company:
    company = db.get(Company, company_id, with_for_update=True, populate_existing=True)
    if company is None:
        raise CompanyRefused("company_unknown")
    return company


def rename(db: Session, company_id: str, name: str, *, actor: str, now: float) -> None:
    """Give a company another name; products hear of it.

    :raises CompanyRefused: ``company_unknown``, ``company_field_wrong``.
    """
    company = hold_company(db, company_id)
    was, company.name, company.updated_at = company.name, _name(name), int(now)
    write_company_terms(db, company_id, company.name)
    members_of = select(literal("person"), Member.account_id, literal(int(now))).where(Member.company_id == company_id)
    db.execute(insert(Revocation).from_select(["kind", "account_id", "created_at"], members_of))
    audit.record(db, audit.Event.company_renamed, now=now, actor=actor, company=company_id, name=company.name, was=was)


def remove_company(db: Session, company_id: str, *, actor: str, now: float, why: str = "") -> None:
    """Take a company away with its members' roles and its connections. The accounts of its people stay, signed out.

    A domain that it held stays closed to everybody for the cooling-off time.

    :param why: what the audit keeps as the reason.
    :raises CompanyRefused: ``company_unknown``.
    """
    company = hold_company(db, company_id)
    end_sessions_of(db, select(Member.account_id).where(Member.company_id == company_id), now)
    free_at = int(now) + COOLING_OFF
    held = update(CompanyDomain).where(CompanyDomain.company_id == company_id, CompanyDomain.held.is_not(None))
    db.execute(held.values(company_id=None, status="released", free_at=free_at, next_check_at=free_at))
    told: dict[str, str] = {"why": why} if why else {}
    audit.record(db, audit.Event.company_removed, now=now, actor=actor, company=company_id, name=company.name, **told)
    db.execute(delete(Company).where(Company.id == company_id))


def owns_domain(db: Session, company_id: str, domain: str) -> bool:
    """Whether the company has proved ``domain`` (canonical ASCII form), and still has."""
    query = select(CompanyDomain.id).where(
        CompanyDomain.held == domain, CompanyDomain.company_id == company_id, CompanyDomain.status == "verified"
    )
    return db.scalar(query) is not None


def company_claim(db: Session, account_id: str) -> dict[str, Any] | None:
    """The claim ``company`` of a person: ``{"id", "name", "roles"}``; None when they belong to none."""
    row = db.execute(
        select(Company.id, Company.name, Member.role).join_from(Member, Company).where(Member.account_id == account_id)
    ).first()
    return {"id": row.id, "name": row.name, "roles": [row.role]} if row else None


def end_sessions_of(db: Session, reached: Select[Any], now: float) -> int:
    """End what the accounts of a query (of one column, their id) have open. Returns how many they are."""
    account_id = reached.selected_columns[0]
    last, whole = "", 0
    while True:
        page = reached.where(account_id > last).distinct().order_by(account_id).limit(AT_ONCE)
        found = db.scalars(page).all()
        if not found:
            return whole
        rows = [{"kind": "account", "account_id": one, "created_at": int(now)} for one in found]
        db.execute(insert(Revocation), rows)
        last, whole = found[-1], whole + len(found)


def _name(text: str) -> str:
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not 0 < len(name) <= LONGEST_NAME:
        raise CompanyRefused("company_field_wrong", detail=f"name: 1 to {LONGEST_NAME} characters")
    for letter in name:
        # Cc control, Cs half a character, Cn no character, Co private, Zl and Zp ends of lines of their own
        if unicodedata.category(letter) in ("Cc", "Cs", "Cn", "Co", "Zl", "Zp") or letter in _DIRECTION:
            raise CompanyRefused("company_field_wrong", detail=f"name: holds the character U+{ord(letter):04X}")
    return name
