"""``/companies/<company_id>/sign-in/<connection_id>``: one identity provider of a company: what to enter there, trying it, how it does,
its certificates, and what waits for a decision."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, abort, request
from sqlalchemy.orm import Session as Transaction

from idp.admin import shared_attempts
from idp.admin.access import actor, admin_page, needs, open_to_all, own_client
from idp.admin.connection_health import DAYS, health_of
from idp.admin.dry_run import Report, as_if_sent, dry_run, encoded_response, masked
from idp.admin.said import phrase
from idp.admin.staff import Right
from idp.admin.trials import make_trial
from idp.certificates import begins, ends, fingerprint
from idp.companies import find_company
from idp.connections import SamlConnection
from idp.doors.saml import sp_metadata
from idp.doors.saml_menus import menu_for
from idp.doors.saml_metadata import read_metadata
from idp.doors.saml_presets import PRESETS
from idp.errors import IdpError, PageError
from idp.identity_provider import ConnectionRefused
from idp.models import Connection
from idp.parts import parts
from idp.receipts import CompanyAttempt, company_attempts
from idp.redirects import go
from idp.rendering import render_page

bp = Blueprint("connection_page", __name__)

PATH = "/companies/<company_id>/sign-in/<connection_id>"
NOTICES = (
    "added",
    "live",
    "draft",
    "written",
    "certificate_added",
    "certificate_removed",
    "rolled",
    "taken",
    "dismissed",
)
MOST_SHOWN = 20  # attempts

Act = Callable[[Transaction, SamlConnection], object]


@bp.get(PATH)
@needs(Right.see_company, guide=True)
def show_connection(company_id: str, connection_id: str) -> Response:
    """The connection."""
    return _page(company_id, connection_id)


@bp.get(f"{PATH}/metadata")
@needs(Right.see_company, guide=True)
def our_metadata(company_id: str, connection_id: str) -> Response:
    """Our metadata towards this identity provider, as a file."""
    response = Response(sp_metadata(_found(company_id, connection_id)), content_type="application/samlmetadata+xml")
    response.headers["Content-Disposition"] = f'attachment; filename="{connection_id}-metadata.xml"'
    return response


@bp.post(f"{PATH}/try")
@needs(Right.change_sign_in, guide=True)
def try_it(company_id: str, connection_id: str) -> Response:
    """Make the address of a test trip: at the provider, in this browser, for an hour. Nobody is signed in by it."""
    here = parts()
    _found(company_id, connection_id)
    secret = make_trial(here.store, connection_id, now=here.clock(), random=here.random)
    return _page(company_id, connection_id, trial=f"{here.config.issuer}/login/company/try?p={secret}")


@bp.post(f"{PATH}/dry-run")
@needs(Right.change_sign_in, guide=True)
def try_response(company_id: str, connection_id: str) -> Response:
    """Look at a response that somebody has captured, with every check; nothing is written."""
    here, now = parts(), parts().clock()
    found = _found(company_id, connection_id)
    report = dry_run(
        encoded_response(request.form.get("response", "").encode()),
        found,
        as_if_sent(found, now),
        database=here.database,
        clients=[client for client in here.clients.all().values() if client.enabled and client.first_party],
        issuer=here.config.issuer,
        subjects_secret=here.keys.subjects_secret,
        now=now,
        random=here.random,
    )
    return _page(company_id, connection_id, report=masked(report))


@bp.post(f"{PATH}/live")
@needs(Right.change_sign_in, fresh=True, guide=True)
def go_live(company_id: str, connection_id: str) -> Response:
    """Send the company's people here from now on; or, with ``state=draft``, nobody any more."""
    draft = request.form.get("state") == "draft"

    def act(db: Transaction, found: SamlConnection) -> object:
        move = parts().connections.back_to_draft if draft else parts().connections.go_live
        return move(db, found.id, actor=actor().who, now=parts().clock())

    return _do(company_id, connection_id, act, "draft" if draft else "live")


@bp.post(f"{PATH}/settings")
@needs(Right.change_sign_in, guide=True)
def take_settings(company_id: str, connection_id: str) -> Response:
    """What it is called, and the exact names of its attributes. A tested one is a draft again."""

    def act(db: Transaction, found: SamlConnection) -> object:
        typed = {
            name: request.form.get(f"attribute_{name}", "").strip()
            for name in ("name", "email", "given_name", "family_name")
        }
        attributes = {name: text for name, text in typed.items() if text}
        name = request.form.get("name", "").strip() or found.name
        return parts().connections.change(
            db, found.id, name=name, attributes=attributes, actor=actor().who, now=parts().clock()
        )

    return _do(company_id, connection_id, act, "written")


@bp.post(f"{PATH}/certificates")
@needs(Right.change_sign_in, fresh=True, guide=True)
def add_certificate(company_id: str, connection_id: str) -> Response:
    """Let further certificates count, in any shape that people paste."""
    sent = request.files.get("file")
    given: str | bytes = (sent.read(64 * 1024) if sent is not None else b"") or request.form.get("certificate", "")

    def act(db: Transaction, found: SamlConnection) -> object:
        return parts().connections.add_certificate(db, found.id, given, actor=actor().who, now=parts().clock())

    return _do(company_id, connection_id, act, "certificate_added")


@bp.post(f"{PATH}/certificates/remove")
@needs(Right.change_sign_in, fresh=True, guide=True)
def remove_certificate(company_id: str, connection_id: str) -> Response:
    """Let a certificate count no more."""

    def act(db: Transaction, found: SamlConnection) -> object:
        which = request.form.get("fingerprint", "")
        return parts().connections.remove_certificate(db, found.id, which, actor=actor().who, now=parts().clock())

    return _do(company_id, connection_id, act, "certificate_removed")


@bp.post(f"{PATH}/changes")
@needs(Right.change_sign_in, fresh=True, guide=True)
def decide_change(company_id: str, connection_id: str) -> Response:
    """Take metadata that was kept aside, or leave it."""
    here, now = parts(), parts().clock()
    taking = request.form.get("answer") == "take"

    def act(db: Transaction, found: SamlConnection) -> None:
        number = request.form.get("number", "")
        kept = next((one for one in here.connections.kept_aside(db, found.id) if str(one.id) == number), None)
        if kept is None:
            raise ConnectionRefused("connection_metadata_unknown")
        if taking:
            description = read_metadata(kept.document.encode(), now, loopback=here.config.on_loopback)
            here.connections.take_kept_aside(db, kept.id, description, actor=actor().who, now=now)
        else:
            here.connections.dismiss_kept_aside(db, kept.id, actor=actor().who, now=now)

    return _do(company_id, connection_id, act, "taken" if taking else "dismissed")


@bp.post(f"{PATH}/roll-key")
@needs(Right.change_sign_in, fresh=True, guide=True)
def roll_key(company_id: str, connection_id: str) -> Response:
    """Go one step on with our own key pair towards it."""
    here = parts()

    def act(db: Transaction, found: SamlConnection) -> object:
        return here.connections.roll_key(db, found.id, actor=actor().who, now=here.clock(), random=here.random)

    return _do(company_id, connection_id, act, "rolled")


@bp.post(f"{PATH}/remove")
@needs(Right.change_sign_in, fresh=True, guide=True)
def remove(company_id: str, connection_id: str) -> Response:
    """Take the connection away; accounts stay."""
    here = parts()
    _found(company_id, connection_id)
    try:
        with here.database.transaction() as db:
            here.connections.remove(db, connection_id, actor=actor().who, now=here.clock())
    except ConnectionRefused as refused:
        return _page(company_id, connection_id, refused)
    return go(f"/companies/{company_id}/sign-in", notice="removed")


@bp.post(f"{PATH}/share")
@needs(Right.see_company, guide=True)
def share(company_id: str, connection_id: str) -> Response:
    """The address of one attempt for whoever is to see that and nothing else, good for a week."""
    here = parts()
    _found(company_id, connection_id)
    code = request.form.get("receipt", "")
    with here.database.reading() as db:
        if code not in {row.code for row in company_attempts(db, connection_id)}:
            abort(404)
    token = shared_attempts.make(here.keys.derive("shared attempts"), connection_id, code, here.clock())
    return _page(company_id, connection_id, shared=f"{own_client().origin}/shared/{token}")


@bp.get("/shared/<token>")
@open_to_all
def show_shared(token: str) -> Response:
    """One attempt, as the company's own IT may see it."""
    here = parts()
    found = shared_attempts.read(here.keys.derive("shared attempts"), token, here.clock())
    with here.database.reading() as db:
        connection = here.connections.load(db, found[0]) if found is not None else None
        rows = company_attempts(db, connection.id) if connection is not None else []
    row = next((one for one in rows if found is not None and one.code == found[1]), None)
    if connection is None or row is None:
        raise PageError("link_over")
    return render_page(
        "admin/shared_attempt.html", connection=connection.name, attempt=_attempt(row, connection), phrase=phrase
    )


def _found(company_id: str, connection_id: str) -> SamlConnection:
    here = parts()
    with here.database.reading() as db:
        found = here.connections.load(db, connection_id)
    if found is None or found.company_id != company_id:
        abort(404)
    return found


def _do(company_id: str, connection_id: str, act: Act, notice: str) -> Response:
    found = _found(company_id, connection_id)
    try:
        with parts().database.transaction() as db:
            act(db, found)
    except ConnectionRefused as refused:
        return _page(company_id, connection_id, refused)
    return go(f"/companies/{company_id}/sign-in/{connection_id}", notice=notice)


def _page(
    company_id: str,
    connection_id: str,
    refused: IdpError | None = None,
    *,
    trial: str = "",
    report: Report | None = None,
    shared: str = "",
) -> Response:
    here, now = parts(), parts().clock()
    found = _found(company_id, connection_id)
    notice = request.args.get("notice")
    with here.database.reading() as db:
        company, row = find_company(db, company_id), db.get_one(Connection, connection_id)
        assert company is not None  # the guard has found it
        aside = [
            {"number": one.id, "read_at": one.read_at, "changes": _changes(one.changes)}
            for one in here.connections.kept_aside(db, connection_id)
        ]
        attempts = company_attempts(db, connection_id, MOST_SHOWN)
        health = health_of(db, connection_id, now)
        about = {
            "metadata_url": row.metadata_url or "",
            "metadata_read_at": row.metadata_read_at,
            "metadata_problem": row.metadata_problem or "",
            "tested_at": row.tested_at,
        }
    return admin_page(
        "admin/connection.html",
        refused.status if refused is not None else 200,
        place="company-sign-in",
        company=(company.id, company.name),
        connection=found,
        vendor=PRESETS[found.vendor].name,
        menus=PRESETS[found.vendor].menus,
        next_key=any(key.state == "next" for key in found.keys),
        certificates=[
            (fingerprint(one), _day(begins(one)), _day(ends(one)), _certificate_state(ends(one), now))
            for one in found.certificates
        ],
        aside=aside,
        attempts=[_attempt(one, found) for one in attempts],
        health=health,
        tallest=max((day.worked + day.failed for day in health), default=0),
        days=DAYS,
        trial=trial,
        report=report,
        menu=_menu(report.reason, found) if report is not None else "",
        phrase=phrase,
        shared=shared,
        settings=[(name, found.attributes.get(name, "")) for name in ("email", "name", "given_name", "family_name")],
        notice=notice if notice in NOTICES and refused is None else None,
        problem=refused.reason if refused is not None else None,
        detail=refused.detail[:300] if refused is not None else "",
        **about,
    )


def _attempt(row: CompanyAttempt, connection: SamlConnection) -> dict[str, Any]:
    """An attempt with what was expected and received, and where that is mended in the vendor's menus."""
    failed = [
        {
            "reason": step.reason,
            "expected": str(step.facts.get("expected", "")),
            "received": str(step.facts.get("received", "")),
            "menu": _menu(step.reason, connection),
        }
        for step in row.steps
        if step.reason
    ]
    return {
        "code": row.code,
        "started_at": row.started_at,
        "outcome": row.outcome,
        "reason": row.reason,
        "failed": failed,
    }


def _menu(reason: str, connection: SamlConnection) -> str:
    return menu_for(reason, connection.vendor, email_is_name_id="email" not in connection.attributes)


def _changes(changes: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(name, _told(change["was"]), _told(change["is"])) for name, change in changes.items()]


def _told(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _certificate_state(until: int, now: float) -> str:
    return "over" if until <= now else "soon" if until <= now + 30 * 86400 else "good"
