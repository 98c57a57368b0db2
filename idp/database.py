"""The only home of the SQL engine: transactions on SQLite (embedded) or PostgreSQL, and the migrations that make the tables.

A page opens the transaction, a working receives the session and never commits. A database that does not answer is
``Unavailable``; the next transaction tries anew, so nothing here needs a restart.
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from idp.config import Config
from idp.errors import Unavailable
from idp.files import usable

if TYPE_CHECKING:
    import psycopg
    from alembic.config import Config as Migrations
    from psycopg.abc import RV, PQGen

CONNECT = 3  # seconds to reach the server
BUSY = 5  # seconds to wait for a connection of ours, and for another writer
STATEMENT = 8  # seconds after which PostgreSQL gives up a statement
ANSWER = 10  # seconds after which we give up PostgreSQL: it hangs, or the machine below it
MIGRATION_LOCK = 0x69647031  # the number of our advisory lock: only one process migrates


class Database:
    """The SQL database of this process, safe for threads and forks."""

    def __init__(self, config: Config) -> None:
        """Connects when first used, so that a provider starts while SQL is down.

        :raises OperatorError: when the data folder cannot be used.
        """
        self._engine = _postgresql(config.database_url) if config.database_url else _sqlite(config.data)
        self._writers = self._engine.execution_options(purpose="write")
        self._readers = self._engine.execution_options(purpose="read", postgresql_readonly=True)
        os.register_at_fork(after_in_child=partial(_forget_connections, weakref.ref(self._engine)))

    @property
    def kind(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A transaction that writes: committed at the end of the block, rolled back by an exception.

        :raises Unavailable: ``sql_down``, when the database does not answer or too many write at once.
        """
        with _as_unavailable(), Session(self._writers, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def rehearsing(self) -> Iterator[Session]:
        """A transaction in which everything can be written and nothing stays: it is always rolled back.

        :raises Unavailable: like ``transaction``.
        """
        with _as_unavailable(), Session(self._writers) as session:
            session.begin()
            try:
                yield session
            finally:
                session.rollback()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that only reads: it waits for no writer, and a write in it fails.

        :raises Unavailable: ``sql_down``, when the database does not answer.
        """
        with _as_unavailable(), Session(self._readers) as session:
            yield session

    def ping(self) -> None:
        """Return if the database answers and a writer is let in: with SQLite, one that holds it keeps all others out.

        :raises Unavailable: if it does not.
        """
        with self.transaction() as session:
            session.execute(text("SELECT 1"))

    def upgrade(self) -> None:
        """Bring the tables up to date: all of it or nothing, and only one process at a time.

        :raises Unavailable: when the database does not answer.
        """
        from alembic import command

        with (
            _as_unavailable(),
            self._writers.connect() as connection,
            _loose_references(connection),
            connection.begin(),
        ):
            if self.kind == "postgresql":
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SET LOCAL lock_timeout = 0"))
                driver: Any = connection.connection.driver_connection
                driver.patience = None
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": MIGRATION_LOCK})
            self._migrations.attributes["connection"] = connection
            command.upgrade(self._migrations, "head")

    def version(self) -> str | None:
        """The migration at which the database stands; None when it has no tables yet.

        :raises Unavailable: when the database does not answer.
        """
        from alembic.migration import MigrationContext

        with _as_unavailable(), self._readers.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    @cached_property
    def newest_version(self) -> str | None:
        """The migration that this program needs."""
        from alembic.script import ScriptDirectory

        return ScriptDirectory.from_config(self._migrations).get_current_head()

    def is_current(self) -> bool:
        """Whether the tables are those that this program needs.

        :raises Unavailable: when the database does not answer.
        """
        return self.version() == self.newest_version

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @cached_property
    def _migrations(self) -> Migrations:
        from alembic.config import Config as Migrations

        migrations = Migrations()
        migrations.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        return migrations


def hold(session: Session, number: int) -> None:
    """Wait until no other transaction holds ``number``, and hold it until this one ends. SQLite lets only one write anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


def _sqlite(data: Path) -> Engine:
    file = data / "idp.sqlite"
    with usable(data, "IDP_DATA"):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
    engine = create_engine(
        f"sqlite+pysqlite:///{file}",
        hide_parameters=True,
        pool_timeout=BUSY,
        # isolation_level None: the driver starts no transactions of its own, see _begin.
        connect_args={"timeout": BUSY, "isolation_level": None},
    )

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _: object) -> None:
        # FULL: a commit that was answered survives a power cut, which NORMAL does not promise in WAL mode.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("purpose") == "read"
        connection.exec_driver_sql(f"PRAGMA query_only={'ON' if reads else 'OFF'}")
        # A writer takes its place at once: one that reads first and writes later can fail when another wrote between.
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _postgresql(url: str) -> Engine:
    settings: dict[str, Any] = {
        "connect_timeout": CONNECT,
        "tcp_user_timeout": 1000 * BUSY,
        "keepalives_idle": 30,
        "options": f"-c statement_timeout={STATEMENT}s -c lock_timeout={BUSY}s -c idle_in_transaction_session_timeout=60s",
    }
    engine = create_engine(url, hide_parameters=True, pool_timeout=BUSY, pool_pre_ping=True, connect_args=settings)

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: object, _record: object, given: list[Any], named: dict[str, Any]) -> Any:
        return _impatient().connect(*given, **named)

    return engine


@cache
def _impatient() -> type[psycopg.Connection[Any]]:
    """Connections that give up a server which hangs. None of its own limits works then, and neither does the network's."""
    import psycopg  # not needed with SQLite

    class Impatient(psycopg.Connection[Any]):
        patience: float | None = ANSWER

        def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
            try:
                return super().wait(gen, interval, self.patience if timeout is None else timeout)
            except psycopg.errors._WaitTimeout:  # an OperationalError
                self.close()  # the answer may still come: it must reach nobody
                raise

    return Impatient


def _forget_connections(engine: weakref.ref[Engine]) -> None:
    """In a fork: the connections are the parent's, neither to speak through nor to close."""
    known = engine()
    if known is not None:
        known.dispose(close=False)


@contextmanager
def _loose_references(connection: Connection) -> Iterator[None]:
    """For SQLite, where changing a table means making a new one: dropping the old one would delete what refers to it."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        yield
        return
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


@contextmanager
def _as_unavailable() -> Iterator[None]:
    """What means that the database cannot work now becomes Unavailable; our own mistakes stay what they are."""
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable("sql_down", detail="no free connection") from error
    except (OperationalError, InterfaceError) as error:
        if _is_our_mistake(error):
            raise
        raise Unavailable("sql_down", detail=f"{type(error.orig).__name__}: {error.orig}") from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise Unavailable("sql_down", detail=type(error.orig).__name__) from error


def _is_our_mistake(error: DBAPIError) -> bool:
    """SQLite reports a wrong statement, and a write in a reading transaction, like a broken disk."""
    number = getattr(error.orig, "sqlite_errorcode", None)
    return number is not None and number & 0xFF in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY)
