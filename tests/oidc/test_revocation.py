"""The revocation endpoint (RFC 7009; attacks.md RS-11)."""

from __future__ import annotations

import pytest

from tests.oidc.product import SECRETS, Product, basic, data, error

OFFLINE = "openid offline_access"


def _revoke(product: Product, token: str, client_id: str = "C1", **more: str) -> None:
    sent, extra = product.credentials(client_id)
    answer = product.ask("POST", "/revoke", {**extra, "token": token, **more}, sent)
    assert (answer.status, answer.body) == (200, b"")


def test_rs_11_revoking_a_refresh_token_ends_all_tokens_of_its_grant(product: Product) -> None:
    first = product.tokens(scope=OFFLINE)
    second = data(product.refresh(first["refresh_token"]))
    _revoke(product, second["refresh_token"])

    for tokens in (first, second):
        assert product.userinfo(tokens["access_token"]).status == 401
    assert error(product.refresh(second["refresh_token"])) == (400, "invalid_grant")


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense"])
def test_rs_11_revoking_an_access_token_ends_it_alone_whatever_the_hint(product: Product, hint: str) -> None:
    tokens = product.tokens(scope=OFFLINE)
    _revoke(product, tokens["access_token"], token_type_hint=hint)

    assert product.userinfo(tokens["access_token"]).status == 401
    assert product.refresh(tokens["refresh_token"]).status == 200


def test_rs_11_the_answer_is_200_for_unknown_tokens_and_twice(product: Product) -> None:
    token = product.tokens(scope=OFFLINE)["refresh_token"]

    for _ in range(2):
        _revoke(product, token)
    for unknown in ("x", "é", "x" * 10_000, f"{'A' * 22}.{'A' * 43}"):
        _revoke(product, unknown)


def test_rs_11_another_clients_token_is_left_alone(product: Product) -> None:
    tokens = product.tokens(scope=OFFLINE)
    for thief in ("C2", "P1"):
        _revoke(product, tokens["access_token"], thief)
        _revoke(product, tokens["refresh_token"], thief)

    assert product.userinfo(tokens["access_token"]).status == 200
    assert product.refresh(tokens["refresh_token"]).status == 200


def test_a_public_client_gives_its_own_tokens_back(product: Product) -> None:
    tokens = product.tokens("P1", OFFLINE)
    _revoke(product, tokens["refresh_token"], "P1")

    assert error(product.refresh(tokens["refresh_token"], "P1")) == (400, "invalid_grant")


def test_who_is_not_authenticated_revokes_nothing(product: Product) -> None:
    tokens = product.tokens()
    refused = product.ask("POST", "/revoke", {"token": tokens["access_token"]}, basic("C1", "wrong"))

    assert error(refused) == (401, "invalid_client")
    assert product.userinfo(tokens["access_token"]).status == 200
    assert error(product.ask("POST", "/revoke", {}, basic("C1", SECRETS["C1"]))) == (400, "invalid_request")
