"""Whether people can sign in here: the state of each part that a sign-in needs. A working, for probes and for operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from idp.errors import Unavailable

if TYPE_CHECKING:
    from idp.parts import Parts


def readiness(here: Parts) -> dict[str, str]:
    """The state of each part that a sign-in needs: ok, kept, down, or (migrations) behind."""
    # Asking them is what makes them look at their files.
    clients, wanted, signable = here.clients.all(), here.clients.algorithms(), here.keys.algorithms()
    return {
        "redis": _state(here.store.ping),
        "sql": _state(here.database.ping),
        "migrations": _migrations(here),
        "keys": "down" if not wanted <= signable else "kept" if here.keys.problem else "ok",
        "clients": "down" if not clients else "kept" if here.clients.problem else "ok",
    }


def _state(check: Callable[[], object]) -> str:
    try:
        check()
    except Unavailable:
        return "down"
    return "ok"


def _migrations(here: Parts) -> str:
    try:
        return "ok" if here.database.is_current() else "behind"
    except Unavailable:
        return "down"
