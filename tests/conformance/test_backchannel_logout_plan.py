"""oidcc-backchannel-rp-initiated-logout-certification-test-plan: products hear of a logout, over TLS."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme

from idp.config import Config
from idp.fetch import Fetcher
from idp.oidc.backchannel import Backchannel
from idp.parts import Parts
from tests.conformance.suite import BACKCHANNEL, BYE, CLIENT, Suite, letters
from tests.conftest import ISSUER, Clock
from tests.fakes.product_server import ProductServer, product_server

NAME = "suite.example"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def listening(authority: trustme.CA) -> Iterator[ProductServer]:
    """The suite's own server, which waits for the logout token."""
    with product_server(authority, NAME) as server:
        yield server


@pytest.fixture
def config(config: Config, listening: ProductServer) -> Config:
    assert config.clients is not None
    registered = config.clients.read_text(encoding="utf-8")
    here = listening.url(urlsplit(BACKCHANNEL).path, NAME)
    assert BACKCHANNEL in registered
    config.clients.write_text(registered.replace(BACKCHANNEL, here), encoding="utf-8")
    return config


@pytest.fixture
def backchannel(parts: Parts, authority: trustme.CA) -> Backchannel:
    """What the worker runs, with the suite on loopback: only a provider that is there too may call it there."""
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    nearby = parts.config.model_copy(update={"issuer": "https://localhost"})
    outgoing = Fetcher(nearby, lambda host, port: {NAME: ["127.0.0.1"]}[host], trusted)
    return Backchannel(parts.config, parts.clients, parts.keys, outgoing, parts.random, parts.clock)


def test_oidcc_backchannel_logout_discovery_endpoint_verification(suite: Suite) -> None:
    assert suite.metadata["backchannel_logout_supported"] is True
    assert suite.metadata["backchannel_logout_session_supported"] is True
    assert urlsplit(suite.metadata["end_session_endpoint"]).scheme == "https"


def test_oidcc_backchannel_rp_initiated_logout(
    suite: Suite, parts: Parts, backchannel: Backchannel, listening: ProductServer, clock: Clock
) -> None:
    done = suite.sign_in()
    state = letters(128)
    left = suite.walker.get(
        suite.metadata["end_session_endpoint"],
        query_string={
            "id_token_hint": done.tokens["id_token"],
            "post_logout_redirect_uri": BYE,
            "state": state,
        },
    )
    assert (left.status_code, left.location) == (303, f"{BYE}?state={state}")
    assert backchannel.send_due(parts.database)
    assert not backchannel.send_due(parts.database)

    [asked] = listening.asked
    assert asked.line == f"POST {urlsplit(BACKCHANNEL).path} HTTP/1.1"
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.tls == "TLSv1.3"
    form = parse_qs(asked.body.decode(), strict_parsing=True)
    assert list(form) == ["logout_token"]
    [token] = form["logout_token"]

    header, claims = suite.check_signature(token)
    assert header["typ"] == "logout+jwt"
    assert claims["iss"] == ISSUER
    assert claims["aud"] in (CLIENT, [CLIENT])
    assert type(claims["iat"]) is int and abs(clock() - claims["iat"]) <= 300
    assert type(claims["exp"]) is int and claims["exp"] > clock()
    assert re.fullmatch(r"\S{16,}", claims["jti"])
    assert claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert "nonce" not in claims
    assert claims["sub"] == done.claims["sub"]
    assert claims["sid"] == done.claims["sid"]
    assert suite.says_nobody_is_signed_in()
