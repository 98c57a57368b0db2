"""The chain of audit events: who changes, takes out or slips in a row is found out.

The worker seals new rows in parcels: each gets the next number and a digest, which is an HMAC over the digest before it and the row
itself. Without the key (``keys/``, apart from SQL) no other row fits. That the end was cut off shows by a head, number and digest of the last
row of a parcel, which was logged, or sent out, when it was sealed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session as Transaction

from idp.models import AuditEvent, AuditHead

if TYPE_CHECKING:
    from idp.database import Database

log = structlog.get_logger(__name__)

PARCEL = 500  # rows that are sealed, or read, at a time
SEALED_WITHIN = 3600  # seconds, after which a row without a number was not written by us, or there is no worker

What = Literal["changed", "removed", "unsealed", "head_missing"]


@dataclass(frozen=True, slots=True)
class Broken:
    """The first place at which the chain does not hold.

    :ivar what: ``changed``: the row is not as it was sealed, or another stands before it; ``removed``: the row with this number is gone;
        ``unsealed``: a row that was never sealed although it is old; ``head_missing``: a number that was given out has another digest.
    :ivar sequence: the number in the chain; None: it has none.
    :ivar row: the id in ``audit_events``; None: it is gone.
    """

    what: What
    sequence: int | None
    row: int | None


@dataclass(frozen=True, slots=True)
class Whole:
    """All of it holds, up to this head."""

    sequence: int
    digest: str


def seal(database: Database, key: bytes) -> bool:
    """Seal a parcel of new rows. Of two workers one waits for the other. Returns whether there may be more.

    :raises Unavailable: SQL does not answer.
    """
    unsealed = select(AuditEvent).where(AuditEvent.sequence.is_(None)).order_by(AuditEvent.id).limit(PARCEL)
    with database.reading() as db:  # without the lock of writers while there is nothing to do
        if db.scalars(unsealed.limit(1)).first() is None:
            return False
    with database.transaction() as db:
        head = db.get_one(AuditHead, 1, with_for_update=True)
        rows = list(db.scalars(unsealed))
        sealed = []
        for row in rows:
            head.sequence += 1
            head.digest = digest_of(key, head.digest, head.sequence, row)
            sealed.append({"id": row.id, "sequence": head.sequence, "digest": head.digest})
        if sealed:
            db.execute(update(AuditEvent), sealed)
        sequence, digest = head.sequence, head.digest
    if sealed:
        log.info("audit.sealed", sequence=sequence, digest=digest, rows=len(sealed))
    return len(sealed) == PARCEL


def digest_of(key: bytes, before: str, sequence: int, row: AuditEvent) -> str:
    """The digest of a row at its place: of the digest before it ("" at the first) and of all that the row says."""
    said = [sequence, row.id, row.at, row.event, row.actor, row.account_id, row.company_id, row.facts]
    written = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, f"{before}\n{written}".encode(), hashlib.sha256).hexdigest()


def verify(database: Database, key: bytes, *, now: float, head: tuple[int, str] | None = None) -> Whole | Broken:
    """Walk along the whole chain.

    :param now: seconds since 1970.
    :param head: a number and its digest from a log: they must still be there.
    :raises Unavailable: SQL does not answer.
    """
    with database.reading() as db:
        kept = db.get_one(AuditHead, 1)
        end = Whole(kept.sequence, kept.digest)
    sequence, digest = 0, ""
    for row in _sealed(database, end.sequence):
        sequence += 1
        if row.sequence != sequence:
            return Broken("removed", sequence, None)
        digest = digest_of(key, digest, sequence, row)
        if row.digest is None or not hmac.compare_digest(row.digest, digest):
            return Broken("changed", sequence, row.id)
        if head is not None and head[0] == sequence and head[1] != digest:
            return Broken("head_missing", sequence, row.id)
    if head is not None and head[0] > max(sequence, end.sequence):
        return Broken("head_missing", head[0], None)
    if sequence < end.sequence:
        return Broken("removed", sequence + 1, None)
    if digest != end.digest:
        return Broken("head_missing", end.sequence, None)
    with database.reading() as db:
        unsealed = _slipped_in(db, end.sequence, now)
    return unsealed or end


def _sealed(database: Database, last: int) -> Iterator[AuditEvent]:
    """The sealed rows up to ``last``, by their numbers. Each parcel is a transaction of its own, so that none lasts long."""
    after = 0
    while True:
        parcel = select(AuditEvent).where(AuditEvent.sequence > after, AuditEvent.sequence <= last)
        with database.reading() as db:
            rows = list(db.scalars(parcel.order_by(AuditEvent.sequence).limit(PARCEL)))
            db.expunge_all()
        yield from rows
        if len(rows) < PARCEL:
            return
        after = rows[-1].sequence or last


def _slipped_in(db: Transaction, last: int, now: float) -> Broken | None:
    """An old row that nobody has sealed, or one with a number that nobody has given (and that no worker has given since)."""
    old = (AuditEvent.sequence.is_(None), AuditEvent.at < int(now) - SEALED_WITHIN)
    row = db.scalars(select(AuditEvent).where(*old).order_by(AuditEvent.id).limit(1)).first()
    if row is not None:
        return Broken("unsealed", None, row.id)
    below = db.scalars(select(AuditEvent).where(AuditEvent.sequence < 1).limit(1)).first()
    if below is not None:
        return Broken("changed", below.sequence, below.id)
    newest = db.scalar(select(func.max(AuditEvent.sequence))) or 0
    given = db.get_one(AuditHead, 1, populate_existing=True).sequence
    if newest > max(last, given):
        return Broken("changed", newest, db.scalar(select(AuditEvent.id).where(AuditEvent.sequence == newest)))
    return None
