"""A product signs a person in: from its page to a code, tokens and back, and out again, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import canaries
from tests.browser import axe, screenshots
from tests.journey import PASSWORD
from tests.journeys.conftest import World

pytestmark = pytest.mark.needs("chromium")

WORDS = {
    "en": {"next": "Next", "sign_in": "Sign in", "signed_out": "signed out"},
    "fr": {"next": "Suivant", "sign_in": "Se connecter", "signed_out": "déconnecté"},
}


def look(page: Page, name: str) -> None:
    """What every page must be: free of barriers, not too wide, and free of secrets."""
    axe(page)
    screenshots(page, name)
    canaries.show(page.content(), f"page {name}")


def sign_in(page: Page, password: str = PASSWORD, email: str = "carol@example.org") -> None:
    page.locator("#username").fill(email)
    page.locator("#login-submit").click()
    page.locator("#password").fill(password)
    page.locator("#login-submit").click()


def test_a_person_signs_in_and_out(world: World, page: Page, language: str) -> None:
    words = WORDS[language]
    page.goto(f"{world.webinar.address}/start")
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.locator("#login-page")).to_contain_text("GoToWebinar")
    expect(page.locator("#login-submit")).to_have_text(words["next"])
    look(page, f"start-{language}")

    page.locator("#username").fill("carol@example.org")
    page.keyboard.press("Enter")
    expect(page.locator("#login-submit")).to_have_text(words["sign_in"])
    expect(page.locator("#username")).to_have_value("carol@example.org")
    look(page, f"password-{language}")

    page.locator("#password").fill("not her password")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("#receipt-code")).to_have_text(re.compile(r"^[0-9A-Z]{4}-[0-9A-Z]{4}$"))
    look(page, f"password-wrong-{language}")

    page.locator("#password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("#signed-in")).to_be_visible()
    claims = world.webinar.seen[-1]["claims"]
    assert claims["amr"] == ["pwd"]
    assert set(claims) == {*("iss", "sub", "aud", "exp", "iat", "auth_time", "acr", "amr", "sid", "at_hash", "nonce")}

    # The product again: no question.
    page.goto(f"{world.webinar.address}/start")
    expect(page.locator("#signed-in")).to_be_visible()
    assert world.webinar.seen[-1]["claims"]["auth_time"] == claims["auth_time"]

    # Out, with the product's ID token: no question, and the product hears of it.
    page.goto(f"{world.webinar.address}/logout")
    expect(page.locator("#bye")).to_be_visible()
    world.webinar.parameters["prompt"] = "none"
    page.goto(f"{world.webinar.address}/start")
    expect(page.locator("#refused")).to_have_text("login_required")


def test_signing_out_at_the_provider_asks_first(world: World, page: Page, language: str) -> None:
    page.goto(f"{world.webinar.address}/start")
    sign_in(page)
    expect(page.locator("#signed-in")).to_be_visible()
    page.goto(f"{world.provider.issuer}/logout")
    look(page, f"logout-confirm-{language}")
    page.locator("#logout-confirm").click()
    expect(page.locator("#logged-out")).to_contain_text(WORDS[language]["signed_out"])
    look(page, f"logged-out-{language}")


def test_a_third_party_product_is_allowed_once(world: World, page: Page, language: str) -> None:
    world.partner.parameters.update({"scope": "openid email", "prompt": "consent"})
    page.goto(f"{world.partner.address}/start")
    sign_in(page)
    expect(page.locator("#consent-allow")).to_be_visible()
    look(page, f"consent-{language}")
    page.locator("#consent-deny").click()
    expect(page.locator("#refused")).to_have_text("access_denied")
    page.goto(f"{world.partner.address}/start")
    page.locator("#consent-allow").click()
    expect(page.locator("#signed-in")).to_be_visible()
    world.partner.parameters["prompt"] = "none"  # remembered: not even a page in between
    page.goto(f"{world.partner.address}/start")
    expect(page.locator("#signed-in")).to_be_visible()
    page.goto(f"{world.provider.issuer}/me")
    look(page, f"me-{language}")


def test_form_post_brings_the_code_by_post(world: World, page: Page) -> None:
    world.webinar.parameters["response_mode"] = "form_post"
    page.goto(f"{world.webinar.address}/start")
    sign_in(page)
    expect(page.locator("#signed-in")).to_be_visible()


def test_a_broken_request_is_explained_on_a_page(world: World, page: Page, language: str) -> None:
    page.goto(f"{world.provider.issuer}/authorize?client_id=nobody&redirect_uri=https://evil.example/")
    expect(page.locator("#error-page")).to_contain_text("client_id")
    expect(page.locator("#receipt-code")).to_be_visible()
    look(page, f"error-{language}")


def test_everything_works_without_script(world: World, browser: Browser) -> None:
    context = browser.new_context(ignore_https_errors=True, java_script_enabled=False)
    page = context.new_page()
    world.partner.parameters.update({"scope": "openid profile", "response_mode": "form_post", "prompt": "consent"})
    page.goto(f"{world.partner.address}/start")
    sign_in(page)
    page.locator("#consent-allow").click()
    page.locator("form button").first.click()  # the form that posts itself with script
    expect(page.locator("#signed-in")).to_be_visible()
    world.webinar.parameters.clear()
    page.goto(f"{world.webinar.address}/start")
    page.goto(f"{world.provider.issuer}/logout")
    page.locator("#logout-confirm").click()
    expect(page.locator("#logged-out")).to_be_visible()
    context.close()


def test_the_language_can_be_switched_on_the_page(world: World, page: Page, language: str) -> None:
    other = "fr" if language == "en" else "en"
    page.goto(f"{world.webinar.address}/start")
    page.locator(f'nav a[lang="{other}"]').click()
    expect(page.locator("html")).to_have_attribute("lang", other)
    expect(page.locator("#username")).to_be_visible()
    sign_in(page)
    expect(page.locator("#signed-in")).to_be_visible()
