"""``/companies/<company_id>/people/invite``: one person or a list is read; ``…/lists/<list_id>``: looked at, sent, followed, taken back."""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from typing import Any

from flask import Blueprint, Response, abort, request
from sqlalchemy.orm import Session as Transaction

from idp.accounts.lifecycle import apply_revocations
from idp.admin import bulk_invitations
from idp.admin.access import actor, admin_page, needs, prove_fresh
from idp.admin.bulk_invitations import Means, Progress
from idp.admin.invitation_list import MOST, read_file, read_list
from idp.admin.staff import Right
from idp.companies import find_company
from idp.errors import Unavailable
from idp.members import ROLES
from idp.parts import parts
from idp.redirects import go
from idp.rendering import choose_language
from idp.spreadsheet import harmless

bp = Blueprint("invite_pages", __name__)

PATH = "/companies/<company_id>/people/invite"
LIST = "/companies/<company_id>/people/lists/<list_id>"
LARGEST = 400 * 1024  # bytes of a file, characters of a list
SHOWN = 100  # lines of a page; the file has all


@bp.get(PATH)
@needs(Right.change_people)
def ask_whom(company_id: str) -> Response:
    """The form for one person or many, and the lists that were sent lately."""
    return _form(company_id)


@bp.post(PATH)
@needs(Right.change_people)
def take_list(company_id: str) -> Response:
    """Keep what was read and show it line by line, with what is wrong; nothing is sent before that has been seen."""
    here, form, sent = parts(), request.form, request.files.get("file")
    uploaded = sent.read(LARGEST + 1) if sent is not None else b""
    people = read_file(uploaded) if uploaded else form.get("people", "")
    too_long = max(len(uploaded), len(people)) > LARGEST  # cut off somewhere, an address would be somebody else's
    role = form.get("role", "member")
    role = role if role in ROLES else "member"
    language = form.get("language", "")
    language = language if language in here.languages.supported else here.languages.supported[0]
    typed = {"people": "" if too_long else people, "role": role, "language": language}
    lines = [] if too_long else read_list(people, role=role, language=language)
    if too_long or len(lines) > MOST:
        return _form(company_id, typed, "invite.too_many")
    if not lines:
        return _form(company_id, typed, "invite.nobody")
    with here.database.transaction() as db:
        list_id = bulk_invitations.draft(
            db, company_id, actor().account_id, lines, language=language, now=here.clock(), random=here.random
        )
    return go(_address(company_id, list_id))


@bp.get(LIST)
@needs(Right.change_people)
def show_list(company_id: str, list_id: str) -> Response:
    """How far it is, and what was wrong with whom."""
    here = parts()
    with here.database.reading() as db:
        company, progress = find_company(db, company_id), _find(db, company_id, list_id)
        assert company is not None  # the guard has found it
        wrong = bulk_invitations.lines_of(db, list_id, "failed", "kept", limit=SHOWN)
        others = bulk_invitations.lines_of(db, list_id, "waiting", "invited", "undone", limit=SHOWN)
    return admin_page(
        "admin/invitation_list.html",
        place="people",
        company=(company.id, company.name),
        progress=progress,
        wrong=wrong,
        others=others,
        shown=SHOWN,
    )


@bp.post(f"{LIST}/send")
@needs(Right.change_people)
def send_list(company_id: str, list_id: str) -> Response:
    """Invite them: the first at once, the others by the worker. Who gives a role by it proves, as where a role is given, who they are."""
    with parts().database.reading() as db:
        _find(db, company_id, list_id)
        powerful = bulk_invitations.gives_roles(db, list_id)
    if powerful and (asked := prove_fresh(_address(company_id, list_id))) is not None:
        return asked
    with parts().database.transaction() as db:
        bulk_invitations.send(db, company_id, list_id, actor().account_id, now=parts().clock())
    return _begin(company_id, list_id)


@bp.post(f"{LIST}/undo")
@needs(Right.change_people)
def undo_list(company_id: str, list_id: str) -> Response:
    """Invite nobody more, and take back what nobody has accepted yet."""
    with parts().database.transaction() as db:
        _find(db, company_id, list_id)
        bulk_invitations.undo(db, company_id, list_id, actor().account_id, now=parts().clock())
    return _begin(company_id, list_id)


@bp.get(f"{LIST}/results")
@needs(Right.change_people)
def download_results(company_id: str, list_id: str) -> Response:
    """What became of each line, as comma-separated values."""
    written = io.StringIO()
    rows = csv.writer(written)
    rows.writerow(["line", "address", "name", "role", "state", "why"])
    with parts().database.reading() as db:
        _find(db, company_id, list_id)
        for line in bulk_invitations.lines_of(db, list_id):
            why = parts().languages.text(choose_language(), line.wrong) if line.wrong else ""
            cells = (str(line.number), line.written, line.name or "", line.role, line.state, why)
            rows.writerow(map(harmless, cells))
    answer = Response(written.getvalue(), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = 'attachment; filename="invitations.csv"'
    return answer


def _begin(company_id: str, list_id: str) -> Response:
    here = parts()
    bulk_invitations.work_next(Means(here.database, here.sealer, here.clock, here.random), list_id)
    with suppress(Unavailable):  # the worker brings it to Redis when that is back
        apply_revocations(here.database, here.store, here.clients, here.clock())
    return go(_address(company_id, list_id))


def _address(company_id: str, list_id: str) -> str:
    return f"/companies/{company_id}/people/lists/{list_id}"


def _find(db: Transaction, company_id: str, list_id: str) -> Progress:
    found = bulk_invitations.find(db, company_id, list_id, parts().clock())
    if found is None:
        abort(404)
    return found


def _form(company_id: str, typed: dict[str, Any] | None = None, problem: str = "") -> Response:
    with parts().database.reading() as db:
        company = find_company(db, company_id)
        assert company is not None  # the guard has found it
        lists = bulk_invitations.recent(db, company_id, parts().clock())
    return admin_page(
        "admin/invite.html",
        400 if problem else 200,
        place="people",
        company=(company.id, company.name),
        typed=typed or {"people": "", "role": "member", "language": company.language or ""},
        most=MOST,
        lists=lists,
        problem=problem,
    )
