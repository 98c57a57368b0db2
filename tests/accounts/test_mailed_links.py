"""Links in mails: one person, one purpose, once."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from idp import cookies
from idp.accounts.identity import read_address
from idp.accounts.lifecycle import create_account
from idp.accounts.mailed_links import (
    RECOVERY,
    RESET,
    end_links,
    find_link,
    find_newest_link,
    make_link,
    take_link,
)
from idp.config import Config
from idp.database import Database
from idp.models import MailedLink
from tests import canaries
from tests.backends import RealPostgres, running_postgres

NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def postgres() -> Iterator[RealPostgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = request.getfixturevalue("postgres").new_database() if request.param == "postgresql" else ""
    database = Database(Config(issuer="https://login.example", data=tmp_path, database_url=url))
    database.upgrade()
    yield database
    canaries.show_database(database)
    database.close()


@pytest.fixture
def carol(database: Database) -> str:
    with database.transaction() as db:
        return create_account(
            db,
            read_address("carol@example.org"),
            claims={},
            verified=True,
            password_hash=None,
            actor="operator:test",
            now=NOW,
            random=canaries.random,
        ).id


def make(database: Database, account_id: str, purpose: str = "not_me") -> str:
    with database.transaction() as db:
        return make_link(
            db,
            purpose=purpose,
            account_id=account_id,
            facts={"agent": "Firefox · Linux"},
            lifetime=1800,
            now=NOW,
            random=canaries.random,
        )


def take(database: Database, secret: str, purpose: str = "not_me", now: float = NOW) -> str | None:
    with database.transaction() as db:
        link = take_link(db, secret, purpose, now)
        return link.account_id if link else None


def test_a_link_leads_to_its_person_once(database: Database, carol: str) -> None:
    secret = make(database, carol)
    assert take(database, secret) == carol
    assert take(database, secret) is None


def test_rc_08_looking_at_a_link_does_not_use_it_up(database: Database, carol: str) -> None:
    secret = make(database, carol)
    for _ in range(5):
        with database.reading() as db:
            link = find_link(db, secret, "not_me", NOW)
            assert link is not None
            assert link.facts == {"agent": "Firefox · Linux"}
    assert take(database, secret) == carol
    with database.reading() as db:
        assert find_link(db, secret, "not_me", NOW) is None


def test_rc_02_of_twenty_at_once_one_gets_the_link(database: Database, carol: str) -> None:
    secret = make(database, carol)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: take(database, secret), range(20)))
    assert sorted(answers, key=str) == [None] * 0 + sorted([carol] + [None] * 19, key=str)


def test_rc_02_a_link_ends_when_its_time_is_over(database: Database, carol: str) -> None:
    secret = make(database, carol)
    assert take(database, secret, now=NOW + 1800) is None
    assert take(database, secret, now=NOW + 1799) == carol


def test_rc_03_a_link_works_for_its_own_purpose_and_person_only(database: Database, carol: str) -> None:
    secret = make(database, carol)
    assert take(database, secret, purpose="reset") is None
    for other in ("", "%", secret[:-1], secret + "A", secret.swapcase(), "A" * 43, "' OR ''='"):
        assert take(database, other) is None
    assert take(database, secret) == carol


def test_rc_09_a_secret_has_256_bits_and_sql_holds_only_its_hash(database: Database, carol: str) -> None:
    secrets = {make(database, carol) for _ in range(50)}
    assert len(secrets) == 50
    assert all(
        cookies.may_be(cookies.MAILED_LINK, secret) and len(base64.urlsafe_b64decode(secret + "=")) == 32
        for secret in secrets
    )
    with database.reading() as db:
        dump = str(db.execute(select(MailedLink.__table__)).all())
    assert not any(secret in dump for secret in secrets)


def test_rc_02_only_the_newest_link_of_a_person_for_a_purpose_is_found(database: Database, carol: str) -> None:
    older, other = make(database, carol, RESET), make(database, carol)
    newest = make(database, carol, RESET)
    with database.reading() as db:
        found = [find_newest_link(db, secret, RESET, NOW) for secret in (older, newest)]
        assert [link is not None for link in found] == [False, True]
        assert find_newest_link(db, other, "not_me", NOW) is not None
    assert take(database, newest, RESET) == carol
    with database.reading() as db:
        assert find_newest_link(db, older, RESET, NOW) is None  # nor when the newest is used


def test_links_that_would_open_an_account_end_and_others_stay(database: Database, carol: str) -> None:
    ending = [(make(database, carol, purpose), purpose) for purpose in (RESET, RECOVERY)]
    staying = make(database, carol)
    with database.transaction() as db:
        end_links(db, carol, NOW)
    assert [take(database, secret, purpose) for secret, purpose in ending] == [None, None]
    assert take(database, staying) == carol
