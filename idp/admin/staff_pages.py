"""``/operator/staff``: who has a role at the provider; given, changed and taken away."""

from __future__ import annotations

from flask import Blueprint, Response, request

from idp.accounts.identity import read_address
from idp.accounts.lifecycle import find_account
from idp.admin.access import actor, admin_page, needs
from idp.admin.staff import STAFF_ROLES, Right, set_staff, staff
from idp.companies import CompanyRefused
from idp.models import Account
from idp.parts import parts
from idp.redirects import go

bp = Blueprint("staff_pages", __name__)

PATH = "/operator/staff"
NONE = "none"  # what takes a role away


@bp.get(PATH)
@needs(Right.see_operations)
def show_staff() -> Response:
    """Everybody with a role."""
    return _page(saved=request.args.get("notice") == "saved")


@bp.post(f"{PATH}/new")
@needs(Right.change_operations, fresh=True)
def give_role() -> Response:
    """A role for somebody who has an account here."""
    here = parts()
    typed, role = request.form.get("email", ""), request.form.get("role", "")
    try:
        with here.database.transaction() as db:
            account = find_account(db, _canonical(typed))
            if account is None or account.state != "active":
                raise CompanyRefused("staff_person_unknown")
            set_staff(db, account.id, role, actor=actor().who, now=here.clock(), keep_one=True)
    except CompanyRefused as refused:
        return _page(typed=typed, chosen=role, problem=refused.reason, status=409)
    return go(PATH, notice="saved")


@bp.post(f"{PATH}/change")
@needs(Right.change_operations, fresh=True)
def change_role() -> Response:
    """Another role for somebody who has one, or none any more."""
    here = parts()
    account_id, role = request.form.get("account", ""), request.form.get("role", "")
    try:
        with here.database.transaction() as db:
            account = db.get(Account, account_id)
            if account is None or account_id not in {one.account_id for one in staff(db)}:
                raise CompanyRefused("staff_person_unknown")
            wanted = None if role == NONE else role
            set_staff(db, account_id, wanted, actor=actor().who, now=here.clock(), keep_one=True)
    except CompanyRefused as refused:
        return _page(problem=refused.reason, status=409)
    return go(PATH, notice="saved") if account_id != actor().account_id else go("/")


def _canonical(typed: str) -> str:
    try:
        return read_address(typed.strip()).canonical
    except ValueError:
        raise CompanyRefused("staff_person_unknown") from None


def _page(
    *, typed: str = "", chosen: str = "support", problem: str = "", saved: bool = False, status: int = 200
) -> Response:
    with parts().database.reading() as db:
        found = staff(db)
    return admin_page(
        "admin/operator_staff.html",
        status,
        place="operator",
        here="staff",
        found=found,
        roles=STAFF_ROLES,
        typed=typed,
        chosen=chosen,
        problem=problem,
        saved=saved,
    )
