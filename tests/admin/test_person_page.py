"""One of a company's people: what administrators may do for them, what they may not, and what it does at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from idp.accounts.lifecycle import suspend
from idp.admin.access import FRESH
from idp.members import add_member, set_role
from idp.models import Account, AuditEvent, Invitation, Member, OutboxMail, Seat, Totp
from idp.parts import Parts
from tests.administrator import Administrator, add_company, add_person
from tests.conftest import Clock
from tests.journey import Walker

At = Callable[[str], Administrator]


@pytest.fixture
def company(parts: Parts) -> str:
    made = add_company(parts)
    add_person(parts, "ada@acme.example", company=made, role="administrator")
    return made


@pytest.fixture
def bob(parts: Parts, company: str) -> str:
    return add_person(parts, "bob@acme.example", company=company)


@pytest.fixture
def ada(administrator: At, company: str) -> Administrator:
    browser = administrator("ada@acme.example")
    browser.sign_in()
    return browser


def text(page: TestResponse) -> str:
    return page.get_data(as_text=True)


def do(browser: Administrator, company: str, person: str, act: str, **fields: str) -> TestResponse:
    at = f"/companies/{company}/people/{person}"
    return browser.submit(browser.get(at), f"{at}/{act}", **fields)


def events(parts: Parts, name: str) -> list[AuditEvent]:
    with parts.database.reading() as db:
        found = db.query(AuditEvent).filter_by(event=name).all()
        db.expunge_all()
        return found


def state_of(parts: Parts, account_id: str) -> str:
    with parts.database.reading() as db:
        return db.get_one(Account, account_id).state


def test_who_is_suspended_is_out_at_once_and_the_audit_says_why(
    ada: Administrator, app: Flask, parts: Parts, company: str, bob: str
) -> None:
    phone = Walker(app, parts)
    phone.sign_in(phone.follow(phone.az()), "bob@acme.example")
    tokens = phone.tokens(scope="openid offline_access")
    page = do(ada, company, bob, "suspend", reason="left the company")
    assert 'role="status"' in text(page)
    assert phone.get("/me").status_code == 303
    assert phone.userinfo(tokens["access_token"]).status_code == 401
    [event] = events(parts, "person.suspended")
    assert event.facts["reason"] == "left the company" and event.actor.startswith("person:")
    do(ada, company, bob, "reactivate")
    assert state_of(parts, bob) == "active"


def test_nobody_is_suspended_without_a_fresh_sign_in(
    ada: Administrator, parts: Parts, clock: Clock, company: str, bob: str
) -> None:
    clock.advance(FRESH + 1)
    at = f"/companies/{company}/people/{bob}"
    answer = ada.open("POST", f"{at}/suspend", data={"csrf": ada.token(ada.get(at))})
    assert "fresh=yes" in (answer.headers.get("Location") or text(answer)) and state_of(parts, bob) == "active"


def test_whom_the_provider_has_suspended_a_company_does_not_bring_back(
    ada: Administrator, administrator: At, parts: Parts, company: str, bob: str
) -> None:
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, bob), actor="operator:root", now=parts.clock())
    assert do(ada, company, bob, "reactivate").status_code == 409
    assert state_of(parts, bob) == "suspended"
    add_person(parts, "olga@example.org", staff="operator")
    olga = administrator("olga@example.org")
    olga.sign_in()
    do(olga, company, bob, "reactivate")
    assert state_of(parts, bob) == "active"


def test_nobody_suspends_or_removes_themselves(ada: Administrator, parts: Parts, company: str) -> None:
    with parts.database.reading() as db:
        own = db.query(Member).filter_by(role="administrator").one().account_id
    page = ada.get(f"/companies/{company}/people/{own}")
    for act in ("suspend", "remove"):
        answer = ada.open("POST", f"/companies/{company}/people/{own}/{act}", data={"csrf": ada.token(page)})
        assert answer.status_code == 409
    assert state_of(parts, own) == "active"


def test_the_last_administrator_stays_one(ada: Administrator, parts: Parts, company: str) -> None:
    with parts.database.reading() as db:
        own = db.query(Member).filter_by(role="administrator").one().account_id
    assert do(ada, company, own, "role", role="member").status_code == 409
    with parts.database.reading() as db:
        assert db.get_one(Member, own).role == "administrator"


def test_another_role_counts_at_once(
    ada: Administrator, administrator: At, parts: Parts, company: str, bob: str
) -> None:
    do(ada, company, bob, "role", role="administrator")
    page = administrator("bob@acme.example").sign_in()
    assert page.request.path == f"/companies/{company}"


@pytest.mark.parametrize("role", ["global", "operator", "", "ADMINISTRATOR", "owner"])
def test_ad_02_there_are_no_other_roles(ada: Administrator, parts: Parts, company: str, bob: str, role: str) -> None:
    more = {
        "tenant_id": "B",
        "is_admin": "1",
        "email_verified": "true",
        "password_hash": "x",
        "sub": "x",
        "idp_id": "x",
    }
    assert do(ada, company, bob, "role", role=role, **more).status_code == 409
    with parts.database.reading() as db:
        assert db.get_one(Member, bob).role == "member"


def test_seats_are_given_changed_and_taken(ada: Administrator, parts: Parts, company: str, bob: str) -> None:
    do(ada, company, bob, "seats", client_id="C1", role="organizer")
    with parts.database.reading() as db:
        assert db.get_one(Seat, (bob, "C1")).role == "organizer"
    do(ada, company, bob, "seats", client_id="C1", role="none")
    with parts.database.reading() as db:
        assert db.get(Seat, (bob, "C1")) is None
    assert do(ada, company, bob, "seats", client_id="unknown", role="organizer").status_code == 409


def test_an_invitation_is_sent_again(ada: Administrator, parts: Parts, company: str) -> None:
    from idp.accounts.identity import read_address
    from idp.accounts.invitations import Guest, Host, invite

    host = Host("operator:test", parts.sealer, parts.clock(), parts.random)
    with parts.database.transaction() as db:
        invite(db, Guest(read_address("gus@acme.example"), {}, company, vouched=True), host)
    with parts.database.reading() as db:
        gus = db.query(Invitation).one().account_id
    do(ada, company, gus, "resend")
    with parts.database.reading() as db:
        assert db.get_one(Invitation, gus).sent == 2


def test_two_people_take_lost_factors_away(
    ada: Administrator, administrator: At, parts: Parts, company: str, bob: str, clock: Clock
) -> None:
    add_person(parts, "abe@acme.example", company=company, role="administrator")
    with parts.database.transaction() as db:
        db.add(Totp(account_id=bob, sealed_secret="x", last_step=0, created_at=int(clock())))
    assert do(ada, company, bob, "factors", reason="").status_code == 409
    asked = do(ada, company, bob, "factors", reason="She stood before me.")
    assert 'id="factors-withdraw"' in text(asked) and 'id="factors-agree"' not in text(asked)
    alone = ada.open(
        "POST",
        f"/companies/{company}/people/{bob}/factors/agree",
        data={"csrf": ada.token(asked), "answer": "yes"},
    )
    assert alone.status_code == 409
    with parts.database.reading() as db:
        assert db.get(Totp, bob) is not None
    abe = administrator("abe@acme.example")
    abe.sign_in()
    seen = abe.get(f"/companies/{company}/people/{bob}")
    assert "She stood before me." in text(seen)
    abe.submit(seen, f"/companies/{company}/people/{bob}/factors/agree", answer="yes")
    with parts.database.reading() as db:
        assert db.get(Totp, bob) is None
        assert db.query(OutboxMail).filter_by(name="factor_removed", recipient="bob@acme.example").count() == 1
    assert len(events(parts, "person.factors_removed")) == 1


def test_a_removal_that_nobody_agreed_to_is_over_after_a_day(
    ada: Administrator, administrator: At, parts: Parts, company: str, bob: str, clock: Clock
) -> None:
    add_person(parts, "abe@acme.example", company=company, role="administrator")
    with parts.database.transaction() as db:
        db.add(Totp(account_id=bob, sealed_secret="x", last_step=0, created_at=int(clock())))
    do(ada, company, bob, "factors", reason="lost")
    clock.advance(86400)
    abe = administrator("abe@acme.example")
    abe.sign_in()
    page = abe.get(f"/companies/{company}/people/{bob}")
    assert 'id="factors-agree"' not in text(page)
    at = f"/companies/{company}/people/{bob}/factors/agree"
    assert abe.open("POST", at, data={"csrf": abe.token(page), "answer": "yes"}).status_code == 409
    with parts.database.reading() as db:
        assert db.get(Totp, bob) is not None


@pytest.mark.parametrize("lost", ["role", "account"])
def test_ad_06_what_a_former_administrator_asked_for_needs_two_others(
    ada: Administrator, administrator: At, parts: Parts, company: str, bob: str, clock: Clock, lost: str
) -> None:
    abe = add_person(parts, "abe@acme.example", company=company, role="administrator")
    with parts.database.transaction() as db:
        db.add(Totp(account_id=bob, sealed_secret="x", last_step=0, created_at=int(clock())))
    second = administrator("abe@acme.example")
    second.sign_in()
    do(second, company, bob, "factors", reason="lost")
    at = f"/companies/{company}/people/{bob}"
    assert 'id="factors-agree"' in text(ada.get(at))
    if lost == "role":
        do(ada, company, abe, "role", role="member")
    else:
        do(ada, company, abe, "suspend")
    page = ada.get(at)
    assert 'id="factors-agree"' not in text(page)
    answer = ada.open("POST", f"{at}/factors/agree", data={"csrf": ada.token(page), "answer": "yes"})
    assert answer.status_code == 409
    with parts.database.reading() as db:
        assert db.get(Totp, bob) is not None


def test_ad_06_a_company_hears_nothing_of_what_the_one_before_asked_for(
    ada: Administrator, administrator: At, parts: Parts, company: str, bob: str, clock: Clock
) -> None:
    with parts.database.transaction() as db:
        db.add(Totp(account_id=bob, sealed_secret="x", last_step=0, created_at=int(clock())))
    do(ada, company, bob, "factors", reason="She stood before me.")
    do(ada, company, bob, "remove")
    other = add_company(parts, "Other")
    add_person(parts, "eve@other.example", company=other, role="administrator")
    with parts.database.transaction() as db:
        add_member(db, other, bob, "member", actor="operator:test", now=clock(), vouched=True)
    eve = administrator("eve@other.example")
    eve.sign_in()
    at = f"/companies/{other}/people/{bob}"
    page = eve.get(at)
    assert page.status_code == 200 and "She stood before me." not in text(page)
    answer = eve.open("POST", f"{at}/factors/agree", data={"csrf": eve.token(page), "answer": "yes"})
    assert answer.status_code == 409


def test_somebody_of_the_provider_is_not_a_companys_to_change(ada: Administrator, parts: Parts, company: str) -> None:
    olga = add_person(parts, "olga@acme.example", company=company, staff="operator")
    assert do(ada, company, olga, "suspend").status_code == 409
    assert state_of(parts, olga) == "active"


def test_there_is_no_password_to_set_or_see(ada: Administrator, company: str, bob: str) -> None:
    shown = text(ada.get(f"/companies/{company}/people/{bob}"))
    assert 'type="password"' not in shown and "argon2" not in shown


ACTS = (
    "role",
    "break-glass",
    "suspend",
    "reactivate",
    "resend",
    "sign-out",
    "seats",
    "remove",
    "factors",
    "factors/agree",
)


@pytest.mark.parametrize("act", ["", *ACTS])
def test_people_of_another_company_are_not_there(
    ada: Administrator, administrator: At, parts: Parts, company: str, act: str
) -> None:
    """Neither under the other company's address nor under one's own."""
    other = add_company(parts, "Other")
    eve = add_person(parts, "eve@other.example", company=other)
    token = ada.token(ada.get(f"/companies/{company}/people"))
    for at in (company, other):
        address = f"/companies/{at}/people/{eve}" + (f"/{act}" if act else "")
        fields = {"csrf": token, "role": "administrator", "named": "yes", "answer": "yes", "reason": "x"}
        answer = ada.open("POST", address, data=fields) if act else ada.open("GET", address)
        assert answer.status_code == 404
    with parts.database.reading() as db:
        assert db.get_one(Member, eve).role == "member"
    assert state_of(parts, eve) == "active"


@pytest.mark.parametrize("act", ACTS)
def test_who_may_only_look_changes_nothing(administrator: At, parts: Parts, company: str, bob: str, act: str) -> None:
    rosa = add_person(parts, "rosa@acme.example", company=company)
    with parts.database.transaction() as db:
        set_role(db, company, rosa, "read_only", actor="operator:test", now=parts.clock())
    browser = administrator("rosa@acme.example")
    page = browser.sign_in(f"/companies/{company}/people/{bob}")
    assert page.status_code == 200
    at = f"/companies/{company}/people/{bob}/{act}"
    assert browser.open("POST", at, data={"csrf": browser.token(page)}).status_code == 403
