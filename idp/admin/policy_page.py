"""``/companies/<company_id>/policies``: what a company decides about its people's sign-ins, with a preview of whom it concerns."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request

from idp.accounts.lifecycle import apply_revocations
from idp.admin import policy_notices
from idp.admin.access import actor, admin_page, needs
from idp.admin.policy_preview import Effect, concerned_kinds, effects_of
from idp.admin.staff import Right
from idp.companies import CompanyRefused
from idp.company_policy import Policy, policy_of_company, set_policy
from idp.errors import Unavailable
from idp.parts import parts
from idp.redirects import go

bp = Blueprint("policy_page", __name__)

DOORS = ("password", "social")
SESSIONS = ("session_idle", "session_lifetime")


@dataclass(frozen=True, slots=True)
class Wish:
    """What was filled in, as the form shows it again, and what it means for ``set_policy``. ``wrong``: fields that mean nothing."""

    typed: dict[str, Any]
    changes: dict[str, Any]
    wrong: tuple[str, ...] = ()


@bp.get("/companies/<company_id>/policies")
@needs(Right.see_company)
def show_policies(company_id: str) -> Response:
    """The policies, in a form for whoever may change them."""
    with parts().database.reading() as db:
        policy = policy_of_company(db, company_id)
    return _form(policy, _written(policy), saved=request.args.get("notice") == "saved")


@bp.post("/companies/<company_id>/policies")
@needs(Right.change_policy, fresh=True)
def take_policies(company_id: str) -> Response:
    """Show whom it concerns; save it when that has been seen."""
    here, now = parts(), parts().clock()
    wish = _read()
    with here.database.reading() as db:
        before = policy_of_company(db, company_id)
        effects = [] if wish.wrong else effects_of(db, before, wish.changes)
    if wish.wrong:
        return _form(before, wish.typed, problem="company_field_wrong", wrong=wish.wrong, status=400)
    if request.form.get("confirm") != "yes":
        return _preview(before, wish, effects)
    try:
        with here.database.transaction() as db:
            set_policy(db, company_id, wish.changes, config=here.config, actor=actor().who, now=now)
            policy_notices.note(db, company_id, concerned_kinds(before, wish.changes), now=now)
    except CompanyRefused as refused:
        return _form(before, wish.typed, problem=refused.reason, status=409)
    with suppress(Unavailable):  # the worker brings it to Redis when that is back
        apply_revocations(here.database, here.store, here.clients, here.clock())
    return go(f"/companies/{company_id}/policies", notice="saved")


def _read() -> Wish:
    form, wrong = request.form, []
    typed: dict[str, Any] = {
        "doors": [door for door in DOORS if door in form.getlist("doors")],
        "jit": form.get("jit") == "yes",
        **{name: form.get(name, "") for name in (*SESSIONS, "shortest_password", "second_factor_from")},
    }
    changes: dict[str, Any] = {"doors": typed["doors"], "jit": typed["jit"]}
    for name, scale in (*((one, 60) for one in SESSIONS), ("shortest_password", 1)):
        text = typed[name]
        if not text:
            changes[name] = None
        elif text.isascii() and text.isdecimal() and len(text) < 7:
            changes[name] = int(text) * scale
        else:
            wrong.append(name)
    try:
        day = typed["second_factor_from"]
        changes["second_factor_from"] = (
            int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()) if day else None
        )
    except ValueError:
        wrong.append("second_factor_from")
    return Wish(typed, changes, tuple(wrong))


def _written(policy: Policy) -> dict[str, Any]:
    starts = policy.second_factor_from
    return {
        "doors": list(policy.doors),
        "jit": policy.jit,
        "session_idle": _minutes(policy.session_idle),
        "session_lifetime": _minutes(policy.session_lifetime),
        "shortest_password": str(policy.shortest_password or ""),
        "second_factor_from": datetime.fromtimestamp(starts, UTC).strftime("%Y-%m-%d") if starts is not None else "",
    }


def _minutes(seconds: int | None) -> str:
    return "" if seconds is None else str(seconds // 60)


def _form(
    policy: Policy,
    typed: dict[str, Any],
    *,
    saved: bool = False,
    problem: str | None = None,
    wrong: tuple[str, ...] = (),
    status: int = 200,
) -> Response:
    config = parts().config
    return admin_page(
        "admin/policies.html",
        status,
        place="policies",
        company=(policy.company_id, policy.name),
        typed=typed,
        sso=policy.sso,
        saved=saved,
        problem=problem,
        wrong=wrong,
        longest={"session_idle": config.session_idle // 60, "session_lifetime": config.session_lifetime // 60},
    )


def _preview(policy: Policy, wish: Wish, effects: list[Effect]) -> Response:
    fields = [("doors", door) for door in wish.typed["doors"]]
    fields += [("jit", "yes")] if wish.typed["jit"] else []
    fields += [(name, wish.typed[name]) for name in (*SESSIONS, "shortest_password", "second_factor_from")]
    return admin_page(
        "admin/policies_preview.html",
        place="policies",
        company=(policy.company_id, policy.name),
        fields=fields,
        effects=effects,
    )
