"""``/me/activity``: what has happened with the account lately, each with its receipt."""

from __future__ import annotations

from flask import Blueprint, Response

from idp.accounts.activity import recent_activity
from idp.accounts.visitor import visitor
from idp.accounts.ways import provider_named
from idp.parts import parts
from idp.redirects import go
from idp.rendering import render_page

bp = Blueprint("own_activity", __name__)


@bp.get("/me/activity")
def show_activity() -> Response:
    """The latest receipts of who is signed in."""
    session = visitor()
    if session is None:
        return go("/login")
    here = parts()
    with here.database.reading() as db:
        acts = recent_activity(db, session.account_id)
    rows = []
    for act in acts:
        client = here.clients.find(act.client_id) if act.client_id else None
        explained = act.reason and here.languages.has(f"reason.{act.reason}.says")
        rows.append(
            {
                "act": act,
                "product": client.name if client is not None else "",
                "provider": provider_named(act.door, here.providers) if act.door else "",
                "reason": act.reason if explained else "",
            }
        )
    return render_page("accounts/activity.html", language=session.locale, rows=rows)
