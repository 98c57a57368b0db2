"""``/revoke``: a product gives a token back (RFC 7009)."""

from __future__ import annotations

from collections.abc import Callable

from idp.errors import OAuthError
from idp.machine import NO_STORE, Answer, Request
from idp.oidc.client_auth import ClientAuthentication
from idp.oidc.provider import Provider


class RevocationEndpoint:
    """Answers revocation requests. ``clock`` tells seconds since 1970."""

    def __init__(
        self, provider: Provider, client_authentication: ClientAuthentication, clock: Callable[[], float]
    ) -> None:
        self._provider = provider
        self._client_authentication = client_authentication
        self._clock = clock

    def answer(self, request: Request) -> Answer:
        """End a token of the authenticated client; a refresh token takes all tokens of its grant with it.

        The answer is 200 for any token, also unknown or another client's, which is left alone: it tells nothing. The
        ``token_type_hint`` is not needed.

        :raises OAuthError: ``invalid_client``; ``invalid_request`` without a token.
        """
        form = request.form()
        client = self._client_authentication.authenticate(request, form, self._clock())
        if "token" not in form:
            raise OAuthError("invalid_request", "The token is missing.", reason="parameter_missing", parameter="token")
        self._provider.state.revoke_token(form["token"], client=client)
        return Answer(200, list(NO_STORE), b"")
