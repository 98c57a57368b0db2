"""Seats: what a person is in a product. A product tells an organizer from an attendee by the claim of scope ``seat``.

A seat is one of this product alone: no other product hears of it. Who became an organizer proves anew that they are the same
person before the product is told: ``seat_claim`` keeps it from whatever rests on an older sign-in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.models import Account, Revocation, Seat

Role = Literal["organizer", "attendee"]
ROLES: tuple[Role, ...] = ("organizer", "attendee")


def seats_of(db: Transaction, account_id: str) -> dict[str, dict[str, Any]]:
    """All seats of a person by client id, as sessions and grants carry them."""
    rows = db.scalars(select(Seat).where(Seat.account_id == account_id).order_by(Seat.client_id))
    return {seat.client_id: {"role": seat.role, "granted_at": seat.granted_at} for seat in rows}


def grant_seat(db: Transaction, account_id: str, client_id: str, role: Role, *, actor: str, now: float) -> bool:
    """Give a person a seat in a product, or another role there. False if they have it already.

    :param now: seconds since 1970. A broken second counts up: who signed in earlier in it signs in anew.
    """
    db.get_one(Account, account_id, with_for_update=True)
    seat = db.get(Seat, (account_id, client_id))
    was = seat.role if seat is not None else ""
    if was == role:
        return False
    if seat is None:
        db.add(Seat(account_id=account_id, client_id=client_id, role=role, granted_at=math.ceil(now)))
    else:
        seat.role, seat.granted_at = role, math.ceil(now)
    _tell(db, audit.Event.person_seat_granted, account_id, client_id, actor, now, role=role, was=was)
    return True


def remove_seat(db: Transaction, account_id: str, client_id: str, *, actor: str, now: float) -> bool:
    """Take a person's seat in a product away. False if they have none."""
    db.get_one(Account, account_id, with_for_update=True)
    seat = db.get(Seat, (account_id, client_id))
    if seat is None:
        return False
    db.delete(seat)
    _tell(db, audit.Event.person_seat_removed, account_id, client_id, actor, now, role=seat.role)
    return True


def seat_claim(person: Mapping[str, Any], client_id: str, proved_at: int) -> dict[str, Any] | None:
    """What a product is told of its own seat, on the ground of a proof at ``proved_at`` (seconds since 1970)."""
    seat: dict[str, Any] | None = person.get("seats", {}).get(client_id)
    return None if seat is None or proved_at < organizer_since(person, client_id) else dict(seat)


def organizer_since(person: Mapping[str, Any], client_id: str) -> int:
    """When a person became an organizer of a product (seconds since 1970); 0 if they are none."""
    seat = person.get("seats", {}).get(client_id)
    return int(seat["granted_at"]) if seat is not None and seat["role"] == "organizer" else 0


def _tell(
    db: Transaction, event: audit.Event, account_id: str, client_id: str, actor: str, now: float, **facts: str
) -> None:
    db.add(Revocation(kind="person", account_id=account_id, created_at=int(now)))
    audit.record(db, event, now=now, actor=actor, account_id=account_id, client=client_id, **facts)
