"""The life of an account, and how what happens to it reaches Redis."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import func, select, update

from idp import audit
from idp.accounts.consents import remember_consent
from idp.accounts.identity import Identity, read_address
from idp.accounts.lifecycle import (
    AddressTaken,
    apply_revocations,
    change_claims,
    create_account,
    end_everything,
    find_account,
    reactivate,
    snapshot,
    suspend,
    withdraw_consent,
)
from idp.accounts.linking import Known, find_linked
from idp.accounts.sessions import find_session, set_consent
from idp.accounts.standard_claims import RESERVED, WrongClaim
from idp.config import Config
from idp.database import Database
from idp.errors import Unavailable
from idp.models import Account, AuditEvent, Email, LogoutNotice, Revocation
from idp.parts import Parts
from idp.redis_store import RedisStore
from tests import canaries
from tests.backends import RealPostgres, running_postgres
from tests.conftest import Clock
from tests.journey import add_carol
from tests.people import access_is_alive, give, open_for, refresh_is_alive


@pytest.fixture
def carol(parts: Parts) -> str:
    return add_carol(parts)


def change(parts: Parts, account_id: str, **changes: object) -> None:
    with parts.database.transaction() as db:
        change_claims(db, db.get_one(Account, account_id), changes, actor=f"person:{account_id}", now=parts.clock())


def claims(parts: Parts, account_id: str) -> dict[str, object]:
    with parts.database.reading() as db:
        return snapshot(db.get_one(Account, account_id))


def do_suspend(parts: Parts, account_id: str) -> None:
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, account_id), actor="operator:test", now=parts.clock())


def apply(parts: Parts) -> int:
    return apply_revocations(parts.database, parts.store, parts.clients, parts.clock())


def open_revocations(parts: Parts) -> int:
    with parts.database.reading() as db:
        waiting = select(func.count()).select_from(Revocation).where(Revocation.done_at.is_(None))
        return db.scalar(waiting) or 0


def events(parts: Parts) -> list[tuple[str, str]]:
    with parts.database.reading() as db:
        rows = db.execute(select(AuditEvent.event, AuditEvent.actor).order_by(AuditEvent.id))
        return [(event, actor) for event, actor in rows]


# --- accounts --------------------------------------------------------------------------------------------------------


def test_identifiers_are_random_and_say_nothing_of_the_person(parts: Parts, carol: str) -> None:
    bob = add_carol(parts, "bob@example.org")
    with parts.database.reading() as db:
        accounts = [db.get_one(Account, account_id) for account_id in (carol, bob)]
        subs = {account.sub for account in accounts}
    assert len(subs) == 2
    assert all(len(sub) == 22 for sub in subs)
    assert not subs & {carol, bob}


def test_an_account_is_found_by_its_address_in_any_spelling(parts: Parts, carol: str) -> None:
    with parts.database.reading() as db:
        found = find_account(db, read_address("CAROL@Example.ORG").canonical)
        assert found is not None
        assert found.id == carol
        assert find_account(db, "carol") is None


def test_making_an_account_is_audited_with_its_password(parts: Parts, carol: str) -> None:
    assert events(parts) == [("person.created", "operator:test"), ("person.password_set", "operator:test")]


def test_an_address_belongs_to_one_account_whatever_its_spelling(parts: Parts, carol: str) -> None:
    with pytest.raises(AddressTaken):
        add_carol(parts, "Carol@EXAMPLE.org")
    with parts.database.reading() as db:
        assert db.scalar(select(func.count()).select_from(Account)) == 1


@pytest.fixture(scope="module")
def postgres() -> Iterator[RealPostgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = request.getfixturevalue("postgres").new_database() if request.param == "postgresql" else ""
    database = Database(Config(issuer="https://login.example", data=tmp_path / "own", database_url=url))
    database.upgrade()
    yield database
    database.close()


def make(database: Database, email: str) -> bool:
    try:
        with database.transaction() as db:
            create_account(
                db,
                read_address(email),
                claims={},
                verified=False,
                password_hash=None,
                actor="operator:test",
                now=1_800_000_000,
                random=canaries.random,
            )
    except AddressTaken:
        return False
    return True


def test_em_04_of_many_who_claim_an_address_at_once_one_gets_it(database: Database) -> None:
    spellings = ["carol@example.org", "Carol@example.org", "carol@EXAMPLE.org", "CAROL@Example.Org"] * 4
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda email: make(database, email), spellings))
    assert sum(answers) == 1
    with database.reading() as db:
        assert db.scalar(select(func.count()).select_from(Email)) == 1
        assert db.scalar(select(func.count()).select_from(Account)) == 1


def test_em_04_of_two_who_change_to_an_address_at_once_one_gets_it(database: Database) -> None:
    people = [f"person{number}@example.org" for number in range(6)]
    assert all(make(database, email) for email in people)

    def move(email: str) -> bool:
        try:
            with database.transaction() as db:
                account = find_account(db, email)
                assert account is not None
                change_claims(db, account, {"email": "Wanted@example.org"}, actor="operator:test", now=1_800_000_000)
        except AddressTaken:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(move, people)) == 1


# --- claims ----------------------------------------------------------------------------------------------------------


def test_all_standard_claims_are_told_in_their_types_and_nothing_else(parts: Parts, clock: Clock, carol: str) -> None:
    everything = {
        "name": "Carol Example",
        "given_name": "Carol",
        "family_name": "Example",
        "middle_name": "M",
        "nickname": "caz",
        "preferred_username": "carol",
        "profile": "https://example.org/carol",
        "picture": "https://example.org/carol.png",
        "website": "https://carol.example.org/",
        "gender": "female",
        "birthdate": "1990-05-17",
        "zoneinfo": "Europe/Paris",
        "locale": "fr-FR",
        "phone_number": "+33123456789",
        "phone_number_verified": True,
        "address": {"locality": "Paris", "country": "FR"},
    }
    clock.advance(5)
    change(parts, carol, **everything)
    told = claims(parts, carol)
    assert told == everything | {
        "email": "carol@example.org",
        "email_verified": True,
        "updated_at": int(clock()),
    }
    assert not RESERVED - {"updated_at"} & set(told)


def test_p_08_a_stored_attribute_that_is_no_standard_claim_never_leaves(parts: Parts, carol: str) -> None:
    with parts.database.transaction() as db:  # past our own checks: an import, an older version, a hand in the database
        db.get_one(Account, carol).profile = {"name": "Carol", "sub": "bob", "is_admin": True, "password_hash": "x"}
    assert set(claims(parts, carol)) == {"name", "email", "email_verified", "updated_at"}


def test_a_claim_is_removed_by_none_and_the_others_stay(parts: Parts, carol: str) -> None:
    change(parts, carol, nickname="caz", gender="female")
    change(parts, carol, nickname=None, locale="fr")
    change(parts, carol, locale=None)
    assert set(claims(parts, carol)) == {"name", "gender", "email", "email_verified", "updated_at"}


def test_one_wrong_claim_changes_nothing(parts: Parts, carol: str) -> None:
    before = claims(parts, carol)
    for wrong in (
        {"nickname": "caz", "birthdate": "1990"[:3]},
        {"nickname": "caz", "sub": "bob"},
        {"email": "x"},
        {"email": None},
    ):
        with pytest.raises(WrongClaim):
            change(parts, carol, **wrong)
    assert claims(parts, carol) == before
    assert open_revocations(parts) == 0


def test_a_new_address_or_number_is_unverified_unless_said_otherwise(parts: Parts, carol: str) -> None:
    change(parts, carol, email="carol@example.net")
    assert claims(parts, carol)["email_verified"] is False
    change(parts, carol, email_verified=True)
    assert claims(parts, carol)["email_verified"] is True
    change(parts, carol, email="carol@example.com", email_verified=True)
    assert claims(parts, carol)["email_verified"] is True
    change(parts, carol, phone_number="+33123456789", phone_number_verified=True)
    change(parts, carol, phone_number="+33987654321")
    assert claims(parts, carol)["phone_number_verified"] is False
    change(parts, carol, phone_number=None)
    assert not {"phone_number", "phone_number_verified"} & set(claims(parts, carol))
    with pytest.raises(WrongClaim, match="there is no phone_number"):
        change(parts, carol, phone_number_verified=True)


def test_changed_claims_reach_open_sessions_and_what_products_were_given(parts: Parts, carol: str) -> None:
    session, cookie = open_for(parts, carol)
    issued = give(parts, session)
    change(parts, carol, name="Carol Ruiz")
    assert apply(parts) == 1
    found = find_session(parts.store, cookie, parts.clock())
    assert found is not None
    assert found.person["name"] == "Carol Ruiz"
    from idp.grants import read_access

    access = read_access(parts.store, issued.access_token, parts.clock())
    assert access is not None
    assert access.grant.person == found.person


# --- endings ---------------------------------------------------------------------------------------------------------


def test_tk_19_a_suspension_ends_sessions_and_all_that_products_were_given(parts: Parts, carol: str) -> None:
    bob = add_carol(parts, "bob@example.org")
    session, cookie = open_for(parts, carol)
    bobs, bobs_cookie = open_for(parts, bob)
    access, offline = give(parts, session), give(parts, session, offline=True)
    bobs_access, bobs_offline = give(parts, bobs), give(parts, bobs, offline=True)
    do_suspend(parts, carol)
    assert apply(parts) == 1
    assert find_session(parts.store, cookie, parts.clock()) is None
    assert not access_is_alive(parts, access)
    assert not refresh_is_alive(parts, offline)
    assert find_session(parts.store, bobs_cookie, parts.clock()) == bobs
    assert access_is_alive(parts, bobs_access)
    assert refresh_is_alive(parts, bobs_offline)
    assert apply(parts) == 0


def test_tk_19_what_was_granted_offline_ends_even_when_its_session_is_long_over(
    parts: Parts, clock: Clock, carol: str
) -> None:
    session, _ = open_for(parts, carol)
    offline = give(parts, session, offline=True)
    clock.now = session.expires + 1
    do_suspend(parts, carol)
    apply(parts)
    assert not refresh_is_alive(parts, offline)


def test_tk_19_a_withdrawn_consent_ends_what_that_product_was_given_and_no_other(parts: Parts, carol: str) -> None:
    session, cookie = open_for(parts, carol)
    first, second = give(parts, session, "C1", offline=True), give(parts, session, "C2", offline=True)
    with parts.database.transaction() as db:
        remember_consent(db, carol, "C2", ["openid", "email"], parts.clock())
    set_consent(parts.store, carol, "C2", ["openid", "email"])
    with parts.database.transaction() as db:
        account = db.get_one(Account, carol)
        assert withdraw_consent(db, account, "C2", actor="operator:test", now=parts.clock())
        assert not withdraw_consent(db, account, "C1", actor="operator:test", now=parts.clock())
    apply(parts)
    assert refresh_is_alive(parts, first)
    assert not refresh_is_alive(parts, second, "C2")
    found = find_session(parts.store, cookie, parts.clock())
    assert found is not None
    assert dict(found.consents) == {}


def test_products_are_told_once_of_every_session_that_ends(parts: Parts, carol: str) -> None:
    sessions = [open_for(parts, carol)[0] for _ in range(2)]
    for session in sessions:
        give(parts, session)
        give(parts, session, offline=True)
    with parts.database.transaction() as db:
        event = audit.Event.person_signed_out_everywhere
        end_everything(db, carol, event=event, actor=f"person:{carol}", now=parts.clock())
    with ThreadPoolExecutor(4) as pool:  # the page and several workers at once
        list(pool.map(lambda _: apply(parts), range(4)))
    with parts.database.reading() as db:
        told = sorted(db.scalars(select(LogoutNotice.sid)))
    assert told == sorted(session.sid("C1") for session in sessions)


def test_without_redis_a_suspension_waits_and_is_applied_when_redis_is_back(parts: Parts, carol: str) -> None:
    session, cookie = open_for(parts, carol)
    access = give(parts, session)
    do_suspend(parts, carol)
    with RedisStore("redis://127.0.0.1:1") as nobody, pytest.raises(Unavailable):
        apply_revocations(parts.database, nobody, parts.clients, parts.clock())
    assert open_revocations(parts) == 1
    assert apply(parts) == 1
    assert find_session(parts.store, cookie, parts.clock()) is None
    assert not access_is_alive(parts, access)
    assert open_revocations(parts) == 0


def test_a_suspension_can_be_taken_back_and_brings_no_session_back(parts: Parts, carol: str) -> None:
    _, cookie = open_for(parts, carol)
    do_suspend(parts, carol)
    apply(parts)
    with parts.database.transaction() as db:
        reactivate(db, db.get_one(Account, carol), actor="operator:test", now=parts.clock())
    assert apply(parts) == 0
    assert find_session(parts.store, cookie, parts.clock()) is None
    with parts.database.reading() as db:
        assert db.get_one(Account, carol).state == "active"
    assert events(parts)[-2:] == [("person.suspended", "operator:test"), ("person.reactivated", "operator:test")]


def test_a_revocation_of_somebody_who_is_gone_is_done(parts: Parts, carol: str) -> None:
    change(parts, carol, name="Carol Ruiz")
    with parts.database.transaction() as db:
        db.delete(db.get_one(Account, carol))
    assert apply(parts) == 1


@pytest.fixture
def both(parts: Parts, database: Database) -> Parts:
    """The parts, once on SQLite and once on PostgreSQL."""
    return dataclasses.replace(parts, database=database)


def test_tk_19_everything_ends_on_both_databases(both: Parts) -> None:
    carol, bob = add_carol(both), add_carol(both, "bob@example.org")
    session, cookie = open_for(both, carol)
    bobs, bobs_cookie = open_for(both, bob)
    offline, bobs_offline = give(both, session, offline=True), give(both, bobs, offline=True)
    change(both, bob, name="Bob Example")
    do_suspend(both, carol)
    assert apply(both) == 2
    assert find_session(both.store, cookie, both.clock()) is None
    assert not refresh_is_alive(both, offline)
    found = find_session(both.store, bobs_cookie, both.clock())
    assert found is not None
    assert found.person["name"] == "Bob Example"
    assert refresh_is_alive(both, bobs_offline)
    with both.database.reading() as db:
        assert db.scalars(select(LogoutNotice.sid)).all() == [session.sid("C1")]


def test_tk_19_a_suspension_in_the_middle_of_a_sign_in_ends_that_session_too(both: Parts) -> None:
    carol = add_carol(both)
    arrives = Identity("password", "https://login.example", carol, None, False, None, ("pwd",), int(both.clock()))
    operator = Thread(target=do_suspend, args=(both, carol))
    with both.database.transaction() as db:
        assert find_linked(db, arrives, own_issuer="https://login.example") == Known(carol, "active")
        operator.start()
        operator.join(0.5)
        assert operator.is_alive(), "the suspension did not wait for the sign-in"
        _, cookie = open_for(both, carol)
    operator.join()
    apply(both)
    assert find_session(both.store, cookie, both.clock()) is None


def test_one_session_may_go_on_while_all_else_ends(parts: Parts, carol: str) -> None:
    kept, cookie = open_for(parts, carol)
    other, stolen = open_for(parts, carol, agent="Safari · iOS")
    offline = give(parts, kept, offline=True)
    told = give(parts, other)
    _, bobs = open_for(parts, add_carol(parts, "bob@example.org"))
    event = audit.Event.person_password_set
    with parts.database.transaction() as db:
        end_everything(db, carol, event=event, actor=f"person:{carol}", now=parts.clock(), keep=kept.id)
    for _ in range(2):  # what was interrupted is done again, and changes nothing more
        apply_revocations(parts.database, parts.store, parts.clients, parts.clock())
        assert find_session(parts.store, cookie, parts.clock()) is not None
        assert find_session(parts.store, stolen, parts.clock()) is None
        with parts.database.transaction() as db:
            db.execute(update(Revocation).values(done_at=None))
    assert not access_is_alive(parts, offline)
    assert not refresh_is_alive(parts, offline)
    assert not access_is_alive(parts, told)
    assert find_session(parts.store, bobs, parts.clock()) is not None
    with parts.database.reading() as db:
        assert db.scalars(select(LogoutNotice.sid)).all() == [other.sid("C1")]
