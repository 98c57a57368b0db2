"""Promises of oidc/backchannel.py: what a product hears of an ended session, and what a product can do to us meanwhile."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import trustme
from joserfc import jws
from joserfc.jwk import KeySet
from sqlalchemy import select

from idp.clients import Clients
from idp.config import Config
from idp.database import Database
from idp.fetch import Fetcher
from idp.key_ring import KeyRing
from idp.models import LogoutNotice
from idp.oidc.backchannel import EVENT, Backchannel
from idp.outbox import LOGOUT_NOTICES
from tests import canaries
from tests.conftest import Clock
from tests.fakes.product_server import ProductServer, product_server, reply

PRODUCTS = """
clients:
  RS:
    name: A product
    type: web
    redirect_uris: [https://rp.example/cb]
    backchannel_logout_uri: https://rp.example:{port}/backchannel?from=idp
    secrets: [{{hash: "sha256:{none}"}}]
  ES:
    name: Another product
    type: web
    redirect_uris: [https://rp.example/cb]
    backchannel_logout_uri: https://rp.example:{port}/elliptic
    id_token_signed_response_alg: ES256
    secrets: [{{hash: "sha256:{none}"}}]
  DEAF:
    name: Hears nothing
    type: web
    redirect_uris: [https://rp.example/cb]
    secrets: [{{hash: "sha256:{none}"}}]
"""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def product(authority: trustme.CA) -> Iterator[ProductServer]:
    with product_server(authority) as server:
        yield server


@pytest.fixture
def database(config: Config) -> Iterator[Database]:
    built = Database(config)
    yield built
    built.close()


@pytest.fixture
def keys(config: Config) -> KeyRing:
    return KeyRing(config.keys, config.jwks_max_age)


Build = Callable[..., Backchannel]


@pytest.fixture
def build(
    config: Config, keys: KeyRing, authority: trustme.CA, product: ProductServer, tmp_path: Path, clock: Clock
) -> Build:
    """A back channel to ``product``; ``addresses``: what the product's name resolves to."""
    path = tmp_path / "products.yaml"
    path.write_text(PRODUCTS.format(port=product.port, none="0" * 64), encoding="utf-8")
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)

    def make(addresses: Sequence[str] = ("127.0.0.1",), issuer: str = "https://localhost") -> Backchannel:
        # On loopback, because the product is; the rules for an issuer elsewhere are asked for by its name.
        settings = config.model_copy(update={"issuer": issuer})
        clients = Clients(path, {}, loopback=False)
        outgoing = Fetcher(settings, lambda host, port: addresses, trusted)
        return Backchannel(settings, clients, keys, outgoing, canaries.random, clock)

    return make


def note(database: Database, clock: Clock, *client_ids: str) -> None:
    at = int(clock())
    with database.transaction() as db:
        for number, client_id in enumerate(client_ids):
            db.add(LogoutNotice(client_id=client_id, sub="carol", sid=f"sid-{number}", created_at=at, next_try_at=at))


def rows(database: Database) -> list[LogoutNotice]:
    with database.reading() as db:
        found = list(db.scalars(select(LogoutNotice).order_by(LogoutNotice.id)))
        db.expunge_all()
        return found


def heard(product: ProductServer, keys: KeyRing) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Header and claims of the logout tokens that arrived, verified by another library with the public keys."""
    public = KeySet.import_key_set(json.loads(keys.jwks()))
    tokens = []
    for asked in product.asked:
        [(name, [token])] = parse_qs(asked.body.decode(), strict_parsing=True).items()
        assert name == "logout_token"
        verified = jws.deserialize_compact(token, public, algorithms=["RS256", "ES256"])
        tokens.append((dict(verified.headers()), json.loads(verified.payload)))
    return tokens


def test_lo_08_a_logout_token_is_typed_short_lived_and_never_an_id_token(
    build: Build, database: Database, product: ProductServer, keys: KeyRing, clock: Clock
) -> None:
    note(database, clock, "RS", "ES")
    backchannel = build()

    assert backchannel.send_due(database) and backchannel.send_due(database)

    assert [asked.line for asked in product.asked] == [
        "POST /backchannel?from=idp HTTP/1.1",
        "POST /elliptic HTTP/1.1",
    ]
    now = int(clock())
    for (header, claims), client_id, alg, sid in zip(
        heard(product, keys), ("RS", "ES"), ("RS256", "ES256"), ("sid-0", "sid-1"), strict=True
    ):
        assert (header["typ"], header["alg"]) == ("logout+jwt", alg)
        jti = claims.pop("jti")
        assert len(jti) >= 22
        assert claims == {
            "iss": "https://localhost",
            "aud": client_id,
            "iat": now,
            "exp": now + 120,
            "events": {EVENT: {}},
            "sub": "carol",
            "sid": sid,
        }
    assert [(row.state, row.last_answer) for row in rows(database)] == [("sent", "status 200")] * 2
    assert not backchannel.send_due(database)


def test_lo_08_every_try_has_an_identifier_and_a_time_of_its_own(
    build: Build, database: Database, product: ProductServer, keys: KeyRing, clock: Clock
) -> None:
    note(database, clock, "RS")
    product.answer = reply(500)
    backchannel = build()

    backchannel.send_due(database)
    clock.advance(LOGOUT_NOTICES.pauses[0])
    backchannel.send_due(database)
    (_, first), (_, second) = heard(product, keys)
    assert first["jti"] != second["jti"]
    assert second["iat"] == first["iat"] + LOGOUT_NOTICES.pauses[0]


@pytest.mark.parametrize("status", [200, 204])
def test_a_product_that_answers_2xx_has_heard(
    build: Build, database: Database, product: ProductServer, clock: Clock, status: int
) -> None:
    note(database, clock, "RS")
    product.answer = reply(status, b"x" * (0 if status == 204 else 100_000))

    build().send_due(database)
    assert rows(database)[0].state == "sent"


@pytest.mark.parametrize("status", [302, 400, 500, 503])
def test_lo_07_a_product_that_refuses_is_told_again_a_bounded_number_of_times_and_never_followed(
    build: Build, database: Database, product: ProductServer, clock: Clock, status: int
) -> None:
    note(database, clock, "RS")
    with product_server(None) as inside:
        product.answer = reply(status, Location=f"http://127.0.0.1:{inside.port}/")
        backchannel = build()
        started = clock()
        while (row := rows(database)[0]).state == "waiting":
            clock.now = float(row.next_try_at)
            assert not backchannel.send_due(database)
    assert inside.connections == 0
    assert len(product.asked) == row.tries == 5
    assert clock() - started < 15 * 60
    assert (row.state, row.last_answer) == ("given_up", f"status {status}")


def test_lo_07_a_product_that_is_away_is_tried_again(build: Build, database: Database, clock: Clock) -> None:
    note(database, clock, "RS")

    build(["127.0.0.9"]).send_due(database)
    row = rows(database)[0]
    assert (row.state, row.tries) == ("waiting", 1)
    assert row.last_answer is not None and row.last_answer.startswith("outgoing_failed")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"])
def test_lo_07_a_product_at_an_internal_address_is_never_called(
    build: Build, database: Database, product: ProductServer, clock: Clock, address: str
) -> None:
    note(database, clock, "RS")

    build([address], "https://login.example").send_due(database)
    row = rows(database)[0]
    assert (row.state, row.tries) == ("given_up", 1)
    assert row.last_answer is not None and row.last_answer.startswith("outgoing_refused")
    assert product.connections == 0


def test_a_product_that_is_gone_or_deaf_is_given_up(
    build: Build, database: Database, product: ProductServer, clock: Clock
) -> None:
    note(database, clock, "DEAF", "GONE")
    backchannel = build()

    assert backchannel.send_due(database) and backchannel.send_due(database)
    assert [row.state for row in rows(database)] == ["given_up", "given_up"]
    assert product.connections == 0
