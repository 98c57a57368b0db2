"""The door for passkeys, ``/login/passkey``: whoever shows one needs to type nothing, and has given two kinds of proof.

The button that leads here stands on the first pages and needs script; without it those pages work as ever. What a browser is
asked for is the same for everybody, so nothing here tells who has an account.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from idp import throttle
from idp.accounts.identity import TWO_FACTORS, Identity
from idp.accounts.lifecycle import primary_email
from idp.accounts.passkeys import Shown
from idp.accounts.remembered import remembered
from idp.attempts import Step
from idp.enforcement import own_door
from idp.login.finish import finish
from idp.login.journey import find_pending, passkey_purpose, show, with_passkeys
from idp.login.pending import Pending
from idp.models import Account
from idp.parts import parts
from idp.visiting import peer

bp = Blueprint("passkey", __name__)


@bp.get("/login/passkey")
def ask_for_passkey() -> Response:
    """The page by itself: where a passkey that was not believed leads."""
    return _page(find_pending(request.args.get("p", "")))


@bp.post("/login/passkey")
def take_passkey() -> Response:
    """Look at what the browser shows; if it is believed the journey goes on, else the page says what to do."""
    here = parts()
    now = here.clock()
    kept = request.form.get("keep") == "yes"
    pending = find_pending(request.form.get("p", ""), keep="yes" if kept else "")
    ticket = throttle.take_passkey(here.store, network=peer(), now=now)
    if ticket.wait:
        return _wait(pending, ticket.wait)
    with here.database.transaction() as db:
        shown = here.passkeys.verify(db, request.form.get("answer", ""), passkey_purpose(pending), now=now)
        if not isinstance(shown, Shown):
            here.attempts.step(
                pending.receipt,
                Step.passkey_checked,
                reason=shown.reason,
                door="passkey",
                address=peer(),
                detail=shown.detail,
            )
            return _page(pending, shown.reason)
        door = own_door(db, "", shown.account_id, "password")
        email = primary_email(db.get_one(Account, shown.account_id)).canonical
    reason = "" if door.opens else "company_sso_required"
    here.attempts.step(
        pending.receipt,
        Step.passkey_checked,
        reason=reason or None,
        door="passkey",
        account_id=shown.account_id,
        address=peer(),
        amr=" ".join(shown.methods),
    )
    if reason:
        return _page(find_pending(pending.handle, email=email), reason)  # by which the company's door is found
    if door.break_glass:  # which is mailed to others each time, so it may not happen more often than by the password
        wait = throttle.take_sign_in(here.store, email=email, network=peer(), device=None, now=now).wait
        if wait:
            return _wait(pending, wait)
    throttle.give_back(here.store, ticket, now)
    return finish(pending, _identity(shown), kept=kept)


def _identity(shown: Shown) -> Identity:
    here = parts()
    return Identity(
        door="passkey",
        issuer=here.config.issuer,
        subject=shown.account_id,
        email=None,
        email_verified=False,
        name=None,
        methods=shown.methods,
        at=int(here.clock()),
        acr=TWO_FACTORS,
        passkey=shown.passkey,
    )


def _wait(pending: Pending, wait: int) -> Response:
    parts().attempts.step(pending.receipt, Step.throttled, reason="throttled", door="passkey", wait=wait)
    response = _page(pending, wait=wait)
    response.headers["Retry-After"] = str(wait)
    return response


def _page(pending: Pending, reason: str | None = None, *, wait: int | None = None) -> Response:
    return show(
        "login/passkey.html",
        pending,
        429 if wait else 403 if reason == "company_sso_required" else 400 if reason else 200,
        reason=reason,
        wait=wait,
        receipt=pending.receipt if reason or wait else None,
        keep=pending.keep or bool(remembered()),
        **with_passkeys(pending),
    )
