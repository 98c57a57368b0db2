"""Discovery and JWKS: openid-requirements.md 1.4 (every FAILURE and WARNING), and that every promise is kept."""

from __future__ import annotations

import json
import shutil
from typing import Any
from urllib.parse import urlsplit

import pytest

from idp.keys import rotate
from tests.oidc.product import ISSUER, Product, data, headers, running_product

DOCUMENTS = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")

# What the conformance suite's schema knows (RFC 8414 and its registry, as far as we use it).
KNOWN = {
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "userinfo_endpoint",
    "jwks_uri",
    "introspection_endpoint",
    "revocation_endpoint",
    "end_session_endpoint",
    "backchannel_logout_supported",
    "backchannel_logout_session_supported",
    "response_types_supported",
    "response_modes_supported",
    "grant_types_supported",
    "code_challenge_methods_supported",
    "authorization_response_iss_parameter_supported",
    "scopes_supported",
    "prompt_values_supported",
    "acr_values_supported",
    "subject_types_supported",
    "id_token_signing_alg_values_supported",
    "userinfo_signing_alg_values_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "revocation_endpoint_auth_methods_supported",
    "revocation_endpoint_auth_signing_alg_values_supported",
    "introspection_endpoint_auth_methods_supported",
    "introspection_endpoint_auth_signing_alg_values_supported",
    "claim_types_supported",
    "claims_supported",
    "claims_parameter_supported",
    "request_parameter_supported",
    "request_uri_parameter_supported",
    "request_object_signing_alg_values_supported",
    "ui_locales_supported",
}


@pytest.fixture
def metadata(product: Product) -> dict[str, Any]:
    return data(product.ask("GET", DOCUMENTS[0]))


def test_the_document_says_what_is_there_and_nothing_else(product: Product, metadata: dict[str, Any]) -> None:
    assert metadata["issuer"] == ISSUER
    for name, value in metadata.items():
        if name.endswith(("_endpoint", "_uri")):
            assert urlsplit(value).scheme == "https"
            assert value.startswith(ISSUER + "/")
        if name.endswith("_supported") and not isinstance(value, bool):
            assert isinstance(value, list)
            assert value
            assert len(set(value)) == len(value)
    assert metadata["id_token_signing_alg_values_supported"] == ["RS256", "ES256", "EdDSA", "PS256"]
    assert "none" not in json.dumps(metadata["request_object_signing_alg_values_supported"])
    assert set(metadata["subject_types_supported"]) == {"public", "pairwise"}
    assert set(metadata) <= KNOWN


def test_both_documents_are_the_same_json_that_everybody_may_read(product: Product) -> None:
    answers = [product.ask("GET", path) for path in DOCUMENTS]

    assert answers[0].body == answers[1].body
    assert headers(answers[0])["content-type"] == "application/json"
    assert headers(answers[0])["access-control-allow-origin"] == "*"
    assert product.ask("HEAD", DOCUMENTS[0]).body == b""
    assert product.ask("POST", DOCUMENTS[0], {}).status == 405


def test_only_what_is_implemented_is_promised(product: Product, metadata: dict[str, Any]) -> None:
    assert metadata["response_types_supported"] == ["code"]
    assert metadata["grant_types_supported"] == ["authorization_code", "refresh_token"]
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert metadata["claims_parameter_supported"] is True
    assert metadata["request_parameter_supported"] is False
    assert metadata["request_uri_parameter_supported"] is False
    assert metadata["authorization_response_iss_parameter_supported"] is True
    assert metadata["backchannel_logout_supported"] is True
    assert metadata["backchannel_logout_session_supported"] is True
    assert not {"registration_endpoint", "check_session_iframe", "version", "frontchannel_logout_supported"} & set(
        metadata
    )
    for name in ("token", "userinfo", "introspection", "revocation"):
        assert product.endpoints.serves(urlsplit(metadata[f"{name}_endpoint"]).path)
    assert product.endpoints.serves("/jwks")
    assert "none" not in metadata["introspection_endpoint_auth_methods_supported"]
    assert product.session.acr in metadata["acr_values_supported"]


def test_ky_01_jwks_holds_public_members_only(product: Product) -> None:
    answer = product.ask("GET", "/jwks")
    keys = data(answer)["keys"]

    assert {key["alg"] for key in keys} == {"RS256", "PS256", "ES256", "EdDSA"}
    assert len({key["kid"] for key in keys}) == len(keys)
    for key in keys:
        assert key["use"] == "sig"
        assert set(key) <= {"kty", "use", "alg", "kid", "n", "e", "crv", "x", "y"}
    assert headers(answer)["cache-control"] == "public, max-age=3600"
    assert headers(answer)["access-control-allow-origin"] == "*"


def test_documents_are_serialised_once_and_cost_no_round_trip(product: Product) -> None:
    product.attempts.close()
    before = product.store.trips
    for path in (*DOCUMENTS, "/jwks"):
        assert product.ask("GET", path).body is product.ask("GET", path).body

    assert product.store.trips == before


def test_a_new_key_is_published_without_a_restart(tmp_path: Any, made_once: Any, embedded: Any, clock: Any) -> None:
    shutil.copytree(made_once / "keys", tmp_path / "keys")
    with running_product(tmp_path, tmp_path / "keys", embedded.url, clock) as product:
        before = product.ask("GET", "/jwks").body
        rotate(tmp_path / "keys", ("RS256",), clock(), jwks_max_age=3600, longest_token=3600, emergency=True)
        assert product.ask("GET", "/jwks").body != before
