"""Who has come through a door, while the next page waits for them: an Identity, and what a company's sign-in rests on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from idp.accounts.identity import Identity
from idp.accounts.sessions import CompanySession


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a connection's response has proved, all of it read from verified bytes.

    :ivar session: the company's own session, as single logout will name it; it knows the connection.
    :ivar ends: when the company wants the session to be over (SessionNotOnOrAfter), seconds since 1970; None: it does not say.
    """

    identity: Identity
    company_id: str
    session: CompanySession
    ends: int | None

    def written(self) -> str:
        """As a text for Redis."""
        return json.dumps(asdict(self), separators=(",", ":"))


def read_arrival(text: str) -> Arrival:
    """Read what ``written`` has made; nothing else is ever handed here."""
    fields = json.loads(text)
    session = CompanySession(**fields["session"])
    return Arrival(_identity(fields["identity"]), fields["company_id"], session, fields["ends"])


def write_newcomer(identity: Identity) -> str:
    """Who came through a social door, as a text for Redis and SQL."""
    return json.dumps(asdict(identity), separators=(",", ":"))


def read_newcomer(text: str) -> Identity:
    """Read what ``write_newcomer`` has made; nothing else is ever handed here."""
    return _identity(json.loads(text))


def _identity(fields: dict[str, Any]) -> Identity:
    return Identity(**fields | {"methods": tuple(fields["methods"])})
