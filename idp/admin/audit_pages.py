"""``/companies/<company_id>/audit`` and ``/operator/audit``: who did what to whom, filtered, page by page, and taken along."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, request
from sqlalchemy import select
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.accounts.identity import canonical_email
from idp.admin.access import actor, admin_page, needs
from idp.admin.staff import Right
from idp.audit_export import CONTENT_TYPES, FORMS, written
from idp.audit_trail import PAGE, Wanted, colleagues, is_of_provider, newest, walk
from idp.companies import find_company
from idp.company_settings import zone_of
from idp.models import AuditEvent, Email, Member
from idp.parts import parts

bp = Blueprint("audit_pages", __name__)

NOBODY = "-"  # an account that there is not
KINDS = frozenset(event.value for event in audit.Event)


@bp.route("/companies/<company_id>/audit", methods=["GET", "POST"])
@needs(Right.see_audit)
def company_audit(company_id: str) -> Response:
    """What happened in a company and to its people."""
    return _page(company_id)


@bp.route("/operator/audit", methods=["GET", "POST"])
@needs(Right.see_operations)
def whole_audit() -> Response:
    """What happened at all."""
    return _page(None)


@bp.post("/companies/<company_id>/audit/export")
@needs(Right.see_audit)
def export_company_audit(company_id: str) -> Response:
    """The same as a file."""
    return _file(company_id)


@bp.post("/operator/audit/export")
@needs(Right.see_operations)
def export_whole_audit() -> Response:
    """The same as a file."""
    return _file(None)


def _page(company_id: str | None) -> Response:
    here, form = parts(), request.form
    place = re.fullmatch(r"([0-9]{1,12}) ([0-9]{1,18})", form.get("before", ""))
    before = (int(place[1]), int(place[2])) if place is not None else None
    with here.database.reading() as db:
        company = find_company(db, company_id) if company_id is not None else None
        zone = zone_of(company)
        wanted = _wanted(db, company_id, zone)
        rows = newest(db, wanted, before=before, limit=PAGE + 1)
        people = _people(db, rows, company_id)
        ours = colleagues(db, company_id) if company_id is not None else None
        shown = [_said(row, people, ours, zone) for row in rows[:PAGE]]
    last = rows[PAGE - 1] if len(rows) > PAGE else None
    return admin_page(
        "admin/audit.html",
        place="audit" if company is not None else "operator",
        company=(company.id, company.name) if company is not None else None,
        at=f"/companies/{company_id}/audit" if company_id is not None else "/operator/audit",
        events=shown,
        kinds=[event.value for event in audit.Event],
        typed={name: form.get(name, "")[:320] for name in ("event", "person", "since", "until")},
        before=f"{last.at} {last.id}" if last is not None else "",
        later=before is not None,
        zone=zone.key.replace("_", " "),
    )


def _file(company_id: str | None) -> Response:
    here = parts()
    with here.database.reading() as db:
        company = find_company(db, company_id) if company_id is not None else None
        wanted = _wanted(db, company_id, zone_of(company))
        ours = colleagues(db, company_id) if company_id is not None else None
    form = next((one for one in FORMS if one == request.form.get("format")), FORMS[0])
    with here.database.transaction() as db:
        facts = {"company": company_id} if company_id is not None else {}
        audit.record(db, audit.Event.audit_exported, now=here.clock(), actor=actor().who, **facts)
    response = Response(written(walk(here.database, wanted), form, ours=ours), content_type=CONTENT_TYPES[form])
    response.headers["Content-Disposition"] = f'attachment; filename="audit.{form}"'
    return response


def _wanted(db: Transaction, company_id: str | None, zone: ZoneInfo) -> Wanted:
    """What the form asks for; a person by their address, which stands in no address of ours."""
    form = request.form
    person, account_id = form.get("person", "").strip()[:320], None
    if person:
        try:
            account_id = db.scalar(select(Email.account_id).where(Email.canonical == canonical_email(person))) or NOBODY
            member = db.get(Member, account_id)
            if company_id is not None and (member is None or member.company_id != company_id):
                account_id = NOBODY  # where those who have left are now cannot be found out by asking either
        except ValueError:
            account_id = NOBODY
    return Wanted(
        company_id=company_id,
        event=form["event"] if form.get("event") in KINDS else None,
        account_id=account_id,
        since=_second(form.get("since", ""), 0, zone),
        until=_second(form.get("until", ""), 1, zone),
    )


def _second(day: str, more: int, zone: ZoneInfo) -> int | None:
    """When a day begins, or (``more``) one so many days later: not all days have 24 hours."""
    try:
        begins = datetime.combine(date.fromisoformat(day) + timedelta(days=more), time(), zone)
        return int(begins.timestamp()) if day else None
    except (ValueError, OverflowError):
        return None


def _people(db: Transaction, rows: list[AuditEvent], company_id: str | None) -> dict[str, str]:
    """The addresses of whoever is named in these rows; to a company of its own people alone: where those who have left are now, and who
    works at the provider, is not its business."""
    ids = {row.account_id for row in rows if row.account_id}
    ids |= {row.actor.removeprefix("person:") for row in rows if row.actor.startswith("person:")}
    if not ids:  # a question for none of them might be answered by reading all members
        return {}
    query = select(Email.account_id, Email.address).where(Email.account_id.in_(ids), Email.primary)
    if company_id is not None:
        query = query.join(Member, Member.account_id == Email.account_id).where(Member.company_id == company_id)
    return {account_id: address for account_id, address in db.execute(query)}  # noqa: C416 rows are no pairs to mypy


def _said(row: AuditEvent, people: dict[str, str], ours: Collection[str] | None, zone: ZoneInfo) -> dict[str, Any]:
    kind, _, name = row.actor.partition(":")
    own = name if kind == "person" else None
    by = "system" if row.actor == "system" else ""
    if ours is not None and is_of_provider(row.actor, ours):
        by = "provider"
    elif ours is not None and own is not None and own not in people:
        by = "somebody"
    whom = people.get(row.account_id or "", "" if ours is not None else row.account_id)
    return {
        "at": datetime.fromtimestamp(row.at, zone).strftime("%Y-%m-%d %H:%M:%S"),
        "event": row.event,
        "known": row.event in KINDS,
        "who": people.get(own, own) if own is not None else row.actor,
        "by": by,
        "whom": whom if row.account_id != own else "",
        "facts": _told(row.facts),
    }


def _told(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """The facts of an event in the order in which they were noted; of what was changed, what it was and what it is."""
    told = []
    for name, value in facts.items():
        if f"was_{name}" in facts:
            told.append((name, f"{_plain(facts[f'was_{name}'])} → {_plain(value)}"))
        elif name != "company" and not (name.startswith("was_") and name.removeprefix("was_") in facts):
            told.append((name, _plain(value)))
    return told


def _plain(value: Any) -> str:
    return str(value) if value != "" else "–"
