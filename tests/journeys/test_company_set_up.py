"""A company's own sign-in, from nothing to "required", in a real browser and by the pages alone: domain, identity provider, test trip, live,
required; by its administrator in both languages, and by a colleague with a set-up link. Then a certificate breaks, and is mended."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from idp.database import Database
from idp.models import Company, Connection
from tests.backends import wait_until
from tests.browser import axe, screenshots
from tests.fakes.company_idp import key_pair, pem
from tests.journeys.admin_world import (
    Center,
    Firm,
    a_firm,
    browser,
    center,
    come_through_the_company,
    connect,
    let_in,
    prove_domain,
    sign_in,
    somebody,
    try_it,
)

__all__ = ["browser", "center"]
pytestmark = pytest.mark.needs("chromium")


def required(center: Center, firm: Firm) -> bool:
    database = Database(center.provider.config)
    with database.reading() as db:
        found = db.get_one(Company, firm.id).sso == "required"
    database.close()
    return found


@pytest.mark.parametrize("language", ["en", "fr"])
def test_an_administrator_takes_her_company_from_nothing_to_required(
    browser: Browser, center: Center, language: str
) -> None:
    with a_firm(center, f"acme-{language}") as firm, somebody(browser, language) as page:
        sign_in(page, center, firm.ada)
        page.click("#nav-company-sign-in")
        prove_domain(page, center, firm)
        connect(page, firm)
        try_it(page, firm.ada)
        page.click("#go-live")
        expect(page.locator("#to-draft")).to_be_visible()
        screenshots(page, f"set-up-live-{language}")
        come_through_the_company(browser, center, firm, firm.ada)
        page.click("#nav-people")
        page.get_by_role("link", name="Ada").click()
        page.locator("form[action$='/break-glass'] button").click()
        expect(page.get_by_role("status")).to_be_visible()
        page.click("#nav-company-sign-in")
        expect(page.locator(".names")).to_contain_text(firm.bob)  # who is affected, by name
        screenshots(page, f"set-up-affected-{language}")
        axe(page)
        page.click("#require")
        expect(page.locator("#relax")).to_be_visible()
        assert required(center, firm)
        come_through_the_company(browser, center, firm, firm.bob)


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_a_colleague_of_its_it_does_it_by_a_link(browser: Browser, center: Center, script: bool) -> None:
    with a_firm(center, f"globex-{'script' if script else 'plain'}") as firm:
        with somebody(browser) as ada:
            sign_in(ada, center, firm.ada)
            ada.click("#nav-people")
            ada.get_by_role("link", name="Ada").click()
            ada.locator("form[action$='/break-glass'] button").click()
            ada.click("#nav-company-sign-in")
            ada.click("#make-link")
            link = ada.locator("#link").inner_text()
        with somebody(browser, "fr", script=script) as page:
            page.goto(link)
            page.click("#set-up-begin")
            prove_domain(page, center, firm, script=script)
            connect(page, firm, script=script)
            try_it(page, firm.bob, script=script)
            page.click("#go-live")
            expect(page.locator("#to-draft")).to_be_visible()
            come_through_the_company(browser, center, firm, firm.ada)
            page.click("#back-to-guide")
            page.click("#require")
            expect(page.locator("#relax")).to_be_visible()
            page.goto(f"{center.origin}/companies/{firm.id}/people")
            expect(page.locator("#people-page")).not_to_be_visible()  # and nothing else
        assert required(center, firm)


def test_a_broken_certificate_is_found_explained_and_mended(browser: Browser, center: Center) -> None:
    with a_firm(center, "initech") as firm, somebody(browser) as page:
        sign_in(page, center, firm.ada)
        page.click("#nav-company-sign-in")
        prove_domain(page, center, firm)
        connect(page, firm)
        try_it(page, firm.ada)
        page.click("#go-live")
        come_through_the_company(browser, center, firm, firm.bob)

        # Overnight the identity provider signs with another key, and has told nobody.
        firm.site.idp.private, certificate = key_pair("rsa", "Initech overnight")
        firm.site.idp.certificate = certificate
        with somebody(browser) as bob:
            bob.goto(f"{center.provider.issuer}/me")
            bob.locator("#company-id-link").click()
            bob.fill("#username", firm.bob)
            bob.click("#login-submit")
            let_in(bob, firm.bob)
            receipt = bob.locator("#receipt-code").inner_text()

        def seen() -> bool:
            page.reload()
            return page.locator("summary", has_text=receipt).filter(has_text="failed").count() > 0

        wait_until(seen, "the attempt is on the page of the connection")
        page.locator("summary", has_text=receipt).click()
        attempt = page.locator("details", has_text=receipt)
        expect(attempt).to_contain_text("certificate")
        expect(attempt).to_contain_text("Okta")  # the menu in which it is mended
        axe(page)
        screenshots(page, "set-up-broken-certificate")
        page.fill("#certificate", pem(certificate))
        page.locator("form[action$='/certificates'] button").click()
        expect(page.get_by_role("status")).to_be_visible()
        come_through_the_company(browser, center, firm, firm.bob)
    database = Database(center.provider.config)
    with database.reading() as db:
        assert db.query(Connection).filter_by(company_id=firm.id).one().state == "live"
    database.close()
