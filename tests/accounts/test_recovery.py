"""The recovery address: asked for by its person, agreed to by its mailbox, announced, taken away, taken back."""

from __future__ import annotations

import re

import pytest

from idp.accounts.lifecycle import end_everything, suspend
from idp.accounts.recovery_address import recovery_of
from idp.audit import Event
from idp.models import Account, AuditEvent, Password
from idp.parts import Parts
from tests.conftest import Clock
from tests.forgetful import ask, mails, reset_link, set_new
from tests.journey import Walker, add_carol
from tests.newcomers import is_signed_in, mailed, text, unverify
from tests.saml_parties import Customer, decide_for

HOME = "carol@home.example"


@pytest.fixture
def carol(parts: Parts) -> str:
    return add_carol(parts)


@pytest.fixture
def signed_in(walker: Walker, carol: str) -> Walker:
    walker.sign_in(walker.follow(walker.get("/login")))
    return walker


def address_of(parts: Parts, account_id: str) -> str | None:
    with parts.database.reading() as db:
        return db.get_one(Account, account_id).recovery_email


def name_it(walker: Walker, address: str = HOME) -> str:
    return text(walker.submit(walker.get("/me/recovery"), "/me/recovery", username=address))


def agree(walker: Walker, link: str) -> int:
    """Open the link in the mail and press the button; the status of the answer."""
    page = walker.follow(walker.get(link))
    if page.status_code != 200:
        return page.status_code
    return walker.submit(page, "/me/recovery/mail").status_code


def test_it_counts_once_its_mailbox_has_agreed(signed_in: Walker, parts: Parts, carol: str) -> None:
    assert "one hour" in name_it(signed_in)
    assert address_of(parts, carol) is None
    link = mailed(parts, "prove_recovery")
    for _ in range(3):  # scanners open links too
        signed_in.open("HEAD", link)
        signed_in.get(link)
    assert address_of(parts, carol) is None
    telephone = Walker(signed_in.app, parts)
    telephone.get("/login")
    assert agree(telephone, link) == 200
    assert not is_signed_in(telephone)
    assert address_of(parts, carol) == HOME
    assert mails(parts) == [("prove_recovery", HOME), ("recovery_set", "carol@example.org")]
    assert HOME in text(signed_in.get("/me/recovery"))
    assert agree(telephone, link) == 400  # once
    ask(Walker(signed_in.app, parts))
    assert mails(parts)[-2:] == [("reset_password", HOME), ("reset_at_recovery", "carol@example.org")]


def test_it_is_taken_away(signed_in: Walker, parts: Parts, carol: str) -> None:
    name_it(signed_in)
    agree(signed_in, mailed(parts, "prove_recovery"))
    page = signed_in.follow(signed_in.submit(signed_in.get("/me/recovery"), "/me/recovery/remove"))
    assert 'role="status"' in text(page)
    assert address_of(parts, carol) is None
    with parts.database.reading() as db:
        events = [event.event for event in db.query(AuditEvent).filter(AuditEvent.event.like("person.recovery%"))]
    assert events == ["person.recovery_set", "person.recovery_removed"]
    assert mails(parts)[-1] == ("recovery_removed", "carol@example.org")


def test_the_owner_takes_it_back_from_the_mail(signed_in: Walker, parts: Parts, carol: str) -> None:
    """Somebody at an open browser has named an address of theirs."""
    name_it(signed_in, "mallory@evil.example")
    agree(signed_in, mailed(parts, "prove_recovery"))
    owner = Walker(signed_in.app, parts)
    owner.get("/login")
    link = mailed(parts, "recovery_set")
    page = owner.follow(owner.get(link))
    assert "mallory@evil.example" in text(page)
    assert address_of(parts, carol) == "mallory@evil.example"
    done = owner.submit(page, "/me/recovery/undo")
    assert 'role="status"' in text(done)
    assert address_of(parts, carol) is None
    assert not is_signed_in(signed_in)
    assert owner.follow(owner.get(link)).status_code == 400


def test_who_has_signed_in_long_ago_proves_it_anew(signed_in: Walker, parts: Parts, carol: str, clock: Clock) -> None:
    page = signed_in.get("/me/recovery")
    clock.advance(16 * 60)
    answer = signed_in.submit(page, "/me/recovery", username=HOME)
    assert answer.status_code == 303
    assert answer.location.startswith("/login?again=")
    token = re.findall(r'name="csrf" value="([^"]*)"', text(page))[0]
    removed = signed_in.open("POST", "/me/recovery/remove", data={"csrf": token})
    assert removed.location.startswith("/login?again=")
    assert signed_in.get("/me/recovery").location.startswith("/login?again=")
    assert mails(parts) == []


@pytest.mark.parametrize("path", ["/me/recovery", "/me/recovery/remove"])
def test_nobody_without_a_session_gets_anywhere(walker: Walker, path: str) -> None:
    page = walker.follow(walker.get("/login"))
    token = re.findall(r'name="csrf" value="([^"]*)"', text(page))[0]
    assert walker.open("POST", path, data={"csrf": token, "username": HOME}).location == "/login"
    assert walker.get("/me/recovery").location == "/login"


@pytest.mark.parametrize("wrong", ["carol", "a@x.example,b@y.example", "CAROL@example.org", "carol@example.org"])
def test_an_address_that_would_not_help_is_refused(signed_in: Walker, parts: Parts, carol: str, wrong: str) -> None:
    page = signed_in.submit(signed_in.get("/me/recovery"), "/me/recovery", username=wrong)
    assert page.status_code == 400
    assert 'role="alert"' in text(page)
    assert mails(parts) == []


def test_how_many_mails_one_can_cause_is_bounded(signed_in: Walker, parts: Parts) -> None:
    page = signed_in.get("/me/recovery")
    statuses = [signed_in.submit(page, "/me/recovery", username=HOME).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


def test_only_the_newest_link_counts_and_only_for_an_hour(
    signed_in: Walker, parts: Parts, carol: str, clock: Clock
) -> None:
    name_it(signed_in, "first@home.example")
    older = mailed(parts, "prove_recovery")
    name_it(signed_in)
    assert agree(signed_in, older) == 400
    clock.advance(3600)
    assert agree(signed_in, mailed(parts, "prove_recovery")) == 400
    assert address_of(parts, carol) is None


def test_rc_10_a_link_that_a_stranger_has_asked_for_ends_with_what_is_taken_from_them(
    signed_in: Walker, parts: Parts, carol: str
) -> None:
    """Mallory, at an open browser, names her address; Carol sets another password before Mallory reads her mail."""
    name_it(signed_in, "mallory@evil.example")
    link = mailed(parts, "prove_recovery")
    owner = Walker(signed_in.app, parts)
    ask(owner)
    set_new(owner, reset_link(parts))
    assert agree(signed_in, link) == 400
    assert address_of(parts, carol) is None


@pytest.mark.parametrize("path", ["/me/sign-out-everywhere"])
def test_signing_out_everywhere_ends_the_link_as_well(signed_in: Walker, parts: Parts, carol: str, path: str) -> None:
    name_it(signed_in)
    signed_in.submit(signed_in.get("/me"), path)
    assert agree(signed_in, mailed(parts, "prove_recovery")) == 400


def test_whoever_was_thrown_out_meanwhile_asks_for_none(
    signed_in: Walker, parts: Parts, carol: str, clock: Clock
) -> None:
    """A link that is made after all links were ended would outlive it."""
    page = signed_in.get("/me/recovery")
    with parts.database.transaction() as db:
        event = Event.person_signed_out_everywhere
        end_everything(db, carol, event=event, actor=f"person:{carol}", now=clock())
    assert signed_in.submit(page, "/me/recovery", username=HOME).location == "/login"
    assert mails(parts) == []


def test_a_suspended_account_takes_none(signed_in: Walker, parts: Parts, carol: str) -> None:
    name_it(signed_in)
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, carol), actor="operator:test", now=parts.clock())
    assert agree(signed_in, mailed(parts, "prove_recovery")) == 400


def test_rc_10_who_has_not_proved_their_own_address_can_have_none(signed_in: Walker, parts: Parts, carol: str) -> None:
    name_it(signed_in)
    unverify(parts, carol)
    assert 'id="recovery-submit"' not in text(signed_in.get("/me/recovery"))
    assert agree(signed_in, mailed(parts, "prove_recovery")) == 400
    assert address_of(parts, carol) is None


def test_whom_their_company_signs_in_and_who_has_no_password_need_none(parts: Parts, acme: Customer) -> None:
    alice = add_carol(parts, "alice@acme.example")
    with parts.database.transaction() as db:
        db.delete(db.get_one(Password, alice))
    decide_for(parts.database, acme, sso="required")
    with parts.database.reading() as db:
        assert recovery_of(db, alice).hindrance == "company"
    decide_for(parts.database, acme, sso="optional", doors=["password"])
    with parts.database.reading() as db:
        assert recovery_of(db, alice).hindrance == "no_password"


def test_rc_03_a_proof_of_one_purpose_is_none_of_another(signed_in: Walker, parts: Parts, carol: str) -> None:
    name_it(signed_in)
    secret = mailed(parts, "prove_recovery").partition("=")[2]
    for path in ("/reset", "/me/recovery/undo", "/me/not-me", "/login/link/mail"):
        assert signed_in.follow(signed_in.get(f"{path}?t={secret}")).status_code == 400
    assert agree(signed_in, f"/me/recovery/mail?t={secret}") == 200
