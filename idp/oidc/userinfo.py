"""``/userinfo``: what an access token tells about its person (OpenID Connect Core 5.3, RFC 6750)."""

from __future__ import annotations

import re
from collections.abc import Callable

from idp.errors import OAuthError
from idp.machine import FORM, NO_STORE, Answer, Request, form_fields, json_answer
from idp.oidc.provider import Provider

SIGNED_USERINFO = "userinfo+jwt"  # the JWS `typ`: nothing that takes an ID token takes this (P-26)

_BEARER = re.compile(r"bearer ([A-Za-z0-9._~+/-]{1,4096}=*)", re.IGNORECASE)


class UserinfoEndpoint:
    """Answers userinfo requests. ``clock`` tells seconds since 1970."""

    def __init__(self, provider: Provider, clock: Callable[[], float]) -> None:
        self._provider = provider
        self._clock = clock

    def answer(self, request: Request) -> Answer:
        """Answer one request in JSON, or signed where the client asks for it. One Redis round trip, no SQL.

        :raises OAuthError: as RFC 6750 section 3.1 names it.
        """
        claims, client = self._provider.handle_userinfo_request(_access_token(request), self._clock())
        alg = client.userinfo_signed_response_alg
        if alg is None:
            return json_answer(claims.to_dict())
        signed = self._provider.keys.sign_jwt(
            {**claims.to_dict(), "iss": self._provider.issuer, "aud": client.client_id}, alg, SIGNED_USERINFO
        )
        return Answer(200, [("Content-Type", "application/jwt"), *NO_STORE], signed.encode())


def _access_token(request: Request) -> str:
    """The access token, given in the header or in a form, in one way only and never in the URL (RFC 6750 section 2)."""
    header = request.headers.get("authorization")
    is_form = request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM
    in_form = request.form().get("access_token") if request.method == "POST" and is_form else None
    if "access_token" in form_fields(request.query.encode("latin-1", "replace")):
        raise _malformed("The access token must not stand in the URL.")
    if header is not None and in_form is not None:
        raise _malformed("Give the access token in one way, not in two.")
    if in_form is not None:
        return in_form
    if header is None:
        raise OAuthError("invalid_token", "An access token is needed.", reason="token_missing", status=401)
    match = _BEARER.fullmatch(header)
    if match is None:
        raise _malformed("The Authorization header must be: Bearer, one space, the access token.")
    return match[1]


def _malformed(public: str) -> OAuthError:
    return OAuthError("invalid_request", public, reason="token_malformed")
