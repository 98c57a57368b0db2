"""``/companies/<company_id>/settings``: what a company is called, and who is written to about its sign-in."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Blueprint, Response, request

from idp.accounts.lifecycle import apply_revocations
from idp.admin.access import actor, admin_page, needs
from idp.admin.staff import Right
from idp.companies import CompanyRefused, find_company, rename
from idp.company_policy import set_policy
from idp.errors import Unavailable
from idp.parts import parts
from idp.redirects import go

bp = Blueprint("settings_page", __name__)

LONGEST = 4000  # characters of the contacts


@bp.get("/companies/<company_id>/settings")
@needs(Right.see_company)
def show_settings(company_id: str) -> Response:
    """The settings, in a form for whoever may change them."""
    return _page(company_id, saved=request.args.get("notice") == "saved")


@bp.post("/companies/<company_id>/settings")
@needs(Right.change_settings)
def take_settings(company_id: str) -> Response:
    """Write what was filled in, whole or not at all."""
    here, now, who = parts(), parts().clock(), actor().who
    name, contacts = request.form.get("name", ""), request.form.get("contacts", "")[:LONGEST]
    try:
        with here.database.transaction() as db:
            company = find_company(db, company_id)
            if company is not None and name != company.name:
                rename(db, company_id, name, actor=who, now=now)
            set_policy(db, company_id, {"contacts": contacts.split()}, config=here.config, actor=who, now=now)
    except CompanyRefused as refused:
        return _page(company_id, refused=refused, typed={"name": name[:200], "contacts": contacts})
    with suppress(Unavailable):  # the worker brings it to Redis when that is back
        apply_revocations(here.database, here.store, here.clients, here.clock())
    return go(f"/companies/{company_id}/settings", notice="saved")


def _page(
    company_id: str, *, saved: bool = False, refused: CompanyRefused | None = None, typed: dict[str, Any] | None = None
) -> Response:
    with parts().database.reading() as db:
        company = find_company(db, company_id)
        assert company is not None  # the guard has found it
        return admin_page(
            "admin/settings.html",
            refused.status if refused is not None else 200,
            place="settings",
            company=(company.id, company.name),
            typed=typed or {"name": company.name, "contacts": "\n".join(company.contacts)},
            saved=saved,
            problem=refused.reason if refused is not None else None,
        )
