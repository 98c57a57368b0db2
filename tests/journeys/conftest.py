"""A provider and relying parties on different registrable names over TLS, and a browser that finds them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from playwright.sync_api import Browser, BrowserContext, Page

from idp.cli.company_arguments import connections_of
from idp.client_record import hash_secret
from idp.database import Database
from tests import canaries
from tests.backends import running_postgres, running_redis
from tests.browser import chromium
from tests.fakes.company_idp import CompanyIdp
from tests.fakes.company_site import CompanySite
from tests.fakes.relying_party import RelyingParty, running
from tests.running import Provider, running_provider
from tests.saml_parties import Customer, add_customer

WEBINAR = canaries.register("webinar-secret-0123456789-0123456789", "client secret")
PARTNER = canaries.register("partner-secret-0123456789-0123456789", "client secret")

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
