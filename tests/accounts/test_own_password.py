"""/me/password: who may set it, which passwords are taken, what ends and who is told (PW-05, PW-18)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from idp.accounts.lifecycle import suspend
from idp.accounts.passwords import PasswordHasher, check_password, find_credentials
from idp.accounts.sessions import find_session
from idp.app import create_app
from idp.models import Account, AuditEvent, Company, LogoutNotice, Password
from idp.parts import Parts
from tests import canaries
from tests.company_records import add_company, add_connection, add_person, mails
from tests.conftest import Clock
from tests.journey import PASSWORD, Walker, add_carol
from tests.people import access_is_alive, give, open_for, refresh_is_alive

NEW = canaries.register("vierzig grüne Gärten am Fluss", "password")
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"


@pytest.fixture
def carol(parts: Parts) -> str:
    return add_carol(parts)


def signed_in(walker: Walker, email: str = "carol@example.org", path: str = "/me/password") -> TestResponse:
    walker.sign_in(walker.get("/me"), email)
    return walker.get(path)


def opens(parts: Parts, password: str, email: str = "carol@example.org") -> bool:
    with parts.database.reading() as db:
        credentials = find_credentials(db, email)
    return check_password(credentials, password, parts.hasher).account_id is not None


def field(page: TestResponse) -> str:
    (found,) = re.findall(r'<input id="new-password"[^>]*>', page.get_data(as_text=True))
    return str(found)


# --- the change ----------------------------------------------------------------------------------------------------------


def test_a_person_gives_themselves_another_password(walker: Walker, parts: Parts, carol: str) -> None:
    page = signed_in(walker)
    assert page.status_code == 200
    answer = walker.submit(page, "/me/password", password=NEW)
    assert (answer.status_code, answer.location) == (303, "/me?notice=password_changed")
    assert "You have a new password" in walker.follow(answer).get_data(as_text=True)  # in the session that goes on
    assert opens(parts, NEW)
    assert not opens(parts, PASSWORD)
    with parts.database.reading() as db:
        event, actor = db.execute(
            select(AuditEvent.event, AuditEvent.actor)
            .where(AuditEvent.account_id == carol)
            .order_by(AuditEvent.id.desc())
        ).first()
    assert (event, actor) == ("person.password_set", f"person:{carol}")


def test_everybody_else_and_every_product_is_signed_out(walker: Walker, app: Flask, parts: Parts, carol: str) -> None:
    thief = Walker(app, parts, user_agent=PHONE, address="198.51.100.9")
    signed_in(thief)
    other, cookie = open_for(parts, carol)
    offline = give(parts, other, offline=True)
    tokens = walker.tokens(scope="openid offline_access")
    page = walker.get("/me/password")
    walker.submit(page, "/me/password", password=NEW)
    assert thief.get("/me").location == "/login"
    assert find_session(parts.store, cookie, parts.clock()) is None
    assert not access_is_alive(parts, offline)
    assert not refresh_is_alive(parts, offline)
    assert walker.userinfo(tokens["access_token"]).status_code == 401  # of this session too: who has it is not known
    assert walker.refresh(tokens["refresh_token"]).status_code == 400
    assert walker.get("/me").status_code == 200
    assert "code" in walker.answer_of(walker.az(prompt="none"))  # the product comes back without a question
    with parts.database.reading() as db:
        told = db.scalars(select(LogoutNotice.sid)).all()
    assert told == [other.sid("C1")]  # what the session that goes on has given to products is not over


def test_the_owner_is_told_by_mail_where_it_was_done(walker: Walker, parts: Parts, carol: str, clock: Clock) -> None:
    walker.submit(signed_in(walker), "/me/password", password=NEW)
    (mail,) = mails(parts, "password_changed")
    assert mail.recipient == "carol@example.org"
    values = {name: mail.values[name] for name in ("agent", "address", "at")}
    assert values == {"agent": "Firefox · Linux", "address": "192.0.2.7", "at": int(clock())}
    secrets = parts.sealer.open(mail.values["sealed"], f"{mail.name} {mail.recipient}")
    assert secrets == {"link": "/forgot"}
    assert walker.get(secrets["link"]).status_code in (200, 303)


def test_somebody_without_a_password_sets_their_first(walker: Walker, parts: Parts) -> None:
    account_id = add_carol(parts, password=None)
    _, cookie = open_for(parts, account_id, amr=())
    walker.browser.set_cookie("__Host-idp_session", cookie, domain="login.example", secure=True)
    page = walker.get("/me/password")
    assert "<h1>Set a password</h1>" in page.get_data(as_text=True)
    assert walker.submit(page, "/me/password", password=NEW).status_code == 303
    assert opens(parts, NEW)
    assert 'id="change-password"' in walker.get("/me").get_data(as_text=True)


# --- which are taken --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("1234567", "too short"),
        ("", "too short"),
        ("iloveyou", "stolen passwords"),
        ("Carol2026!", "what they know of you"),
        ("carol@example.org", "what they know of you"),
        ("login.example", "what they know of you"),
        ("Password1!", "easy to guess"),
        ("motdepasse1", "easy to guess"),
        ("x" * 1025, "longer than any"),
    ],
)
def test_pw_18_a_weak_password_is_refused_in_words(
    walker: Walker, parts: Parts, carol: str, password: str, says: str
) -> None:
    answer = walker.submit(signed_in(walker), "/me/password", password=password)
    assert answer.status_code == 400
    page = answer.get_data(as_text=True)
    assert says in page
    assert 'aria-invalid="true"' in field(answer)
    assert "value" not in field(answer)  # what was typed is never sent back
    assert opens(parts, PASSWORD)
    assert not mails(parts, "password_changed")


@pytest.mark.parametrize(
    "password",
    ["9vq-Tz.w" * 7 + "unlikely", "vélo " * 12 + "lune", "四十の緑の庭が川のほとりに", "a\0b" * 3 + " quartz lamp"],
)
def test_pw_18_a_good_one_is_taken_to_the_last_character(
    walker: Walker, parts: Parts, carol: str, password: str
) -> None:
    """PW-05 where it is set: 64 characters, any script, NUL."""
    assert walker.submit(signed_in(walker), "/me/password", password=password).status_code == 303
    assert opens(parts, password)
    assert not opens(parts, password[:-1])


def test_pw_18_a_companys_people_have_fifteen_characters_if_it_says_so(walker: Walker, parts: Parts) -> None:
    acme = add_company(parts, "Acme", "acme.example")
    add_person(parts, acme, "alice@acme.example")
    with parts.database.transaction() as db:
        db.execute(update(Company).values(shortest_password=15))
    page = signed_in(walker, "alice@acme.example")
    assert "At least 15 characters" in page.get_data(as_text=True)
    assert 'minlength="15"' in field(page)
    assert walker.submit(page, "/me/password", password="kx7#qZ2p-Rw9x!").status_code == 400
    assert "what they know of you" in walker.submit(page, "/me/password", password="acmeacmeacmeacme").get_data(
        as_text=True
    )
    assert walker.submit(page, "/me/password", password=NEW).status_code == 303


def test_pw_18_nothing_hinders_a_password_manager_that_makes_one(walker: Walker, carol: str) -> None:
    page = signed_in(walker)
    made = field(page)
    assert 'autocomplete="new-password"' in made
    assert 'minlength="8"' in made
    assert not re.search(r"maxlength|onpaste|readonly|pattern", made)
    assert '<input type="email" value="carol@example.org" autocomplete="username" hidden' in page.get_data(as_text=True)


def test_pw_18_a_password_manager_finds_the_page(walker: Walker) -> None:
    answer = walker.get("/.well-known/change-password")
    assert (answer.status_code, answer.location) == (303, "/me/password")
    # Without this they would not believe the answer above.
    missing = walker.get("/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200")
    assert missing.status_code == 404


def test_pw_05_a_megabyte_is_refused(walker: Walker, parts: Parts, carol: str) -> None:
    page = signed_in(walker)
    assert walker.submit(page, "/me/password", password="x" * 1_000_000).status_code == 413
    assert opens(parts, PASSWORD)


# --- who may --------------------------------------------------------------------------------------------------------------------


def test_nobody_sets_a_password_without_a_session_or_from_another_site(
    walker: Walker, app: Flask, parts: Parts, carol: str
) -> None:
    assert walker.get("/me/password").location == "/login"
    page = signed_in(walker)
    csrf = re.search(r'name="csrf" value="([^"]+)"', page.get_data(as_text=True))
    assert csrf is not None
    for data in ({}, {"csrf": "x"}):
        assert walker.open("POST", "/me/password", data={**data, "password": NEW}).status_code == 400
    stranger = Walker(app, parts)
    assert stranger.open("POST", "/me/password", data={"csrf": csrf[1], "password": NEW}).status_code == 400
    assert opens(parts, PASSWORD)


def test_whoever_sits_at_an_open_browser_must_sign_in_first(
    walker: Walker, parts: Parts, carol: str, clock: Clock
) -> None:
    page = signed_in(walker)
    clock.advance(15 * 60 + 1)
    anew = "/login?again=%2Fme%2Fpassword"
    assert walker.get("/me/password").location == anew
    assert walker.submit(page, "/me/password", password=NEW).location == anew
    assert opens(parts, PASSWORD)
    back = walker.sign_in(walker.get(anew))
    assert back.request.path == "/me/password"
    assert walker.submit(back, "/me/password", password=NEW).status_code == 303
    assert opens(parts, NEW)


def test_where_a_company_signs_its_people_in_there_is_no_password_to_set(walker: Walker, parts: Parts) -> None:
    acme = add_company(parts, "Acme", "acme.example")
    account_id = add_person(parts, acme, "alice@acme.example")
    page = signed_in(walker, "alice@acme.example")
    add_connection(parts, acme)
    with parts.database.transaction() as db:
        db.execute(update(Company).values(sso="required"))
    answer = walker.submit(page, "/me/password", password=NEW)
    assert answer.location == "/me/password"
    refused = walker.get("/me/password")
    assert refused.status_code == 403
    assert "Acme signs you in" in refused.get_data(as_text=True)
    assert 'id="new-password"' not in refused.get_data(as_text=True)
    with parts.database.reading() as db:
        assert parts.hasher.verify(db.get_one(Password, account_id).hash, PASSWORD).ok
    assert not mails(parts, "password_changed")


def test_who_was_suspended_meanwhile_sets_nothing(walker: Walker, parts: Parts, carol: str) -> None:
    page = signed_in(walker)
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, carol), actor="operator:test", now=parts.clock())
    assert walker.submit(page, "/me/password", password=NEW).location == "/login"
    with parts.database.reading() as db:
        assert parts.hasher.verify(db.get_one(Password, carol).hash, PASSWORD).ok


class Meanwhile(PasswordHasher):
    """Lets something happen while a new password is hashed."""

    def __init__(self, happens: Callable[[], object]) -> None:
        super().__init__(2, 60, memory_kib=64, passes=1)
        self._happens = happens

    def hash(self, password: str) -> str:
        self._happens()
        return super().hash(password)


def test_who_is_thrown_out_meanwhile_sets_nothing(app: Flask, parts: Parts, carol: str) -> None:
    """The owner changes the password while a thief, who is signed in too, is about to."""
    owner = Walker(app, parts)
    owners_page = signed_in(owner)
    owners = canaries.register("ein ganz anderer Satz mit Quitten", "password")

    def change() -> None:
        assert owner.submit(owners_page, "/me/password", password=owners).status_code == 303

    slow = dataclasses.replace(parts, hasher=Meanwhile(change))
    thief = Walker(create_app(slow), slow, user_agent=PHONE)
    answer = thief.submit(signed_in(thief), "/me/password", password=NEW)
    assert answer.location == "/login"
    assert opens(parts, owners)
    assert not opens(parts, NEW)
    assert len(mails(parts, "password_changed")) == 1


def test_who_changes_it_without_end_must_wait(walker: Walker, parts: Parts, carol: str, clock: Clock) -> None:
    """Each is announced by a mail that nothing holds back."""
    page = signed_in(walker)
    answers = [walker.submit(page, "/me/password", password=f"{NEW} {number}").status_code for number in range(12)]
    assert answers == [303] * 10 + [429] * 2
    assert len(mails(parts, "password_changed")) == 10
    clock.advance(360)
    assert walker.submit(page, "/me/password", password=NEW).status_code == 303


def test_of_many_at_once_the_last_one_holds_and_nothing_breaks(walker: Walker, parts: Parts, carol: str) -> None:
    page = signed_in(walker)
    jar = [(cookie.key, cookie.value) for cookie in (walker.browser._cookies or {}).values()]
    wanted = [f"{NEW} {number}" for number in range(6)]

    def change(password: str) -> int:
        tab = Walker(walker.app, parts)
        for name, value in jar:
            tab.browser.set_cookie(name, value, domain="login.example", secure=True)
        return tab.submit(page, "/me/password", password=password).status_code

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(change, wanted)) == [303] * 6
    assert [opens(parts, password) for password in wanted].count(True) == 1
    assert walker.get("/me").status_code == 200
