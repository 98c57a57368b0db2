"""The standard door, ``/login/password``: an e-mail address and a password.

The same answer, the same work and the same time for every address, whoever has an account here.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from idp.accounts.identity import canonical_email
from idp.accounts.remembered import remembered
from idp.login.finish import finish
from idp.login.half_way import RightPassword
from idp.login.journey import find_pending, show, with_passkeys
from idp.login.password_check import identity_by_password, try_password
from idp.login.pending import Pending

bp = Blueprint("password", __name__)


@bp.get("/login/password")
def ask_password() -> Response:
    """Show e-mail and password together, so that a password manager can fill both."""
    pending = find_pending(request.args.get("p", ""))
    reset = request.args.get("notice") == "reset"
    return _page(pending, pending.email, keep=pending.keep or bool(remembered()), reset=reset)


@bp.post("/login/password")
def take_password() -> Response:
    """Check the password; on success the journey goes on, else the same page says what to do."""
    username = request.form.get("username", "").strip()
    kept = request.form.get("keep") == "yes"
    handle = request.form.get("p", "")
    try:
        email = canonical_email(username)
    except ValueError:
        return _page(find_pending(handle), username[:320], keep=kept, problem="login.email_malformed", status=400)
    pending = find_pending(handle, email=username)  # the other door finds it filled in
    answer = try_password(email, request.form.get("password", ""), pending.receipt, signs_in=True)
    match answer:
        case RightPassword(account_id):
            return finish(pending, identity_by_password(account_id, email), kept=kept, password=answer)
        case int(wait):
            response = _page(pending, username, keep=kept, wait=wait, status=429)
            response.headers["Retry-After"] = str(wait)
            return response
        case None:
            return _page(pending, username, keep=kept, problem="login.password_wrong", status=400)


def _page(
    pending: Pending,
    username: str,
    *,
    keep: bool,
    reset: bool = False,
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
        reset=reset,
        **with_passkeys(pending),
    )
