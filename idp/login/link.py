"""``/login/link``: somebody comes from their company, and an account with their address is there already. Is it theirs?

Proved by what opens the account so far, or by a mail to its address. The link in the mail works for one hour, in the browser
that asked for it and for the very identity that the company has asserted; then the company is asked once more.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, request
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as Transaction

from idp import cookies
from idp.accounts.lifecycle import apply_revocations
from idp.accounts.linking import ProveFirst
from idp.accounts.mailed_links import SECRET, find_link, make_link, take_link
from idp.attempts import Step
from idp.company_policy import policy_of_company
from idp.errors import PageError
from idp.login.arrival import Arrival, read_arrival
from idp.login.company_account import Proved, check_stands, decision_about, link_proved
from idp.login.finish import finish
from idp.login.journey import find_pending, park, show
from idp.login.password_check import try_password
from idp.login.pending import Pending
from idp.mail import queue_mail
from idp.models import MailedLink
from idp.parts import parts
from idp.redirects import go
from idp.redis_store import token_hash
from idp.rendering import choose_language, render_page

bp = Blueprint("link", __name__)

PURPOSE = "link"
LIFETIME = 3600  # seconds
PATH = "/login/link/mail"


@bp.get("/login/link")
def ask_for_proof() -> Response:
    """Show how the account can be proved."""
    pending = find_pending(request.args.get("p", ""))
    if not pending.arrival:
        return go("/login", p=pending.handle)
    arrival = read_arrival(pending.arrival)
    first = _proof_wanted(arrival)
    if first is None:
        return _ask_company_again(pending.handle, arrival)
    return _page(pending, arrival, first)


@bp.post("/login/link")
def take_password() -> Response:
    """Take the account's password, with the patience of the password door."""
    pending, arrival = _arrived()
    first = _proof_wanted(arrival)
    if first is None:
        return _ask_company_again(pending.handle, arrival)
    if "password" not in first.proofs:
        return _page(pending, arrival, first)
    email = arrival.identity.email or ""
    answer = try_password(email, request.form.get("password", ""), pending.receipt, signs_in=False)
    if isinstance(answer, int):
        response = _page(pending, arrival, first, wait=answer, status=429)
        response.headers["Retry-After"] = str(answer)
        return response
    if answer != first.account_id:
        return _page(pending, arrival, first, problem="link.password_wrong", status=400)
    _note_linked(pending.receipt, arrival, first.account_id)
    proved = Proved(first.account_id, "password")
    return finish(pending, arrival.identity, kept=pending.keep, arrival=arrival, proved=proved)


@bp.post("/login/link/send")
def send_link() -> Response:
    """Send a link to the account's address, if reading its mail is a proof."""
    here = parts()
    pending, arrival = _arrived()
    with here.database.transaction() as db:
        first = _decide(db, arrival)
        if first is None or "mail" not in first.proofs:
            return go("/login/link", p=pending.handle)
        facts = {"arrival": arrival.written(), "browser": token_hash(cookies.browser()), "receipt": pending.receipt}
        secret = make_link(
            db,
            purpose=PURPOSE,
            account_id=first.account_id,
            facts=facts,
            lifetime=LIFETIME,
            now=here.clock(),
            random=here.random,
        )
        queue_mail(
            db,
            name="link_account",
            recipient=arrival.identity.email or "",
            language=choose_language(pending.ui_locales),
            now=here.clock(),
            sealer=here.sealer,
            secrets={"link": f"{PATH}?t={secret}"},
            company=policy_of_company(db, arrival.company_id).name,
        )
    return show("login/link_sent.html", pending, email=arrival.identity.email)


@bp.get("/login/link/mail")
def open_link() -> Response:
    """What the mailed link leads to. Opening it changes nothing; the secret moves from the URL into a cookie at once."""
    secret = request.args.get("t")
    if secret is not None:
        if not SECRET.fullmatch(secret):
            raise PageError("link_over")
        response = go(PATH)
        cookies.put(response, cookies.MAILED_LINK, secret, max_age=LIFETIME)
        return response
    here = parts()
    with here.database.reading() as db:
        arrival = _mailed(find_link(db, cookies.find(cookies.MAILED_LINK) or "", PURPOSE, here.clock()))
        company = policy_of_company(db, arrival.company_id).name
    return render_page("login/link_confirm.html", company=company, email=arrival.identity.email)


@bp.post("/login/link/mail")
def take_mailed_link() -> Response:
    """Link, and ask the company once more who is there: an hour-old answer signs nobody in."""
    here = parts()
    try:
        with here.database.transaction() as db:
            mailed = take_link(db, cookies.find(cookies.MAILED_LINK) or "", PURPOSE, here.clock())
            arrival = _mailed(mailed)
            first = _decide(db, arrival)
            if mailed is None or first is None or first.account_id != mailed.account_id or "mail" not in first.proofs:
                raise PageError("link_over")
            link_proved(db, first.account_id, arrival, "mail", here.clock())
    except IntegrityError:  # the identity leads to an account already
        raise PageError("link_over") from None
    apply_revocations(here.database, here.store, here.clients, here.clock())
    g.receipt = here.attempts.start()
    _note_linked(g.receipt, arrival, first.account_id)
    response = _ask_company_again(park("me", email=arrival.identity.email or ""), arrival)
    cookies.remove(response, cookies.MAILED_LINK)
    return response


def _arrived() -> tuple[Pending, Arrival]:
    pending = find_pending(request.form.get("p", ""))
    if not pending.arrival:
        raise PageError("pending_unknown")
    return pending, read_arrival(pending.arrival)


def _proof_wanted(arrival: Arrival) -> ProveFirst | None:
    with parts().database.transaction() as db:
        return _decide(db, arrival)


def _decide(db: Transaction, arrival: Arrival) -> ProveFirst | None:
    """Which account is to be proved, as things stand now; None: none any more.

    :raises PageError: see ``check_stands``.
    """
    check_stands(db, arrival)
    decision = decision_about(db, arrival, own_issuer=parts().config.issuer)
    return decision if isinstance(decision, ProveFirst) else None


def _mailed(mailed: MailedLink | None) -> Arrival:
    """Who has asked for a mailed link, if they are at the same browser still.

    A link that somebody else asked for would let them into the account of whoever opens it.
    """
    if mailed is None:
        raise PageError("link_over")
    g.receipt = mailed.facts["receipt"]
    if mailed.facts["browser"] != token_hash(cookies.browser()):
        raise PageError("pending_foreign_browser")
    return read_arrival(mailed.facts["arrival"])


def _ask_company_again(handle: str, arrival: Arrival) -> Response:
    return go("/login/company/start", p=handle, c=arrival.session.connection)


def _note_linked(receipt: str, arrival: Arrival, account_id: str) -> None:
    connection_id = arrival.session.connection
    parts().attempts.step(receipt, Step.linked, connection_id=connection_id, account_id=account_id)


def _page(pending: Pending, arrival: Arrival, first: ProveFirst, *, status: int = 200, **values: Any) -> Response:
    problem, wait = values.get("problem"), values.get("wait")
    return show(
        "login/link.html",
        pending,
        status,
        email=arrival.identity.email,
        by_password="password" in first.proofs,
        by_mail="mail" in first.proofs,
        problem=problem,
        wait=wait,
        receipt=pending.receipt if problem or wait else None,
    )
