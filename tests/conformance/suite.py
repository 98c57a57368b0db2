"""The conformance suite as a relying party: what it sends, and what it checks in every answer of every module.

It believes nothing that it did not read at the provider: addresses come from discovery, keys from ``jwks_uri``. What the
suite calls a WARNING fails here too.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import random
import re
import string
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jws
from joserfc.jwk import import_key
from werkzeug.test import Client, TestResponse

from tests import canaries
from tests.conftest import ISSUER
from tests.journey import Walker

# The two relying parties that a plan is configured with. The second one is a third party, and its redirect URI has a query.
CLIENT, CLIENT_2 = "conformance-1", "conformance-2"
CALLBACK = "https://suite.example/test/a/idp/callback"
REDIRECT_URIS = {CLIENT: CALLBACK, CLIENT_2: f"{CALLBACK}?dummy1=lorem&dummy2=ipsum"}
BYE = "https://suite.example/test/a/idp/post_logout_redirect"
BACKCHANNEL = "https://suite.example/test/a/idp/backchannel_logout"
SECRETS = {
    name: canaries.register(f"{name}-secret-not-to-be-found-in-any-log", "client secret") for name in (CLIENT, CLIENT_2)
}

CLAIMS = {
    "profile": {
        *("name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture"),
        *("website", "gender", "birthdate", "zoneinfo", "locale", "updated_at"),
    },
    "email": {"email", "email_verified"},
    "address": {"address"},
    "phone": {"phone_number", "phone_number_verified"},
}
BOOLEANS = {"email_verified", "phone_number_verified"}
# What an ID token may hold without being asked for it.
EXPECTED_IN_ID_TOKEN = {
    *("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp"),
    *("at_hash", "c_hash", "s_hash", "sid", "jti", "nbf"),
}
# Errors that say: somebody has to be shown a page.
USER_INTERFACE_ERRORS = {
    "login_required",
    "interaction_required",
    "account_selection_required",
    "consent_required",
}
YEAR = 31536000


def letters(count: int) -> str:
    """Random letters and digits, as the suite makes ``state`` and ``nonce``."""
    return "".join(random.choices(string.ascii_letters + string.digits, k=count))


def entropy(text: str) -> float:
    """Bits of Shannon entropy of a whole text."""
    counts = Counter(text)
    return -sum(count * math.log2(count / len(text)) for count in counts.values())


def decode(part: str) -> bytes:
    """A part of a JWT."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@dataclass(frozen=True)
class Round:
    """One sign-in: what was asked, and the tokens that came of it. ``claims`` are those of the verified ID token."""

    asked: dict[str, str]
    code: str
    tokens: dict[str, Any]
    claims: dict[str, Any]


@dataclass
class Suite:
    """``pages`` are the pages that somebody had to work through, in their order: ``login``, ``consent``."""

    walker: Walker
    clock: Callable[[], float]
    response_mode: str = "default"
    pages: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.metadata = self.read_discovery()
        self.keys = self.read_keys()

    # --- what every module does first ---------------------------------------------------------------------------------

    def read_discovery(self) -> dict[str, Any]:
        response = self.call("GET", f"{ISSUER}/.well-known/openid-configuration")
        assert response.status_code == 200
        assert response.mimetype == "application/json"
        metadata = dict(response.get_json())
        assert metadata["issuer"] == ISSUER
        assert {"authorization_endpoint", "token_endpoint", "jwks_uri"} <= set(metadata)
        assert {"client_secret_basic", "client_secret_post"} <= set(metadata["token_endpoint_auth_methods_supported"])
        return metadata

    def read_keys(self) -> dict[str, dict[str, str]]:
        response = self.call("GET", self.metadata["jwks_uri"])
        assert response.status_code == 200
        keys = response.get_json()["keys"]
        assert keys
        for key in keys:
            # A symmetric key would be a secret too.
            assert key["kty"] in ("RSA", "EC", "OKP")
            assert not {"d", "p", "q", "dp", "dq", "qi", "oth", "k"} & set(key)
            assert isinstance(key["kid"], str) and key["kid"]
            import_key(key)
        assert len({key["kid"] for key in keys}) == len(keys)
        return {key["kid"]: key for key in keys}

    # --- the front channel --------------------------------------------------------------------------------------------

    def request(self, **changes: str | None) -> dict[str, str]:
        """The fields of an authorization request; None drops one."""
        client_id = changes.get("client_id") or CLIENT
        fields: dict[str, str | None] = {
            "client_id": client_id,
            "redirect_uri": REDIRECT_URIS[client_id],
            "scope": "openid",
            "state": letters(10),
            "nonce": letters(10),
            "response_type": "code",
            "response_mode": "form_post" if self.response_mode == "form_post" else None,
        }
        return {name: value for name, value in (fields | changes).items() if value is not None}

    def visit(self, asked: Mapping[str, str]) -> TestResponse:
        """Send the browser with a request, and be the person until there is nothing left to do."""
        return self.work_through(self.walker.get(f"{self.metadata['authorization_endpoint']}?{urlencode(asked)}"))

    def work_through(self, response: TestResponse) -> TestResponse:
        """Be the person: sign in, allow."""
        while (page := self.walker.follow(response)).status_code == 200:
            html = page.get_data(as_text=True)
            if 'id="password"' in html:
                self.pages.append("login")
                response = self.walker.sign_in(page)
            elif 'id="login-page"' in html:
                response = self.walker.submit(page, "/login", username="carol@example.org")
            elif 'id="consent-allow"' in html:
                self.pages.append("consent")
                response = self.walker.submit(page, "/consent", decision="allow")
            else:
                break
        return page

    def callback(self, response: TestResponse, asked: Mapping[str, str], mode: str = "") -> dict[str, str]:
        """The authorization response that arrives at the redirect URI: its place, ``state`` and ``iss``."""
        redirect_uri = asked["redirect_uri"]
        if (mode or asked.get("response_mode", "query")) == "form_post":
            pairs = self._posted(response, redirect_uri)
        else:
            assert response.status_code == 303, response.get_data(as_text=True)
            added = "&" if "?" in redirect_uri else "?"
            assert response.location.startswith(redirect_uri + added)
            assert "#" not in response.location
            assert response.headers["Cache-Control"] == "no-store"
            pairs = parse_qsl(
                response.location.removeprefix(redirect_uri + added), keep_blank_values=True, strict_parsing=True
            )
        answer = dict(pairs)
        assert len(answer) == len(pairs)
        assert answer.get("state") == asked.get("state")
        assert answer["iss"] == ISSUER
        assert ("code" in answer) != ("error" in answer)
        if "error" in answer:
            assert set(answer) <= {"error", "error_description", "error_uri", "state", "session_state", "iss"}
            # RFC 6749 section 4.1.2.1: neither control characters nor quotes.
            assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]*", answer.get("error_description", ""))
        else:
            assert set(answer) <= {"code", "state", "session_state", "iss"}
        return answer

    @staticmethod
    def _posted(response: TestResponse, redirect_uri: str) -> list[tuple[str, str]]:
        """The fields that a browser would post to the redirect URI (OAuth 2.0 Form Post Response Mode)."""
        assert response.status_code == 200
        assert response.mimetype == "text/html"
        assert response.headers["Cache-Control"] == "no-store"
        html = response.get_data(as_text=True)
        [form] = re.findall(r"<form\b.*?</form>", html, re.S)
        [head] = re.findall(r"<form\b[^>]*>", form)
        attributes = {name: unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', head)}
        assert attributes["method"] == "post"
        assert attributes["action"] == redirect_uri
        assert attributes.get("enctype", "application/x-www-form-urlencoded") == "application/x-www-form-urlencoded"
        # The browser may send it there, and a script does so by itself.
        origin = "https://" + urlsplit(redirect_uri).netloc
        [allowed] = re.findall(r"form-action ([^;]*)", response.headers["Content-Security-Policy"])
        assert origin in allowed.split()
        assert re.search(r'<script src="/static/form_post\.js', html)
        return [
            (unescape(name), unescape(value))
            for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)
        ]

    # --- the back channel ---------------------------------------------------------------------------------------------

    def call(
        self, method: str, url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> TestResponse:
        """A request that no browser makes."""
        response = Client(self.walker.app).open(
            url.removeprefix(ISSUER),
            method=method,
            base_url=ISSUER,
            data=form,
            headers=dict(headers or {}),
            environ_base={"REMOTE_ADDR": "198.51.100.20"},
        )
        canaries.register_answer(dict(response.headers), response.get_data(as_text=True))
        return response

    def token_request(self, form: Mapping[str, str], client_id: str = CLIENT, method: str = "basic") -> TestResponse:
        """A token request with client_secret_basic, or (``post``) client_secret_post."""
        secret = SECRETS[client_id]
        if method == "post":
            form = {**form, "client_id": client_id, "client_secret": secret}
        headers = self.walker.basic(secret, client_id) if method == "basic" else {}
        return self.call("POST", self.metadata["token_endpoint"], form, headers)

    def redeem(self, code: str, asked: Mapping[str, str], method: str = "basic", **more: str) -> TestResponse:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": asked["redirect_uri"], **more}
        return self.token_request(form, asked["client_id"], method)

    def userinfo(self, access_token: str) -> TestResponse:
        return self.call("GET", self.metadata["userinfo_endpoint"], None, {"Authorization": f"Bearer {access_token}"})

    # --- whole rounds -------------------------------------------------------------------------------------------------

    def authorize(self, **changes: str | None) -> tuple[dict[str, str], str]:
        """Ask for a code and get one; return what was asked, and the code."""
        asked = self.request(**changes)
        return asked, self.callback(self.visit(asked), asked)["code"]

    def sign_in(self, **changes: str | None) -> Round:
        """A whole round, with all checks."""
        return self.round(*self.authorize(**changes))

    def round(self, asked: dict[str, str], code: str, method: str = "basic", **more: str) -> Round:
        """Redeem a code, with all checks."""
        tokens = self.check_tokens(self.redeem(code, asked, method, **more))
        wished = json.loads(asked["claims"]).get("id_token", {}) if "claims" in asked else {}
        claims = self.check_id_token(
            tokens["id_token"], asked["client_id"], asked.get("nonce"), tokens["access_token"], wished
        )
        assert len(code) >= 16
        assert entropy(code) >= 96
        return Round(asked, code, tokens, claims)

    def signed_in_silently(self, **changes: str | None) -> Round:
        """A round in which nobody had to work through a page."""
        before = list(self.pages)
        done = self.sign_in(**changes)
        assert self.pages == before
        return done

    def says_nobody_is_signed_in(self, **changes: str | None) -> bool:
        """Whether prompt=none is answered by the demand for a page."""
        asked = self.request(prompt="none", state=letters(128), **changes)
        return self.callback(self.visit(asked), asked).get("error") in USER_INTERFACE_ERRORS

    # --- what is checked ----------------------------------------------------------------------------------------------

    def check_tokens(self, response: TestResponse) -> dict[str, Any]:
        """A successful token response (RFC 6749 section 5.1)."""
        assert response.status_code == 200, response.get_data(as_text=True)
        assert response.mimetype == "application/json"
        assert "no-store" in response.headers["Cache-Control"]
        tokens = dict(response.get_json())
        assert isinstance(tokens["access_token"], str) and entropy(tokens["access_token"]) >= 96
        assert tokens["token_type"].lower() == "bearer"
        assert type(tokens["expires_in"]) is int and 1 <= tokens["expires_in"] <= YEAR
        if "refresh_token" in tokens:
            assert entropy(tokens["refresh_token"]) >= 96
            assert "refresh_token" in self.metadata["grant_types_supported"]
        return tokens

    def check_error(self, response: TestResponse, status: int, error: str) -> None:
        """A refused token request (RFC 6749 section 5.2)."""
        assert (response.status_code, response.get_json()["error"]) == (status, error)
        assert response.mimetype == "application/json"
        assert "no-store" in response.headers["Cache-Control"]

    def check_signature(self, jwt: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Verify with the published key that the header names, by another library; return header and claims."""
        header = json.loads(decode(jwt.split(".")[0]))
        key = self.keys[header["kid"]]
        assert header["alg"] == key["alg"] == "RS256"
        assert (key["kty"], key["use"]) == ("RSA", "sig")
        payload = jws.deserialize_compact(jwt, import_key(key), algorithms=["RS256"]).payload
        return header, json.loads(payload)

    def check_id_token(
        self, jwt: str, client_id: str, nonce: str | None, access_token: str = "", wished: Collection[str] = ()
    ) -> dict[str, Any]:
        """An ID token (OpenID Connect Core 3.1.3.7), returning its claims. ``wished``: what the claims parameter asks."""
        _, claims = self.check_signature(jwt)
        now = self.clock()
        assert claims["iss"] == ISSUER
        assert claims["aud"] in (client_id, [client_id])
        assert claims.get("azp", client_id) == client_id
        assert type(claims["exp"]) is int and now < claims["exp"] <= now + YEAR
        assert type(claims["iat"]) is int and abs(now - claims["iat"]) <= 300
        assert type(claims["auth_time"]) is int and now - YEAR < claims["auth_time"] <= now
        assert isinstance(claims["acr"], str) and claims["acr"].strip()
        assert claims.get("nonce") == nonce
        assert nonce is not None or "nonce" not in claims
        assert re.fullmatch(r"[\x20-\x7e]{1,255}", claims["sub"])
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        assert decode(claims["at_hash"]) == half
        assert set(claims) <= EXPECTED_IN_ID_TOKEN | set(wished)
        self.check_standard_claims(claims)
        return claims

    def check_userinfo(self, response: TestResponse, done: Round, *scopes: str, wished: Collection[str] = ()) -> None:
        """A userinfo response (OpenID Connect Core 5.3.2): of the same person, with all that was asked for and no more."""
        assert response.status_code == 200
        assert response.mimetype == "application/json"
        claims = response.get_json()
        assert claims["sub"] == done.claims["sub"]
        asked = set(wished).union(*(CLAIMS[scope] for scope in scopes))
        assert set(claims) == {"sub"} | asked
        self.check_standard_claims(claims)
        sources = claims.get("_claim_sources", {})
        assert all(source in sources for source in claims.get("_claim_names", {}).values())

    def check_standard_claims(self, claims: Mapping[str, Any]) -> None:
        """The JSON types of the standard claims (OpenID Connect Core 5.1)."""
        now = self.clock()
        for name in set(claims) & set[str]().union(*CLAIMS.values()):
            value = claims[name]
            if name in BOOLEANS:
                assert type(value) is bool, name
            elif name == "updated_at":
                assert type(value) in (int, float) and 631152000 <= value <= now
            elif name == "address":
                assert isinstance(value, dict) and value
                assert all(isinstance(member, str) and member.strip() for member in value.values())
            else:
                assert isinstance(value, str) and value.strip() and value != "null", name
        if "birthdate" in claims:
            match = re.fullmatch(r"(\d{4})(-\d\d-\d\d)?", claims["birthdate"])
            assert match
            assert match[1] == "0000" or 1850 <= int(match[1]) <= 1970 + now / (365.2425 * 86400)


def is_error_page(response: TestResponse, parameter: str) -> bool:
    """Whether it is a page for a person that names the parameter at fault, and leads nowhere."""
    html = response.get_data(as_text=True)
    return (
        400 <= response.status_code < 500
        and "Location" not in response.headers
        and response.mimetype == "text/html"
        and 'id="error-page"' in html
        and parameter in html
    )
