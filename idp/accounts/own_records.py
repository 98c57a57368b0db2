"""Everything that is kept about a person, for that person (GDPR articles 15 and 20). A working.

No secret is in it, neither ours nor theirs: of a password when it was set, of a passkey how it is called. Texts that somebody else wrote
about them, such as a provider's name for them, are.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session as Transaction

from idp.accounts.sessions import Session
from idp.mail import check_recipient
from idp.models import (
    Account,
    Attempt,
    AttemptStep,
    AuditEvent,
    Company,
    Consent,
    Device,
    EmailChange,
    FactorRemoval,
    HeldAddress,
    Invitation,
    Link,
    Member,
    OutboxMail,
    Passkey,
    ProductUse,
    RecoveryCode,
    Seat,
    Staff,
    Totp,
)

FORMAT = 1  # grows when a member gets another meaning
MOST = 1000  # of the newest receipts, mails and audit records each


def own_records(db: Transaction, account_id: str, sessions: Iterable[Session], *, now: float) -> dict[str, Any]:
    """What docs/own-data.md describes, as JSON knows it; times are RFC 3339 in UTC."""
    account = db.get_one(Account, account_id)
    # As they are unique, and as mails are queued to them: a domain with other letters has two spellings.
    addresses = {spelled for one in account.emails for spelled in (one.canonical, check_recipient(one.address))}
    return {
        "format": FORMAT,
        "made_at": _time(now),
        "account": {
            "sub": account.sub,
            "state": account.state,
            "created_at": _time(account.created_at),
            "updated_at": _time(account.updated_at),
            "language": account.locale,
            "claims": account.profile,
            "terms": {"version": account.terms_version, "accepted_at": _time(account.terms_accepted_at)},
            "recovery_address": {"address": account.recovery_email, "proved_at": _time(account.recovery_verified_at)},
        },
        "addresses": [
            {"address": one.address, "primary": one.primary, "proved_at": _time(one.verified_at)}
            for one in account.emails
        ],
        "change_of_address": _rows(db, EmailChange, account_id, "address created_at expires_at"),
        "former_addresses": _rows(db, HeldAddress, account_id, "canonical until"),
        "company": _company(db, account_id),
        "invitation": _rows(db, Invitation, account_id, "sent last_sent_at expires_at accepted_at created_at"),
        "password": {"changed_at": _time(account.password.changed_at)} if account.password else None,
        "passkeys": _rows(db, Passkey, account_id, "name synced created_at last_used_at"),
        "authenticator_app": _rows(db, Totp, account_id, "created_at"),
        "recovery_codes": _rows(db, RecoveryCode, account_id, "created_at used_at"),
        "linked_ways": _rows(db, Link, account_id, "door issuer subject email created_at"),
        "browsers": _rows(db, Device, account_id, "label first_seen_at last_seen_at remembered_until"),
        "sessions": [
            {
                "browser": one.agent,
                "network_address": one.address,
                "signed_in_at": _time(one.auth_time),
                "methods": list(one.amr),
                "last_seen_at": _time(one.last_seen),
                "ends_at": _time(one.expires),
            }
            for one in sessions
        ],
        "products": _rows(db, ProductUse, account_id, "client_id first_at last_at"),
        "role_at_the_provider": _rows(db, Staff, account_id, "role created_at"),
        "removal_of_factors": _rows(db, FactorRemoval, account_id, "reason expires_at"),
        "seats": _rows(db, Seat, account_id, "client_id role granted_at"),
        "consents": _rows(db, Consent, account_id, "client_id scopes given_at"),
        "mails": _listed(
            db,
            OutboxMail,
            OutboxMail.recipient.in_(addresses),
            OutboxMail.id,
            "name recipient state created_at sent_at",
        ),
        "activity": _activity(db, account_id),
        "audit": _listed(db, AuditEvent, AuditEvent.account_id == account_id, AuditEvent.id, "at event"),
    }


def _company(db: Transaction, account_id: str) -> dict[str, Any] | None:
    row = db.execute(
        select(Company.name, Member.role, Member.created_at).join(Member).where(Member.account_id == account_id)
    ).first()
    return None if row is None else {"name": row.name, "role": row.role, "since": _time(row.created_at)}


def _activity(db: Transaction, account_id: str) -> list[dict[str, Any]]:
    """The receipts; what their steps say is masked already."""
    latest = select(Attempt).where(Attempt.account_id == account_id).order_by(Attempt.started_at.desc(), Attempt.code)
    attempts = db.scalars(latest.limit(MOST)).all()
    steps: dict[str, list[dict[str, Any]]] = {}
    asked = select(AttemptStep).where(AttemptStep.code.in_([one.code for one in attempts]))
    for step in db.scalars(asked.order_by(AttemptStep.at, AttemptStep.entry)):
        told = {"at": _time(step.at / 1000), "what": step.name, "reason": step.reason, **step.facts}
        steps.setdefault(step.code, []).append(told)
    return [
        {
            "receipt": one.code,
            "began_at": _time(one.started_at),
            "product": one.client_id,
            "door": one.door,
            "outcome": one.outcome,
            "reason": one.reason,
            "steps": steps.get(one.code, []),
        }
        for one in attempts
    ]


def _rows(db: Transaction, table: Any, account_id: str, names: str) -> list[dict[str, Any]]:
    return [_told(row, names) for row in db.scalars(select(table).where(table.account_id == account_id))]


def _listed(db: Transaction, table: Any, which: ColumnElement[bool], newest: Any, names: str) -> list[dict[str, Any]]:
    return [_told(row, names) for row in db.scalars(select(table).where(which).order_by(newest.desc()).limit(MOST))]


def _told(row: Any, names: str) -> dict[str, Any]:
    times = ("at", "until")
    return {
        name: _time(value) if name.endswith("_at") or name in times else value
        for name, value in ((name, getattr(row, name)) for name in names.split())
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
