"""Ways to sign in, added, used and taken away in the same moment: four processes, on both pairs of stores.

LK-02: what a provider names leads to one account. Nobody stays signed in by a way that was taken away.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from html import unescape
from itertools import count
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session as Transaction

from idp.accounts.identity import Identity, read_address
from idp.accounts.lifecycle import create_account
from idp.accounts.linking import Known, find_linked
from idp.accounts.ways import LastWay, NoSuchLink, Unlinked, unlink, ways_in
from idp.config import Config
from idp.database import Database
from idp.models import Account, Link, OutboxMail
from tests import canaries
from tests.backends import running_postgres, running_redis, wait_until
from tests.party import Party, Reply, add_people, at_once, cookies_of, form_request, page_request
from tests.races.conftest import BACKENDS
from tests.running import Provider, running_provider
from tests.social_walker import SECRET, Sites, social_sites
from tests.visitor import Visitor, form_of

ROUNDS = 4
BROWSERS = 6
OWN = "https://login.example"
DOORS = ("alpha", "beta")
_number = count(1)

ENTRY = """\
providers:
  alpha:
    protocol: oauth2
    name: Alpha
    issuer: {address}
    authorization_endpoint: {address}/alpha/authorize
    token_endpoint: {address}/alpha/token
    userinfo_endpoint: {address}/alpha/me
    client_id: we-at-alpha
    client_secret: ${{ALPHA_SECRET}}
    subject: id
"""


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with social_sites() as running:
        yield running


@pytest.fixture(scope="module", params=BACKENDS)
def provider(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, made_once: Path, sites: Sites
) -> Iterator[Provider]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("ways")
        stores = {}
        if request.param == "servers":
            postgres = stack.enter_context(running_postgres())
            redis = stack.enter_context(running_redis(folder / "redis"))
            stores = {"IDP_DATABASE_URL": postgres.new_database(), **redis.environ}
        (folder / "providers.yaml").write_text(ENTRY.format(address=sites.address), encoding="utf-8")
        settings = {
            "IDP_WORKERS": "4",
            "IDP_PROVIDERS": str(folder / "providers.yaml"),
            "ALPHA_SECRET": SECRET,
        }
        yield stack.enter_context(
            running_provider(folder / "idp", stores=stores, settings=settings, keys=made_once / "keys")
        )


class Person:
    """An account with a password, and somebody at the provider."""

    def __init__(self, provider: Provider, party: Party, sites: Sites, name: str = "") -> None:
        self.provider, self.party = provider, party
        number = next(_number)
        self.email = f"racer{number}@example.org"
        self.code = canaries.register(name or f"code-of-a-racer-{number:04}", "a provider's code")
        sites.people.setdefault(self.code, {"id": self.code[-4:]})
        [self.account_id] = add_people(provider, self.email)

    def browser(self) -> Visitor:
        """A browser in which they are signed in by their password."""
        browser = Visitor(self.provider)
        browser.sign_in(self.party.url(), self.email)
        return browser

    def asks_to_link(self, browser: Visitor) -> bytes:
        """Press the button on My account; the request by which the provider's answer comes in."""
        _, hidden = form_of(browser.open("/me"), "/login/social/alpha/link")
        page = browser.open("/login/social/alpha/link", **hidden)
        found = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', page.text)
        assert found, page.text
        return self._back(browser, unescape(found[1]))

    def asks_to_enter(self, browser: Visitor) -> bytes:
        """From the product by the provider's logo; the request by which its answer comes in."""
        page = browser.open(self.party.url())
        handle = dict(parse_qsl(urlsplit(page.url).query))["p"]
        return self._back(browser, browser.open(f"/login/social/alpha?p={handle}").headers["Location"])

    def _back(self, browser: Visitor, asked: str) -> bytes:
        state = dict(parse_qsl(urlsplit(asked).query))["state"]
        canaries.register(state, "state")
        path = "/login/social/alpha/return?" + urlencode({"code": self.code, "state": state})
        return page_request(self.provider, path, **cookies_of(browser.http))

    def asks_to_remove(self, browser: Visitor) -> bytes:
        """Answer the question whether it is to be removed."""
        found = re.search(r"/me/links/remove\?link=\w+", browser.open("/me").text)
        assert found
        target, hidden = form_of(browser.open(found[0]), "/me/links/remove")
        origin = {"Origin": self.provider.issuer}
        return form_request(self.provider, target, hidden, **origin, **cookies_of(browser.http))


def counted(provider: Provider, person: Person) -> tuple[int, int]:
    """How many links an account has, and how many mails have announced one."""
    database = Database(provider.config)
    with database.reading() as db:
        links = db.scalar(select(func.count()).where(Link.account_id == person.account_id)) or 0
        mailed = select(func.count()).where(OutboxMail.recipient == person.email, OutboxMail.name == "linked")
        mails = db.scalar(mailed) or 0
    database.close()
    return links, mails


def sub_of(provider: Provider, person: Person) -> str:
    database = Database(provider.config)
    with database.reading() as db:
        sub = db.get_one(Account, person.account_id).sub
    database.close()
    return sub


def session_of(reply: Reply) -> dict[str, str]:
    """The cookie of the session that an answer has opened; empty: none."""
    found = re.search(r"\b([\w-]*_session)=([^;,]+)", reply.headers.get("set-cookie", ""))
    return {"Cookie": f"{found[1]}={found[2]}"} if found else {}


def lives(provider: Provider, cookie: dict[str, str]) -> bool:
    [page] = at_once(provider, [page_request(provider, "/me", **cookie)])
    return page.status == 200


def test_lk_02_one_identity_that_several_accounts_link_at_once_leads_to_one(
    provider: Provider, party: Party, sites: Sites
) -> None:
    assert len(provider.family().workers) == 4
    for number in range(ROUNDS):
        people = [Person(provider, party, sites, f"code-that-all-share-{number:04}") for _ in range(BROWSERS)]
        replies = at_once(provider, [person.asks_to_link(person.browser()) for person in people])
        answers = Counter((reply.status, reply.headers.get("location", "")) for reply in replies)
        assert answers == {(303, "/me?notice=linked"): 1, (403, ""): BROWSERS - 1}
        told = [reply.status == 303 for reply in replies]
        assert [counted(provider, person) for person in people] == [(int(one), int(one)) for one in told]


def test_one_identity_in_several_browsers_of_its_person_is_linked_once_and_announced_once(
    provider: Provider, party: Party, sites: Sites
) -> None:
    for _ in range(ROUNDS):
        person = Person(provider, party, sites)
        replies = at_once(provider, [person.asks_to_link(person.browser()) for _ in range(BROWSERS)])
        assert {(reply.status, reply.headers["location"]) for reply in replies} == {(303, "/me?notice=linked")}
        assert counted(provider, person) == (1, 1)


def test_nobody_stays_signed_in_by_a_way_that_is_taken_away_in_the_same_moment(
    provider: Provider, party: Party, sites: Sites
) -> None:
    for _ in range(ROUNDS):
        person = Person(provider, party, sites)
        mine = person.browser()
        sub = sub_of(provider, person)
        [linked] = at_once(provider, [person.asks_to_link(mine)])
        assert linked.headers["location"] == "/me?notice=linked"
        # Somebody who is in by the provider already, and several who are just coming.
        [before] = at_once(provider, [person.asks_to_enter(Visitor(provider))])
        assert lives(provider, session_of(before))
        coming = [person.asks_to_enter(Visitor(provider)) for _ in range(BROWSERS)]
        half = len(coming) // 2
        replies = at_once(provider, [*coming[:half], person.asks_to_remove(mine), *coming[half:]])
        removed = replies.pop(half)
        assert removed.headers["location"] == "/me?notice=unlinked"
        assert {reply.status for reply in replies} == {303}, [reply.text for reply in replies if reply.status != 303]
        assert counted(provider, person) == (0, 1)
        entered = [cookie for cookie in map(session_of, [before, *replies]) if cookie]
        assert entered and not any(lives(provider, cookie) for cookie in entered)
        # The account is whole: who came otherwise is still in, and the name that products know is the same.
        assert lives(provider, cookies_of(mine.http))
        assert sub_of(provider, person) == sub


# --- who waits for the account's row ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """On PostgreSQL, where one can see that somebody waits; on SQLite whoever writes waits before they have read anything."""
    with running_postgres() as postgres:
        data = tmp_path_factory.mktemp("waiting")
        database = Database(Config(issuer=OWN, data=data, database_url=postgres.new_database()))
        database.upgrade()
        yield database
        database.close()


T = TypeVar("T")


def while_one_is_removed(database: Database, then: Callable[[Transaction, str, str], T]) -> T:
    """Take one of two links away, Alpha's, and do ``then`` meanwhile, which has to wait for it. ``then`` is given the account
    and the name of the other link."""
    person = f"racer{next(_number)}@example.org"
    with database.transaction() as db:
        account = create_account(
            db, read_address(person), claims={}, verified=True, password_hash=None,
            actor="operator:test", now=0, random=secrets.token_bytes,
        )  # fmt: skip
        account_id = account.id
        for door in DOORS:
            db.add(
                Link(account_id=account_id, issuer=f"https://{door}.example", subject=person, door=door, created_at=0)
            )
    with database.reading() as db:
        names = {way.door: way.name for way in ways_in(db, account_id, DOORS)}

    def second() -> T:
        with database.transaction() as db:
            return then(db, account_id, names["beta"])

    def somebody_waits() -> bool:
        with database.reading() as db:
            return bool(db.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    with ThreadPoolExecutor(1) as others:
        with database.transaction() as db:
            assert unlink(db, account_id, names["alpha"], DOORS, now=0) == Unlinked("alpha")
            waiting = others.submit(second)
            wait_until(somebody_waits, "the second waits for the first")
        return waiting.result(60)


@pytest.mark.needs("postgresql")
def test_who_takes_the_other_way_away_meanwhile_is_told_that_it_is_the_last(database: Database) -> None:
    def remove(db: Transaction, account_id: str, beta: str) -> Unlinked | LastWay | NoSuchLink:
        return unlink(db, account_id, beta, DOORS, now=0)

    assert while_one_is_removed(database, remove) == LastWay()


@pytest.mark.needs("postgresql")
def test_who_comes_meanwhile_by_a_way_that_is_taken_away_finds_it_no_more(database: Database) -> None:
    def enter(db: Transaction, account_id: str, _: str) -> Known | None:
        # Read as the one who takes it away has not finished: it still stands there.
        subject = db.scalar(select(Link.subject).where(Link.account_id == account_id, Link.door == "alpha"))
        assert subject is not None
        who = Identity("alpha", "https://alpha.example", subject, None, False, None, (), 0)
        return find_linked(db, who, own_issuer=OWN)

    assert while_one_is_removed(database, enter) is None
