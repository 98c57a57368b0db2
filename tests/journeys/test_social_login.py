"""Signing in with a social provider, in a real browser: the product, the provider and six others on sites of their own, over TLS."""

from __future__ import annotations

import math
import time

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.backends import wait_until
from tests.fakes.social_sites import HOSTS
from tests.journey import PASSWORD
from tests.journeys.conftest import Social
from tests.journeys.test_password_login import look, sign_in

pytestmark = pytest.mark.needs("chromium")

KEYS = tuple(HOSTS)
SILENT = ("google", "microsoft")


@pytest.fixture
def page(social_page: Page) -> Page:
    return social_page


def leave_session(page: Page) -> None:
    """Come back another day: our session is over, and what the provider holds lives."""
    page.context.clear_cookies(name="__Host-idp_session")


def prove(social: Social, page: Page, key: str, email: str) -> None:
    """From the provider, to an account with the same address that is there already."""
    if key == "facebook":  # whose addresses are never believed
        expect(page.locator("#address-page")).to_be_visible()
        page.locator("#username").fill(email)
        page.locator("#address-submit").click()
        expect(page.locator("#address-sent-page")).to_be_visible()
        page.goto(social.mailed(email, "/login/address/mail"))
        page.locator("#address-confirm").click()
    else:
        expect(page.locator("#link-page")).to_contain_text(email)
        page.locator("#password").fill(PASSWORD)
        page.locator("#link-password").click()
    expect(page.locator("#signed-in")).to_be_visible()


@pytest.mark.parametrize("key", KEYS)
def test_s6_s7_from_the_first_sign_in_to_the_link_that_is_undone(
    social: Social, page: Page, key: str, language: str
) -> None:
    site, email = social.sites.by_key[key], f"{key}-{language}@example.org"
    social.add_person(
        email
    )  # proved; else a proof by mail would take out the password that a stranger may have set (RC-10)
    person = social.person_at(key, email)
    shown = key == "google"

    # The person thinks better of it, and then goes through with it.
    site.consent = "ask"
    social.start(page)
    if shown:
        look(page, f"social-start-{language}")
    page.locator(f"#social-{key}").click()
    page.locator("#deny").click()
    expect(page.locator("#error-page")).to_be_visible()
    expect(page.locator("#receipt-code")).to_be_visible()
    if shown:
        look(page, f"social-cancelled-{language}")
    site.consent = "allow"
    page.locator("#social-again").click()
    prove(social, page, key, email)
    sub = social.sub()
    assert "amr" not in social.webinar.seen[-1]["claims"]

    # Another day: simply in, where the provider can be asked silently; else by one click.
    leave_session(page)
    social.start(page)
    if key not in SILENT:
        expect(page.locator("#last-door")).to_be_visible()
        page.locator(f"#social-{key}").click()
    expect(page.locator("#signed-in")).to_be_visible()
    assert social.sub() == sub

    # Not signed in at the provider any more: our page, and then the provider asks.
    leave_session(page)
    site.everybody = ""
    page.context.clear_cookies(domain=HOSTS[key])
    social.start(page)
    expect(page.locator("#last-door")).to_be_visible()
    page.locator(f"#social-{key}").click()
    expect(page.locator("#stand-in-choose")).to_be_visible()

    # The provider is down: a kind page with the other doors.
    site.everybody, site.mood = person.subject, "down"
    social.start(page)
    page.locator(f"#social-{key}").click()
    expect(page.locator("#error-page")).to_be_visible()
    expect(page.locator("#company-id-link")).to_be_visible()
    if shown:
        look(page, f"social-down-{language}")
    site.mood = "well"
    page.locator("#own-email-link").click()
    sign_in(page, email=email)
    expect(page.locator("#signed-in")).to_be_visible()
    assert social.sub() == sub

    # Taken away on My account: whoever comes from there must prove the account again, and then it is undone from the mail.
    page.goto(f"{social.provider.issuer}/me")
    page.locator("a[href^='/me/links/remove']").click()
    if shown:
        look(page, f"social-unlink-{language}")
    page.locator("#unlink").click()
    expect(page.get_by_role("status")).to_be_visible()
    leave_session(page)
    social.mails.received.clear()
    social.start(page)
    page.locator(f"#social-{key}").click()
    prove(social, page, key, email)
    assert social.sub() == sub
    page.goto(social.mailed(email, "/me/links/undo"))
    if shown:
        look(page, f"social-undo-{language}")
    page.locator("#undo-link").click()
    expect(page.get_by_role("status")).to_be_visible()
    page.goto(f"{social.provider.issuer}/me")
    expect(page.locator("#login-page")).to_be_visible()
    leave_session(page)
    social.start(page)
    sign_in(page, email=email)
    expect(page.locator("#signed-in")).to_be_visible()
    assert social.sub() == sub


def test_s6_a_newcomer_has_an_account_after_the_terms(social: Social, page: Page, language: str) -> None:
    email = f"new-{language}@example.org"
    social.person_at("google", email)
    social.start(page)
    page.locator("#social-google").click()
    expect(page.locator("#welcome-page")).to_contain_text(email)
    look(page, f"social-welcome-{language}")
    page.locator("#welcome-submit").click()
    expect(page.locator("#welcome-page")).to_be_visible()  # the box first
    page.locator("#terms").check()
    page.locator("#welcome-submit").click()
    expect(page.locator("#signed-in")).to_be_visible()
    page.goto(f"{social.provider.issuer}/me")
    expect(page.locator("#add-apple")).to_be_visible()
    look(page, f"social-me-{language}")
    page.locator("a[href^='/me/links/remove']").click()
    expect(page.locator("#problem")).to_be_visible()  # the last way in stays
    look(page, f"social-unlink-last-{language}")


def test_another_provider_is_added_and_proves_the_account(social: Social, page: Page, language: str) -> None:
    email = f"two-{language}@example.org"
    social.add_person(email, verified=False)
    social.person_at("google", email)
    social.person_at("github", email)
    social.start(page)
    sign_in(page, email=email)
    expect(page.locator("#signed-in")).to_be_visible()
    sub = social.sub()
    page.goto(f"{social.provider.issuer}/me")
    page.locator("#add-google").click()
    expect(page.get_by_role("status")).to_be_visible()
    leave_session(page)
    page.context.clear_cookies(name="__Host-idp_last_door")
    social.start(page)
    page.locator("#social-github").click()
    expect(page.locator("#link-page")).to_be_visible()
    look(page, f"social-link-{language}")
    page.locator("#social-google").click()  # proves the account, and GitHub opens it from now on
    expect(page.locator("#signed-in")).to_be_visible()
    leave_session(page)
    page.context.clear_cookies(name="__Host-idp_last_door")
    social.start(page)
    page.locator("#social-github").click()
    expect(page.locator("#signed-in")).to_be_visible()
    assert social.sub() == sub


def test_s8_an_attendee_who_became_an_organizer_signs_in_anew(social: Social, page: Page, language: str) -> None:
    email = f"seat-{language}@example.org"
    social.add_person(email, verified=False)
    social.webinar.parameters["scope"] = "openid email seat"
    social.start(page)
    sign_in(page, email=email)
    expect(page.locator("#signed-in")).to_be_visible()
    before = social.webinar.seen[-1]["claims"]["auth_time"]
    social.provider.idp("people", "seat", email, "--product", "webinar", "--role", "organizer")
    granted_at = math.ceil(time.time())  # or a second before; who signs in within that very second counts as too early
    wait_until(lambda: time.time() >= granted_at, "the second of the grant is over")
    social.start(page)
    expect(page.locator("#login-page")).to_be_visible()
    page.locator("#password").or_(page.locator("#login-submit")).first.wait_for()
    if page.locator("#password").count() == 0:
        page.locator("#login-submit").click()
    page.locator("#password").fill(PASSWORD)
    page.locator("#login-submit").click()
    expect(page.locator("#signed-in")).to_be_visible()
    assert social.webinar.seen[-1]["claims"]["auth_time"] > before
    social.start(page)
    expect(page.locator("#signed-in")).to_be_visible()
    page.goto(f"{social.provider.issuer}/help/why-sign-in")
    expect(page.locator("#why-page")).to_contain_text(email)
    look(page, f"why-sign-in-{language}")


@pytest.mark.parametrize("key", ["google", "apple"])
def test_the_social_doors_work_without_script(social: Social, browser: Browser, key: str) -> None:
    social.person_at(key, f"noscript-{key}@example.org")
    with browser.new_context(ignore_https_errors=True, java_script_enabled=False) as context:
        page = context.new_page()
        social.start(page)
        page.locator(f"#social-{key}").click()
        if key == "apple":
            page.locator("#send button").click()  # Apple's own page posts its answer
        page.locator("#terms").check()
        page.locator("#welcome-submit").click()
        expect(page.locator("#signed-in")).to_be_visible()
