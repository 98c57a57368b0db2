"""``/me/email``: a person has another address, both mailboxes agree to it, and the old one can take it back."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Blueprint, Response, g, request

from idp import opened_links, throttle
from idp.accounts.emails import (
    LIFETIME,
    PATH,
    REVERT_PATH,
    Asked,
    Changed,
    agree,
    ask_both,
    closed_by,
    disown,
    find_change,
    find_revertible,
    forget_change,
    own_email,
    revert,
)
from idp.accounts.fresh_proof import prove_anew, still_lives
from idp.accounts.identity import canonical_email, read_address
from idp.accounts.lifecycle import AddressTaken, apply_revocations
from idp.accounts.recovery_address import Means
from idp.accounts.sessions import Session
from idp.accounts.visitor import visitor
from idp.attempts import Step
from idp.errors import PageError, Unavailable
from idp.models import Account
from idp.parts import parts
from idp.redirects import go
from idp.rendering import choose_language, render_page
from idp.visiting import peer

bp = Blueprint("own_email", __name__)

HERE = "/me/email"
NOTICES = ("asked", "forgotten")


@bp.get(HERE)
def show_email() -> Response:
    """The address, the change that is under way, and the form for another one."""
    session = visitor()
    if session is None:
        return go("/login")
    notice = request.args.get("notice")
    return prove_anew(session, HERE) or _page(session, notice=notice if notice in NOTICES else None)


@bp.post(HERE)
def take_address() -> Response:
    """Ask both mailboxes; the same for every address that no company keeps for its own people."""
    session = visitor()
    if session is None:
        return go("/login")
    anew = prove_anew(session, HERE)
    if anew is not None:
        return anew
    here, now = parts(), parts().clock()
    typed = request.form.get("username", "").strip()[:320]
    try:
        address = read_address(typed)
    except ValueError:
        return _page(session, typed, problem="login.email_malformed", status=400)
    with here.database.reading() as db:
        own, company = own_email(db, session.account_id, now), closed_by(db, address)
    if own.hindrance:
        return go(HERE)
    if company is not None:
        return _page(session, typed, problem="email.of_company", company=company.name, status=400)
    if canonical_email(own.address) == address.canonical:
        return _page(session, typed, problem="email.own", status=400)
    wait = throttle.take_proof_mail(here.store, email=address.canonical, network=peer(), now=now)
    if wait:
        response = _page(session, typed, wait=wait, status=429)
        response.headers["Retry-After"] = str(wait)
        return response
    with here.database.transaction() as db:
        db.get_one(Account, session.account_id, with_for_update=True)
        if not still_lives(db, session):
            return go("/login")
        ask_both(db, session.account_id, address, _means(session.locale))
    return go(HERE, notice="asked")


@bp.post(f"{HERE}/forget")
def forget() -> Response:
    """The person does not want the other address any more."""
    session = visitor()
    if session is None:
        return go("/login")
    here = parts()
    with here.database.transaction() as db:
        forgotten = forget_change(db, session.account_id, now=here.clock())
    return go(HERE, notice="forgotten") if forgotten else go(HERE)


@bp.get(PATH)
def open_link() -> Response:
    """What the links to both mailboxes lead to. Opening one changes nothing; the secret moves from the URL into a cookie at once."""
    moved = opened_links.move_secret(PATH, seconds=LIFETIME)
    if moved is not None:
        return moved
    here = parts()
    with here.database.reading() as db:
        asked = find_change(db, opened_links.secret(), here.clock())
    if asked is None:
        raise PageError("link_over")
    return _confirm("ask", asked)


@bp.post(PATH)
def take_answer() -> Response:
    """A mailbox agrees, or the old one says that nobody there has asked for it. Nobody is signed in by it."""
    here = parts()
    if request.form.get("answer") == "no":
        return _disown()
    try:
        with here.database.transaction() as db:
            answer = agree(db, opened_links.secret(), _means(None))
    except AddressTaken:
        with here.database.transaction() as db:
            asked = find_change(db, opened_links.secret(), here.clock())
            if asked is not None:
                forget_change(db, asked.account_id, now=here.clock())
        answer = None
    if answer is None:
        raise PageError("link_over")
    _apply()
    if isinstance(answer, Changed):
        _note(Step.email_changed, answer.asked.account_id)
    response = _confirm("changed" if isinstance(answer, Changed) else "agreed", answer.asked)
    opened_links.forget(response)
    return response


@bp.get(REVERT_PATH)
def ask_to_revert() -> Response:
    """What the link in the mail to the old address leads to; likewise."""
    moved = opened_links.move_secret(REVERT_PATH, seconds=LIFETIME)
    if moved is not None:
        return moved
    here = parts()
    with here.database.reading() as db:
        found = find_revertible(db, opened_links.secret(), here.clock())
    if found is None:
        raise PageError("link_over")
    return render_page("accounts/email_revert.html", done=False, address=found[1])


@bp.post(REVERT_PATH)
def take_back() -> Response:
    """The account has its old address again, and everybody is signed out."""
    here = parts()
    with here.database.transaction() as db:
        found = revert(db, opened_links.secret(), _means(None))
    if found is None:
        raise PageError("link_over")
    _apply()
    _note(Step.email_reverted, found[0])
    response = render_page("accounts/email_revert.html", done=True, address=found[1])
    opened_links.forget(response)
    return response


def _disown() -> Response:
    here = parts()
    with here.database.transaction() as db:
        asked = disown(db, opened_links.secret(), now=here.clock())
    if asked is None:
        raise PageError("link_over")
    _apply()
    _note(Step.signed_out, asked.account_id)
    response = _confirm("disowned", asked)
    opened_links.forget(response)
    return response


def _means(locale: str | None) -> Means:
    here = parts()
    return Means(choose_language(locale), here.sealer, here.clock(), here.random)


def _apply() -> None:
    here = parts()
    # Without Redis no session works; the worker brings it what changed when it is back.
    with suppress(Unavailable):
        apply_revocations(here.database, here.store, here.clients, here.clock())


def _note(step: Step, account_id: str) -> None:
    attempts = parts().attempts
    g.receipt = attempts.start()
    attempts.step(g.receipt, step, account_id=account_id)


def _confirm(stage: str, asked: Asked) -> Response:
    return render_page("accounts/email_confirm.html", stage=stage, mailbox=asked.mailbox, old=asked.old, new=asked.new)


def _page(session: Session, username: str = "", *, status: int = 200, **values: Any) -> Response:
    here = parts()
    with here.database.reading() as db:
        own = own_email(db, session.account_id, here.clock())
    told: dict[str, Any] = {"notice": None, "problem": None, "wait": None, "company": None} | values
    return render_page(
        "accounts/own_email.html",
        status,
        language=session.locale,
        own=own,
        username=username,
        receipt=None,
        **told,
    )
