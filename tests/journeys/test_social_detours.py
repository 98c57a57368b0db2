"""Whom a social provider sends and who has more to do, in a real browser: an address is asked for, a mail opened, a company gone to."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from idp.cli.company_arguments import connections_of
from idp.database import Database
from tests.fakes.company_idp import CompanyIdp
from tests.fakes.company_site import CompanySite
from tests.fakes.relying_party import running
from tests.journeys.conftest import Social
from tests.journeys.test_company_login import let_in
from tests.journeys.test_password_login import look
from tests.saml_parties import add_customer

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture
def page(social_page: Page) -> Page:
    return social_page


@pytest.fixture(scope="module")
def strict_company(social_world: Social) -> Iterator[str]:
    """A company that requires its own sign-in; its domain."""
    site = CompanySite(CompanyIdp("https://idp.strict.test/saml"))
    with running(site, "idp.strict.test", social_world.authority):
        site.idp.sso_url, site.idp.slo_url = f"{site.address}/sso", f"{site.address}/slo"
        config = social_world.provider.config
        database = Database(config)
        now, random = time.time(), secrets.token_bytes
        add_customer(
            database,
            connections_of(config),
            site.idp,
            "strict.example",
            name="Strict",
            sso="required",
            now=now,
            random=random,
        )
        database.close()
        yield "strict.example"


def arrived(social: Social, page: Page, email: str) -> None:
    """At the product, in the account with this address."""
    expect(page.locator("#signed-in")).to_be_visible()
    page.goto(f"{social.provider.issuer}/me")
    expect(page.locator("main")).to_contain_text(email)


def test_the_account_is_proved_by_a_mail(social: Social, page: Page, language: str) -> None:
    email = f"by-mail-{language}@example.org"
    social.add_person(email, verified=False)
    social.person_at("linkedin", email)
    social.start(page)
    page.locator("#social-linkedin").click()
    expect(page.locator("#link-page")).to_contain_text("LinkedIn")
    page.locator("#link-mail").click()
    expect(page.get_by_role("status")).to_contain_text(email)
    look(page, f"social-link-sent-{language}")
    page.goto(social.mailed(email, "/login/link/mail"))
    look(page, f"social-link-confirm-{language}")
    page.locator("#link-confirm").click()
    arrived(social, page, email)


def test_who_brings_no_address_is_asked_and_proves_it(social: Social, page: Page, language: str) -> None:
    email = f"nothing-{language}@example.org"
    social.person_at("github", "")
    social.start(page)
    page.locator("#social-github").click()
    expect(page.locator("#address-page")).to_contain_text("GitHub")
    look(page, f"social-address-{language}")
    page.locator("#username").fill(email)
    page.locator("#address-submit").click()
    expect(page.locator("#address-sent-page")).to_contain_text(email)
    look(page, f"social-address-sent-{language}")
    page.goto(social.mailed(email, "/login/address/mail"))
    look(page, f"social-address-confirm-{language}")
    page.locator("#address-confirm").click()
    expect(page.locator("#welcome-page")).to_contain_text(email)
    page.locator("#terms").check()
    page.locator("#welcome-submit").click()
    arrived(social, page, email)


@pytest.mark.parametrize("known_by", ["google", "typed"])
def test_a_company_that_requires_its_own_sign_in_gets_its_people(
    social: Social, strict_company: str, page: Page, known_by: str, language: str
) -> None:
    alice = f"alice-{known_by}-{language}@{strict_company}"
    key = "google" if known_by == "google" else "github"
    social.person_at(key, alice if known_by == "google" else "")
    social.start(page)
    page.locator(f"#social-{key}").click()
    if known_by == "typed":
        page.locator("#username").fill(alice)
        page.locator("#address-submit").click()
    expect(page.locator("#closed-page")).to_contain_text("Strict")
    if known_by == "google":
        look(page, f"social-closed-{language}")
    page.locator("#company-id-link").click()
    let_in(page, alice)
    arrived(social, page, alice)


def test_the_keyboard_is_enough_for_the_social_doors(social: Social, browser: Browser) -> None:
    """From the product into a new account, and out of a provider's page again, without a mouse."""
    email = "keyboard@example.org"
    social.person_at("microsoft", email)
    social.sites.microsoft.consent = "ask"
    with browser.new_context(ignore_https_errors=True) as context:
        page = context.new_page()
        social.start(page)
        press(page, "#social-microsoft")
        press(page, "#deny")
        press(page, "#social-again")
        press(page, "#allow")
        tab_to(page, "#terms")
        page.keyboard.press("Space")
        press(page, "#welcome-submit")
        expect(page.locator("#signed-in")).to_be_visible()
        page.goto(f"{social.provider.issuer}/me")
        press(page, "a[href^='/me/links/remove']")
        expect(page.locator("#problem")).to_be_visible()


def tab_to(page: Page, selector: str) -> None:
    """Go on with Tab until the element has the focus, and can be seen to have it."""
    wanted = page.locator(selector)
    expect(wanted).to_be_visible()
    for _ in range(60):
        if wanted.evaluate("element => element === document.activeElement"):
            assert wanted.evaluate("element => element.matches(':focus-visible')")
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never comes to {selector}")


def press(page: Page, selector: str) -> None:
    tab_to(page, selector)
    page.keyboard.press("Enter")
