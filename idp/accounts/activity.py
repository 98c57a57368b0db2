"""What has happened with an account lately, for its owner: the receipts that are about it, in words. A working."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session as Transaction

from idp.attempts import Step
from idp.models import Attempt, AttemptStep

MOST = 50
# What a person did or somebody tried, by the step that tells it; the later ones tell more than a session that was opened.
TOLD = (
    Step.factor_disowned,
    Step.factor_removed,
    Step.factor_added,
    Step.password_reset,
    Step.password_set,
    Step.recovery_set,
    Step.email_changed,
    Step.email_reverted,
    Step.account_closed,
    Step.account_reopened,
    Step.invitation_accepted,
    Step.signed_up,
    Step.unlinked,
    Step.linked,
    Step.signed_out,
    Step.session_opened,
    Step.reset_asked,
)


@dataclass(frozen=True, slots=True)
class Act:
    """One receipt.

    :ivar at: seconds since 1970.
    :ivar what: the name of the step that tells it, ``failed`` or ``other``.
    :ivar door: ``password``, ``passkey``, ``company``, the key of a social provider, or "".
    :ivar client_id: of the product that it was for; "" for one's own pages.
    :ivar reason: why it failed, a code of the reasons table; "".
    :ivar looked: whether support has looked at it.
    """

    code: str
    at: int
    what: str
    door: str
    client_id: str
    reason: str
    looked: bool = False


def recent_activity(db: Transaction, account_id: str) -> list[Act]:
    """The latest receipts about an account, the newest first. Two statements."""
    latest = select(Attempt).where(Attempt.account_id == account_id).order_by(Attempt.started_at.desc(), Attempt.code)
    attempts = list(db.scalars(latest.limit(MOST)))
    steps = select(AttemptStep.code, AttemptStep.name).where(
        AttemptStep.code.in_([attempt.code for attempt in attempts]), AttemptStep.name.in_((*TOLD, Step.support_looked))
    )
    names: dict[str, set[str]] = {}
    for code, name in db.execute(steps):
        names.setdefault(code, set()).add(name)
    return [_act(attempt, names.get(attempt.code, set())) for attempt in attempts]


def _act(attempt: Attempt, steps: set[str]) -> Act:
    told = next((step.value for step in TOLD if step in steps), "other")
    failed = attempt.outcome == "failed"
    return Act(
        code=attempt.code,
        at=attempt.started_at,
        what="failed" if failed else told,
        door=attempt.door or "",
        client_id=attempt.client_id or "",
        reason=attempt.reason or "" if failed else "",
        looked=Step.support_looked in steps,
    )
