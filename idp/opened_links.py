"""A mailed link that was opened: its secret moves from the URL into a cookie of this browser at once, so that it stays in no history and
no log, and each form that uses it says which one it shows.

Two links may be open in two tabs, and the cookie holds the one that was opened last: a form of the other tab must not use that one.
A companion of the pages that mailed links lead to.
"""

from __future__ import annotations

from flask import Response, request

from idp import cookies, csrf
from idp.errors import PageError
from idp.redirects import go
from idp.redis_store import token_hash

FIELD = "opened"


class OpenedField:
    """The hidden input of a form that uses the link which its page shows. Made only when a template prints it."""

    def __html__(self) -> str:
        return f'<input type="hidden" name="{FIELD}" value="{_mark()}">'


def move_secret(path: str, *, seconds: int, over: str = "link_over") -> Response | None:
    """Where a mailed link leads (``path``, with its secret as ``t``): the way on to the page without it; None when it has moved
    already. The browser keeps it for so many ``seconds``.

    :raises PageError: ``over``: it is none of ours, or was cut by the mail program.
    """
    given = request.args.get("t")
    if given is None:
        return None
    if not cookies.may_be(cookies.MAILED_LINK, given):
        raise PageError(over)
    response = go(path)
    cookies.put(response, cookies.MAILED_LINK, given, max_age=seconds)
    return response


def secret() -> str:
    """The secret of the link that this browser has opened last; "" when there is none."""
    return cookies.find(cookies.MAILED_LINK) or ""


def forget(response: Response) -> None:
    """The link was used: the browser need not keep its secret."""
    cookies.remove(response, cookies.MAILED_LINK)


def check() -> Response | None:
    """Show the page anew when its form was made for another link than the one that would be used. Where none is left, the page says
    so itself."""
    if csrf.comes_from_us() and FIELD in request.form and _mark() not in ("", request.form[FIELD]):
        return go(request.path, **({"p": request.form["p"]} if "p" in request.form else {}))
    return None


def _mark() -> str:
    kept = secret()
    return token_hash(f"opened\n{kept}")[:32] if kept else ""
