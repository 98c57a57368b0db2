"""Who comes through a social door: found, linked after a proof, or an account after the terms."""

from __future__ import annotations

import dataclasses

import pytest
from flask import Flask

from idp.accounts.lifecycle import suspend
from idp.accounts.sessions import sessions_of
from idp.models import Account, AuditEvent, Company, Email, HeldAddress, Link, Member
from idp.parts import Parts
from tests.company_walker import come_back, reason_of, request_at, sign_in
from tests.conftest import Clock
from tests.journey import PASSWORD, Walker, add_carol
from tests.newcomers import (
    come,
    facebook,
    google,
    handle_in,
    is_signed_in,
    links,
    mailed,
    mails,
    opened,
    text,
    with_newcomers,
)
from tests.saml_parties import Customer, belong, decide_for

TERMS = {"terms_url": "https://example.org/terms", "privacy_url": "https://example.org/privacy", "terms_version": "v1"}


@pytest.fixture
def app(parts: Parts) -> Flask:
    return with_newcomers(dataclasses.replace(parts, config=parts.config.model_copy(update=TERMS)))


def test_an_account_after_the_terms_and_later_simply_in(walker: Walker, parts: Parts) -> None:
    page = come(walker, google())
    assert 'id="welcome-page"' in text(page)
    refused = walker.submit(page, "/login/welcome")
    assert refused.status_code == 400
    assert walker.submit(page, "/login/welcome", terms="yes", version="v0").status_code == 400
    assert links(parts) == []
    done = walker.follow(walker.submit(page, "/login/welcome", terms="yes"))
    assert opened(walker, done)
    with parts.database.reading() as db:
        account = db.query(Account).one()
        assert (account.terms_version, account.terms_accepted_at) == ("v1", int(parts.clock()))
        assert account.profile == {"name": "Carol Example"}
        assert account.emails[0].verified_at is not None
        assert account.password is None
        assert db.query(AuditEvent).filter_by(event="person.terms_accepted").one().facts == {"version": "v1"}
    assert [session.door for session in sessions_of(parts.store, account.id, parts.clock())] == ["google"]
    assert mails(parts) == []
    again = Walker(walker.app, parts)
    assert opened(again, come(again, google(email="changed@example.org")))
    assert links(parts) == [("google", "g-1", "provider")]


def test_a_hostile_name_is_left_out(walker: Walker, parts: Parts) -> None:
    page = come(walker, google(name="Carol\u202e<script>alert(1)</script>\x00" + "x" * 5000))
    assert "<script>alert" not in text(page)
    assert opened(walker, walker.follow(walker.submit(page, "/login/welcome", terms="yes")))
    with parts.database.reading() as db:
        assert db.query(Account).one().profile == {}


def test_the_password_links(walker: Walker, parts: Parts) -> None:
    carol = add_carol(parts)
    page = come(walker, google())
    assert 'id="link-page"' in text(page)
    assert walker.submit(page, "/login/link", password="not hers").status_code == 400
    done = walker.follow(walker.submit(page, "/login/link", password=PASSWORD))
    assert opened(walker, done)
    assert links(parts) == [("google", "g-1", "password")]
    assert mails(parts) == [("linked", "carol@example.org")]
    assert mailed(parts, "linked").startswith("/me/links/undo?t=")
    with parts.database.reading() as db:
        assert db.query(Link).one().account_id == carol


def test_the_mail_links_and_the_provider_is_asked_once_more(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    page = come(walker, google())
    assert "carol@example.org" in text(walker.submit(page, "/login/link/send"))
    link = mailed(parts, "link_account")
    for _ in range(3):
        walker.open("HEAD", link)
    confirm = walker.follow(walker.get(link))
    assert links(parts) == []
    walker.submit(confirm, "/login/link/mail")
    assert links(parts) == [("google", "g-1", "mail")]
    assert not is_signed_in(walker)
    assert opened(walker, come(walker, google()))


def test_the_page_is_the_same_whatever_opens_the_account(walker: Walker, parts: Parts, acme: Customer) -> None:
    add_carol(parts)
    add_carol(parts, "none@example.org", None)
    prepared = add_carol(parts, "alice@acme.example", None)
    belong(parts.database, acme, prepared, now=parts.clock())
    with parts.database.transaction() as db:
        db.get_one(Member, prepared).prepared = True
    pages = []
    for number, email in enumerate(("carol@example.org", "none@example.org", "alice@acme.example")):
        other = Walker(walker.app, parts)
        page = come(other, google(f"g-{number}", email))
        varying = ("value=", "@", "/language")
        pages.append([line for line in text(page).splitlines() if not any(part in line for part in varying)])
    assert pages[0] == pages[1] == pages[2]


def test_another_door_links_if_it_opens_the_same_account(walker: Walker, parts: Parts) -> None:
    carol = add_carol(parts)
    walker.follow(walker.submit(come(walker, google()), "/login/link", password=PASSWORD))
    fresh = Walker(walker.app, parts)
    github = dataclasses.replace(google("h-1"), door="github", issuer="https://github.example")
    page = come(fresh, github)
    handle = handle_in(page)
    led = fresh.submit(page, "/login/link", door="google")
    assert "/login/social/google?p=" in text(led)
    assert opened(fresh, come(fresh, google(), handle))
    assert links(parts) == [("google", "g-1", "password"), ("github", "h-1", "social")]
    with parts.database.reading() as db:
        assert {link.account_id for link in db.query(Link)} == {carol}
    again = Walker(walker.app, parts)
    assert opened(again, come(again, github))


def test_the_company_s_door_links_if_it_opens_the_same_account(walker: Walker, parts: Parts, acme: Customer) -> None:
    with parts.database.transaction() as db:
        db.get_one(Company, acme.company_id).doors = ["password", "social"]
    sign_in(walker, acme)  # alice has an account that her company opens, and no password
    fresh = Walker(walker.app, parts)
    page = come(fresh, google("g-9", "alice@acme.example"))
    page = fresh.follow(fresh.submit(page, "/login/link", door="company"))
    page = fresh.follow(fresh.submit(page, "/login/company", username="alice@acme.example"))
    assert opened(fresh, fresh.follow(come_back(fresh, acme, request_at(page))))
    assert links(parts)[1:] == [("google", "g-9", "company")]


def test_an_unbelieved_address_is_proved_by_mail_before_an_account_exists(walker: Walker, parts: Parts) -> None:
    page = come(walker, facebook())
    assert 'id="address-page"' in text(page)
    assert walker.submit(page, "/login/address", username="nonsense").status_code == 400
    sent = walker.submit(page, "/login/address", username="carol@example.org")
    assert 'id="address-sent-page"' in text(sent)
    confirm = walker.follow(walker.get(mailed(parts, "prove_address")))
    with parts.database.reading() as db:
        assert db.query(Account).count() == 0
    page = walker.follow(walker.submit(confirm, "/login/address/mail"))
    assert 'id="welcome-page"' in text(page)
    walker.submit(page, "/login/welcome", terms="yes")
    assert links(parts) == [("facebook", "f-1", "mail")]
    assert not is_signed_in(walker)
    assert opened(walker, come(walker, facebook()))


def test_the_answer_is_the_same_for_every_address_and_mails_are_few(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    page = come(walker, facebook())
    answers = [walker.submit(page, "/login/address", username=who) for who in ("carol@example.org", "x@example.org")]
    shown = [text(answer).replace("carol@example.org", "x@example.org").splitlines() for answer in answers]
    assert [line for line in shown[0] if "csrf" not in line] == [line for line in shown[1] if "csrf" not in line]
    assert {name for name, _ in mails(parts)} == {"prove_address"}
    statuses = [walker.submit(page, "/login/address", username="carol@example.org").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


def test_a_suspended_account_stays_closed(walker: Walker, parts: Parts) -> None:
    carol = add_carol(parts)
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, carol), actor="operator:test", now=parts.clock())
    assert 'id="error-page"' in text(come(walker, google()))
    assert links(parts) == []


def test_a_newcomer_never_becomes_a_member(walker: Walker, parts: Parts, acme: Customer) -> None:
    with parts.database.transaction() as db:
        db.get_one(Company, acme.company_id).doors = ["password", "social"]
    page = come(walker, google(email="new@acme.example"))
    walker.submit(page, "/login/welcome", terms="yes")
    with parts.database.reading() as db:
        assert db.query(Email).filter_by(canonical="new@acme.example").count() == 1
        assert db.query(Member).count() == 0


# --- an address that another account has just left ------------------------------------------------------------------------------


def leave_lately(parts: Parts, address: str) -> None:
    """Somebody had an address until a moment ago, and has another one now (``accounts/emails.py``)."""
    somebody = add_carol(parts, "somebody@example.net")
    with parts.database.transaction() as db:
        db.add(HeldAddress(canonical=address, account_id=somebody, until=int(parts.clock()) + 7 * 24 * 3600))


def came_to_nothing(parts: Parts) -> bool:
    with parts.database.reading() as db:
        return db.query(Account).count() == 1 and db.query(Link).count() == 0


def test_who_has_an_address_that_was_just_left_is_told_why_there_is_no_account(
    walker: Walker, parts: Parts, clock: Clock
) -> None:
    leave_lately(parts, "carol@example.org")
    page = walker.follow(walker.submit(come(walker, google()), "/login/welcome", terms="yes"))
    assert page.status_code == 403 and reason_of(page, parts) == "address_held"
    assert came_to_nothing(parts)
    clock.advance(7 * 24 * 3600)
    later = Walker(walker.app, parts)
    assert opened(later, later.follow(later.submit(come(later, google()), "/login/welcome", terms="yes")))


def test_also_when_the_address_was_proved_by_mail(walker: Walker, parts: Parts) -> None:
    leave_lately(parts, "carol@example.org")
    walker.submit(come(walker, facebook()), "/login/address", username="carol@example.org")
    page = walker.follow(walker.get(mailed(parts, "prove_address")))
    page = walker.follow(walker.submit(page, "/login/address/mail"))
    page = walker.follow(walker.submit(page, "/login/welcome", terms="yes"))
    assert page.status_code == 403 and reason_of(page, parts) == "address_held"
    assert came_to_nothing(parts)


def test_also_when_a_company_sends_them(walker: Walker, parts: Parts, acme: Customer) -> None:
    decide_for(parts.database, acme, jit=True)
    leave_lately(parts, "alice@acme.example")
    page = sign_in(walker, acme)
    assert page.status_code == 403 and reason_of(page, parts) == "address_held"
    assert came_to_nothing(parts)
