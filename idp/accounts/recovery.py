"""``/me/recovery``: a person names an address to which the mail about a forgotten password goes, and proves that it is theirs."""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, Response, g, request

from idp import opened_links, throttle
from idp.accounts.fresh_proof import prove_anew, still_lives
from idp.accounts.identity import read_address
from idp.accounts.lifecycle import apply_revocations
from idp.accounts.recovery_address import (
    LIFETIME,
    PATH,
    UNDO_PATH,
    Means,
    ask_mailbox,
    find_asked,
    find_undoable_recovery,
    is_own,
    recovery_of,
    remove_recovery,
    set_recovery,
    tell_removed,
    undo_recovery,
)
from idp.accounts.sessions import Session
from idp.accounts.visitor import visitor
from idp.attempts import Step
from idp.errors import PageError, Unavailable
from idp.models import Account
from idp.parts import parts
from idp.redirects import go
from idp.rendering import choose_language, render_page
from idp.visiting import peer

bp = Blueprint("recovery", __name__)

HERE = "/me/recovery"
NOTICES = ("removed",)


@bp.get(HERE)
def show_recovery() -> Response:
    """The address that there is, and the form for another one."""
    session = visitor()
    if session is None:
        return go("/login")
    notice = request.args.get("notice")
    return prove_anew(session, HERE) or _page(session, notice=notice if notice in NOTICES else None)


@bp.post(HERE)
def take_address() -> Response:
    """Ask the mailbox of the address whether it is the person's; the same for every address."""
    session = visitor()
    if session is None:
        return go("/login")
    anew = prove_anew(session, HERE)
    if anew is not None:
        return anew
    here, who = parts(), session.account_id
    typed = request.form.get("username", "").strip()[:320]
    try:
        address = read_address(typed)
    except ValueError:
        return _page(session, typed, problem="login.email_malformed", status=400)
    with here.database.reading() as db:
        own, hindered = is_own(db, who, address), recovery_of(db, who).hindrance
    if hindered:
        return go(HERE)
    if own:
        return _page(session, typed, problem="recovery.own", status=400)
    wait = throttle.take_proof_mail(here.store, email=address.canonical, network=peer(), now=here.clock())
    if wait:
        response = _page(session, typed, wait=wait, status=429)
        response.headers["Retry-After"] = str(wait)
        return response
    with here.database.transaction() as db:
        db.get_one(Account, who, with_for_update=True)
        if not still_lives(db, session):  # thrown out meanwhile
            return go("/login")
        ask_mailbox(db, who, address, _means(session.locale))
    return _page(session, sent=address.canonical)


@bp.post(f"{HERE}/remove")
def remove() -> Response:
    """Take the address away."""
    session = visitor()
    if session is None:
        return go("/login")
    anew = prove_anew(session, HERE)
    if anew is not None:
        return anew
    here = parts()
    means = _means(session.locale)
    with here.database.transaction() as db:
        removed = remove_recovery(db, session.account_id, now=here.clock())
        if removed is not None:
            tell_removed(db, session.account_id, removed, means)
    return go(HERE, notice="removed") if removed else go(HERE)


@bp.get(PATH)
def open_proof() -> Response:
    """What the mailed link leads to. Opening it changes nothing; the secret moves from the URL into a cookie at once."""
    moved = opened_links.move_secret(PATH, seconds=LIFETIME)
    if moved is not None:
        return moved
    here = parts()
    with here.database.reading() as db:
        asked = find_asked(db, opened_links.secret(), here.clock())
        if asked is None:
            raise PageError("link_over")
        account_id, address = asked
        person = next(email.address for email in db.get_one(Account, account_id).emails if email.primary)
    return render_page("accounts/recovery_confirm.html", undo=False, done=False, person=person, address=address)


@bp.post(PATH)
def take_proof() -> Response:
    """The mailbox has agreed: the address counts from now on. Nobody is signed in by it."""
    here = parts()
    with here.database.transaction() as db:
        account_id = set_recovery(db, opened_links.secret(), _means(None))
        if account_id is None:
            raise PageError("link_over")
    _note(Step.recovery_set, account_id)
    response = render_page("accounts/recovery_confirm.html", undo=False, done=True)
    opened_links.forget(response)
    return response


@bp.get(UNDO_PATH)
def ask_to_undo() -> Response:
    """What the link in the mail that announced the address leads to; likewise."""
    moved = opened_links.move_secret(UNDO_PATH, seconds=LIFETIME)
    if moved is not None:
        return moved
    here = parts()
    with here.database.reading() as db:
        found = find_undoable_recovery(db, opened_links.secret(), here.clock())
        if found is None:
            raise PageError("link_over")
    return render_page("accounts/recovery_confirm.html", undo=True, done=False, person="", address=found[1])


@bp.post(UNDO_PATH)
def take_back() -> Response:
    """The address is gone, and everybody is signed out."""
    here = parts()
    with here.database.transaction() as db:
        account_id = undo_recovery(db, opened_links.secret(), now=here.clock())
        if account_id is None:
            raise PageError("link_over")
    # Without Redis no session works; the worker brings it what changed when it is back.
    with suppress(Unavailable):
        apply_revocations(here.database, here.store, here.clients, here.clock())
    _note(Step.signed_out, account_id)
    response = render_page("accounts/recovery_confirm.html", undo=True, done=True)
    opened_links.forget(response)
    return response


def _means(locale: str | None) -> Means:
    here = parts()
    return Means(choose_language(locale), here.sealer, here.clock(), here.random)


def _note(step: Step, account_id: str) -> None:
    attempts = parts().attempts
    g.receipt = attempts.start()
    attempts.step(g.receipt, step, account_id=account_id)


def _page(
    session: Session,
    username: str = "",
    *,
    notice: str | None = None,
    sent: str | None = None,
    problem: str | None = None,
    wait: int | None = None,
    status: int = 200,
) -> Response:
    with parts().database.reading() as db:
        recovery = recovery_of(db, session.account_id)
    return render_page(
        "accounts/recovery.html",
        status,
        language=session.locale,
        recovery=recovery,
        email=session.email,
        company=session.person.get("company", {}).get("name"),
        username=username,
        notice=notice,
        sent=sent,
        problem=problem,
        wait=wait,
        receipt=None,
    )
