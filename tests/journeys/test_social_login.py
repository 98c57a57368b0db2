"""Signing in with a social provider, in a real browser: the product, the provider and six others on sites of their own, over TLS.

The others are the stand-ins of ``make run``. The issuer is https://localhost, because only there may we call servers on
loopback; to the browser it is a foreign site to all the others.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from playwright.sync_api import Browser, BrowserContext, Page, expect

from idp.client_record import hash_secret
from tests import canaries
from tests.backends import wait_until
from tests.fakes.mail_server import MailServer, mail_server
from tests.fakes.relying_party import RelyingParty, running
from tests.fakes.social_sites import HOSTS, Person, Site, SocialSites, social_sites
from tests.journey import PASSWORD
from tests.journeys.conftest import CLIENTS
from tests.journeys.test_password_login import look, sign_in
from tests.running import Provider, running_provider

pytestmark = pytest.mark.needs("chromium")

SECRET = canaries.register("social-webinar-secret-0123456789-0123", "client secret")
KEYS = tuple(HOSTS)
SILENT = ("google", "microsoft")
NOBODY_YET = "https://nobody-yet.example"


@dataclass
class Social:
    provider: Provider
    webinar: RelyingParty
    sites: SocialSites
    mails: MailServer

    def start(self, page: Page) -> None:
        page.goto(f"{self.webinar.address}/start")

    def mailed(self, recipient: str, path: str) -> str:
        """The link in the last mail to somebody that leads to ``path``."""
        found: list[str] = []

        def has_come() -> bool:
            for mail in self.mails.received:
                if mail.recipient == recipient:
                    found.extend(re.findall(rf"{re.escape(self.provider.issuer + path)}\?t=\S+", mail.text()))
            return bool(found)

        wait_until(has_come, f"a mail to {recipient} with a link to {path}", patience=60)
        canaries.register(found[-1].partition("t=")[2], "link in a mail")
        return found[-1]

    def sub(self) -> str:
        """Of who has come to the product last."""
        return str(self.webinar.seen[-1]["claims"]["sub"])


@pytest.fixture(scope="module")
def social(tmp_path_factory: pytest.TempPathFactory, made_once: Path) -> Iterator[Social]:
    folder = tmp_path_factory.mktemp("social")
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*HOSTS.values()).configure_cert(tls)
    webinar = RelyingParty("webinar", SECRET)
    with ExitStack() as stack:
        stack.enter_context(running(webinar, "app.webinar.test", authority))
        sites = stack.enter_context(social_sites(NOBODY_YET, tls=tls))
        mails = stack.enter_context(mail_server())
        (folder / "providers.yaml").write_text(sites.providers_yaml, encoding="utf-8")
        with_seat = CLIENTS.replace("    type: web\n", "    type: web\n    scopes: [openid, profile, email, seat]\n", 1)
        clients = with_seat.format(
            webinar=webinar.address,
            partner="https://www.partner.test",
            webinar_hash=hash_secret(SECRET),
            partner_hash=hash_secret(SECRET + "2"),
        )
        settings = {
            "IDP_PROVIDERS": str(folder / "providers.yaml"),
            "IDP_SMTP": f"localhost:{mails.port}",
            "IDP_SMTP_STARTTLS": "false",
            "IDP_TERMS_URL": "https://terms.example/",
            "IDP_PRIVACY_URL": "https://privacy.example/",
            "IDP_TERMS_VERSION": "2026-11",
            **sites.environment,
        }
        options = {"clients": clients, "tls": authority, "keys": made_once / "keys", "settings": settings}
        provider = stack.enter_context(running_provider(folder / "idp", **options))  # type: ignore[arg-type] # as named
        webinar.provider = provider
        for site in sites.by_key.values():  # the provider's port was not known before it ran
            registered = site.registration.redirect_uris
            site.registration.redirect_uris = tuple(one.replace(NOBODY_YET, provider.issuer) for one in registered)
        yield Social(provider, webinar, sites, mails)


@pytest.fixture(autouse=True)
def usual(social: Social) -> None:
    social.sites.forget()
    social.webinar.parameters.clear()
    social.webinar.seen.clear()


@pytest.fixture
def page(context: BrowserContext, social: Social) -> Page:
    """A tab that keeps a list of the sites from which our own pages load something."""
    page = context.new_page()
    ours = urlsplit(social.provider.issuer).netloc

    def loaded(request: object) -> None:
        frame = request.frame.url if not request.is_navigation_request() else ""  # type: ignore[attr-defined] # playwright's Request
        there = urlsplit(request.url).netloc  # type: ignore[attr-defined] # likewise
        if urlsplit(frame).netloc == ours and there != ours:
            raise AssertionError(f"a page of ours loads {there}")

    page.on("request", loaded)
    return page


def person_at(site: Site, email: str) -> Person:
    """Somebody with an account there; the address is one that the provider vouches for, if it ever does."""
    known = [one for one in site.people.values() if one.email == email]
    return known[0] if known else site.add_person("Carol Example", email, hosted=True)


def leave_session(page: Page) -> None:
    """Come back another day: our session is over, and what the provider holds lives."""
    page.context.clear_cookies(name="__Host-idp_session")


def prove(social: Social, page: Page, key: str, email: str) -> None:
    """From the provider, to an account with the same address that is there already."""
    if key == "facebook":  # whose addresses are never believed
        expect(page.locator("#address-page")).to_be_visible()
        page.locator("#username").fill(email)
        page.locator("#address-submit").click()
        expect(page.locator("#address-sent-page")).to_be_visible()
        page.goto(social.mailed(email, "/login/address/mail"))
        page.locator("#address-confirm").click()
    else:
        expect(page.locator("#link-page")).to_contain_text(email)
        page.locator("#password").fill(PASSWORD)
        page.locator("#link-password").click()
    expect(page.locator("#signed-in")).to_be_visible()


@pytest.mark.parametrize("key", KEYS)
def test_s6_s7_from_the_first_sign_in_to_the_link_that_is_undone(
    social: Social, page: Page, key: str, language: str
) -> None:
    site, email = social.sites.by_key[key], f"{key}-{language}@example.org"
    social.provider.add_person(email)
    # Else whoever proves the address by mail would take out the password that somebody else may have set (RC-10).
    social.provider.idp("people", "set", email, "email_verified=true")
    person = person_at(site, email)
    shown = key == "google"

    # The person thinks better of it, and then goes through with it.
    site.everybody = person.subject
    social.start(page)
    if shown:
        look(page, f"social-start-{language}")
    page.locator(f"#social-{key}").click()
    page.locator("#deny").click()
    expect(page.locator("#error-page")).to_be_visible()
    expect(page.locator("#receipt-code")).to_be_visible()
    if shown:
        look(page, f"social-cancelled-{language}")
    site.consent = "allow"
    page.locator("#social-again").click()
    prove(social, page, key, email)
    sub = social.sub()
    assert "amr" not in social.webinar.seen[-1]["claims"]

    # Another day: simply in, where the provider can be asked silently; else by one click.
    leave_session(page)
    social.start(page)
    if key not in SILENT:
        expect(page.locator("#last-door")).to_be_visible()
        page.locator(f"#social-{key}").click()
    expect(page.locator("#signed-in")).to_be_visible()
    assert social.sub() == sub

    # Not signed in at the provider any more: our page, and then the provider asks.
    leave_session(page)
    site.everybody = ""
    page.context.clear_cookies(domain=HOSTS[key])
    social.start(page)
    expect(page.locator("#last-door")).to_be_visible()
    page.locator(f"#social-{key}").click()
    expect(page.locator("#stand-in-choose")).to_be_visible()

    # The provider is down: a kind page with the other doors.
    site.everybody, site.mood = person.subject, "down"
    social.start(page)
    page.locator(f"#social-{key}").click()
    expect(page.locator("#error-page")).to_be_visible()
    expect(page.locator("#company-id-link")).to_be_visible()
    if shown:
        look(page, f"social-down-{language}")
    site.mood = "well"
    page.locator("#own-email-link").click()
    sign_in(page, email=email)
    expect(page.locator("#signed-in")).to_be_visible()
    assert social.sub() == sub

    # Taken away on My account: whoever comes from there must prove the account again, and then it is undone from the mail.
    page.goto(f"{social.provider.issuer}/me")
    page.locator("a[href^='/me/links/remove']").click()
    if shown:
        look(page, f"social-unlink-{language}")
    page.locator("#unlink").click()
    expect(page.get_by_role("status")).to_be_visible()
    leave_session(page)
    social.mails.received.clear()
    social.start(page)
    page.locator(f"#social-{key}").click()
    prove(social, page, key, email)
    assert social.sub() == sub
    page.goto(social.mailed(email, "/me/links/undo"))
    if shown:
        look(page, f"social-undo-{language}")
    page.locator("#undo-link").click()
    expect(page.get_by_role("status")).to_be_visible()
    page.goto(f"{social.provider.issuer}/me")
    expect(page.locator("#login-page")).to_be_visible()
    leave_session(page)
    social.start(page)
    sign_in(page, email=email)
    expect(page.locator("#signed-in")).to_be_visible()
    assert social.sub() == sub


def test_s6_a_newcomer_has_an_account_after_the_terms(social: Social, page: Page, language: str) -> None:
    email = f"new-{language}@example.org"
    social.sites.google.everybody, social.sites.google.consent = person_at(social.sites.google, email).subject, "allow"
    social.start(page)
    page.locator("#social-google").click()
    expect(page.locator("#welcome-page")).to_contain_text(email)
    look(page, f"social-welcome-{language}")
    page.locator("#welcome-submit").click()
    expect(page.locator("#welcome-page")).to_be_visible()  # the box first
    page.locator("#terms").check()
    page.locator("#welcome-submit").click()
    expect(page.locator("#signed-in")).to_be_visible()
    page.goto(f"{social.provider.issuer}/me")
    expect(page.locator("#add-apple")).to_be_visible()
    look(page, f"social-me-{language}")
    page.locator("a[href^='/me/links/remove']").click()
    expect(page.locator("#problem")).to_be_visible()  # the last way in stays
    look(page, f"social-unlink-last-{language}")


def test_another_provider_is_added_and_proves_the_account(social: Social, page: Page, language: str) -> None:
    email = f"two-{language}@example.org"
    social.provider.add_person(email)
    for site in (social.sites.google, social.sites.github):
        site.everybody, site.consent = person_at(site, email).subject, "allow"
    social.start(page)
    sign_in(page, email=email)
    expect(page.locator("#signed-in")).to_be_visible()
    sub = social.sub()
    page.goto(f"{social.provider.issuer}/me")
    page.locator("#add-google").click()
    expect(page.get_by_role("status")).to_be_visible()
    leave_session(page)
    page.context.clear_cookies(name="__Host-idp_last_door")
    social.start(page)
    page.locator("#social-github").click()
    expect(page.locator("#link-page")).to_be_visible()
    look(page, f"social-link-{language}")
    page.locator("#social-google").click()  # proves the account, and GitHub opens it from now on
    expect(page.locator("#signed-in")).to_be_visible()
    leave_session(page)
    page.context.clear_cookies(name="__Host-idp_last_door")
    social.start(page)
    page.locator("#social-github").click()
    expect(page.locator("#signed-in")).to_be_visible()
    assert social.sub() == sub


def test_s8_an_attendee_who_became_an_organizer_signs_in_anew(social: Social, page: Page, language: str) -> None:
    email = f"seat-{language}@example.org"
    social.provider.add_person(email)
    social.webinar.parameters["scope"] = "openid email seat"
    social.start(page)
    sign_in(page, email=email)
    expect(page.locator("#signed-in")).to_be_visible()
    before = social.webinar.seen[-1]["claims"]["auth_time"]
    social.provider.idp("people", "seat", email, "--product", "webinar", "--role", "organizer")
    social.start(page)
    expect(page.locator("#login-page")).to_be_visible()
    page.locator("#password").or_(page.locator("#login-submit")).first.wait_for()
    if page.locator("#password").count() == 0:
        page.locator("#login-submit").click()
    page.locator("#password").fill(PASSWORD)
    page.locator("#login-submit").click()
    expect(page.locator("#signed-in")).to_be_visible()
    assert social.webinar.seen[-1]["claims"]["auth_time"] > before
    social.start(page)
    expect(page.locator("#signed-in")).to_be_visible()
    page.goto(f"{social.provider.issuer}/help/why-sign-in")
    expect(page.locator("#why-page")).to_contain_text(email)
    look(page, f"why-sign-in-{language}")


@pytest.mark.parametrize("key", ["google", "apple"])
def test_the_social_doors_work_without_script(social: Social, browser: Browser, key: str) -> None:
    email = f"noscript-{key}@example.org"
    site = social.sites.by_key[key]
    site.everybody, site.consent = person_at(site, email).subject, "allow"
    with browser.new_context(ignore_https_errors=True, java_script_enabled=False) as context:
        page = context.new_page()
        social.start(page)
        page.locator(f"#social-{key}").click()
        if key == "apple":
            page.locator("#send button").click()  # Apple's own page posts its answer
        page.locator("#terms").check()
        page.locator("#welcome-submit").click()
        expect(page.locator("#signed-in")).to_be_visible()
