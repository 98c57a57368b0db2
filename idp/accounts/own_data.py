"""``/me/data``: a person takes along everything that is kept about them."""

from __future__ import annotations

import json

from flask import Blueprint, Response

from idp.accounts.fresh_proof import prove_anew
from idp.accounts.own_records import own_records
from idp.accounts.sessions import sessions_of
from idp.accounts.visitor import visitor
from idp.parts import parts
from idp.redirects import go
from idp.rendering import render_page

bp = Blueprint("own_data", __name__)

PATH = "/me/data"


@bp.get(PATH)
def show_data() -> Response:
    """What the file holds, with the button that makes it."""
    session = visitor()
    if session is None:
        return go("/login")
    return prove_anew(session, PATH) or render_page("accounts/own_data.html", language=session.locale)


@bp.post(PATH)
def give_data() -> Response:
    """The file: JSON, as docs/own-data.md describes it."""
    session = visitor()
    if session is None:
        return go("/login")
    anew = prove_anew(session, PATH)
    if anew is not None:
        return anew
    here, now = parts(), parts().clock()
    sessions = sessions_of(here.store, session.account_id, now)
    with here.database.reading() as db:
        records = own_records(db, session.account_id, sessions, now=now)
    response = Response(
        json.dumps(records, ensure_ascii=False, indent=2), content_type="application/json; charset=utf-8"
    )
    response.headers["Content-Disposition"] = f'attachment; filename="{here.config.host}-my-data.json"'
    return response
