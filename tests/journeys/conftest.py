"""A provider and relying parties on different registrable names over TLS, and a browser that finds them."""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from playwright.sync_api import Browser, BrowserContext, Page, Request

from idp.accounts.identity import read_address
from idp.accounts.lifecycle import create_account
from idp.accounts.passwords import PasswordHasher
from idp.cli.company_arguments import connections_of
from idp.client_record import hash_secret
from idp.database import Database
from tests import canaries
from tests.backends import running_postgres, running_redis, wait_until
from tests.browser import chromium
from tests.fakes.company_idp import CompanyIdp
from tests.fakes.company_site import CompanySite
from tests.fakes.mail_server import MailServer, mail_server
from tests.fakes.relying_party import RelyingParty, running
from tests.fakes.social_sites import HOSTS, Person, SocialSites, social_sites
from tests.journey import PASSWORD
from tests.running import Provider, running_provider
from tests.saml_parties import Customer, add_customer

WEBINAR = canaries.register("webinar-secret-0123456789-0123456789", "client secret")
SOCIAL_WEBINAR = canaries.register("social-webinar-secret-0123456789-0123", "client secret")
PARTNER = canaries.register("partner-secret-0123456789-0123456789", "client secret")

NOBODY_YET = "https://nobody-yet.example"

CLIENTS = """
clients:
  webinar:
    name: GoToWebinar
    type: web
    redirect_uris: ["{webinar}/cb"]
    post_logout_redirect_uris: ["{webinar}/bye"]
    backchannel_logout_uri: "{webinar}/backchannel"
    initiate_login_uri: "{webinar}/start"
    secrets: [{{hash: "{webinar_hash}"}}]
    policy_uri: https://policy.example/
    tos_uri: https://terms.example/
  partner:
    name: Partner Statistics
    type: web
    first_party: false
    redirect_uris: ["{partner}/cb"]
    secrets: [{{hash: "{partner_hash}"}}]
"""


@dataclass
class World:
    provider: Provider
    webinar: RelyingParty
    partner: RelyingParty
    authority: trustme.CA


@pytest.fixture(
    scope="session", params=["embedded", pytest.param("scaled", marks=pytest.mark.needs("postgresql", "redis"))]
)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, made_once: Path) -> Iterator[World]:
    """The provider with SQLite and its own Valkey, and the same with PostgreSQL and Redis."""
    folder = tmp_path_factory.mktemp("world")
    authority = trustme.CA()
    webinar, partner = RelyingParty("webinar", WEBINAR), RelyingParty("partner", PARTNER)
    with running(webinar, "app.webinar.test", authority), running(partner, "www.partner.test", authority):
        clients = CLIENTS.format(
            webinar=webinar.address,
            partner=partner.address,
            webinar_hash=hash_secret(WEBINAR),
            partner_hash=hash_secret(PARTNER),
        )
        options = {"clients": clients, "tls": authority, "name": "login.provider.test", "keys": made_once / "keys"}
        if request.param == "embedded":
            with running_provider(folder, **options) as provider:
                yield _world(provider, webinar, partner, authority)
        else:
            with running_redis(folder / "redis") as redis, running_postgres() as postgres:
                stores = redis.environ | {"IDP_DATABASE_URL": postgres.new_database()}
                with running_provider(folder, stores=stores, **options) as provider:
                    yield _world(provider, webinar, partner, authority)


def _world(provider: Provider, webinar: RelyingParty, partner: RelyingParty, authority: trustme.CA) -> World:
    webinar.provider = partner.provider = provider
    provider.add_person("carol@example.org")
    return World(provider, webinar, partner, authority)


@dataclass
class Company:
    """A company on a name of its own, and what it is here."""

    site: CompanySite
    customer: Customer
    domain: str


@pytest.fixture(scope="session")
def company(world: World) -> Iterator[Company]:
    site = CompanySite(CompanyIdp("https://idp.acme.test/saml"))
    with running(site, "idp.acme.test", world.authority):
        site.idp.sso_url, site.idp.slo_url = f"{site.address}/sso", f"{site.address}/slo"
        config = world.provider.config
        database = Database(config)
        customer = add_customer(database, connections_of(config), site.idp, now=time.time(), random=secrets.token_bytes)
        database.close()
        yield Company(site, customer, "acme.example")


@dataclass
class Social:
    """A provider with social doors, and the stand-ins of ``make run`` behind them.

    The issuer is https://localhost, because only there may we call servers on loopback; to the browser it is a foreign site
    to all the others.
    """

    provider: Provider
    webinar: RelyingParty
    sites: SocialSites
    mails: MailServer
    authority: trustme.CA
    password_hash: str = field(repr=False)

    def add_person(self, email: str, *, verified: bool = True) -> None:
        """An account with the password of the tests: what ``idp people add`` makes, in a hundredth of its time."""
        database = Database(self.provider.config)
        with database.transaction() as db:
            create_account(
                db,
                read_address(email),
                claims={"name": "Carol Example"},
                verified=verified,
                password_hash=self.password_hash,
                actor="operator:test",
                now=time.time(),
                random=secrets.token_bytes,
            )
        database.close()

    def start(self, page: Page) -> None:
        page.goto(f"{self.webinar.address}/start")

    def mailed(self, recipient: str, path: str) -> str:
        """The link in the last mail to somebody that leads to ``path``."""
        return self.mails.link_to(recipient, self.provider.issuer + path)

    def has_mail(self, recipient: str) -> None:
        """Wait until somebody has been sent a mail, whatever is in it."""
        wait_until(
            lambda: any(mail.recipient == recipient for mail in self.mails.received),
            f"a mail to {recipient}",
            patience=60,
        )

    def sub(self) -> str:
        """Of who has come to the product last."""
        return str(self.webinar.seen[-1]["claims"]["sub"])

    def person_at(self, key: str, email: str) -> Person:
        """Somebody who is signed in at a provider and agrees to everything; it vouches for their address, if it ever does."""
        site = self.sites.by_key[key]
        known = [one for one in site.people.values() if email and one.email == email]
        person = known[0] if known else site.add_person("Carol Example", email, hosted=True)
        site.everybody, site.consent = person.subject, "allow"
        return person


@pytest.fixture(scope="session")
def social_world(tmp_path_factory: pytest.TempPathFactory, made_once: Path) -> Iterator[Social]:
    folder = tmp_path_factory.mktemp("social")
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*HOSTS.values()).configure_cert(tls)
    webinar = RelyingParty("webinar", SOCIAL_WEBINAR)
    with ExitStack() as stack:
        stack.enter_context(running(webinar, "app.webinar.test", authority))
        sites = stack.enter_context(social_sites(NOBODY_YET, tls=tls))
        mails = stack.enter_context(mail_server())
        (folder / "providers.yaml").write_text(sites.providers_yaml, encoding="utf-8")
        with_seat = CLIENTS.replace("    type: web\n", "    type: web\n    scopes: [openid, profile, email, seat]\n", 1)
        clients = with_seat.format(
            webinar=webinar.address,
            partner="https://www.partner.test",
            webinar_hash=hash_secret(SOCIAL_WEBINAR),
            partner_hash=hash_secret(SOCIAL_WEBINAR + "2"),
        )
        settings = {
            "IDP_PROVIDERS": str(folder / "providers.yaml"),
            "IDP_TRUSTED_PROXIES": "127.0.0.1/32",  # for those who ask for more mails than one network may
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
        yield Social(provider, webinar, sites, mails, authority, PasswordHasher(1, 1).hash(PASSWORD))


@pytest.fixture
def social(social_world: Social) -> Social:
    """As it was in the beginning, but for its people."""
    social_world.sites.forget()
    social_world.webinar.parameters.clear()
    social_world.webinar.seen.clear()
    return social_world


@pytest.fixture
def social_page(context: BrowserContext, social: Social) -> Iterator[Page]:
    """A tab in which no page of ours may load anything from another site."""
    page = context.new_page()
    ours, foreign = urlsplit(social.provider.issuer).netloc, []

    def note(request: Request) -> None:
        there = urlsplit(request.url)
        loads = not request.is_navigation_request() and urlsplit(request.frame.url).netloc == ours
        if loads and there.scheme != "data" and there.netloc != ours:
            foreign.append(request.url)

    page.on("request", note)
    yield page
    assert foreign == []  # only here: what is raised in a listener breaks the connection to the browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium("MAP *.test 127.0.0.1") as browser:
        yield browser


@pytest.fixture(params=["en", "fr"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def context(browser: Browser, language: str) -> Iterator[BrowserContext]:
    """A fresh browser of a person who reads ``language``."""
    locale = {"en": "en-GB", "fr": "fr-FR"}[language]
    context = browser.new_context(ignore_https_errors=True, locale=locale)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, world: World) -> Page:
    """A tab; the relying parties start with a clean slate."""
    for party in (world.webinar, world.partner):
        party.parameters.clear()
        party.seen.clear()
        party.logout_tokens.clear()
        party.heard_of_logout.clear()
    return context.new_page()
