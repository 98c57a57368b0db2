"""Who is at the browser: the open session behind the session cookie. A companion of every page."""

from __future__ import annotations

from idp import cookies
from idp.accounts.sessions import Session, find_session
from idp.parts import parts


def visitor() -> Session | None:
    """The open session of the request that is being answered. One Redis round trip; none without a cookie."""
    cookie = cookies.find(cookies.SESSION)
    if cookie is None:
        return None
    here = parts()
    return find_session(here.store, cookie, here.clock())
