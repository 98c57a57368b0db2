"""The requests that we have sent to companies' identity providers, and what was verified of the answers, in Redis.

An answer comes in a POST from the company's site, without our cookies (SameSite=Lax). So what was verified of it is parked
for a minute, and the browser fetches it by a GET that brings them: only then is it known whether this is the browser that
the request was sent with. Request and assertion are used up together, exactly once; without Redis nothing is.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from idp.doors.saml_checks import SentRequest
from idp.login.arrival import Arrival, read_arrival
from idp.redis_store import RedisStore, token_hash

LIFETIME = 15 * 60  # seconds in which an answer must come: as long as a pending login
PARKED = 60  # seconds in which the browser must come for what was verified
# Longer than any clock of an identity provider may differ from ours: for so long after its end an assertion is remembered.
ALLOWANCE = 600

Purpose = Literal["login", "try"]
Outcome = Literal["taken", "repeated", "unknown", "foreign"]


@dataclass(frozen=True, slots=True)
class Trip:
    """A person on the way to their company and back: the request, and what of ours waits for them.

    :ivar pending: the handle of the pending login. It opens nothing without the cookie of its browser.
    :ivar purpose: ``login``, or ``try``: a connection is tested, and nobody is signed in.
    """

    sent: SentRequest
    pending: str
    receipt: str
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class Answered:
    """What a response came to. ``arrival`` is who was proved; None when the response was refused, for ``reason``.

    :ivar assertion: the id of the assertion.
    :ivar until: when the assertion stops counting, seconds since 1970.
    :ivar report: for a test of the connection (purpose ``try``), the response as it came: ``/login/company/try/result``, where
        the ACS address sends the browser then (c: the connection, r: the handle), fetches it, looks at it in full and shows it.
    """

    request: str
    pending: str
    receipt: str
    purpose: str
    passive: bool
    reason: str = ""
    arrival: Arrival | None = None
    assertion: str = ""
    until: int = 0
    report: str = ""


def remember(
    store: RedisStore, sent: SentRequest, *, browser: str, pending: str, receipt: str, purpose: Purpose
) -> None:
    """Note a request before the browser leaves with it. ``browser``: the value of our cookie there. One round trip."""
    facts = {name: value for name, value in asdict(sent).items() if name != "id"}
    fields: dict[str, str | int] = {
        "browser": token_hash(browser),
        "pending": pending,
        "receipt": receipt,
        "purpose": purpose,
        "sent": json.dumps(facts, separators=(",", ":")),
    }
    flat = [part for pair in fields.items() for part in pair]
    key = _key(sent.connection_id, "request", sent.id)
    store.call("idp_saml_keep", key, sent.issued_at + LIFETIME, *flat)


def find(store: RedisStore, connection_id: str, request_id: str, now: float) -> Trip | None:
    """Find a request that still waits for its answer, of this connection alone. It stays. One round trip."""
    record = store.call("idp_saml_find", _key(connection_id, "request", request_id), now)
    if not record:
        return None
    fields = dict(zip(record[::2], record[1::2], strict=True))
    facts = json.loads(fields["sent"])
    facts["contexts"] = tuple(facts["contexts"])
    return Trip(SentRequest(id=request_id, **facts), fields["pending"], fields["receipt"], fields["purpose"])


def take(
    store: RedisStore, *, connection_id: str, request: str, assertion: str, until: int, browser: str, now: float
) -> Outcome:
    """Use up a request and the assertion that answers it, both or neither; of several that try, one succeeds.

    ``browser``: the value of our cookie in the browser that has come.
    """
    keys = _key(connection_id, "request", request), _key(connection_id, "assertion", assertion)
    outcome: Outcome = store.command(
        "FCALL", "idp_saml_take", 2, *keys, token_hash(browser), now, max(until, int(now)) + ALLOWANCE
    )
    return outcome


def was_used(store: RedisStore, connection_id: str, assertion: str, now: float) -> bool:
    """Whether an assertion has signed somebody in. One round trip."""
    until = store.command("GET", _key(connection_id, "assertion", assertion))
    return until is not None and int(until) > now


def park(
    store: RedisStore, connection_id: str, answered: Answered, *, now: float, random: Callable[[int], bytes]
) -> str:
    """Park what a response came to; return the handle with which its browser fetches it.

    What came to a test holds a whole response: of each test one is kept, the last, however many are sent.
    """
    handle = base64.urlsafe_b64encode(random(18)).decode()
    if answered.purpose == "try":
        handle = token_hash(f"answer to the test {answered.pending}")
    fields = asdict(answered) | {"arrival": answered.arrival.written() if answered.arrival else ""}
    key = _key(connection_id, "answer", handle)
    store.call("idp_saml_keep", key, int(now) + PARKED, "answered", json.dumps(fields, separators=(",", ":")))
    return handle


def fetch(store: RedisStore, connection_id: str, handle: str, now: float) -> Answered | None:
    """Fetch what was parked, once."""
    record = store.call("idp_saml_fetch", _key(connection_id, "answer", handle), now)
    if not record:
        return None
    fields = json.loads(dict(zip(record[::2], record[1::2], strict=True))["answered"])
    fields["arrival"] = read_arrival(fields["arrival"]) if fields["arrival"] else None
    return Answered(**fields)


def _key(connection_id: str, kind: str, secret: str) -> str:
    # Ids of requests and assertions are chosen so that nobody can guess them; hashed, they cannot be read here either.
    return f"saml:{{{connection_id}}}:{kind}:{token_hash(secret)}"
