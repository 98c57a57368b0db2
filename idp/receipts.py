"""Attempts looked up: by the receipt code that a caller reads out, the latest, and those through one connection as its company's IT sees them."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from idp.attempts import ALPHABET, Step, outcome_of
from idp.models import Attempt, AttemptStep

_AS_HEARD = str.maketrans("ILOU", "110V")

# What a company's IT is shown of a step on the way through its own connection.
COMPANY_FACTS = ("check", "expected", "received", "detail")
COMPANY_STEPS = 3_000  # the newest of a connection, among which its last attempts are looked for


def read_code(text: str) -> str | None:
    """The receipt code in what a caller read out: any case, with or without dash, letters that sound or look alike."""
    letters = re.sub(r"[\s-]", "", text).upper().translate(_AS_HEARD)
    if not text.isascii() or len(letters) != 8 or not set(letters) <= set(ALPHABET):
        return None
    return f"{letters[:4]}-{letters[4:]}"


def find_attempt(db: Session, code: str) -> Attempt | None:
    """The attempt with this receipt code, as ``read_code`` returns it."""
    return db.get(Attempt, code)


def steps_of(db: Session, code: str) -> list[AttemptStep]:
    """The steps of an attempt, oldest first."""
    return list(
        db.scalars(select(AttemptStep).where(AttemptStep.code == code).order_by(AttemptStep.at, AttemptStep.entry))
    )


def is_proved(db: Session, code: str, account_id: str) -> bool:
    """Whether somebody has shown in this attempt the first of two proofs that the account is theirs, say its password. An attempt is about
    an account as soon as somebody types its address."""
    return any(step.facts.get("proved") == account_id for step in steps_of(db, code))


def latest_attempts(db: Session, limit: int, *, failed: bool) -> list[Attempt]:
    """The newest attempts; only those that failed, if asked."""
    wanted = select(Attempt).order_by(Attempt.started_at.desc()).limit(limit)
    return list(db.scalars(wanted.where(Attempt.outcome == "failed") if failed else wanted))


@dataclass(frozen=True, slots=True)
class CompanyStep:
    """A step as a company's IT sees it: ``at`` in milliseconds since 1970, ``facts`` as in COMPANY_FACTS, masked."""

    at: int
    name: str
    reason: str | None
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CompanyAttempt:
    """An attempt as the IT of one company sees it: the steps through its own connection and what came of them."""

    code: str
    started_at: int
    outcome: str
    reason: str | None
    steps: tuple[CompanyStep, ...]


def company_attempts(db: Session, connection_id: str, limit: int = 100) -> list[CompanyAttempt]:
    """The newest attempts through a connection, newest first.

    Nothing else that the same person tried shows here: another company's connection, the product, the account.
    """
    own = select(AttemptStep.code).where(AttemptStep.connection_id == connection_id)
    newest = db.scalars(own.order_by(AttemptStep.at.desc(), AttemptStep.entry.desc()).limit(COMPANY_STEPS))
    codes = list(itertools.islice(dict.fromkeys(newest), limit))
    steps: dict[str, list[AttemptStep]] = {code: [] for code in codes}
    # All steps of these few attempts: asked for its own alone, a database might read all that the connection has.
    every = select(AttemptStep).where(AttemptStep.code.in_(codes)).order_by(AttemptStep.at, AttemptStep.entry)
    for step in db.scalars(every):
        if step.connection_id == connection_id:
            steps[step.code].append(step)
    return [_company_view(code, steps[code]) for code in codes]


def _company_view(code: str, steps: list[AttemptStep]) -> CompanyAttempt:
    outcome, reason = "open", None
    for step in steps:
        became = outcome_of(Step(step.name), step.reason)
        if became != "open":
            outcome, reason = became, step.reason
    shown = (
        CompanyStep(
            step.at, step.name, step.reason, {name: step.facts[name] for name in COMPANY_FACTS if name in step.facts}
        )
        for step in steps
    )
    return CompanyAttempt(code, steps[0].at // 1000, outcome, reason, tuple(shown))
