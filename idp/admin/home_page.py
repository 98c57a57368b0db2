"""``/`` of the admin center: leads everybody to where their work is."""

from __future__ import annotations

from flask import Blueprint, Response

from idp.admin.access import actor, admin_page, signed_in
from idp.admin.staff import Right
from idp.redirects import go

bp = Blueprint("home_page", __name__)


@bp.get("/")
@signed_in
def home() -> Response:
    """Administrators: their company; operators: all of them; support: the receipt. Others read why there is nothing for them."""
    one = actor()
    if one.may(Right.see_operations):
        return go("/operator")
    if one.may(Right.support):
        return go("/support")
    if one.company_id is not None and one.may(Right.see_company, one.company_id):
        return go(f"/companies/{one.company_id}")
    return admin_page("admin/no_role.html")
