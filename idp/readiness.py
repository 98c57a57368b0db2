"""Whether people can sign in here: the state of each part that a sign-in needs. A working, for probes and for operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from idp.errors import Unavailable

if TYPE_CHECKING:
    from idp.clients import Clients
    from idp.database import Database
    from idp.key_ring import KeyRing
    from idp.redis_store import RedisStore


def readiness(store: RedisStore, database: Database, clients: Clients, keys: KeyRing) -> dict[str, str]:
    """The state of each part that a sign-in needs: ok, kept, down, or (migrations) behind."""
    # Asking them is what makes them look at their files.
    there, wanted, signable = clients.all(), clients.algorithms(), keys.algorithms()
    return {
        "redis": _state(store.ping),
        "sql": _state(database.ping),
        "migrations": _migrations(database),
        "keys": "down" if not wanted <= signable else "kept" if keys.problem else "ok",
        "clients": "down" if not there else "kept" if clients.problem else "ok",
    }


def _state(check: Callable[[], object]) -> str:
    try:
        check()
    except Unavailable:
        return "down"
    return "ok"


def _migrations(database: Database) -> str:
    try:
        return "ok" if database.is_current() else "behind"
    except Unavailable:
        return "down"
