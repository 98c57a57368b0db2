"""Signing out of a product, of us and of the company, in a real browser: three sites, over TLS. Chromium applies form-action
to every redirect that follows a form, and keeps our cookies at home when another site posts: here it shows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.conftest import Company, World
from tests.journeys.test_company_login import let_in
from tests.journeys.test_password_login import look

pytestmark = pytest.mark.needs("chromium")

UNCONFIRMED = {"en": "did not confirm", "fr": "n’a pas confirmé"}


@pytest.fixture(autouse=True)
def usual(company: Company) -> Iterator[None]:
    company.site.changes.clear()
    company.site.asked.clear()
    company.site.answers_logout = "redirect"
    yield
    company.site.answers_logout = "redirect"


@pytest.fixture
def alice(world: World, company: Company, page: Page, language: str) -> str:
    """Signed in to the product through her company."""
    address = f"alice-{language}@acme.example"
    page.goto(f"{world.webinar.address}/start")
    page.locator("#username").fill(address)
    page.locator("#login-submit").click()
    let_in(page, address)
    expect(page.locator("#signed-in")).to_be_visible()
    return address


def is_signed_in(world: World, page: Page) -> bool:
    page.goto(f"{world.provider.issuer}/me")
    return page.locator("#username").count() == 0


def is_known_to_the_company(world: World, page: Page, alice: str) -> bool:
    """Whether its page lets her through without a word."""
    page.goto(f"{world.webinar.address}/start")
    page.locator("#username").fill(alice)
    page.locator("#login-submit").click()
    expect(page.locator("#signed-in, #company-page")).to_be_visible()
    return page.locator("#signed-in").count() == 1


@pytest.mark.parametrize("answer", ["redirect", "post"])
def test_leaving_us_after_a_question_leaves_the_company_too(
    world: World, company: Company, page: Page, alice: str, answer: str
) -> None:
    company.site.answers_logout = answer
    page.goto(f"{world.provider.issuer}/logout")
    page.locator("#logout-confirm").click()
    expect(page.locator("#logged-out")).to_be_visible()
    assert [asked.tag.rpartition("}")[2] for asked in company.site.asked] == ["AuthnRequest", "LogoutRequest"]
    assert not is_signed_in(world, page)
    assert not is_known_to_the_company(world, page, alice)


@pytest.mark.parametrize("answer", ["redirect", "post"])
def test_leaving_the_product_leaves_us_and_the_company_and_ends_at_the_product(
    world: World, company: Company, page: Page, alice: str, answer: str
) -> None:
    company.site.answers_logout = answer
    page.goto(f"{world.webinar.address}/logout")
    expect(page.locator("#bye")).to_be_visible()
    assert page.url.startswith(f"{world.webinar.address}/bye")
    assert not is_signed_in(world, page)
    assert not is_known_to_the_company(world, page, alice)


def test_leaving_on_ones_own_page_leaves_the_company_too(world: World, page: Page, alice: str) -> None:
    page.goto(f"{world.provider.issuer}/me")
    page.locator('form[action="/me/sign-out"] button').click()
    expect(page.locator("#logged-out")).to_be_visible()
    assert not is_signed_in(world, page)
    assert not is_known_to_the_company(world, page, alice)


def test_a_company_that_does_not_sign_its_answer_is_told_of_and_holds_nobody(
    world: World, company: Company, page: Page, alice: str, language: str
) -> None:
    company.site.answers_logout = "unsigned"
    page.goto(f"{world.provider.issuer}/me")
    page.locator('form[action="/me/sign-out"] button').click()
    expect(page.locator("#logged-out")).to_contain_text(UNCONFIRMED[language])
    look(page, f"company-unconfirmed-{language}")
    page.locator("#logged-out a").click()
    expect(page.locator("#logged-out")).not_to_contain_text(UNCONFIRMED[language])
    assert not is_signed_in(world, page)


def test_a_company_that_says_nothing_keeps_nobody_signed_in_here(
    world: World, company: Company, page: Page, alice: str
) -> None:
    company.site.answers_logout = "never"
    page.goto(f"{world.provider.issuer}/me")
    page.locator('form[action="/me/sign-out"] button').click()
    expect(page.locator("#left")).to_be_visible()
    assert not is_signed_in(world, page)


def test_leaving_the_company_leaves_us(world: World, company: Company, page: Page, alice: str) -> None:
    page.goto(f"{company.site.address}/leave?slo={company.customer.connection.slo}")
    expect(page.locator("#left")).to_be_visible()
    assert not is_signed_in(world, page)
