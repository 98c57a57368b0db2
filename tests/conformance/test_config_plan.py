"""oidcc-config-certification-test-plan: what the provider says of itself."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from tests.conformance.suite import CLAIMS, Suite
from tests.conftest import ISSUER

TEXT = {"issuer", "jwks_uri", "service_documentation", "op_policy_uri", "op_tos_uri"}
BOOLEAN = {
    "claims_parameter_supported",
    "request_parameter_supported",
    "request_uri_parameter_supported",
    "require_request_uri_registration",
    "authorization_response_iss_parameter_supported",
    "backchannel_logout_supported",
    "backchannel_logout_session_supported",
    "frontchannel_logout_supported",
    "frontchannel_logout_session_supported",
}
LIST = {
    "acr_values_supported",
    "claim_types_supported",
    "claims_locales_supported",
    "claims_supported",
    "code_challenge_methods_supported",
    "display_values_supported",
    "grant_types_supported",
    "id_token_encryption_alg_values_supported",
    "id_token_encryption_enc_values_supported",
    "id_token_signing_alg_values_supported",
    "introspection_endpoint_auth_methods_supported",
    "introspection_endpoint_auth_signing_alg_values_supported",
    "prompt_values_supported",
    "request_object_signing_alg_values_supported",
    "response_modes_supported",
    "response_types_supported",
    "revocation_endpoint_auth_methods_supported",
    "revocation_endpoint_auth_signing_alg_values_supported",
    "scopes_supported",
    "subject_types_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "ui_locales_supported",
    "userinfo_signing_alg_values_supported",
}
ENDPOINT = re.compile(
    r"(authorization|token|userinfo|registration|introspection|revocation|end_session|device_authorization|"
    r"pushed_authorization_request)_endpoint|check_session_iframe"
)


def is_https(url: Any) -> bool:
    parts = urlsplit(url)
    return bool(parts.scheme == "https" and parts.hostname and not parts.fragment and parts.username is None)


def test_oidcc_discovery_endpoint_verification(suite: Suite) -> None:
    """The suite reads the document and the keys before it looks closer (``read_discovery``, ``read_keys``)."""
    metadata = suite.metadata
    assert is_https(metadata["issuer"]) and not urlsplit(metadata["issuer"]).query
    for name, value in metadata.items():
        if name in TEXT:
            assert isinstance(value, str) and value
        elif name in BOOLEAN:
            assert type(value) is bool
        elif name in LIST:
            assert isinstance(value, list) and value
            assert all(isinstance(member, str) and member for member in value)
            assert len(set(value)) == len(value)
        else:
            assert ENDPOINT.fullmatch(name), f"the suite's schema does not know {name}"
            assert is_https(value)
    assert is_https(metadata["jwks_uri"])
    assert metadata["response_types_supported"]
    assert set(metadata["subject_types_supported"]) & {"public", "pairwise"}
    assert "RS256" in metadata["id_token_signing_alg_values_supported"]
    assert "RS256" in metadata["request_object_signing_alg_values_supported"]
    assert "authorization_code" in metadata["grant_types_supported"]
    assert "openid" in metadata["scopes_supported"]
    assert all(re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]+", scope) for scope in metadata["scopes_supported"])
    assert set[str]().union(*CLAIMS.values()) <= set(metadata["claims_supported"])
    assert metadata["ui_locales_supported"] == ["en", "fr"]
    assert {"S256"} <= set(metadata["code_challenge_methods_supported"])
    assert metadata["userinfo_endpoint"] == f"{ISSUER}/userinfo"
