"""``/login/company/try``: a test trip to a company's identity provider and back, for whoever sets the connection up.

The address comes from ``idp companies try`` and works in one browser for an hour. Nobody is signed in, and nothing is written
but that the connection has been tested, when every check has passed. Drafts are tried like live connections.
"""

from __future__ import annotations

from flask import Blueprint, Response, g, request

from idp import cookies
from idp.admin.dry_run import Report, dry_run, masked
from idp.admin.said import phrase
from idp.admin.trials import bind_trial, find_trial
from idp.attempts import Step
from idp.company_policy import policy_of_company
from idp.connections import SamlConnection
from idp.doors import saml_requests
from idp.doors.saml import authn_request
from idp.doors.saml_checks import SentRequest
from idp.doors.saml_menus import menu_for
from idp.doors.saml_requests import Answered
from idp.doors.to_company import send_from_page
from idp.errors import PageError
from idp.parts import parts
from idp.rendering import render_page

bp = Blueprint("company_try", __name__)


@bp.get("/login/company/try")
def ask() -> Response:
    """Say what will happen, with the button that begins."""
    here = parts()
    secret = request.args.get("p", "")
    connection, company = _found(find_trial(here.store, secret, cookies.browser(), here.clock()))
    return render_page("admin/try_start.html", p=secret, connection=connection.name, company=company)


@bp.post("/login/company/try")
def leave() -> Response:
    """Send the browser to the identity provider, with a request that can sign nobody in."""
    here = parts()
    now = here.clock()
    secret = request.form.get("p", "")
    connection, _ = _found(bind_trial(here.store, secret, cookies.browser(), now))
    receipt = here.attempts.start()
    sent = SentRequest(
        id=f"_{here.random(20).hex()}",
        issued_at=int(now),
        connection_id=connection.id,
        idp_entity_id=connection.idp_entity_id,
        force_authn=False,
        max_age=None,
        contexts=(),
        passive=False,
    )
    saml_requests.remember(here.store, sent, browser=cookies.browser(), pending=secret, receipt=receipt, purpose="try")
    here.attempts.step(receipt, Step.request_sent, door="company", connection_id=connection.id)
    return send_from_page(authn_request(connection, id=sent.id, now=now))


@bp.get("/login/company/try/result")
def show_result() -> Response:
    """What the identity provider answered, looked at in full: where the ACS address sends the browser of a test trip."""
    here = parts()
    now = here.clock()
    connection_id = request.args.get("c", "")
    answered = saml_requests.fetch(here.store, connection_id, request.args.get("r", ""), now)
    if answered is None or answered.purpose != "try":
        raise PageError("connection_trial_over")
    g.receipt = answered.receipt
    sent = _take(connection_id, answered)
    connection, company = _found(connection_id)
    report = dry_run(
        answered.report,
        connection,
        lambda id: sent if id == sent.id else None,
        database=here.database,
        clients=[client for client in here.clients.all().values() if client.enabled and client.first_party],
        issuer=here.config.issuer,
        subjects_secret=here.keys.subjects_secret,
        now=now,
        random=here.random,
    )
    _note(report, connection, answered.receipt)
    if report.held:
        with here.database.transaction() as db:
            here.connections.note_tested(db, connection.id, actor="system", now=now)
    return render_page(
        "admin/try_result.html",
        p=answered.pending,
        connection=connection.name,
        company=company,
        report=masked(report),
        menu=menu_for(report.reason, connection.vendor, email_is_name_id="email" not in connection.attributes),
        receipt=answered.receipt,
        phrase=phrase,
    )


def _take(connection_id: str, answered: Answered) -> SentRequest:
    """Use up the request: it was this browser's, and no answer to it was shown before."""
    here = parts()
    now = here.clock()
    trip = saml_requests.find(here.store, connection_id, answered.request, now)
    outcome = saml_requests.take(
        here.store,
        connection_id=connection_id,
        request=answered.request,
        # Whatever assertion it holds answers a request that can sign nobody in.
        assertion=answered.request,
        until=int(now),
        browser=cookies.browser(),
        now=now,
    )
    if trip is None or outcome != "taken":
        raise PageError("pending_foreign_browser" if outcome == "foreign" else "connection_trial_over")
    return trip.sent


def _note(report: Report, connection: SamlConnection, receipt: str) -> None:
    attempts = parts().attempts
    failed = [check for check in report.checks if not check.ok]
    for place, check in enumerate(failed):
        attempts.step(
            receipt,
            Step.response_checked if place else Step.response_refused,
            reason=check.reason,
            door="company",
            connection_id=connection.id,
            check=check.name,
            expected=check.expected,
            received=check.received,
        )
    if not failed:
        attempts.step(receipt, Step.connection_tested, door="company", connection_id=connection.id)


def _found(connection_id: str | None) -> tuple[SamlConnection, str]:
    """The connection with the name of its company."""
    here = parts()
    with here.database.reading() as db:
        connection = here.connections.load(db, connection_id) if connection_id is not None else None
        if connection is None:
            raise PageError("connection_trial_over")
        return connection, policy_of_company(db, connection.company_id).name
