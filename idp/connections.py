"""Connections: how we speak SAML 2.0 with the identity provider of a company. A company may have several.

A connection is one identity provider and one service provider of ours: with its own entityID, its own addresses and its own
key pair, so that what one company's identity provider says can never count at another's (attacks SA-08, SA-12).

``draft`` → ``tested`` → ``live``, and back. Only people of a company with a ``live`` connection are sent to it.
"""

from __future__ import annotations

import base64
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from idp import audit
from idp.audit import Event
from idp.certificates import (
    MOST_CERTIFICATES,
    CertificateRefused,
    begins,
    ends,
    fingerprint,
    read_certificates,
    self_signed,
    to_pem,
)
from idp.errors import OperatorError
from idp.identity_provider import (
    NAME_ID_EMAIL,
    NAME_ID_PERSISTENT,
    NAME_ID_UNSPECIFIED,
    ConnectionRefused,
    Description,
    check_address,
    check_certificates,
    check_description,
    check_settings,
    description_from_form,
    preferred_format,
)
from idp.logs import printable
from idp.models import Company, Connection, ConnectionCertificate, ConnectionKey, ConnectionMetadata
from idp.saml_connection import SamlConnection, SpKey, differences
from idp.sealing import Sealer
from idp.uris import is_loopback

# What doors, commands and pages need of connections; the part that describes identity providers stands in a file of its own.
__all__ = [
    "METADATA_EVERY",
    "NAME_ID_EMAIL",
    "NAME_ID_PERSISTENT",
    "NAME_ID_UNSPECIFIED",
    "ConnectionRefused",
    "Connections",
    "Description",
    "SamlConnection",
    "SpKey",
    "check_description",
    "description_from_form",
    "differences",
    "keep_document",
]

# Which state may follow which. A connection that only watches, or serves a few, will stand between tested and live.
MOVES = {"draft": ("tested",), "tested": ("live", "draft"), "live": ("draft",)}

METADATA_EVERY = 6 * 3600  # seconds between two readings of an address
MOST_CONNECTIONS = 20  # of one company
KEPT_DOCUMENTS = 10  # of one connection
CACHED = 1000
RSA_BITS = 3072  # the certificate lasts longer than NIST SP 800-57 gives 2048 bits

_ID = re.compile(r"[a-z0-9]{1,16}\Z")


class Connections:
    """The connections in SQL. ``issuer``: ours, the base of all addresses; ``sealer`` closes our private keys.

    Every act is recorded in the audit, in the caller's transaction; ``actor`` as there, ``now`` in seconds since 1970.
    All of them raise ConnectionRefused, ``connection_unknown`` when there is no such connection.
    """

    def __init__(self, issuer: str, sealer: Sealer) -> None:
        self._issuer = issuer
        self._sealer = sealer
        self._loopback = is_loopback(urlsplit(issuer).hostname or "")
        self._cache: OrderedDict[tuple[str, int], SamlConnection] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, db: Session, connection_id: str) -> SamlConnection | None:
        """A connection, whatever its state; None when there is none.

        :raises OperatorError: our keys of it do not open: ``keys/`` is not the folder with which they were made.
        """
        if not _ID.match(connection_id):
            return None
        version = db.scalar(select(Connection.updated_at).where(Connection.id == connection_id))
        if version is None:
            return None
        key = (connection_id, version)
        if connection_id in _changed_in(db):
            return self._read(db, connection_id)  # it may yet be rolled back
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        read = self._read(db, connection_id)
        with self._lock:
            self._cache[key] = read
            while len(self._cache) > CACHED:
                self._cache.popitem(last=False)
        return read

    def of_company(self, db: Session, company_id: str) -> Sequence[Connection]:
        """The rows of a company's connections, by name."""
        query = select(Connection).where(Connection.company_id == company_id)
        return db.scalars(query.order_by(Connection.name, Connection.id)).all()

    def certificates(self, db: Session, connection_id: str) -> Sequence[ConnectionCertificate]:
        """The rows of an identity provider's certificates: when each was added, by whom, and when it ends."""
        query = select(ConnectionCertificate).where(ConnectionCertificate.connection_id == connection_id)
        return db.scalars(query.order_by(ConnectionCertificate.id)).all()

    def kept_aside(self, db: Session, connection_id: str) -> Sequence[ConnectionMetadata]:
        """Metadata that waits for a person's decision, the newest first."""
        query = select(ConnectionMetadata).where(
            ConnectionMetadata.connection_id == connection_id, ConnectionMetadata.state == "kept_aside"
        )
        return db.scalars(query.order_by(ConnectionMetadata.id.desc())).all()

    def add(
        self,
        db: Session,
        company_id: str,
        description: Description,
        *,
        name: str,
        vendor: str,
        name_id_format: str | None = None,
        attributes: Mapping[str, str] | None = None,
        contexts: Mapping[str, Any] | None = None,
        hint: str = "none",
        metadata_url: str | None = None,
        metadata_certificate: str | None = None,
        document: str = "",
        source: str = "form",
        actor: str,
        now: float,
        random: Callable[[int], bytes],
    ) -> SamlConnection:
        """Add a connection in the state ``draft``, with a key pair of its own.

        :param vendor: a preset; it only says which guide fits.
        :param name_id_format: the whole URN; None: the best that the description offers.
        :param metadata_certificate: as text or PEM; given: the metadata at the address counts only with its signature.
        :param document: the metadata that was read, empty for a form; ``source``: ``url``, ``file`` or ``form``.
        :raises ConnectionRefused: what is described or named is wrong; ``connection_too_many``;
            ``connection_entity_id_taken``: the company has a connection to this identity provider already.
        """
        check_description(description, loopback=self._loopback, now=now)
        settings: dict[str, Any] = {
            "name": name.strip(),
            "vendor": vendor,
            "name_id_format": name_id_format or preferred_format(description.name_id_formats),
            "attributes": dict(attributes or {}),
            "contexts": dict(contexts or {}),
            "hint": hint,
            "metadata_url": metadata_url or None,
            "metadata_certificate": metadata_certificate or None,
        }
        self._check_settings(settings)
        _hold_company(db, company_id)
        if len(self.of_company(db, company_id)) >= MOST_CONNECTIONS:
            raise ConnectionRefused("connection_too_many", detail=f"{MOST_CONNECTIONS} is the most")
        self._refuse_twin(db, company_id, "", description.entity_id)
        at = int(now)
        row = Connection(
            id=base64.b32encode(random(10)).decode().lower(),
            company_id=company_id,
            state="draft",
            created_at=at,
            updated_at=at,
            metadata_read_at=at if source == "url" else None,
            metadata_due_at=at + METADATA_EVERY if metadata_url else None,
            **settings,
            **_columns(description),
        )
        db.add(row)
        db.flush()
        self._pin(db, row.id, description.certificates, "person" if source == "form" else "metadata", at)
        self._add_key(db, row, "signing", now, random)
        keep_document(db, row.id, document, source=source, state="taken", changes={}, now=now)
        audit.record(
            db,
            Event.connection_added,
            now=now,
            actor=actor,
            company=company_id,
            connection=row.id,
            entity_id=row.idp_entity_id,
            source=source,
        )
        return self._changed(db, row, now)

    def change(
        self,
        db: Session,
        connection_id: str,
        *,
        description: Description | None = None,
        document: str = "",
        source: str = "form",
        actor: str,
        now: float,
        **settings: Any,
    ) -> SamlConnection:
        """Change a connection; what is not given stays. A tested connection is a draft again, a live one stays live.

        :param description: replaces entityID, addresses and all certificates.
        :param settings: any of ``name vendor name_id_format attributes contexts hint metadata_url`` (None: no address)
            and ``metadata_certificate`` (None: metadata needs no signature).
        :raises ConnectionRefused: like ``add``; ``connection_entity_id_fixed``: people sign in through it, and another
            identity provider would be other people: add a second connection instead.
        """
        self._check_settings(settings)
        if description is not None:
            check_description(description, loopback=self._loopback, now=now)
        row = self._hold(db, connection_id)
        changed = sorted(name for name, value in settings.items() if getattr(row, name) != value)
        if "metadata_url" in changed:
            row.metadata_due_at = int(now) if settings["metadata_url"] else None
            row.metadata_problem = row.metadata_warned_at = None
        # The certificate for metadata is long, and the metadata that is kept has everything else.
        plain = [name for name in changed if name != "metadata_certificate"]
        facts = audit.changed({name: getattr(row, name) for name in plain}, {name: settings[name] for name in plain})
        for name in changed:
            setattr(row, name, settings[name])
        if description is not None:
            differ = differences(self._read(db, connection_id), description)
            if "entity_id" in differ:
                if row.state == "live":
                    raise ConnectionRefused("connection_entity_id_fixed")
                self._refuse_twin(db, row.company_id, row.id, description.entity_id)
                row.administrator_signed_in_at = None
            for name, value in _columns(description).items():
                setattr(row, name, value)
            pinned = [fingerprint(certificate) for certificate in description.certificates]
            table = ConnectionCertificate
            db.execute(delete(table).where(table.connection_id == row.id, table.fingerprint.not_in(pinned)))
            self._pin(db, row.id, description.certificates, "person" if source == "form" else "metadata", int(now))
            keep_document(db, row.id, document, source=source, state="taken", changes=differ, now=now)
            changed += differ
        if set(changed) - {"name", "vendor", "metadata_url", "metadata_certificate"} and row.state == "tested":
            row.state, row.tested_at = "draft", None
        self._record(db, Event.connection_changed, row, actor, now, fields=" ".join(changed), source=source, **facts)
        return self._changed(db, row, now)

    def note_tested(self, db: Session, connection_id: str, *, actor: str, now: float) -> SamlConnection:
        """Somebody came all the way through this connection in a trial, or a genuine response passed every check."""
        row = self._hold(db, connection_id)
        row.tested_at = int(now)
        if row.state == "draft":
            row.state = "tested"
            self._record(db, Event.connection_tested, row, actor, now)
        return self._changed(db, row, now)

    def go_live(self, db: Session, connection_id: str, *, actor: str, now: float) -> SamlConnection:
        """Send people to this connection from now on.

        :raises ConnectionRefused: ``connection_untested``.
        """
        row = self._hold(db, connection_id)
        if row.state == "live":
            return self._changed(db, row, now)
        if "live" not in MOVES[row.state]:
            raise ConnectionRefused("connection_untested")
        was, row.state = row.state, "live"
        self._record(db, Event.connection_live, row, actor, now, was=was)
        return self._changed(db, row, now)

    def back_to_draft(self, db: Session, connection_id: str, *, actor: str, now: float) -> SamlConnection:
        """Send nobody to this connection any more.

        :raises ConnectionRefused: ``connection_last_live``: the company requires SSO, or allows no passwords, and has no other that is
            live.
        """
        row = self._hold(db, connection_id)
        if row.state == "draft":
            return self._changed(db, row, now)
        self._keep_a_live_one(db, row)
        was, row.state, row.tested_at, row.administrator_signed_in_at = row.state, "draft", None, None
        self._record(db, Event.connection_draft, row, actor, now, was=was)
        return self._changed(db, row, now)

    def remove(self, db: Session, connection_id: str, *, actor: str, now: float) -> None:
        """Take a connection away, with its keys and certificates. Accounts stay.

        :raises ConnectionRefused: ``connection_last_live``.
        """
        row = self._hold(db, connection_id)
        self._keep_a_live_one(db, row)
        self._record(db, Event.connection_removed, row, actor, now, entity_id=row.idp_entity_id, was=row.state)
        db.execute(delete(Connection).where(Connection.id == connection_id))
        _changed_in(db).add(connection_id)

    def add_certificate(
        self,
        db: Session,
        connection_id: str,
        given: str | bytes | Sequence[x509.Certificate],
        *,
        source: str = "person",
        actor: str,
        now: float,
    ) -> SamlConnection:
        """Let further certificates count, as text or file (see ``read_certificates``).

        :param source: ``person`` or ``metadata``.
        :raises ConnectionRefused: ``connection_certificate_…``.
        """
        certificates = _read(given) if isinstance(given, str | bytes) else tuple(given)
        check_certificates(certificates, now)
        row = self._hold(db, connection_id)
        known = {one.fingerprint for one in self.certificates(db, connection_id)}
        new = [one for one in certificates if fingerprint(one) not in known]
        if len(known) + len(new) > MOST_CERTIFICATES:
            raise ConnectionRefused("connection_certificate_other", detail=f"{MOST_CERTIFICATES} is the most")
        self._pin(db, row.id, new, source, int(now))
        for certificate in new:
            facts: dict[str, str | int]
            facts = {"fingerprint": fingerprint(certificate), "ends": ends(certificate), "source": source}
            self._record(db, Event.connection_certificate_added, row, actor, now, **facts)
        return self._changed(db, row, now)

    def remove_certificate(
        self, db: Session, connection_id: str, fingerprint: str, *, actor: str, now: float
    ) -> SamlConnection:
        """Let a certificate count no more. ``fingerprint``: SHA-256 in hex.

        :raises ConnectionRefused: ``connection_certificate_unknown``; ``connection_last_certificate``.
        """
        row = self._hold(db, connection_id)
        wanted = fingerprint.replace(":", "").lower()
        known = {one.fingerprint: one for one in self.certificates(db, connection_id)}
        if wanted not in known:
            raise ConnectionRefused("connection_certificate_unknown")
        if len(known) == 1:
            raise ConnectionRefused("connection_last_certificate")
        db.delete(known[wanted])
        self._record(db, Event.connection_certificate_removed, row, actor, now, fingerprint=wanted)
        return self._changed(db, row, now)

    def roll_key(
        self, db: Session, connection_id: str, *, actor: str, now: float, random: Callable[[int], bytes]
    ) -> SamlConnection:
        """Go one step on with our key pair: publish a next one, or, if one is published, sign with it.

        Both stand in our metadata meanwhile. The one that signed before is retired: it still opens what is encrypted for
        it, until the step after.
        """
        row = self._hold(db, connection_id)
        keys = db.scalars(select(ConnectionKey).where(ConnectionKey.connection_id == connection_id)).all()
        states = {key.state for key in keys}
        if "next" in states:
            for key in keys:
                if key.state == "retired":
                    db.delete(key)
                else:
                    key.state = "retired" if key.state == "signing" else "signing"
            step = "signing"
        else:
            for key in keys:
                if key.state == "retired":
                    db.delete(key)
            self._add_key(db, row, "next", now, random)
            step = "next"
        self._record(db, Event.connection_key_rolled, row, actor, now, step=step)
        return self._changed(db, row, now)

    def note_administrator_signed_in(self, db: Session, connection_id: str, *, now: float) -> None:
        """An administrator of the company has signed in through this connection: SSO may be required."""
        db.execute(
            update(Connection)
            .where(Connection.id == connection_id, Connection.administrator_signed_in_at.is_(None))
            .values(administrator_signed_in_at=int(now))
        )

    def take_kept_aside(
        self, db: Session, number: int, description: Description, *, actor: str, now: float
    ) -> SamlConnection:
        """A person agrees to metadata that was kept aside. ``description``: what its document says.

        :raises ConnectionRefused: ``connection_metadata_unknown``: no longer kept aside; like ``change``.
        """
        kept = self._held_aside(db, number)
        db.delete(kept)  # kept anew as what was taken
        return self.change(
            db,
            kept.connection_id,
            description=description,
            document=kept.document,
            source=kept.source,
            actor=actor,
            now=now,
        )

    def dismiss_kept_aside(self, db: Session, number: int, *, actor: str, now: float) -> None:
        """A person does not want metadata that was kept aside; the same changes are not told again.

        :raises ConnectionRefused: ``connection_metadata_unknown``.
        """
        kept = self._held_aside(db, number)
        kept.state = "dismissed"
        row = self._hold(db, kept.connection_id)
        self._record(db, Event.connection_metadata_dismissed, row, actor, now, metadata=number)

    # --- inside ------------------------------------------------------------------------------------------------------------

    def _check_settings(self, settings: dict[str, Any]) -> None:
        """Check what is set beside the description, and bring the certificate for metadata into its one form."""
        pasted = settings.get("metadata_certificate")
        check_settings(**{name: value for name, value in settings.items() if name != "metadata_certificate"})
        if settings.get("metadata_url"):
            check_address("metadata address", settings["metadata_url"], loopback=self._loopback)
        if pasted:
            found = _read(pasted)
            if len(found) != 1:
                raise ConnectionRefused(
                    "connection_certificate_other", detail=f"{len(found)} certificates, needed is one"
                )
            settings["metadata_certificate"] = to_pem(found[0])

    def _read(self, db: Session, connection_id: str) -> SamlConnection:
        row = db.get_one(Connection, connection_id)
        keys = db.scalars(select(ConnectionKey).where(ConnectionKey.connection_id == connection_id)).all()
        order = ("signing", "next", "retired")
        address = f"{self._issuer}/saml/{row.id}"
        return SamlConnection(
            id=row.id,
            company_id=row.company_id,
            name=row.name,
            vendor=row.vendor,
            state=row.state,
            idp_entity_id=row.idp_entity_id,
            sso_url=row.sso_url,
            sso_binding=row.sso_binding,
            slo_url=row.slo_url,
            slo_binding=row.slo_binding,
            slo_response_url=row.slo_response_url,
            name_id_format=row.name_id_format,
            attributes=dict(row.attributes),
            contexts=dict(row.contexts),
            hint=row.hint,
            certificates=tuple(
                x509.load_pem_x509_certificate(one.pem.encode()) for one in self.certificates(db, connection_id)
            ),
            keys=tuple(map(self._open_key, sorted(keys, key=lambda key: (order.index(key.state), -key.id)))),
            entity_id=f"{address}/metadata",
            acs=f"{address}/acs",
            slo=f"{address}/slo",
        )

    def _open_key(self, key: ConnectionKey) -> SpKey:
        try:
            opened = self._sealer.open(key.sealed_key, f"connection {key.connection_id}")
        except ValueError:
            raise OperatorError(
                f"Our key of the connection {key.connection_id} does not open with this keys/ folder. Restore the folder "
                "with which it was made."
            ) from None
        private = load_pem_private_key(opened["key"].encode(), None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(private, rsa.RSAPrivateKey)
        return SpKey(x509.load_pem_x509_certificate(key.certificate.encode()), private, key.state)

    def _add_key(self, db: Session, row: Connection, state: str, now: float, random: Callable[[int], bytes]) -> None:
        private = rsa.generate_private_key(65537, RSA_BITS)
        written = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        db.add(
            ConnectionKey(
                connection_id=row.id,
                state=state,
                certificate=to_pem(self_signed(private, f"SAML {row.id}", now, random)),
                sealed_key=self._sealer.seal({"key": written}, f"connection {row.id}"),
                created_at=int(now),
            )
        )

    def _pin(
        self, db: Session, connection_id: str, certificates: Iterable[x509.Certificate], source: str, at: int
    ) -> None:
        known = {one.fingerprint for one in self.certificates(db, connection_id)}
        for certificate in certificates:
            if fingerprint(certificate) not in known:
                db.add(
                    ConnectionCertificate(
                        connection_id=connection_id,
                        pem=to_pem(certificate),
                        fingerprint=fingerprint(certificate),
                        not_before=begins(certificate),
                        not_after=ends(certificate),
                        source=source,
                        added_at=at,
                    )
                )
        db.flush()

    def _hold(self, db: Session, connection_id: str) -> Connection:
        """The row, held until the transaction ends. The company's is held first, by whoever looks at several of its own."""
        company_id = None
        if _ID.match(connection_id):
            company_id = db.scalar(select(Connection.company_id).where(Connection.id == connection_id))
        if company_id is not None:
            _hold_company(db, company_id)
        row = db.get(Connection, connection_id, populate_existing=True, with_for_update=True) if company_id else None
        if row is None:
            raise ConnectionRefused("connection_unknown")
        return row

    def _changed(self, db: Session, row: Connection, now: float) -> SamlConnection:
        """Make every cache forget the row: its time only ever grows, also within one second."""
        row.updated_at = max(row.updated_at + 1, int(now))
        _changed_in(db).add(row.id)
        db.flush()
        return self._read(db, row.id)

    def _held_aside(self, db: Session, number: int) -> ConnectionMetadata:
        kept = db.get(ConnectionMetadata, number, with_for_update=True)
        if kept is None or kept.state != "kept_aside":
            raise ConnectionRefused("connection_metadata_unknown")
        return kept

    def _refuse_twin(self, db: Session, company_id: str, but: str, entity_id: str) -> None:
        twin = exists().where(
            Connection.company_id == company_id, Connection.idp_entity_id == entity_id, Connection.id != but
        )
        if db.scalar(select(twin)):
            raise ConnectionRefused("connection_entity_id_taken", detail=printable(entity_id))

    def _keep_a_live_one(self, db: Session, row: Connection) -> None:
        company = db.get_one(Company, row.company_id)
        if row.state != "live" or (company.sso != "required" and "password" in company.doors):
            return
        others = exists().where(
            Connection.company_id == row.company_id, Connection.state == "live", Connection.id != row.id
        )
        if not db.scalar(select(others)):
            raise ConnectionRefused("connection_last_live")

    def _record(self, db: Session, event: Event, row: Connection, actor: str, now: float, **facts: str | int) -> None:
        kept = {"company": row.company_id, "connection": row.id, **facts}
        audit.record(db, event, now=now, actor=actor, account_id=None, **kept)


def keep_document(
    db: Session,
    connection_id: str,
    document: str,
    *,
    source: str,
    state: str,
    changes: dict[str, Any],
    now: float,
) -> ConnectionMetadata:
    """Keep what was read for a connection, and forget the oldest that nobody has to decide any more."""
    table = ConnectionMetadata
    row = table(
        connection_id=connection_id, read_at=int(now), source=source, state=state, document=document, changes=changes
    )
    db.add(row)
    db.flush()
    newest = select(table.id).where(table.connection_id == connection_id).order_by(table.id.desc())
    kept = db.scalars(newest.limit(KEPT_DOCUMENTS)).all()
    db.execute(
        delete(table).where(table.connection_id == connection_id, table.id < min(kept), table.state != "kept_aside")
    )
    return row


def _read(given: str | bytes) -> tuple[x509.Certificate, ...]:
    try:
        return read_certificates(given)
    except CertificateRefused as refused:
        raise ConnectionRefused(refused.reason, detail=refused.detail) from None


def _changed_in(db: Session) -> set[str]:
    """The connections that a transaction has changed: what it reads of them may never come to be."""
    changed: set[str] = db.info.setdefault("connections_changed", set())
    return changed


def _hold_company(db: Session, company_id: str) -> None:
    if db.get(Company, company_id, with_for_update=True, populate_existing=True) is None:
        raise ConnectionRefused("company_unknown")


def _columns(description: Description) -> dict[str, Any]:
    return {
        "idp_entity_id": description.entity_id,
        "sso_url": description.sso_url,
        "sso_binding": description.sso_binding,
        "slo_url": description.slo_url,
        "slo_binding": description.slo_binding,
        "slo_response_url": description.slo_response_url,
    }
