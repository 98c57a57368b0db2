"""Who has come through a door, while the next page waits for them: an Identity, and what a company's sign-in rests on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from idp.accounts.identity import Identity
from idp.accounts.sessions import CompanySession
from idp.redis_store import token_hash


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
    return Arrival(read_identity(fields["identity"]), fields["company_id"], session, fields["ends"])


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Who came through a social door and has no account yet that it opens.

    :ivar address: the e-mail address that is known to be theirs, canonical; "" as long as none is.
    :ivar known_by: who says so: the provider, or the mail that they have read.
    """

    identity: Identity
    address: str = ""
    known_by: Literal["provider", "mail"] = "provider"


def newcomer(identity: Identity) -> Newcomer:
    """Somebody who has just come: their address is known if the provider may be believed."""
    return Newcomer(identity, identity.email if identity.email and identity.email_verified else "")


def mark_of(comer: Arrival | Newcomer) -> str:
    """Names who has come on the page that is shown to them: its form counts for nobody else, whoever has come in another tab."""
    address = comer.address if isinstance(comer, Newcomer) else ""
    return token_hash("\n".join((comer.identity.issuer, comer.identity.subject, address)))


def write_newcomer(who: Newcomer) -> str:
    """As a text for Redis and SQL."""
    return json.dumps(asdict(who), separators=(",", ":"))


def read_newcomer(text: str) -> Newcomer:
    """Read what ``write_newcomer`` has made; nothing else is ever handed here."""
    fields = json.loads(text)
    return Newcomer(read_identity(fields["identity"]), fields["address"], fields["known_by"])


def read_identity(fields: dict[str, Any]) -> Identity:
    """The Identity whose fields were written down; nothing else is ever handed here."""
    return Identity(**fields | {"methods": tuple(fields["methods"])})
