"""Reading the audit: pages of it, all of it row by row, and one row as a machine reads it. A working.

Every question is one range of an index in the order of time, so that a page costs the same among ten million rows as among ten.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, exists, func, select, tuple_
from sqlalchemy.orm import Session as Transaction

from idp.models import AuditEvent, Member, Staff

if TYPE_CHECKING:
    from idp.database import Database

PAGE = 50
PARCEL = 1000

Place = tuple[int, int]  # (at, id) of a row


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events.

    :ivar company_id: those of a company and its people; None: all.
    :ivar event: of this kind.
    :ivar account_id: that happened to this person, or that they did.
    :ivar since: from this second on; ``until``: before this second.
    """

    company_id: str | None = None
    event: str | None = None
    account_id: str | None = None
    since: int | None = None
    until: int | None = None


def newest(db: Transaction, wanted: Wanted, *, before: Place | None = None, limit: int = PAGE) -> list[AuditEvent]:
    """The newest events, newest first. ``before``: only those that are older than this place, for the next page."""
    found: dict[int, AuditEvent] = {}
    for query in _queries(wanted):
        if before is not None:
            query = query.where(tuple_(AuditEvent.at, AuditEvent.id) < before)
        rows = db.scalars(query.order_by(AuditEvent.at.desc(), AuditEvent.id.desc()).limit(limit))
        found.update((row.id, row) for row in rows)
    return sorted(found.values(), key=place, reverse=True)[:limit]


def walk(database: Database, wanted: Wanted) -> Iterator[AuditEvent]:
    """All that is wanted, newest first. Each parcel is a transaction of its own, so that no copy holds one open for long.

    :raises Unavailable: SQL does not answer.
    """
    before: Place | None = None
    while True:
        with database.reading() as db:
            rows = newest(db, wanted, before=before, limit=PARCEL)
            db.expunge_all()
        yield from rows
        if len(rows) < PARCEL:
            return
        before = place(rows[-1])


def place(row: AuditEvent) -> Place:
    """Where a row stands."""
    return row.at, row.id


def colleagues(db: Transaction, company_id: str) -> frozenset[str]:
    """The accounts with a role at the provider, but for the company's own people: who they are is not the company's business."""
    own = exists().where(Member.account_id == Staff.account_id, Member.company_id == company_id)
    return frozenset(db.scalars(select(Staff.account_id).where(~own)))


def is_of_provider(actor: str, ours: Collection[str]) -> bool:
    """Whether who acted is somebody of the provider: at its server, or with one of the accounts ``ours``."""
    kind, _, name = actor.partition(":")
    return kind == "operator" or (kind == "person" and name in ours)


def said(row: AuditEvent, *, ours: Collection[str] | None = None) -> dict[str, Any]:
    """A row as it goes out: to a file, a webhook, a log server. ``ours``: it goes to a company, which reads of these accounts (``colleagues``)
    and of whoever works at the server that they are the provider's, and no more."""
    return {
        "sequence": row.sequence,
        "at": datetime.fromtimestamp(row.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "event": row.event,
        "actor": "provider" if ours is not None and is_of_provider(row.actor, ours) else row.actor,
        "account_id": row.account_id,
        "company_id": row.company_id,
        "facts": row.facts,
        "digest": row.digest,
    }


def line(row: AuditEvent, *, ours: Collection[str] | None = None) -> str:
    """The same as one line of JSON."""
    return json.dumps(said(row, ours=ours), separators=(",", ":"))


def _queries(wanted: Wanted) -> list[Select[AuditEvent]]:
    query = select(AuditEvent)
    if wanted.company_id is not None:
        # Of one person there is less than of a company: then its index must not be the one that is read.
        company = AuditEvent.company_id if wanted.account_id is None else func.coalesce(AuditEvent.company_id, "")
        query = query.where(company == wanted.company_id)
    if wanted.event is not None:
        query = query.where(AuditEvent.event == wanted.event)
    if wanted.since is not None:
        query = query.where(AuditEvent.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditEvent.at < wanted.until)
    if wanted.account_id is None:
        return [query]
    # Each by its own index: a question for either would be answered from none.
    return [
        query.where(AuditEvent.account_id == wanted.account_id),
        query.where(AuditEvent.actor == f"person:{wanted.account_id}"),
    ]
