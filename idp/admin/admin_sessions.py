"""The admin center's own sessions: who our ID token said is at this browser. In Redis; the cookie's secret only as a hash. A working.

A session ends when the person signs out here, when the provider says that theirs has ended (back-channel logout), or after a
working day. What the person may do is not in it, nor whether they were thrown out since: that is read from SQL each time.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from idp.redis_store import RedisStore, token_hash

LIFETIME = 8 * 3600  # seconds
STARTED = 600  # seconds for a sign-in to come back


@dataclass(frozen=True, slots=True)
class AdminSession:
    """Times are whole seconds since 1970. ``sid`` is the session's name at the provider, ``id_token`` the hint for signing out there."""

    sub: str
    sid: str
    auth_time: int
    acr: str
    expires: int
    id_token: str = field(repr=False)

    @property
    def opened(self) -> int:
        """When it was opened."""
        return self.expires - LIFETIME


@dataclass(frozen=True, slots=True)
class Started:
    """A sign-in that is under way: what its answer must bring back, and the path of ours where it goes on."""

    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    back: str


def start(store: RedisStore, browser: str, state: str, started: Started) -> None:
    """Remember a sign-in for this browser, ten minutes long."""
    store.command("SET", _started(browser, state), json.dumps(asdict(started)), "EX", STARTED)


def take_started(store: RedisStore, browser: str, state: str) -> Started | None:
    """The sign-in that this browser began under this state, once."""
    found = store.command("GETDEL", _started(browser, state))
    return Started(**json.loads(found)) if found else None


def open_session(store: RedisStore, session: AdminSession, random: Callable[[int], bytes], now: float) -> str:
    """Open a session; return the cookie's value. It is listed under its ``sid`` before it exists, so that it can always be ended."""
    cookie = base64.urlsafe_b64encode(random(32)).decode().rstrip("=")
    lifetime = max(1, session.expires - int(now))
    with store.batch() as batch:
        batch.command("SADD", _sessions(session.sid), token_hash(cookie))
        batch.command("EXPIRE", _sessions(session.sid), LIFETIME + 60)
        batch.command("SET", _session(token_hash(cookie)), json.dumps(asdict(session)), "EX", lifetime)
    return cookie


def find_session(store: RedisStore, cookie: str, now: float) -> AdminSession | None:
    """The live session of a cookie. One round trip."""
    found = store.command("GET", _session(token_hash(cookie)))
    session = AdminSession(**json.loads(found)) if found else None
    return session if session is not None and session.expires > now else None


def end_session(store: RedisStore, cookie: str) -> None:
    """End one session."""
    store.command("DEL", _session(token_hash(cookie)))


def end_sessions_of(store: RedisStore, sid: str) -> None:
    """End every session that came from the provider's session ``sid``."""
    keys = store.command("SMEMBERS", _sessions(sid))
    with store.batch() as batch:
        for key in keys:
            batch.command("DEL", _session(key))
        batch.command("DEL", _sessions(sid))


def _session(key: str) -> str:
    return f"admin-session:{{{key}}}"


def _sessions(sid: str) -> str:
    return f"admin-sessions:{{{token_hash(sid)}}}"


def _started(browser: str, state: str) -> str:
    return f"admin-started:{{{token_hash(f'{browser} {state}')}}}"
