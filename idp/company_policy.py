"""What a company decides about signing its people in: asked on the road, changed by its administrators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from idp import audit
from idp.companies import BINDING, CompanyRefused, end_sessions_of, hold_company
from idp.config import Config
from idp.mail import check_recipient
from idp.masking import mask_email
from idp.members import break_glass_people
from idp.models import (
    Company,
    CompanyDomain,
    Connection,
    Email,
    Member,
)

Door = Literal["password", "social"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a company decides about its people's sign-ins, as plain values.

    :ivar sso: ``optional`` or ``required``.
    :ivar jit: whether the first company sign-in of somebody unknown makes an account.
    :ivar doors: allowed beside the company's own while SSO is optional: ``password``, ``social``.
    :ivar session_idle: seconds, or None for the provider's own; likewise ``session_lifetime``. They only shorten.
    :ivar shortest_password: characters that a password of its people has at least, or None for the provider's own.
    :ivar second_factor_from: seconds since 1970 from when on its people need a second factor at every door but the company's own;
        None: never.
    :ivar live: (id, name) of the connections that people are sent to.
    """

    company_id: str
    name: str
    sso: str
    jit: bool
    doors: tuple[str, ...]
    session_idle: int | None
    session_lifetime: int | None
    shortest_password: int | None
    second_factor_from: int | None
    live: tuple[tuple[str, str], ...]


def policy_of_domain(db: Session, domain: str) -> Policy | None:
    """The policy of the company that has proved ``domain`` (canonical ASCII form); None when nobody has.

    Only this very domain counts, never one above it.
    """
    query = _policies().join(CompanyDomain, CompanyDomain.company_id == Company.id)
    return _policy(db, query.where(CompanyDomain.held == domain, CompanyDomain.status == "verified"))


def policy_of_company(db: Session, company_id: str) -> Policy:
    """The policy of a company.

    :raises CompanyRefused: ``company_unknown``.
    """
    policy = _policy(db, _policies().where(Company.id == company_id))
    if policy is None:
        raise CompanyRefused("company_unknown")
    return policy


def set_policy(
    db: Session, company_id: str, changes: Mapping[str, Any], *, config: Config, actor: str, now: float
) -> None:
    """Change what a company decides by itself: ``jit``, ``doors``, ``session_idle``, ``session_lifetime``, ``shortest_password``,
    ``second_factor_from``, ``contacts``.

    Nothing else can be set here, whatever a form sends (AD-02); requiring SSO is ``require_sso``.

    :raises CompanyRefused: ``company_unknown``, ``company_field_wrong``, ``company_session_too_long``; without passwords
        among the doors also what ``require_sso`` raises. Nothing is changed then.
    """
    try:
        wanted = _PolicyChange.model_validate(dict(changes), strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part)[:40] for part in first["loc"])
        raise CompanyRefused("company_field_wrong", detail=f"{where}: {first['msg']}") from None
    for name, longest in (("session_idle", config.session_idle), ("session_lifetime", config.session_lifetime)):
        seconds = getattr(wanted, name)
        if seconds is not None and seconds > longest:
            raise CompanyRefused("company_session_too_long", detail=f"{name}: at most {longest} seconds")
    company = hold_company(db, company_id)
    if "doors" in wanted.model_fields_set and "password" not in wanted.doors and "password" in company.doors:
        _check_can_close(db, company_id)
    facts = audit.changed(
        {name: getattr(company, name) for name in wanted.model_fields_set},
        {name: getattr(wanted, name) for name in wanted.model_fields_set},
    )
    if not facts:
        return
    for name in ("contacts", "was_contacts"):  # addresses of people, who may be gone long before the audit is
        if facts.get(name):
            facts[name] = " ".join(map(mask_email, str(facts[name]).split()))
    for name in wanted.model_fields_set:
        setattr(company, name, getattr(wanted, name))
    company.updated_at = int(now)
    audit.record(
        db,
        audit.Event.company_policy_changed,
        now=now,
        actor=actor,
        account_id=None,
        **{"company": company_id} | facts,
    )


def require_sso(db: Session, company_id: str, *, end_sessions: bool, actor: str, now: float) -> None:
    """Close every other door for the addresses in the company's domains, except for break-glass people.

    ``end_sessions``: also end what those people have open now, so that each comes back through the company.

    :raises CompanyRefused: ``company_unknown``; ``company_sso_untried``: no administrator has signed in through a live
        connection; ``company_no_break_glass``: nobody could sign in if the connection failed.
    """
    company = hold_company(db, company_id)
    _check_can_close(db, company_id)
    was, company.sso, company.updated_at = company.sso, "required", int(now)
    ended = 0
    if end_sessions:
        reached = (
            select(Email.account_id)
            .join(CompanyDomain, CompanyDomain.held == Email.domain)
            .outerjoin(Member, (Member.account_id == Email.account_id) & Member.break_glass)
            .where(
                CompanyDomain.company_id == company_id,
                CompanyDomain.status.in_(BINDING),
                Member.account_id.is_(None),
            )
        )
        ended = end_sessions_of(db, reached, now)
    event = audit.Event.company_sso_required
    audit.record(db, event, now=now, actor=actor, company=company_id, was=was, sessions_ended_of=ended)


def relax_sso(db: Session, company_id: str, *, actor: str, now: float) -> None:
    """Open the other doors again, as far as the policy allows them.

    :raises CompanyRefused: ``company_unknown``.
    """
    company = hold_company(db, company_id)
    was, company.sso, company.updated_at = company.sso, "optional", int(now)
    audit.record(db, audit.Event.company_sso_relaxed, now=now, actor=actor, company=company_id, was=was)


def _unique(values: list[Any]) -> list[Any]:
    if len(set(values)) != len(values):
        raise ValueError("lists something twice")
    return values


class _PolicyChange(BaseModel):
    """What of a company's record its own people may write. Absent: stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    jit: bool = False
    doors: Annotated[list[Door], AfterValidator(_unique)] = []
    session_idle: Annotated[int, Field(ge=60)] | None = None
    session_lifetime: Annotated[int, Field(ge=60)] | None = None
    shortest_password: Annotated[int, Field(ge=8, le=64)] | None = None
    second_factor_from: Annotated[int, Field(ge=0)] | None = None
    contacts: Annotated[
        list[Annotated[str, Field(max_length=320), AfterValidator(check_recipient)]],
        Field(max_length=10),
        AfterValidator(_unique),
    ] = []


def _policies() -> Any:
    live = (Connection.company_id == Company.id) & (Connection.state == "live")
    return select(Company, Connection.id, Connection.name).outerjoin(Connection, live).order_by(Connection.name)


def _policy(db: Session, query: Any) -> Policy | None:
    rows = db.execute(query).all()
    if not rows:
        return None
    company: Company = rows[0][0]
    return Policy(
        company_id=company.id,
        name=company.name,
        sso=company.sso,
        jit=company.jit,
        doors=tuple(company.doors),
        session_idle=company.session_idle,
        session_lifetime=company.session_lifetime,
        shortest_password=company.shortest_password,
        second_factor_from=company.second_factor_from,
        live=tuple((row[1], row[2]) for row in rows if row[1] is not None),
    )


def _check_can_close(db: Session, company_id: str) -> None:
    """Refuse to close the door of passwords before it is known that people can come in without one."""
    tried = exists().where(
        Connection.company_id == company_id,
        Connection.state == "live",
        Connection.administrator_signed_in_at.is_not(None),
    )
    if not db.scalar(select(tried)):
        raise CompanyRefused("company_sso_untried")
    if not break_glass_people(db, company_id):
        raise CompanyRefused("company_no_break_glass")
