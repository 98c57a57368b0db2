"""What a browser remembers of who signs in here, until they sign out. A companion of the pages that begin and end a session.

The account: whoever asked to be kept signed in finds the address filled in when they must sign in again; it travels sealed in
a cookie of its own. The door: whoever came from a social provider is asked for there first the next time, and who came by a passkey is
reminded of it.
"""

from __future__ import annotations

from flask import Response

from idp import cookies
from idp.parts import parts

PASSKEY = "passkey"  # the door of that name; no provider has it for its key

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


def note_door(response: Response, door: str) -> None:
    """Let this browser remember by which social provider, or that by a passkey, somebody has just signed in, and forget it after
    any other door."""
    if door == PASSKEY or door in parts().providers:
        cookies.put(response, cookies.LAST_DOOR, door, max_age=cookies.YEAR)
    elif cookies.find(cookies.LAST_DOOR):
        cookies.remove(response, cookies.LAST_DOOR)


def last_door() -> str:
    """The key of the social provider by which somebody signed in here last, if there is still such a door; else ""."""
    providers = parts().providers
    door = cookies.find(cookies.LAST_DOOR) if providers else None
    return door if door is not None and door in providers else ""


def last_was_passkey() -> bool:
    """Whether somebody signed in here by a passkey last."""
    return cookies.find(cookies.LAST_DOOR) == PASSKEY


def forget(response: Response) -> None:
    """Let this browser forget the session, whose it was, and by which door they came."""
    cookies.remove(response, cookies.SESSION)
    cookies.remove(response, cookies.ACCOUNT)
    if cookies.find(cookies.LAST_DOOR):
        cookies.remove(response, cookies.LAST_DOOR)


_TO_COOKIE = str.maketrans("+/", "-_")
_FROM_COOKIE = str.maketrans("-_", "+/")
