"""``/me/password``: a person gives themselves another password, or their first one.

The old one is not asked for here: who has not lately signed in does so first. Everybody else who is signed in to the account is
signed out, and its owner is told by mail.
"""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import TooManyRequests

from idp import throttle
from idp.accounts.changed_password import tell_changed_password
from idp.accounts.devices import describe_agent
from idp.accounts.fresh_proof import prove_anew, still_lives
from idp.accounts.lifecycle import apply_revocations, set_password
from idp.accounts.password_rules import Weak, about_account, judge, shortest_for
from idp.accounts.sessions import Session
from idp.accounts.visitor import visitor
from idp.attempts import Step
from idp.enforcement import own_door
from idp.errors import Unavailable
from idp.models import Account
from idp.parts import parts
from idp.redirects import go
from idp.rendering import choose_language, render_page
from idp.visiting import peer

bp = Blueprint("own_password", __name__)

PATH = "/me/password"


@bp.get("/.well-known/change-password")
def lead_here() -> Response:
    """Where password managers send people (W3C, A Well-Known URL for Changing Passwords)."""
    return go(PATH)


@bp.get(PATH)
def ask_new_password() -> Response:
    """Ask for the new password, or say which company signs the person in instead."""
    session = visitor()
    if session is None:
        return go("/login")
    return prove_anew(session, PATH) or _page(session)


@bp.post(PATH)
def take_new_password() -> Response:
    """Set the password, if it is good enough; else the page says why not and what would be."""
    session = visitor()
    if session is None:
        return go("/login")
    anew = prove_anew(session, PATH)
    if anew is not None:
        return anew
    here, who = parts(), session.account_id
    password = request.form.get("password", "")
    with here.database.reading() as db:
        shortest = shortest_for(db, who)
        about = (*about_account(db, who), here.config.host)
    weak = judge(password, about=about, shortest=shortest, breached=here.breach_list)
    if isinstance(weak, Weak):
        return _page(session, weak)
    wait = throttle.take_password_change(here.store, account_id=who, now=here.clock())
    if wait:
        raise TooManyRequests(retry_after=wait)
    hashed = here.hasher.hash(password)
    now = here.clock()
    with here.database.transaction() as db:
        account = db.get_one(Account, who, with_for_update=True, populate_existing=True)
        if account.state != "active" or not still_lives(db, session):  # thrown out meanwhile
            return go("/login")
        if not own_door(db, "", who, "password").opens:
            return go(PATH)
        set_password(db, account, hashed, actor=f"person:{who}", now=now, keep=session.id)
        tell_changed_password(
            db,
            account,
            agent=describe_agent(request.headers.get("User-Agent", "")),
            address=peer(),
            language=choose_language(account.locale),
            sealer=here.sealer,
            now=now,
        )
    # Without Redis no session works; the worker brings it what changed when it is back.
    with suppress(Unavailable):
        apply_revocations(here.database, here.store, here.clients, here.clock())
    g.receipt = here.attempts.start()
    here.attempts.step(g.receipt, Step.password_set, account_id=who)
    return go("/me", notice="password_changed")


def _page(session: Session, weak: Weak | None = None) -> Response:
    here, who = parts(), session.account_id
    with here.database.reading() as db:
        account = db.get_one(Account, who)
        door = own_door(db, "", who, "password")
        shortest = shortest_for(db, who)
        first = account.password is None
    employer = door.closed_by.name if door.closed_by is not None and not door.opens else None
    return render_page(
        "accounts/own_password.html",
        403 if employer else 400 if weak else 200,
        language=session.locale,
        username=session.email,
        first=first,
        shortest=shortest,
        weak=weak,
        employer=employer,
    )
