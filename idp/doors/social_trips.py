"""The trips to social providers, in Redis: what an answer must belong to, and what it is checked with.

The state names the trip and is stored hashed. It counts once, within a quarter of an hour, for the provider that it was made
for and in the browser that left. A provider that answers by a POST from its own site comes without our cookies
(SameSite=Lax) but for one; so what it posted is parked for a minute, and the browser fetches it by a GET that brings them.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from idp.redis_store import RedisStore, token_hash

LIFETIME = 15 * 60  # seconds in which an answer must come: as long as a pending login
PARKED = 60  # seconds in which the browser must come for what was posted

Purpose = Literal["login", "link"]
Outcome = Literal["unknown", "elsewhere", "foreign"]

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Trip:
    """A person on the way to a provider and back.

    :ivar purpose: ``login``, or ``link``: a signed-in person adds a way to sign in.
    :ivar pending: the handle of the pending login, for ``login``. It opens nothing without the cookie of its browser.
    :ivar session: the key of the session, for ``link``.
    :ivar nonce: of the ID token (OpenID Connect Core 3.1.2.1).
    :ivar verifier: of the code (RFC 7636 section 4.1).
    :ivar silent: nobody was to be asked anything.
    :ivar fresh: the person was to prove anew who they are.
    :ivar sent_at: seconds since 1970.
    """

    provider: str
    purpose: Purpose
    receipt: str
    nonce: str
    verifier: str
    sent_at: int
    pending: str = ""
    session: str = ""
    silent: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Used:
    """The state of a trip that is over: this browser has brought an answer to it."""

    trip: Trip


def make_secret(random: Callable[[int], bytes]) -> str:
    """A state, nonce, verifier or handle: 32 random bytes, in 43 characters."""
    return base64.urlsafe_b64encode(random(32)).rstrip(b"=").decode()


def remember(store: RedisStore, state: str, trip: Trip, *, browser: str, poster: str = "") -> None:
    """Note a trip before the browser leaves. One round trip.

    :param browser: the value of our cookie there.
    :param poster: that of the cookie which comes with the POST of a provider that posts its answers.
    """
    fields: dict[str, str | int] = {
        "provider": trip.provider,
        "browser": token_hash(browser),
        "poster": token_hash(poster) if poster else "",
        "trip": json.dumps(asdict(trip), separators=(",", ":")),
    }
    store.call("idp_social_keep", _key("social", state), trip.sent_at + LIFETIME, *_flat(fields))


def take(store: RedisStore, state: str, *, provider: str, browser: str, now: float) -> Trip | Used | Outcome:
    """Use up a state; of several that try, one gets its trip, and the others of this browser that it is used. One round trip.

    :returns: ``unknown``: it is over or never was ours; ``elsewhere``: it is of a trip to another provider;
        ``foreign``: of one that began in another browser. The last two leave it as it is.
    """
    if not _SECRET.fullmatch(state):
        return "unknown"
    match store.call("idp_social_take", _key("social", state), now, provider, token_hash(browser)):
        case ["taken", list(record)]:
            return Trip(**json.loads(_fields(record)["trip"]))
        case ["used", list(record)]:
            return Used(Trip(**json.loads(_fields(record)["trip"])))
        case ["elsewhere"]:
            return "elsewhere"
        case ["foreign"]:
            return "foreign"
    return "unknown"


def may_post(store: RedisStore, state: str, *, provider: str, poster: str, now: float) -> Trip | Outcome:
    """The trip that a posted answer belongs to, which stays. One round trip. ``poster``: the cookie that came with the POST."""
    if not _SECRET.fullmatch(state):
        return "unknown"
    record = store.call("idp_social_find", _key("social", state), now)
    if not record:
        return "unknown"
    fields = _fields(record)
    if fields["provider"] != provider:
        return "elsewhere"
    if not poster or fields["poster"] != token_hash(poster):
        return "foreign"
    return Trip(**json.loads(fields["trip"]))


def park(
    store: RedisStore, provider: str, posted: Mapping[str, str], *, now: float, random: Callable[[int], bytes]
) -> str:
    """Park what a provider posted; return the handle with which its browser fetches it. One round trip."""
    handle = make_secret(random)
    fields = {"provider": provider, "posted": json.dumps(dict(posted), separators=(",", ":"))}
    store.call("idp_social_keep", _key("social-answer", handle), int(now) + PARKED, *_flat(fields))
    return handle


def fetch(store: RedisStore, provider: str, handle: str, now: float) -> dict[str, str] | None:
    """Fetch what was parked, once. One round trip."""
    if not _SECRET.fullmatch(handle):
        return None
    record = store.call("idp_social_fetch", _key("social-answer", handle), now)
    fields = _fields(record)
    if fields.get("provider") != provider:
        return None
    posted: dict[str, str] = json.loads(fields["posted"])
    return posted


def _key(kind: str, secret: str) -> str:
    return f"{kind}:{{{token_hash(secret)}}}"


def _flat(fields: Mapping[str, str | int]) -> list[str | int]:
    return [part for pair in fields.items() for part in pair]


def _fields(record: list[Any]) -> dict[str, str]:
    return dict(zip(record[::2], record[1::2], strict=True))
