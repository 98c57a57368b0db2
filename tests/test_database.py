"""Promises of database.py, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, event, func, inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

import idp
from idp.config import Config, read_config
from idp.database import Database
from idp.errors import OperatorError, Unavailable
from idp.models import Account, Email, SearchTerm, Table
from tests.backends import RealPostgres, running_postgres

NEEDS_POSTGRES = pytest.mark.needs("postgresql")


def config_for(folder: Path, url: str = "") -> Config:
    return read_config({"IDP_ISSUER": "http://localhost:8000", "IDP_DATA": str(folder), "IDP_DATABASE_URL": url})


@pytest.fixture(scope="module")
def postgres() -> Iterator[RealPostgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=NEEDS_POSTGRES)])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    url = request.getfixturevalue("postgres").new_database() if request.param == "postgresql" else ""
    return config_for(tmp_path, url)


@pytest.fixture
def empty(config: Config) -> Iterator[Database]:
    with closing(Database(config)) as database:
        yield database


@pytest.fixture
def database(empty: Database) -> Database:
    empty.upgrade()
    empty.close()  # tests begin with connections that no migration has touched
    return empty


def account(number: int = 1) -> Account:
    return Account(id=f"{number:032x}", sub=f"sub-{number}", created_at=1, updated_at=1)


def count_accounts(database: Database) -> int:
    with database.reading() as db:
        return db.scalar(select(func.count()).select_from(Account)) or 0


def sql_is_down(use: Callable[[], object]) -> Unavailable:
    with pytest.raises(Unavailable) as refused:
        use()
    assert refused.value.reason == "sql_down"
    assert refused.value.status == 503
    return refused.value


# --- transactions ----------------------------------------------------------------------------------------------------


def test_a_transaction_is_kept_at_its_end(database: Database) -> None:
    with database.transaction() as db:
        db.add(account())
    assert count_accounts(database) == 1


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as db:
        db.add(account())
        db.flush()
        raise ZeroDivisionError
    assert count_accounts(database) == 0


def test_what_is_rehearsed_can_be_read_inside_and_leaves_nothing(database: Database) -> None:
    with database.rehearsing() as db:
        db.add(account())
        db.flush()
        assert db.scalar(select(func.count()).select_from(Account)) == 1
    assert count_accounts(database) == 0


def test_a_reading_transaction_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError), database.reading() as db:
        db.add(account())
        db.flush()
    with database.transaction() as db:  # the same connection may write again
        db.add(account())
    assert count_accounts(database) == 1


def test_readers_are_not_held_up_by_a_writer(database: Database) -> None:
    with database.transaction() as db:
        db.add(account())
        db.flush()
        assert count_accounts(database) == 0
    assert count_accounts(database) == 1


def test_what_is_read_in_a_transaction_is_still_true_when_it_writes(database: Database) -> None:
    """Eight threads take turns at read, add one, write: none fails, none is lost."""
    with database.transaction() as db:
        db.add(account())

    def add_one() -> None:
        for _ in range(10):
            with database.transaction() as db:
                row = db.scalars(select(Account).with_for_update()).one()
                row.updated_at += 1

    threads = [threading.Thread(target=add_one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as db:
        assert db.scalars(select(Account.updated_at)).one() == 81


def test_rows_that_refer_to_nothing_are_refused_and_a_persons_rows_go_with_the_person(database: Database) -> None:
    with pytest.raises(IntegrityError), database.transaction() as db:
        db.add(Email(account_id="nobody", address="a@example.org", canonical="a@example.org", domain="example.org"))
    with database.transaction() as db:
        db.add(account())
        db.flush()
        db.add(Email(account_id=account().id, address="a@example.org", canonical="a@example.org", domain="example.org"))
    with database.transaction() as db:
        db.execute(text("DELETE FROM accounts"))
    with database.reading() as db:
        assert db.scalars(select(Email)).all() == []


def test_an_error_never_quotes_what_was_to_be_written(database: Database) -> None:
    with pytest.raises(IntegrityError) as refused, database.transaction() as db:
        db.add_all(
            [
                account(),
                Email(
                    account_id="nobody", address="canary@example.org", canonical="x@example.org", domain="example.org"
                ),
            ]
        )
    assert "canary" not in str(refused.value)


def test_a_wrong_statement_is_our_mistake_and_no_outage(database: Database) -> None:
    with pytest.raises(DBAPIError), database.transaction() as db:
        db.execute(text("SELECT * FROM no_such_table"))


def test_a_fork_does_not_speak_through_its_parents_connections(database: Database) -> None:
    fork = multiprocessing.get_context("fork")
    start, answers = fork.Event(), fork.SimpleQueue()

    def write(number: int) -> None:
        start.wait()
        for turn in range(20):
            with database.transaction() as db:
                db.add(account(100 * number + turn))
        answers.put(count_accounts(database) >= 20)

    database.ping()  # a connection that the fork would inherit
    children = [fork.Process(target=write, args=(number,)) for number in range(1, 4)]
    for child in children:
        child.start()
    start.set()
    with database.transaction() as db:
        db.add(account())
    assert [answers.get() for _ in children] == [True, True, True]
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert count_accounts(database) == 61


def test_sqlite_is_set_so_that_an_answered_commit_survives_a_power_cut(tmp_path: Path) -> None:
    database = Database(config_for(tmp_path / "data"))
    database.upgrade()
    with database.transaction() as db:
        settings = {name: db.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")}
        assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
        for private in (tmp_path / "data", *(tmp_path / "data").iterdir()):
            assert private.stat().st_mode & 0o077 == 0
    database.close()


# --- a database that does not work -----------------------------------------------------------------------------------


def test_sqlite_with_another_writer_that_stays_is_unavailable(tmp_path: Path) -> None:
    with closing(Database(config_for(tmp_path))) as database:
        database.upgrade()
        with closing(sqlite3.connect(tmp_path / "idp.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            sql_is_down(lambda: _write(database))
            assert count_accounts(database) == 0  # who only reads is served
        _write(database)


def _write(database: Database) -> None:
    with database.transaction() as db:
        db.add(account())


@pytest.fixture
def postgres_of_my_own() -> Iterator[RealPostgres]:
    with running_postgres() as server:
        yield server


@NEEDS_POSTGRES
def test_a_killed_postgresql_is_unavailable_and_is_used_again_without_a_restart_of_ours(
    postgres_of_my_own: RealPostgres, tmp_path: Path
) -> None:
    with closing(Database(config_for(tmp_path, postgres_of_my_own.new_database()))) as database:
        database.upgrade()

        def killed_half_way() -> None:
            with database.transaction() as db:
                db.add(account())
                db.flush()
                postgres_of_my_own.kill()

        sql_is_down(killed_half_way)
        sql_is_down(database.ping)
        sql_is_down(lambda: count_accounts(database))
        postgres_of_my_own.start()
        assert count_accounts(database) == 0
        postgres_of_my_own.kill()
        postgres_of_my_own.start()  # while nobody asked: nobody pays with an error
        _write(database)


@NEEDS_POSTGRES
def test_a_connection_that_postgresql_ends_in_the_middle_is_unavailable(postgres: RealPostgres, tmp_path: Path) -> None:
    with closing(Database(config_for(tmp_path, postgres.new_database()))) as database:
        database.upgrade()

        def ended() -> None:
            with database.transaction() as db:
                db.add(account())
                db.flush()
                db.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

        sql_is_down(ended)
        _write(database)


def test_what_was_read_or_written_stays_readable_after_its_transaction(database: Database) -> None:
    with database.transaction() as db:
        db.add(written := account())
    with database.reading() as db:
        read = db.scalars(select(Account)).one()
    assert written.sub == read.sub == "sub-1"


@NEEDS_POSTGRES
def test_a_database_opens_while_postgresql_is_down(postgres_of_my_own: RealPostgres, tmp_path: Path) -> None:
    url = postgres_of_my_own.new_database()
    postgres_of_my_own.kill()
    with closing(Database(config_for(tmp_path, url))) as database:
        sql_is_down(database.ping)
        sql_is_down(database.is_current)
        postgres_of_my_own.start()
        database.ping()


@pytest.mark.parametrize(
    "url",
    [
        "canary",
        "mysql://idp:canary@host/idp",
        "postgresql://idp:canary@host/idp",
        "postgresql+psycopg://idp:canary@host:port/idp",
    ],
)
def test_a_database_that_we_do_not_know_is_told_at_the_start_without_the_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(OperatorError, match="IDP_DATABASE_URL") as refused:
        Database(config_for(tmp_path, url))
    assert "canary" not in str(refused.value)


# --- migrations ------------------------------------------------------------------------------------------------------


def test_the_migrations_make_exactly_the_tables_of_models(config: Config, database: Database) -> None:
    """If this fails, the text that it prints belongs into a new file in idp/migrations/versions/."""
    engine = create_engine(config.database_url or f"sqlite:///{config.data}/idp.sqlite")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "target_metadata": Table.metadata})
        missing = produce_migrations(context, Table.metadata).upgrade_ops
    engine.dispose()
    assert missing is not None
    assert missing.is_empty(), render_python_code(missing)


def test_an_empty_database_is_not_current_and_an_upgraded_one_is(empty: Database) -> None:
    assert empty.version() is None
    assert not empty.is_current()
    empty.upgrade()
    assert empty.is_current()
    empty.upgrade()
    assert empty.is_current()


def test_four_processes_that_upgrade_at_once_all_succeed(config: Config) -> None:
    fork = multiprocessing.get_context("fork")
    together = fork.Barrier(4)

    def upgrade() -> None:
        with closing(Database(config)) as database:
            together.wait()
            database.upgrade()
            assert database.is_current()

    processes = [fork.Process(target=upgrade) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


def test_an_upgrade_that_is_broken_off_leaves_nothing_and_can_be_repeated(empty: Database) -> None:
    class PowerCutError(Exception):
        pass

    def break_off(*arguments: object) -> None:
        if "outbox_mails" in str(arguments[2]):
            raise PowerCutError

    event.listen(empty._engine, "before_cursor_execute", break_off)
    with pytest.raises(PowerCutError):
        empty.upgrade()
    event.remove(empty._engine, "before_cursor_execute", break_off)
    assert inspect(empty._engine).get_table_names() == []
    empty.upgrade()
    assert empty.is_current()


def test_references_are_loose_during_an_upgrade_of_sqlite_only(tmp_path: Path) -> None:
    """There a changed table is a new table, and dropping the old one would delete what refers to it."""
    with closing(Database(config_for(tmp_path))) as database:
        seen = []
        event.listen(
            database._engine,
            "before_cursor_execute",
            lambda connection, *_: seen.append(_strict(connection.connection.driver_connection)),
        )
        database.upgrade()
        assert set(seen) == {0}
        with database.reading() as db:
            assert db.scalar(text("PRAGMA foreign_keys")) == 1


def _strict(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA foreign_keys").fetchone()[0])


def test_the_domains_of_addresses_that_were_there_before_are_filled_in(config: Config, empty: Database) -> None:
    engine = create_engine(config.database_url or f"sqlite:///{config.data}/idp.sqlite")
    with engine.begin() as connection:
        command.upgrade(_at(connection), "0001")
        connection.execute(text("INSERT INTO accounts VALUES ('a', 's', 'active', NULL, '{}', 1, 1)"))
        connection.execute(
            text(
                'INSERT INTO emails (account_id, address, canonical, "primary") '
                "VALUES ('a', 'A@Ex.org', 'a@ex.org', :yes)"
            ),
            {"yes": True},
        )
    engine.dispose()
    empty.upgrade()
    with empty.reading() as db:
        assert db.scalars(select(Email.domain)).all() == ["ex.org"]


def test_people_who_were_there_before_can_be_found(config: Config, empty: Database) -> None:
    engine = create_engine(config.database_url or f"sqlite:///{config.data}/idp.sqlite")
    with engine.begin() as connection:
        command.upgrade(_at(connection), "0005")
        for table, columns, values in (
            ("companies", "id, name, sso, jit, doors, contacts, updated_at", "'c', 'Acme', 'x', :no, '[]', '[]', 1"),
            ("accounts", "id, sub, state, profile, updated_at", """'a', 's', 'active', '{"name"\\: "Ann Roe"}', 1"""),
            ("members", "account_id, company_id, role, break_glass, prepared", "'a', 'c', 'member', :no, :no"),
        ):
            given = {"no": False} if ":no" in values else {}
            connection.execute(text(f"INSERT INTO {table} ({columns}, created_at) VALUES ({values}, 1)"), given)
        connection.execute(
            text(
                'INSERT INTO emails (account_id, address, canonical, domain, "primary") '
                "VALUES ('a', 'A@Ex.org', 'a@ex.org', 'ex.org', :yes)"
            ),
            {"yes": True},
        )
    engine.dispose()
    empty.upgrade()
    with empty.reading() as db:
        rows = db.execute(select(SearchTerm.company_id, SearchTerm.kind, SearchTerm.term).order_by(SearchTerm.term))
        assert [tuple(row) for row in rows] == [
            ("c", "address", "a@ex.org"),
            ("c", "name", "ann roe"),
            ("c", "domain", "ex.org a"),
            ("c", "name", "roe"),
        ]


def _at(connection: Connection) -> AlembicConfig:
    migrations = AlembicConfig()
    migrations.set_main_option("script_location", str(Path(idp.__file__).parent / "migrations"))
    migrations.attributes["connection"] = connection
    return migrations
