"""The engine: pyop's Provider, of which everything that its findings name is replaced (docs/decisions, base-libraries.md).

Every authorization, token and userinfo request passes this class. pyop gives the messages, their required parameters and
claims by scope; it never sees a raw request, a key, or a secret that is stored.

To issue a code, ``/authorize`` calls (two lines above it, ``next_step`` has said ``Issue(scopes)``)::

    code = provider.issue_code(checked, session, scopes, receipt, now)

with the :class:`~idp.oidc.request_checks.CheckedRequest` and the open session. One Redis round trip. ``PageError``
(``session_expired``) when the session ended in that moment, ``Unavailable`` when Redis does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import pyop.provider
from oic.exception import MessageException
from oic.oic.message import (
    AccessTokenResponse,
    AuthorizationResponse,
    OpenIDSchema,
    ProviderConfigurationResponse,
    RefreshAccessTokenRequest,
)
from pyop.message import AccessTokenRequest, AuthorizationRequest

from idp.accounts.sessions import Session
from idp.client_record import Client
from idp.clients import Clients
from idp.config import Config
from idp.errors import OAuthError
from idp.grants import Access, Authentication, Grant, Issued
from idp.jws import BadSignature
from idp.key_ring import KeyRing
from idp.oidc.claims import id_token_claims, person_claims, subject, token_half_hash, wishes
from idp.oidc.codes_and_tokens import GrantState
from idp.oidc.discovery import metadata
from idp.oidc.request_checks import CheckedRequest
from idp.redis_store import RedisStore
from idp.uris import is_loopback

TOKEN_PARAMETERS = ("grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope")
MAX_HINT = 8192  # characters of an id_token_hint
ID_TOKEN = "JWT"  # noqa: S105 a JWS `typ`, not a secret. No other JWT of ours has it, so no other passes for an ID token.


class Metadata(ProviderConfigurationResponse):  # type: ignore[misc]  # oic is untyped
    """pyop's configuration. It demands an https issuer; ``make run`` has an http one on loopback, which nobody can overhear."""

    def verify(self, **kwargs: object) -> bool:
        issuer = self["issuer"]
        parts = urlsplit(issuer)
        if parts.scheme == "http" and is_loopback(parts.hostname or ""):
            self["issuer"] = "https" + issuer.removeprefix("http")
        try:
            return bool(super().verify(**kwargs))
        finally:
            self["issuer"] = issuer


pyop.provider.ProviderConfigurationResponse = Metadata  # its constructor takes the class from there


def _switched_off(*_: object, **__: object) -> None:
    """What pyop would do with a raw request, a registration or a logout: ours does it instead (P-02, P-03, P-13, P-20, P-26)."""
    raise NotImplementedError


class Provider(pyop.provider.Provider):  # type: ignore[misc]  # pyop is untyped
    """The provider of one issuer. Times are seconds since 1970; ``random`` gives unpredictable bytes."""

    parse_authentication_request = _verify_client_authentication = _switched_off
    handle_client_registration_request = logout_user = do_post_logout_redirect = _switched_off

    def __init__(
        self,
        config: Config,
        store: RedisStore,
        keys: KeyRing,
        clients: Clients,
        random: Callable[[int], bytes],
    ) -> None:
        # No signing key for pyop: it would log it (P-01), sign with weak nonces (P-04) and decrypt with it (P-12).
        state = GrantState(store, keys, random)
        super().__init__(None, metadata(config, keys.algorithms(), ()), state, clients, None)
        self.issuer = config.issuer
        self.state = state
        self.clients: Clients = clients
        self.keys = keys

    @property
    def jwks(self) -> bytes:
        """The public keys, as /jwks serves them."""
        return self.keys.jwks()

    def subject_for(self, client: Client, account_id: str, public_sub: str) -> str:
        """The person's subject identifier towards ``client``: public, or pairwise."""
        return subject(client, account_id, public_sub, self.keys.subjects_secret)

    def issue_code(
        self, request: CheckedRequest, session: Session, scopes: Iterable[str], receipt: str, now: float
    ) -> str:
        """Issue the code for a checked request of the person who holds ``session``, with the ``scopes`` granted.

        :raises PageError: ``session_expired``: the session ended in this moment.
        :raises OAuthError: a ``sub`` was asked for (claims parameter) that is not this person's.
        """
        client = request.client
        message = AuthorizationRequest(
            client_id=client.client_id,
            redirect_uri=request.redirect_uri,
            response_type=["code"],
            scope=list(scopes),
            **{
                name: value
                for name, value in (("nonce", request.nonce), ("code_challenge", request.code_challenge))
                if value
            },
        )
        authentication = Authentication(
            account_id=session.account_id,
            session=session.id,
            session_expires=session.expires,
            sid=session.sid(client.client_id),
            sub=self._create_subject_identifier(session.account_id, client, session.sub),
            auth_time=session.auth_time,
            amr=session.amr,
            acr=session.acr,
            person=session.person,
            undated=session.undated,
            session_record=session.record,
        )
        self._check_subject_identifier_matches_requested(request.claims, authentication.sub)
        response = self.authorize(
            message, authentication, client=client, claims=request.claims, receipt=receipt, now=now
        )
        return str(response["code"])

    def authorize(
        self,
        authentication_request: AuthorizationRequest,
        authentication: Authentication,
        *,
        client: Client,
        claims: Mapping[str, Mapping[str, Any]],
        receipt: str,
        now: float,
    ) -> AuthorizationResponse:
        """The authorization response of the code flow, with a code that carries the whole authentication (P-16)."""
        response = AuthorizationResponse()
        response["code"] = self.state.create_authorization_code(
            authentication_request,
            authentication,
            client=client,
            claims=wishes(claims, client, authentication_request["scope"]),
            receipt=receipt,
            now=now,
        )
        return response

    def _create_subject_identifier(self, user_id: str, client: Client, public_sub: str) -> str:
        return self.subject_for(client, user_id, public_sub)

    def _check_subject_identifier_matches_requested(self, claims: Mapping[str, Mapping[str, Any]], sub: str) -> None:
        """A requested ``sub`` is an object with a ``value`` (OpenID Connect Core 5.5.1), not a string."""
        for place in claims.values():
            wish = place.get("sub")
            if isinstance(wish, dict) and wish.get("value", sub) != sub:
                raise OAuthError(
                    "login_required", "Somebody else is signed in.", reason="other_person_signed_in", may_redirect=True
                )

    def handle_token_request(
        self, token_request: Mapping[str, str], client: Client, now: float
    ) -> tuple[AccessTokenResponse, Grant]:
        """Answer a form that was read strictly and whose client has been authenticated (RFC 6749 sections 4.1.3 and 6).

        :returns: the response, and the grant that it rests on.
        :raises OAuthError: as the RFC names it.
        """
        grant_type = token_request.get("grant_type")
        if grant_type is None:
            raise OAuthError(
                "invalid_request", "The grant_type is missing.", reason="grant_type_missing", parameter="grant_type"
            )
        exchange = {"authorization_code": self._do_code_exchange, "refresh_token": self._do_token_refresh}.get(
            grant_type
        )
        if exchange is None:
            raise OAuthError(
                "unsupported_grant_type", "This grant_type is not supported.", reason="grant_type_unsupported"
            )
        if grant_type not in client.grant_types:
            raise OAuthError(
                "unauthorized_client", "This client may not use this grant_type.", reason="grant_type_forbidden"
            )
        # Before anything is spent: without a key there is nothing to hand over (P-27).
        self.keys.signing(client.id_token_signed_response_alg)
        return exchange(token_request, client, now)

    def _do_code_exchange(
        self, request: Mapping[str, str], client: Client, now: float
    ) -> tuple[AccessTokenResponse, Grant]:
        # A missing redirect_uri or verifier spends the code like a wrong one (TK-05, TK-07), so it is not refused here.
        message = _read(AccessTokenRequest, {"redirect_uri": "absent", **request})
        issued = self.state.exchange_code_for_token(
            message["code"],
            client=client,
            redirect_uri=message["redirect_uri"],
            verifier=message.get("code_verifier"),
            now=now,
        )
        return self._token_response(issued, client, now, issued.grant.nonce), issued.grant

    def _do_token_refresh(
        self, request: Mapping[str, str], client: Client, now: float
    ) -> tuple[AccessTokenResponse, Grant]:
        message = _read(RefreshAccessTokenRequest, request)
        scope = dict.fromkeys(filter(None, message.get("scope", ())))
        issued = self.state.use_refresh_token(message["refresh_token"], scope, client=client, now=now)
        # No nonce: it belongs to the authentication that the first ID token reported (OpenID Connect Core 12.2).
        return self._token_response(issued, client, now, None), issued.grant

    def _token_response(self, issued: Issued, client: Client, now: float, nonce: str | None) -> AccessTokenResponse:
        response = AccessTokenResponse(
            access_token=issued.access_token,
            token_type="Bearer",  # noqa: S106 a token type
            expires_in=issued.expires_in,
            scope=list(issued.scope),
        )
        if issued.refresh_token is not None:
            response["refresh_token"] = issued.refresh_token
        if "openid" in issued.scope:
            try:
                response["id_token"] = self._create_signed_id_token(issued, client, now, nonce)
            except BaseException:
                self.state.end_grant(issued.grant.gid)  # nobody received these tokens: they must not live (P-31)
                raise
        return response

    def _create_signed_id_token(self, issued: Issued, client: Client, now: float, nonce: str | None) -> str:
        grant = issued.grant
        claims = id_token_claims(
            client,
            issuer=self.issuer,
            sub=grant.sub,
            auth_time=grant.auth_time,
            proved_at=grant.proved_at,
            acr=grant.acr,
            amr=grant.amr,
            person=grant.person,
            wished=grant.claims.get("id_token", {}),
            now=now,
        )
        claims |= {
            "sid": grant.sid,
            "at_hash": token_half_hash(issued.access_token, client.id_token_signed_response_alg),
        }
        if nonce is not None:
            claims["nonce"] = nonce
        return self.keys.sign_jwt(claims, client.id_token_signed_response_alg, ID_TOKEN)

    def handle_userinfo_request(self, access_token: str, now: float) -> tuple[OpenIDSchema, Client]:
        """The claims that an access token gives (OpenID Connect Core 5.3), and the client that holds it.

        :raises OAuthError: ``invalid_token`` or ``insufficient_scope`` (RFC 6750 section 3.1).
        """
        access = self.state.introspect_access_token(access_token, now=now)
        client = self._client_of(access)
        if access is None or client is None:
            raise OAuthError(
                "invalid_token", "The access token is unknown, expired or revoked.", reason="token_unknown", status=401
            )
        if "openid" not in access.scope:
            raise OAuthError(
                "insufficient_scope",
                "The access token lacks the scope openid.",
                reason="scope_without_openid",
                status=403,
            )
        claims = person_claims(
            client,
            access.grant.person,
            access.scope,
            access.grant.claims.get("userinfo", {}),
            proved_at=access.grant.proved_at,
        )
        return OpenIDSchema(**{**claims, "sub": access.grant.sub}), client

    def introspect(self, token: str, now: float) -> Access | None:
        """The grant of a token that is alive and whose client is still enabled (RFC 7662)."""
        access = self.state.introspect_token(token, now=now)
        return access if self._client_of(access) is not None else None

    def check_id_token_hint(self, hint: str) -> dict[str, Any] | None:
        """The claims of an ID token that we issued, however long ago and to whichever client; else None.

        Exactly three parts, one of our keys (also a retired one) with that key's algorithm, made as an ID token: no
        ``none``, no encryption, no other JWT of ours (P-03, P-12, P-26). ``aud`` is one string; its client may be gone.
        """
        if len(hint) > MAX_HINT:
            return None
        try:
            claims = self.keys.verify_jwt(hint, typ=(ID_TOKEN,))
        except BadSignature:
            return None
        texts = ("iss", "sub", "aud", "sid")
        if not all(isinstance(claims.get(name), str) for name in texts) or claims["iss"] != self.issuer:
            return None
        return claims

    def _client_of(self, access: Access | None) -> Client | None:
        return self.clients.find(access.grant.client_id) if access is not None else None


def _read(kind: type[Any], request: Mapping[str, str]) -> Any:
    """The parameters that we know as a message of pyop's; it never sees a name that the sender made up (P-19)."""
    message = kind().from_dict({name: request[name] for name in TOKEN_PARAMETERS if name in request})
    try:
        message.verify()
    except MessageException:  # its text repeats what was sent (P-29)
        raise OAuthError("invalid_request", "A required parameter is missing.", reason="parameter_missing") from None
    return message
