"""The introspection endpoint (RFC 7662; attacks.md RS-08)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from idp.machine import MAX_BODY, wsgi_request
from tests.oidc.product import ISSUER, SECRETS, Product, basic, data, error

if TYPE_CHECKING:
    from tests.conftest import Clock

DEAD = {"active": False}


def test_a_client_learns_about_its_own_tokens(product: Product) -> None:
    tokens = product.tokens(scope="openid email offline_access")
    now = int(product.now)
    common = {
        "active": True,
        "iss": ISSUER,
        "client_id": "C1",
        "aud": "C1",
        "sub": product.session.sub,
        "sid": product.session.sid("C1"),
        "scope": "openid email offline_access",
        "iat": now,
    }

    assert product.introspect(tokens["access_token"]) == {**common, "exp": now + 3600, "token_type": "Bearer"}
    assert product.introspect(tokens["refresh_token"]) == {**common, "exp": now + 30 * 86400}


def test_only_the_client_itself_and_those_that_it_serves_learn_anything(product: Product) -> None:
    token = product.tokens()["access_token"]

    assert product.introspect(token, "RS")["active"] is True
    assert product.introspect(token, "C2") == DEAD
    assert product.introspect(product.tokens("ES")["access_token"], "RS") == DEAD


def test_rs_08_about_any_other_token_the_answer_is_exactly_inactive(product: Product, clock: Clock) -> None:
    tokens = product.tokens(scope="openid offline_access")
    newer = data(product.refresh(tokens["refresh_token"]))
    revoked = product.tokens()["access_token"]
    product.ask("POST", "/revoke", {"token": revoked}, basic("C1", SECRETS["C1"]))

    for dead in (revoked, tokens["refresh_token"], tokens["id_token"], product.code(), "x", "é\u2028", "x" * 15_000):
        assert product.introspect(dead) == DEAD
    clock.advance(3600)
    assert product.introspect(newer["access_token"]) == DEAD
    clock.advance(30 * 86400)
    assert product.introspect(newer["refresh_token"]) == DEAD


def test_rs_08_more_than_any_request_of_ours_is_refused_before_it_is_read(product: Product) -> None:
    class Unread:
        def read(self, size: int) -> bytes:
            raise AssertionError("read")

    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/introspect",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "CONTENT_LENGTH": str(MAX_BODY + 1),
        "HTTP_AUTHORIZATION": basic("C1", SECRETS["C1"])["authorization"],
        "wsgi.input": Unread(),
    }
    answer = product.endpoints.answer(wsgi_request(environ))

    assert answer is not None
    assert (answer.status, json.loads(answer.body)["error"]) == (413, "invalid_request")


def test_nobody_unknown_and_no_public_client_may_ask(product: Product) -> None:
    token = product.tokens("P1")["access_token"]

    assert error(product.ask("POST", "/introspect", {"token": token})) == (401, "invalid_client")
    assert error(product.ask("POST", "/introspect", {"token": token, "client_id": "P1"})) == (401, "invalid_client")
    assert product.ask("GET", "/introspect", query=f"token={token}").status == 405


def test_a_request_without_a_token_is_wrong(product: Product) -> None:
    assert error(product.ask("POST", "/introspect", {}, basic("C1", SECRETS["C1"]))) == (400, "invalid_request")


def test_private_key_jwt_works_here_too(product: Product) -> None:
    tokens = data(product.redeem(product.code("J1"), "J1", **product.assertion()))
    form = {"token": tokens["access_token"], **product.assertion()}

    assert data(product.ask("POST", "/introspect", form))["client_id"] == "J1"
