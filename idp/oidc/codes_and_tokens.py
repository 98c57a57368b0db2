"""pyop's AuthorizationState over our grants: codes and tokens are made, redeemed and read in Redis, one trip each.

pyop's own state keeps everything in dictionaries that are read, checked and written in turn, searched from end to end,
and hold secrets in clear (P-00, P-08, P-09, P-10, P-16, P-24, P-28). None of it runs: its constructor is not called, so
whatever of it is not overridden here has nothing to work on and fails at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pyop.authz_state import AuthorizationState
from pyop.message import AuthorizationRequest

from idp import grants
from idp.client_record import Client
from idp.errors import OAuthError
from idp.grants import Access, Authentication, Issued, Refusal
from idp.key_ring import KeyRing
from idp.redis_store import RedisStore

# One text for every reason: which of them it was tells an attacker something and stands in the receipt (P-29).
_SAYS = {
    "invalid_grant": "The code or refresh token is unknown, expired, used, or was not issued for this request.",
    "invalid_scope": "The scope asks for more than was granted.",
}


class GrantRefused(OAuthError):
    """``invalid_grant`` or ``invalid_scope`` (RFC 6749 section 5.2), with the receipt of the grant where it is known."""

    def __init__(self, refusal: Refusal) -> None:
        error = "invalid_scope" if refusal.reason == "scope_exceeded" else "invalid_grant"
        super().__init__(error, _SAYS[error], reason=refusal.reason)
        self.refusal = refusal


class GrantState(AuthorizationState):  # type: ignore[misc]  # pyop is untyped
    """What pyop's Provider asks for codes and tokens."""

    stateless = False

    def __init__(self, store: RedisStore, keys: KeyRing, random: Callable[[int], bytes]) -> None:
        # pyop's constructor would build the dictionaries that this class replaces.
        self._store = store
        self._secret = keys.derive("refresh tokens")
        self._random = random

    def create_authorization_code(
        self,
        authorization_request: AuthorizationRequest,
        authentication: Authentication,
        *,
        client: Client,
        claims: Mapping[str, Mapping[str, None]],
        receipt: str,
        now: float,
    ) -> str:
        """Open the grant of a checked request and return its code (RFC 6749 section 4.1.2)."""
        return grants.open_grant(
            self._store,
            client,
            authentication,
            scope=authorization_request["scope"],
            redirect_uri=authorization_request["redirect_uri"],
            challenge=authorization_request.get("code_challenge"),
            nonce=authorization_request.get("nonce"),
            claims=claims,
            receipt=receipt,
            now=now,
            random=self._random,
        )

    def exchange_code_for_token(
        self, authorization_code: str, *, client: Client, redirect_uri: str, verifier: str | None, now: float
    ) -> Issued:
        """Redeem a code.

        :raises GrantRefused: it was not.
        """
        return _tokens(
            grants.redeem_code(
                self._store,
                authorization_code,
                client,
                redirect_uri=redirect_uri,
                verifier=verifier,
                now=now,
                random=self._random,
                secret=self._secret,
            )
        )

    def use_refresh_token(self, refresh_token: str, scope: Iterable[str] = (), *, client: Client, now: float) -> Issued:
        """Rotate a refresh token. An empty ``scope`` means all that was granted.

        :raises GrantRefused: it was not.
        """
        return _tokens(
            grants.rotate_refresh(
                self._store,
                refresh_token,
                client,
                scope=scope,
                now=now,
                random=self._random,
                secret=self._secret,
            )
        )

    def introspect_access_token(self, access_token_value: str, *, now: float) -> Access | None:
        """The grant of an access token that is alive."""
        return grants.read_access(self._store, access_token_value, now)

    def introspect_token(self, token: str, *, now: float) -> Access | None:
        """The grant of an access or refresh token that is alive (RFC 7662)."""
        return grants.read_token(self._store, token, now, self._secret)

    def revoke_token(self, token: str, *, client: Client) -> None:
        """A client gives one of its tokens back (RFC 7009)."""
        grants.revoke_token(self._store, token, client.client_id, self._secret)

    def end_grant(self, gid: str) -> None:
        """End a grant whose tokens could not be handed over."""
        grants.end_grant(self._store, gid)


def _tokens(result: Issued | Refusal) -> Issued:
    if isinstance(result, Refusal):
        raise GrantRefused(result)
    return result
