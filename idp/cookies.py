"""Our cookies: their names, their flags, and how they are read and written. A companion of every page.

Over https the names carry the ``__Host-`` prefix and the Secure flag, so that neither a sister host nor plain http can
plant one. An issuer on http exists only on loopback, where many clients drop Secure cookies: there both are left out.
A value that does not look like one of ours is no value: whoever meddles with a cookie is anonymous.
"""

from __future__ import annotations

import base64
import re

from flask import Response, current_app, g, request

from idp.parts import parts

# The ports of one host share their cookies: those of each program have names of their own.
PROVIDER = "idp"
ADMIN_CENTER = "idp_admin"

SESSION = "session"  # the signed-in person
BROWSER = "browser"  # what pending logins and forms are bound to; made when missing
DEVICE = "device"  # a browser in which this person has signed in before
ACCOUNT = "account"  # the sealed address of who asked to be kept signed in
LANGUAGE = "language"  # what was chosen with the language switch
MAILED_LINK = "mailed_link"  # the secret of a mailed link that was just opened, so that it leaves the URL
LAST_DOOR = "last_door"  # the social provider, or the passkey door, by which somebody signed in here last
SET_UP = "set_up"  # the secret of a set-up link, while a company's IT works with it in the admin center
POSTER = "poster"  # comes along when a social provider posts its answer from its own site; good for nothing else

YEAR = 365 * 86400

_SHAPES = {
    SESSION: re.compile(r"[A-Za-z0-9_-]{43}"),
    BROWSER: re.compile(r"[A-Za-z0-9_-]{43}"),
    DEVICE: re.compile(r"[A-Za-z0-9_-]{43}"),
    ACCOUNT: re.compile(r"[A-Za-z0-9_-]{40,800}"),
    LANGUAGE: re.compile(r"[a-z]{2,3}"),
    MAILED_LINK: re.compile(r"[A-Za-z0-9_-]{43}"),
    LAST_DOOR: re.compile(r"[a-z][a-z0-9-]{0,31}"),
    SET_UP: re.compile(r"[A-Za-z0-9_-]{43}"),
    POSTER: re.compile(r"[A-Za-z0-9_-]{43}"),
}
_CROSS_SITE = {POSTER}


def cookie_name(kind: str, *, secure: bool, program: str = PROVIDER) -> str:
    """The name on the wire of one of the kinds above."""
    return f"__Host-{program}_{kind}" if secure else f"{program}_{kind}"


def may_be(kind: str, value: str) -> bool:
    """Whether a text looks like a value of one of the kinds above."""
    return _SHAPES[kind].fullmatch(value) is not None


def find_in(header: str, kind: str, *, secure: bool, program: str = PROVIDER) -> str | None:
    """The value of our cookie in a Cookie header (RFC 6265 section 4.2), or None; of several the first counts."""
    start = cookie_name(kind, secure=secure, program=program) + "="
    for pair in header.split(";"):
        pair = pair.strip()
        if pair.startswith(start):
            value = pair[len(start) :]
            return value if may_be(kind, value) else None
    return None


def find(kind: str) -> str | None:
    """The value of our cookie in the request that is being answered, or None."""
    header = request.headers.get("Cookie", "")
    return find_in(header, kind, secure=parts().config.secure, program=current_app.config["PROGRAM"])


def put(response: Response, kind: str, value: str, *, max_age: int | None = None) -> None:
    """Let the browser keep ``value`` for ``max_age`` seconds; None: until the browser is closed."""
    response.headers.add("Set-Cookie", _line(kind, value, max_age))


def remove(response: Response, kind: str) -> None:
    """Let the browser forget a cookie."""
    response.headers.add("Set-Cookie", _line(kind, "", 0))


def browser() -> str:
    """What this browser is known by: its cookie, or a new value of 32 random bytes that leaves with the answer."""
    if "browser" not in g:
        value = find(BROWSER)
        if value is None:
            value = g.new_browser = base64.urlsafe_b64encode(parts().random(32)).rstrip(b"=").decode()
        g.browser = value
    return str(g.browser)


def deliver(response: Response) -> Response:
    """After each request: send the browser cookie that was made while answering it."""
    if "new_browser" in g:
        put(response, BROWSER, g.new_browser)
    return response


def _line(kind: str, value: str, max_age: int | None) -> str:
    secure = parts().config.secure
    # SameSite=None is only for Secure cookies; on loopback the ports are one site, where Lax is sent too.
    same_site = "None" if secure and kind in _CROSS_SITE else "Lax"
    name = cookie_name(kind, secure=secure, program=current_app.config["PROGRAM"])
    line = f"{name}={value}; Path=/; HttpOnly; SameSite={same_site}"
    if max_age is not None:
        line += f"; Max-Age={max_age}"
    return line + "; Secure" if secure else line
