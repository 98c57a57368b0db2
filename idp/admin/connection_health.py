"""How a connection does: sign-ins that worked and that failed, day by day. A working."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session as Transaction

from idp.attempts import Step
from idp.models import AttemptStep

DAYS = 14
MOST_LOOKED_AT = 20_000  # steps, the newest: of a larger company the older days stay empty


@dataclass(frozen=True, slots=True)
class Day:
    """``date`` as in 2026-11-22 (UTC)."""

    date: str
    worked: int
    failed: int


def health_of(db: Transaction, connection_id: str, now: float) -> list[Day]:
    """The last days, the oldest first. Read along an index, and no further than MOST_LOOKED_AT."""

    today = int(now) // 86400
    since = (today - DAYS + 1) * 86400 * 1000
    steps = (
        select(AttemptStep.code, AttemptStep.at, AttemptStep.name, AttemptStep.reason)
        .where(AttemptStep.connection_id == connection_id, AttemptStep.at >= since)
        .order_by(AttemptStep.at.desc())
        .limit(MOST_LOOKED_AT)
    )
    worked: dict[int, set[str]] = {}
    failed: dict[int, set[str]] = {}
    for code, at, name, reason in db.execute(steps):
        if name == Step.session_opened:
            worked.setdefault(at // 86_400_000, set()).add(code)
        elif reason:
            failed.setdefault(at // 86_400_000, set()).add(code)
    return [
        Day(
            datetime.fromtimestamp(day * 86400, UTC).strftime("%Y-%m-%d"),
            len(worked.get(day, ())),
            len(failed.get(day, set()) - worked.get(day, set())),
        )
        for day in range(today - DAYS + 1, today + 1)
    ]
