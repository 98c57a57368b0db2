"""The chain of audit events, on SQLite and on PostgreSQL: whoever changes, takes out or slips in a row is found out."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import delete, select, update
from structlog.testing import capture_logs

from idp import audit
from idp.audit_chain import PARCEL, SEALED_WITHIN, Broken, Whole, seal, verify
from idp.config import Config
from idp.database import Database
from idp.models import AuditEvent, AuditHead
from tests.backends import RealPostgres, running_postgres

NOW = 1_800_000_000.0
KEY = bytes(range(32))


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


def add(database: Database, count: int, *, now: float = NOW) -> None:
    with database.transaction() as db:
        for number in range(count):
            facts = {"number": number, "name": "Zoë “=1+1”", "kept": True}
            audit.record(db, audit.Event.person_changed, now=now, actor="operator:test", account_id="a" * 32, **facts)


def seal_all(database: Database) -> None:
    while seal(database, KEY):
        pass


def test_what_was_sealed_holds_and_its_head_is_logged(database: Database) -> None:
    add(database, PARCEL + 3)
    with capture_logs() as said:
        seal_all(database)
    heads = [(line["sequence"], line["rows"]) for line in said if line["event"] == "audit.sealed"]
    assert heads == [(PARCEL, PARCEL), (PARCEL + 3, 3)]
    assert verify(database, KEY, now=NOW) == Whole(PARCEL + 3, said[-1]["digest"])
    for line in said:
        assert isinstance(verify(database, KEY, now=NOW, head=(line["sequence"], line["digest"])), Whole)
    assert not seal(database, KEY)


def test_nothing_was_recorded_yet(database: Database) -> None:
    assert verify(database, KEY, now=NOW) == Whole(0, "")


def test_another_key_does_not_hold(database: Database) -> None:
    add(database, 2)
    seal_all(database)
    assert verify(database, b"0" * 32, now=NOW) == Broken("changed", 1, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"at": int(NOW) - 1},
        {"event": "person.created"},
        {"actor": "operator:other"},
        {"account_id": "b" * 32},
        {"company_id": "c" * 32},
        {"facts": {"number": 4, "name": "Zoë", "kept": True}},
        {"digest": "0" * 64},
        {"digest": None},
    ],
)
def test_a_changed_row_is_named(database: Database, changes: dict[str, object]) -> None:
    add(database, 9)
    seal_all(database)
    with database.transaction() as db:
        db.execute(update(AuditEvent).where(AuditEvent.sequence == 5).values(**changes))
        row = db.scalars(select(AuditEvent.id).where(AuditEvent.sequence == 5)).one()
    assert verify(database, KEY, now=NOW) == Broken("changed", 5, row)


def test_a_removed_row_is_named(database: Database) -> None:
    add(database, 9)
    seal_all(database)
    with database.transaction() as db:
        db.execute(delete(AuditEvent).where(AuditEvent.sequence == 5))
    assert verify(database, KEY, now=NOW) == Broken("removed", 5, None)


def test_the_others_moved_up_do_not_hide_that_one_is_gone(database: Database) -> None:
    add(database, 9)
    seal_all(database)
    with database.transaction() as db:
        db.execute(delete(AuditEvent).where(AuditEvent.sequence == 5))
        for number in range(6, 10):
            db.execute(update(AuditEvent).where(AuditEvent.sequence == number).values(sequence=number - 1))
        db.execute(update(AuditHead).values(sequence=8))
    found = verify(database, KEY, now=NOW)
    assert isinstance(found, Broken) and (found.what, found.sequence) == ("changed", 5)


def test_the_end_that_was_cut_off_is_found_by_the_head_that_stands_in_sql(database: Database) -> None:
    add(database, 9)
    seal_all(database)
    with database.transaction() as db:
        db.execute(delete(AuditEvent).where(AuditEvent.sequence > 6))
    assert verify(database, KEY, now=NOW) == Broken("removed", 7, None)


def test_the_end_that_was_cut_off_with_its_head_is_found_by_a_head_of_the_log(database: Database) -> None:
    add(database, 9)
    with capture_logs() as said:
        seal_all(database)
    head = (said[-1]["sequence"], said[-1]["digest"])
    with database.transaction() as db:
        db.execute(delete(AuditEvent).where(AuditEvent.sequence > 6))
        digest = db.scalars(select(AuditEvent.digest).where(AuditEvent.sequence == 6)).one()
        db.execute(update(AuditHead).values(sequence=6, digest=digest))
    assert verify(database, KEY, now=NOW) == Whole(6, digest or "")
    assert verify(database, KEY, now=NOW, head=head) == Broken("head_missing", 9, None)
    add(database, 5)  # what is written later fills the numbers again
    seal_all(database)
    found = verify(database, KEY, now=NOW, head=head)
    assert isinstance(found, Broken) and (found.what, found.sequence) == ("head_missing", 9)


def test_a_row_that_was_slipped_in_is_named_after_an_hour(database: Database) -> None:
    add(database, 3)
    seal_all(database)
    add(database, 1)
    assert isinstance(verify(database, KEY, now=NOW + SEALED_WITHIN), Whole)
    assert verify(database, KEY, now=NOW + SEALED_WITHIN + 1) == Broken("unsealed", None, 4)


def test_a_row_with_a_number_that_nobody_gave_is_named(database: Database) -> None:
    add(database, 3)
    seal_all(database)
    add(database, 1)
    with database.transaction() as db:
        db.execute(update(AuditEvent).where(AuditEvent.sequence.is_(None)).values(sequence=17, digest="0" * 64))
    assert verify(database, KEY, now=NOW) == Broken("changed", 17, 4)


def test_two_workers_at_once_do_not_fork_the_chain(anywhere: Config) -> None:
    databases = [Database(anywhere), Database(anywhere)]
    add(databases[0], 3 * PARCEL)
    together = threading.Barrier(4)

    def work(database: Database) -> None:
        together.wait()
        for _ in range(4):
            seal(database, KEY)

    threads = [threading.Thread(target=work, args=(database,)) for database in databases for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = verify(databases[0], KEY, now=NOW)
    assert isinstance(whole, Whole) and whole.sequence == 3 * PARCEL
    with databases[0].reading() as db:
        numbers = list(db.scalars(select(AuditEvent.sequence).order_by(AuditEvent.sequence)))
    assert numbers == list(range(1, 3 * PARCEL + 1))
    for database in databases:
        database.close()


def test_a_worker_that_dies_in_the_middle_leaves_nothing_half_sealed(database: Database) -> None:
    add(database, 3)
    with pytest.raises(RuntimeError), database.transaction() as db:
        head = db.get_one(AuditHead, 1, with_for_update=True)
        head.sequence, head.digest = 1, "0" * 64
        db.execute(update(AuditEvent).where(AuditEvent.id == 1).values(sequence=1, digest="0" * 64))
        raise RuntimeError
    seal_all(database)
    assert isinstance(verify(database, KEY, now=NOW), Whole)
