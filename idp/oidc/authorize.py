"""``/authorize``: a product sends its user here, and gets an answer here. ``/authorize/resume``: back from signing in."""

from __future__ import annotations

from typing import assert_never

from flask import Blueprint, Response, abort, g, request

from idp import cookies, csrf
from idp.accounts.identity import ONE_FACTOR
from idp.accounts.remembered import remembered
from idp.accounts.sessions import Session
from idp.accounts.visitor import visitor
from idp.attempts import Step
from idp.errors import PageError
from idp.login import pending as pendings
from idp.login.journey import park
from idp.login.next_step import AskCompany, AskConsent, AskLogin, AskProvider, AskSecondFactor, Issue, Progress, Refuse
from idp.login.pending import Pending
from idp.login.which_door import silent_connection, silent_provider
from idp.oidc.error_responses import DESCRIPTIONS, refuse, send
from idp.oidc.posted import come_back_by_get, posted_or_query
from idp.oidc.request_checks import CheckedRequest, RequestRefused, check_request
from idp.parts import parts
from idp.redirects import go

bp = Blueprint("authorize", __name__)


@bp.route("/authorize", methods=["GET", "POST"], provide_automatic_options=False)
@csrf.exempt
def authorize() -> Response:
    """Take an authorization request, by GET or POST (OpenID Connect Core 3.1.2.1)."""
    here = parts()
    g.receipt = here.attempts.start()
    if request.method == "HEAD":
        abort(405)  # never a request whose answer nobody reads (P-19, AZ-19)
    if request.method == "POST":
        return come_back_by_get()
    raw = posted_or_query()
    try:
        checked = check_request(raw, here.clients)
    except RequestRefused as error:
        return _refused(error)
    here.attempts.step(
        g.receipt, Step.request_received, client_id=checked.client.client_id, scope=" ".join(checked.scopes)
    )
    return _proceed(checked, raw, None)


@bp.get("/authorize/resume", provide_automatic_options=False)
def resume() -> Response:
    """Come back from the door or from consent: the same decision again, with what has happened since."""
    here = parts()
    handle = request.args.get("p", "")
    pending = pendings.find(here.store, handle, cookies.browser(), here.clock())
    g.receipt = pending.receipt
    if pending.purpose != "authorize":
        raise PageError("pending_unknown")
    try:
        # The client may have changed or gone while the person was away.
        checked = check_request(pending.request, here.clients)
    except RequestRefused as error:
        pendings.take(here.store, handle, cookies.browser(), here.clock())
        return _refused(error)
    return _proceed(checked, pending.request, pending)


def _proceed(checked: CheckedRequest, raw: str, pending: Pending | None) -> Response:
    here = parts()
    now = here.clock()
    session = visitor()
    progress = _progress(pending, session)
    company = provider = ""
    if "none" in checked.prompt and session is None and pending is None:
        company = silent_connection(
            connection=checked.idp_hint, domain=checked.domain_hint, email=checked.login_hint or remembered()
        )
        provider = "" if checked.idp_hint or checked.domain_hint else silent_provider()
    step = here.authorization.decide(checked, session, progress, now, company=company, provider=provider)
    match step:
        case AskCompany(connection):
            return go("/login/company/start", p=_park(checked, raw, session), c=connection)
        case AskProvider(provider):
            return go(f"/login/social/{provider}", p=_park(checked, raw, session))
        case AskLogin(fresh):
            if pending and fresh and not pending.fresh:  # parked as an ordinary sign-in: begin another
                pendings.take(here.store, pending.handle, cookies.browser(), now)
                pending = None
            return go("/login", p=pending.handle if pending else _park(checked, raw, session, fresh=fresh))
        case AskSecondFactor():
            return go("/login/second", p=pending.handle if pending else _park(checked, raw, session))
        case AskConsent():
            return go("/consent", p=pending.handle if pending else _park(checked, raw, session))
        case Issue(scopes):
            assert session is not None  # next_step issues to nobody else
            if pending:
                pendings.take(here.store, pending.handle, cookies.browser(), now)
            fields = here.authorization.issue(checked, session, scopes, g.receipt, now)
            return send(checked.redirect_uri, checked.response_mode, fields)
        case Refuse(error, reason):
            if pending:
                pendings.take(here.store, pending.handle, cookies.browser(), now)
            here.attempts.step(
                g.receipt,
                Step.request_refused,
                reason=reason,
                outcome="failed",
                client_id=checked.client.client_id,
                account_id=session.account_id if session else None,
            )
            fields = here.authorization.response_fields(
                checked.state, error=error, error_description=DESCRIPTIONS[error]
            )
            return send(checked.redirect_uri, checked.response_mode, fields)
        case _:
            assert_never(step)


def _progress(pending: Pending | None, session: Session | None) -> Progress:
    if pending is None:
        return Progress()
    # A consent counts only for the session that was asked, not for whoever has signed in meanwhile.
    asked = session is not None and pending.asked == session.key
    return Progress(
        pending.session,
        pending.consent if asked else "",
        fresh=pending.fresh,
        second=pending.second,
        door_asked=pending.silent,
    )


def _park(checked: CheckedRequest, raw: str, session: Session | None, *, fresh: bool = False) -> str:
    email = checked.login_hint or (session.email if session else remembered())
    if checked.domain_hint and not checked.login_hint and not email.lower().endswith(f"@{checked.domain_hint}"):
        email = ""  # the product knows better than this browser who comes
    return park(
        "authorize",
        request=raw,
        client_id=checked.client.client_id,
        email="" if "select_account" in checked.prompt else email,
        ui_locales=checked.ui_locales,
        scopes=checked.scopes,
        connection=checked.idp_hint,
        domain=checked.domain_hint,
        fresh=fresh or "login" in checked.prompt or checked.max_age is not None,
        max_age=checked.max_age,
        acr_values=checked.essential_acr or checked.acr_values,
        demands_two=bool(checked.essential_acr) and ONE_FACTOR not in checked.essential_acr,
        silent="none" in checked.prompt,
        # A provider would choose by itself who comes; whom the product names it does not know.
        asked_silently="select_account" in checked.prompt or checked.names_person,
        hint=checked.login_hint,
    )


def _refused(error: RequestRefused) -> Response:
    # What support needs to see in the commonest mistake of all; the receipt keeps it without its query.
    wrong = {"redirect_uri": request.args.get("redirect_uri", "")} if error.parameter == "redirect_uri" else {}
    parts().attempts.step(
        g.receipt,
        Step.request_refused,
        reason=error.reason,
        outcome="failed",
        client_id=error.client.client_id if error.client else None,
        parameter=error.parameter,
        **wrong,
    )
    return refuse(error, g.receipt)
