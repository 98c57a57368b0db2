"""``/login/switch``: somebody comes from a company while another person is signed in at this browser. Is that what they want?

Any page can send a browser to any company's identity provider, which may answer with whomever it likes: nobody is signed out
and made somebody else by that alone (login CSRF).
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from idp.accounts.remembered import remembered
from idp.accounts.visitor import visitor
from idp.company_policy import policy_of_company
from idp.errors import PageError
from idp.login.arrival import Arrival, read_arrival
from idp.login.finish import finish
from idp.login.journey import find_pending, show
from idp.login.pending import Pending
from idp.parts import parts

bp = Blueprint("switch", __name__)


@bp.get("/login/switch")
def ask_to_switch() -> Response:
    """Say who is signed in, and who has come."""
    here = parts()
    pending, arrival = _arrived(request.args.get("p", ""))
    session = visitor()
    with here.database.reading() as db:
        company = policy_of_company(db, arrival.company_id).name
    return show(
        "login/switch.html",
        pending,
        company=company,
        email=arrival.identity.email,
        signed_in=session.email if session is not None else None,
    )


@bp.post("/login/switch")
def switch() -> Response:
    """Go on as who has come."""
    pending, arrival = _arrived(request.form.get("p", ""))
    kept = pending.keep or remembered() == arrival.identity.email
    return finish(pending, arrival.identity, kept=kept, arrival=arrival, switching=True)


def _arrived(handle: str) -> tuple[Pending, Arrival]:
    pending = find_pending(handle)
    if not pending.arrival:
        raise PageError("pending_unknown")
    return pending, read_arrival(pending.arrival)
