"""``/consent``: may this product see what it asks for? Asked of third-party products, once per person and scope."""

from __future__ import annotations

from flask import Blueprint, Response, request

from idp.accounts.consents import remember_consent
from idp.accounts.sessions import set_consent
from idp.accounts.visitor import visitor
from idp.attempts import Step
from idp.errors import PageError
from idp.login.journey import find_pending, show
from idp.parts import parts
from idp.redirects import go

bp = Blueprint("consent", __name__)

DECISIONS = {"allow": "allowed", "deny": "denied"}


@bp.get("/consent")
def ask_consent() -> Response:
    """Show what the product asks for."""
    here = parts()
    handle = request.args.get("p", "")
    session = visitor()
    if session is None:
        return go("/login", p=handle)
    pending = find_pending(handle, asked=session.key)
    if pending.purpose != "authorize" or here.clients.find(pending.client_id) is None:
        return go("/authorize/resume", p=handle)  # which says what is wrong
    here.attempts.step(pending.receipt, Step.consent_asked, client_id=pending.client_id, account_id=session.account_id)
    return show("login/consent.html", pending, locale=session.locale, email=session.email, scopes=pending.scopes)


@bp.post("/consent")
def take_consent() -> Response:
    """Take the decision; what was allowed is remembered, a refusal is not."""
    here = parts()
    handle = request.form.get("p", "")
    consent = DECISIONS.get(request.form.get("decision", ""))
    if consent is None:
        raise PageError("request_unreadable", parameter="decision")
    pending = find_pending(handle)
    session = visitor()
    if session is None or session.key != pending.asked or pending.purpose != "authorize":
        return go("/authorize/resume", p=handle)  # somebody else is here now: they are asked themselves
    find_pending(handle, consent=consent)
    if consent == "allowed":
        with here.database.transaction() as db:
            scopes = remember_consent(db, session.account_id, pending.client_id, pending.scopes, here.clock())
        set_consent(here.store, session.account_id, pending.client_id, scopes)
    step = Step.consent_given if consent == "allowed" else Step.consent_denied
    here.attempts.step(pending.receipt, step, client_id=pending.client_id, account_id=session.account_id)
    return go("/authorize/resume", p=handle)
