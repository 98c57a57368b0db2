"""The pages of the admin center, each asked for by somebody who is signed in to it, and very much for them to show."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask
from sqlalchemy import event, text

from idp.app import create_app
from idp.companies import create_company
from idp.models import Attempt
from idp.parts import Parts
from tests.administrator import Administrator, add_person, admin_center
from tests.fakes.company_idp import CompanyIdp
from tests.many_people import PARCEL, add_many_people
from tests.saml_parties import Customer, add_customer


class AdminWays:
    """The pages of a company with very many people, and those of support and operators, at one provider. ``seconds`` and ``statements``: of the
    page that was asked for last."""

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
        self.seconds = 0.0
        self.statements: list[tuple[str, Any]] = []
        self._csrf = {one.email: one.token(one.get("/")) for one in self.browsers.values()}
        event.listen(parts.database._engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Any, _cursor: Any, statement: str, values: Any, *_more: Any) -> None:
        self.statements.append((statement, values))

    def all(self) -> dict[str, Callable[[], None]]:
        """Each asks for a page anew, and is watched."""
        return {name: partial(self._watched, page) for name, page in self._pages().items()}

    def _pages(self) -> dict[str, Callable[[], object]]:
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

    def _watched(self, page: Callable[[], object]) -> None:
        self.statements.clear()
        begun = time.perf_counter()
        page()
        self.seconds = time.perf_counter() - begun

    def _post(self, browser: Administrator, path: str, **fields: str) -> object:
        answer = browser.follow(browser.open("POST", path, data={"csrf": self._csrf[browser.email], **fields}))
        assert answer.status_code == 200, (path, answer.status_code)
        return answer


def _signed_in(provider: Flask, center: Flask, parts: Parts, email: str) -> Administrator:
    browser = Administrator(provider, center, parts, email)
    browser.sign_in()
    return browser


def add_much(ways: AdminWays, first: int, end: int) -> None:
    """People with everything that they have, a tenth of them at Acme; for each ten attempts at Acme's identity provider, of which one has
    failed, and one event of Acme's audit; for each hundred a company."""
    parts = ways.parts
    add_many_people(parts, first, end)
    postgres, now = parts.database.kind == "postgresql", int(parts.clock())
    with parts.database.transaction() as db:
        for table in ("members", "search_terms"):
            db.execute(
                text(
                    f"UPDATE {table} SET company_id = :acme WHERE account_id IN (SELECT id FROM accounts WHERE sub LIKE 'sub-%5')"
                ),
                {"acme": ways.acme.company_id},
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
            f" {filled} SELECT 'B' || n, CAST(:now AS bigint) - n % 1000000, :now, 'C1', 'company', :connection,"
            " CASE WHEN n % 10 = 0 THEN 'failed' ELSE 'done' END, CASE WHEN n % 10 = 0 THEN 'saml_expired' END FROM numbers"
        ),
        (
            "INSERT INTO attempt_steps (entry, code, at, name, connection_id, facts)"
            f" {filled} SELECT 'f' || n, 'B' || n, (CAST(:now AS bigint) - n % 1000000) * 1000, 'response_refused', :connection, {empty}"
            " FROM numbers WHERE n % 10 = 0"
        ),
        (
            "INSERT INTO audit_events (at, event, actor, account_id, company_id, facts)"
            f" {filled} SELECT CAST(:now AS bigint) - n % 1000000, 'person.signed_in', 'system', NULL, :acme, {empty} FROM numbers WHERE n % 10 = 0"
        ),
    )
    values = {"now": now, "connection": ways.acme.connection.id, "acme": ways.acme.company_id}
    for start in range(10 * first, 10 * end, PARCEL):
        for row in rows:
            with parts.database.transaction() as db:
                bound = {name: value for name, value in values.items() if f":{name}" in row}
                db.execute(text(row), bound | {"first": start, "last": min(start + PARCEL, 10 * end) - 1})
    if postgres:
        with parts.database.transaction() as db:
            db.execute(text("ANALYZE"))
