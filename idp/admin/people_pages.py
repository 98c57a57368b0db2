"""``/companies/<company_id>/people``: a company's people, found among as many as there are, and written to a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import get_args

from flask import Blueprint, Response, request
from sqlalchemy import exists, select
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.accounts.invitations import State
from idp.accounts.people_search import Found, Wanted, WrongPlace, search_people
from idp.admin.access import actor, admin_page, needs
from idp.admin.staff import Right
from idp.companies import find_company
from idp.errors import PageError
from idp.models import Link, Member, Passkey, Password
from idp.parts import Parts, parts
from idp.spreadsheet import harmless

bp = Blueprint("people_pages", __name__)

AT_ONCE = 50  # people on a page
IN_A_FILE = 500  # people that are read at once for a file
LONGEST_SEARCH = 100  # characters
LONGEST_PLACE = 2000
STATES: tuple[State, ...] = get_args(State)


@bp.route("/companies/<company_id>/people", methods=["GET", "POST"])
@needs(Right.see_company)
def list_people(company_id: str) -> Response:
    """One page of the people. What is looked for holds addresses and names: it travels in a form, never in an address."""
    here, form = parts(), request.form
    text = " ".join(form.get("q", "").replace("\x00", "").split())[:LONGEST_SEARCH]
    state = next((one for one in STATES if one == form.get("state")), None)
    after = form.get("after", "")[:LONGEST_PLACE] or None
    with here.database.reading() as db:
        company = find_company(db, company_id)
        assert company is not None  # the guard has found it
        wanted = Wanted(text=text, company_id=company_id, state=state)
        try:
            page = search_people(db, wanted, limit=AT_ONCE, now=here.clock(), after=after)
        except WrongPlace:
            raise PageError("request_unreadable", parameter="after") from None
        known = _roles_and_ways(db, [one.account_id for one in page.people])
    return admin_page(
        "admin/people.html",
        place="people",
        company=(company.id, company.name),
        people=[(one, *known[one.account_id]) for one in page.people],
        q=text,
        state=state or "",
        states=STATES,
        after=page.after or "",
        later=after is not None,
    )


@bp.post("/companies/<company_id>/people/export")
@needs(Right.see_company)
def export_people(company_id: str) -> Response:
    """All of them as a file of comma-separated values (RFC 4180), written while it is read."""
    here = parts()
    with here.database.transaction() as db:
        audit.record(db, audit.Event.company_people_exported, now=here.clock(), actor=actor().who, company=company_id)
    response = Response(_lines(here, company_id), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="people.csv"'
    return response


def _lines(here: Parts, company_id: str) -> Iterator[str]:
    yield _row(["address", "name", "role", "state", "last_sign_in", "ways"])
    after = None
    while True:
        with here.database.reading() as db:
            wanted = Wanted(company_id=company_id)
            page = search_people(db, wanted, limit=IN_A_FILE, now=here.clock(), after=after)
            known = _roles_and_ways(db, [one.account_id for one in page.people])
        yield "".join(_row(_cells(one, *known[one.account_id])) for one in page.people)
        if page.after is None:
            return
        after = page.after


def _cells(one: Found, role: str, ways: list[str]) -> list[str]:
    last = one.standing.last_sign_in
    when = datetime.fromtimestamp(last, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if last is not None else ""
    return [one.address, one.name, role, one.standing.state, when, " ".join(ways)]


def _row(cells: list[str]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow(map(harmless, cells))
    return written.getvalue()


def _roles_and_ways(db: Transaction, ids: list[str]) -> dict[str, tuple[str, list[str]]]:
    """The role of each account in its company, and by which doors it is opened. Two statements, however many they are."""
    rows = db.execute(
        select(
            Member.account_id,
            Member.role,
            exists().where(Password.account_id == Member.account_id),
            exists().where(Passkey.account_id == Member.account_id),
        ).where(Member.account_id.in_(ids))
    )
    known: dict[str, tuple[str, list[str]]] = {one: ("", []) for one in ids}
    for account_id, role, password, passkey in rows:
        known[account_id] = (role, [door for door, has in (("password", password), ("passkey", passkey)) if has])
    links = select(Link.account_id, Link.door).where(Link.account_id.in_(ids)).order_by(Link.id)
    for account_id, door in db.execute(links):
        if door not in known[account_id][1]:
            known[account_id][1].append(door)
    return known
