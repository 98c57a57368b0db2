"""``/me/factors/not-me``: "this was not me", from the mail that told of a factor which was added or taken away."""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, Response, g

from idp import opened_links
from idp.accounts.changed_factor import NOT_MINE, NOT_MINE_PATH, take_back
from idp.accounts.lifecycle import apply_revocations
from idp.accounts.mailed_links import find_link, take_link
from idp.attempts import Step
from idp.errors import PageError, Unavailable
from idp.parts import parts
from idp.rendering import render_page

bp = Blueprint("disowned_factor", __name__)

LINK_SECONDS = 600  # that the secret of an opened link stays in the browser


@bp.get(NOT_MINE_PATH)
def ask_to_take_back() -> Response:
    """What the mailed link leads to. Opening it changes nothing: mail scanners open links as well.

    The secret moves from the URL into a cookie at once, so that it stays in no history and no log.
    """
    moved = opened_links.move_secret(NOT_MINE_PATH, seconds=LINK_SECONDS)
    if moved is not None:
        return moved
    here = parts()
    with here.database.reading() as db:
        mailed = find_link(db, opened_links.secret(), NOT_MINE, here.clock())
        if mailed is None:
            raise PageError("link_over")
        return render_page("accounts/disowned_factor.html", done=False, at=mailed.created_at, **mailed.facts)


@bp.post(NOT_MINE_PATH)
def take_it_back() -> Response:
    """Take out what was added, and sign everybody out of the account."""
    here = parts()
    with here.database.transaction() as db:
        mailed = take_link(db, opened_links.secret(), NOT_MINE, here.clock())
        if mailed is None or mailed.account_id is None:
            raise PageError("link_over")
        take_back(db, mailed, now=here.clock())
        account_id, factor = mailed.account_id, mailed.facts["factor"]
    # Without Redis no session works; the worker brings it what changed when it is back.
    with suppress(Unavailable):
        apply_revocations(here.database, here.store, here.clients, here.clock())
    g.receipt = here.attempts.start()
    here.attempts.step(g.receipt, Step.factor_disowned, account_id=account_id, detail=factor)
    response = render_page("accounts/disowned_factor.html", done=True)
    opened_links.forget(response)
    return response
