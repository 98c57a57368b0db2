"""The company's door: an e-mail address, the company's own sign-in page, and back.

``/login/company`` sends the browser off with a request (SAML 2.0 profiles 4.1). The answer comes to ``/saml/<connection>/acs``
in a POST from the company's site, without our cookies: there it is examined, and only what was verified is parked. The
browser fetches it by a GET of our own, ``/login/company/return``, and there everything else happens: is it the browser that
left, is it the first time, whose account is it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from flask import Blueprint, Response, abort, g, request
from werkzeug.exceptions import TooManyRequests

from idp import cookies, csrf, throttle
from idp.accounts.identity import canonical_email
from idp.accounts.linking import whose
from idp.accounts.remembered import remembered
from idp.accounts.sessions import CompanySession
from idp.attempts import Step
from idp.companies import CompanyRefused, owns_domain
from idp.connections import SamlConnection
from idp.doors import saml_requests
from idp.doors.company_identity import identify
from idp.doors.saml import authn_request, sp_metadata
from idp.doors.saml_assertion import Assertion
from idp.doors.saml_checks import Check, SentRequest
from idp.doors.saml_requests import Answered, Trip
from idp.doors.saml_response import Examination, examine
from idp.doors.to_company import send, send_from_page
from idp.errors import IdpError, PageError
from idp.login.arrival import Arrival
from idp.login.finish import finish
from idp.login.journey import find_pending, park, show
from idp.login.pending import Pending
from idp.login.routing import Choose, OwnEmail, ToConnection
from idp.login.which_door import door_of
from idp.parts import parts
from idp.redirects import go
from idp.visiting import peer

bp = Blueprint("company", __name__)

MAX_EMAIL = 320
MAX_RESPONSE = 256 * 1024  # characters of base64 (S-14)
MAX_FORM = (
    400 * 1024
)  # bytes: such a response with its base64 encoded once more for the form, as few characters need it


# --- the page ----------------------------------------------------------------------------------------------------------------


@bp.get("/login/company")
def ask_company_email() -> Response:
    """Ask for the company e-mail address; the one that was typed before stands there already."""
    pending = find_pending(request.args.get("p", ""))
    return _page(pending, pending.email)


@bp.post("/login/company")
def take_company_email() -> Response:
    """Go to the company of the address; or to the standard door, if that was asked for, with what is typed so far."""
    handle = request.form.get("p", "")
    username = request.form.get("username", "").strip()[:MAX_EMAIL]
    kept = "yes" if request.form.get("keep") == "yes" else ""
    pending = find_pending(handle, email=username, keep=kept)
    if request.form.get("door") == "own":
        return go("/login/password", p=handle)
    try:
        email = canonical_email(username)
    except ValueError:
        return _page(pending, username, problem="login.email_malformed", status=400)
    match door_of(email, hinted=pending.connection):
        case ToConnection(connection_id):
            return go("/login/company/start", p=handle, c=connection_id)
        case Choose():
            return go("/login/company/choose", p=handle)
        case OwnEmail():
            return _page(pending, username, problem="company.not_set_up", status=400)
        case int(wait):
            parts().attempts.step(pending.receipt, Step.throttled, reason="throttled", wait=wait)
            response = _page(pending, username, wait=wait, status=429)
            response.headers["Retry-After"] = str(wait)
            return response


@bp.get("/login/company/choose")
def choose() -> Response:
    """A company with several sign-in pages: which one?"""
    pending = find_pending(request.args.get("p", ""))
    try:
        way = door_of(canonical_email(pending.email))
    except ValueError:
        way = OwnEmail()
    if not isinstance(way, Choose):
        return go("/login/company", p=pending.handle)
    return show("login/company_choose.html", pending, connections=way.connections)


# --- there -------------------------------------------------------------------------------------------------------------------


@bp.get("/login/company/start")
def start_trip() -> Response:
    """Send the browser to the company's own sign-in page."""
    pending = find_pending(request.args.get("p", ""))
    connection = _connection(request.args.get("c", ""))
    if connection.state != "live":
        return _failed(pending, connection, "connection_not_live")
    return leave_for(connection, pending)


def leave_for(connection: SamlConnection, pending: Pending) -> Response:
    """Make the request that the pending login needs, note it, and send the browser off with it."""
    here = parts()
    now = here.clock()
    sent = SentRequest(
        id=f"_{here.random(20).hex()}",
        issued_at=int(now),
        connection_id=connection.id,
        idp_entity_id=connection.idp_entity_id,
        force_authn=pending.fresh and not pending.silent,  # silently nobody can prove themselves anew
        max_age=pending.max_age,
        contexts=_contexts(connection, pending.acr_values),
        passive=pending.silent,
    )
    saml_requests.remember(
        here.store, sent, browser=cookies.browser(), pending=pending.handle, receipt=pending.receipt, purpose="login"
    )
    message = authn_request(
        connection,
        id=sent.id,
        now=now,
        force_authn=sent.force_authn,
        passive=sent.passive,
        contexts=sent.contexts,
        login_hint=_hint(connection, pending.email),
    )
    here.attempts.step(
        pending.receipt,
        Step.request_sent,
        client_id=pending.client_id or None,
        door="company",
        connection_id=connection.id,
    )
    # Without a person to look at it no page of ours may come in between: the product may have framed us.
    return send(message) if pending.silent else send_from_page(message)


def _contexts(connection: SamlConnection, acr_values: tuple[str, ...]) -> tuple[str, ...]:
    """What to ask of the company for the strengths of sign-in that a product would like (SAML 2.0 core 3.3.2.2.1).

    Nothing where any of them is met by every sign-in, or the company has not said how it proves one.
    """
    reached = {context: said["acr"] for context, said in connection.contexts.items()}
    if not acr_values or set(acr_values) - set(reached.values()):
        return ()
    return tuple(context for context, acr in reached.items() if acr in acr_values)


def _hint(connection: SamlConnection, address: str) -> str:
    """The address that was typed or is remembered, if it is one of the company's: no other is any of its business."""
    try:
        email = canonical_email(address)
    except ValueError:
        return ""
    with parts().database.reading() as db:
        return email if owns_domain(db, connection.company_id, email.rpartition("@")[2]) else ""


# --- and back ----------------------------------------------------------------------------------------------------------------


@bp.post("/saml/<connection_id>/acs")
@csrf.exempt
def take_response(connection_id: str) -> Response:
    """Take a response of the identity provider (SAML 2.0 bindings 3.5). Nobody is signed in here.

    A flood for one company must not hold up the others: few are looked at together, and of one network not many.
    """
    with parts().responses.turn(connection_id) as mine:
        if not mine:
            raise TooManyRequests(retry_after=1)
        connection = _connection(connection_id)
        here = parts()
        wait = throttle.take_response(here.store, connection=connection.id, network=peer(), now=here.clock())
        if wait:
            raise TooManyRequests(retry_after=wait)
        return _take_response(connection)


def _take_response(connection: SamlConnection) -> Response:
    request.max_content_length = request.max_form_memory_size = MAX_FORM
    here = parts()
    encoded = request.form.get("SAMLResponse", "")
    if not encoded:
        raise PageError("request_unreadable", parameter="SAMLResponse")
    if len(encoded) > MAX_RESPONSE:
        raise PageError("request_too_large", status=413)
    trips: list[Trip] = []

    def request_of(id: str) -> SentRequest | None:
        trip = saml_requests.find(here.store, connection.id, id, here.clock())
        if trip is not None:
            trips.append(trip)
        return trip.sent if trip is not None else None

    examined = examine(encoded, connection, request_of, here.clock())
    believed = examined.assertion if trips else None
    if not trips and examined.claimed:
        request_of(examined.claimed)  # it was refused before that, but its sender tells whom it should be told
    if not trips:
        return _nobody_asked(connection, examined)
    trip = trips[0]
    if trip.purpose == "try":
        answered = Answered(trip.sent.id, trip.pending, trip.receipt, "try", trip.sent.passive, report=encoded)
        handle = saml_requests.park(here.store, connection.id, answered, now=here.clock(), random=here.random)
        return go("/login/company/try/result", c=connection.id, r=handle)
    here.attempts.step(trip.receipt, Step.response_received, door="company", connection_id=connection.id)
    answered = _answered(connection, trip, believed, examined.checks)
    handle = saml_requests.park(here.store, connection.id, answered, now=here.clock(), random=here.random)
    return go("/login/company/return", c=connection.id, r=handle)


def _answered(
    connection: SamlConnection, trip: Trip, assertion: Assertion | None, checks: tuple[Check, ...]
) -> Answered:
    here = parts()
    identity = None
    if connection.state != "live":
        checks = (*checks, Check("connection", False, "live", connection.state, "connection_not_live"))
    elif assertion is not None:
        with here.database.reading() as db:
            identity, said = identify(
                assertion, connection, lambda domain: owns_domain(db, connection.company_id, domain), here.clock()
            )
        checks = (*checks, *said)
    reason = _note(trip.receipt, connection, checks)
    common = trip.sent.id, trip.pending, trip.receipt, trip.purpose, trip.sent.passive
    if assertion is None or identity is None or reason:
        return Answered(*common, reason=reason or "internal")
    if trip.sent.force_authn:  # they have proved themselves since we asked, whatever the company's clock says
        identity = replace(identity, at=max(identity.at, trip.sent.issued_at))
    session = CompanySession(connection.id, assertion.name_id, assertion.name_id_format, assertion.session_index)
    arrival = Arrival(identity, connection.company_id, session, assertion.session_not_on_or_after)
    return Answered(*common, arrival=arrival, assertion=assertion.id, until=assertion.not_on_or_after)


def _nobody_asked(connection: SamlConnection, examined: Examination) -> Response:
    """A response to no request of ours, or to one that is over: who had to find a new telephone at the company's page comes
    too late. It is never believed; a genuine one tells where its browser wants to go, so that browser is sent to the identity
    provider with a request."""
    if examined.unsolicited:
        return go("/login/company/again", c=connection.id, to=_product(request.form.get("RelayState", "")))
    late = {check.reason for check in examined.checks if not check.ok} == {"saml_request_unknown"}
    if late and examined.seen is not None and not _was_used(connection, examined.seen.id):
        return go("/login/company/again", c=connection.id)
    g.receipt = parts().attempts.start()
    raise PageError(_note(g.receipt, connection, examined.checks) or "saml_request_over")


def _was_used(connection: SamlConnection, assertion: str) -> bool:
    here = parts()
    return saml_requests.was_used(here.store, connection.id, assertion, here.clock())


def _note(receipt: str, connection: SamlConnection, checks: tuple[Check, ...]) -> str:
    """Write the checks that failed into the receipt; return the reason of the first, "" if all held."""
    failed = [check for check in checks if not check.ok]
    for place, check in enumerate(failed):
        parts().attempts.step(
            receipt,
            Step.response_checked if place else Step.response_refused,
            reason=check.reason,
            door="company",
            connection_id=connection.id,
            check=check.name,
            expected=check.expected,
            received=check.received,
        )
    return failed[0].reason if failed else ""


def _product(relay_state: str) -> str:
    """The client that a RelayState names: by its id, or by an address that is registered for it. Nothing else counts."""
    for client in parts().clients.all().values():
        names = (client.client_id, client.client_uri, client.initiate_login_uri)
        if client.enabled and relay_state and relay_state in names:
            return client.client_id
    return ""


@bp.get("/login/company/again")
def begin_again() -> Response:
    """The identity provider began by itself, or its answer came too late: begin here, with a request, at the same one."""
    here = parts()
    connection = _connection(request.args.get("c", ""))
    g.receipt = here.attempts.start()
    if throttle.take_unsolicited(here.store, browser=cookies.browser(), connection=connection.id, now=here.clock()):
        raise _noted(PageError("saml_unsolicited_again"), g.receipt, connection)
    client_id = _product(request.args.get("to", ""))
    handle = park("product", client_id=client_id) if client_id else park("me")
    return go("/login/company/start", p=handle, c=connection.id)


Failure = TypeVar("Failure", bound=IdpError)


def _noted(
    error: Failure, receipt: str, connection: SamlConnection, step: Step = Step.response_refused, **facts: str
) -> Failure:
    parts().attempts.step(receipt, step, reason=error.reason, door="company", connection_id=connection.id, **facts)
    return error


@bp.get("/login/company/return")
def come_back() -> Response:
    """Fetch what was verified: is this the browser that left, is it the first time, whose account is it?"""
    here = parts()
    if request.method == "HEAD":
        abort(405)  # what is fetched once must be seen
    connection = _connection(request.args.get("c", ""))
    answered = saml_requests.fetch(here.store, connection.id, request.args.get("r", ""), here.clock())
    if answered is None or answered.purpose != "login":
        raise PageError("pending_unknown")
    try:
        pending = find_pending(answered.pending)
    except PageError as error:
        late = error.reason == "pending_unknown" and answered.arrival is not None
        if late and not _was_used(connection, answered.assertion):
            return go("/login/company/again", c=connection.id)
        raise
    try:
        return _enter(pending, connection, answered)
    except (PageError, CompanyRefused) as error:
        if pending.silent:  # the product is told that somebody has to sign in, and no more
            return go("/authorize/resume", p=pending.handle)
        if error.reason.startswith("pending_"):
            raise
        return _failed(pending, connection, error.reason)


_OUTCOMES = {
    "repeated": "saml_response_repeated",
    "unknown": "saml_request_over",
    "foreign": "pending_foreign_browser",
}


def _enter(pending: Pending, connection: SamlConnection, answered: Answered) -> Response:
    here = parts()
    if answered.arrival is None:
        raise PageError(answered.reason)
    outcome = saml_requests.take(
        here.store,
        connection_id=connection.id,
        request=answered.request,
        assertion=answered.assertion,
        until=answered.until,
        browser=cookies.browser(),
        now=here.clock(),
    )
    if outcome != "taken":
        raise _noted(PageError(_OUTCOMES[outcome]), pending.receipt, connection)
    throttle.give_response_back(here.store, connection=connection.id, network=peer(), now=here.clock())
    here.attempts.step(pending.receipt, Step.company_identified, door="company", connection_id=connection.id)
    identity = answered.arrival.identity
    # Who is remembered here was not asked again for the address, nor whether to be kept signed in.
    kept = pending.keep or remembered() == identity.email
    try:
        return finish(pending, identity, kept=kept, arrival=answered.arrival)
    except (PageError, CompanyRefused) as error:
        with here.database.reading() as db:  # the company has proved the domain: it says whose address it is
            account_id = whose(db, identity, address_proved=True)
        known = {"account_id": account_id} if account_id else {}
        raise _noted(error, pending.receipt, connection, Step.account_decision, **known) from None


@bp.get("/login/company/failed")
def say_why() -> Response:
    """Why the company's sign-in did not work, and the other doors."""
    pending = find_pending(request.args.get("p", ""))
    if not pending.failed or pending.failed.startswith("social:"):
        return go("/login/company", p=pending.handle)
    connection, reason = pending.failed.split(" ")
    return show(
        "login/company_failed.html", pending, 403, reason=reason, receipt=pending.receipt, connection=connection
    )


# --- what identity providers read --------------------------------------------------------------------------------------------


@bp.get("/saml/<connection_id>/metadata")
def show_metadata(connection_id: str) -> Response:
    """What we are towards this identity provider (SAML 2.0 metadata)."""
    return Response(sp_metadata(_connection(connection_id)), content_type="application/samlmetadata+xml")


# --- inside ------------------------------------------------------------------------------------------------------------------


def _connection(connection_id: str) -> SamlConnection:
    here = parts()
    with here.database.reading() as db:
        connection = here.connections.load(db, connection_id)
    if connection is None:
        abort(404)
    return connection


def _failed(pending: Pending, connection: SamlConnection, reason: str) -> Response:
    """To the page that says why: one that can be read again, in another language and after the Back button."""
    find_pending(pending.handle, failed=f"{connection.id} {reason}")
    return go("/login/company/failed", p=pending.handle)


def _page(
    pending: Pending, username: str, *, problem: str | None = None, wait: int | None = None, status: int = 200
) -> Response:
    receipt = pending.receipt if problem or wait else None
    keep = pending.keep or bool(remembered())
    return show(
        "login/company.html", pending, status, username=username, problem=problem, wait=wait, receipt=receipt, keep=keep
    )
