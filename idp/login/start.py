"""``/login``: the first step of every sign-in, the e-mail address. It leads to the right door."""

from __future__ import annotations

from flask import Blueprint, Response, g, request

from idp.accounts.identity import canonical_email
from idp.accounts.remembered import remembered
from idp.login.journey import find_pending, park, show
from idp.login.pending import Pending
from idp.parts import parts
from idp.redirects import go

bp = Blueprint("login_start", __name__)

MAX_EMAIL = 320


@bp.get("/login")
def ask_email() -> Response:
    """Ask for the e-mail address. Without a pending login the person came by themselves: begin one that ends at /me."""
    handle = request.args.get("p")
    if not handle:
        g.receipt = parts().attempts.start()
        return go("/login", p=park("me", email=remembered()))
    pending = find_pending(handle)
    if pending.email and "other" not in request.args and _is_address(pending.email):
        return go("/login/password", p=handle)  # a hint or a remembered account skips this step
    return _page(pending, pending.email)


@bp.post("/login")
def take_email() -> Response:
    """Take the e-mail address and go to its door. The same answer whether or not an account has this address."""
    handle = request.form.get("p", "")
    username = request.form.get("username", "").strip()[:MAX_EMAIL]
    if not _is_address(username):
        return _page(find_pending(handle), username, problem="login.email_malformed", status=400)
    find_pending(handle, email=username)
    return go("/login/password", p=handle)


def _is_address(text: str) -> bool:
    try:
        canonical_email(text)
    except ValueError:
        return False
    return True


def _page(pending: Pending, username: str, *, problem: str | None = None, status: int = 200) -> Response:
    receipt = pending.receipt if problem else None
    return show("login/start.html", pending, status, username=username, problem=problem, receipt=receipt)
