"""Help in a real browser: from a sign-in that fails to what it means, who can mend it, and every way on; in both languages, with script and without."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journey import PASSWORD
from tests.journeys.conftest import Social
from tests.journeys.test_my_account import another_browser, look_both

pytestmark = pytest.mark.needs("chromium")

TITLE = {"en": "Help", "fr": "Aide"}


@pytest.fixture
def page(social_page: Page) -> Page:
    return social_page


def fail(social: Social, page: Page, email: str) -> str:
    """A sign-in with a password that is wrong; the code that the page shows."""
    social.start(page)
    page.locator("#username").fill(email)
    page.locator("#login-submit").click()
    page.locator("#password").fill("not the password")
    page.locator("#login-submit").click()
    expect(page.get_by_role("alert")).to_be_visible()
    return page.locator("#receipt-code").inner_text()


def test_a_failed_sign_in_leads_to_help_and_help_leads_on(social: Social, page: Page, language: str) -> None:
    email = f"helpless-{language}@example.org"
    social.add_person(email)
    code = fail(social, page, email)
    page.locator("#help").click()
    expect(page.locator("h1")).to_have_text(TITLE[language])
    expect(page.locator("#receipt-code")).to_have_text(code)
    look_both(page, f"help-{language}")
    for way, there in (
        ("#why-sign-in", "#why-page"),
        ("#no-mail", "#no-mail-page"),
        ("#forgot-password", "#forgot-page"),
        ("#mail-help", "#mail-help-page"),
    ):
        page.locator(way).click()
        expect(page.locator(there)).to_be_visible()
        page.go_back()
    page.locator("#mail-help").click()
    look_both(page, f"help-mail-{language}")
    page.go_back()
    page.locator("#other-doors").click()
    expect(page.locator("#login-page")).to_be_visible()


def test_the_language_can_be_changed_and_the_code_stays(social: Social, page: Page, language: str) -> None:
    other = {"en": "fr", "fr": "en"}[language]
    code = fail(social, page, f"nobody-{language}@example.org")
    page.locator("#help").click()
    page.locator(f".languages a[lang={other}]").click()
    expect(page.locator("h1")).to_have_text(TITLE[other])
    expect(page.locator("#receipt-code")).to_have_text(code)
    page.locator(f".languages a[lang={language}]").click()


def test_an_error_says_whose_it_is(social: Social, page: Page, language: str) -> None:
    page.goto(f"{social.provider.issuer}/authorize?client_id=nobody&response_type=code")
    expect(page.locator("#error-page")).to_be_visible()
    page.locator("#help").click()
    assert re.search(r"about=client_unknown", page.url)
    expect(page.locator("#help-page")).to_contain_text({"en": "developers", "fr": "développeurs"}[language])
    look_both(page, f"help-reason-{language}")


def test_why_one_is_asked_says_who_this_browser_holds(social: Social, page: Page, language: str) -> None:
    email = f"held-{language}@example.org"
    social.add_person(email)
    social.start(page)
    page.locator("#username").fill(email)
    page.locator("#login-submit").click()
    page.locator("#password").fill(PASSWORD)
    page.locator("#login-submit").click()
    expect(page.locator("#signed-in")).to_be_visible()
    page.goto(f"{social.provider.issuer}/help")
    page.locator("#to-activity").click()
    expect(page.locator("#activity-page")).to_be_visible()
    page.goto(f"{social.provider.issuer}/help/why-sign-in")
    expect(page.locator("#why-page")).to_contain_text(email)
    page.locator("#another-account").click()
    expect(page.locator("#login-page")).to_be_visible()
    expect(page.locator("#username")).to_have_value("")


def test_all_of_it_without_script(social: Social, browser: Browser, language: str) -> None:
    with another_browser(browser, language, script=False) as page:
        code = fail(social, page, f"scriptless-{language}@example.org")
        page.locator("#help").click()
        expect(page.locator("#receipt-code")).to_have_text(code)
        page.locator("#no-mail").click()
        expect(page.locator("#no-mail-page")).to_be_visible()
