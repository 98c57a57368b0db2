"""A person at a browser without a screen: follows redirects, fills forms, keeps cookies. Also plays the relying party.

Everything goes through the WSGI application as a browser and a relying party would send it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from flask import Flask
from werkzeug.test import Client, TestResponse

from idp.accounts.identity import read_address
from idp.accounts.lifecycle import create_account
from idp.parts import Parts
from tests import canaries
from tests.registrations import SECRET

PASSWORD = canaries.register("correct horse battery staple", "password")


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a PKCE verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def add_carol(parts: Parts, email: str = "carol@example.org", password: str | None = PASSWORD, **claims: Any) -> str:
    """Make an account with a verified address; return its id."""
    with parts.database.transaction() as db:
        account = create_account(
            db,
            read_address(email),
            claims={"name": "Carol Example", **claims},
            verified=True,
            password_hash=parts.hasher.hash(password) if password else None,
            actor="operator:test",
            now=parts.clock(),
            random=parts.random,
        )
        return account.id


@dataclass
class Walker:
    """One browser. ``AZ`` and ``TK`` are the requests of attacks.md; keyword arguments change or (None) drop parameters."""

    app: Flask
    parts: Parts
    client_id: str = "C1"
    secret: str | None = SECRET
    redirect_uri: str = "https://rp1.example/cb"
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    user_agent: str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    address: str = "192.0.2.7"

    def __post_init__(self) -> None:
        self.browser = Client(self.app)

    # --- as a browser ---------------------------------------------------------------------------------------------

    def open(self, method: str, url: str, **options: Any) -> TestResponse:
        """Send one request as this browser does."""
        headers = {"User-Agent": self.user_agent, **options.pop("headers", {})}
        # A cookie that a test sends itself would be lost among those that the browser keeps.
        browser = Client(self.app, use_cookies=False) if "Cookie" in headers else self.browser
        response = browser.open(
            url.removeprefix("https://login.example"),
            method=method,
            base_url="https://login.example",
            headers=headers,
            environ_base={"REMOTE_ADDR": self.address},
            **options,
        )
        html = response.get_data(as_text=True)
        for cookie in response.headers.getlist("Set-Cookie"):
            canaries.register_answer({"Set-Cookie": cookie}, "")
        canaries.register_answer(dict(response.headers), html)
        if 'id="error-page"' in html:
            canaries.show(html, "error page")
        return response

    def get(self, url: str, **options: Any) -> TestResponse:
        return self.open("GET", url, **options)

    def follow(self, response: TestResponse) -> TestResponse:
        """Follow redirects as long as they stay with us."""
        while response.status_code == 303 and response.location.startswith(("/", "https://login.example/")):
            response = self.get(response.location)
        return response

    def submit(self, page: TestResponse, action: str | None = None, **changes: str | None) -> TestResponse:
        """Send the page's form (the one that posts to ``action``, or its first) with ``changes`` to its fields."""
        html = page.get_data(as_text=True)
        for form in re.findall(r"<form\b.*?</form>", html, re.S):
            target = unescape(re.search(r'action="([^"]*)"', form)[1])  # type: ignore[index]
            if 'method="post"' in form.lower() and action in (None, urlsplit(target).path):
                fields = {
                    unescape(name): unescape(value)
                    for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)
                }
                fields |= {name: value for name, value in changes.items() if value is not None}
                for name in [name for name, value in changes.items() if value is None]:
                    fields.pop(name, None)
                return self.open("POST", target, data=fields)
        raise AssertionError(f"no form to {action} in:\n{html}")

    def sign_in(
        self, page: TestResponse, email: str = "carol@example.org", password: str = PASSWORD, **more: str
    ) -> TestResponse:
        """From the e-mail or password page to wherever a sign-in leads, redirects of ours followed."""
        page = self.follow(page)
        if 'id="password"' not in page.get_data(as_text=True):
            page = self.follow(self.submit(page, "/login", username=email))
        return self.follow(self.submit(page, "/login/password", username=email, password=password, **more))

    # --- as the relying party -------------------------------------------------------------------------------------

    def authorization_url(self, **changes: str | None) -> str:
        given: dict[str, str | None] = {
            "client_id": self.client_id,
            "response_type": "code",
            "scope": "openid",
            "redirect_uri": self.redirect_uri,
            "state": "s1",
            "nonce": "n1",
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
        }
        given |= changes
        return "/authorize?" + urlencode({name: value for name, value in given.items() if value is not None})

    def az(self, **changes: str | None) -> TestResponse:
        """AZ(x) of attacks.md."""
        return self.get(self.authorization_url(**changes))

    def code(self, **changes: str | None) -> str:
        """A fresh code: signs in if asked."""
        response = self.follow(self.az(**changes))
        if response.status_code == 200:
            response = self.sign_in(response)
        return self.answer_of(response)["code"]

    @staticmethod
    def answer_of(response: TestResponse) -> dict[str, str]:
        """The parameters of an authorization response in the query of a redirect."""
        assert response.status_code == 303, response.get_data(as_text=True)
        return dict(parse_qsl(urlsplit(response.location).query, keep_blank_values=True))

    def basic(self, secret: str | None = None, client_id: str | None = None) -> dict[str, str]:
        """Client authentication by HTTP Basic, encoded as RFC 6749 section 2.3.1 says."""
        pair = (
            urlencode({"a": client_id or self.client_id})[2:] + ":" + urlencode({"a": secret or self.secret or ""})[2:]
        )
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def post(self, path: str, data: dict[str, str | None], headers: dict[str, str] | None = None) -> TestResponse:
        """A form to a machine endpoint, without the browser's cookies."""
        fields = {name: value for name, value in data.items() if value is not None}
        response = Client(self.app).open(
            path,
            method="POST",
            base_url="https://login.example",
            data=fields,
            headers=headers or {},
            environ_base={"REMOTE_ADDR": "198.51.100.20"},
        )
        canaries.register_answer(dict(response.headers), response.get_data(as_text=True))
        return response

    def tk(self, code: str, headers: dict[str, str] | None = None, **changes: str | None) -> TestResponse:
        """TK(x) of attacks.md."""
        data: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
        }
        if self.secret is None:
            data["client_id"] = self.client_id
        data |= changes
        if headers is None:
            headers = self.basic() if self.secret is not None else {}
        return self.post("/token", data, headers)

    def tokens(self, **changes: str | None) -> dict[str, Any]:
        """A whole round: code, then tokens."""
        response = self.tk(self.code(**changes))
        assert response.status_code == 200, response.get_data(as_text=True)
        return dict(response.get_json())

    def refresh(self, refresh_token: str, headers: dict[str, str] | None = None, **changes: str | None) -> TestResponse:
        data: dict[str, str | None] = {"grant_type": "refresh_token", "refresh_token": refresh_token, **changes}
        if self.secret is None:
            data["client_id"] = self.client_id
        if headers is None:
            headers = self.basic() if self.secret is not None else {}
        return self.post("/token", data, headers)

    def userinfo(self, access_token: str) -> TestResponse:
        return Client(self.app).get(
            "/userinfo", base_url="https://login.example", headers={"Authorization": f"Bearer {access_token}"}
        )


def claims_of(jwt: str) -> dict[str, Any]:
    """The payload of a JWT, unverified: for looking at what was issued."""
    import json

    payload = jwt.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))


def query_of(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query, keep_blank_values=True)
