"""Sign in with an OpenID Connect provider: code flow with PKCE, a checked ID token, refresh, logout. Copy this file as it is.

Authlib speaks OAuth, joserfc checks signatures: ``pip install Authlib joserfc requests``.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

SIGNATURES = ["RS256", "ES256", "PS256", "EdDSA"]  # never "none", never a shared secret
CLOCK_SKEW = 60  # seconds
TIMEOUT = 10  # seconds
BACKCHANNEL_LOGOUT = "http://schemas.openid.net/event/backchannel-logout"


class SignInFailed(Exception):
    """The sign-in did not work. ``code`` may be shown: the provider's error code, or our own word for what was wrong."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class SignedIn:
    """A person. ``claims`` is the checked ID token; know people by ``claims["sub"]``, never by their e-mail address."""

    claims: dict[str, Any]
    userinfo: dict[str, Any]
    id_token: str
    refresh_token: str | None


class Provider:
    """One OpenID Connect provider, as one relying party sees it."""

    def __init__(
        self, issuer: str, client_id: str, client_secret: str, redirect_uri: str, scope: str = "openid profile email"
    ) -> None:
        self.issuer = issuer
        self.client_id = client_id
        self.client_secret = client_secret
        self.redirect_uri = redirect_uri
        self.scope = scope
        self._keys = KeySet([])
        self._keys_until = 0.0

    # --- signing in --------------------------------------------------------------------------------------------------

    def start(self, **parameters: str) -> tuple[str, dict[str, str]]:
        """Where to send the browser, and what to remember in this browser's session until it comes back."""
        started = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "code_verifier")}
        address, _ = self._session().create_authorization_url(
            self.metadata["authorization_endpoint"], **started, **parameters
        )
        return address, started

    def finish(self, answer: Mapping[str, str], started: Mapping[str, str]) -> SignedIn:
        """Check what the browser brought back, against what this browser's session remembered.

        :raises SignInFailed: and nobody is signed in.
        """
        if not secrets.compare_digest(answer.get("state", "").encode(), started.get("state", "-").encode()):
            raise SignInFailed("state_mismatch")
        if answer.get("iss") != self.issuer:
            raise SignInFailed("issuer_mismatch")
        if "error" in answer:
            raise SignInFailed(answer["error"])
        person = self._redeem(
            grant_type="authorization_code", code=answer.get("code", ""), code_verifier=started["code_verifier"]
        )
        if person.claims.get("nonce") != started["nonce"]:
            raise SignInFailed("token_of_another_sign_in")
        return person

    def refresh(self, person: SignedIn) -> SignedIn:
        """A fresh ID token and fresh claims for a person; needs scope ``offline_access``. The old refresh token is spent.

        :raises SignInFailed: and the person has to sign in again.
        """
        fresh = self._redeem(grant_type="refresh_token", refresh_token=person.refresh_token or "")
        if fresh.claims["sub"] != person.claims["sub"]:
            raise SignInFailed("token_of_another_person")
        return fresh

    def _redeem(self, **request: str) -> SignedIn:
        session = self._session()
        try:
            tokens = session.fetch_token(self.metadata["token_endpoint"], redirect_uri=self.redirect_uri, **request)
            claims = self._verified(tokens["id_token"], typ="JWT")
            userinfo = session.get(self.metadata["userinfo_endpoint"]).json()
        except AuthlibBaseError as error:
            raise SignInFailed(error.error) from error
        except (KeyError, ValueError, requests.RequestException) as error:
            raise SignInFailed("provider_unavailable") from error
        if userinfo.get("sub") != claims["sub"]:
            raise SignInFailed("token_of_another_person")
        return SignedIn(claims, userinfo, tokens["id_token"], tokens.get("refresh_token"))

    # --- signing out -------------------------------------------------------------------------------------------------

    def logout_address(self, person: SignedIn, come_back_to: str) -> str:
        """Where to send the browser, so that the person is signed out at the provider too."""
        question = {
            "id_token_hint": person.id_token,
            "client_id": self.client_id,
            "post_logout_redirect_uri": come_back_to,
        }
        return f"{self.metadata['end_session_endpoint']}?{urlencode(question)}"

    def check_logout_token(self, token: str) -> dict[str, Any]:
        """The claims of a back-channel logout: end every session with this ``sid``, or without one every session of ``sub``.

        :raises SignInFailed: and no session may end.
        """
        claims = self._verified(token, typ="logout+jwt")
        if (
            BACKCHANNEL_LOGOUT not in claims.get("events", {})
            or "nonce" in claims
            or not (claims.get("sid") or claims.get("sub"))
        ):
            raise SignInFailed("not_a_logout_token")
        return claims

    # --- what the provider says --------------------------------------------------------------------------------------

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The provider's own description, read once."""
        try:
            metadata: dict[str, Any] = requests.get(
                f"{self.issuer}/.well-known/openid-configuration", timeout=TIMEOUT
            ).json()
        except (ValueError, requests.RequestException) as error:
            raise SignInFailed("provider_unavailable") from error
        if metadata.get("issuer") != self.issuer:
            raise SignInFailed("issuer_mismatch")
        return metadata

    def _session(self) -> OAuth2Session:
        return OAuth2Session(
            self.client_id,
            self.client_secret,
            scope=self.scope,
            redirect_uri=self.redirect_uri,
            code_challenge_method="S256",
            default_timeout=TIMEOUT,
        )

    def _verified(self, token: str, typ: str) -> dict[str, Any]:
        try:
            try:
                checked = jwt.decode(token, self._key_set(), algorithms=SIGNATURES)
            except InvalidKeyIdError:  # a key that appeared after we last looked
                self._keys_until = 0
                checked = jwt.decode(token, self._key_set(), algorithms=SIGNATURES)
            jwt.JWTClaimsRegistry(
                leeway=CLOCK_SKEW,
                sub={"essential": typ == "JWT"},
                iss={"essential": True, "value": self.issuer},
                aud={"essential": True, "value": self.client_id},
                iat={"essential": True},
                exp={"essential": True},
            ).validate(checked.claims)
        except (JoseError, ValueError) as error:
            raise SignInFailed("token_not_trusted") from error
        if checked.header.get("typ", typ) != typ or checked.claims.get("azp", self.client_id) != self.client_id:
            raise SignInFailed("token_not_trusted")
        return checked.claims

    def _key_set(self) -> KeySet:
        """The provider's public keys, kept for as long as it allows: that is what makes its key rotation painless."""
        if time.time() >= self._keys_until:
            try:
                answer = requests.get(self.metadata["jwks_uri"], timeout=TIMEOUT)
                self._keys = KeySet.import_key_set(answer.json())
            except requests.RequestException as error:
                raise SignInFailed("provider_unavailable") from error
            allowed = re.search(r"max-age=(\d+)", answer.headers.get("Cache-Control", ""))
            self._keys_until = time.time() + (int(allowed[1]) if allowed else 0)
        return self._keys
