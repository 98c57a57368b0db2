"""``/companies/<company_id>/people/invite``: one person or a list of them is invited; each line says what became of it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Blueprint, Response, request

from idp.accounts.invitations import Guest, InvitationRefused, invite
from idp.accounts.lifecycle import AddressTaken, apply_revocations
from idp.admin.access import admin_page, host, needs
from idp.admin.invitation_list import MOST, Line, read_file, read_list
from idp.admin.staff import Right
from idp.companies import CompanyRefused, find_company
from idp.errors import Unavailable
from idp.members import ROLES
from idp.parts import parts

bp = Blueprint("invite_pages", __name__)

PATH = "/companies/<company_id>/people/invite"
LARGEST = 64 * 1024  # bytes of a file, characters of a list


@bp.get(PATH)
@needs(Right.change_people)
def ask_whom(company_id: str) -> Response:
    """The form for one person or many."""
    return _page(company_id)


@bp.post(PATH)
@needs(Right.change_people)
def take_list(company_id: str) -> Response:
    """Show each line with what is wrong with it; invite the others when that has been seen. Each person is a transaction of their own:
    what is refused for one holds up nobody else, and a list that is sent once more invites nobody twice."""
    form, sent = request.form, request.files.get("file")
    uploaded = sent.read(LARGEST + 1) if sent is not None else b""
    people = read_file(uploaded) if uploaded else form.get("people", "")
    too_long = max(len(uploaded), len(people)) > LARGEST  # cut off somewhere, an address would be somebody else's
    role = form.get("role", "member")
    role = role if role in ROLES else "member"
    language = form.get("language", "")
    language = language if language in parts().languages.supported else parts().languages.supported[0]
    lines = [] if too_long else read_list(people, role=role, language=language)
    typed = {"people": "" if too_long else people, "role": role, "language": language}
    if too_long:
        return _page(company_id, typed, problem="invite.too_many", status=400)
    if not lines or len(lines) > MOST:
        return _page(company_id, typed, problem="invite.nobody" if not lines else "invite.too_many", status=400)
    if form.get("confirm") != "yes":
        return _page(company_id, typed, lines=[(line, line.wrong) for line in lines])
    outcomes = [(line, line.wrong or _invite(company_id, line)) for line in lines]
    here = parts()
    with suppress(Unavailable):  # the worker brings it to Redis when that is back
        apply_revocations(here.database, here.store, here.clients, here.clock())
    return _page(company_id, {**typed, "people": ""}, lines=outcomes, done=True)


def _invite(company_id: str, line: Line) -> str:
    """Invite one person; the key of what was wrong, "" when nothing was."""
    assert line.address is not None  # nothing is wrong with it
    try:
        with parts().database.transaction() as db:
            invite(db, Guest(line.address, line.claims, company_id, line.role), host(company_id))
    except (CompanyRefused, InvitationRefused) as refused:
        return f"reason.{refused.reason}.says"
    except AddressTaken:
        return "reason.invite_known.says"
    return ""


def _page(
    company_id: str,
    typed: dict[str, Any] | None = None,
    *,
    lines: list[tuple[Line, str]] | None = None,
    done: bool = False,
    problem: str = "",
    status: int = 200,
) -> Response:
    with parts().database.reading() as db:
        company = find_company(db, company_id)
    assert company is not None  # the guard has found it
    return admin_page(
        "admin/invite.html",
        status,
        place="people",
        company=(company.id, company.name),
        typed=typed or {"people": "", "role": "member", "language": ""},
        roles=ROLES,
        most=MOST,
        lines=lines or [],
        good=sum(not wrong for _, wrong in lines or []),
        done=done,
        problem=problem,
    )
