"""``/me/links``: a person takes a way to sign in away, or undoes the link that a mail has announced."""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, Response, g, request

from idp import opened_links
from idp.accounts.fresh_proof import prove_anew
from idp.accounts.lifecycle import apply_revocations
from idp.accounts.linking import UNDO, UNDO_PATH
from idp.accounts.mailed_links import find_link, take_link
from idp.accounts.sessions import Session
from idp.accounts.visitor import visitor
from idp.accounts.ways import (
    LastWay,
    NoSuchLink,
    Unlinked,
    find_undoable,
    provider_named,
    tell_unlinked,
    undo,
    unlink,
    ways_in,
)
from idp.attempts import Step
from idp.errors import PageError, Unavailable
from idp.parts import parts
from idp.redirects import go
from idp.rendering import choose_language, render_page

bp = Blueprint("linked_ways", __name__)

LINK_SECONDS = 600  # that the secret of an opened link stays in the browser


@bp.get("/me/links/remove")
def ask_to_remove() -> Response:
    """Ask once more before a link is taken away."""
    session = visitor()
    if session is None:
        return go("/login")
    here = parts()
    name = request.args.get("link", "")
    with here.database.reading() as db:
        ways = ways_in(db, session.account_id, here.providers)
    way = next((one for one in ways if name and one.name == name), None)
    if way is None:
        return go("/me")
    last = not any(one.opens and one.name != name for one in ways)
    anew = None if last else prove_anew(session, "/me")  # to read why it stays takes no proof
    if anew is not None:
        return anew
    return _page(session, way.door, way.who, name, last=last)


@bp.post("/me/links/remove")
def remove() -> Response:
    """Take a link away: whoever came by that door is signed out."""
    session = visitor()
    if session is None:
        return go("/login")
    anew = prove_anew(session, "/me")
    if anew is not None:
        return anew
    here = parts()
    name = request.form.get("link", "")
    with here.database.transaction() as db:
        outcome = unlink(db, session.account_id, name, here.providers, now=here.clock())
        if isinstance(outcome, Unlinked):
            called = provider_named(outcome.door, here.providers)
            language = choose_language(session.locale)
            tell_unlinked(
                db,
                session.account_id,
                called,
                by_support=False,
                language=language,
                sealer=here.sealer,
                now=here.clock(),
            )
    match outcome:
        case LastWay():
            return go("/me/links/remove", link=name)
        case NoSuchLink():  # pressed twice
            return go("/me")
        case Unlinked(door):
            _apply()
            _receipt(session.account_id, door)
            return go("/me", notice="unlinked")


@bp.get(UNDO_PATH)
def ask_to_undo() -> Response:
    """What the mailed link leads to. Opening it changes nothing: mail scanners open links as well.

    The secret moves from the URL into a cookie at once, so that it stays in no history and no log.
    """
    moved = opened_links.move_secret(UNDO_PATH, seconds=LINK_SECONDS)
    if moved is not None:
        return moved
    here = parts()
    with here.database.reading() as db:
        mailed = find_link(db, opened_links.secret(), UNDO, here.clock())
        link = find_undoable(db, mailed) if mailed is not None else None
        if link is None:
            raise PageError("link_over")
        return render_page(
            "accounts/undo_link.html",
            done=False,
            provider=provider_named(link.door, here.providers),
            who=link.email,
            at=link.created_at,
        )


@bp.post(UNDO_PATH)
def take_back() -> Response:
    """Undo the link: it is removed, and everybody is signed out of the account."""
    here = parts()
    with here.database.transaction() as db:
        mailed = take_link(db, opened_links.secret(), UNDO, here.clock())
        link = find_undoable(db, mailed) if mailed is not None else None
        door = link.door if link is not None else ""
        if mailed is None or not undo(db, mailed, now=here.clock()):
            raise PageError("link_over")
        account_id = mailed.account_id or ""
    _apply()
    _receipt(account_id, door)
    response = render_page("accounts/undo_link.html", done=True, provider=provider_named(door, here.providers))
    opened_links.forget(response)
    return response


def _page(session: Session, door: str, who: str, name: str, *, last: bool) -> Response:
    return render_page(
        "accounts/unlink.html",
        403 if last else 200,
        language=session.locale,
        provider=provider_named(door, parts().providers),
        who=who,
        link=name,
        last=last,
    )


def _apply() -> None:
    here = parts()
    # Without Redis no session works; the worker brings it what changed when it is back.
    with suppress(Unavailable):
        apply_revocations(here.database, here.store, here.clients, here.clock())


def _receipt(account_id: str, door: str) -> None:
    attempts = parts().attempts
    g.receipt = attempts.start()
    attempts.step(g.receipt, Step.unlinked, account_id=account_id, door=door)
