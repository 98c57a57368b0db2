"""A company signs its people in, in a real browser: the product, the provider and the company on three sites, over TLS."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journey import PASSWORD
from tests.journeys.conftest import Company, World
from tests.journeys.test_password_login import look

pytestmark = pytest.mark.needs("chromium")

WORDS = {
    "en": {
        "company_id": "My Company ID",
        "own_email": "I have my own email address",
        "continue": "Continue",
        "may_require": "It may require you to use My Company ID.",
        "not_set_up": "Single sign-on may not be set up for this address.",
        "failed": "did not work",
    },
    "fr": {
        "company_id": "Mon identifiant d’entreprise",
        "own_email": "J’ai ma propre adresse de messagerie",
        "continue": "Continuer",
        "may_require": "Elle exige peut-être que vous utilisiez Mon identifiant d’entreprise.",
        "not_set_up": "L’authentification unique n’est peut-être pas configurée pour cette adresse.",
        "failed": "n’a pas abouti",
    },
}


@pytest.fixture(autouse=True)
def usual(company: Company) -> None:
    company.site.changes.clear()
    company.site.asked.clear()


def let_in(page: Page, who: str) -> None:
    """At the company's own page."""
    expect(page.locator("#company-page")).to_be_visible()
    page.locator("#who").fill(who)
    page.locator("#let-in").click()


def test_s4_alice_signs_in_to_the_product_through_her_company(
    world: World, company: Company, page: Page, language: str
) -> None:
    words, alice = WORDS[language], f"alice-{language}@acme.example"
    page.goto(f"{world.webinar.address}/start")
    page.locator("#company-id-link").click()
    expect(page.locator("#login-submit")).to_have_text(words["continue"])
    look(page, f"company-{language}")
    page.locator("#username").fill(alice)
    page.keyboard.press("Enter")
    let_in(page, alice)
    expect(page.locator("#signed-in")).to_be_visible()
    first = world.webinar.seen[-1]["claims"]
    assert "amr" not in first
    # The product again: no question. The company again, when the product wants a fresh proof.
    page.goto(f"{world.webinar.address}/start")
    expect(page.locator("#signed-in")).to_be_visible()
    world.webinar.parameters["prompt"] = "login"
    page.goto(f"{world.webinar.address}/start")
    let_in(page, alice)
    expect(page.locator("#signed-in")).to_be_visible()
    assert world.webinar.seen[-1]["claims"]["sub"] == first["sub"]
    page.goto(f"{world.provider.issuer}/me")
    look(page, f"me-company-{language}")


def test_the_first_step_leads_to_the_company_by_itself(
    world: World, company: Company, page: Page, language: str
) -> None:
    page.goto(f"{world.webinar.address}/start")
    page.locator("#username").fill(f"alice-{language}@acme.example")
    page.locator("#login-submit").click()
    let_in(page, f"alice-{language}@acme.example")
    expect(page.locator("#signed-in")).to_be_visible()
    assert page.url.startswith(world.webinar.address)


def test_s3_the_standard_page_leads_to_the_company_in_one_click(
    world: World, company: Company, page: Page, language: str
) -> None:
    words, alice = WORDS[language], f"alice-{language}@acme.example"
    page.goto(f"{world.webinar.address}/start")
    page.locator("#username").fill("carol@example.org")
    page.locator("#login-submit").click()
    page.locator("#username").fill(alice)
    page.locator("#password").fill("a password of hers elsewhere")
    page.locator("#login-submit").click()
    expect(page.locator("#login-page")).to_contain_text(words["may_require"])
    expect(page.locator("#company-id-link")).to_have_text(words["company_id"])
    look(page, f"password-wrong-company-{language}")
    page.locator("#company-id-link").click()
    expect(page.locator("#username")).to_have_value(alice)
    page.locator("#login-submit").click()
    let_in(page, alice)
    expect(page.locator("#signed-in")).to_be_visible()


def test_s5_the_company_page_leads_back_in_one_click(world: World, company: Company, page: Page, language: str) -> None:
    words = WORDS[language]
    page.goto(f"{world.webinar.address}/start")
    page.locator("#username").fill("carol@exam")
    page.locator("#company-id-link").click()
    expect(page.locator("#username")).to_have_value("carol@exam")
    page.locator("#username").fill("carol@example.org")
    page.locator("#login-submit").click()
    expect(page.get_by_role("alert")).to_contain_text(words["not_set_up"])
    expect(page.locator("#own-email-link")).to_have_text(words["own_email"])
    look(page, f"company-problem-{language}")
    page.locator("#own-email-link").click()
    expect(page.locator("#username")).to_have_value("carol@example.org")
    page.locator("#password").fill(PASSWORD)
    page.locator("#login-submit").click()
    expect(page.locator("#signed-in")).to_be_visible()


def test_what_the_company_answers_wrongly_is_explained(
    world: World, company: Company, page: Page, language: str
) -> None:
    company.site.changes["audiences"] = [["https://another.example/"]]
    page.goto(f"{world.webinar.address}/start")
    page.locator("#username").fill(f"alice-{language}@acme.example")
    page.locator("#login-submit").click()
    let_in(page, f"alice-{language}@acme.example")
    expect(page.locator("#error-page")).to_contain_text(WORDS[language]["failed"])
    expect(page.locator("#receipt-code")).to_be_visible()
    look(page, f"company-failed-{language}")
    page.locator("#own-email-link").click()
    expect(page.locator("#password")).to_be_visible()
    page.go_back()
    company.site.changes.clear()
    page.locator("main a.button").click()  # once more
    expect(page.locator("#signed-in")).to_be_visible()


def test_an_account_that_was_there_before_is_proved_once(
    world: World, company: Company, page: Page, language: str
) -> None:
    dora = f"dora-{language}@acme.example"
    world.provider.add_person(dora)
    page.goto(f"{world.webinar.address}/start")
    page.locator("#username").fill(dora)
    page.locator("#login-submit").click()
    let_in(page, dora)
    expect(page.locator("#link-page")).to_contain_text(dora)
    look(page, f"link-{language}")
    page.locator("#password").fill(PASSWORD)
    page.locator("#link-password").click()
    expect(page.locator("#signed-in")).to_be_visible()


def test_the_companys_start_page_leads_to_the_product(
    world: World, company: Company, page: Page, language: str
) -> None:
    alice = f"alice-{language}@acme.example"
    page.goto(f"{world.webinar.address}/start")
    page.locator("#username").fill(alice)
    page.locator("#login-submit").click()
    let_in(page, alice)
    expect(page.locator("#signed-in")).to_be_visible()
    page.context.clear_cookies(domain="login.provider.test")
    asked = len(company.site.asked)
    connection = company.customer.connection
    page.goto(f"{company.site.address}/portal?acs={connection.acs}&audience={connection.entity_id}&relay_state=webinar")
    expect(page.locator("#signed-in")).to_be_visible()
    assert page.url.startswith(world.webinar.address)
    assert len(company.site.asked) == asked + 1  # what came unasked was not believed: the company was asked


def test_a_silent_request_asks_the_company_once(world: World, company: Company, page: Page, language: str) -> None:
    world.webinar.parameters.update({"prompt": "none", "domain_hint": "acme.example"})
    page.goto(f"{world.webinar.address}/start")
    expect(page.locator("#refused")).to_have_text("login_required")
    assert [asked.get("IsPassive") for asked in company.site.asked] == ["true"]
    world.webinar.parameters.clear()
    page.goto(f"{world.webinar.address}/start")
    page.locator("#username").fill(f"alice-{language}@acme.example")
    page.locator("#login-submit").click()
    let_in(page, f"alice-{language}@acme.example")
    expect(page.locator("#signed-in")).to_be_visible()
    page.context.clear_cookies(domain="login.provider.test")
    world.webinar.parameters.update({"prompt": "none", "domain_hint": "acme.example"})
    page.goto(f"{world.webinar.address}/start")
    expect(page.locator("#signed-in")).to_be_visible()


def test_the_company_door_works_without_script(world: World, company: Company, browser: Browser) -> None:
    world.webinar.parameters.clear()
    context = browser.new_context(ignore_https_errors=True, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{world.webinar.address}/start")
    page.locator("#username").fill("nora@acme.example")
    page.locator("#company-id-link").click()
    page.locator("#login-submit").click()
    let_in(page, "nora@acme.example")
    page.locator("#carry").click()
    expect(page.locator("#signed-in")).to_be_visible()
    context.close()
