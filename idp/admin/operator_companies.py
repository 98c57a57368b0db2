"""``/operator/companies``: all companies, looked for by name or domain, added and taken away."""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, Response, request

from idp.accounts.lifecycle import apply_revocations
from idp.admin.access import actor, admin_page, needs
from idp.admin.staff import Right
from idp.companies import LONGEST_NAME, CompanyRefused, create_company, find_company, remove_company
from idp.company_search import WrongPlace, search_companies
from idp.errors import PageError, Unavailable
from idp.parts import parts
from idp.redirects import go

bp = Blueprint("operator_companies", __name__)

PATH = "/operator/companies"
AT_ONCE = 50
LONGEST_REASON = 200


@bp.get(PATH)
@needs(Right.see_operations)
def list_companies() -> Response:
    """The first of all."""
    return _page(gone=request.args.get("notice") == "removed")


@bp.post(PATH)
@needs(Right.see_operations)
def look_for_companies() -> Response:
    """Those that are looked for, or the next page of them. What is looked for stands in no address."""
    try:
        return _page(" ".join(request.form.get("wanted", "").split()), request.form.get("after") or None)
    except WrongPlace:
        raise PageError("request_unreadable", parameter="after") from None


@bp.post(f"{PATH}/new")
@needs(Right.change_operations)
def add_company() -> Response:
    """A company without anybody, and on to its page."""
    here = parts()
    name = request.form.get("name", "")
    try:
        with here.database.transaction() as db:
            company = create_company(db, name, actor=actor().who, now=here.clock(), random=here.random)
            company_id = company.id
    except CompanyRefused as refused:
        return _page(name=name, problem=refused.reason, status=400)
    return go(f"/companies/{company_id}")


@bp.get(f"{PATH}/<company_id>/remove")
@needs(Right.change_operations, fresh=True)
def ask_about_removing(company_id: str) -> Response:
    """What it means, and two questions."""
    return _removal(company_id)


@bp.post(f"{PATH}/<company_id>/remove")
@needs(Right.change_operations, fresh=True)
def take_company_away(company_id: str) -> Response:
    """Only with its name, typed, and a reason."""
    here = parts()
    typed, why = (" ".join(request.form.get(field, "").split()) for field in ("name", "why"))
    with here.database.transaction() as db:
        company = find_company(db, company_id)
        right = company is not None and company.name == typed and bool(why)
        if right:
            remove_company(db, company_id, actor=actor().who, now=here.clock(), why=why[:LONGEST_REASON])
    if not right:
        return _removal(company_id, typed, why, wrong=True)
    with suppress(Unavailable):  # the worker brings it to Redis when that is back
        apply_revocations(here.database, here.store, here.clients, here.clock())
    return go(PATH, notice="removed")


def _page(
    wanted: str = "",
    after: str | None = None,
    *,
    name: str = "",
    problem: str = "",
    gone: bool = False,
    status: int = 200,
) -> Response:
    with parts().database.reading() as db:
        found = search_companies(db, wanted, limit=AT_ONCE, after=after)
    return admin_page(
        "admin/operator_companies.html",
        status,
        place="operator",
        here="companies",
        wanted=wanted,
        first=after is None,
        found=found.companies,
        after=found.after,
        name=name,
        problem=problem,
        gone=gone,
        longest=LONGEST_NAME,
    )


def _removal(company_id: str, typed: str = "", why: str = "", *, wrong: bool = False) -> Response:
    with parts().database.reading() as db:
        company = find_company(db, company_id)
        name = company.name if company is not None else ""
    return admin_page(
        "admin/operator_company_remove.html",
        400 if wrong else 200,
        place="operator",
        here="companies",
        about=(company_id, name),
        typed=typed,
        why=why,
        wrong=wrong,
        longest=LONGEST_REASON,
    )
