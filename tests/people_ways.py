"""What people do, each with somebody new, and what of it the provider does: which statements it sends, and how long it takes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from idp.accounts import lifecycle
from idp.accounts.people_search import Wanted, search_people
from idp.app import create_app
from idp.models import OutboxMail
from idp.parts import Parts
from tests import forgetful, guests, passkey_walker
from tests.company_walker import sign_in
from tests.fakes.authenticator import Authenticator
from tests.fakes.company_idp import CompanyIdp
from tests.journey import Walker, add_carol
from tests.saml_parties import Customer, add_customer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LISTS = re.compile(r"\((?:(?:\?|%\(\w+\)s(?:::\w+)?)(?:, )?)+\)")  # of values: as many as there are


@dataclass
class Ways:
    """The ways at one provider. ``seconds`` and ``statements``: of what was done since ``begin``."""

    parts: Parts
    acme: Customer
    seconds: float = 0.0
    statements: list[tuple[str, Any]] = field(default_factory=list)
    _watching: bool = False
    _turn: int = 0

    def __post_init__(self) -> None:
        self._app = create_app(self.parts)
        self._device = Authenticator()
        event.listen(self.parts.database._engine, "before_cursor_execute", self._note)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self.watching():
            return list(self._app(environ, start_response))

    @contextmanager
    def watching(self) -> Iterator[None]:
        begun, self._watching = time.perf_counter(), True
        try:
            yield
        finally:
            self.seconds, self._watching = self.seconds + time.perf_counter() - begun, False

    def begin(self) -> None:
        lifecycle.apply_revocations(self.parts.database, self.parts.store, self.parts.clients, self.parts.clock())
        self.seconds, self.statements = 0.0, []

    @property
    def asked(self) -> list[str]:
        """The statements, without how long the lists of values are."""
        return [LISTS.sub("(…)", statement) for statement, _ in self.statements]

    def all(self) -> Mapping[str, Callable[[], object]]:
        """Each does its own preparations unwatched, begins, and is watched from there."""
        return {
            "sign-in": self.sign_in,
            "sign-up": self.sign_up,
            "forgotten password": self.forgotten,
            "invitation": self.invitation,
            "/me and /me/activity": self.own_pages,
            "company sign-in": self.by_company,
            "passkey": self.by_passkey,
            "search for a name": lambda: self.search("person 77"),
            "search for an address": lambda: self.search("p777@d7.example"),
            "search in a domain": lambda: self.search("@d7.example"),
            "everybody": lambda: self.search(""),
        }

    def sign_in(self) -> None:
        email = self._somebody()
        add_carol(self.parts, email)
        walker = self._walker()
        self.begin()
        assert "code" in walker.answer_of(walker.sign_in(walker.az(), email))

    def sign_up(self) -> None:
        email, walker = self._somebody(), self._walker()
        walker.get("/login")
        self.begin()
        walker.submit(walker.follow(walker.get("/sign-up")), "/sign-up", username=email)
        page = walker.follow(walker.get(self._link("verify_address")))
        done = walker.follow(walker.submit(page, "/verify", password=forgetful.NEW, name="Nora", terms="yes"))
        assert done.request.path == "/me", done.request.path

    def forgotten(self) -> None:
        email, walker = self._somebody(), self._walker()
        add_carol(self.parts, email)
        walker.get("/login")
        self.begin()
        forgetful.ask(walker, email)
        forgetful.set_new(walker, self._link("reset_password"))

    def invitation(self) -> None:
        email, walker = self._somebody(), self._walker()
        self.begin()
        with self.watching():
            guests.invited(self.parts, email)
        guests.take(walker, self._link("invitation"))

    def own_pages(self) -> None:
        email, walker = self._somebody(), self._walker()
        add_carol(self.parts, email)
        walker.sign_in(walker.get("/me"), email)
        self.begin()
        assert [walker.get(path).status_code for path in ("/me", "/me/activity")] == [200, 200]

    def by_company(self) -> None:
        walker = self._walker()
        self.begin()
        assert "code" in walker.answer_of(sign_in(walker, self.acme))

    def by_passkey(self) -> None:
        email, walker = self._somebody(), self._walker()
        add_carol(self.parts, email)
        walker.sign_in(walker.get("/me"), email)
        passkey_walker.add(walker, self._device)
        another, self._device.keys = self._walker(), self._device.keys[-1:]
        self.begin()
        assert another.follow(passkey_walker.sign_in(another, self._device)).request.path == "/me"

    def search(self, wanted: str) -> None:
        self.begin()
        with self.watching(), self.parts.database.reading() as db:
            assert search_people(db, Wanted(wanted), limit=10, now=self.parts.clock()).people

    def plan_of(self, statement: str, values: Any) -> str:
        return plan_of(self.parts, statement, values)

    def _walker(self) -> Walker:
        self._turn += 1
        return Walker(self, self.parts, address=f"2001:db8:{self._turn:x}::1")  # type: ignore[arg-type]  # any WSGI will do

    def _somebody(self) -> str:
        return f"somebody{self._turn}@example.org"

    def _link(self, name: str) -> str:
        """The path in the newest mail with this name."""
        with self.parts.database.reading() as db:
            mail = db.query(OutboxMail).filter_by(name=name).order_by(OutboxMail.id.desc()).limit(1).one()
            return str(self.parts.sealer.open(mail.values["sealed"], f"{name} {mail.recipient}")["link"])

    def _note(self, _: object, __: object, statement: str, values: Any, *___: object) -> None:
        if self._watching and not statement.startswith(("BEGIN", "PRAGMA")):
            self.statements.append((statement, values))


def plan_of(parts: Parts, statement: str, values: Any) -> str:
    """How the database does it."""
    how = "EXPLAIN" if parts.database.kind == "postgresql" else "EXPLAIN QUERY PLAN"
    with parts.database._engine.connect() as db:
        explained = db.exec_driver_sql(f"{how} {statement}", values).all()
        db.rollback()
    return "\n".join(str(row[-1]) for row in explained)


def ways_at(parts: Parts) -> Ways:
    """The ways at a provider with a company that signs its people in. The receipts must be closed."""
    company = add_customer(parts.database, parts.connections, CompanyIdp(), now=parts.clock(), random=parts.random)
    return Ways(parts, company)
