"""/me/close and /me/reopen: an account is closed by its owner, given back for two weeks, and then gone."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.closing import REOPENED_WITHIN, erase_closed
from idp.accounts.lifecycle import find_account, suspend
from idp.admin.staff import set_staff
from idp.members import add_member
from idp.models import Account, AuditEvent, Company, Email, LogoutNotice, Member, OutboxMail, Passkey, Password
from idp.parts import Parts
from tests import canaries
from tests.company_records import add_company, add_person
from tests.conftest import Clock
from tests.journey import Walker, add_carol


@pytest.fixture
def carol(parts: Parts) -> str:
    return add_carol(parts)


def text_of(page: TestResponse) -> str:
    return html.unescape(page.get_data(as_text=True))


def ask(walker: Walker) -> TestResponse:
    walker.sign_in(walker.get("/me"))
    return walker.get("/me/close")


def close(walker: Walker, address: str = "carol@example.org") -> TestResponse:
    return walker.submit(ask(walker), "/me/close", username=address)


def link(parts: Parts, recipient: str = "carol@example.org") -> str:
    with parts.database.reading() as db:
        mails = select(OutboxMail).where(OutboxMail.name == "account_closed", OutboxMail.recipient == recipient)
        mail = db.scalars(mails.order_by(OutboxMail.id.desc())).first()
        assert mail is not None
        path = str(parts.sealer.open(mail.values["sealed"], f"account_closed {recipient}")["link"])
    canaries.register(path.partition("=")[2], "link in a mail")
    return path


def state_of(parts: Parts, account_id: str) -> str | None:
    with parts.database.reading() as db:
        return db.scalar(select(Account.state).where(Account.id == account_id))


def found_by(parts: Parts, table: Any, account_id: str) -> int:
    with parts.database.reading() as db:
        return len(db.scalars(select(table).where(table.account_id == account_id)).all())


def test_whoever_closes_it_is_signed_out_everywhere_and_told_by_mail(
    app: Flask, walker: Walker, parts: Parts, carol: str
) -> None:
    tokens = walker.tokens(scope="openid offline_access")
    phone = Walker(app, parts, address="198.51.100.9")
    phone.sign_in(phone.get("/me"))
    page = walker.submit(walker.get("/me/close"), "/me/close", username="carol@example.org")
    assert page.status_code == 200
    assert 'id="closed-page"' in text_of(page)
    assert state_of(parts, carol) == "closed"
    for browser in (walker, phone):
        assert browser.get("/me").location == "/login"
    assert walker.userinfo(tokens["access_token"]).status_code == 401
    assert walker.refresh(tokens["refresh_token"]).status_code == 400
    with parts.database.reading() as db:
        assert db.scalars(select(LogoutNotice)).all()  # products hear of it
    assert "t=" in link(parts)


def test_the_password_opens_it_no_more_and_nobody_is_told_why_at_the_page(
    app: Flask, walker: Walker, parts: Parts, carol: str
) -> None:
    close(walker)
    page = Walker(app, parts).sign_in(walker.get("/me"))
    assert page.status_code == 400
    assert "closed" not in text_of(page)


@pytest.mark.parametrize("typed", ["", "mallory@example.org", "carol", "carol@example.org,x@example.org"])
def test_without_its_address_nothing_is_closed(walker: Walker, parts: Parts, carol: str, typed: str) -> None:
    page = close(walker, typed)
    assert page.status_code == 400
    assert 'role="alert"' in text_of(page)
    assert state_of(parts, carol) == "active"


def test_it_is_asked_for_a_recent_proof(walker: Walker, parts: Parts, clock: Clock, carol: str) -> None:
    page = ask(walker)
    clock.advance(16 * 60)
    assert walker.get("/me/close").location.startswith("/login?again=")
    assert walker.submit(page, "/me/close", username="carol@example.org").location.startswith("/login?again=")
    assert state_of(parts, carol) == "active"


def test_opening_the_link_changes_nothing_and_its_form_opens_the_account_as_it_was(
    app: Flask, walker: Walker, parts: Parts, carol: str
) -> None:
    close(walker)
    path, other = link(parts), Walker(app, parts, address="198.51.100.9")
    for _ in range(3):
        page = other.follow(other.get(path))
    assert state_of(parts, carol) == "closed"
    assert "t=" not in page.request.query_string.decode()
    done = other.submit(page, "/me/reopen")
    assert 'id="reopened-page"' in text_of(done)
    assert state_of(parts, carol) == "active"
    assert other.get("/me").location == "/login"  # nobody is signed in by it
    assert other.sign_in(other.get("/me")).request.path == "/me"
    assert other.follow(other.get(path)).status_code == 400  # once


def test_the_link_of_one_closing_does_not_undo_the_next(app: Flask, walker: Walker, parts: Parts, carol: str) -> None:
    close(walker)
    first = link(parts)
    other = Walker(app, parts, address="198.51.100.9")
    other.submit(other.follow(other.get(first)), "/me/reopen")
    close(Walker(app, parts, address="198.51.100.9"))
    assert other.follow(other.get(first)).status_code == 400
    assert state_of(parts, carol) == "closed"


def test_whom_an_operator_suspends_meanwhile_stays_out(
    app: Flask, walker: Walker, parts: Parts, clock: Clock, carol: str
) -> None:
    close(walker)
    path = link(parts)
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, carol), actor="operator:test", now=clock.now)
    other = Walker(app, parts)
    assert other.follow(other.get(path)).status_code == 400
    clock.advance(REOPENED_WITHIN + 1)
    assert not erase_closed(parts.database, clock.now)
    assert state_of(parts, carol) == "suspended"


def test_after_two_weeks_nothing_is_left_and_the_address_is_free_for_a_stranger(
    app: Flask, walker: Walker, parts: Parts, clock: Clock, carol: str
) -> None:
    with parts.database.reading() as db:
        sub = db.get_one(Account, carol).sub
    close(walker)
    path = link(parts)
    clock.advance(REOPENED_WITHIN - 1)
    erase_closed(parts.database, clock.now)
    assert state_of(parts, carol) == "closed"
    clock.advance(1)
    erase_closed(parts.database, clock.now)
    assert state_of(parts, carol) is None
    for table in (Email, Password, Passkey, Member):
        assert found_by(parts, table, carol) == 0
    with parts.database.reading() as db:
        assert find_account(db, "carol@example.org") is None
        assert db.scalars(select(AuditEvent.event).order_by(AuditEvent.id.desc())).first() == "person.erased"
    other = Walker(app, parts)
    assert other.follow(other.get(path)).status_code == 400
    add_carol(parts)
    with parts.database.reading() as db:
        again = find_account(db, "carol@example.org")
        assert again is not None
        assert again.sub != sub


def test_the_only_administrator_of_a_company_has_to_find_another_one_first(
    walker: Walker, parts: Parts, clock: Clock, carol: str
) -> None:
    acme = add_company(parts)
    with parts.database.transaction() as db:
        add_member(db, acme, carol, "administrator", actor="operator:test", now=clock.now, vouched=True)
    page = ask(walker)
    assert "You are the only administrator of Acme." in text_of(page)
    assert "/me/close" not in re.findall(r'<form[^>]* action="([^"]*)"', text_of(page))
    form = walker.get("/me/data")  # whoever sends it all the same, with a form of this browser
    csrf = re.search(r'name="csrf" value="([^"]+)"', text_of(form))
    assert csrf is not None
    answer = walker.open("POST", "/me/close", data={"csrf": csrf[1], "username": "carol@example.org"})
    assert (answer.status_code, answer.location) == (303, "/me/close")
    assert state_of(parts, carol) == "active"
    add_person(parts, acme, "dora@example.org", "administrator")
    assert 'id="closed-page"' in text_of(
        walker.submit(walker.get("/me/close"), "/me/close", username="Carol@Example.org")
    )


def test_the_only_operator_has_to_find_another_one_first(
    walker: Walker, parts: Parts, clock: Clock, carol: str
) -> None:
    with parts.database.transaction() as db:
        set_staff(db, carol, "operator", actor="operator:test", now=clock.now)
    page = ask(walker)
    assert "You are the only operator" in text_of(page)
    csrf = re.search(r'name="csrf" value="([^"]+)"', text_of(walker.get("/me")))
    assert csrf is not None
    walker.open("POST", "/me/close", data={"csrf": csrf[1], "username": "carol@example.org"})
    assert state_of(parts, carol) == "active"
    dora = add_person(parts, add_company(parts, "Acme"), "dora@example.org", "member")
    with parts.database.transaction() as db:
        set_staff(db, dora, "operator", actor="operator:test", now=clock.now)
    walker.submit(walker.get("/me/close"), "/me/close", username="carol@example.org")
    assert state_of(parts, carol) == "closed"


def test_whom_a_company_signs_in_is_sent_to_its_administrators(walker: Walker, parts: Parts) -> None:
    acme = add_company(parts, "Acme", "acme.example")
    alice = add_person(parts, acme, "alice@acme.example")
    walker.sign_in(walker.get("/me"), "alice@acme.example")
    page = walker.get("/me/close")
    with parts.database.transaction() as db:
        db.get_one(Company, acme).sso = "required"
    answer = walker.submit(page, "/me/close", username="alice@acme.example")
    assert (answer.status_code, answer.location) == (303, "/me/close")
    assert "Acme signs you in and decides who has an account." in text_of(walker.follow(answer))
    assert state_of(parts, alice) == "active"


def test_whoever_was_thrown_out_meanwhile_closes_nothing(
    walker: Walker, parts: Parts, clock: Clock, carol: str
) -> None:
    page = ask(walker)
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, carol), actor="operator:test", now=clock.now)
    assert walker.submit(page, "/me/close", username="carol@example.org").location == "/login"
    assert state_of(parts, carol) == "suspended"
