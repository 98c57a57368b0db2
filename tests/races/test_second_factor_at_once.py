"""PW-12 at once: a code counts once, however many bring it in the same moment, in four processes, on both pairs of stores."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pyotp
import pytest
from sqlalchemy import select

from idp.accounts.recovery_codes import RecoveryCodes
from idp.accounts.totp import NewTotp, Totps
from idp.database import Database
from idp.key_ring import KeyRing
from idp.models import Email, RecoveryCode
from idp.redis_store import RedisStore
from idp.sealing import Sealer
from tests import canaries
from tests.journey import PASSWORD
from tests.party import Party, at_once, cookies_of, form_request
from tests.running import Provider
from tests.visitor import Visitor, form_of


class NoStore(RedisStore):
    """Nothing is offered here, so nothing is kept."""

    def __init__(self) -> None:
        pass


@contextmanager
def own(provider: Provider, email: str) -> Iterator[tuple[Database, KeyRing, str]]:
    """The provider's database and keys, and whose account an address is."""
    database = Database(provider.config)
    with database.reading() as db:
        account_id = db.scalars(select(Email.account_id).where(Email.canonical == email)).one()
    yield database, KeyRing(provider.config.keys, provider.config.jwks_max_age), account_id
    database.close()


@pytest.fixture
def secret(provider: Provider, email: str) -> str:
    """What the authenticator app of this test's person knows."""
    secret = canaries.register(pyotp.random_base32(), "totp secret")
    with own(provider, email) as (database, keys, account_id):
        sealer = Sealer(keys.derive("totp"), secrets.token_bytes)
        totps = Totps(provider.config.host, NoStore(), sealer, secrets.token_bytes)
        with database.transaction() as db:
            totps.add(db, account_id, NewTotp(secret, 0), time.time())
    return secret


@pytest.fixture
def codes(provider: Provider, email: str) -> tuple[str, ...]:
    """Their recovery codes."""
    with own(provider, email) as (database, keys, account_id):
        recovery = RecoveryCodes(keys.derive("recovery codes"), secrets.token_bytes)
        drawn = recovery.draw()
        with database.transaction() as db:
            recovery.keep(db, account_id, drawn, time.time())
    return drawn


def before_the_second(provider: Provider, party: Party, email: str, code: str) -> bytes:
    """Another browser that has given the password: its request with ``code``."""
    browser = Visitor(provider)
    page = browser.submit(browser.open(party.url()), username=email)
    page = browser.submit(page, username=email, password=PASSWORD)
    assert 'id="second-page"' in page.text, page.text
    return form_request(
        provider, "/login/second", form_of(page, "/login/second")[1] | {"code": code}, **cookies_of(browser.http)
    )


def test_pw_12_of_eight_sign_ins_with_one_code_one_comes_in(
    provider: Provider, party: Party, email: str, secret: str
) -> None:
    assert len(provider.family().workers) == 4
    code = pyotp.TOTP(secret).at(int(time.time()) + 30)  # counts for a minute at least
    replies = at_once(provider, [before_the_second(provider, party, email, code) for _ in range(8)])
    assert Counter(reply.status for reply in replies) == {303: 1, 400: 7}
    [won] = [reply for reply in replies if reply.status == 303]
    assert urlsplit(won.headers["location"]).path == "/authorize/resume"


def test_pw_12_of_eight_sign_ins_with_one_recovery_code_one_comes_in(
    provider: Provider, party: Party, email: str, secret: str, codes: tuple[str, ...]
) -> None:
    replies = at_once(provider, [before_the_second(provider, party, email, codes[5]) for _ in range(8)])
    assert Counter(reply.status for reply in replies) == {303: 1, 400: 7}
    with own(provider, email) as (database, _, account_id), database.reading() as db:
        used = select(RecoveryCode).where(RecoveryCode.account_id == account_id, RecoveryCode.used_at.is_not(None))
        assert len(db.scalars(used).all()) == 1


def test_pw_12_parallel_guesses_in_one_sign_in_are_five(
    provider: Provider, party: Party, email: str, secret: str
) -> None:
    wrong = "000000" if pyotp.TOTP(secret).now() != "000000" else "000001"
    request = before_the_second(provider, party, email, wrong)
    replies = at_once(provider, [request] * 10)
    # The sixth is told that it is over; whoever comes after it has nothing to go on with.
    told = Counter(reply.status for reply in replies)
    assert told[400] <= 5
    assert told[403] >= 1
    assert all(not reply.headers.get("location", "").startswith("/authorize") for reply in replies)
