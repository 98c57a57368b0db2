"""An invitation, from the mail to the account that is taken: by a password, a social provider, or the company's own sign-in."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from idp.accounts.identity import Identity
from idp.accounts.lifecycle import primary_email, suspend
from idp.accounts.passwords import find_credentials
from idp.app import create_app
from idp.attempts import drain
from idp.models import Account, Attempt, AuditEvent, Device, Invitation, Link, Member, Password
from idp.parts import Parts
from idp.receipts import steps_of
from tests.company_walker import come_back, reason_of, request_at
from tests.conftest import Clock
from tests.fakes.authenticator import Authenticator
from tests.guests import FIRST, again, come_by, invitation, invited, state, take, to_provider
from tests.journey import Walker, add_carol
from tests.newcomers import come, facebook, google, is_signed_in, links, mailed, mails, text, with_newcomers
from tests.passkey_walker import options_in, passkeys
from tests.saml_parties import Customer, decide_for

ALICE = "alice@acme.example"


def over(page: TestResponse) -> bool:
    """Whether an answer says that the invitation counts no more."""
    html = text(page)
    return 'id="error-page"' in html and "invitation" in html


def proved(parts: Parts, account_id: str) -> bool:
    with parts.database.reading() as db:
        return primary_email(db.get_one(Account, account_id)).verified_at is not None


def events(parts: Parts, account_id: str) -> list[str]:
    with parts.database.reading() as db:
        return [one.event for one in db.query(AuditEvent).filter_by(account_id=account_id).order_by(AuditEvent.id)]


# --- a passkey -------------------------------------------------------------------------------------------------------------------


def by_passkey(walker: Walker, parts: Parts, device: Authenticator, **odd: Any) -> TestResponse:
    """From the mail to what becomes of the passkey."""
    assert 'href="/invite/passkey"' in text(come_by(walker, invitation(parts)))
    page = walker.get("/invite/passkey")
    return walker.submit(page, "/invite/passkey", answer=device.make(options_in(page), **odd))


def test_by_a_passkey_the_account_is_taken_and_shown_once_it_signs_in(walker: Walker, parts: Parts) -> None:
    carol, device = invited(parts), Authenticator()
    page = walker.follow(by_passkey(walker, parts, device))
    assert (page.request.path, is_signed_in(walker)) == ("/login/passkey", False)
    assert (state(parts, carol), proved(parts, carol)) == (("active", 1), True)
    walker.submit(page, "/login/passkey", answer=device.show(options_in(page)))
    assert is_signed_in(walker)
    with parts.database.reading() as db:
        assert db.get(Password, carol) is None
    assert over(come_by(walker, invitation(parts)))


@pytest.mark.parametrize("odd", [{"client_data": {"origin": "https://evil.example"}}, {"flags": 0x01}])
def test_in_03_a_passkey_that_is_not_believed_takes_no_account(
    walker: Walker, parts: Parts, odd: dict[str, Any]
) -> None:
    carol = invited(parts)
    page = by_passkey(walker, parts, Authenticator(), **odd)
    assert page.status_code == 400
    assert (state(parts, carol), proved(parts, carol)) == (("invited", 1), False)
    assert passkeys(parts) == []
    assert by_passkey(walker, parts, Authenticator()).status_code == 303  # the invitation stands


def test_in_03_a_passkey_made_for_one_invitation_takes_no_other(walker: Walker, parts: Parts) -> None:
    invited(parts)
    come_by(walker, invitation(parts))
    options = options_in(walker.get("/invite/passkey"))
    dora = invited(parts, "dora@example.org")
    other = Walker(walker.app, parts)
    come_by(other, invitation(parts))
    page = other.get("/invite/passkey")
    assert other.submit(page, "/invite/passkey", answer=Authenticator().make(options)).status_code == 400
    assert state(parts, dora) == ("invited", 1)


def test_where_a_company_closes_passwords_no_passkey_takes_an_account(
    walker: Walker, parts: Parts, acme: Customer
) -> None:
    alice = invited(parts, ALICE, acme.company_id)
    come_by(walker, invitation(parts))
    page = walker.get("/invite/passkey")
    decide_for(parts.database, acme, sso="required")
    answer = walker.submit(page, "/invite/passkey", answer=Authenticator().make(options_in(page)))
    assert (answer.status_code, answer.location) == (303, "/invite")
    assert walker.get("/invite/passkey").location == "/invite"
    assert state(parts, alice) == ("invited", 1)


# --- a password ------------------------------------------------------------------------------------------------------------------


def test_by_a_password_the_account_is_taken_and_the_person_signed_in(walker: Walker, parts: Parts) -> None:
    carol = invited(parts)
    assert (state(parts, carol), proved(parts, carol)) == (("invited", 1), False)
    page = take(walker, invitation(parts))
    assert page.request.path == "/me"
    assert is_signed_in(walker)
    assert (state(parts, carol), proved(parts, carol)) == (("active", 1), True)
    assert events(parts, carol) == [
        "person.created",
        "person.invited",
        "person.invitation_accepted",
        "person.password_set",
        "person.signed_in",
    ]
    other = Walker(walker.app, parts)
    other.sign_in(other.follow(other.get("/login")), password=FIRST)
    assert is_signed_in(other)


def test_the_page_names_the_company_and_the_address(walker: Walker, parts: Parts, acme: Customer) -> None:
    invited(parts, ALICE, acme.company_id)
    page = text(come_by(walker, invitation(parts)))
    assert "Acme has invited you" in page
    assert f'id="invited">{ALICE}<' in page
    assert f'value="{ALICE}" autocomplete="username"' in page


def test_a_member_has_the_role_of_the_invitation(walker: Walker, parts: Parts, acme: Customer) -> None:
    alice = invited(parts, ALICE, acme.company_id, "administrator")
    take(walker, invitation(parts))
    with parts.database.reading() as db:
        member = db.get_one(Member, alice)
        assert (member.role, member.prepared) == ("administrator", False)


def test_a_weak_password_is_not_taken_and_the_invitation_stays_good(walker: Walker, parts: Parts) -> None:
    invited(parts)
    page = come_by(walker, invitation(parts))
    for weak in ("short", "password", "carol@example.org", ""):
        answer = walker.submit(page, "/invite", password=weak)
        assert answer.status_code == 400
        assert 'id="invite-page"' in text(answer) and 'role="alert"' in text(answer)
    assert walker.follow(walker.submit(page, "/invite", password=FIRST)).request.path == "/me"


def test_the_companys_shortest_password_counts(walker: Walker, parts: Parts, acme: Customer) -> None:
    decide_for(parts.database, acme, shortest_password=40)
    invited(parts, ALICE, acme.company_id)
    page = come_by(walker, invitation(parts))
    assert 'minlength="40"' in text(page)
    assert walker.submit(page, "/invite", password=FIRST).status_code == 400


@pytest.fixture
def with_terms(parts: Parts) -> Parts:
    terms = {
        "terms_url": "https://example.org/t",
        "privacy_url": "https://example.org/p",
        "terms_version": "2026-11",
    }
    return dataclasses.replace(parts, config=parts.config.model_copy(update=terms))


def test_terms_are_accepted_in_the_version_that_was_shown(with_terms: Parts) -> None:
    walker = Walker(create_app(with_terms), with_terms)
    carol = invited(with_terms)
    page = come_by(walker, invitation(with_terms))
    for fields in ({}, {"terms": "no"}, {"terms": "yes", "version": "2025-01"}):
        answer = walker.submit(page, "/invite", password=FIRST, **fields)
        assert answer.status_code == 400 and 'id="terms"' in text(answer)
    walker.submit(page, "/invite", password=FIRST, terms="yes")
    with with_terms.database.reading() as db:
        account = db.get_one(Account, carol)
        assert (account.terms_version, account.terms_accepted_at) == ("2026-11", int(with_terms.clock()))


def test_a_second_factor_that_the_company_demands_is_set_up_at_once(
    walker: Walker, parts: Parts, acme: Customer
) -> None:
    """The mail that was just read proves as much as a mailed code could."""
    decide_for(parts.database, acme, second_factor_from=int(parts.clock()) - 1)
    invited(parts, ALICE, acme.company_id)
    page = take(walker, invitation(parts))
    assert page.request.path == "/login/second/set-up"
    assert not is_signed_in(walker)


def test_who_sat_at_the_browser_as_somebody_else_is_signed_out_there(walker: Walker, parts: Parts) -> None:
    add_carol(parts, "dora@example.org")
    walker.sign_in(walker.follow(walker.get("/login")), "dora@example.org")
    invited(parts)
    take(walker, invitation(parts))
    assert "carol@example.org" in text(walker.get("/me"))


def test_the_receipt_tells_support(walker: Walker, parts: Parts) -> None:
    carol = invited(parts)
    take(walker, invitation(parts))
    parts.attempts.flush()
    drain(parts.store, parts.database)
    with parts.database.reading() as db:
        [attempt] = db.query(Attempt).filter_by(account_id=carol)
        names = [step.name for step in steps_of(db, attempt.code)]
    assert "invitation_accepted" in names and "session_opened" in names


# --- a social provider -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def open_app(parts: Parts) -> Flask:
    return with_newcomers(parts)


@pytest.mark.parametrize(
    "identity",
    [
        google(),
        google("g-2", "carol.private@gmail.example"),
        google("g-3", None),
        facebook(),
        facebook("f-2", "elsewhere@example.net"),
    ],
    ids=["the same address", "another", "none", "not believed", "another, not believed"],
)
def test_by_a_social_provider_whatever_address_it_names(open_app: Flask, parts: Parts, identity: Identity) -> None:
    walker = Walker(open_app, parts)
    carol = invited(parts)
    handle = to_provider(walker, invitation(parts), identity.door)
    page = come(walker, identity, handle)
    assert 'id="invite-social-page"' in text(page)
    assert not proved(parts, carol) and links(parts) == []
    answer = walker.submit(page, "/invite/social")
    assert f"/login/social/{identity.door}?p=" in text(answer)
    assert links(parts) == [(identity.door, identity.subject, "mail")]
    assert (state(parts, carol), proved(parts, carol)) == (("active", 1), True)
    assert not is_signed_in(walker)
    assert come(walker, identity, handle).request.path == "/me"
    assert is_signed_in(walker)
    assert ("linked", "carol@example.org") in mails(parts)


def test_a_social_account_that_opens_another_account_is_not_moved(open_app: Flask, parts: Parts) -> None:
    walker = Walker(open_app, parts)
    dora = add_carol(parts, "dora@example.org", None)
    add = Walker(open_app, parts)
    add.submit(come(add, google("g-d", "dora@example.org")), "/login/link/send")
    page = add.follow(add.get(mailed(parts, "link_account")))
    add.submit(page, "/login/link/mail")
    carol = invited(parts)
    handle = to_provider(walker, invitation(parts))
    page = come(walker, google("g-d", "dora@example.org"), handle)
    assert reason_of(page, parts) == "link_other_account"
    assert not is_signed_in(walker)
    assert state(parts, carol) == ("invited", 1)
    with parts.database.reading() as db:
        assert [link.account_id for link in db.query(Link)] == [dora]


def test_only_who_the_page_was_shown_for_is_linked(open_app: Flask, parts: Parts) -> None:
    walker = Walker(open_app, parts)
    invited(parts)
    handle = to_provider(walker, invitation(parts))
    page = come(walker, google("g-1"), handle)
    come(walker, google("g-2", "other@gmail.example"), handle)
    answer = walker.submit(page, "/invite/social")
    assert answer.status_code == 303 and answer.location.startswith("/invite/social?")
    assert links(parts) == []


def test_the_social_page_needs_an_invitation_and_somebody_who_came(walker: Walker, parts: Parts) -> None:
    invited(parts)
    come_by(walker, invitation(parts))
    page = walker.follow(walker.az())
    handle = re.findall(r'name="p" value="([^"]*)"', text(page))[0]
    assert walker.get(f"/invite/social?p={handle}").status_code == 400
    assert walker.get("/invite/social?p=x").status_code == 400


# --- the company's own sign-in -----------------------------------------------------------------------------------------------------


def test_by_the_companys_own_sign_in(walker: Walker, parts: Parts, acme: Customer) -> None:
    decide_for(parts.database, acme, sso="required", jit=False)
    alice = invited(parts, ALICE, acme.company_id)
    page = come_by(walker, invitation(parts))
    html = text(page)
    assert 'id="new-password"' not in html and 'class="social"' not in html
    page = walker.follow(walker.submit(page, "/invite", door="company"))
    page = walker.follow(walker.submit(page, "/login/company", username=ALICE))
    page = come_back(walker, acme, request_at(page), name_id=ALICE)
    assert page.request.path == "/me"
    assert (state(parts, alice), proved(parts, alice)) == (("active", 1), True)
    assert "person.invitation_accepted" in events(parts, alice)
    assert over(come_by(Walker(walker.app, parts), invitation(parts)))
    with parts.database.reading() as db:
        assert db.get(Password, alice) is None


def test_where_sso_is_optional_all_ways_are_offered(open_app: Flask, parts: Parts, acme: Customer) -> None:
    walker = Walker(open_app, parts)
    invited(parts, ALICE, acme.company_id)
    html = text(come_by(walker, invitation(parts)))
    assert all(f'id="{one}"' in html for one in ("new-password", "social-google", "invite-company"))


def test_a_door_that_the_company_closes_is_neither_shown_nor_open(
    open_app: Flask, parts: Parts, acme: Customer
) -> None:
    walker = Walker(open_app, parts)
    invited(parts, ALICE, acme.company_id)
    page = come_by(walker, invitation(parts))
    decide_for(parts.database, acme, doors=["password"])
    assert walker.submit(page, "/invite", door="google").status_code == 404
    decide_for(parts.database, acme, doors=["social"])
    answer = walker.submit(page, "/invite", password=FIRST)
    assert 'id="new-password"' not in text(answer)
    assert 'id="social-google"' in text(answer)
    with parts.database.reading() as db:
        assert db.query(Password).count() == 0


def test_the_social_door_is_closed_to_addresses_of_companies_that_close_it(
    open_app: Flask, parts: Parts, acme: Customer
) -> None:
    """Carol is invited to nobody's company, and comes back from Google as somebody whom Acme signs in itself."""
    walker = Walker(open_app, parts)
    carol = invited(parts)
    handle = to_provider(walker, invitation(parts))
    page = come(walker, google("g-a", "boss@acme.example"), handle)
    decide_for(parts.database, acme, sso="required")
    answer = walker.submit(page, "/invite/social")
    assert answer.status_code == 403
    assert links(parts) == []
    assert (state(parts, carol), proved(parts, carol)) == (("invited", 1), False)


def test_a_company_without_a_live_connection_that_requires_sso_is_said_so(
    walker: Walker, parts: Parts, acme: Customer
) -> None:
    from idp.models import Connection

    invited(parts, ALICE, acme.company_id)
    decide_for(parts.database, acme, sso="required")
    with parts.database.transaction() as db:
        db.get_one(Connection, acme.connection.id).state = "draft"
    html = text(come_by(walker, invitation(parts)))
    assert "Acme decides how you sign in" in html
    assert 'method="post" action="/invite"' not in html


# --- over ------------------------------------------------------------------------------------------------------------------------


def test_rc_02_an_invitation_ends_after_a_week(walker: Walker, parts: Parts, clock: Clock) -> None:
    invited(parts)
    link = invitation(parts)
    clock.advance(7 * 86400 - 1)
    page = come_by(walker, link)
    assert 'id="invite-page"' in text(page)
    clock.advance(1)
    assert over(come_by(walker, link))
    assert over(walker.submit(page, "/invite", password=FIRST))


def test_who_has_accepted_is_told_to_sign_in(walker: Walker, parts: Parts) -> None:
    invited(parts)
    link = invitation(parts)
    take(walker, link)
    assert over(come_by(Walker(walker.app, parts), link))


def test_a_suspended_person_accepts_nothing(walker: Walker, parts: Parts) -> None:
    carol = invited(parts)
    page = come_by(walker, invitation(parts))
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, carol), actor="operator:test", now=parts.clock())
    assert over(walker.submit(page, "/invite", password=FIRST))
    assert state(parts, carol) == ("suspended", 1)


def test_rc_04_the_secret_of_an_invitation_leaves_the_url_and_the_page_tells_nobody(
    walker: Walker, parts: Parts
) -> None:
    carol = invited(parts)
    link = invitation(parts)
    for method in ("HEAD", "GET", "OPTIONS"):
        walker.open(method, link)
    first = walker.get(link)
    assert (first.status_code, first.location) == (303, "/invite")
    page = walker.get("/invite")
    assert link.partition("=")[2] not in text(page)
    for answer in (first, page):
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
    loaded = re.findall(r'(?:src|href)="([^"#]*)"', text(page))
    assert loaded and all(one.startswith("/") and not one.startswith("//") for one in loaded)
    assert state(parts, carol) == ("invited", 1)


def test_rc_02_the_invitation_that_counts_is_the_last(walker: Walker, parts: Parts) -> None:
    carol = invited(parts)
    older = invitation(parts)
    page = come_by(walker, older)
    assert again(parts, carol) == 2
    assert over(walker.submit(page, "/invite", password=FIRST))
    assert over(come_by(Walker(walker.app, parts), older))
    assert take(walker, invitation(parts)).request.path == "/me"
    assert state(parts, carol) == ("active", 2)


def test_the_mail_is_in_the_persons_language_and_so_is_the_page(walker: Walker, parts: Parts) -> None:
    invited(parts, locale="fr")
    page = come_by(walker, invitation(parts))
    assert 'lang="fr"' in text(page)


def test_an_account_that_waits_is_in_nobodys_hands(walker: Walker, parts: Parts) -> None:
    carol = invited(parts)
    with parts.database.reading() as db:
        assert find_credentials(db, "carol@example.org").hash is None
        assert db.query(Device).filter_by(account_id=carol).count() == 0
        invitation_row = db.get_one(Invitation, carol)
        assert invitation_row.expires_at == int(parts.clock()) + 7 * 86400
    for password in ("", FIRST, "x" * 20):
        walker.sign_in(walker.follow(walker.get("/login")), password=password)
        assert not is_signed_in(walker)
