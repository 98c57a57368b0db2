"""Audit events go out, to a webhook or a syslog server, in the order of the chain: each at least once, and no act waits for it.

Up to where a receiver has them stands in SQL. A receiver that does not answer is asked again, from the same place; of several workers one
gives to it at a time.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session as Transaction

from idp.audit_trail import line
from idp.database import hold
from idp.fetch import FetchError
from idp.models import AuditEvent, AuditReceiver

if TYPE_CHECKING:
    from idp.config import Config
    from idp.database import Database
    from idp.fetch import Fetcher

PARCEL = 200  # rows at a time
LEASE = 60  # seconds, longer than a delivery can take
SECONDS = 10.0  # that a receiver may take
CLOSES_WITHIN = 2.0  # seconds after the last byte
NEW_RECEIVER = 0x61756469  # the number of our advisory lock: only one worker writes the first row

Send = Callable[[Sequence[AuditEvent]], None]  # raises FetchError


def receivers(config: Config, outgoing: Fetcher, clock: Callable[[], float]) -> dict[str, Send]:
    """Whom the settings name, by name."""
    found: dict[str, Send] = {}
    if config.audit_webhook:
        found["webhook"] = webhook(config.audit_webhook, config.audit_webhook_secret, outgoing, clock)
    if config.audit_syslog:
        host, _, port = config.audit_syslog.rpartition(":")
        found["syslog"] = syslog((host.strip("[]"), int(port)), config.host)
    return found


def deliver(database: Database, name: str, send: Send, clock: Callable[[], float]) -> bool:
    """Give the next parcel to one receiver. Returns whether there may be more.

    :raises FetchError: it did not take it; the same parcel comes again.
    :raises Unavailable: SQL does not answer.
    """
    now = int(clock())
    mine = (AuditReceiver.name == name, AuditReceiver.leased_until <= now)
    with database.reading() as db:
        is_new = db.get(AuditReceiver, name) is None
    if is_new:
        with database.transaction() as db:
            _begin(db, name)
    with database.reading() as db:
        after = db.scalar(select(AuditReceiver.sequence).where(*mine))
        rows = [] if after is None else _after(db, after)
        db.expunge_all()
    if not rows:
        return False
    with database.transaction() as db:
        leased = update(AuditReceiver).where(*mine, AuditReceiver.sequence == after)
        if not _changed(db, leased.values(leased_until=now + LEASE)):
            return False
    reached = after
    try:
        send(rows)
        reached = rows[-1].sequence
    finally:
        with database.transaction() as db:
            ours = (AuditReceiver.name == name, AuditReceiver.leased_until == now + LEASE)
            _changed(db, update(AuditReceiver).where(*ours).values(sequence=reached, leased_until=0))
    return len(rows) == PARCEL


def webhook(url: str, secret: str, outgoing: Fetcher, clock: Callable[[], float]) -> Send:
    """Posts JSON lines. The header ``Audit-Signature: t=<seconds since 1970>,v1=<hex>`` is the HMAC-SHA256 with ``secret`` over ``<t>.<body>``."""

    def send(rows: Sequence[AuditEvent]) -> None:
        body = "".join(f"{line(row)}\n" for row in rows).encode()
        headers = {"Content-Type": "application/x-ndjson", "Audit-Signature": signature(secret, int(clock()), body)}
        answer = outgoing.send("POST", url, headers, body, limit=64 * 1024, seconds=SECONDS)
        if not 200 <= answer.status < 300:
            raise FetchError("outgoing_failed", detail=f"webhook: status {answer.status}")

    return send


def signature(secret: str, at: int, body: bytes) -> str:
    """What stands in the header of a post."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


def syslog(server: tuple[str, int], host: str) -> Send:
    """Sends RFC 5424 messages over TCP, each with its length before it (RFC 6587, section 3.4.1). ``host``: as whom we write."""

    def send(rows: Sequence[AuditEvent]) -> None:
        messages = b"".join(_framed(_message(row, host)) for row in rows)
        try:
            with socket.create_connection(server, SECONDS) as wire:
                wire.sendall(messages)
                wire.shutdown(socket.SHUT_WR)
                _read_to_the_end(wire)
        except OSError as error:
            raise FetchError("outgoing_failed", detail=f"syslog: {error}") from error

    return send


def _read_to_the_end(wire: socket.socket) -> None:
    """Most servers close when they have read all; a connection that breaks is an error, silence is none."""
    wire.settimeout(CLOSES_WITHIN)
    with suppress(TimeoutError):
        while wire.recv(1024):
            pass


def _message(row: AuditEvent, host: str) -> bytes:
    # 109: facility 13 (log audit), severity 5 (notice).
    at = datetime.fromtimestamp(row.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"<109>1 {at} {host[:255]} idp - {row.event[:32]} - \ufeff{line(row)}".encode()


def _framed(message: bytes) -> bytes:
    return str(len(message)).encode() + b" " + message


def _begin(db: Transaction, name: str) -> None:
    """A receiver gets everything from the first event on."""
    hold(db, NEW_RECEIVER)
    if db.get(AuditReceiver, name) is None:
        db.add(AuditReceiver(name=name, sequence=0, leased_until=0))


def _after(db: Transaction, sequence: int) -> list[AuditEvent]:
    rows = select(AuditEvent).where(AuditEvent.sequence > sequence).order_by(AuditEvent.sequence)
    return list(db.scalars(rows.limit(PARCEL)))


def _changed(db: Transaction, statement: Any) -> bool:
    return cast("CursorResult[Any]", db.execute(statement)).rowcount > 0
