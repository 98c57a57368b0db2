"""Promises of worker.py: one broken job hurts no other, what was broken works again, and what is old goes away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, func, select
from structlog.testing import capture_logs

from idp.attempts import KEPT
from idp.config import Config
from idp.database import Database
from idp.errors import Unavailable
from idp.models import (
    Account,
    Attempt,
    AttemptStep,
    EmailChange,
    HeldAddress,
    LogoutNotice,
    MailedLink,
    OutboxMail,
    Revocation,
    Table,
)
from idp.worker import DAY, ROWS_PER_PRUNING, Job, Worker, prune

NOW = 1_800_000_000


class Working:
    """A worker in a thread, stopped at the end."""

    def __init__(self, *jobs: Job) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=Worker(jobs).run, args=(self._stop,))

    def __enter__(self) -> Working:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()


class Times:
    """A job that counts its runs and fails while it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.runs = 0
        self.failed = 0
        self.changed = threading.Condition()

    def __call__(self) -> bool:
        with self.changed:
            self.changed.notify_all()
            if self.error is not None:
                self.failed += 1
                raise self.error
            self.runs += 1
            return False

    def wait_for(self, **counts: int) -> None:
        with self.changed:
            reached = self.changed.wait_for(lambda: all(getattr(self, name) >= n for name, n in counts.items()), 30)
        assert reached, (self.runs, self.failed)


@pytest.fixture
def database(config: Config) -> Iterator[Database]:
    built = Database(config)
    yield built
    built.close()


def test_a_failing_job_hurts_no_other_and_works_again_by_itself() -> None:
    down, well = Times(Unavailable("sql_down", detail="away")), Times()
    with capture_logs() as said, Working(Job("down", down, every=0.001), Job("well", well, every=0.001)):
        down.wait_for(failed=3)
        well.wait_for(runs=3)
        down.error = None
        down.wait_for(runs=3)

    about = [line for line in said if line.get("job") == "down"]
    assert [line["event"] for line in about] == [
        "worker.job_failing",
        "worker.job_recovered",
    ]  # once each, not each time
    assert about[0]["error"] == "Unavailable: sql_down: away"
    assert about[0]["exc_info"] is False
    assert about[1]["failures"] >= 3


def test_a_mistake_of_ours_is_logged_with_its_traceback_and_ends_nothing() -> None:
    broken = Times(ZeroDivisionError("a mistake"))
    with capture_logs() as said, Working(Job("broken", broken, every=0.001)):
        broken.wait_for(failed=3)

    [line] = [line for line in said if line.get("job") == "broken"]
    assert (line["error"], line["exc_info"]) == ("ZeroDivisionError: a mistake", True)


def test_another_trouble_is_said_too() -> None:
    job = Times(Unavailable("sql_down"))
    with capture_logs() as said, Working(Job("job", job, every=0.001)):
        job.wait_for(failed=2)
        job.error = Unavailable("redis_down")
        job.wait_for(failed=4)

    errors = [line["error"] for line in said if line["event"] == "worker.job_failing"]
    assert errors == ["Unavailable: sql_down", "Unavailable: redis_down"]


def test_more_work_is_done_without_a_rest_and_by_as_many_threads_as_told() -> None:
    left, together = iter(range(1000)), threading.Barrier(3)
    done = threading.Event()

    def work() -> bool:
        if next(left, None) is None:
            done.set()
            return False
        if not together.broken and together.n_waiting < 3:
            together.wait(10)  # only three threads at once get past it
            together.abort()
        return True

    def careful() -> bool:
        try:
            return work()
        except threading.BrokenBarrierError:
            return True

    with Working(Job("many", careful, every=3600, threads=3)):
        assert done.wait(20)


def test_what_is_at_work_may_end_when_the_worker_stops() -> None:
    at_work, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def slow() -> bool:
        at_work.set()
        may_end.wait(20)
        ended.set()
        return True

    stop = threading.Event()
    thread = threading.Thread(
        target=Worker([Job("slow", slow), Job("idle", lambda: False, every=3600)]).run, args=(stop,)
    )
    thread.start()
    assert at_work.wait(20)
    stop.set()
    may_end.set()
    began = time.monotonic()
    thread.join(20)
    assert not thread.is_alive() and ended.is_set()
    assert time.monotonic() - began < 7  # nobody rests for an hour


def add(database: Database, *rows: Table) -> None:
    with database.transaction() as db:
        db.add_all(rows)


def count(database: Database, table: type[Any]) -> int:
    with database.reading() as db:
        return db.scalar(select(func.count()).select_from(table)) or 0


def mail(state: str, age: int, **changes: Any) -> OutboxMail:
    at = NOW - age
    row: dict[str, Any] = {"name": "test", "recipient": "c@example.org", "language": "en", "state": state}
    return OutboxMail(**(row | {"created_at": at, "next_try_at": at} | changes))


def notice(state: str, age: int) -> LogoutNotice:
    at = NOW - age
    return LogoutNotice(client_id="C1", sub="s", sid="sid", state=state, created_at=at, next_try_at=at)


def link(secret: str, expired: int) -> MailedLink:
    at = NOW - expired
    return MailedLink(secret_hash=secret, purpose="not_me", account_id="a", created_at=at - 100, expires_at=at)


def revocation(done: int | None) -> Revocation:
    done_at = None if done is None else NOW - done
    return Revocation(kind="account", account_id="a", created_at=NOW - 100 * DAY, done_at=done_at)


def attempt(code: str, age: int) -> list[Table]:
    at = NOW - age
    return [
        Attempt(code=code, started_at=at, last_at=at, outcome="done"),
        AttemptStep(entry=f"1-{code}", code=code, at=at * 1000, name="code_issued"),
    ]


def test_what_is_old_is_deleted_and_the_rest_stays(database: Database) -> None:
    add(database, Account(id="a", sub="s", created_at=1, updated_at=1))
    young = [
        mail("sent", 29 * DAY),
        mail("bounced", 29 * DAY),
        mail("waiting", DAY),
        mail("waiting", 40 * DAY, next_try_at=NOW),  # an operator has just sent it on its way again
        notice("sent", 29 * DAY),
        link("young", 6 * DAY),
        link("alive", -DAY),
        revocation(29 * DAY),
        revocation(None),
        *attempt("YOUNG-ONE", KEPT - DAY),
    ]
    old = [
        mail("sent", 31 * DAY),
        mail("bounced", 31 * DAY),
        mail("given_up", 31 * DAY),
        notice("sent", 31 * DAY),
        notice("given_up", 31 * DAY),
        link("old", 8 * DAY),
        revocation(31 * DAY),
        *attempt("OLD-ONE", KEPT + DAY),
    ]
    add(database, *young, *old)

    assert not prune(database, NOW)
    assert {table.__name__: count(database, table) for table in (OutboxMail, LogoutNotice, MailedLink, Revocation)} == {
        "OutboxMail": 4,
        "LogoutNotice": 1,
        "MailedLink": 2,
        "Revocation": 2,
    }
    with database.reading() as db:
        assert list(db.scalars(select(Attempt.code))) == list(db.scalars(select(AttemptStep.code))) == ["YOUNG-ONE"]
        assert set(db.scalars(select(MailedLink.secret_hash))) == {"young", "alive"}


def test_what_was_not_sent_for_days_is_closed_first_and_deleted_later(database: Database) -> None:
    add(database, mail("waiting", 31 * DAY), notice("waiting", 2 * DAY))

    prune(database, NOW)
    assert count(database, OutboxMail) == 0
    with database.reading() as db:
        assert db.scalars(select(LogoutNotice.state)).all() == ["given_up"]


def test_pruning_takes_a_bounded_number_of_rows_at_a_time_and_comes_again(database: Database) -> None:
    add(database, *(mail("sent", 31 * DAY) for _ in range(ROWS_PER_PRUNING + 1)))

    assert prune(database, NOW)
    assert count(database, OutboxMail) == 1
    assert not prune(database, NOW)
    assert count(database, OutboxMail) == 0


def test_what_is_new_under_the_key_of_what_is_over_is_not_deleted(database: Database) -> None:
    """An address that is held for its account anew in this moment, and a change of address that is asked for anew."""
    wanted = {"account_id": "a", "address": "x@home.example", "canonical": "x@home.example", "created_at": NOW}
    held = HeldAddress(canonical="carol@example.org", account_id="a", until=NOW)
    account = Account(id="a", sub="s", state="active", profile={}, created_at=1, updated_at=1)
    add(database, account)
    add(database, held, EmailChange(**wanted, expires_at=NOW))

    def anew(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        for table, end in (("held_addresses", "until"), ("email_changes", "expires_at")):
            if statement.startswith(f"DELETE FROM {table}"):
                connection.exec_driver_sql(f"UPDATE {table} SET {end} = {NOW + DAY}")

    event.listen(Engine, "before_cursor_execute", anew)
    try:
        prune(database, NOW)
    finally:
        event.remove(Engine, "before_cursor_execute", anew)
    assert (count(database, HeldAddress), count(database, EmailChange)) == (1, 1)
    prune(database, NOW + DAY)
    assert (count(database, HeldAddress), count(database, EmailChange)) == (0, 0)
