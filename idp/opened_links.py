"""A mailed link that was opened: its secret stands in a cookie of this browser, and each form that uses it says which one it shows.

Two links may be open in two tabs, and the cookie holds the one that was opened last: a form of the other tab must not use that one.
A companion of the pages that mailed links lead to.
"""

from __future__ import annotations

from flask import Response, request

from idp import cookies, csrf
from idp.redirects import go
from idp.redis_store import token_hash

FIELD = "opened"


class OpenedField:
    """The hidden input of a form that uses the link which its page shows. Made only when a template prints it."""

    def __html__(self) -> str:
        return f'<input type="hidden" name="{FIELD}" value="{_mark()}">'


def check() -> Response | None:
    """Show the page anew when its form was made for another link than the one that would be used. Where none is left, the page says
    so itself."""
    if csrf.comes_from_us() and FIELD in request.form and _mark() not in ("", request.form[FIELD]):
        return go(request.path, **({"p": request.form["p"]} if "p" in request.form else {}))
    return None


def _mark() -> str:
    secret = cookies.find(cookies.MAILED_LINK)
    return token_hash(f"opened\n{secret}")[:32] if secret else ""
