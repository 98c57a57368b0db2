"""Promises of outbox.py, on SQLite and on PostgreSQL: each row is sent by one worker, a bounded number of times."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from idp.clients import Clients
from idp.config import Config
from idp.database import Database
from idp.models import LogoutNotice, OutboxMail
from idp.outbox import DAY, LOGOUT_NOTICES, MAILS, Outbox, Outcome, queue_logout
from tests.backends import RealPostgres, running_postgres
from tests.registrations import REFERENCES

NOW = 1_800_000_000.0
SENT, FAILED = Outcome("sent", "250 fine"), Outcome("failed", "450 later")


@pytest.fixture(scope="module")
def postgres() -> Iterator[RealPostgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def anywhere(request: pytest.FixtureRequest, config: Config) -> Config:
    if request.param == "sqlite":
        return config
    server: RealPostgres = request.getfixturevalue("postgres")
    config = config.model_copy(update={"database_url": server.new_database()})
    database = Database(config)
    database.upgrade()
    database.close()
    return config


@pytest.fixture
def database(anywhere: Config) -> Iterator[Database]:
    built = Database(anywhere)
    yield built
    built.close()


def add_mails(database: Database, count: int = 1, **changes: Any) -> None:
    with database.transaction() as db:
        for number in range(count):
            row = {"name": "test", "recipient": f"p{number}@example.org", "language": "en", "values": {"at": 1}}
            row |= {"created_at": int(NOW), "next_try_at": int(NOW)}
            db.add(OutboxMail(**(row | changes)))


def add_notices(database: Database, *client_ids: str) -> None:
    with database.transaction() as db:
        for number, client_id in enumerate(client_ids):
            sid = f"sid{number}"
            db.add(LogoutNotice(client_id=client_id, sub="s", sid=sid, created_at=int(NOW), next_try_at=int(NOW)))


def mail(database: Database, number: int = 1) -> OutboxMail:
    with database.reading() as db:
        row = db.get_one(OutboxMail, number)
        db.expunge(row)
        return row


def at(now: float) -> Callable[[], float]:
    return lambda: now


def test_two_workers_with_four_threads_each_lease_every_row_once(anywhere: Config) -> None:
    databases = [Database(anywhere), Database(anywhere)]
    add_mails(databases[0], 60)
    sent: list[int] = []
    together = threading.Barrier(8)

    def send(row: OutboxMail) -> Outcome:
        sent.append(row.id)
        return SENT

    def work(database: Database) -> None:
        together.wait()
        while MAILS.deliver(database, send, at(NOW)):
            pass
        # Somebody else may have been faster with the last candidates; what is left is leased, or for us.
        while MAILS.deliver(database, send, at(NOW)):
            pass

    threads = [threading.Thread(target=work, args=(database,)) for database in databases for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while MAILS.deliver(databases[0], send, at(NOW)):
        pass
    for database in databases:
        database.close()
    assert Counter(sent) == Counter(range(1, 61))


def test_a_row_is_leased_until_its_lease_ends_and_each_lease_counts_as_a_try(database: Database) -> None:
    add_mails(database)

    first = MAILS.lease(database, NOW)
    assert first is not None and first.tries == 1
    assert MAILS.lease(database, NOW + MAILS.lease_seconds - 1) is None  # also if its worker has died meanwhile
    second = MAILS.lease(database, NOW + MAILS.lease_seconds)
    assert second is not None and second.tries == 2


def test_a_row_is_not_due_before_its_time(database: Database) -> None:
    add_mails(database, next_try_at=int(NOW) + 10)

    assert MAILS.lease(database, NOW + 9) is None
    assert MAILS.lease(database, NOW + 10) is not None


def test_the_row_that_is_due_first_is_leased_first(database: Database) -> None:
    add_mails(database, next_try_at=int(NOW))
    add_mails(database, next_try_at=int(NOW) - 5)

    leased = MAILS.lease(database, NOW)
    assert leased is not None and leased.id == 2


@pytest.mark.parametrize("outbox", [MAILS, LOGOUT_NOTICES], ids=["mails", "notices"])
def test_a_failing_row_is_tried_again_with_growing_pauses_and_then_given_up(
    database: Database, outbox: Outbox[Any]
) -> None:
    add_mails(database)
    add_notices(database, "C1")
    now, pauses = NOW, []
    while True:
        tried = now
        assert not outbox.deliver(database, lambda row: FAILED, at(now))
        with database.reading() as db:
            row = db.scalars(select(outbox.table)).one()
            if row.state != "waiting":
                break
            now = float(row.next_try_at)
        assert outbox.lease(database, now - 1) is None
        pauses.append(int(now - tried))

    assert (row.state, row.last_answer, row.sent_at) == ("given_up", "450 later", None)
    assert tuple(pauses) == outbox.pauses == tuple(sorted(pauses))
    assert row.tries == len(pauses) + 1
    assert outbox.lease(database, now + DAY) is None


def test_a_row_that_kills_its_workers_is_tried_a_bounded_number_of_times(database: Database) -> None:
    add_mails(database)
    now, tries = NOW, 0
    while MAILS.lease(database, now) is not None:  # and nobody ever records how it went
        now += MAILS.lease_seconds
        tries += 1
    assert tries == len(MAILS.pauses) + 1

    MAILS.give_up_abandoned(database, now)
    assert mail(database).state == "given_up"


def test_a_row_that_is_being_sent_is_not_given_up(database: Database) -> None:
    add_mails(database, tries=len(MAILS.pauses))
    assert MAILS.lease(database, NOW) is not None

    MAILS.give_up_abandoned(database, NOW + 1)
    assert mail(database).state == "waiting"


def test_a_row_that_nobody_could_take_up_for_days_is_not_sent_any_more(database: Database) -> None:
    add_mails(database)
    later = NOW + MAILS.worth

    assert MAILS.lease(database, later) is None
    MAILS.give_up_abandoned(database, later)
    assert mail(database).state == "given_up"


def test_a_sent_row_is_sent_once_and_forgets_what_was_in_it(database: Database) -> None:
    add_mails(database, values={"sealed": "abc"})

    assert MAILS.deliver(database, lambda row: SENT, at(NOW))
    assert not MAILS.deliver(database, lambda row: SENT, at(NOW + DAY))
    row = mail(database)
    assert (row.state, row.sent_at, row.values, row.last_answer) == ("sent", int(NOW), {}, "250 fine")


def test_a_bounced_row_stays_bounced(database: Database) -> None:
    add_mails(database)

    MAILS.deliver(database, lambda row: Outcome("bounced", "550 no such person\r\n\x1b[31m"), at(NOW))
    assert MAILS.lease(database, NOW + DAY) is None
    row = mail(database)
    assert (row.state, row.tries) == ("bounced", 1)
    assert row.last_answer is not None and row.last_answer.isprintable()


def test_a_row_that_cannot_be_sent_does_not_stand_in_front_of_the_others(database: Database) -> None:
    add_mails(database, 2)

    def send(row: OutboxMail) -> Outcome:
        if row.id == 1:
            raise ZeroDivisionError("a mistake of ours")
        return SENT

    with pytest.raises(ZeroDivisionError):
        MAILS.deliver(database, send, at(NOW))
    assert MAILS.deliver(database, send, at(NOW))
    assert (mail(database, 1).state, mail(database, 1).last_answer) == ("waiting", "ZeroDivisionError")
    assert mail(database, 2).state == "sent"


def test_who_has_lost_the_lease_records_nothing(database: Database) -> None:
    add_mails(database)
    slow = MAILS.lease(database, NOW)
    fast = MAILS.lease(database, NOW + MAILS.lease_seconds)
    assert slow is not None and fast is not None

    MAILS.settle(database, slow, Outcome("bounced", "too late"), NOW + MAILS.lease_seconds)
    assert mail(database).state == "waiting"
    MAILS.settle(database, fast, SENT, NOW + MAILS.lease_seconds)
    assert mail(database).state == "sent"


def test_lo_07_a_slow_product_occupies_one_sender(database: Database) -> None:
    add_notices(database, "slow", "slow", "quick")

    leased = [LOGOUT_NOTICES.lease(database, NOW) for _ in range(3)]
    assert [row.client_id for row in leased if row] == ["slow", "quick"]
    assert leased[0] is not None
    LOGOUT_NOTICES.settle(database, leased[0], FAILED, NOW)
    another = LOGOUT_NOTICES.lease(database, NOW)
    assert another is not None and another.sid == "sid1"


def test_a_retry_takes_what_bounced_or_was_given_up_and_nothing_else(database: Database) -> None:
    for state in ("bounced", "given_up", "sent", "waiting"):
        add_mails(database, state=state, tries=3, next_try_at=int(NOW) + 100)
    add_mails(database)
    leased = MAILS.lease(database, NOW)
    assert leased is not None and leased.id == 5

    with database.transaction() as db:
        assert MAILS.retry(db, None, NOW) == [1, 2]
    assert (mail(database, 1).state, mail(database, 1).tries, mail(database, 1).next_try_at) == ("waiting", 0, int(NOW))
    with database.transaction() as db:
        assert MAILS.retry(db, (3, 4, 5, 99), NOW) == [4]


def test_only_products_with_a_back_channel_address_are_noted(database: Database, config: Config) -> None:
    assert config.clients is not None
    clients = Clients(config.clients, REFERENCES, loopback=False)

    with database.transaction() as db:
        queue_logout(
            db,
            [("C1", "a", "s"), ("C1", "a", "s"), ("C1", "b", "s"), ("C2", "c", "s"), ("gone", "d", "s")],
            clients,
            NOW,
        )
    with database.reading() as db:
        assert [(row.client_id, row.sid) for row in db.scalars(select(LogoutNotice))] == [("C1", "a"), ("C1", "b")]
        assert db.scalar(select(func.count()).where(LogoutNotice.next_try_at == int(NOW))) == 2
