"""``/help/why-sign-in``: why somebody is asked to sign in, which account this browser holds, and what to do without one.

Also where somebody ends who comes through a social provider, has no account, and wants a product that only organizers use: no
account is made that would be of no use.
"""

from __future__ import annotations

from flask import Blueprint, Response, g, request

from idp.accounts.visitor import visitor
from idp.login.arrival import read_newcomer
from idp.login.journey import find_if_any, find_pending, park, provider_name
from idp.parts import parts
from idp.redirects import go
from idp.rendering import render_page

bp = Blueprint("why_sign_in", __name__)


@bp.get("/help/why-sign-in")
def explain() -> Response:
    """Say it; with a sign-in that is under way (``p``) also for which product, and as whom the person came."""
    pending = find_if_any(request.args.get("p", ""))
    session = visitor()
    client = parts().clients.find(pending.client_id) if pending is not None else None
    who = read_newcomer(pending.newcomer) if pending is not None and pending.newcomer else None
    return render_page(
        "login/why_sign_in.html",
        language=(pending.ui_locales if pending is not None else "") or (session.locale if session else None),
        p=pending.handle if pending is not None else None,
        client=client,
        back=client.client_uri if client else None,
        signed_in=session.email if session else None,
        provider=provider_name(who.identity.door) if who else None,
        email=(who.address or who.identity.email) if who else None,
    )


@bp.post("/help/why-sign-in")
def use_another_account() -> Response:
    """Begin at the first step, without the address that stands there and with doors that ask who it is."""
    pending = find_if_any(request.form.get("p", ""))
    if pending is None:
        g.receipt = parts().attempts.start()
        return go("/login", p=park("me", fresh=True), other="yes")
    find_pending(pending.handle, email="", hint="", newcomer="", proving="", asked_silently="yes", fresh="1")
    return go("/login", p=pending.handle, other="yes")
