"""``/token``: codes and refresh tokens become tokens (RFC 6749 sections 4.1.3, 5 and 6; OpenID Connect Core 3.1.3, 12)."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from idp.attempts import Attempts, Step
from idp.errors import OAuthError
from idp.grants import Refusal
from idp.machine import Answer, Request, json_answer
from idp.oidc.client_auth import ClientAuthentication
from idp.oidc.codes_and_tokens import GrantRefused
from idp.oidc.provider import Provider

# Somebody shows what they should not have, or shows it again: worth a look even if nothing was lost (TK-03, TK-15).
ATTACKS = ("code_foreign", "code_used", "verifier_wrong", "refresh_foreign", "refresh_reused")

_log = structlog.get_logger(__name__)


class TokenEndpoint:
    """Answers token requests. ``clock`` tells seconds since 1970."""

    def __init__(
        self,
        provider: Provider,
        client_authentication: ClientAuthentication,
        attempts: Attempts,
        clock: Callable[[], float],
    ) -> None:
        self._provider = provider
        self._client_authentication = client_authentication
        self._attempts = attempts
        self._clock = clock

    def answer(self, request: Request) -> Answer:
        """Answer one request. Two Redis round trips with private_key_jwt, else one; no SQL.

        :raises OAuthError: as RFC 6749 section 5.2 names it.
        """
        now = self._clock()
        form = request.form()
        client = self._client_authentication.authenticate(request, form, now)
        try:
            response, grant = self._provider.handle_token_request(form, client, now)
        except OAuthError as error:
            error.detail = f"client {client.client_id}"
            if isinstance(error, GrantRefused):
                self._note(error.refusal, client.client_id)
            raise
        step = Step.token_refreshed if form["grant_type"] == "refresh_token" else Step.token_issued
        self._attempts.step(grant.receipt, step, client_id=client.client_id, account_id=grant.account_id)
        return json_answer(response.to_dict())

    def _note(self, refusal: Refusal, client_id: str) -> None:
        if refusal.reason in ATTACKS:
            _log.warning("grant_attacked", reason=refusal.reason, client_id=client_id, receipt=refusal.receipt)
        if refusal.receipt:
            self._attempts.step(
                refusal.receipt,
                Step.token_refused,
                reason=refusal.reason,
                client_id=client_id,
                account_id=refusal.account_id,
            )
