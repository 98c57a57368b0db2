"""No form is taken from another site: each carries a token that only this browser can have. A companion of every page.

The token is a random salt and the HMAC of salt and browser cookie. The salt makes every rendered page different, so that
compression of the answer tells nothing about the token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any, TypeVar

from flask import current_app, request

from idp import cookies
from idp.errors import PageError
from idp.parts import parts

FIELD = "csrf"

View = TypeVar("View", bound=Callable[..., Any])


class CsrfField:
    """The hidden input that every form of ours carries. Made only when a template prints it."""

    def __html__(self) -> str:
        return f'<input type="hidden" name="{FIELD}" value="{make_token()}">'


def make_token() -> str:
    """A token for a form in the browser that is asking."""
    salt = parts().random(16)
    return base64.urlsafe_b64encode(salt + _proof(salt, cookies.browser())).decode()


def exempt(view: View) -> View:
    """Mark a view that other sites may post to: ``/authorize`` and ``/logout``, which change nothing without asking, and what
    companies' identity providers send, which counts by its signature."""
    view.__dict__["csrf_exempt"] = True
    return view


def comes_from_us() -> bool:
    """Whether the request changes something and only a form of ours may send it. Of any other the form is not read here: its view says
    how long it may be."""
    if request.method in ("GET", "HEAD", "OPTIONS") or request.endpoint is None:
        return False
    return not getattr(current_app.view_functions[request.endpoint], "csrf_exempt", False)


def check() -> None:
    """Refuse a request that changes something and does not come from our own form in this browser.

    :raises PageError: ``csrf``.
    """
    if not comes_from_us():
        return
    browser = cookies.find(cookies.BROWSER)
    if browser is None:
        raise PageError("csrf", detail="no browser cookie")
    try:
        token = base64.b64decode(request.form.get(FIELD, "").encode("ascii"), altchars=b"-_", validate=True)
    except ValueError:
        raise PageError("csrf", detail="the token is not ours") from None
    if not hmac.compare_digest(token[16:], _proof(token[:16], browser)):
        raise PageError("csrf", detail="the token belongs to another browser")


def _proof(salt: bytes, browser: str) -> bytes:
    return hmac.digest(parts().keys.derive("csrf"), salt + browser.encode("ascii"), hashlib.sha256)
