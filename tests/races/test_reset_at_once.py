"""Forgotten passwords in the same moment: one link in many browsers, many requests, an old password that is just being tried.

Four processes, on both pairs of stores; who waits for whom is looked at on PostgreSQL, where it can be seen.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TypeVar

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session as Transaction

from idp.accounts.forgotten import Asked, Means, answer_forgotten, find_reset, reset_password
from idp.accounts.identity import read_address
from idp.accounts.lifecycle import change_claims, create_account, set_password, suspend
from idp.accounts.passwords import PasswordHasher, find_credentials
from idp.config import Config
from idp.database import Database
from idp.key_ring import KeyRing
from idp.models import Account, MailedLink, OutboxMail
from idp.sealing import Sealer
from tests import canaries
from tests.backends import running_postgres, wait_until
from tests.forgetful import NEW
from tests.journey import PASSWORD
from tests.party import Party, Reply, at_once, cookies_of, form_request, page_request
from tests.races.conftest import BACKENDS
from tests.running import Provider
from tests.visitor import Visitor, form_of

BROWSERS = 20
_number = count(1)


def link_in_mail(provider: Provider, email: str, number: int = -1) -> str:
    """The path in a mail to somebody, the newest unless said otherwise; no mail leaves, because there is no mail server."""
    config = provider.config
    database = Database(config)
    with database.reading() as db:
        mails = select(OutboxMail).where(OutboxMail.recipient == email, OutboxMail.name == "reset_password")
        mail = db.scalars(mails.order_by(OutboxMail.id)).all()[number]
        sealer = Sealer(KeyRing(config.keys, config.jwks_max_age).derive("mail"), secrets.token_bytes)
        link = sealer.open(mail.values["sealed"], f"reset_password {email}")["link"]
    database.close()
    canaries.register(link.partition("=")[2], "link in a mail")
    return link


def asks(provider: Provider, browser: Visitor, email: str) -> bytes:
    """Press the button on the page for forgotten passwords."""
    target, hidden = form_of(browser.open("/forgot"), "/forgot")
    number = next(_number)
    headers = {"X-Forwarded-For": f"198.51.{number // 250}.{number % 250}", **cookies_of(browser.http)}
    return form_request(provider, target, hidden | {"username": email}, **headers)


def chooses(provider: Provider, browser: Visitor, link: str, password: str) -> bytes:
    """Send the form to which a link has led."""
    target, hidden = form_of(browser.open(link), "/reset")
    return form_request(provider, target, hidden | {"password": password}, **cookies_of(browser.http))


def stored_hash(provider: Provider, email: str) -> str:
    database = Database(provider.config)
    with database.reading() as db:
        stored = find_credentials(db, email).hash
    database.close()
    assert stored is not None
    return stored


def lives(provider: Provider, reply: Reply) -> bool:
    """Whether the session that an answer has opened, if any, is still there."""
    found = [part for part in reply.headers.get("set-cookie", "").split(", ") if "_session=" in part]
    if not found:
        return False
    cookie = {"Cookie": found[0].partition(";")[0]}
    [page] = at_once(provider, [page_request(provider, "/me", **cookie)])
    return page.status == 200


def test_rc_02_one_link_in_twenty_browsers_at_once_sets_one_password(
    provider: Provider, party: Party, email: str
) -> None:
    [asked] = at_once(provider, [asks(provider, Visitor(provider), email)])
    assert asked.status == 200
    link = link_in_mail(provider, email)
    wanted = [canaries.register(f"{NEW} of browser {number:02}", "password") for number in range(BROWSERS)]
    replies = at_once(provider, [chooses(provider, Visitor(provider), link, one) for one in wanted])
    answers = Counter(reply.status for reply in replies)
    # Whoever finds too many at their hashing is told to come back, which is no success.
    assert answers[303] == 1 and answers[303] + answers[400] + answers[503] == BROWSERS, answers
    [won] = [number for number, reply in enumerate(replies) if reply.status == 303]
    hasher, stored = PasswordHasher(1, 1), stored_hash(provider, email)
    assert [number for number, one in enumerate(wanted) if hasher.verify(stored, one).ok] == [won]
    database = Database(provider.config)
    with database.reading() as db:
        told = select(func.count()).where(OutboxMail.recipient == email, OutboxMail.name == "password_changed")
        assert db.scalar(told) == 1
    database.close()


def test_rc_02_of_many_mails_that_are_asked_for_at_once_one_link_counts(
    provider: Provider, party: Party, email: str
) -> None:
    replies = at_once(provider, [asks(provider, Visitor(provider), email) for _ in range(BROWSERS)])
    assert Counter(reply.status for reply in replies) == {200: 3, 429: BROWSERS - 3}  # throttle.RESET_MAILS_TO
    links = [link_in_mail(provider, email, number) for number in range(3)]
    assert sorted(Visitor(provider).open(link).status_code for link in links) == [200, 400, 400]


def test_nobody_stays_signed_in_by_an_old_password_that_is_tried_in_the_moment_of_the_reset(
    provider: Provider, party: Party, email: str
) -> None:
    at_once(provider, [asks(provider, Visitor(provider), email)])
    link = link_in_mail(provider, email)
    entering = []
    for number in range(6):
        browser = Visitor(provider)
        page = browser.submit(browser.open(party.url()), username=email)
        target, hidden = form_of(page, "/login/password")
        headers = {"X-Forwarded-For": f"203.0.113.{number + 1}", **cookies_of(browser.http)}
        entering.append(form_request(provider, target, hidden | {"username": email, "password": PASSWORD}, **headers))
    setting = chooses(provider, Visitor(provider), link, NEW)
    replies = at_once(provider, [*entering[:3], setting, *entering[3:]])
    assert replies.pop(3).status == 303
    assert not any(lives(provider, reply) for reply in replies)


# --- who waits for the account's row ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """On PostgreSQL; on SQLite whoever writes waits before they have read anything."""
    with running_postgres() as postgres:
        data = tmp_path_factory.mktemp("waiting")
        database = Database(Config(issuer="https://login.example", data=data, database_url=postgres.new_database()))
        database.upgrade()
        yield database
        database.close()


T = TypeVar("T")


def at_the_same_time(database: Database, first: Callable[[Transaction], None], second: Callable[[Transaction], T]) -> T:
    """Do ``second`` while ``first`` is done but not committed, for which it has to wait."""

    def waiting() -> T:
        with database.transaction() as db:
            return second(db)

    def somebody_waits() -> bool:
        with database.reading() as db:
            return bool(db.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    with ThreadPoolExecutor(1) as others:
        with database.transaction() as db:
            first(db)
            db.flush()
            answer = others.submit(waiting)
            wait_until(somebody_waits, "the second waits for the first")
        return answer.result(60)


def forgetful(database: Database) -> tuple[str, str]:
    """An account, and the secret of a link that would set its password."""
    email = f"waiting{next(_number)}@example.org"
    sealer = Sealer(secrets.token_bytes(32), secrets.token_bytes)
    with database.transaction() as db:
        account = create_account(
            db, read_address(email), claims={}, verified=True, password_hash="the old one",
            actor="operator:test", now=0, random=secrets.token_bytes,
        )  # fmt: skip
        asked = Asked(email, lambda _: "en", {"receipt": "", "p": ""})
        answer_forgotten(db, asked, Means({}, sealer, time.time(), secrets.token_bytes))
        mail = db.scalars(select(OutboxMail).where(OutboxMail.recipient == email)).one()
        link = sealer.open(mail.values["sealed"], f"reset_password {email}")["link"]
        return account.id, link.partition("=")[2]


def _suspend(db: Transaction, account: Account) -> None:
    suspend(db, account, actor="operator:test", now=time.time())


def _set_other(db: Transaction, account: Account) -> None:
    set_password(db, account, "one that she has chosen herself", actor="operator:test", now=time.time())


def _move(db: Transaction, account: Account) -> None:
    changes = {"email": f"elsewhere{next(_number)}@example.org", "email_verified": True}
    change_claims(db, account, changes, actor="operator:test", now=time.time())


@pytest.mark.needs("postgresql")
@pytest.mark.parametrize("change", [_suspend, _set_other, _move])
def test_rc_02_whoever_waits_for_a_change_of_the_account_finds_the_link_over(
    database: Database, change: Callable[[Transaction, Account], None]
) -> None:
    account_id, secret = forgetful(database)

    def first(db: Transaction) -> None:
        change(db, db.get_one(Account, account_id, with_for_update=True))

    def second(db: Transaction) -> object:
        # Read as the other has not finished: the link still stands there.
        assert find_reset(db, secret, time.time()) is not None
        return reset_password(db, secret, "set by the link", now=time.time())

    assert at_the_same_time(database, first, second) is None


@pytest.mark.needs("postgresql")
def test_rc_02_of_two_that_use_a_link_the_second_waits_and_finds_it_over(database: Database) -> None:
    account_id, secret = forgetful(database)

    def first(db: Transaction) -> None:
        assert reset_password(db, secret, "set first", now=time.time()) is not None

    def second(db: Transaction) -> object:
        return reset_password(db, secret, "set second", now=time.time())

    assert at_the_same_time(database, first, second) is None
    with database.reading() as db:
        assert (
            db.scalar(select(func.count()).where(MailedLink.account_id == account_id, MailedLink.used_at.is_(None)))
            == 0
        )


@pytest.mark.parametrize("provider", BACKENDS[1:], indirect=True)  # where one can see that somebody waits
def test_an_old_password_that_was_right_a_moment_ago_opens_nothing_after_the_reset(
    provider: Provider, party: Party, email: str
) -> None:
    """It is looked at before the reset is committed, and comes to the account's row after it."""
    browser = Visitor(provider)
    page = browser.submit(browser.open(party.url()), username=email)
    target, hidden = form_of(page, "/login/password")
    entering = form_request(
        provider, target, hidden | {"username": email, "password": PASSWORD}, **cookies_of(browser.http)
    )
    database = Database(provider.config)

    def somebody_waits() -> bool:
        with database.reading() as db:
            return bool(db.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    with ThreadPoolExecutor(1) as others:
        with database.transaction() as db:
            account_id = find_credentials(db, email).account_id
            account = db.get_one(Account, account_id, with_for_update=True)
            set_password(db, account, PasswordHasher(1, 1).hash(NEW), actor="operator:test", now=time.time())
            db.flush()
            answer = others.submit(at_once, provider, [entering])
            wait_until(somebody_waits, "the sign-in waits for the reset")
        [reply] = answer.result(60)
    database.close()
    assert reply.status == 403
    assert "_session=" not in reply.headers.get("set-cookie", "")


def test_the_new_password_is_the_one_that_opens(provider: Provider, party: Party, email: str) -> None:
    at_once(provider, [asks(provider, Visitor(provider), email)])
    [done] = at_once(provider, [chooses(provider, Visitor(provider), link_in_mail(provider, email), NEW)])
    assert done.status == 303
    assert Visitor(provider).sign_in(party.url(), email, NEW)
