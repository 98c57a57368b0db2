"""``/language``: the switch at the foot of every page. Remembers the choice and goes back to the page."""

from __future__ import annotations

import re

from flask import Blueprint, Response, current_app, request

from idp import cookies
from idp.parts import parts
from idp.redirects import leave

bp = Blueprint("language_switch", __name__)


@bp.get("/language")
def switch_language() -> Response:
    """``to``: a language code; ``back``: a path of our own, else we go to the start page."""
    back = request.args.get("back", "")
    # Printable ASCII without backslash, and no second slash: browsers read "/\\evil" and "/<tab>/evil" as another host.
    own_path = re.fullmatch(r"/(?!/)[!-\[\]-~]*", back)
    response = leave(back if own_path else current_app.config["SITE"].home)
    to = request.args.get("to", "")
    if to in parts().languages.supported:
        cookies.put(response, cookies.LANGUAGE, to, max_age=cookies.YEAR)
    return response
