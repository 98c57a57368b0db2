"""The list of machine endpoints: who may call them from a browser, and what happens when Redis goes away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.backends import running_redis
from tests.oidc.product import ISSUER, Product, basic, data, error, headers, running_product

if TYPE_CHECKING:
    from tests.conftest import Clock

PATHS = {
    "/.well-known/openid-configuration": "*",
    "/.well-known/oauth-authorization-server": "*",
    "/jwks": "*",
    "/token": "https://spa.example",
    "/userinfo": "https://spa.example",
    "/revoke": "https://spa.example",
    "/introspect": None,
}


@pytest.mark.parametrize(("path", "allowed"), PATHS.items())
def test_hd_06_scripts_may_call_what_the_design_says(product: Product, path: str, allowed: str | None) -> None:
    def allowed_for(origin: str, method: str) -> str | None:
        asked = (
            {"origin": origin, "access-control-request-method": "POST"} if method == "OPTIONS" else {"origin": origin}
        )
        return headers(product.ask(method, path, headers=asked)).get("access-control-allow-origin")

    for method in ("GET", "POST", "OPTIONS"):
        assert allowed_for("https://spa.example", method) == allowed
        for origin in ("https://evil.example", "null", "https://off.example", "https://spa.example.evil.example"):
            assert allowed_for(origin, method) == ("*" if allowed == "*" else None)


def test_a_single_page_product_signs_in_across_origins(product: Product) -> None:
    preflight = product.ask(
        "OPTIONS", "/userinfo", headers={"origin": "https://spa.example", "access-control-request-method": "GET"}
    )
    assert preflight.status == 204
    assert "Authorization" in headers(preflight)["access-control-allow-headers"]
    tokens = product.tokens("P1", "openid email")
    told = product.ask(
        "GET",
        "/userinfo",
        headers={"origin": "https://spa.example", "authorization": f"Bearer {tokens['access_token']}"},
    )
    assert data(told)["email"] == "carol@example.org"


def test_a_client_that_joins_may_call_at_once(product: Product) -> None:
    asked = {"origin": "https://new.example"}
    assert "access-control-allow-origin" not in headers(product.ask("POST", "/token", {}, asked))
    path = product.config.data / "products.yaml"
    path.write_text(path.read_text().replace("https://spa.example/cb", "https://new.example/cb"))
    product.ticks.now += 1  # the file is looked at once a second

    assert headers(product.ask("POST", "/token", {}, asked))["access-control-allow-origin"] == "https://new.example"


@pytest.mark.needs("redis")
def test_when_redis_is_killed_every_step_is_a_503_and_nothing_needs_a_restart(
    tmp_path: Path, made_once: Path, clock: Clock
) -> None:
    with (
        running_redis(tmp_path / "redis") as redis,
        running_product(tmp_path, made_once / "keys", redis.url, clock) as product,
    ):
        tokens = product.tokens(scope="openid offline_access")
        code = product.code()
        redis.kill()
        for answer in (
            product.redeem(code),
            product.refresh(tokens["refresh_token"]),
            product.userinfo(tokens["access_token"]),
            product.ask("POST", "/introspect", {"token": tokens["access_token"]}, product.credentials("C1")[0]),
            product.ask("POST", "/revoke", {"token": tokens["access_token"]}, product.credentials("C1")[0]),
            product.ask("POST", "/token", {}, basic("C1", "wrong")),
        ):
            assert error(answer) == (503, "temporarily_unavailable")
            assert int(headers(answer)["retry-after"]) > 0
        assert data(product.ask("GET", "/jwks"))
        redis.start()

        assert product.redeem(code).status == 200
        assert product.refresh(tokens["refresh_token"]).status == 200
        assert product.userinfo(tokens["access_token"]).status == 200


def test_the_challenge_names_us(product: Product) -> None:
    assert headers(product.ask("POST", "/token", {}))["www-authenticate"] == f'Basic realm="{ISSUER}"'
    assert headers(product.ask("POST", "/revoke", {}))["www-authenticate"] == f'Basic realm="{ISSUER}"'
