"""A company's own sign-in, from nothing to "required", in a real browser and by the pages alone: domain, identity provider, test trip, live,
required; by its administrator in both languages, and by a colleague with a set-up link. Then a certificate breaks, and is mended."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from playwright.sync_api import Browser, BrowserContext, Page, expect

from idp.accounts.identity import read_address
from idp.accounts.lifecycle import create_account
from idp.accounts.passwords import PasswordHasher
from idp.companies import create_company
from idp.database import Database
from idp.members import add_member
from idp.models import Company, Connection
from tests.admin.test_served import SECRET, registration
from tests.backends import free_port, wait_until
from tests.browser import axe, chromium, screenshots
from tests.fakes.company_idp import CompanyIdp, key_pair, pem
from tests.fakes.company_site import CompanySite
from tests.fakes.dns_server import DnsServer, dns_server
from tests.fakes.relying_party import running
from tests.journey import PASSWORD
from tests.registrations import CLIENTS, REFERENCES
from tests.running import Provider, running_provider

pytestmark = pytest.mark.needs("chromium")

TEN_MINUTES = 600


@dataclass
class Center:
    """A provider with an admin center on a name of its own, and the name server that it asks."""

    provider: Provider
    origin: str
    names: DnsServer
    authority: trustme.CA


@dataclass
class Firm:
    """A company that has nothing here but an administrator and her colleague Bob, and its identity provider."""

    id: str
    domain: str
    site: CompanySite

    @property
    def ada(self) -> str:
        return f"ada@{self.domain}"

    @property
    def bob(self) -> str:
        return f"bob@{self.domain}"


def _listens(port: int) -> bool:
    with socket.socket() as tcp:
        return tcp.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory, made_once: Path) -> Iterator[Center]:
    port = free_port()
    origin = f"https://admin.provider.test:{port}"
    authority = trustme.CA()
    with (
        dns_server() as names,
        running_provider(
            tmp_path_factory.mktemp("set-up"),
            name="login.provider.test",
            tls=authority,
            clients=CLIENTS + registration(origin),
            references={**REFERENCES, "ADMIN_CENTER_SECRET": SECRET},
            settings={
                "IDP_ADMIN_CENTER": origin,
                "IDP_ADMIN_LISTEN": f"127.0.0.1:{port}",
                "IDP_DNS_SERVER": names.address,
            },
            keys=made_once / "keys",
        ) as provider,
    ):
        wait_until(lambda: _listens(port), "the admin center answers")
        yield Center(provider, origin, names, authority)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium("MAP *.test 127.0.0.1") as started:
        yield started


@contextmanager
def a_firm(center: Center, name: str) -> Iterator[Firm]:
    database, now = Database(center.provider.config), time.time()
    hashed, domain = PasswordHasher(1, 10).hash(PASSWORD), f"{name}.example"
    with database.transaction() as db:
        company = create_company(db, name.title(), actor="operator:test", now=now, random=secrets.token_bytes).id
        for person, role in (("ada", "administrator"), ("bob", "member")):
            account = create_account(
                db,
                read_address(f"{person}@{domain}"),
                claims={"name": person.title()},
                verified=True,
                password_hash=hashed,
                actor="operator:test",
                now=now,
                random=secrets.token_bytes,
            )
            add_member(db, company, account.id, role, actor="operator:test", now=now, vouched=True)
    database.close()
    site = CompanySite(CompanyIdp(f"https://idp.{name}.test/saml"))
    with running(site, f"idp.{name}.test", center.authority):
        site.idp.sso_url, site.idp.slo_url = f"{site.address}/sso", f"{site.address}/slo"
        yield Firm(company, domain, site)


@contextmanager
def somebody(browser: Browser, language: str = "en", *, script: bool = True) -> Iterator[Page]:
    context: BrowserContext = browser.new_context(ignore_https_errors=True, locale=language, java_script_enabled=script)
    try:
        yield context.new_page()
    finally:
        context.close()


def sign_in(page: Page, center: Center, email: str) -> None:
    page.goto(center.origin)
    page.fill("#username", email)
    page.click("#login-submit")
    page.fill("#password", PASSWORD)
    page.click("#login-submit")
    expect(page.locator("#company-page")).to_be_visible()


def prove_domain(page: Page, center: Center, firm: Firm, *, script: bool = True) -> None:
    """Claim it, look too early, publish what the page says, look again."""
    page.fill("#domain", firm.domain)
    page.click("#claim")
    record = page.locator("#record-1").inner_text()
    check = page.locator("form[action$='/domains/check'] button")
    check.click()
    expect(page.get_by_role("alert")).to_be_visible()  # what was found there: nothing yet
    if script:
        axe(page)
    center.names.records[firm.domain] = [f'"{record}"']
    check.click()
    expect(page.locator("#step-domain .badge")).to_be_visible()


def connect(page: Page, firm: Firm, *, script: bool = True) -> None:
    page.select_option("#vendor", "okta")
    page.check("input[name=how][value=file]")
    page.fill("#document", firm.site.idp.metadata().decode())
    page.click("#connect")
    expect(page.locator("#connection-page")).to_be_visible()
    if script:
        axe(page)


def try_it(page: Page, who: str, *, script: bool = True) -> None:
    """The test trip, in the window that the page opens."""
    page.click("#make-trial")
    with page.context.expect_page() as opened:
        page.click("#trial")
    trip = opened.value
    trip.locator("form[action='/login/company/try'] button").first.click()
    let_in(trip, who)
    if not script:  # a form that sends itself where there is one
        trip.click("#carry")
    expect(trip.locator("#try-result")).to_be_visible()
    trip.close()
    page.reload()


def let_in(page: Page, who: str) -> None:
    """At the company's own page."""
    page.locator("#who").fill(who)
    page.locator("#let-in").click()


def come_through_the_company(browser: Browser, center: Center, firm: Firm, who: str) -> None:
    """Somebody of the company signs in by its own page, and, the first time, proves that the account is theirs."""
    with somebody(browser) as page:
        page.goto(f"{center.provider.issuer}/me")
        page.locator("#company-id-link").click()
        page.fill("#username", who)
        page.click("#login-submit")
        let_in(page, who)
        expect(page.locator("#sign-out, #password").first).to_be_visible()
        if page.locator("#password").is_visible():
            page.fill("#password", PASSWORD)
            page.keyboard.press("Enter")
        expect(page.locator("#sign-out")).to_be_visible()


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
    began = time.monotonic()
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
    assert time.monotonic() - began < TEN_MINUTES
    print(f"from nothing to required ({language}): {time.monotonic() - began:.0f} s")


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
            return page.get_by_text(receipt).count() > 0

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
