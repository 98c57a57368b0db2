"""Single logout with companies, both ways (SAML 2.0 profiles 4.4).

``/saml/<connection>/slo``: what identity providers send. Only a signed, fresh, unused request of that connection's own
identity provider ends sessions, and only those that it names. ``/logout/company``: the way of a person who has signed out
here, so that they are signed out at their company too. Our session has ended before that: whatever the company does then,
nobody stays signed in here.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import assert_never

from flask import Blueprint, Response, abort, g, request

from idp import audit, csrf
from idp.accounts.company_sign_out import find_sign_out, go_on, take_sign_out
from idp.accounts.sessions import end_sessions, queue_logout_notices, sessions_of_company
from idp.attempts import Step
from idp.connections import SamlConnection
from idp.doors.saml import logout_request, logout_response
from idp.doors.saml_checks import Check
from idp.doors.saml_logout import LogoutRequest, LogoutResponse, read_logout
from idp.doors.to_company import send, send_from_page
from idp.errors import PageError
from idp.parts import parts
from idp.redirects import go
from idp.redis_store import token_hash
from idp.rendering import render_page

bp = Blueprint("company_logout", __name__)


@bp.get("/logout/company")
def ask_company() -> Response:
    """Send a browser whose session here has ended to its company, with a LogoutRequest."""
    here = parts()
    sign_out = find_sign_out(request.args.get("l", ""))
    if sign_out is None:
        raise PageError("pending_unknown")
    g.receipt = sign_out.receipt
    company = sign_out.company
    with here.database.reading() as db:
        connection = here.connections.load(db, company.connection)
    if connection is None or connection.slo_url is None:
        return go_on(sign_out)
    message = logout_request(
        connection,
        id=sign_out.request_id,
        now=here.clock(),
        name_id=company.name_id,
        name_id_format=company.name_id_format,
        session_index=company.session_index,
        relay_state=sign_out.handle,
    )
    here.attempts.step(g.receipt, Step.request_sent, connection_id=connection.id, detail="LogoutRequest")
    return send_from_page(message)


@bp.get("/logout/company/unconfirmed")
def unconfirmed() -> Response:
    """Say that the company has not confirmed the sign-out, and lead on."""
    sign_out = find_sign_out(request.args.get("l", ""))
    if sign_out is None:
        raise PageError("pending_unknown")
    g.receipt = sign_out.receipt
    return render_page("doors/company_unconfirmed.html", back=sign_out.back)


@bp.route("/saml/<connection_id>/slo", methods=["GET", "POST"], provide_automatic_options=False)
@csrf.exempt
def slo(connection_id: str) -> Response:
    """Take a logout message of a company's identity provider, by the Redirect or the POST binding."""
    here = parts()
    if request.method == "HEAD":
        abort(405)
    g.receipt = here.attempts.start()
    with here.database.reading() as db:
        connection = here.connections.load(db, connection_id)
    if connection is None:
        abort(404)
    form = list(request.form.items(multi=True))
    message = read_logout(request.method, request.query_string.decode("latin-1"), form, connection, here.clock())
    match message:
        case LogoutRequest():
            return _end(message, connection)
        case LogoutResponse():
            return _answered(message, connection)
        case Check():
            return _refused(message, connection)
        case _:
            assert_never(message)


def _end(message: LogoutRequest, connection: SamlConnection) -> Response:
    here = parts()
    now = here.clock()
    here.attempts.step(g.receipt, Step.logout_asked, connection_id=connection.id, detail="LogoutRequest")
    # Last of the checks, so that only the identity provider itself can use up one of its names.
    key = f"saml-logout:{{{token_hash(f'{connection.id} {message.id}')}}}"
    if not here.store.command("SET", key, "1", "NX", "EX", max(60, int(message.until - now) + 60)):
        return _refused(
            Check("logout", False, "a request that is new", "one that was used", "saml_logout_repeated"), connection
        )
    with ExitStack() as undo:
        undo.callback(here.store.command, "DEL", key)  # what goes wrong now can be asked for again
        sessions = sessions_of_company(
            here.store,
            connection.id,
            name_id=message.name_id,
            name_id_format=message.name_id_format,
            session_indexes=message.session_indexes,
            now=now,
        )
        with here.database.transaction() as db:
            # First written down who must hear of it, then ended: what fails in between can be done again.
            queue_logout_notices(db, here.store, sessions, here.clients, now)
            for session in sessions:
                audit.record(
                    db,
                    audit.Event.person_signed_out,
                    now=now,
                    actor=f"connection:{connection.id}",
                    account_id=session.account_id,
                )
        end_sessions(here.store, sessions)
        undo.pop_all()
    for session in sessions:
        here.attempts.step(g.receipt, Step.signed_out, connection_id=connection.id, account_id=session.account_id)
    if connection.slo_url is None and connection.slo_response_url is None:
        return render_page("oidc/logged_out.html", client=None)
    return send(
        logout_response(
            connection,
            id=f"_{here.random(20).hex()}",
            in_response_to=message.id,
            now=now,
            success=True,
            relay_state=message.relay_state,
        )
    )


def _answered(message: LogoutResponse, connection: SamlConnection) -> Response:
    here = parts()
    handle = message.in_response_to.removeprefix("_")
    sign_out = find_sign_out(handle)
    if sign_out is None or sign_out.company.connection != connection.id:
        return _refused(
            Check("logout", False, "the answer to a request of ours", "another", "saml_logout_unasked"), connection
        )
    g.receipt = sign_out.receipt
    if not message.success:
        return _refused(
            Check("logout", False, "Success", "another status", "saml_logout_unfinished"), connection, handle
        )
    here.attempts.step(g.receipt, Step.response_received, connection_id=connection.id, detail="LogoutResponse")
    take_sign_out(handle)
    return go_on(sign_out)


def _refused(check: Check, connection: SamlConnection, handle: str = "") -> Response:
    """Ignore a message. Whoever comes back from their company with an answer that does not count is led on from a page."""
    here = parts()
    handle = handle or request.values.get("RelayState", "")
    sign_out = find_sign_out(handle) if "SAMLResponse" in request.values else None
    if sign_out is not None and sign_out.company.connection == connection.id:
        g.receipt = sign_out.receipt
    here.attempts.step(
        g.receipt,
        Step.response_refused,
        reason=check.reason,
        connection_id=connection.id,
        expected=check.expected,
        received=check.received,
    )
    if sign_out is not None and sign_out.company.connection == connection.id:
        return go("/logout/company/unconfirmed", l=handle)
    raise PageError(check.reason, detail=f"expected {check.expected}, received {check.received}")
