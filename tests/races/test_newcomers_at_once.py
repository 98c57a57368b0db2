"""One new address by two roads in the same moment, over HTTP: a sign-up link against an invitation that is accepted, and against
somebody who comes from a social provider and accepts the terms. Four processes, on both pairs of stores.

One account, whoever is faster; whoever is not reads a page that leads on. Who waits for whom is looked at on PostgreSQL.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session as Transaction

from idp.accounts.identity import Identity, read_address
from idp.accounts.invitations import Guest, invite
from idp.accounts.lifecycle import AddressTaken
from idp.accounts.linking import ProveFirst
from idp.accounts.mailed_links import SIGN_UP, make_link
from idp.accounts.signing_up import Chosen, make_account
from idp.config import Config
from idp.database import Database
from idp.login import pending as pendings
from idp.login.arrival import Newcomer, newcomer, write_newcomer
from idp.login.social_account import Accepted, Linking, settle
from idp.models import Account, AuditEvent, Email, Invitation, Link, Password
from idp.redis_store import connect
from tests.backends import running_postgres, running_redis
from tests.forgetful import NEW
from tests.guests import FIRST
from tests.party import Reply, at_once, cookies_of, form_request
from tests.races.conftest import BACKENDS
from tests.races.test_invitation_at_once import HOST, host_for, invited
from tests.races.test_reset_at_once import at_the_same_time
from tests.races.test_sign_up_at_once import link_for
from tests.running import Provider, running_provider
from tests.visitor import Visitor, form_of

ROUNDS = 6
BROWSERS = 3
TERMS = "2026-11"
_number = count(1)


@pytest.fixture(scope="module", params=BACKENDS)
def provider(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, made_once: Path
) -> Iterator[Provider]:
    """With terms, which whoever gets an account accepts."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("newcomers")
        stores = {}
        if request.param == "servers":
            postgres = stack.enter_context(running_postgres())
            redis = stack.enter_context(running_redis(folder / "redis"))
            stores = {"IDP_DATABASE_URL": postgres.new_database(), **redis.environ}
        settings = {
            "IDP_WORKERS": "4",
            "IDP_TERMS_URL": "https://example.org/terms",
            "IDP_PRIVACY_URL": "https://example.org/privacy",
            "IDP_TERMS_VERSION": TERMS,
        }
        yield stack.enter_context(
            running_provider(folder / "idp", stores=stores, settings=settings, keys=made_once / "keys")
        )


@pytest.fixture
def database(provider: Provider) -> Iterator[Database]:
    database = Database(provider.config)
    yield database
    database.close()


@dataclass(frozen=True)
class Form:
    """A filled-in form, and the browser that it is in."""

    browser: Visitor
    request: bytes


def form_in(browser: Visitor, provider: Provider, page: str, path: str, **fields: str) -> Form:
    target, hidden = form_of(browser.open(page), path)
    filled = hidden | fields | {"terms": "yes"}
    return Form(browser, form_request(provider, target, filled, **cookies_of(browser.http)))


def signs_up(provider: Provider, link: str) -> Form:
    return form_in(Visitor(provider), provider, link, "/verify", password=NEW, name="Nora")


def accepts(provider: Provider, link: str) -> Form:
    return form_in(Visitor(provider), provider, link, "/invite", password=FIRST)


def from_google(email: str, known_by: str = "provider") -> Newcomer:
    who = Identity("google", "https://google.example", email, email, True, "Nora", (), int(time.time()))
    return newcomer(who) if known_by == "provider" else Newcomer(who, email, "mail")


def comes(provider: Provider, who: Newcomer) -> Form:
    """Somebody whom a provider has just sent, on the page that asks whether they want an account."""
    browser = Visitor(provider)
    _, hidden = form_of(browser.open("/login"))
    [known_by] = [value for name, value in browser.http.cookies.items() if name.endswith("_browser")]
    with connect(provider.config) as store:
        pendings.find(store, hidden["p"], known_by, time.time(), newcomer=write_newcomer(who))
    return form_in(browser, provider, f"/login/welcome?p={hidden['p']}", "/login/welcome")


@dataclass(frozen=True)
class Made:
    """What became of an address. ``by``: password, google, or invitation."""

    accounts: int
    by: set[str]
    terms: str | None


def made(database: Database, email: str) -> Made:
    with database.reading() as db:
        accounts = list(db.scalars(select(Account).join(Email).where(Email.canonical == email)))
        ids = [account.id for account in accounts]
        events = select(func.count()).where(AuditEvent.event == "person.created", AuditEvent.account_id.in_(ids))
        assert db.scalar(events) == len(accounts)
        # No half of the other road is left anywhere.
        assert db.scalar(select(func.count()).select_from(Link).where(Link.subject == email)) == db.scalar(
            select(func.count()).select_from(Link).where(Link.account_id.in_(ids))
        )
        tables = {"password": Password, "google": Link, "invitation": Invitation}
        by = {name for name, table in tables.items() if db.scalar(select(table).where(table.account_id.in_(ids)))}
        return Made(len(accounts), by, accounts[0].terms_version if accounts else None)


def is_over(reply: Reply, way_on: str) -> bool:
    """Whether an answer is the page for links that count no more, with a way on."""
    return reply.status == 400 and 'id="error-page"' in reply.text and way_on in reply.text


def test_em_04_a_link_and_an_invitation_that_is_accepted_at_once_are_one_account(
    provider: Provider, database: Database
) -> None:
    """The address was nobody's when the link was asked for and its page opened; then they are invited. The account is the one that
    waits, and it is taken once."""
    host = host_for(provider)
    for number in range(ROUNDS // 2):
        email = f"both{number}@example.org"
        signing_up = [signs_up(provider, link_for(provider, database, email)) for _ in range(BROWSERS)]
        _, link = invited(database, email, host)
        accepting = [accepts(provider, link) for _ in range(BROWSERS)]
        mixed = [form for pair in zip(signing_up, accepting, strict=True) for form in pair]
        replies = at_once(provider, [form.request for form in mixed])
        # Whoever finds too many at their hashing is told to come back.
        assert {reply.status for reply in replies} <= {303, 400, 503}, [reply.status for reply in replies]
        assert all(is_over(reply, 'id="sign-up-again"') for reply in replies[::2] if reply.status != 503)
        assert [reply.status for reply in replies[1::2]].count(303) == 1
        assert all(is_over(reply, 'id="way-on"') for reply in replies[1::2] if reply.status == 400)
        assert made(database, email) == Made(1, {"password", "invitation"}, TERMS)


@pytest.mark.parametrize("known_by", ["provider", "mail"])
def test_em_04_a_link_and_a_social_newcomer_at_once_are_one_account(
    provider: Provider, database: Database, known_by: str
) -> None:
    """A password must be hashed first, which takes its time: the newcomer waits for a moment, ever nearer to the one in which both are
    equally fast."""
    wait, step, won = 0.0, 0.2, Counter[str]()
    while len(won) < 2 or won.total() < ROUNDS:
        assert won.total() < 3 * ROUNDS, won
        email = f"{known_by}{won.total()}@example.org"
        signing_up = [signs_up(provider, link_for(provider, database, email)) for _ in range(BROWSERS)]
        coming = [comes(provider, from_google(email, known_by)) for _ in range(BROWSERS)]
        by_google: list[Reply] = []

        def come(coming: list[Form] = coming, told: list[Reply] = by_google, wait: float = wait) -> None:
            time.sleep(wait)
            told.extend(at_once(provider, [form.request for form in coming]))

        by_link = at_once(provider, [form.request for form in signing_up], then=come)
        # Whoever finds too many at their hashing is told to come back.
        assert {reply.status for reply in by_link} <= {303, 400, 503}, [reply.status for reply in by_link]
        assert all(is_over(reply, 'id="sign-up-again"') for reply in by_link if reply.status == 400)
        assert {reply.status for reply in by_google} == {303}, [reply.text for reply in by_google]
        outcome = made(database, email)
        assert outcome in (Made(1, {"password"}, TERMS), Made(1, {"google"}, TERMS))
        [winner] = outcome.by
        assert [reply.status for reply in by_link].count(303) == (winner == "password")
        if winner == "password":  # it is theirs perhaps, but nobody is linked unasked
            for form, reply in zip(coming, by_google, strict=True):
                assert 'id="link-page"' in form.browser.open(reply.headers["location"]).text
        won[winner] += 1
        step = step / 2 if won["password"] else step * 2
        wait = max(0.0, wait - step if winner == "password" else wait + step)


# --- who waits for the address -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """On PostgreSQL; on SQLite whoever writes waits before they have read anything."""
    with running_postgres() as postgres:
        data = tmp_path_factory.mktemp("waiting")
        database = Database(Config(issuer="https://login.example", data=data, database_url=postgres.new_database()))
        database.upgrade()
        yield database
        database.close()


@pytest.fixture
def email() -> str:
    """Nobody's yet."""
    return f"waits{next(_number)}@example.org"


def secret_for(database: Database, email: str) -> str:
    """Of a link in a mail to somebody who wants an account."""
    facts = {"address": email, "receipt": "", "p": ""}
    with database.transaction() as db:
        return make_link(
            db,
            purpose=SIGN_UP,
            account_id=None,
            facts=facts,
            lifetime=60,
            now=time.time(),
            random=secrets.token_bytes,
        )


def by_link(db: Transaction, secret: str) -> str:
    try:
        account = make_account(db, secret, Chosen("hash", "", TERMS), now=time.time(), random=secrets.token_bytes)
    except AddressTaken:
        return "taken"
    return "made" if account is not None else "over"


def by_google(db: Transaction, email: str) -> str:
    linking = Linking("Google", "en", HOST.sealer, time.time(), secrets.token_bytes)
    try:
        outcome = settle(
            db, from_google(email), None, Accepted(TERMS), own_issuer="https://login.example", linking=linking
        )
    except AddressTaken:
        return "taken"
    return type(outcome).__name__


@pytest.mark.needs("postgresql")
def test_a_link_waits_for_a_newcomer_and_makes_nothing(waiting: Database, email: str) -> None:
    secret = secret_for(waiting, email)
    second = at_the_same_time(waiting, lambda db: by_google(db, email), lambda db: by_link(db, secret))
    assert second == "taken"
    assert made(waiting, email) == Made(1, {"google"}, TERMS)


@pytest.mark.needs("postgresql")
def test_a_newcomer_waits_for_a_link_and_must_prove_the_account_then(waiting: Database, email: str) -> None:
    secret = secret_for(waiting, email)
    second = at_the_same_time(waiting, lambda db: by_link(db, secret), lambda db: by_google(db, email))
    assert second == "taken"
    assert made(waiting, email) == Made(1, {"password"}, TERMS)
    with waiting.transaction() as db:  # as whoever was slower tries once more
        assert by_google(db, email) == ProveFirst.__name__


@pytest.mark.needs("postgresql")
def test_a_link_waits_for_who_invites_and_makes_nothing(waiting: Database, email: str) -> None:
    secret = secret_for(waiting, email)
    second = at_the_same_time(
        waiting, lambda db: invite(db, Guest(read_address(email), {}), HOST), lambda db: by_link(db, secret)
    )
    assert second == "taken"
    assert made(waiting, email) == Made(1, {"invitation"}, None)
