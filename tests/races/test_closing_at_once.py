"""An account is closed in the moment in which it is closed once more, signed in to, changed, or opened again: four processes, on both
pairs of stores. Nobody stays signed in, it is closed once, and a company keeps an administrator."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest
from sqlalchemy import func, select

from idp.companies import create_company
from idp.database import Database
from idp.key_ring import KeyRing
from idp.members import add_member, administrators
from idp.models import Account, AuditEvent, Email, OutboxMail
from idp.sealing import Sealer
from tests.backends import wait_until
from tests.journey import PASSWORD
from tests.party import Party, add_people, at_once, cookies_of, form_request
from tests.running import Provider
from tests.visitor import Visitor, form_of

_number = count(1)


@pytest.fixture
def database(provider: Provider) -> Iterator[Database]:
    """The provider's own, from beside it."""
    database = Database(provider.config)
    yield database
    database.close()


class Person:
    """An account with a password, and the browsers of its owner."""

    def __init__(self, provider: Provider, party: Party, database: Database) -> None:
        self.provider, self.party, self.database = provider, party, database
        self.email = f"leaver{next(_number)}@example.org"
        [self.account_id] = add_people(provider, self.email)

    def browser(self) -> Visitor:
        """One in which they are signed in."""
        browser = Visitor(self.provider)
        browser.sign_in(self.party.url(), self.email)
        return browser

    def closing(self, browser: Visitor) -> bytes:
        """The request that closes the account."""
        return self._form(browser, "/me/close", username=self.email)

    def signing_in(self) -> tuple[Visitor, bytes]:
        """Another browser in which the password is typed, and the request that brings it."""
        browser = Visitor(self.provider)
        page = browser.submit(browser.open(self.party.url()), username=self.email)
        target, hidden = form_of(page, "/login/password")
        form = hidden | {"username": self.email, "password": PASSWORD}
        return browser, form_request(self.provider, target, form, **cookies_of(browser.http))

    def changing(self, browser: Visitor) -> bytes:
        """The request that gives them another name."""
        return self._form(browser, "/me/profile", name="Carol Somebody", locale="en", zoneinfo="")

    def _form(self, browser: Visitor, path: str, **fields: str) -> bytes:
        _, hidden = form_of(browser.open(path), path)
        return form_request(self.provider, path, hidden | fields, **cookies_of(browser.http))

    @property
    def state(self) -> str:
        with self.database.reading() as db:
            return db.get_one(Account, self.account_id).state

    def closings(self) -> tuple[int, int]:
        """How often it is written that the account was closed, and how many mails say so."""
        with self.database.reading() as db:
            events = select(func.count()).where(
                AuditEvent.account_id == self.account_id, AuditEvent.event == "person.closed"
            )
            mails = select(func.count()).where(OutboxMail.recipient == self.email, OutboxMail.name == "account_closed")
            return db.scalar(events) or 0, db.scalar(mails) or 0


def is_signed_in(browser: Visitor) -> bool:
    return 'id="sign-out-everywhere"' in browser.open("/me").text


@pytest.fixture
def person(provider: Provider, party: Party, database: Database) -> Person:
    return Person(provider, party, database)


def test_of_eight_that_close_it_one_does(provider: Provider, person: Person) -> None:
    browsers = [person.browser() for _ in range(4)]
    replies = at_once(provider, [person.closing(browser) for browser in browsers] * 2)
    assert Counter(reply.status for reply in replies) == {200: 1, 303: 7}
    [won] = [reply for reply in replies if reply.status == 200]
    assert 'id="closed-page"' in won.text
    assert person.state == "closed"
    assert person.closings() == (1, 1)
    assert not any(is_signed_in(browser) for browser in browsers)


def test_whoever_signs_in_meanwhile_is_signed_out_or_never_in(provider: Provider, person: Person) -> None:
    leaving = person.browser()
    comers = [person.signing_in() for _ in range(5)]
    closing = person.closing(leaving)
    replies = at_once(provider, [*(request for _, request in comers[:3]), closing, *(one for _, one in comers[3:])])
    assert person.state == "closed"
    for (browser, _), reply in zip(comers, [*replies[:3], *replies[4:]], strict=True):
        for cookie in reply.headers.get("Set-Cookie", "").split(", "):
            name, _, rest = cookie.partition("=")
            if name.endswith("_session"):
                browser.http.cookies.set(name, rest.partition(";")[0])
        wait_until(lambda browser=browser: not is_signed_in(browser), "nobody is signed in")  # type: ignore[misc] # a default is bound at once
    assert not is_signed_in(leaving)


def test_what_is_changed_meanwhile_opens_nothing(provider: Provider, person: Person) -> None:
    leaving, other = person.browser(), person.browser()
    replies = at_once(provider, [person.changing(other), person.closing(leaving), person.changing(other)])
    assert all(reply.status in (200, 303) for reply in replies)
    assert person.state == "closed"
    wait_until(lambda: not is_signed_in(other), "nobody is signed in")
    # What was changed last is brought to the sessions too: that must not fail for an account that is closed.
    again = Person(provider, person.party, person.database)
    assert is_signed_in(again.browser())


def test_of_the_last_two_administrators_one_stays(
    provider: Provider, party: Party, person: Person, database: Database
) -> None:
    other, now = Person(provider, party, database), time.time()
    with database.transaction() as db:
        company = create_company(db, f"Acme {other.account_id[:6]}", actor="test", now=now, random=secrets.token_bytes)
        company_id = company.id
        for one in (person, other):
            add_member(db, company_id, one.account_id, "administrator", actor="test", now=now, vouched=True)
    requests = [one.closing(one.browser()) for one in (person, other)]
    replies = at_once(provider, requests * 2)
    assert [reply.status for reply in replies].count(200) == 1
    assert sorted((person.state, other.state)) == ["active", "closed"]
    with database.reading() as db:
        assert len(administrators(db, company_id)) == 1


def test_of_eight_that_open_it_again_one_does(provider: Provider, person: Person, database: Database) -> None:
    [closed] = at_once(provider, [person.closing(person.browser())])
    assert closed.status == 200
    keys = KeyRing(provider.config.keys, provider.config.jwks_max_age)
    with database.reading() as db:
        mail = db.scalars(select(OutboxMail).where(OutboxMail.name == "account_closed").order_by(OutboxMail.id)).all()[
            -1
        ]
        assert mail.recipient == person.email
    sealer = Sealer(keys.derive("mail"), secrets.token_bytes)
    link = sealer.open(mail.values["sealed"], f"account_closed {person.email}")["link"]
    readers = []
    for _ in range(4):
        browser = Visitor(provider)
        _, hidden = form_of(browser.open(link), "/me/reopen")
        readers.append(form_request(provider, "/me/reopen", hidden, **cookies_of(browser.http)))
    replies = at_once(provider, readers * 2)
    assert Counter(reply.status for reply in replies) == {200: 1, 400: 7}
    assert person.state == "active"
    with database.reading() as db:
        assert db.scalar(select(Email.account_id).where(Email.canonical == person.email)) == person.account_id
    assert is_signed_in(person.browser())
