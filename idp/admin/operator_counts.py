"""What operators count: never further than they would read, so that a page costs the same however much there is. A working."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, func, literal, select
from sqlalchemy.orm import Session as Transaction

MOST_COUNTED = 10_000


def count(db: Transaction, table: type[Any], *where: ColumnElement[bool]) -> int:
    """How many rows of ``table`` there are; one more than MOST_COUNTED: more than that."""
    some = select(literal(1)).select_from(table).where(*where).limit(MOST_COUNTED + 1).subquery()
    return db.scalar(select(func.count()).select_from(some)) or 0


def written(number: int) -> str:
    """A count of these as people read it: ``10000+`` where it was not counted further."""
    return f"{MOST_COUNTED}+" if number > MOST_COUNTED else str(number)


def moment(at: float) -> str:
    """Seconds since 1970 as ``2026-11-23 20:10 UTC``, as the commands write it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
