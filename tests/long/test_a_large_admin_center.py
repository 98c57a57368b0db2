"""Growth: the pages of the admin center are the same work among a million people, ten thousand companies and ten million attempts as
among a thousandth of them. ``make test-long``. Nothing is timed: what the times are says docs/speed.md, which are printed here.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, text

from idp.app import create_app
from idp.companies import create_company
from idp.config import Config
from idp.database import Database
from idp.models import Attempt, Table
from idp.parts import Parts
from tests.administrator import ORIGIN, REGISTRATION, Administrator, add_person, admin_center
from tests.backends import running_postgres
from tests.fakes.company_idp import CompanyIdp
from tests.many_people import PARCEL, TABLES, add_many_people
from tests.people_ways import LISTS, plan_of
from tests.registrations import CLIENTS
from tests.saml_parties import Customer, add_customer

FEW, MANY = 1_000, 1_000_000  # people; ten attempts and one event of the audit for each, one company for each hundred
WHOLE = re.compile(rf"(?:\bSCAN|Seq Scan on) (?:{'|'.join(TABLES | {'companies', 'company_terms'})})\b(?! USING)")


@pytest.fixture
def config(config: Config) -> Config:
    assert config.clients is not None
    config.clients.write_text(CLIENTS + REGISTRATION, encoding="utf-8")
    return config.model_copy(update={"admin_center": ORIGIN})


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def large(request: pytest.FixtureRequest, parts: Parts) -> Iterator[Parts]:
    parts.attempts.close()  # its thread writes whenever it likes
    if request.param == "sqlite":
        yield parts
        with parts.database.transaction() as db:  # no need to look for canaries in a million people
            db.execute(text("PRAGMA defer_foreign_keys=ON"))
            for table in TABLES:
                db.execute(text(f"DELETE FROM {table}"))
        return
    with running_postgres() as server:
        database = Database(parts.config.model_copy(update={"database_url": server.new_database()}))
        database.upgrade()
        yield dataclasses.replace(parts, database=database)
        database.close()


class Pages:
    """The pages of a company with very many people, and those of support and operators; each is asked for anew."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.acme: Customer = add_customer(
            parts.database, parts.connections, CompanyIdp(), now=parts.clock(), random=parts.random
        )
        provider, center = create_app(parts), admin_center(parts)
        people = (("ada@example.org", self.acme.company_id, ""), ("olga@example.org", None, "operator"))
        self.browsers = {}
        for email, company, staff in (*people, ("sue@example.org", None, "support")):
            add_person(parts, email, company=company, role="administrator", staff=staff)
            self.browsers[staff or "administrator"] = _signed_in(provider, center, parts, email)
        self.receipt, now = "K7QX-2M4P", int(parts.clock())
        with parts.database.transaction() as db:
            db.add(Attempt(code=self.receipt, started_at=now, last_at=now, outcome="failed", reason="link_over"))
        self.statements: list[tuple[str, Any]] = []
        event.listen(parts.database._engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Any, _cursor: Any, statement: str, values: Any, *_more: Any) -> None:
        self.statements.append((statement, values))

    def all(self) -> dict[str, Callable[[], object]]:
        company = f"/companies/{self.acme.company_id}"
        ada, olga, sue = (self.browsers[who] for who in ("administrator", "operator", "support"))
        return {
            "a company at a glance": lambda: ada.get(company),
            "its people": lambda: ada.get(f"{company}/people"),
            "its people, searched by name": lambda: self._post(ada, f"{company}/people", q="person 77"),
            "its people, searched by address": lambda: self._post(ada, f"{company}/people", q="p777@d7.example"),
            "its people, suspended ones": lambda: self._post(ada, f"{company}/people", state="suspended"),
            "its people, invited ones": lambda: self._post(ada, f"{company}/people", state="invited"),
            "its sign-in": lambda: ada.get(f"{company}/sign-in"),
            "its identity provider": lambda: ada.get(f"{company}/sign-in/{self.acme.connection.id}"),
            "its policies": lambda: ada.get(f"{company}/policies"),
            "a look at a policy": lambda: self._post(ada, f"{company}/policies", second_factor_from="2026-12-24"),
            "its audit": lambda: ada.get(f"{company}/audit"),
            "its audit of one kind": lambda: self._post(ada, f"{company}/audit", event="person.signed_in"),
            "its audit of one person": lambda: self._post(ada, f"{company}/audit", person="p777@d7.example"),
            "its settings": lambda: ada.get(f"{company}/settings"),
            "the provider at a glance": lambda: olga.get("/operator"),
            "all companies": lambda: olga.get("/operator/companies"),
            "companies, searched": lambda: self._post(olga, "/operator/companies", q="firm 77"),
            "reasons over time": lambda: olga.get("/operator/reasons"),
            "mail": lambda: olga.get("/operator/mail"),
            "all of the audit": lambda: olga.get("/operator/audit"),
            "all of the audit, one person": lambda: self._post(olga, "/operator/audit", person="p777@d7.example"),
            "staff": lambda: olga.get("/operator/staff"),
            "a case by its receipt": lambda: self._post(sue, "/support", receipt=self.receipt),
        }

    def _post(self, browser: Administrator, path: str, **fields: str) -> object:
        data = {"csrf": self._csrf[browser.email], **fields}
        answer = browser.follow(browser.open("POST", path, data=data))
        assert answer.status_code == 200, (path, answer.status_code)
        return answer

    def measure(self) -> dict[str, tuple[list[str], float]]:
        """Of each page the statements, without how long the lists of values are, and the seconds."""
        self._csrf = {one.email: one.token(one.get("/")) for one in self.browsers.values()}
        found = {}
        for name, page in self.all().items():
            self.statements.clear()
            begun = time.perf_counter()
            page()
            found[name] = ([LISTS.sub("(…)", one) for one, _ in self.statements], time.perf_counter() - begun)
        return found

    def read_whole(self) -> list[tuple[str, str, str]]:
        """The statements that would read a whole table that grows."""
        found = []
        for name, page in self.all().items():
            self.statements.clear()
            page()
            for statement, values in list(self.statements):
                if statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
                    plan = plan_of(self.parts, statement, values)
                    if WHOLE.search(plan):
                        found.append((name, statement, plan))
        return found


def _signed_in(provider: Flask, center: Flask, parts: Parts, email: str) -> Administrator:
    browser = Administrator(provider, center, parts, email)
    browser.sign_in()
    return browser


def add_more(pages: Pages, first: int, end: int) -> None:
    """People with everything that they have; of the attempts ten for each, of which the latest failed at Acme's identity provider."""
    parts = pages.parts
    add_many_people(parts, first, end)
    postgres, now = parts.database.kind == "postgresql", int(parts.clock())
    with parts.database.transaction() as db:
        # A tenth of them works at Acme.
        for table in ("members", "search_terms"):
            db.execute(
                text(
                    f"UPDATE {table} SET company_id = :acme WHERE account_id IN (SELECT id FROM accounts WHERE sub LIKE 'sub-%5')"
                ),
                {"acme": pages.acme.company_id},
            )
        for number in range(first // 100, end // 100):
            create_company(db, f"Firm {number}", actor="operator:test", now=now, random=parts.random)
    numbers = (
        "SELECT generate_series(CAST(:first AS integer), CAST(:last AS integer))"
        if postgres
        else "SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last"
    )
    filled = f"WITH RECURSIVE numbers (n) AS ({numbers})"
    empty = "CAST('{}' AS JSON)" if postgres else "'{}'"
    rows = (
        (
            "INSERT INTO attempts (code, started_at, last_at, client_id, door, connection_id, outcome, reason)"
            f" {filled} SELECT 'B' || n, :now - n % 1000000, :now, 'C1', 'company', :connection,"
            " CASE WHEN n % 10 = 0 THEN 'failed' ELSE 'done' END, CASE WHEN n % 10 = 0 THEN 'saml_expired' END FROM numbers"
        ),
        (
            "INSERT INTO attempt_steps (entry, code, at, name, connection_id, facts)"
            f" {filled} SELECT 'f' || n, 'B' || n, (:now - n % 1000000) * 1000, 'response_refused', :connection, {empty}"
            " FROM numbers WHERE n % 10 = 0"
        ),
        (
            "INSERT INTO audit_events (at, event, actor, account_id, company_id, facts)"
            f" {filled} SELECT :now - n % 1000000, 'person.signed_in', 'system', NULL, :acme, {empty} FROM numbers WHERE n % 10 = 0"
        ),
    )
    values = {"now": now, "connection": pages.acme.connection.id, "acme": pages.acme.company_id}
    for start in range(10 * first, 10 * end, PARCEL):
        for row in rows:
            with parts.database.transaction() as db:
                bound = {name: value for name, value in values.items() if f":{name}" in row}
                db.execute(text(row), bound | {"first": start, "last": min(start + PARCEL, 10 * end) - 1})
    if postgres:
        with parts.database.transaction() as db:
            db.execute(text("ANALYZE"))


@pytest.mark.long
def test_every_page_is_the_same_work_among_very_many(large: Parts) -> None:
    assert Table.metadata.tables.keys() >= TABLES
    pages = Pages(large)
    add_more(pages, 0, FEW)
    for _ in range(3):  # the first fill the caches
        few = pages.measure()
    add_more(pages, FEW, MANY)
    for _ in range(3):
        many = pages.measure()
    for name, (_, seconds) in many.items():
        print(f"{name:34} {few[name][1] * 1000:7.1f} ms {seconds * 1000:7.1f} ms  × {seconds / few[name][1]:.1f}")
    assert pages.read_whole() == []
