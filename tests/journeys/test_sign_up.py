"""Somebody new, in a real browser with a real mail server: from a product through the mail and back, in both languages, with script and without."""

from __future__ import annotations

import itertools

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.forgetful import NEW
from tests.journeys.conftest import Social
from tests.journeys.test_my_account import another_browser, look_both
from tests.journeys.test_password_login import look
from tests.journeys.test_social_detours import tab_to

pytestmark = pytest.mark.needs("chromium")

NETWORK = itertools.count(1)


@pytest.fixture
def page(social_page: Page) -> Page:
    """As if by another proxy, from a network of its own: one network may not ask for many mails."""
    social_page.set_extra_http_headers({"X-Forwarded-For": f"192.0.2.{next(NETWORK)}"})
    return social_page


def ask(social: Social, page: Page, email: str) -> None:
    """From the product to the page that says what to do next."""
    social.start(page)
    page.locator("#sign-up").click()
    page.locator("#username").fill(email)
    page.locator("#sign-up-submit").click()
    expect(page.get_by_role("status")).to_contain_text(email)


def test_s2_somebody_new_comes_from_a_product_and_goes_back_to_it(social: Social, page: Page, language: str) -> None:
    email = f"nora-{language}@example.org"
    social.start(page)
    page.locator("#sign-up").click()
    expect(page.locator("#sign-up-page")).to_be_visible()
    expect(page.locator("#username")).to_have_attribute("autocomplete", "username")
    look_both(page, f"sign-up-{language}")
    page.locator("#username").fill(email)
    page.locator("#sign-up-submit").click()
    expect(page.get_by_role("status")).to_contain_text(email)
    look(page, f"sign-up-sent-{language}")

    page.goto(social.mailed(email, "/verify"))
    assert page.url == f"{social.provider.issuer}/verify"  # the secret has left the address, and the history
    expect(page.locator("#new-password")).to_have_attribute("autocomplete", "new-password")
    look_both(page, f"verify-{language}")
    page.locator("#name").fill("Nora Newcomer")
    page.locator("#terms").check()
    page.locator("#new-password").fill("password1")
    page.locator("#verify-submit").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("#name")).to_have_value("Nora Newcomer")
    look(page, f"verify-weak-{language}")
    page.locator("#new-password").fill(NEW)
    page.locator("#terms").check()
    page.locator("#verify-submit").click()
    expect(page.locator("#signed-in")).to_be_visible()
    claims = social.webinar.seen[-1]["claims"]
    assert claims["amr"] == ["pwd"]

    page.goto(social.mailed(email, "/verify"))
    expect(page.locator("#error-page")).to_be_visible()
    look(page, f"verify-over-{language}")


def test_who_is_known_is_told_by_mail_and_the_page_is_the_same(social: Social, page: Page, language: str) -> None:
    known, unknown = f"here-already-{language}@example.org", f"not-here-{language}@example.org"
    social.add_person(known)
    pages = []
    for email in (known, unknown):
        ask(social, page, email)
        pages.append(page.locator("main").inner_text().replace(email, "…"))
    assert pages[0] == pages[1]
    social.has_mail(known)


def test_in_another_browser_it_ends_at_ones_own_page(
    social: Social, browser: Browser, page: Page, language: str
) -> None:
    email = f"elsewhere-{language}@example.org"
    ask(social, page, email)
    with another_browser(browser, language) as mailbox:
        mailbox.goto(social.mailed(email, "/verify"))
        mailbox.locator("#new-password").fill(NEW)
        mailbox.locator("#terms").check()
        mailbox.locator("#verify-submit").click()
        expect(mailbox.locator("#sign-out")).to_be_visible()
        expect(mailbox.locator("main")).to_contain_text(email)


def test_without_script_and_by_the_keyboard_alone(social: Social, browser: Browser, language: str) -> None:
    email = f"keys-{language}@example.org"
    with another_browser(browser, language, script=False) as page:
        page.set_extra_http_headers({"X-Forwarded-For": f"192.0.2.{next(NETWORK)}"})
        social.start(page)
        tab_to(page, "#sign-up")
        page.keyboard.press("Enter")
        tab_to(page, "#username")
        page.keyboard.type(email)
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_contain_text(email)
        page.goto(social.mailed(email, "/verify"))
        tab_to(page, "#new-password")
        page.keyboard.type(NEW)
        tab_to(page, "#terms")
        page.keyboard.press("Space")
        tab_to(page, "#verify-submit")
        page.keyboard.press("Enter")
        expect(page.locator("#signed-in")).to_be_visible()
