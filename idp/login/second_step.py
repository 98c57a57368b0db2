"""``/login/second``: one proof is not enough. A code of the authenticator app, a recovery code or a passkey is asked for beside it."""

from __future__ import annotations

from flask import Blueprint, Response, request

from idp import throttle
from idp.accounts.passkeys import Shown
from idp.accounts.second_factors import AskSecond, Held, Second
from idp.accounts.totp import tidy_code
from idp.attempts import Step
from idp.login.journey import show
from idp.login.who_waits import Waiting, go_on, go_without, held_by, lead, still_asked, take_try, who_waits
from idp.parts import parts
from idp.redirects import go
from idp.visiting import peer

bp = Blueprint("second_step", __name__)


@bp.get("/login/second")
def ask_for_second() -> Response:
    """Ask for what the account has."""
    waiting = who_waits(request.args.get("p", ""))
    if waiting is None:
        return go("/login", p=request.args.get("p", ""))
    held = held_by(waiting)
    more = still_asked(waiting, held)
    return _page(waiting, held) if isinstance(more, AskSecond) else lead(waiting, more)


@bp.post("/login/second")
def take_second() -> Response:
    """Look at a code or a passkey; if it counts the journey goes on, else the page says what to do."""
    handle = request.form.get("p", "")
    waiting = who_waits(handle)
    if waiting is None:
        return go("/login", p=handle)
    held = held_by(waiting)
    more = still_asked(waiting, held)
    if not isinstance(more, AskSecond):
        return lead(waiting, more)
    ticket = take_try(waiting, held)
    if ticket.wait:
        return _page(waiting, held, wait=ticket.wait)
    here = parts()
    second, kind, reason = _look(waiting)
    here.attempts.step(
        waiting.pending.receipt,
        Step.second_checked,
        reason=reason or None,
        account_id=waiting.account_id,
        address=peer(),
        received=kind,
        proved=waiting.account_id,
    )
    if second is None:
        return _page(waiting, held, reason)
    throttle.give_back(here.store, ticket, here.clock())
    return go_on(waiting, second, remembering=request.form.get("remember") == "yes")


@bp.post("/login/second/without")
def show_none() -> Response:
    """Whoever is signed in shows none."""
    waiting = who_waits(request.form.get("p", ""))
    if waiting is None or waiting.session is None:
        return go("/login", p=request.form.get("p", ""))
    return go_without(waiting)


def _look(waiting: Waiting) -> tuple[Second | None, str, str]:
    """What was shown, what kind it was, and a code of the reasons table if it does not count."""
    here, who = parts(), waiting.account_id
    now = here.clock()
    with here.database.transaction() as db:
        if "answer" in request.form:
            shown = here.passkeys.verify(db, request.form["answer"], waiting.bound, now=now, account_id=who)
            if isinstance(shown, Shown):
                return Second(shown.methods), "passkey", ""
            return None, "passkey", shown.reason
        code = tidy_code(request.form.get("code", ""))
        if here.totps.take(db, who, code, now):
            return Second(("otp",)), "totp", ""
        if here.recovery_codes.take(db, who, code, now):
            return Second(("otp",), code=True), "recovery code", ""
    return None, "code", "second_code_wrong"


def _page(waiting: Waiting, held: Held, reason: str | None = None, *, wait: int | None = None) -> Response:
    here, pending = parts(), waiting.pending
    with here.database.reading() as db:
        passkey = here.passkeys.options_for_second(db, waiting.account_id, waiting.bound, here.clock())
    response = show(
        "login/second_step.html",
        pending,
        429 if wait else 400 if reason else 200,
        totp=held.totp,
        codes=held.codes > 0,
        passkey=passkey,
        signed_in=waiting.session is not None,
        reason=reason,
        wait=wait,
        receipt=pending.receipt if reason or wait else None,
    )
    if wait:
        response.headers["Retry-After"] = str(wait)
    return response
