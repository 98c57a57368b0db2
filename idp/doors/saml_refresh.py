"""The metadata of live connections read again on schedule, and what their companies' IT hears of it by mail.

A certificate that was added beside one that counts already is taken: so an identity provider changes its key without anybody
being locked out. Anything else (another entityID or address, certificates that are gone, all of them replaced, a weaker key)
is kept aside until a person decides; what counted before goes on counting (attack SA-34).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from cryptography import x509
from sqlalchemy import CursorResult, and_, func, or_, select, update
from sqlalchemy.orm import Session

from idp import audit
from idp.certificates import MOST_CERTIFICATES, check_key, ends, fingerprint, read_certificates
from idp.connections import (
    METADATA_EVERY,
    Connections,
    Description,
    SamlConnection,
    differences,
    keep_document,
)
from idp.doors.saml_metadata import MetadataRefused, fetch_metadata, read_metadata
from idp.fetch import Fetcher
from idp.members import tell_contacts
from idp.models import Connection, ConnectionCertificate, ConnectionMetadata
from idp.sealing import Sealer

if TYPE_CHECKING:
    from idp.database import Database

HOUR, DAY = 3600, 86400
LEASE = 120  # seconds: longer than fetching (fetch.TOTAL_SECONDS) and reading take
AGAIN = HOUR  # after a problem
PATIENCE = 3 * DAY  # of problems that often pass by themselves
PASSING = {"saml_metadata_unreachable", "saml_metadata_not_xml"}
WARNINGS = (1, 7, 14, 30, 60)  # days before the end of a certificate
CANDIDATES = 10
ROWS_AT_ONCE = 100


@dataclass(frozen=True)
class Reader:
    """What reading metadata needs. ``sealer`` is that of mail; ``loopback`` as for ``read_metadata``."""

    database: Database
    connections: Connections
    outgoing: Fetcher
    sealer: Sealer
    clock: Callable[[], float]
    loopback: bool

    def refresh_due(self) -> bool:
        """Read the metadata that is due first, if one is. Returns whether it is worth coming again at once.

        Nothing is held in SQL while the other side is spoken to, so a slow one costs others nothing but one thread.

        :raises Unavailable: SQL does not answer.
        """
        leased = self._lease()
        if leased is None:
            return False
        connection_id, url, signed_by, until = leased
        document = b""
        try:
            document = fetch_metadata(self.outgoing, url)
            pinned = read_certificates(signed_by)[0] if signed_by else None
            found: Description | MetadataRefused
            found = read_metadata(document, self.clock(), loopback=self.loopback, signed_by=pinned)
        except MetadataRefused as refused:
            found = refused
        with self.database.transaction() as db:
            ours = and_(Connection.id == connection_id, Connection.metadata_due_at == until)
            row = db.scalar(select(Connection).where(ours, Connection.metadata_url == url).with_for_update())
            if row is None:
                return True  # changed or removed meanwhile, or another worker had it after us
            if isinstance(found, Description):
                self._note_read(db, row, found, document.decode("utf-8-sig"))
            else:
                self._note_problem(db, row, found)
        return True

    # --- inside --------------------------------------------------------------------------------------------------------

    def _lease(self) -> tuple[str, str, str | None, int] | None:
        """A connection whose metadata is due: its id, address, pinned certificate, and when the lease ends."""
        at = int(self.clock())
        due = (Connection.metadata_due_at <= at, Connection.metadata_url.is_not(None))
        first = select(Connection.id, Connection.metadata_due_at).where(*due).order_by(Connection.metadata_due_at)
        with self.database.reading() as db:
            candidates = db.execute(first.limit(CANDIDATES)).all()
        for connection_id, was in candidates:
            ours = (Connection.id == connection_id, Connection.metadata_due_at == was)
            with self.database.transaction() as db:
                if _changed(db, update(Connection).where(*ours, *due).values(metadata_due_at=at + LEASE)):
                    row = db.get_one(Connection, connection_id)
                    return row.id, str(row.metadata_url), row.metadata_certificate, at + LEASE
        return None

    def _note_read(self, db: Session, row: Connection, description: Description, document: str) -> None:
        now = self.clock()
        row.metadata_read_at, row.metadata_due_at = int(now), int(now) + METADATA_EVERY
        row.metadata_problem = row.metadata_warned_at = None
        db.flush()
        connection = self.connections.load(db, row.id)
        assert connection is not None
        new = acceptable(connection, description, now)
        if new:
            changes = {"certificates": {"was": [], "is": sorted(map(fingerprint, new))}}
            keep_document(db, row.id, document, source="url", state="taken", changes=changes, now=now)
            connection = self.connections.add_certificate(db, row.id, new, source="metadata", actor="system", now=now)
        self._keep_aside(db, row, document, self._to_decide(db, connection, description), now)

    def _to_decide(
        self, db: Session, connection: SamlConnection, description: Description
    ) -> dict[str, dict[str, Any]]:
        """What a document says differently, without certificates that it need not have: a person's own, or ended ones."""
        changes = differences(connection, description)
        said = {fingerprint(one) for one in description.certificates}
        counting = {fingerprint(one) for one in connection.certificates}
        now = self.clock()
        gone = [
            one.fingerprint
            for one in self.connections.certificates(db, connection.id)
            if one.source == "metadata" and one.not_after > now and one.fingerprint not in said
        ]
        if said <= counting and not gone:
            changes.pop("certificates", None)
        return changes

    def _keep_aside(self, db: Session, row: Connection, document: str, changes: dict[str, Any], now: float) -> None:
        """Let ``changes``, if there are any, wait for a person, and nothing that was read before. Each is told once, as soon as
        somebody can be told."""
        asked = select(ConnectionMetadata).where(
            ConnectionMetadata.connection_id == row.id, ConnectionMetadata.state.in_(("kept_aside", "dismissed"))
        )
        kept = None
        for one in db.scalars(asked.with_for_update()).all():
            if one.changes == changes:  # documents that say the same differ by dates and ids
                kept = one
            elif one.state == "kept_aside":
                one.state = "outdated"  # or somebody could still accept it
                self._record(db, audit.Event.connection_metadata_dismissed, row, now, metadata=one.id)
        members = " ".join(changes)
        if changes and kept is None:
            kept = keep_document(db, row.id, document, source="url", state="kept_aside", changes=changes, now=now)
            self._record(db, audit.Event.connection_metadata_kept_aside, row, now, metadata=kept.id, members=members)
        if kept is None or kept.state == "dismissed" or kept.told_at is not None:
            return
        if _tell(db, row, "metadata_changed", self.sealer, now, members=members):
            kept.told_at = int(now)

    def _record(self, db: Session, event: audit.Event, row: Connection, now: float, **facts: str | int) -> None:
        audit.record(
            db, event, now=now, actor="system", account_id=None, company=row.company_id, connection=row.id, **facts
        )

    def _note_problem(self, db: Session, row: Connection, refused: MetadataRefused) -> None:
        now = self.clock()
        row.metadata_problem, row.metadata_due_at = refused.reason, int(now) + AGAIN
        since = row.metadata_read_at or row.created_at
        patient = refused.reason in PASSING and now - since < PATIENCE
        if row.metadata_warned_at is not None or patient:
            return
        if _tell(db, row, "metadata_problem", self.sealer, now, reason=refused.reason, since=since):
            row.metadata_warned_at = int(now)


def acceptable(connection: SamlConnection, description: Description, now: float) -> Sequence[x509.Certificate]:
    """The certificates of a document that may be taken without a person: added beside one that counts, by the same identity
    provider, no weaker than the weakest that counts, and not ended."""
    known = {fingerprint(one) for one in connection.certificates}
    new = [one for one in description.certificates if fingerprint(one) not in known]
    same = set(differences(connection, description)) <= {"certificates"}
    beside = len(new) < len(description.certificates)
    weakest = min(map(check_key, connection.certificates), default=0)
    good = all(check_key(one) >= weakest and ends(one) > now for one in new)
    return new if same and beside and good and len(known) + len(new) <= MOST_CERTIFICATES else []


def warn_of_certificates(database: Database, sealer: Sealer, now: float) -> bool:
    """Tell companies whose identity provider's certificates end soon: 60, 30, 14, 7 and 1 days before, each once.

    Who cannot be told now is told another time, and holds up nobody else.

    :param now: seconds since 1970.
    :returns: whether there is more to do at once: never.
    :raises Unavailable: SQL does not answer.
    """
    table, at = ConnectionCertificate, int(now)
    for days in WARNINGS:  # the nearest first: who was not warned for long is warned once
        due = and_(
            table.not_after > at,
            table.not_after <= at + days * DAY,
            or_(table.warned_days.is_(None), table.warned_days > days),
        )
        used = (
            select(table.id).join(Connection, Connection.id == table.connection_id).where(Connection.state != "draft")
        )
        last = 0
        while True:
            with database.reading() as db:
                found = db.scalars(used.where(due, table.id > last).order_by(table.id).limit(ROWS_AT_ONCE)).all()
            if not found:
                break
            last = found[-1]
            for number in found:
                with database.transaction() as db:
                    certificate = db.scalar(select(table).where(table.id == number, due).with_for_update())
                    if certificate is not None and _warn(db, certificate, sealer, now):
                        certificate.warned_days = days
    return False


def _warn(db: Session, certificate: ConnectionCertificate, sealer: Sealer, now: float) -> bool:
    row = db.get_one(Connection, certificate.connection_id)
    later = select(func.max(ConnectionCertificate.not_after)).where(
        ConnectionCertificate.connection_id == row.id, ConnectionCertificate.not_after > certificate.not_after
    )
    return _tell(
        db,
        row,
        "certificate_ends",
        sealer,
        now,
        ends=certificate.not_after,
        fingerprint=certificate.fingerprint[:16],
        later=db.scalar(later) or "",
    )


def _tell(db: Session, row: Connection, name: str, sealer: Sealer, now: float, **values: Any) -> bool:
    """Write to the company's contacts. Returns False when nobody hears of it now, or nobody uses the connection yet."""
    if row.state == "draft":
        return False
    return tell_contacts(db, row.company_id, name, sealer=sealer, now=now, connection=row.name, **values)


def _changed(db: Session, statement: Any) -> bool:
    return cast("CursorResult[Any]", db.execute(statement)).rowcount > 0
