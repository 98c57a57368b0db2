"""DS-01 for companies: the way to one of a thousand, and back, is the same work as to the only one. Nothing is timed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from idp.app import create_app
from idp.database import Database
from idp.parts import Parts
from tests.attacks.counted_work import counted
from tests.backends import running_postgres
from tests.company_walker import sign_in
from tests.fakes.company_idp import CompanyIdp
from tests.journey import Walker
from tests.many_companies import DOMAINS, add_companies
from tests.saml_parties import Customer, add_customer

COMPANIES = 1_000
COMPANY_TABLES = ("companies", "company_domains", "connections", "connection_certificates", "connection_keys")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def anywhere(request: pytest.FixtureRequest, parts: Parts) -> Iterator[Parts]:
    parts.attempts.close()  # its thread talks to Redis whenever it likes
    if request.param == "sqlite":
        yield parts
        return
    with running_postgres() as server:
        database = Database(parts.config.model_copy(update={"database_url": server.new_database()}))
        database.upgrade()
        yield dataclasses.replace(parts, database=database)
        database.close()


@contextmanager
def statements_of(parts: Parts) -> Iterator[list[tuple[str, Any]]]:
    """What a block asks of SQL, with its values."""
    seen: list[tuple[str, Any]] = []

    def note(_: object, __: object, statement: str, values: Any, *___: object) -> None:
        seen.append((statement, values))

    event.listen(parts.database._engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(parts.database._engine, "before_cursor_execute", note)


def plan_of(parts: Parts, statement: str, values: Any) -> str:
    """How the database does it; on PostgreSQL without reading whole tables wherever there is another way."""
    postgres = parts.database._engine.dialect.name == "postgresql"
    with parts.database._engine.connect() as db:
        if postgres:
            db.exec_driver_sql("SET enable_seqscan = off")  # a table of one page is read whole whatever indexes it has
        explained = db.exec_driver_sql(f"EXPLAIN {'' if postgres else 'QUERY PLAN '}{statement}", values).all()
        db.rollback()
    return "\n".join(str(row[-1]) for row in explained)


def test_ds_01_the_way_through_a_company_is_the_same_work_among_a_thousand(anywhere: Parts) -> None:
    acme = add_customer(
        anywhere.database, anywhere.connections, CompanyIdp(), now=anywhere.clock(), random=anywhere.random
    )
    app = create_app(anywhere)

    def come_in() -> None:
        walker = Walker(app, anywhere)
        assert "code" in walker.answer_of(sign_in(walker, acme))

    def work() -> tuple[list[tuple[str, Any]], int]:
        with statements_of(anywhere) as asked, counted(anywhere) as done:
            come_in()
        return [one for one in asked if not one[0].startswith(("BEGIN", "PRAGMA"))], done.trips

    come_in()  # what is done once: the account is made, the caches are filled
    alone, trips = work()
    add_companies(anywhere, acme, range(COMPANIES))
    among_many, trips_among_many = work()
    assert [statement for statement, _ in among_many] == [statement for statement, _ in alone]
    assert trips_among_many == trips
    assert len(alone) <= 30
    assert trips <= 20
    assert sum(any(f" {table}" in statement for table in COMPANY_TABLES) for statement, _ in alone) >= 5
    for statement, values in among_many:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            plan = plan_of(anywhere, statement, values)
            assert not re.search(r"^SCAN (?!CONSTANT)|Seq Scan", plan, re.M), (statement, plan)


def test_every_domain_of_every_company_leads_to_its_own(parts: Parts, acme: Customer) -> None:
    """Among a thousand companies, from the first to the last: by one look-up."""
    add_companies(parts, acme, range(COMPANIES))
    app = create_app(parts)
    for number in (0, 1, 499, COMPANIES - 1):
        for before in DOMAINS:
            walker = Walker(app, parts)
            page = walker.follow(walker.az(login_hint=f"alice@{before}c{number}.example"))
            assert f"https://idp.c{number}.example/sso?SAMLRequest=" in page.get_data(as_text=True)
