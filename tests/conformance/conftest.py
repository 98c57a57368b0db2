"""The provider as the conformance suite finds it: two relying parties, and a person with every standard claim."""

from __future__ import annotations

import pytest
from flask import Flask

from idp.client_record import hash_secret
from idp.config import Config
from idp.parts import Parts
from tests.conformance.suite import BACKCHANNEL, BYE, CLIENT, CLIENT_2, REDIRECT_URIS, SECRETS, Suite
from tests.conftest import Clock
from tests.journey import Walker, add_carol

CLIENTS = f"""
clients:
  {CLIENT}:
    name: Conformance suite
    type: web
    redirect_uris: ["{REDIRECT_URIS[CLIENT]}"]
    post_logout_redirect_uris: [{BYE}]
    backchannel_logout_uri: {BACKCHANNEL}
    secrets: [hash: "{hash_secret(SECRETS[CLIENT])}"]
    scopes: [openid, profile, email, address, phone, offline_access]
    pkce: optional
  {CLIENT_2}:
    name: Conformance suite, a third party
    type: web
    first_party: false
    redirect_uris: ["{REDIRECT_URIS[CLIENT_2]}"]
    secrets: [hash: "{hash_secret(SECRETS[CLIENT_2])}"]
    scopes: [openid, profile, email, address, phone, offline_access]
    pkce: optional
"""

PERSON = {
    "name": "Carol Marie Example",
    "given_name": "Carol",
    "middle_name": "Marie",
    "family_name": "Example",
    "nickname": "Caro",
    "preferred_username": "carol",
    "profile": "https://carol.example/about",
    "picture": "https://carol.example/portrait.png",
    "website": "https://carol.example/",
    "gender": "female",
    "birthdate": "1987-10-16",
    "zoneinfo": "Europe/Paris",
    "locale": "en-GB",
    "phone_number": "+33123456789",
    "phone_number_verified": True,
    "address": {
        "formatted": "1 rue de la Paix\n75002 Paris\nFrance",
        "street_address": "1 rue de la Paix",
        "locality": "Paris",
        "region": "Île-de-France",
        "postal_code": "75002",
        "country": "France",
    },
}


@pytest.fixture
def config(config: Config) -> Config:
    assert config.clients is not None
    config.clients.write_text(CLIENTS, encoding="utf-8")
    return config


@pytest.fixture
def browser(app: Flask, parts: Parts) -> Walker:
    """A browser of Carol's, who has told everything that there is a standard claim for."""
    add_carol(parts, **PERSON)
    return Walker(app, parts, CLIENT, SECRETS[CLIENT], REDIRECT_URIS[CLIENT])


@pytest.fixture
def suite(browser: Walker, clock: Clock) -> Suite:
    """The suite with the response mode that a plan has by default."""
    return Suite(browser, clock)
