"""``/companies/<company_id>``: one company at a glance, and what its administrator does next."""

from __future__ import annotations

from flask import Blueprint, Response
from sqlalchemy import func, select

from idp.admin.access import admin_page, needs
from idp.admin.staff import Right
from idp.companies import find_company
from idp.models import Company, CompanyDomain, Connection, Member
from idp.parts import parts

bp = Blueprint("company_page", __name__)


@bp.get("/companies/<company_id>")
@needs(Right.see_company)
def show_company(company_id: str) -> Response:
    """How many people, how they sign in, and the next step of the company's own sign-in."""
    with parts().database.reading() as db:
        company = find_company(db, company_id)
        assert company is not None  # the guard has found it
        people = db.scalar(select(func.count()).select_from(Member).where(Member.company_id == company_id)) or 0
        domains = db.scalars(
            select(CompanyDomain.domain)
            .where(CompanyDomain.company_id == company_id, CompanyDomain.status == "verified")
            .order_by(CompanyDomain.domain)
        ).all()
        states = set(db.scalars(select(Connection.state).where(Connection.company_id == company_id)))
    return admin_page(
        "admin/company.html",
        place="company",
        company=(company.id, company.name),
        people=people,
        domains=list(domains),
        sso=company.sso,
        step=_next_step(company, bool(domains), states),
    )


def _next_step(company: Company, has_domain: bool, states: set[str]) -> str:
    """What comes next on the way to the company's own sign-in: domain, connect, try, live, require, done."""
    if not has_domain:
        return "domain"
    if not states:
        return "connect"
    if "live" not in states:
        return "live" if "tested" in states else "try"
    return "done" if company.sso == "required" else "require"
