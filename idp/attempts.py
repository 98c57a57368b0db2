"""Receipts: every sign-in attempt is a list of typed steps under a code such as ``K7QX-2M4P``.

A step costs its caller one append to a queue. A thread of the process masks what waits there and sends it to a Redis
stream ten times a second; the worker (or ``idp attempts``) drains the stream into SQL. So a crash of a process loses at
most the steps of its last 100 ms; without Redis steps wait in memory, up to MOST_WAITING; without a worker in the stream,
up to about MOST_PARCELS × PARCEL. The oldest go first.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from enum import StrEnum, auto
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import case, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from idp.errors import Unavailable
from idp.logs import printable
from idp.masking import mask_address, mask_email, mask_text, mask_uri
from idp.metrics import count_failure
from idp.models import Account, Attempt, AttemptStep, ProductUse, ReasonDay

if TYPE_CHECKING:
    from idp.database import Database
    from idp.redis_store import RedisStore

log = structlog.get_logger(__name__)

STREAM = "attempts"
FLUSH_EVERY = 0.1  # seconds
PARCEL = 100  # steps in one stream entry
MOST_WAITING = 10_000  # steps in the memory of one process
MOST_PARCELS = 10_000  # entries in the stream
DAY = 86400
KEPT = 90 * DAY  # seconds that a receipt can be looked up
PRUNED_AT_ONCE = 500

# Crockford's base 32: no I, L, O, U. 8 characters are 40 bits.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]


class Step(StrEnum):
    """What can happen in an attempt, in the order of the road."""

    request_received = auto()
    request_refused = auto()
    session_used = auto()
    company_routed = auto()  # to which connection
    request_sent = auto()  # to a company's identity provider, or a social one
    response_received = auto()
    response_refused = auto()  # the first check that failed
    response_checked = auto()  # each further one that failed; none for those that held
    company_identified = auto()
    social_identified = auto()  # whom a social provider names
    connection_tested = auto()  # a test trip: every check held, and nobody was signed in
    password_checked = auto()
    passkey_checked = auto()
    second_asked = auto()  # one proof is not enough: another kind must be shown beside it
    second_set_up_asked = auto()  # and there is none yet
    second_checked = auto()
    code_asked = auto()  # one that is mailed: at a new browser, or before the first second factor is set up
    factor_added = auto()  # a passkey or another factor
    factor_removed = auto()
    factor_disowned = auto()  # from the mail that told of it
    sign_up_asked = auto()  # somebody wants an account: the mail says what to do
    signed_up = auto()  # the account was made by the link in it
    reset_asked = auto()  # a password was forgotten: the mail says what to do
    password_reset = auto()  # another one was set by the link in it
    invitation_accepted = auto()  # by the link in the mail
    recovery_set = auto()  # where the mail about a forgotten password goes from now on
    email_changed = auto()  # both mailboxes have agreed to another address
    email_reverted = auto()  # the old one has taken it back
    account_closed = auto()  # by its owner
    account_reopened = auto()  # by the link in the mail about it
    throttled = auto()
    account_decision = auto()
    address_asked = auto()  # the provider names no address that may be believed
    terms_asked = auto()  # nobody here yet: an account is made once the terms are accepted
    link_asked = auto()  # the old account must be proved first
    linked = auto()
    unlinked = auto()
    password_set = auto()  # by its owner
    session_opened = auto()
    consent_asked = auto()
    consent_given = auto()
    consent_denied = auto()
    code_issued = auto()
    token_issued = auto()
    token_refreshed = auto()
    token_refused = auto()
    logout_asked = auto()
    signed_out = auto()
    page_failed = auto()
    support_looked = auto()  # the caller has read out the code


_ENDS = {  # what an attempt has become by a step without a reason
    Step.session_opened: "done",
    Step.connection_tested: "done",
    Step.code_issued: "done",
    Step.token_issued: "done",
    Step.token_refreshed: "done",
    Step.password_reset: "done",
    Step.recovery_set: "done",
    Step.email_changed: "done",
    Step.email_reverted: "done",
    Step.account_closed: "done",
    Step.account_reopened: "done",
    Step.factor_added: "done",
    Step.factor_removed: "done",
    Step.factor_disowned: "done",
    Step.unlinked: "done",
    Step.password_set: "done",
    Step.signed_out: "done",
    Step.request_refused: "failed",
    Step.consent_denied: "failed",
    Step.token_refused: "failed",
    Step.page_failed: "failed",
}


def outcome_of(name: Step, reason: str | None) -> str:
    """What an attempt has become by a step: with a reason it has failed, unless another has said so just before."""
    if name == Step.response_checked:
        return "open"
    return "failed" if reason else _ENDS.get(name, "open")


# What a step in the stream consists of.
COLUMNS = (
    *("entry", "at", "code", "name", "reason", "outcome"),
    *("client_id", "door", "connection_id", "account_id", "facts"),
)

# The facts that a step may carry, each with what it becomes when it is written. No other is kept.
FACTS: dict[str, Callable[[str], str]] = {
    "email": mask_email,
    "address": mask_address,
    "redirect_uri": mask_uri,
    "expected": mask_text,
    "received": mask_text,
    **dict.fromkeys(("amr", "check", "detail", "known_device", "parameter", "proved", "scope", "wait"), printable),
}


class Attempts:
    """Takes the steps of this process's attempts and sends them on, from a thread of its own."""

    def __init__(self, store: RedisStore, random: Callable[[int], bytes], clock: Callable[[], float]) -> None:
        """
        :param random: n → n unpredictable bytes.
        :param clock: → seconds since 1970.
        """
        self._store = store
        self._random = random
        self._clock = clock
        self._waiting: deque[tuple[Any, ...]] = deque(maxlen=MOST_WAITING)
        self._lost = 0
        self._parcel = ""  # what was packed and has not reached Redis yet
        process = random(6).hex()
        self._ids = (f"{process}-{number:010}" for number in itertools.count())
        self._flushing = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="attempts", daemon=True)
        self._thread.start()

    def start(self) -> str:
        """A new receipt code."""
        bits = int.from_bytes(self._random(5), "big")
        return f"{_PAIRS[bits >> 30]}{_PAIRS[bits >> 20 & 1023]}-{_PAIRS[bits >> 10 & 1023]}{_PAIRS[bits & 1023]}"

    def step(
        self,
        code: str,
        name: Step,
        *,
        reason: str | None = None,
        outcome: str | None = None,
        client_id: str | None = None,
        door: str | None = None,
        connection_id: str | None = None,
        account_id: str | None = None,
        **facts: str | int | bool,
    ) -> None:
        """Note one step; never blocks and never fails.

        :param code: the receipt from ``start``.
        :param reason: a code of ``reasons.py``, if this step failed.
        :param outcome: open, done or failed, where it is not what the step and its reason tell.
        :param connection_id: the company's connection that this step is about: its IT sees the step.
        :param account_id: whose attempt it turned out to be.
        :param facts: names from FACTS; they are masked before they are written.
        """
        if len(self._waiting) == MOST_WAITING:
            self._lost += 1
        self._waiting.append(
            (self._clock(), code, name, reason, outcome, client_id, door, connection_id, account_id, facts)
        )

    def flush(self) -> bool:
        """Send what waits. False: Redis does not answer, and the steps go on waiting."""
        with self._flushing:
            while self._parcel or self._waiting:
                self._parcel = self._parcel or self._pack()
                try:
                    self._store.command("XADD", STREAM, "MAXLEN", "~", MOST_PARCELS, "*", "steps", self._parcel)
                except Unavailable:
                    return False
                self._parcel = ""
            if self._lost:
                log.warning("receipts.lost", steps=self._lost)
                self._lost = 0
        return True

    def close(self) -> None:
        """Send what waits and stop the thread."""
        self._closing.set()
        self._thread.join()
        if not self.flush():
            log.warning("receipts.lost", steps=len(self._waiting) + self._lost)

    def _run(self) -> None:
        while not self._closing.wait(FLUSH_EVERY):
            self.flush()

    def _pack(self) -> str:
        steps = (self._waiting.popleft() for _ in range(min(PARCEL, len(self._waiting))))
        return json.dumps([_written(next(self._ids), *step) for step in steps], separators=(",", ":"))


def _written(
    id: str,
    at: float,
    code: str,
    name: Step,
    reason: str | None,
    outcome: str | None,
    client_id: str | None,
    door: str | None,
    connection_id: str | None,
    account_id: str | None,
    facts: dict[str, str | int | bool],
) -> tuple[Any, ...]:
    """A step in the order of COLUMNS, with nothing in it that may not be kept."""
    if reason:
        count_failure(reason)
    if facts:
        if unknown := facts.keys() - FACTS.keys():
            log.error("receipt.fact_unknown", facts=sorted(unknown), step=name)
        facts = {
            fact: FACTS[fact](value) if isinstance(value, str) else value
            for fact, value in facts.items()
            if fact in FACTS
        }
    client_id = printable(client_id, 128) if client_id else None
    outcome = outcome or outcome_of(name, reason)
    return id, int(at * 1000), code, name, reason, outcome, client_id, door, connection_id, account_id, facts


def drain(store: RedisStore, database: Database) -> int:
    """Move what stands in the stream now into SQL and return the number of steps.

    A parcel leaves the stream after its commit. One that is drained twice, here or by two workers at a time, writes
    nothing twice: each step has its own id, and an attempt's row only moves forward in time.
    """
    newest = store.command("XREVRANGE", STREAM, "+", "-", "COUNT", 1)
    written = 0
    while newest and (parcels := store.command("XRANGE", STREAM, "-", newest[0][0], "COUNT", 20)):
        steps = [dict(zip(COLUMNS, step, strict=True)) for _, (_, parcel) in parcels for step in json.loads(parcel)]
        with database.transaction() as db:
            _write(db, steps)
        store.command("XDEL", STREAM, *(entry for entry, _ in parcels))
        written += len(steps)
    return written


def _write(db: Session, steps: list[dict[str, Any]]) -> None:
    insert = sqlite.insert if db.get_bind().dialect.name == "sqlite" else postgresql.insert
    columns = ("entry", "at", "code", "name", "reason", "connection_id", "facts")
    rows = [{name: step[name] for name in columns} for step in steps]
    db.execute(insert(AttemptStep).on_conflict_do_nothing(), rows)

    attempts = _attempts(steps)
    # Each that has ended here gets a row which is held from now on, so that nobody else counts it at the same time.
    ended_here = [row | {"outcome": "open", "reason": None} for row in attempts if row["outcome"] != "open"]
    if ended_here:
        db.execute(insert(Attempt).on_conflict_do_nothing(), ended_here)
    codes = [row["code"] for row in ended_here]
    before = _failed(db, codes)

    new = insert(Attempt)
    sent = new.excluded
    newer = sent.last_at >= Attempt.last_at
    ended = newer & (sent.outcome != "open")
    db.execute(
        new.on_conflict_do_update(
            index_elements=[Attempt.code],
            set_={
                "started_at": case((sent.started_at < Attempt.started_at, sent.started_at), else_=Attempt.started_at),
                "last_at": case((newer, sent.last_at), else_=Attempt.last_at),
                "client_id": func.coalesce(sent.client_id, Attempt.client_id),
                "door": func.coalesce(sent.door, Attempt.door),
                "connection_id": func.coalesce(sent.connection_id, Attempt.connection_id),
                "account_id": func.coalesce(sent.account_id, Attempt.account_id),
                "outcome": case((ended, sent.outcome), else_=Attempt.outcome),
                "reason": case((ended, sent.reason), else_=Attempt.reason),
            },
        ),
        attempts,
    )
    uses = _product_uses(db, steps)
    if uses:
        use = insert(ProductUse)
        later = use.excluded.last_at > ProductUse.last_at
        last_at = case((later, use.excluded.last_at), else_=ProductUse.last_at)
        db.execute(
            use.on_conflict_do_update(index_elements=["account_id", "client_id"], set_={"last_at": last_at}), uses
        )
    days = _reason_days(before, _failed(db, codes))
    if days:
        day = insert(ReasonDay)
        more = ReasonDay.count + day.excluded.count
        db.execute(day.on_conflict_do_update(index_elements=["client_id", "day", "reason"], set_={"count": more}), days)


def _failed(db: Session, codes: list[str]) -> list[tuple[str, int, str]]:
    """Those of these attempts that have failed, as what they are counted under: product, day, reason. Their rows are held."""
    chosen = select(Attempt.client_id, Attempt.started_at, Attempt.reason, Attempt.outcome).where(
        Attempt.code.in_(codes)
    )
    rows = db.execute(chosen.order_by(Attempt.code).with_for_update()) if codes else ()
    return [
        (client_id or "", started_at // DAY, reason or "")
        for client_id, started_at, reason, outcome in rows
        if outcome == "failed"
    ]


def _reason_days(before: Iterable[tuple[str, int, str]], after: Iterable[tuple[str, int, str]]) -> list[dict[str, Any]]:
    """What is to be added to the counts, each attempt at its product and in all; in an order that is everybody's."""
    counts: Counter[tuple[str, int, str]] = Counter()
    for sign, counted in ((-1, before), (1, after)):
        for client_id, day, reason in counted:
            for among in {client_id, ""}:
                counts[among, day, reason] += sign
    return [
        {"client_id": client_id, "day": day, "reason": reason, "count": count}
        for (client_id, day, reason), count in sorted(counts.items())
        if count
    ]


def reasons_by_day(db: Session, client_id: str, since: int) -> dict[tuple[int, str], int]:
    """How many attempts that began on a day have failed for a reason, by (day, reason).

    :param client_id: of which product; "": of all, and of none.
    :param since: the first day, in days since 1970 (UTC).
    """
    chosen = select(ReasonDay.day, ReasonDay.reason, ReasonDay.count).where(
        ReasonDay.client_id == client_id, ReasonDay.day >= since, ReasonDay.count > 0
    )
    return {(day, reason): count for day, reason, count in db.execute(chosen)}


def _attempts(steps: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that these steps make, in the order of their codes, so that two workers wait for each other and no more."""
    rows: dict[str, dict[str, Any]] = {}
    for step in sorted(steps, key=lambda step: (step["code"], step["at"])):
        at = step["at"] // 1000
        row = rows.setdefault(
            step["code"],
            {"code": step["code"], "started_at": at, "client_id": None, "door": None}
            | {"connection_id": None, "account_id": None, "outcome": "open", "reason": None},
        )
        row["last_at"] = at
        row.update({name: step[name] for name in ("client_id", "door", "connection_id", "account_id") if step[name]})
        if step["outcome"] != "open":
            row.update(outcome=step["outcome"], reason=step["reason"])
    return list(rows.values())


def _product_uses(db: Session, steps: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Who has opened which product, told by the codes that were issued; not of people who are gone meanwhile."""
    opened: dict[tuple[str, str], list[int]] = {}
    for step in steps:
        if step["name"] == Step.code_issued and step["account_id"] and step["client_id"]:
            opened.setdefault((step["account_id"], step["client_id"]), []).append(step["at"] // 1000)
    people = set(db.scalars(select(Account.id).where(Account.id.in_({account_id for account_id, _ in opened}))))
    return [
        {"account_id": account_id, "client_id": client_id, "first_at": min(times), "last_at": max(times)}
        for (account_id, client_id), times in sorted(opened.items())
        if account_id in people
    ]


def prune_attempts(db: Session, now: float) -> bool:
    """Forget attempts that began longer than KEPT ago, a bounded number; return whether there are more.

    :param now: seconds since 1970.
    """
    old = list(db.scalars(select(Attempt.code).where(Attempt.started_at < int(now) - KEPT).limit(PRUNED_AT_ONCE)))
    db.execute(delete(AttemptStep).where(AttemptStep.code.in_(old)))
    db.execute(delete(Attempt).where(Attempt.code.in_(old)))
    db.execute(delete(ReasonDay).where(ReasonDay.day < (int(now) - KEPT) // DAY))
    return len(old) == PRUNED_AT_ONCE
