"""``/login``: the first step of every sign-in, the e-mail address. It leads to the right door.

What it answers depends on the address's domain, the product and the company's policy, never on whether anybody has an
account (``routing.py``).
"""

from __future__ import annotations

import re
from urllib.parse import urlencode

from flask import Blueprint, Response, g, request

from idp.accounts.identity import TWO_FACTORS, canonical_email
from idp.accounts.remembered import remembered
from idp.accounts.visitor import visitor
from idp.attempts import Step
from idp.errors import PageError
from idp.login.journey import find_pending, lead_to_provider, park, show, with_passkeys
from idp.login.pending import Pending
from idp.login.routing import Choose, OwnEmail, Route, ToConnection
from idp.login.which_door import door_of, door_of_domain, hinted_connection, silent_provider
from idp.parts import parts
from idp.redirects import go

bp = Blueprint("login_start", __name__)

MAX_EMAIL = 320
OWN_PAGE = re.compile(r"/me(/[a-z-]{1,40}){0,3}")


@bp.get("/login")
def ask_email() -> Response:
    """Ask for the e-mail address. Without a pending login the person came by themselves: begin one that ends at /me.

    What the product knows of the person, or this browser remembers, skips this step. Whoever came from a social provider last
    may still be signed in there: it is asked once, without showing anything.
    """
    handle = request.args.get("p")
    if "again" in request.args:
        return _ask_anew(request.args["again"])
    if not handle:
        g.receipt = parts().attempts.start()
        return go("/login", p=park("me", email=remembered()))
    pending = find_pending(handle)
    if "other" in request.args:
        return _page(pending, pending.email)
    hinted = hinted_connection(pending.connection)
    if hinted:
        return _lead(pending, ToConnection(hinted))
    email = _address(pending.email)
    way: Route | int = OwnEmail()
    if email:
        way = door_of(email, hinted=pending.connection)
    elif pending.domain:
        way = door_of_domain(pending.domain)
    if isinstance(way, ToConnection | Choose) or (email and isinstance(way, int)):
        return _lead(pending, way)
    provider = _silent_provider(pending)
    if provider:
        return go(f"/login/social/{provider}", p=handle, silent="yes")
    return _lead(pending, way) if email else _page(pending, pending.email)


@bp.post("/login")
def take_email() -> Response:
    """Take the e-mail address and go to its door, or to the other door that was asked for with what is typed so far."""
    handle = request.form.get("p", "")
    username = request.form.get("username", "").strip()[:MAX_EMAIL]
    kept = "yes" if request.form.get("keep") == "yes" else ""
    door = request.form.get("door", "")
    if door == "company":
        find_pending(handle, email=username, keep=kept)
        return go("/login/company", p=handle)
    if door in parts().providers:
        return _lead_to_provider(handle, door, username, kept)
    email = _address(username)
    if not email:
        return _page(find_pending(handle), username, problem="login.email_malformed", status=400)
    pending = find_pending(handle, email=username, keep=kept, hint=username)
    return _lead(pending, door_of(email, hinted=pending.connection))


def _ask_anew(path: str) -> Response:
    """Have who is signed in prove once more who they are, for one of their own pages (``fresh_proof.py``)."""
    if not OWN_PAGE.fullmatch(path):
        raise PageError("request_unreadable", parameter="again")
    session = visitor()
    email = session.email if session else remembered()
    wanted = (TWO_FACTORS,) if request.args.get("second") == "yes" else ()
    g.receipt = parts().attempts.start()
    return go("/login", p=park("me", request=path, email=email, fresh=True, acr_values=wanted))


def _silent_provider(pending: Pending) -> str:
    """The social provider that is asked now whether it knows who is at the browser; "" where none is."""
    if pending.asked_silently or pending.fresh or pending.connection or pending.domain:
        return ""
    provider = silent_provider()
    return provider if provider and visitor() is None else ""


def _lead_to_provider(handle: str, provider: str, username: str, kept: str) -> Response:
    pending = find_pending(handle)
    if "username" in request.form:  # some pages with these doors have no field for it
        # What we filled in is nobody's business there; what was typed is meant for whoever asks next.
        typed = {"hint": username} if username != pending.email else {}
        find_pending(handle, email=username, keep=kept, **typed)
    return lead_to_provider(f"/login/social/{provider}?{urlencode({'p': handle})}", parts().providers[provider].name)


def _lead(pending: Pending, way: Route | int) -> Response:
    match way:
        case ToConnection(connection):
            parts().attempts.step(pending.receipt, Step.company_routed, connection_id=connection)
            return go("/login/company/start", p=pending.handle, c=connection)
        case Choose():
            return go("/login/company/choose", p=pending.handle)
        case int(wait):
            parts().attempts.step(pending.receipt, Step.throttled, reason="throttled", wait=wait)
            response = _page(pending, pending.email, wait=wait, status=429)
            response.headers["Retry-After"] = str(wait)
            return response
        case _:
            return go("/login/password", p=pending.handle)


def _address(text: str) -> str:
    """The canonical form of what was typed; "" if it is no address."""
    if (
        not text
    ):  # the usual case; without it the reader of addresses takes a tenth of the page's time to refuse nothing
        return ""
    try:
        return canonical_email(text)
    except ValueError:
        return ""


def _page(
    pending: Pending, username: str, *, problem: str | None = None, wait: int | None = None, status: int = 200
) -> Response:
    receipt = pending.receipt if problem or wait else None
    keep = pending.keep or bool(remembered())  # who was kept signed in before wants it again
    return show(
        "login/start.html",
        pending,
        status,
        username=username,
        problem=problem,
        wait=wait,
        receipt=receipt,
        keep=keep,
        **with_passkeys(pending),
    )
