"""``/me/close``: a person closes their account; ``/me/reopen``: the mail about it gives it back for two weeks."""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, Response, g, request

from idp import cookies, opened_links
from idp.accounts.closing import REOPEN_PATH, REOPENED_WITHIN, close, find_closed, hindrance, reopen
from idp.accounts.fresh_proof import prove_twice, still_lives
from idp.accounts.identity import canonical_email
from idp.accounts.lifecycle import apply_revocations
from idp.accounts.recovery_address import Means
from idp.accounts.remembered import forget
from idp.accounts.sessions import Session
from idp.accounts.used_products import used_products
from idp.accounts.visitor import visitor
from idp.attempts import Step
from idp.errors import PageError, Unavailable
from idp.models import Account
from idp.parts import parts
from idp.redirects import go
from idp.rendering import choose_language, render_page

bp = Blueprint("own_closing", __name__)

PATH = "/me/close"
LINK_SECONDS = 3600  # that the secret of an opened link stays in the browser


@bp.get(PATH)
def ask_to_close() -> Response:
    """What closing means, and the form in which one's own address is typed."""
    session = visitor()
    if session is None:
        return go("/login")
    return prove_twice(session, PATH) or _page(session)


@bp.post(PATH)
def take_closing() -> Response:
    """Close the account, if its address was typed; everybody is signed out, and its owner is told by mail."""
    session = visitor()
    if session is None:
        return go("/login")
    anew = prove_twice(session, PATH)
    if anew is not None:
        return anew
    typed = request.form.get("username", "").strip()[:320]
    if not _is_own(typed, session.email):
        return _page(session, problem="close.other_address", status=400)
    here = parts()
    means = Means(choose_language(session.locale), here.sealer, here.clock(), here.random)
    with here.database.transaction() as db:
        db.get_one(Account, session.account_id, with_for_update=True)
        if not still_lives(db, session):
            return go("/login")
        closed = close(db, session.account_id, means)
    if not closed:
        return go(PATH)
    _apply()
    _note(Step.account_closed, session.account_id)
    response = render_page("accounts/closed.html", language=session.locale, address=session.email, reopened=False)
    cookies.remove(response, cookies.SESSION)
    forget(response)
    return response


@bp.get(REOPEN_PATH)
def ask_to_reopen() -> Response:
    """What the link in the mail leads to. Opening it changes nothing; the secret moves from the URL into a cookie at once."""
    moved = opened_links.move_secret(REOPEN_PATH, seconds=LINK_SECONDS)
    if moved is not None:
        return moved
    here = parts()
    with here.database.reading() as db:
        found = find_closed(db, opened_links.secret(), here.clock())
    if found is None:
        raise PageError("link_over")
    return render_page("accounts/reopen.html", address=found[1])


@bp.post(REOPEN_PATH)
def take_reopening() -> Response:
    """The account is open again. Nobody is signed in by it."""
    here = parts()
    with here.database.transaction() as db:
        found = find_closed(db, opened_links.secret(), here.clock())
        account_id = reopen(db, opened_links.secret(), now=here.clock())
    if account_id is None or found is None:
        raise PageError("link_over")
    _note(Step.account_reopened, account_id)
    response = render_page("accounts/closed.html", address=found[1], reopened=True)
    opened_links.forget(response)
    return response


def _page(session: Session, *, problem: str | None = None, status: int = 200) -> Response:
    with parts().database.reading() as db:
        hindered = hindrance(db, session.account_id)
    return render_page(
        "accounts/close.html",
        status,
        language=session.locale,
        address=session.email,
        products=[product.name for product in used_products(session)],
        hindered=hindered,
        problem=problem,
        wait=None,
        receipt=None,
        days=REOPENED_WITHIN // 86400,
    )


def _is_own(typed: str, own: str) -> bool:
    try:
        return canonical_email(typed) == canonical_email(own)
    except ValueError:
        return False


def _apply() -> None:
    here = parts()
    # Without Redis no session works; the worker brings it what changed when it is back.
    with suppress(Unavailable):
        apply_revocations(here.database, here.store, here.clients, here.clock())


def _note(step: Step, account_id: str) -> None:
    attempts = parts().attempts
    g.receipt = attempts.start()
    attempts.step(g.receipt, step, account_id=account_id)
