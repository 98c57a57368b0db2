"""Taking over an account by way of a social provider: each way that we can think of (attacks.md section 9, LK, SO)."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from idp.models import Account, AuditEvent, Company, Email, Link, MailedLink, Member, Password
from idp.parts import Parts
from tests.conftest import Clock
from tests.journey import PASSWORD, Walker, add_carol
from tests.newcomers import (
    begin,
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
    unverify,
    with_newcomers,
)
from tests.saml_parties import Customer, belong

ALICE = "alice@acme.example"


@pytest.fixture
def app(parts: Parts) -> Flask:
    return with_newcomers(parts)


@pytest.fixture
def mallory(app: Flask, parts: Parts) -> Walker:
    return Walker(app, parts, address="203.0.113.9")


def accounts(parts: Parts) -> int:
    with parts.database.reading() as db:
        return db.query(Account).count()


def confirm(walker: Walker, link: str, action: str) -> TestResponse:
    """Open a mailed link and send the form of its page."""
    page = walker.follow(walker.get(link))
    if 'id="error-page"' not in text(page):
        return walker.submit(page, action)
    return forged(walker, action)


def forged(walker: Walker, action: str, **fields: str) -> TestResponse:
    """The form of a page that this browser was not shown, with a token of its own."""
    own = text(walker.follow(walker.get("/login")))
    token = re.findall(r'name="csrf" value="([^"]*)"', own)[0]
    return walker.open("POST", action, data={"csrf": token} | fields)


# --- an address that only seems to be theirs ---------------------------------------------------------------------------------


def test_lk_04_an_address_alone_opens_nothing(mallory: Walker, parts: Parts) -> None:
    add_carol(parts)
    for identity in (google(), facebook(), facebook("f-2", None)):
        come(mallory, identity)
        assert not is_signed_in(mallory)
    assert links(parts) == []
    assert mails(parts) == []


def test_an_unverified_address_never_links_and_makes_no_account(mallory: Walker, parts: Parts) -> None:
    add_carol(parts)
    page = come(mallory, google(email_verified=False))
    assert 'id="address-page"' in text(page)
    handle = handle_in(page)
    for path in ("/login/link", "/login/link/send", "/login/welcome"):
        forged(mallory, path, p=handle, password=PASSWORD)
    assert links(parts) == []
    assert accounts(parts) == 1
    # not even with the victim's password by way of the address that she is not known to have
    assert not is_signed_in(mallory)


def test_an_address_that_changed_at_the_provider_moves_nothing(walker: Walker, mallory: Walker, parts: Parts) -> None:
    """Mallory's linked account takes Carol's address at the provider; Carol's linked one takes another."""
    carol = add_carol(parts)
    own = add_carol(parts, "mallory@example.org", "a password of mallory")
    mallory.submit(come(mallory, google("g-m", "mallory@example.org")), "/login/link", password="a password of mallory")
    walker.submit(come(walker, google("g-c")), "/login/link", password=PASSWORD)
    again = Walker(mallory.app, parts)
    assert opened(again, come(again, google("g-m", "carol@example.org")))
    with parts.database.reading() as db:
        assert [link.account_id for link in db.query(Link).order_by(Link.id)] == [own, carol]
        signed_in = db.query(AuditEvent).filter_by(event="person.signed_in").order_by(AuditEvent.id).all()
        assert signed_in[-1].account_id == own
    once_more = Walker(walker.app, parts)
    assert opened(once_more, come(once_more, google("g-c", "elsewhere@example.org")))


def test_a_recycled_address_does_not_inherit_the_account(walker: Walker, mallory: Walker, parts: Parts) -> None:
    """Carol has left the provider; who has her address there now has the mailbox as well."""
    add_carol(parts)
    walker.submit(come(walker, google("g-old")), "/login/link", password=PASSWORD)
    page = come(mallory, google("g-new"))
    mallory.submit(page, "/login/link/send")
    assert mails(parts)[-1][0] == "link_elsewhere"
    with parts.database.reading() as db:
        assert db.query(MailedLink).filter_by(purpose="link").count() == 0
    # nor by way of the address page of another identity of the same provider
    page = come(mallory, google("g-3", email_verified=False))
    mallory.submit(page, "/login/address", username="carol@example.org")
    page = mallory.follow(confirm(mallory, mailed(parts, "prove_address"), "/login/address/mail"))
    assert 'id="link-page"' in text(page)
    mallory.submit(page, "/login/link/send")
    assert [subject for _, subject, _ in links(parts)] == ["g-old"]
    assert not is_signed_in(mallory)


# --- an account that waits for its victim ------------------------------------------------------------------------------------


def test_classic_pre_hijacking_ends_when_the_owner_comes(walker: Walker, mallory: Walker, parts: Parts) -> None:
    """Mallory has made an account with Carol's address and sits in it; Carol comes from Google."""
    carol = add_carol(parts)
    unverify(parts, carol)
    mallory.sign_in(mallory.follow(mallory.az()))
    assert is_signed_in(mallory)
    walker.submit(come(walker, google()), "/login/link/send")
    confirm(walker, mailed(parts, "link_account"), "/login/link/mail")
    assert not is_signed_in(mallory)
    assert opened(walker, come(walker, google()))
    with parts.database.reading() as db:
        assert db.get(Password, carol) is None
        assert db.query(AuditEvent).filter_by(event="person.reclaimed").count() == 1
    assert links(parts) == [("google", "g-1", "mail")]


def test_federated_pre_hijacking_leaves_no_way_back(walker: Walker, mallory: Walker, parts: Parts) -> None:
    """Mallory has linked an identity of hers to an account with Carol's address."""
    carol = add_carol(parts)
    unverify(parts, carol)
    with parts.database.transaction() as db:
        db.add(Link(account_id=carol, issuer="https://facebook.example", subject="f-m", door="facebook", created_at=0))
    assert opened(mallory, come(mallory, facebook("f-m", "mallory@example.org")))
    page = come(walker, facebook("f-c"))
    walker.submit(page, "/login/address", username="carol@example.org")
    # Facebook knows somebody else by this address: the mail is no proof of its own
    page = walker.follow(confirm(walker, mailed(parts, "prove_address"), "/login/address/mail"))
    assert 'id="link-page"' in text(page)
    walker.submit(come(walker, google()), "/login/link/send")
    confirm(walker, mailed(parts, "link_account"), "/login/link/mail")
    assert links(parts) == [("google", "g-1", "mail")]
    assert not is_signed_in(mallory)
    assert not opened(mallory, come(mallory, facebook("f-m", "mallory@example.org")))


def test_nobody_makes_an_account_with_an_address_that_they_only_claim(mallory: Walker, parts: Parts) -> None:
    page = come(mallory, facebook(email=ALICE))
    handle = handle_in(page)
    mallory.submit(page, "/login/address", username="victim@example.org")
    assert forged(mallory, "/login/welcome", p=handle, terms="yes").status_code in (303, 400)
    assert accounts(parts) == 0


# --- links and mails that somebody else asked for ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["link_account", "prove_address"])
def test_lk_04_a_mailed_link_of_somebody_elses_sign_in_links_nothing(
    walker: Walker, mallory: Walker, parts: Parts, name: str
) -> None:
    """Mallory has the mail sent; Carol, or the scanner of her mailbox, opens what is in it."""
    add_carol(parts)
    if name == "link_account":
        action = "/login/link/mail"
        mallory.submit(come(mallory, google("g-m")), "/login/link/send")
    else:
        action = "/login/address/mail"
        mallory.submit(come(mallory, facebook("f-m")), "/login/address", username="carol@example.org")
    link = mailed(parts, name)
    walker.get("/login")
    for _ in range(3):
        walker.open("HEAD", link)
        mallory.open("HEAD", link)
    assert confirm(walker, link, action).status_code == 400
    assert links(parts) == []
    assert not is_signed_in(walker)


@pytest.mark.parametrize("name", ["link_account", "prove_address"])
def test_lk_04_a_mailed_link_lives_an_hour_and_once(walker: Walker, parts: Parts, clock: Clock, name: str) -> None:
    add_carol(parts)
    if name == "link_account":
        action, page = "/login/link/mail", come(walker, google())
        walker.submit(page, "/login/link/send")
    else:
        action, page = "/login/address/mail", come(walker, facebook())
        walker.submit(page, "/login/address", username="carol@example.org")
    page = walker.follow(walker.get(mailed(parts, name)))
    clock.advance(3601)
    assert walker.submit(page, action).status_code == 400
    assert links(parts) == []


def test_a_proof_of_one_purpose_is_none_of_another(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    walker.submit(come(walker, google()), "/login/link/send")
    secret = mailed(parts, "link_account").partition("=")[2]
    assert confirm(walker, f"/login/address/mail?t={secret}", "/login/address/mail").status_code == 400
    assert links(parts) == []


def test_lk_04_the_mail_of_one_identity_links_no_other(walker: Walker, parts: Parts) -> None:
    """The pending login is somebody else's by the time that the link is opened: the one who asked is linked."""
    add_carol(parts)
    page = come(walker, google("g-1"))
    walker.submit(page, "/login/link/send")
    come(walker, facebook("f-evil"), handle_in(page))
    confirm(walker, mailed(parts, "link_account"), "/login/link/mail")
    assert links(parts) == [("google", "g-1", "mail")]


@pytest.mark.parametrize("path", ["/login/link", "/login/link/send", "/login/address", "/login/welcome"])
def test_lk_01_a_forged_form_does_nothing(walker: Walker, parts: Parts, path: str) -> None:
    add_carol(parts)
    identity = {"/login/address": facebook(), "/login/welcome": google(email="new@example.org")}.get(path, google())
    page = come(walker, identity)
    fields = {"p": handle_in(page), "password": PASSWORD, "username": "carol@example.org", "terms": "yes"}
    answer = walker.open("POST", path, data=fields, headers={"Origin": "https://evil.example"})
    assert answer.status_code >= 400
    assert (links(parts), mails(parts), accounts(parts)) == ([], [], 1)


def test_a_handle_of_another_browser_leads_nowhere(walker: Walker, mallory: Walker, parts: Parts) -> None:
    add_carol(parts)
    handle = handle_in(come(mallory, google("g-m")))
    walker.get("/login")
    for path in ("/login/link", "/login/address", "/login/welcome"):
        assert 'id="error-page"' in text(walker.get(f"{path}?p={handle}"))
    assert forged(walker, "/login/link", p=handle, password=PASSWORD).status_code == 400
    assert links(parts) == []


# --- a proof of the wrong account --------------------------------------------------------------------------------------------


def test_lk_05_going_through_a_door_that_opens_another_account_links_nothing(mallory: Walker, parts: Parts) -> None:
    """Mallory comes as Carol and proves an account of her own: accounts are neither linked nor merged."""
    carol = add_carol(parts)
    own = add_carol(parts, "mallory@example.org", "a password of mallory")
    mallory.submit(come(mallory, facebook("f-m", None)), "/login/address", username="mallory@example.org")
    confirm(mallory, mailed(parts, "prove_address"), "/login/address/mail")
    page = come(mallory, google("g-m"))
    handle = handle_in(page)
    mallory.submit(page, "/login/link", door="facebook")
    answer = come(mallory, facebook("f-m", None), handle)
    assert 'id="error-page"' in text(answer)
    assert not is_signed_in(mallory)
    # nor by our own door, nor as somebody whom nobody knows
    mallory.submit(page, "/login/link", door="facebook")
    assert 'id="error-page"' in text(come(mallory, facebook("f-nobody", None), handle))
    mallory.submit(page, "/login/link", door="facebook")
    forged(mallory, "/login/password", p=handle, username="mallory@example.org", password="a password of mallory")
    assert not is_signed_in(mallory)
    with parts.database.reading() as db:
        assert [(link.account_id, link.subject) for link in db.query(Link)] == [(own, "f-m")]
        assert db.get_one(Account, carol).sub != db.get_one(Account, own).sub


def test_coming_once_more_proves_nothing(mallory: Walker, parts: Parts) -> None:
    add_carol(parts)
    page = come(mallory, google("g-m"))
    handle = handle_in(page)
    forged(mallory, "/login/link", p=handle, door="google")
    assert 'id="link-page"' in text(come(mallory, google("g-m"), handle))
    assert links(parts) == []


def test_lk_02_an_identity_that_leads_to_an_account_is_never_moved(
    walker: Walker, mallory: Walker, parts: Parts
) -> None:
    carol = add_carol(parts)
    walker.submit(come(walker, google()), "/login/link", password=PASSWORD)
    add_carol(parts, "mallory@example.org", "a password of mallory")
    come(mallory, google(email="mallory@example.org"))
    with parts.database.reading() as db:
        assert db.query(Link).one().account_id == carol


def test_lk_05_a_prepared_account_of_a_company_is_not_had_by_mail(
    mallory: Walker, parts: Parts, acme: Customer
) -> None:
    """An administrator who was invited and has not come yet: only the company knows who it is."""
    prepared = add_carol(parts, ALICE, None)
    belong(parts.database, acme, prepared, now=parts.clock())
    with parts.database.transaction() as db:
        db.get_one(Member, prepared).prepared = True
        db.get_one(Member, prepared).role = "administrator"
        db.get_one(Company, acme.company_id).doors = ["password", "social"]
    page = come(mallory, google("g-m", ALICE))
    mallory.submit(page, "/login/link/send")
    page = come(mallory, facebook("f-m", None))
    mallory.submit(page, "/login/address", username=ALICE)
    confirm(mallory, mailed(parts, "prove_address"), "/login/address/mail")
    assert links(parts) == []
    assert not is_signed_in(mallory)


# --- a company that requires its own sign-in ---------------------------------------------------------------------------------


@pytest.fixture
def required(parts: Parts, acme: Customer) -> Customer:
    with parts.database.transaction() as db:
        db.get_one(Company, acme.company_id).sso = "required"
    return acme


def test_so_13_an_address_of_a_company_that_requires_sso_leads_to_its_door(
    walker: Walker, parts: Parts, required: Customer
) -> None:
    add_carol(parts, "bob@acme.example")
    for number, email in enumerate((ALICE, "bob@acme.example")):  # without and with an account: the same
        page = come(walker, google(f"g-{number}", email))
        assert page.status_code == 403
        assert 'id="closed-page"' in text(page)
        led = walker.get(re.findall(r'id="company-id-link" href="([^"]*)"', text(page))[0].replace("&amp;", "&"))
        assert "/login/company/start" in led.location
    assert (links(parts), accounts(parts)) == ([], 1)


def test_so_13_neither_typed_nor_unverified_nor_linked_before_nor_in_the_account(
    walker: Walker, parts: Parts, required: Customer
) -> None:
    page = come(walker, facebook("f-1", None))
    assert 'id="closed-page"' in text(walker.submit(page, "/login/address", username=ALICE))
    assert 'id="closed-page"' in text(come(walker, facebook("f-2", ALICE)))
    assert mails(parts) == []
    # linked before the company closed the door; the provider's address is another one
    alice = add_carol(parts, ALICE)
    with parts.database.transaction() as db:
        db.add(Link(account_id=alice, issuer=google().issuer, subject="g-1", door="google", created_at=0))
    assert 'id="closed-page"' in text(come(walker, google(email="alice.private@example.org")))
    # an account with a private address, to which one of the company's belongs as well
    carol = add_carol(parts)
    with parts.database.transaction() as db:
        db.add(
            Email(
                account_id=carol, address="carol@acme.example", canonical="carol@acme.example", domain="acme.example",
                primary=False, verified_at=1,
            )
        )  # fmt: skip
    page = come(walker, google("g-2"))
    assert "Acme" not in text(page)  # not before the account is proved
    assert 'id="closed-page"' in text(walker.submit(page, "/login/link", password=PASSWORD))
    assert not is_signed_in(walker)
    assert [subject for _, subject, _ in links(parts)] == ["g-1"]


# --- guessing, waiting, asking -----------------------------------------------------------------------------------------------


def test_guessing_the_password_is_slowed_as_at_its_door(mallory: Walker, parts: Parts) -> None:
    add_carol(parts)
    page = come(mallory, google("g-m"))
    statuses = [mallory.submit(page, "/login/link", password="no").status_code for _ in range(11)]
    assert statuses == [400] * 10 + [429]


def test_nobody_is_asked_where_nobody_may_be(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    walker.browser.set_cookie("__Host-idp_last_door", "google", domain="login.example", secure=True)
    for identity in (google(), google(email="new@example.org"), facebook()):
        asked = walker.az(prompt="none")
        handle = asked.location.partition("p=")[2]
        assert asked.location.startswith("/login/social/google?")
        assert come(walker, identity, handle).status_code == 403
        assert "/login?" in walker.get(f"/login/link?p={handle}").location  # nothing of it is kept
    assert (links(parts), accounts(parts)) == ([], 1)


def test_the_password_links_whom_the_page_names_and_nobody_who_came_in_another_tab(
    walker: Walker, parts: Parts
) -> None:
    add_carol(parts)
    handle = begin(walker)
    page = come(walker, google(), handle)
    come(walker, google("g-2"), handle)
    shown = walker.submit(page, "/login/link", password=PASSWORD)
    assert shown.location == f"/login/link?p={handle}" and links(parts) == []
    assert walker.submit(page, "/login/link/send").location == f"/login/link?p={handle}" and mails(parts) == []
    assert opened(walker, walker.follow(walker.submit(walker.follow(shown), "/login/link", password=PASSWORD)))
    assert [subject for _, subject, _ in links(parts)] == ["g-2"]


def test_two_tabs_end_in_one_link_and_one_session(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    first, second = come(walker, google()), come(walker, google())
    assert opened(walker, walker.follow(walker.submit(first, "/login/link", password=PASSWORD)))
    led = walker.submit(second, "/login/link", password=PASSWORD)
    assert "/login/social/google" in text(led)
    assert links(parts) == [("google", "g-1", "password")]


def test_two_tabs_make_one_account(walker: Walker, parts: Parts) -> None:
    first, second = come(walker, google()), come(walker, google())
    walker.submit(first, "/login/welcome")
    walker.submit(second, "/login/welcome")
    assert (accounts(parts), len(links(parts))) == (1, 1)
