"""What the provider says of itself: ``/.well-known/openid-configuration``, ``/.well-known/oauth-authorization-server``, ``/jwks``.

Exactly what is implemented (OpenID Connect Discovery 3, RFC 8414), from one table; pyop's defaults promise more (P-30).
Each document is serialised once per change of the keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from idp.config import Config
from idp.key_ring import KeyRing
from idp.machine import Answer, Request
from idp.oidc.claims import ACR_VALUES, ID_TOKEN_CLAIMS, PERSON_CLAIMS
from idp.oidc.request_checks import PROMPTS, RESPONSE_MODES, SCOPES

AUTH_METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]
ASSERTION_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]


def metadata(config: Config, algorithms: Iterable[str], ui_locales: Iterable[str]) -> dict[str, Any]:
    """The provider's metadata. ``algorithms`` have a signing key; RS256 comes first, because clients take the first."""
    issuer = config.issuer
    signing = sorted(algorithms, key=lambda alg: (alg != "RS256", alg))
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks",
        "introspection_endpoint": f"{issuer}/introspect",
        "revocation_endpoint": f"{issuer}/revoke",
        "end_session_endpoint": f"{issuer}/logout",
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "response_types_supported": ["code"],
        "response_modes_supported": list(RESPONSE_MODES),
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "scopes_supported": list(SCOPES),
        "prompt_values_supported": list(PROMPTS),
        "acr_values_supported": list(ACR_VALUES),
        "subject_types_supported": ["public", "pairwise"],
        "id_token_signing_alg_values_supported": signing,
        "userinfo_signing_alg_values_supported": signing,
        "token_endpoint_auth_methods_supported": AUTH_METHODS,
        "token_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "introspection_endpoint_auth_methods_supported": AUTH_METHODS[:-1],
        "introspection_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "claim_types_supported": ["normal"],
        "claims_supported": [*ID_TOKEN_CLAIMS, *sorted(PERSON_CLAIMS)],
        "claims_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        # A missing list would say that unsigned request objects may be tried (openid-requirements.md, 1.3 and advice 18).
        "request_object_signing_alg_values_supported": ["RS256"],
        "ui_locales_supported": list(ui_locales),
    }


class Discovery:
    """The public documents."""

    def __init__(self, config: Config, keys: KeyRing, ui_locales: Iterable[str]) -> None:
        self._config = config
        self._keys = keys
        self._ui_locales = tuple(ui_locales)
        self._documents: dict[frozenset[str], bytes] = {}
        self._cached = ("Cache-Control", f"public, max-age={config.jwks_max_age}")

    def configuration(self, _request: Request) -> Answer:
        """The metadata document."""
        algorithms = self._keys.algorithms()
        if algorithms not in self._documents:
            document = metadata(self._config, algorithms, self._ui_locales)
            self._documents[algorithms] = json.dumps(document, separators=(",", ":")).encode()
        return Answer(200, [("Content-Type", "application/json"), self._cached], self._documents[algorithms])

    def jwks(self, _request: Request) -> Answer:
        """The public signing keys (RFC 7517 section 5). Caching bounds how soon a new key may sign (idp keys rotate)."""
        return Answer(200, [("Content-Type", "application/jwk-set+json"), self._cached], self._keys.jwks())
