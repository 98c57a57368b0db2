"""The admin center in a real browser, with a provider as ``idp serve`` runs it: in both languages, with script and without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from idp.database import Database
from idp.models import Connection
from tests.admin.test_served import SECRET, registration, wait_for
from tests.backends import free_port
from tests.browser import axe, chromium
from tests.fakes.company_idp import CompanyIdp
from tests.journey import PASSWORD
from tests.journeys.admin_world import add_company
from tests.registrations import CLIENTS, REFERENCES
from tests.running import Provider, running_provider

pytestmark = pytest.mark.needs("chromium")


@dataclass
class Center:
    """A provider with an admin center, and a company with one administrator there."""

    provider: Provider
    origin: str
    company: str


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory, made_once: Path) -> Iterator[Center]:
    port = free_port()
    origin = f"http://localhost:{port}"
    with running_provider(
        tmp_path_factory.mktemp("center"),
        clients=CLIENTS + registration(origin),
        references={**REFERENCES, "ADMIN_CENTER_SECRET": SECRET},
        settings={"IDP_ADMIN_CENTER": origin, "IDP_ADMIN_LISTEN": f"127.0.0.1:{port}"},
        keys=made_once / "keys",
    ) as provider:
        wait_for(f"{origin}/health/ready")
        people = {f"{name}@acme.example": "administrator" for name in ("ada", "abe")}
        company = add_company(provider, "Acme", people)
        yield Center(provider, origin, company)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def sign_in(page: Page, center: Center, email: str) -> None:
    page.goto(center.origin)
    page.fill("#username", email)
    page.click("#login-submit")
    page.fill("#password", PASSWORD)
    page.click("#login-submit")
    expect(page.locator("#company-page")).to_be_visible()


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
@pytest.mark.parametrize("language", ["en", "fr"])
def test_an_administrator_looks_around_changes_a_policy_and_signs_out(
    browser: Browser, center: Center, language: str, script: bool
) -> None:
    complaints: list[str] = []
    with browser.new_context(locale=language, java_script_enabled=script) as context:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        sign_in(page, center, "ada@acme.example")
        assert page.locator("html").get_attribute("lang") == language
        for place, identity in (
            ("people", "people-page"),
            ("company-sign-in", "sign-in-guide-page"),
            ("audit", "audit-page"),
            ("settings", "settings-page"),
            ("policies", "policies-page"),
        ):
            page.click(f"#nav-{place}")
            expect(page.locator(f"#{identity}")).to_be_visible()
            if script:
                axe(page)
        page.select_option("#shortest_password", "12")
        page.click("#policies-preview")
        expect(page.locator("#policies-preview-page")).to_be_visible()
        page.click("#policies-save")
        expect(page.locator("[role=status]")).to_be_visible()
        page.select_option("#shortest_password", "")
        page.click("#policies-preview")
        page.click("#policies-save")
        page.click("#nav-people")
        page.fill("#q", "ab")
        page.click("#find")
        page.get_by_role("link", name="Abe").click()
        expect(page.locator("#person-page")).to_be_visible()
        page.click("#sign-out")
        expect(page.locator("#signed-out-page")).to_be_visible()
        page.goto(f"{center.origin}/companies/{center.company}")
        expect(page.locator("#username")).to_be_visible()
    assert complaints == []


def test_a_colleague_connects_an_identity_provider_by_a_link(browser: Browser, center: Center) -> None:
    with browser.new_context(locale="en") as context:
        page = context.new_page()
        sign_in(page, center, "ada@acme.example")
        page.click("#nav-company-sign-in")
        page.click("#make-link")
        link = page.locator("#link").inner_text()
    with browser.new_context(locale="fr") as context:
        page = context.new_page()
        page.goto(link)
        expect(page.locator("#set-up-page")).to_be_visible()
        assert "?" not in page.url
        page.click("#set-up-begin")
        expect(page.locator("#sign-in-guide-page")).to_be_visible()
        axe(page)
        page.fill("#domain", "acme.example")
        page.click("#claim")
        expect(page.locator("#record-1")).to_contain_text("idp-verification-code=")
        page.select_option("#vendor", "okta")
        page.check("input[name=how][value=file]")
        page.fill("#document", CompanyIdp().metadata().decode())
        page.click("#connect")
        expect(page.locator("#connection-page")).to_be_visible()
        axe(page)
        page.click("#make-trial")
        trial = page.locator("#trial").get_attribute("href")
        page.goto(str(trial))
        expect(page.locator("form[action='/login/company/try']")).to_be_visible()
    database = Database(center.provider.config)
    with database.reading() as db:
        assert [one.state for one in db.query(Connection)] == ["draft"]
    database.close()
