"""``/login/second/mail``: where a person has not been before, or is to set up their first second factor, the right password alone
does not say that it is they. The code in the mail does."""

from __future__ import annotations

from flask import Blueprint, Response, request

from idp import throttle
from idp.accounts.lifecycle import primary_email
from idp.accounts.second_factors import MailCode
from idp.accounts.totp import tidy_code
from idp.attempts import Step
from idp.login.finish import MAILED
from idp.login.journey import show
from idp.login.mailed_code import send_code, take_code
from idp.login.who_waits import Waiting, go_on, held_by, lead, still_asked, take_try, who_waits
from idp.masking import mask_email
from idp.models import Account
from idp.parts import parts
from idp.redirects import go
from idp.visiting import peer

bp = Blueprint("second_mail", __name__)


@bp.get(MAILED)
def ask_for_code() -> Response:
    """Ask for the code that was mailed."""
    waiting = who_waits(request.args.get("p", ""))
    if waiting is None:
        return go("/login", p=request.args.get("p", ""))
    more = still_asked(waiting, held_by(waiting))
    if not isinstance(more, MailCode):
        return lead(waiting, more)
    return _page(waiting, sent=request.args.get("sent") == "yes")


@bp.post(MAILED)
def take_mailed_code() -> Response:
    """Look at the code; if it is the one the journey goes on."""
    handle = request.form.get("p", "")
    waiting = who_waits(handle)
    if waiting is None:
        return go("/login", p=handle)
    held = held_by(waiting)
    more = still_asked(waiting, held)
    if not isinstance(more, MailCode):
        return lead(waiting, more)
    ticket = take_try(waiting, held)
    if ticket.wait:
        return _page(waiting, wait=ticket.wait)
    here = parts()
    right = take_code(waiting.pending, waiting.account_id, tidy_code(request.form.get("code", "")))
    here.attempts.step(
        waiting.pending.receipt,
        Step.second_checked,
        reason=None if right else "second_code_wrong",
        account_id=waiting.account_id,
        address=peer(),
        received="mailed code",
    )
    if not right:
        return _page(waiting, "second_code_wrong")
    throttle.give_back(here.store, ticket, here.clock())
    return go_on(waiting, mailbox=True)


@bp.post("/login/second/mail/send")
def send_again() -> Response:
    """Mail another code."""
    handle = request.form.get("p", "")
    waiting = who_waits(handle)
    if waiting is None:
        return go("/login", p=handle)
    more = still_asked(waiting, held_by(waiting))
    if not isinstance(more, MailCode):
        return lead(waiting, more)
    wait = send_code(waiting.pending, waiting.account_id)
    return _page(waiting, wait=wait) if wait else go(MAILED, p=handle, sent="yes")


def _page(waiting: Waiting, reason: str | None = None, *, wait: int | None = None, sent: bool = False) -> Response:
    here, pending = parts(), waiting.pending
    with here.database.reading() as db:
        address = primary_email(db.get_one(Account, waiting.account_id)).address
    response = show(
        "login/second_mail.html",
        pending,
        429 if wait else 400 if reason else 200,
        # Whoever knows the password alone need not know the rest of it.
        email=mask_email(address),
        sent=sent,
        signed_in=waiting.session is not None,
        reason=reason,
        wait=wait,
        receipt=pending.receipt if reason or wait else None,
    )
    if wait:
        response.headers["Retry-After"] = str(wait)
    return response
