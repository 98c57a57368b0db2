"""Who has come through a company's door, while the next page waits for them: an Identity and what the sign-in rests on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

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
    identity = Identity(**fields["identity"] | {"methods": tuple(fields["identity"]["methods"])})
    return Arrival(identity, fields["company_id"], CompanySession(**fields["session"]), fields["ends"])
