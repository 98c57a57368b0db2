"""``/logout``: a product signs its user out of everything here (OpenID Connect RP-Initiated Logout 1.0).

Nobody is signed out without a question unless a genuine ID token of this very session is shown, and nobody is sent
anywhere but to an address that is registered for the client of that ID token.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response, abort, g, request

from idp import audit, cookies, csrf
from idp.accounts.company_sign_out import go_to_company
from idp.accounts.remembered import forget
from idp.accounts.sessions import Session, end_sessions, queue_logout_notices
from idp.accounts.visitor import visitor
from idp.attempts import Step
from idp.client_record import Client
from idp.errors import PageError
from idp.login import pending as pendings
from idp.login.journey import park
from idp.machine import form_fields
from idp.oidc.authorization import with_parameters
from idp.oidc.posted import come_back_by_get, posted_or_query
from idp.oidc.request_checks import MAX_QUERY, MAX_STATE
from idp.parts import parts
from idp.redirects import go, leave
from idp.rendering import render_page

bp = Blueprint("logout", __name__)


@dataclass(frozen=True, slots=True)
class LogoutRequest:
    """A logout request in which everything has been checked. ``hint`` holds the claims of a genuine ID token of ours."""

    client: Client | None
    hint: dict[str, object] | None
    redirect_uri: str = ""
    state: str | None = None
    ui_locales: str = ""


@bp.route("/logout", methods=["GET", "POST"], provide_automatic_options=False)
@csrf.exempt
def logout() -> Response:
    """Take a logout request, by GET or POST."""
    here = parts()
    if request.method == "HEAD":
        abort(405)
    g.receipt = here.attempts.start()
    if request.method == "POST":
        return come_back_by_get()
    raw = posted_or_query()
    wanted = _check(raw)
    session = visitor()
    here.attempts.step(g.receipt, Step.logout_asked, client_id=wanted.client.client_id if wanted.client else None)
    if session is None and (wanted.hint is not None or not wanted.redirect_uri):
        return _done(wanted)  # there is nothing to end
    if session is not None and _is_of_this_session(wanted, session):
        return _sign_out(session, wanted, raw)
    return go("/logout/confirm", l=park("logout", request=raw))


@bp.get("/logout/confirm")
def ask() -> Response:
    """Ask whether to sign out."""
    pending = pendings.find(parts().store, request.args.get("l", ""), cookies.browser(), parts().clock())
    g.receipt = pending.receipt
    wanted = _check(pending.request)
    session = visitor()
    return render_page(
        "oidc/logout_confirm.html",
        language=wanted.ui_locales or (session.locale if session else None),
        form_targets=(wanted.redirect_uri,) if wanted.redirect_uri else (),
        client=wanted.client,
        email=session.email if session else None,
        l=pending.handle,
    )


@bp.post("/logout/confirm")
def confirmed() -> Response:
    """Sign out after the question."""
    here = parts()
    pending = pendings.take(here.store, request.form.get("l", ""), cookies.browser(), here.clock())
    g.receipt = pending.receipt
    wanted = _check(pending.request)
    session = visitor()
    return _sign_out(session, wanted, pending.request) if session else _done(wanted)


@bp.get("/logout/done")
def done() -> Response:
    """Go on where a logout was going, after the company of the person."""
    here = parts()
    pending = pendings.take(here.store, request.args.get("l", ""), cookies.browser(), here.clock())
    g.receipt = pending.receipt
    return _done(_check(pending.request))


def _check(raw: str) -> LogoutRequest:
    """Check a logout request.

    :raises PageError: naming the parameter at fault. Nothing wrong is ever answered by a redirect.
    """
    here = parts()
    if len(raw) > MAX_QUERY:
        raise PageError("request_too_large", status=413)
    fields = form_fields(raw.encode("latin-1"))
    hint: dict[str, object] | None = None
    client = None
    if "id_token_hint" in fields:
        hint = here.provider.check_id_token_hint(fields["id_token_hint"])
        if hint is None:
            raise PageError("id_token_hint_wrong", parameter="id_token_hint")
        client = here.clients.find(str(hint["aud"]))
    if "client_id" in fields:
        named = here.clients.find(fields["client_id"])
        if named is None or (hint is not None and named.client_id != hint["aud"]):
            raise PageError("client_unknown", parameter="client_id")
        client = named
    if client is None:
        hint = None  # of a client that is gone: it proves nothing any more, so there is a question and no way back
    redirect_uri = fields.get("post_logout_redirect_uri", "")
    if redirect_uri and (client is None or redirect_uri not in client.post_logout_redirect_uris):
        if hint is not None or client is not None:
            raise PageError("post_logout_redirect_uri_unregistered", parameter="post_logout_redirect_uri")
        redirect_uri = ""
    state = fields.get("state")
    return LogoutRequest(
        client=client,
        hint=hint,
        redirect_uri=redirect_uri if hint is not None else "",
        state=state if state is not None and len(state) <= MAX_STATE else None,
        ui_locales=fields.get("ui_locales", "")[:128],
    )


def _is_of_this_session(wanted: LogoutRequest, session: Session) -> bool:
    return (
        wanted.hint is not None
        and wanted.client is not None
        and wanted.hint.get("sid") == session.sid(wanted.client.client_id)
    )


def _sign_out(session: Session, wanted: LogoutRequest, raw: str) -> Response:
    here = parts()
    now = here.clock()
    with here.database.transaction() as db:
        # First written down who must hear of it, then ended: what fails in between can be done again.
        queue_logout_notices(db, here.store, [session], here.clients, now)
        audit.record(
            db,
            audit.Event.person_signed_out,
            now=now,
            actor=f"person:{session.account_id}",
            account_id=session.account_id,
        )
    end_sessions(here.store, [session])
    here.attempts.step(
        g.receipt,
        Step.signed_out,
        client_id=wanted.client.client_id if wanted.client else None,
        account_id=session.account_id,
    )
    if session.company is not None:
        response = go_to_company(session.company, back=f"/logout/done?l={park('logout', request=raw)}")
        forget(response)
        return response
    return _done(wanted)


def _done(wanted: LogoutRequest) -> Response:
    if wanted.redirect_uri:
        fields = [] if wanted.state is None else [("state", wanted.state)]
        response = leave(with_parameters(wanted.redirect_uri, fields) if fields else wanted.redirect_uri)
    else:
        response = render_page("oidc/logged_out.html", language=wanted.ui_locales, client=wanted.client)
    forget(response)
    return response
