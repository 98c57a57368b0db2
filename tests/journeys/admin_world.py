"""A provider with an admin center, each on a name of its own, and companies that begin with nothing, in a real browser."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator, Mapping
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
from tests.admin.test_served import SECRET, registration
from tests.backends import free_port, wait_until
from tests.browser import axe, chromium
from tests.fakes.company_idp import CompanyIdp
from tests.fakes.company_site import CompanySite
from tests.fakes.dns_server import DnsServer, dns_server
from tests.fakes.mail_server import MailServer, mail_server
from tests.fakes.relying_party import running
from tests.journey import PASSWORD
from tests.registrations import CLIENTS, REFERENCES
from tests.running import Provider, running_provider


@dataclass
class Center:
    """A provider with an admin center on a name of its own, and the name server that it asks."""

    provider: Provider
    origin: str
    names: DnsServer
    mails: MailServer
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
        mail_server() as mails,
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
                "IDP_SMTP": f"localhost:{mails.port}",
                "IDP_SMTP_STARTTLS": "false",
            },
            keys=made_once / "keys",
        ) as provider,
    ):
        wait_until(lambda: _listens(port), "the admin center answers")
        yield Center(provider, origin, names, mails, authority)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium("MAP *.test 127.0.0.1") as started:
        yield started


def add_company(provider: Provider, name: str, people: Mapping[str, str]) -> str:
    """A company with these people (address → role), who have the password of the tests; its id."""
    database, now, hashed = Database(provider.config), time.time(), PasswordHasher(1, 10).hash(PASSWORD)
    with database.transaction() as db:
        company = create_company(db, name, actor="operator:test", now=now, random=secrets.token_bytes).id
        for address, role in people.items():
            account = create_account(
                db,
                read_address(address),
                claims={"name": address.partition("@")[0].title()},
                verified=True,
                password_hash=hashed,
                actor="operator:test",
                now=now,
                random=secrets.token_bytes,
            )
            add_member(db, company, account.id, role, actor="operator:test", now=now, vouched=True)
    database.close()
    return company


@contextmanager
def a_firm(center: Center, name: str) -> Iterator[Firm]:
    domain = f"{name}.example"
    company = add_company(center.provider, name.title(), {f"ada@{domain}": "administrator", f"bob@{domain}": "member"})
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
    """To the admin center, by a password, or by their company."""
    page.goto(center.origin)
    page.fill("#username", email)
    page.click("#login-submit")
    expect(page.locator("#password, #who").first).to_be_visible()
    if page.locator("#who").is_visible():  # by now their company signs them in
        let_in(page, email)
    else:
        page.fill("#password", PASSWORD)
        page.click("#login-submit")
    expect(page.locator("#sign-out")).to_be_visible()


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
