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
from sqlalchemy import select
from sqlalchemy.orm import Session as Transaction

from idp import audit, throttle
from idp.accounts.invitations import Host, InvitationRefused, send_again
from idp.accounts.lifecycle import apply_revocations, primary_email
from idp.accounts.ways import Unlinked, provider_named, tell_unlinked, unlink, ways_in
from idp.admin import factor_removal
from idp.admin.access import actor, admin_page, needs
from idp.admin.staff import Right, is_staff
from idp.attempts import Step, drain
from idp.companies import CompanyRefused
from idp.doors.saml_menus import menu_for
from idp.errors import Unavailable
from idp.mail import check_recipient
from idp.masking import mask_email
from idp.members import tell_contacts
from idp.models import Account, Attempt, AttemptStep, Invitation, OutboxMail
from idp.outbox import retry_mails
from idp.parts import parts
from idp.reasons import REASONS
from idp.receipts import find_attempt, is_proved, read_code, steps_of
from idp.redirects import go
from idp.redis_store import token_hash
from idp.rendering import choose_language

bp = Blueprint("support_pages", __name__)

OPEN = 1800  # seconds for which an attempt may be looked at
ACTS = ("mail", "throttle", "invitation", "company", "unlink")
NOTICES = (*ACTS, "factors_ask", "factors_agree", "factors_withdraw", "not_done")
STUCK = ("waiting", "bounced", "given_up")
MAILS_SHOWN = 5


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
    wait = throttle.take_look(here.store, account_id=actor().account_id, now=here.clock())
    if wait:
        response = admin_page("admin/support.html", 429, place="support", typed=typed, problem="support.too_many")
        response.headers["Retry-After"] = str(wait)
        return response
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
            _note(db, attempt, wanted, now)
        else:
            db.rollback()
    _apply()
    return go(f"/support/{receipt}", notice=wanted if done else "not_done")


@bp.post("/support/<receipt>/factors")
@needs(Right.support, fresh=True)
def act_on_factors(receipt: str) -> Response:
    """The caller has lost their second factors: ask that they are taken away, or agree as the second person."""
    here, now = parts(), parts().clock()
    wanted = request.form.get("act", "")
    with here.database.transaction() as db:
        attempt = _opened(db, receipt)
        account = db.get(Account, attempt.account_id) if attempt.account_id else None
        if account is None or wanted not in _factors(db, attempt, account.id, now):
            abort(404)
        try:
            _do_to_factors(db, wanted, account, attempt.code, now)
        except CompanyRefused:  # somebody else was faster
            db.rollback()
            return go(f"/support/{receipt}", notice="not_done")
        _note(db, attempt, f"factors_{wanted}", now)
    _apply()
    return go(f"/support/{receipt}", notice=f"factors_{wanted}")


def _do_to_factors(db: Transaction, wanted: str, account: Account, code: str, now: float) -> None:
    here = parts()
    match wanted:
        case "ask":
            factor_removal.ask(db, account.id, code, actor=actor().who, now=now)
        case "withdraw":
            factor_removal.withdraw(db, account.id, actor=actor().who, now=now)
        case "agree":
            factor_removal.agree(
                db,
                account.id,
                actor=actor().who,
                language=(account.locale or choose_language()).partition("-")[0],
                sealer=here.sealer,
                now=now,
                random=here.random,
            )


def _note(db: Transaction, attempt: Attempt, act: str, now: float) -> None:
    event = audit.Event.support_acted
    audit.record(db, event, now=now, actor=actor().who, account_id=attempt.account_id, receipt=attempt.code, act=act)


def _apply() -> None:
    here = parts()
    with suppress(Unavailable):  # the worker brings it to Redis when that is back
        apply_revocations(here.database, here.store, here.clients, here.clock())


def _do(db: Transaction, wanted: str, attempt: Attempt, now: float) -> bool:
    here = parts()
    account = db.get(Account, attempt.account_id) if attempt.account_id else None
    match wanted:
        case "mail" if account is not None:
            stuck = [mail.id for mail in _mails(db, account) if mail.state in STUCK]
            return bool(retry_mails(db, stuck, actor=actor().who, now=now))
        case "throttle" if account is not None:
            emails = [email.canonical for email in account.emails]
            return throttle.forgive(here.store, emails=emails, account_id=account.id, now=now)
        case "unlink" if account is not None:
            name = request.form.get("link", "")
            outcome = unlink(db, account.id, name, here.providers, now=now, actor=actor().who)
            if isinstance(outcome, Unlinked):
                called, language = provider_named(outcome.door, here.providers), choose_language()
                tell_unlinked(db, account.id, called, by_support=True, language=language, sealer=here.sealer, now=now)
            return isinstance(outcome, Unlinked)
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


def _seconds_left(code: str) -> int:
    """For how long the attempt is still open to this person."""
    opened = parts().store.command("GET", _case(code))
    return int(json.loads(opened)["at"] + OPEN - parts().clock()) if opened else 0


def _opened(db: Transaction, receipt: str) -> Attempt:
    code = read_code(receipt)
    attempt = find_attempt(db, code) if code is not None and _seconds_left(code) > 0 else None
    if attempt is None:
        abort(404)
    return attempt


def _possible(db: Transaction, attempt: Attempt) -> list[str]:
    """The safe things that this attempt calls for."""
    found = []
    account = db.get(Account, attempt.account_id) if attempt.account_id else None
    if account is not None and account.id != actor().account_id and not is_staff(db, account.id):
        found += ["mail"] if any(mail.state in STUCK for mail in _mails(db, account)) else []
        found.append("throttle")
        found += ["invitation"] if _waits_for_invitation(db, account.id) else []
        found += ["unlink"] if any(way.name for way in ways_in(db, account.id, parts().providers)) else []
    reason = REASONS.get(attempt.reason or "")
    if attempt.connection_id and reason is not None and reason.owner == "company":
        found.append("company")
    return found


def _waits_for_invitation(db: Transaction, account_id: str) -> bool:
    invitation = db.get(Invitation, account_id)
    return invitation is not None and invitation.accepted_at is None


def _mails(db: Transaction, account: Account) -> list[OutboxMail]:
    """The newest mails to the person, of the last day."""
    to = {check_recipient(address) for email in account.emails for address in (email.address, email.canonical)}
    newest = select(OutboxMail).where(OutboxMail.recipient.in_(to), OutboxMail.created_at > parts().clock() - 86400)
    return list(db.scalars(newest.order_by(OutboxMail.created_at.desc(), OutboxMail.id.desc()).limit(MAILS_SHOWN)))


def _factors(db: Transaction, attempt: Attempt, account_id: str, now: float) -> list[str]:
    """What can be done about second factors: ask, or once somebody has asked, agree (another person) or withdraw it. Nothing for a caller
    who has only typed somebody's address."""
    if is_staff(db, account_id) or account_id == actor().account_id or not factor_removal.held_factors(db, account_id):
        return []
    if not is_proved(db, attempt.code, account_id):
        return []
    asked = factor_removal.find_asked(db, account_id, now)
    if asked is None:
        return ["ask"]
    return ["withdraw"] if asked.asked_by == actor().who else ["agree", "withdraw"]


def _page(receipt: str) -> Response:
    here, now = parts(), parts().clock()
    notice = request.args.get("notice")
    with here.database.reading() as db:
        attempt = _opened(db, receipt)
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
            "ways": _ways(db, account.id) if account is not None else [],
            "mails": [(mail.name, mail.state, mail.created_at) for mail in _mails(db, account)] if account else [],
            "proved": account is None
            or not factor_removal.held_factors(db, account.id)
            or is_proved(db, attempt.code, account.id),
            "factors": _factors(db, attempt, account.id, now) if account is not None else [],
        }
    return admin_page(
        "admin/support_case.html",
        place="support",
        provider=here.config.host,
        minutes=max(1, _seconds_left(attempt.code) // 60),
        notice=notice if notice in NOTICES else None,
        **values,
    )


def _ways(db: Transaction, account_id: str) -> list[dict[str, Any]]:
    """The ways into the account, in words: which door, whether it opens, and what names a link that can be taken away."""
    providers = parts().providers
    return [
        {"door": way.door, "provider": provider_named(way.door, providers), "opens": way.opens, "name": way.name}
        for way in ways_in(db, account_id, providers)
    ]


def _step(step: AttemptStep) -> tuple[str, str, str, list[tuple[str, str]]]:
    at = datetime.fromtimestamp(step.at / 1000, UTC).strftime("%H:%M:%S")
    return (
        at,
        step.name,
        step.reason or "",
        [(name, str(value)) for name, value in step.facts.items() if name != "proved"],
    )
