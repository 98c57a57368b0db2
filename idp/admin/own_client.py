"""The admin center as a relying party of the provider: the requests, and every check of what comes back. A working.

Authlib and joserfc do what they do for any product. Only the way is shorter: the provider's machine endpoints are asked within the
process, so that no proxy, name server or certificate stands between two parts of one program.
"""

from __future__ import annotations

import hmac
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from idp.errors import PageError, Unavailable
from idp.machine import Endpoints, Request

if TYPE_CHECKING:
    from authlib.integrations.requests_client import OAuth2Session
    from requests import PreparedRequest, Response

CLIENT_ID = "admin-center"
SCOPE = "openid email"
CALLBACK = "/callback"
SIGNED_OUT = "/signed-out"
SKEW = 60  # seconds
_SIGNATURES = ["RS256", "ES256", "PS256", "EdDSA"]
_LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whom a checked ID token names. ``auth_time`` in seconds since 1970."""

    sub: str
    sid: str
    auth_time: int
    acr: str
    id_token: str = field(repr=False)


class OwnClient:
    """The client ``admin-center`` of ``issuer``, at home at ``origin``."""

    def __init__(self, endpoints: Endpoints, issuer: str, origin: str, secret: str) -> None:
        self._endpoints = endpoints
        self._secret = secret
        self.issuer = issuer
        self.origin = origin

    def authorization_url(
        self, *, state: str, nonce: str, verifier: str, max_age: int | None = None, ui_locales: str = ""
    ) -> str:
        """Where to send the browser. ``max_age``: how old (in seconds) the proof of who they are may be."""
        more: dict[str, str] = {"ui_locales": ui_locales} if ui_locales else {}
        if max_age is not None:
            more["max_age"] = str(max_age)
        with self._session() as session:
            url, _ = session.create_authorization_url(
                f"{self.issuer}/authorize", state=state, nonce=nonce, code_verifier=verifier, **more
            )
        return str(url)

    def redeem(self, code: str, *, nonce: str, verifier: str, now: float) -> SignedIn:
        """Whom a code names (OpenID Connect Core 3.1.3).

        :raises PageError: ``admin_sign_in_failed``.
        """
        from authlib.common.errors import AuthlibBaseError
        from requests import RequestException

        with self._session() as session:
            try:
                tokens = session.fetch_token(
                    f"{self.issuer}/token", grant_type="authorization_code", code=code, code_verifier=verifier
                )
            except AuthlibBaseError as error:
                raise _failed(f"token: {error.error}") from None
            except (RequestException, ValueError) as error:
                raise _failed(f"token: {type(error).__name__}") from None
        id_token = tokens.get("id_token")
        claims = self._verified(id_token, typ="JWT", now=now)
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise _failed("ID token: nonce")
        return SignedIn(
            sub=str(claims["sub"]),
            sid=str(claims["sid"]),
            auth_time=int(claims["auth_time"]),
            acr=str(claims.get("acr", "")),
            id_token=str(id_token),
        )

    def ended_session(self, logout_token: str, now: float) -> str:
        """The ``sid`` that a logout token names (OpenID Connect Back-Channel Logout 2.6).

        :raises PageError: ``admin_logout_token_wrong``.
        """
        try:
            claims = self._verified(logout_token, typ="logout+jwt", now=now)
        except PageError as error:
            raise PageError("admin_logout_token_wrong", detail=error.detail) from None
        events = claims.get("events")
        if not isinstance(events, dict) or _LOGOUT_EVENT not in events or "nonce" in claims or not claims.get("sid"):
            raise PageError("admin_logout_token_wrong", detail="not a logout token that names a session")
        return str(claims["sid"])

    def logout_url(self, id_token: str) -> str:
        """Where the browser signs out at the provider too, and comes back from."""
        question = {
            "id_token_hint": id_token,
            "client_id": CLIENT_ID,
            "post_logout_redirect_uri": self.origin + SIGNED_OUT,
        }
        return f"{self.issuer}/logout?{urlencode(question)}"

    def _session(self) -> OAuth2Session:
        from authlib.integrations.requests_client import OAuth2Session

        session = OAuth2Session(
            CLIENT_ID,
            self._secret,
            scope=SCOPE,
            redirect_uri=self.origin + CALLBACK,
            code_challenge_method="S256",
        )
        session.trust_env = False
        session.adapters.clear()
        session.mount(self.issuer, _within(self._endpoints))
        return session

    def _verified(self, token: object, *, typ: str, now: float) -> Mapping[str, Any]:
        """The claims of a token that the provider has signed for us."""
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        keys = self._endpoints.answer(Request("GET", "/jwks"))
        if keys is None or keys.status != 200:
            raise Unavailable("signing_key_missing", detail="the own keys cannot be read")
        try:
            checked = jwt.decode(str(token or ""), KeySet.import_key_set(json.loads(keys.body)), algorithms=_SIGNATURES)
            jwt.JWTClaimsRegistry(
                now=int(now),
                leeway=SKEW,
                iss={"essential": True, "value": self.issuer},
                aud={"essential": True, "value": CLIENT_ID},
                iat={"essential": True},
                exp={"essential": True},
                sub={"essential": True},
                sid={"essential": True},
            ).validate(checked.claims)
        except (JoseError, ValueError) as error:
            raise _failed(f"{typ}: {type(error).__name__}") from None
        if str(checked.header.get("typ", "JWT")) != typ or checked.claims.get("azp", CLIENT_ID) != CLIENT_ID:
            raise _failed(f"{typ}: a token of another kind, or for somebody else")
        return dict(checked.claims)


def _failed(detail: str) -> PageError:
    return PageError("admin_sign_in_failed", detail=detail)


def _within(endpoints: Endpoints) -> Any:
    """An adapter of ``requests`` that asks the endpoints of this process."""
    from requests import Response
    from requests.adapters import BaseAdapter

    class Within(BaseAdapter):
        def send(self, request: PreparedRequest, *_: object, **__: object) -> Response:
            """Answer one request."""
            url = urlsplit(request.url or "")
            body: Any = request.body or b""
            asked = Request(
                request.method or "GET",
                url.path,
                {name.lower(): value for name, value in request.headers.items()} | {"host": url.netloc},
                url.query,
                body.encode("utf-8") if isinstance(body, str) else body,
                peer="127.0.0.1",
            )
            answer = endpoints.answer(asked)
            response = Response()
            response.status_code = answer.status if answer is not None else 404
            for name, value in answer.headers if answer is not None else ():
                response.headers[name] = value
            response.encoding = "utf-8"
            response.raw = io.BytesIO(answer.body if answer is not None else b"")
            response.url, response.request = request.url or "", request
            return response

        def close(self) -> None:
            """Nothing stays open."""

    return Within()
