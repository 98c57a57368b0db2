"""The standard door, ``/login/password``: an e-mail address and a password.

The same answer, the same work and the same time for every address, whoever has an account here.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from idp import cookies, throttle
from idp.accounts import devices
from idp.accounts.identity import Identity, canonical_email
from idp.accounts.passwords import check_password, find_credentials, store_rehash
from idp.accounts.remembered import remembered
from idp.attempts import Step
from idp.errors import IdpError
from idp.login.finish import finish
from idp.login.journey import find_pending, show
from idp.login.pending import Pending
from idp.parts import parts
from idp.visiting import peer

bp = Blueprint("password", __name__)


@bp.get("/login/password")
def ask_password() -> Response:
    """Show e-mail and password together, so that a password manager can fill both."""
    pending = find_pending(request.args.get("p", ""))
    return _page(pending, pending.email, keep=bool(remembered()))  # who was kept signed in before wants it again


@bp.post("/login/password")
def take_password() -> Response:
    """Check the password; on success the journey goes on, else the same page says what to do."""
    username = request.form.get("username", "").strip()
    kept = request.form.get("keep") == "yes"
    pending = find_pending(request.form.get("p", ""))
    try:
        email = canonical_email(username)
    except ValueError:
        return _page(pending, username[:320], keep=kept, problem="login.email_malformed", status=400)
    answer = check(email, request.form.get("password", ""), pending)
    match answer:
        case Identity():
            return finish(pending, answer, kept=kept)
        case int(wait):
            response = _page(pending, username, keep=kept, wait=wait, status=429)
            response.headers["Retry-After"] = str(wait)
            return response
        case None:
            return _page(pending, username, keep=kept, problem="login.password_wrong", status=400)


def check(email: str, password: str, pending: Pending) -> Identity | int | None:
    """Check a password for a canonical address: an Identity, None when it is wrong, or the seconds to wait before it is
    looked at."""
    here = parts()
    now = here.clock()
    device = cookies.find(cookies.DEVICE)
    with here.database.reading() as db:
        credentials = find_credentials(db, email)
        known = devices.is_known(db, credentials.account_id, device)
    ticket = throttle.take_sign_in(here.store, email=email, network=peer(), device=device if known else None, now=now)
    if ticket.wait:
        here.attempts.step(
            pending.receipt, Step.throttled, reason="throttled", door="password", email=email, wait=ticket.wait
        )
        return ticket.wait
    try:
        checked = check_password(credentials, password, here.hasher)
    except IdpError:  # it was never looked at: too long, or too many are waiting
        throttle.give_back(here.store, ticket, here.clock())
        raise
    here.attempts.step(
        pending.receipt,
        Step.password_checked,
        reason=checked.reason or None,
        door="password",
        account_id=checked.account_id,
        email=email,
        address=peer(),
        known_device=known,
    )
    if checked.account_id is None:
        return None
    throttle.give_back(here.store, ticket, here.clock())
    if checked.rehashed:
        with here.database.transaction() as db:
            store_rehash(db, credentials, checked.rehashed)
    return Identity(
        door="password",
        issuer=here.config.issuer,
        subject=checked.account_id,
        email=email,
        email_verified=False,
        name=None,
        methods=("pwd",),
        at=int(here.clock()),
    )


def _page(
    pending: Pending,
    username: str,
    *,
    keep: bool,
    problem: str | None = None,
    wait: int | None = None,
    status: int = 200,
) -> Response:
    return show(
        "login/password.html",
        pending,
        status,
        username=username,
        problem=problem,
        wait=wait,
        receipt=pending.receipt if problem or wait else None,
        keep=keep,
    )
