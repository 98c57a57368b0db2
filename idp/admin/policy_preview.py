"""Whom another policy of a company would concern, before it is saved. A working."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, CompoundSelect, Select, exists, or_, select
from sqlalchemy.orm import Session as Transaction
from sqlalchemy.orm import aliased

from idp.companies import BINDING
from idp.company_policy import Policy
from idp.models import Account, CompanyDomain, Email, Link, Member, Passkey, Password, Totp

MOST_COUNTED = 10_000  # people: beyond that the number is not worth its time
NAMED = 20  # people

# What may concern somebody: they need a second factor and have none; they use a password, or a social account, that closes; they have a
# password that may be too short when they change it.
Kind = Literal["second_factor", "password", "social", "shortest_password"]
TOLD: tuple[Kind, ...] = ("second_factor", "password", "social")  # of these people hear by mail


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that a change does to people.

    :ivar count: how many it concerns; one more than MOST_COUNTED: more than that.
    :ivar names: the addresses of the first of them.
    """

    kind: Kind
    count: int
    names: tuple[str, ...]

    @property
    def uncounted(self) -> bool:
        """Whether there are more than were counted."""
        return self.count > MOST_COUNTED


def effects_of(db: Transaction, before: Policy, wanted: Mapping[str, Any]) -> list[Effect]:
    """What changes for people when ``wanted`` (as ``company_policy.set_policy`` takes it) replaces what holds now."""
    found = [effect(db, before.company_id, kind) for kind in concerned_kinds(before, wanted)]
    return [effect for effect in found if effect.count]


def concerned_kinds(before: Policy, wanted: Mapping[str, Any]) -> list[Kind]:
    """Which of its changes may concern people; only what becomes stricter does."""
    kinds: list[Kind] = []
    starts = wanted.get("second_factor_from", before.second_factor_from)
    if starts is not None and (before.second_factor_from is None or starts < before.second_factor_from):
        kinds.append("second_factor")
    doors = wanted.get("doors", before.doors)
    closing: tuple[Kind, ...] = ("password", "social")
    kinds += [door for door in closing if door in before.doors and door not in doors]
    shortest = wanted.get("shortest_password", before.shortest_password)
    if shortest is not None and shortest > (before.shortest_password or 0):
        kinds.append("shortest_password")
    return kinds


def concerned(company_id: str, kind: Kind) -> list[ColumnElement[bool]]:
    """The conditions under which an account is one of those that ``kind`` concerns."""
    return [Account.id.in_(people_of(company_id)), *_conditions(company_id, kind)]


def _conditions(company_id: str, kind: Kind) -> list[ColumnElement[bool]]:
    """The same, of an account that the company's policy binds."""
    has_password = exists().where(Password.account_id == Account.id)
    breaks_glass = exists().where(Member.account_id == Account.id, Member.company_id == company_id, Member.break_glass)
    which: dict[Kind, ColumnElement[bool]] = {
        "second_factor": ~or_(
            exists().where(Totp.account_id == Account.id), exists().where(Passkey.account_id == Account.id)
        ),
        "password": has_password & ~breaks_glass,
        "social": exists().where(Link.account_id == Account.id, Link.door != "company"),
        "shortest_password": has_password,
    }
    return [Account.state == "active", which[kind]]


def people_of(company_id: str) -> CompoundSelect[str]:
    """The accounts that a company's policy binds: its members, and whoever has an address of its domains."""
    return select(Member.account_id).where(Member.company_id == company_id).union(_by_domain(company_id))


def _by_domain(company_id: str) -> Select[str]:
    return (
        select(Email.account_id)
        .join(CompanyDomain, CompanyDomain.held == Email.domain)
        .where(CompanyDomain.company_id == company_id, CompanyDomain.status.in_(BINDING))
    )


def effect(db: Transaction, company_id: str, kind: Kind) -> Effect:
    """Whom something of one kind concerns."""
    found = _first(db, company_id, kind, MOST_COUNTED + 1)
    named = select(Email.canonical, Email.address).where(Email.account_id.in_(found[:NAMED]), Email.primary)
    return Effect(kind, len(found), tuple(address for _, address in sorted(db.execute(named).all())))


def _first(db: Transaction, company_id: str, kind: Kind, most: int) -> list[str]:
    """Some of the accounts that ``kind`` concerns, at most so many: members first, then who has an address of the company's domains.

    Read along the one and then the other, so that nobody waits until all people of a large company are known.
    """
    which = _conditions(company_id, kind)
    mine = aliased(Member)  # by another name than in the conditions, which ask for members too
    members = select(Account.id).join(mine, mine.account_id == Account.id).where(mine.company_id == company_id)
    found = list(db.scalars(members.where(*which).limit(most)))
    if len(found) < most:
        belongs = exists().where(Member.account_id == Account.id, Member.company_id == company_id)
        others = select(Account.id).where(Account.id.in_(_by_domain(company_id)), ~belongs, *which)
        found += db.scalars(others.limit(most - len(found)))
    return found
