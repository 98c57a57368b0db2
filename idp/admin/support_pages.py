"""``/support``: somebody calls, reads out the code of a page that failed, and support sees that attempt, in words, for half an hour.

What is shown was masked when it was written. Nobody can set or see a password here, or sign in as somebody. Each look stands in the audit and
in the recent activity of the person.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, abort, request
from sqlalchemy import update
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.accounts.invitations import Host, InvitationRefused, send_again
from idp.accounts.lifecycle import primary_email
from idp.admin.access import actor, admin_page, needs
from idp.admin.staff import Right
from idp.attempts import Step, drain, find_attempt, mask_email, read_code, steps_of
from idp.doors.saml_menus import menu_for
from idp.errors import Unavailable
from idp.members import tell_contacts
from idp.models import Account, Attempt, AttemptStep, OutboxMail
from idp.parts import parts
from idp.reasons import REASONS
from idp.redirects import go
from idp.redis_store import token_hash

bp = Blueprint("support_pages", __name__)

OPEN = 1800  # seconds for which an attempt may be looked at
ACTS = ("mail", "invitation", "company")


@bp.get("/support")
@needs(Right.support)
def ask_code() -> Response:
    """The field for the code."""
    return admin_page("admin/support.html", place="support", typed="", problem="")


@bp.post("/support")
@needs(Right.support)
def take_code() -> Response:
    """Open the attempt with this code for half an hour."""
    here, typed = parts(), request.form.get("receipt", "").strip()[:40]
    code = read_code(typed)
    with suppress(Unavailable):  # a caller reads out a code that is seconds old
        here.attempts.flush()
        drain(here.store, here.database)
    with here.database.transaction() as db:
        attempt = find_attempt(db, code) if code is not None else None
        if attempt is not None:
            event = audit.Event.support_looked
            audit.record(
                db, event, now=here.clock(), actor=actor().who, account_id=attempt.account_id, receipt=attempt.code
            )
    if attempt is None or code is None:
        problem = "support.no_code" if code is None else "support.unknown_code"
        return admin_page("admin/support.html", 400, place="support", typed=typed, problem=problem)
    here.store.command("SET", _case(code), json.dumps({"at": int(here.clock())}), "EX", OPEN)
    here.attempts.step(code, Step.support_looked, account_id=attempt.account_id)
    return go(f"/support/{code}")


@bp.get("/support/<receipt>")
@needs(Right.support)
def show_case(receipt: str) -> Response:
    """The attempt, in words, with what can be done safely."""
    return _page(receipt)


@bp.post("/support/<receipt>")
@needs(Right.support)
def act(receipt: str) -> Response:
    """Do one of the safe things."""
    here, now = parts(), parts().clock()
    wanted = request.form.get("act", "")
    with here.database.transaction() as db:
        attempt = _opened(db, receipt)
        if wanted not in _possible(db, attempt):
            abort(404)
        done = _do(db, wanted, attempt, now)
        if done:
            event = audit.Event.support_acted
            audit.record(
                db, event, now=now, actor=actor().who, account_id=attempt.account_id, receipt=attempt.code, act=wanted
            )
        else:
            db.rollback()
    return go(f"/support/{receipt}", notice=wanted if done else "not_done")


def _do(db: Transaction, wanted: str, attempt: Attempt, now: float) -> bool:
    here = parts()
    account = db.get(Account, attempt.account_id) if attempt.account_id else None
    match wanted:
        case "mail" if account is not None:
            stuck = (
                OutboxMail.recipient == primary_email(account).canonical,
                OutboxMail.state.in_(("bounced", "given_up", "waiting")),
                OutboxMail.created_at > now - 86400,
            )
            again = update(OutboxMail).where(*stuck).values(state="waiting", next_try_at=int(now), leased_until=None)
            db.execute(again)
            return True
        case "invitation" if account is not None:
            try:
                send_again(db, account.id, Host(actor().who, here.sealer, now, here.random))
            except InvitationRefused:
                return False
            return True
        case "company" if attempt.connection_id:
            connection = here.connections.load(db, attempt.connection_id)
            return connection is not None and tell_contacts(
                db,
                connection.company_id,
                "support_found",
                sealer=here.sealer,
                now=now,
                connection=connection.name,
                receipt=attempt.code,
                reason=attempt.reason or "",
            )
    return False


def _case(code: str) -> str:
    """That this person has opened this attempt."""
    return f"support-case:{{{token_hash(f'{actor().account_id} {code}')}}}"


def _opened(db: Transaction, receipt: str) -> Attempt:
    code = read_code(receipt)
    attempt = find_attempt(db, code) if code is not None and parts().store.command("GET", _case(code)) else None
    if attempt is None:
        abort(404)
    return attempt


def _possible(db: Transaction, attempt: Attempt) -> list[str]:
    """The safe things that this attempt calls for."""
    found = []
    if attempt.account_id and db.get(Account, attempt.account_id) is not None:
        found += ["mail", "invitation"]
    if attempt.connection_id and attempt.reason and REASONS[attempt.reason].owner == "company":
        found.append("company")
    return found


def _page(receipt: str) -> Response:
    here, now = parts(), parts().clock()
    notice = request.args.get("notice")
    with here.database.reading() as db:
        attempt = _opened(db, receipt)
        opened = json.loads(here.store.command("GET", _case(attempt.code)) or '{"at": 0}')
        reason = REASONS.get(attempt.reason or "")
        connection = here.connections.load(db, attempt.connection_id) if attempt.connection_id else None
        account = db.get(Account, attempt.account_id) if attempt.account_id else None
        client = here.clients.find(attempt.client_id) if attempt.client_id else None
        values: dict[str, Any] = {
            "receipt": attempt.code,
            "started_at": attempt.started_at,
            "outcome": attempt.outcome,
            "reason": reason if reason is not None and here.languages.has(reason.says) else None,
            "product": client.name if client is not None else attempt.client_id or "",
            "door": attempt.door or "",
            "connection": connection.name if connection is not None else "",
            "menu": menu_for(reason.code, connection.vendor) if reason is not None and connection is not None else "",
            "person": mask_email(primary_email(account).address) if account is not None else "",
            "state": account.state if account is not None else "",
            "steps": [_step(step) for step in steps_of(db, attempt.code)],
            "acts": _possible(db, attempt),
        }
    return admin_page(
        "admin/support_case.html",
        place="support",
        minutes=max(1, int((opened["at"] + OPEN - now) // 60)),
        notice=notice if notice in (*ACTS, "not_done") else None,
        **values,
    )


def _step(step: AttemptStep) -> tuple[str, str, str, list[tuple[str, str]]]:
    at = datetime.fromtimestamp(step.at / 1000, UTC).strftime("%H:%M:%S")
    return at, step.name, step.reason or "", [(name, str(value)) for name, value in step.facts.items()]
