"""What a person has allowed products to see, remembered per person, client and scope."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.models import Account, Consent


def consents_of(db: Transaction, account_id: str) -> dict[str, tuple[str, ...]]:
    """All that a person has allowed: client → scopes."""
    rows = db.execute(select(Consent.client_id, Consent.scopes).where(Consent.account_id == account_id))
    return {client_id: tuple(scopes) for client_id, scopes in rows}


def remember_consent(
    db: Transaction, account_id: str, client_id: str, scopes: Iterable[str], now: float
) -> tuple[str, ...]:
    """Add ``scopes`` to what the person has allowed this client; return all that is allowed now.

    Two tabs may consent at once: the account's row is held, so that one waits for the other and neither scope is lost.
    """
    db.execute(select(Account.id).where(Account.id == account_id).with_for_update())
    consent = db.scalars(
        select(Consent).where(Consent.account_id == account_id, Consent.client_id == client_id)
    ).one_or_none()
    if consent is None:
        consent = Consent(account_id=account_id, client_id=client_id, scopes=[], given_at=int(now))
        db.add(consent)
    was, consent.scopes = " ".join(consent.scopes), sorted({*consent.scopes, *scopes})
    consent.given_at = int(now)
    audit.record(
        db,
        audit.Event.person_consent_given,
        now=now,
        actor=f"person:{account_id}",
        account_id=account_id,
        client=client_id,
        scopes=" ".join(consent.scopes),
        was=was,
    )
    return tuple(consent.scopes)
