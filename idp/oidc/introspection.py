"""``/introspect``: a product's own server asks whether a token is alive (RFC 7662)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from idp.errors import OAuthError
from idp.machine import Answer, Request, json_answer
from idp.oidc.client_auth import ClientAuthentication
from idp.oidc.provider import Provider


class IntrospectionEndpoint:
    """Answers introspection requests. ``clock`` tells seconds since 1970."""

    def __init__(
        self, provider: Provider, client_authentication: ClientAuthentication, clock: Callable[[], float]
    ) -> None:
        self._provider = provider
        self._client_authentication = client_authentication
        self._clock = clock

    def answer(self, request: Request) -> Answer:
        """Tell an authenticated client about a token of its own, or of a client that it serves; about any other exactly
        that it is not active (P-24). One Redis round trip, no SQL.

        :raises OAuthError: ``invalid_client``, also for public clients; ``invalid_request`` without a token.
        """
        now = self._clock()
        form = request.form()
        client = self._client_authentication.authenticate(request, form, now)
        if client.is_public:
            raise OAuthError(
                "invalid_client", "Client authentication failed.", reason="client_credentials_missing", status=401
            )
        if "token" not in form:
            raise OAuthError("invalid_request", "The token is missing.", reason="parameter_missing", parameter="token")
        access = self._provider.introspect(form["token"], now)
        if access is None or not client.may_introspect(access.grant.client_id):
            return json_answer({"active": False})
        grant = access.grant
        told: dict[str, Any] = {
            "active": True,
            "iss": self._provider.issuer,
            "client_id": grant.client_id,
            "aud": grant.client_id,
            "sub": grant.sub,
            "sid": grant.sid,
            "scope": " ".join(access.scope),
            "iat": access.issued,
            "exp": access.expires,
        }
        if not access.refresh:
            told["token_type"] = "Bearer"  # noqa: S105 a token type
        return json_answer(told)
