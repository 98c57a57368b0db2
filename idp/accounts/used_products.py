"""The products that a person has used. A companion of the pages of /me that list them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from idp import grants
from idp.accounts.sessions import Session
from idp.models import Consent, ProductUse
from idp.parts import parts


@dataclass(frozen=True, slots=True)
class UsedProduct:
    """A product that a person has used.

    :ivar uri: where it is, or begins; None: it says neither.
    :ivar last_at: seconds since 1970.
    :ivar allowed: the client_id of a third-party product that may read something; None for all others.
    """

    client_id: str
    name: str
    uri: str | None
    last_at: int
    allowed: str | None


def used_products(session: Session) -> list[UsedProduct]:
    """The latest first. What this session has just opened may not yet be in SQL; products that are gone are not named."""
    here = parts()
    with here.database.reading() as db:
        used = select(ProductUse.client_id, ProductUse.last_at).where(ProductUse.account_id == session.account_id)
        last_at = dict(db.execute(used).all())
        given = select(Consent.client_id, Consent.given_at).where(Consent.account_id == session.account_id)
        allowed = dict(db.execute(given).all())
    last_at = allowed | last_at
    for grant in grants.grants_of_session(here.store, session.id, here.clock()):
        last_at.setdefault(grant.client_id, session.last_seen)
    rows = []
    for client_id, at in sorted(last_at.items(), key=lambda item: item[1], reverse=True):
        client = here.clients.find(client_id)
        if client is not None:
            kept = client_id if client_id in allowed and not client.first_party else None
            uri = client.client_uri or client.beginning(here.config.issuer)
            rows.append(UsedProduct(client_id, client.name, uri, at, kept))
    return rows
