"""``/sign-in`` ``/callback`` ``/sign-out`` ``/signed-out`` ``/backchannel-logout`` of the admin center: a relying party like any other."""

from __future__ import annotations

import base64
import hmac
import re
from urllib.parse import urlsplit

from flask import Blueprint, Response, request

from idp import cookies, csrf
from idp.admin import admin_sessions
from idp.admin.access import FRESH, open_to_all, own_client, signed_in
from idp.admin.access import session as own_session
from idp.admin.admin_sessions import AdminSession, Started
from idp.errors import PageError
from idp.parts import parts
from idp.redirects import go, leave
from idp.rendering import choose_language, render_page

bp = Blueprint("admin_sign_in", __name__)

# Printable ASCII without backslash, and no second slash: browsers read "/\\evil" and "/<tab>/evil" as another host.
_OWN_PATH = re.compile(r"/(?!/)[!-\[\]-~]{0,1000}")


@bp.get("/sign-in")
@open_to_all
def sign_in() -> Response:
    """Send the browser to the provider. Also where a sign-in begins that the provider asks for (OpenID Connect Core section 4)."""
    here, client = parts(), own_client()
    if request.args.get("iss", client.issuer) != client.issuer:
        raise PageError("admin_sign_in_failed", detail="iss: another provider")
    state, nonce, verifier = (base64.urlsafe_b64encode(here.random(32)).decode().rstrip("=") for _ in range(3))
    back = _own_path(request.args.get("back", "")) or _own_address(request.args.get("target_link_uri", "")) or "/"
    admin_sessions.start(here.store, cookies.browser(), state, Started(nonce, verifier, back))
    fresh = FRESH - 60 if request.args.get("fresh") else None  # a minute for the way back
    chosen = cookies.find(cookies.LANGUAGE)
    return leave(
        client.authorization_url(
            state=state, nonce=nonce, verifier=verifier, max_age=fresh, ui_locales=chosen or choose_language()
        )
    )


@bp.get("/callback")
@open_to_all
def callback() -> Response:
    """Take the provider's answer (RFC 6749 section 4.1.2, RFC 9207) and open a session of our own."""
    here, client = parts(), own_client()
    state = request.args.get("state", "")
    browser = cookies.find(cookies.BROWSER)
    started = admin_sessions.take_started(here.store, browser, state) if browser and len(state) <= 100 else None
    if started is None:  # an old page, or somebody else's answer: nothing was begun here
        return go("/")
    if not hmac.compare_digest(request.args.get("iss", "").encode(), client.issuer.encode()):
        raise PageError("admin_sign_in_failed", detail="iss: another provider")
    if "code" not in request.args:
        raise PageError("admin_not_signed_in", detail=f"the provider says {request.args.get('error', 'nothing')[:60]}")
    now = here.clock()
    found = client.redeem(request.args["code"], nonce=started.nonce, verifier=started.verifier, now=now)
    before = cookies.find(cookies.SESSION)
    opened = AdminSession(
        found.sub, found.sid, found.auth_time, found.acr, int(now) + admin_sessions.LIFETIME, found.id_token
    )
    cookie = admin_sessions.open_session(here.store, opened, here.random, now)
    if before is not None:
        admin_sessions.end_session(here.store, before)
    response = leave(started.back)
    cookies.put(response, cookies.SESSION, cookie)
    return response


@bp.post("/sign-out")
@signed_in
def sign_out() -> Response:
    """End the session here, then the provider's. Nor does a set-up link go on that was opened in this browser: whoever sits down at it next
    need not be who was given it."""
    cookie = cookies.find(cookies.SESSION)
    if cookie is not None:
        admin_sessions.end_session(parts().store, cookie)
    response = leave(own_client().logout_url(own_session().id_token))
    cookies.remove(response, cookies.SESSION)
    if cookies.find(cookies.SET_UP):
        cookies.remove(response, cookies.SET_UP)
    return response


@bp.get("/signed-out")
@open_to_all
def signed_out() -> Response:
    """Where the provider sends whoever has signed out."""
    return render_page("admin/signed_out.html")


@bp.post("/backchannel-logout")
@csrf.exempt
@open_to_all
def backchannel_logout() -> Response:
    """The provider says that a session has ended (OpenID Connect Back-Channel Logout 2.5)."""
    here = parts()
    sid = own_client().ended_session(request.form.get("logout_token", ""), here.clock())
    admin_sessions.end_sessions_of(here.store, sid)
    return Response(status=200, headers={"Cache-Control": "no-store"})


def _own_path(text: str) -> str:
    return text if _OWN_PATH.fullmatch(text) else ""


def _own_address(text: str) -> str:
    """The path of an address of the admin center."""
    if not text.startswith(own_client().origin + "/"):
        return ""
    found = urlsplit(text)
    return _own_path(found.path)
