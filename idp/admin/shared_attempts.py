"""One failed attempt, shown to whoever was given its address: signed, for a week, and for nothing else. A working."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

LIFETIME = 7 * 86400  # seconds
_PROOF = 32  # bytes


def make(key: bytes, connection_id: str, code: str, now: float) -> str:
    """The token of an address that shows one attempt."""
    about = f"{connection_id} {code} {int(now) + LIFETIME}".encode("ascii")
    return base64.urlsafe_b64encode(_proof(key, about) + about).decode().rstrip("=")


def read(key: bytes, token: str, now: float) -> tuple[str, str] | None:
    """The connection and the receipt code that a token is about; None: it is over, or none of ours."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{60,200}", token):
        return None
    try:
        given = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return None
    about = given[_PROOF:]
    if not hmac.compare_digest(given[:_PROOF], _proof(key, about)):
        return None
    connection_id, code, expires = about.decode("ascii").split(" ")
    return (connection_id, code) if int(expires) > now else None


def _proof(key: bytes, about: bytes) -> bytes:
    return hmac.digest(key, about, hashlib.sha256)
