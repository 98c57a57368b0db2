"""Signing up, from the sign-in page to the product; which mail an address gets; what the link makes, once."""

from __future__ import annotations

import dataclasses
import re

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from idp.accounts.lifecycle import suspend
from idp.accounts.signing_up import LIFETIME
from idp.app import create_app
from idp.models import Account, Email, Invitation, Link, MailedLink, OutboxMail
from idp.parts import Parts
from tests import canaries
from tests.conftest import Clock
from tests.forgetful import NEW, mails
from tests.journey import PASSWORD, Walker, add_carol
from tests.newcomers import text, with_newcomers
from tests.saml_parties import Customer, belong, decide_for

NEWCOMER = "nora@example.org"


@pytest.fixture
def app(parts: Parts) -> Flask:
    """With terms of service, and Google among the providers."""
    terms = {
        "terms_url": "https://example.org/terms",
        "privacy_url": "https://example.org/privacy",
        "terms_version": "2026-11",
    }
    return with_newcomers(dataclasses.replace(parts, config=parts.config.model_copy(update=terms)))


def ask(walker: Walker, email: str = NEWCOMER) -> TestResponse:
    """Ask for the mail in a sign-in that a product has begun."""
    page = walker.follow(walker.az())
    link = re.search(r'id="sign-up" href="([^"]*)"', text(page))
    assert link is not None
    return walker.submit(walker.get(link[1].replace("&amp;", "&")), "/sign-up", username=email)


def verify_link(parts: Parts, number: int = -1) -> str:
    """The path in one of the mails with a link, the newest unless said otherwise."""
    with parts.database.reading() as db:
        mail = db.query(OutboxMail).filter_by(name="verify_address").order_by(OutboxMail.id).all()[number]
        link = parts.sealer.open(mail.values["sealed"], f"verify_address {mail.recipient}")["link"]
    canaries.register(link.partition("=")[2], "link in a mail")
    return str(link)


def choose(walker: Walker, link: str, password: str = NEW, **fields: str | None) -> TestResponse:
    """Open a link, choose a password, accept the terms; wherever that leads."""
    page = walker.follow(walker.get(link))
    assert 'id="verify-page"' in text(page), text(page)
    return walker.follow(
        walker.submit(page, "/verify", **{"password": password, "name": "Nora", "terms": "yes", **fields})
    )


def accounts(parts: Parts) -> list[str]:
    with parts.database.reading() as db:
        return [email.canonical for email in db.query(Email).order_by(Email.id)]


def test_s2_from_the_sign_in_page_to_the_product(walker: Walker, parts: Parts, clock: Clock) -> None:
    sent = ask(walker, "Nora@Example.org")
    assert 'id="sign-up-sent-page"' in text(sent) and "Nora@Example.org" in text(sent)
    assert accounts(parts) == []  # nothing before the address is proved
    done = choose(walker, verify_link(parts))
    assert "code" in walker.answer_of(done)
    with parts.database.reading() as db:
        [account] = db.query(Account)
        [email] = account.emails
        assert (email.address, email.canonical, email.verified_at) == ("Nora@example.org", NEWCOMER, int(clock()))
        assert account.profile == {"name": "Nora"}
        assert (account.terms_version, account.terms_accepted_at) == ("2026-11", int(clock()))
    again = Walker(walker.app, parts)
    assert "code" in again.answer_of(again.sign_in(again.az(), NEWCOMER, NEW))


def test_a_browser_lets_the_form_end_at_the_product(walker: Walker, parts: Parts) -> None:
    """Chromium applies form-action to the redirects after a form too; in another browser it ends here."""
    ask(walker)
    link = verify_link(parts)
    page = walker.follow(walker.get(link))
    assert "form-action 'self' https://rp1.example" in page.headers["Content-Security-Policy"]
    elsewhere = Walker(walker.app, parts)
    assert "form-action 'self';" in elsewhere.follow(elsewhere.get(link)).headers["Content-Security-Policy"]


def test_in_another_browser_it_ends_at_my_account(walker: Walker, parts: Parts) -> None:
    ask(walker)
    telephone = Walker(walker.app, parts)
    assert choose(telephone, verify_link(parts)).request.path == "/me"
    assert walker.get("/me").status_code == 303  # who asked is not signed in by it


def test_it_can_be_asked_without_a_product(walker: Walker, parts: Parts) -> None:
    page = walker.follow(walker.get("/sign-up"))
    assert 'id="sign-up-sent-page"' in text(walker.submit(page, "/sign-up", username=NEWCOMER))
    assert choose(walker, verify_link(parts)).request.path == "/me"


def test_the_name_may_be_left_out(walker: Walker, parts: Parts) -> None:
    ask(walker)
    choose(walker, verify_link(parts), name="")
    with parts.database.reading() as db:
        assert db.query(Account).one().profile == {}


def test_a_weak_password_or_no_terms_make_nothing_and_the_link_stays(walker: Walker, parts: Parts) -> None:
    ask(walker)
    link = verify_link(parts)
    for fields in ({"password": "nora1234"}, {"password": "short"}, {"terms": None}, {"version": "1999"}):
        page = choose(walker, link, **fields)  # type: ignore[arg-type]  # fields, not a password
        assert page.status_code == 400 and 'id="verify-page"' in text(page)
        assert 'value="Nora"' in text(page)  # what was typed is not lost
    assert accounts(parts) == []
    assert "code" in walker.answer_of(choose(walker, link))


@pytest.mark.parametrize(
    "typed", ["", "nora", "nora@", "a@x.example,b@y.example", "nora@example.org\r\nBcc: a@x.example", "n" * 400]
)
def test_what_is_no_address_is_said_on_the_page(walker: Walker, parts: Parts, typed: str) -> None:
    page = ask(walker, typed)
    assert page.status_code == 400 and 'id="sign-up-page"' in text(page)
    assert mails(parts) == []


def test_every_address_is_answered_alike_and_its_mail_says_what_to_do(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    add_carol(parts, "pass@example.org", None)
    dave = add_carol(parts, "dave@example.org")
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, dave), actor="operator:test", now=parts.clock())
    pages = set()
    for email in ("carol@example.org", "pass@example.org", "dave@example.org", "nora@example.org"):
        page = ask(Walker(walker.app, parts), email)
        body = re.sub(r'p(=|%3D)[^"&]*|(name="(?:csrf|p)" value=")[^"]*', "", text(page)).replace(email, "ADDRESS")
        pages.add((page.status_code, body))
    assert len(pages) == 1
    assert [name for name, _ in mails(parts)] == ["already_here", "already_here", "account_suspended", "verify_address"]


def ways_told(parts: Parts) -> dict[str, str]:
    with parts.database.reading() as db:
        values = db.query(OutboxMail).filter_by(name="already_here").order_by(OutboxMail.id).all()[-1].values
    return {name: values[name] for name in ("password", "employer", "providers", "invited") if values[name]}


def test_the_mail_to_who_is_known_says_how_they_sign_in(walker: Walker, parts: Parts, acme: Customer) -> None:
    carol = add_carol(parts)
    ask(walker, "carol@example.org")
    assert ways_told(parts) == {"password": "yes"}
    with parts.database.transaction() as db:
        db.add(Link(account_id=carol, issuer="https://g.example", subject="1", door="google", created_at=0))
    ask(walker, "carol@example.org")
    assert ways_told(parts) == {"password": "yes", "providers": "Google"}
    invited = add_carol(parts, "invited@example.org", None)
    with parts.database.transaction() as db:
        db.add(Invitation(account_id=invited, created_at=0))
    ask(walker, "invited@example.org")
    assert ways_told(parts) == {"invited": "yes"}
    alice = add_carol(parts, "alice@acme.example", None)
    belong(parts.database, acme, alice, now=parts.clock())
    with parts.database.transaction() as db:
        db.add(Link(account_id=alice, issuer="company:x", subject="1", door="company", created_at=0))
    ask(walker, "alice@acme.example")
    assert ways_told(parts) == {"employer": "Acme"}


def test_who_must_sign_in_at_their_company_is_led_there_whoever_they_are(
    walker: Walker, parts: Parts, acme: Customer
) -> None:
    add_carol(parts, "alice@acme.example")
    decide_for(parts.database, acme, sso="required")
    for email in ("alice@acme.example", "nobody@acme.example"):
        page = ask(walker, email)
        assert page.status_code == 403 and 'id="closed-page"' in text(page)
    assert mails(parts) == []


def test_a_company_that_requires_sso_meanwhile_has_the_last_word(walker: Walker, parts: Parts, acme: Customer) -> None:
    ask(walker, "nora@acme.example")
    decide_for(parts.database, acme, sso="required")
    page = choose(walker, verify_link(parts))
    assert page.status_code == 403 and 'id="closed-page"' in text(page)
    assert accounts(parts) == []


def test_a_second_factor_that_the_company_demands_is_set_up_without_another_mail(
    walker: Walker, parts: Parts, acme: Customer
) -> None:
    """The link was in a mail: a mailed code would prove nothing more."""
    decide_for(parts.database, acme, second_factor_from=int(parts.clock()) - 1)
    ask(walker, "nora@acme.example")
    page = choose(walker, verify_link(parts))
    assert page.request.path == "/login/second/set-up"
    assert [name for name, _ in mails(parts)] == ["verify_address"]


def test_rc_08_opening_the_link_uses_nothing_up(walker: Walker, parts: Parts) -> None:
    ask(walker)
    link = verify_link(parts)
    for scanner in (Walker(walker.app, parts) for _ in range(3)):
        scanner.follow(scanner.get(link))
        scanner.open("HEAD", link)
    assert accounts(parts) == []
    assert "code" in walker.answer_of(choose(walker, link))


def test_rc_02_a_link_makes_one_account_and_then_nothing(walker: Walker, parts: Parts) -> None:
    ask(walker)
    ask(walker)
    first, second = verify_link(parts, 0), verify_link(parts, 1)
    choose(walker, second)
    for link in (first, second):
        page = Walker(walker.app, parts)
        assert page.follow(page.get(link)).status_code == 400
    assert accounts(parts) == [NEWCOMER]


def test_rc_02_after_a_day_it_is_over(walker: Walker, parts: Parts, clock: Clock) -> None:
    ask(walker)
    link = verify_link(parts)
    clock.advance(LIFETIME)
    assert walker.follow(walker.get(link)).status_code == 400


def test_rc_03_the_form_cannot_name_another_address(walker: Walker, parts: Parts) -> None:
    ask(walker)
    choose(walker, verify_link(parts), username="carol@example.org", email="carol@example.org", account_id="x")
    assert accounts(parts) == [NEWCOMER]


def test_rc_04_the_secret_leaves_the_address_and_no_page_sends_it_on(walker: Walker, parts: Parts) -> None:
    ask(walker)
    opened = walker.get(verify_link(parts))
    assert (opened.status_code, opened.location) == (303, "/verify")
    page = walker.follow(opened)
    assert page.headers["Referrer-Policy"] == "no-referrer" and "no-store" in page.headers["Cache-Control"]


@pytest.mark.parametrize("secret", ["", "x", "A" * 43, "A" * 5000, "%00" * 43])
def test_a_link_that_is_none_of_ours_is_one_page_with_the_way_on(walker: Walker, secret: str) -> None:
    page = walker.follow(walker.get(f"/verify?t={secret}"))
    assert page.status_code == 400 and 'id="sign-up-again"' in text(page)


def test_rc_10_whoever_signs_up_with_anothers_address_gains_nothing(walker: Walker, parts: Parts) -> None:
    """Mallory asks with Carol's address and waits; Carol, who never asked, opens the link and chooses: the account is hers alone."""
    mallory = Walker(walker.app, parts)
    ask(mallory, "carol@example.org")
    carol = Walker(walker.app, parts)
    choose(carol, verify_link(parts))
    assert mallory.get("/me").status_code == 303
    assert mallory.sign_in(mallory.get("/login"), "carol@example.org", PASSWORD).status_code == 400
    assert mallory.follow(mallory.get("/verify")).status_code == 400


def test_rc_09_the_secret_is_stored_as_a_hash(walker: Walker, parts: Parts) -> None:
    ask(walker)
    secret = verify_link(parts).partition("=")[2]
    with parts.database.reading() as db:
        [link] = db.query(MailedLink)
        assert len(secret) == 43 and secret not in str(vars(link))


def test_mails_to_one_mailbox_are_bounded(walker: Walker, parts: Parts) -> None:
    statuses = [ask(walker).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert len(mails(parts)) == 3


def test_without_terms_none_are_asked_for(parts: Parts) -> None:
    walker = Walker(create_app(parts), parts)
    ask(walker)
    page = walker.follow(walker.get(verify_link(parts)))
    assert 'id="terms"' not in text(page)
    assert "code" in walker.answer_of(choose(walker, verify_link(parts), terms=None))
