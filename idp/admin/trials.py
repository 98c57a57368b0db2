"""Test trips through a connection: an address that a person opens in a browser, good for an hour and for that browser alone.

The secret in the address stands in Redis as a hash. Opening the page binds nothing, since programs open addresses to look at
them; the first press of the button does. The same browser may go again, while somebody mends what was wrong.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

from idp.redis_store import RedisStore, token_hash

LIFETIME = 3600  # seconds


def make_trial(store: RedisStore, connection_id: str, *, now: float, random: Callable[[int], bytes]) -> str:
    """Let somebody try a connection; return the secret of the address ``/login/company/try?p=…``."""
    secret = base64.urlsafe_b64encode(random(24)).decode()
    record = json.dumps({"connection": connection_id, "expires": int(now) + LIFETIME})
    store.command("SET", _key(secret), record, "EX", LIFETIME)
    return secret


def find_trial(store: RedisStore, secret: str, browser: str, now: float) -> str | None:
    """The connection that the holder of a secret may try from this browser; None: over, or another browser's."""
    bound = store.command("GET", _browser_key(secret))
    return _connection(store, secret, now) if bound in (None, token_hash(browser)) else None


def bind_trial(store: RedisStore, secret: str, browser: str, now: float) -> str | None:
    """Like ``find_trial``, and from here on the secret is this browser's: of several that come at once, one gets it."""
    if _connection(store, secret, now) is None:
        return None
    store.command("SET", _browser_key(secret), token_hash(browser), "EX", LIFETIME, "NX")
    return find_trial(store, secret, browser, now)


def _connection(store: RedisStore, secret: str, now: float) -> str | None:
    written = store.command("GET", _key(secret))
    if written is None:
        return None
    record = json.loads(written)
    return str(record["connection"]) if record["expires"] > now else None


def _key(secret: str) -> str:
    return f"trial:{{{token_hash(secret)}}}"


def _browser_key(secret: str) -> str:
    return f"{_key(secret)}:browser"
