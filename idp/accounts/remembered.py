"""The remembered account: whoever asked to be kept signed in finds the address filled in when they must sign in again.

A companion of the pages that begin and end a session. The address travels sealed in a cookie of its own, and is forgotten
when the person signs out.
"""

from __future__ import annotations

from flask import Response

from idp import cookies
from idp.parts import parts

_BOUND_TO = "remembered account"


def remember(response: Response, email: str) -> None:
    """Let this browser remember who signs in here."""
    sealed = parts().sealer.seal({"email": email}, _BOUND_TO)
    cookies.put(response, cookies.ACCOUNT, sealed.rstrip("=").translate(_TO_COOKIE), max_age=cookies.YEAR)


def remembered() -> str:
    """The address that this browser remembers, or ""."""
    cookie = cookies.find(cookies.ACCOUNT)
    if cookie is None:
        return ""
    try:
        return parts().sealer.open(cookie.translate(_FROM_COOKIE) + "=" * (-len(cookie) % 4), _BOUND_TO)["email"]
    except ValueError:  # not ours, or sealed under other keys
        return ""


def forget(response: Response) -> None:
    """Let this browser forget both the session and whose it was."""
    cookies.remove(response, cookies.SESSION)
    cookies.remove(response, cookies.ACCOUNT)


_TO_COOKIE = str.maketrans("+/", "-_")
_FROM_COOKIE = str.maketrans("-_", "+/")
