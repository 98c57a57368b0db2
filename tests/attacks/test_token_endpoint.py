"""attacks.md section 2 through the whole application: what the endpoint's own tests (tests/oidc/) cannot see."""

from __future__ import annotations

import base64
import dataclasses
import io
import os
import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from idp import grants
from idp.app import create_app
from idp.grants import Authentication
from idp.key_ring import KeyRing
from idp.machine import MAX_BODY
from idp.oidc.machine_endpoints import machine_endpoints
from idp.oidc.provider import Provider
from idp.parts import Parts
from tests.conftest import Clock
from tests.journey import PASSWORD, Walker, add_carol, challenge_of
from tests.people import VERIFIER

OFFLINE = "openid email offline_access"


class Counting(io.BytesIO):
    """A body that counts how much of it was read."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        got = super().read(size)
        self.taken += len(got)
        return got


FORM = "application/x-www-form-urlencoded"


LARGE: list[tuple[str, bytes, dict[str, str], int]] = [
    ("/token", b"a=" + b"x" * 10_000_000, {"CONTENT_LENGTH": "10000002"}, 413),
    ("/token", b"a=" + b"x" * 10_000_000, {"CONTENT_LENGTH": ""}, 413),  # in chunks
    ("/token", b"a=1&" * 1_000_000, {"CONTENT_LENGTH": "4000000"}, 413),
    ("/token", b"a&" * 8000, {"CONTENT_LENGTH": "16000"}, 400),
    ("/token", b"a=1", {"CONTENT_LENGTH": "9" * 5000}, 413),
    ("/token", b"a=1", {"CONTENT_LENGTH": "-1"}, 400),
    ("/token", b"a=1", {"CONTENT_LENGTH": "٣"}, 400),
    ("/token", b"[" * 16000, {"CONTENT_LENGTH": "16000", "CONTENT_TYPE": "application/json"}, 415),
    ("/introspect", b"x" * 10_000_000, {"CONTENT_LENGTH": "10000000"}, 413),
    ("/revoke", b"x" * 10_000_000, {"CONTENT_LENGTH": "10000000"}, 413),
    ("/userinfo", b"x" * 10_000_000, {"CONTENT_LENGTH": "10000000"}, 413),
]


def test_tk_12_large_bodies_are_refused_after_a_few_kilobytes(app: Flask) -> None:
    for path, body, headers, status in LARGE:
        stream = Counting(body)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "REMOTE_ADDR": "192.0.2.7",
            "HTTP_HOST": "login.example",
            "CONTENT_TYPE": FORM,
            "wsgi.input": stream,
            "wsgi.input_terminated": True,
            **headers,
        }
        said: list[str] = []
        answer = b"".join(app.wsgi_app(environ, lambda line, _, said=said: said.append(line)))
        assert int(said[0][:3]) == status, (path, body[:10], headers)
        assert b'"invalid_request"' in answer
        assert stream.taken <= MAX_BODY + 1


def test_tk_12_a_code_in_the_url_is_not_even_looked_at(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    code = walker.code()
    url = f"/token?grant_type=authorization_code&code={code}&redirect_uri={walker.redirect_uri}"
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE"):
        assert walker.open(method, url, headers=walker.basic()).status_code == 405, method
    assert walker.tk(code).status_code == 200


def test_tk_02_a_replay_is_refused_after_a_second_and_after_half_a_minute(
    walker: Walker, parts: Parts, clock: Clock
) -> None:
    add_carol(parts)
    for wait in (1, 30):
        code = walker.code(scope=OFFLINE)
        tokens = walker.tk(code).get_json()
        clock.advance(wait)
        assert walker.tk(code).get_json()["error"] == "invalid_grant"
        assert walker.userinfo(tokens["access_token"]).status_code == 401
        assert walker.refresh(tokens["refresh_token"]).get_json()["error"] == "invalid_grant"


class FailingRing(KeyRing):
    """The key ring of a provider on which the signing breaks."""

    def sign_jwt(self, claims: Any, alg: str, typ: str = "JWT") -> str:
        raise RuntimeError("the signing broke: d=not-to-be-told")


@pytest.fixture
def broken(parts: Parts) -> Flask:
    """The same provider, but for the key ring that it was given."""
    keys = FailingRing(parts.config.keys, parts.config.jwks_max_age)
    provider = Provider(parts.config, parts.store, keys, parts.clients, parts.random)
    endpoints = machine_endpoints(
        parts.config,
        provider,
        parts.store,
        parts.attempts,
        parts.outgoing,
        ui_locales=parts.languages.supported,
        clock=parts.clock,
        authorize=parts.authorization.answer,
    )
    return create_app(dataclasses.replace(parts, provider=provider, endpoints=endpoints))


def test_tk_24_when_the_signing_breaks_nothing_is_half_done(walker: Walker, broken: Flask, parts: Parts) -> None:
    add_carol(parts)
    code = walker.code(scope=OFFLINE)
    tokens = walker.tokens(scope=OFFLINE)
    kept = dict(walker.__dict__) | {"app": broken}
    there = Walker(**{name: kept[name] for name in Walker.__dataclass_fields__})
    for answer in (there.tk(code), there.refresh(tokens["refresh_token"])):
        assert answer.status_code == 500
        assert answer.get_json()["error"] == "server_error"
        told = answer.get_json()["error_description"]
        assert re.fullmatch(r"Our fault\. Please quote [0-9A-Z]{4}-[0-9A-Z]{4}\.", told)
        assert answer.headers["Cache-Control"] == "no-store"
    # The code is spent, the refresh token's grant has ended, and no access token lives that nobody received.
    assert walker.tk(code).get_json()["error"] == "invalid_grant"
    assert walker.refresh(tokens["refresh_token"]).get_json()["error"] == "invalid_grant"
    assert walker.userinfo(tokens["access_token"]).status_code == 401
    assert parts.store.command("KEYS", "grant:*") == []
    # The next sign-in works at once.
    assert walker.tokens()["token_type"] == "Bearer"


# --- TK-30 --------------------------------------------------------------------------------------------------------------


def test_tk_30_three_thousand_secrets_are_random_in_every_bit(parts: Parts) -> None:
    client = parts.clients.find("C1")
    assert client is not None
    authentication = Authentication(
        account_id="a" * 32,
        session="s" * 32,
        session_expires=int(parts.clock()) + 86400,
        sid="sid",
        sub="sub",
        auth_time=int(parts.clock()),
        amr=("pwd",),
        acr="1",
        person={},
    )
    bound: dict[str, Any] = {"redirect_uri": client.redirect_uris[0], "now": parts.clock(), "random": os.urandom}
    made: list[str] = []
    for _ in range(1000):
        code = grants.open_grant(
            parts.store,
            client,
            authentication,
            scope=("openid", "offline_access"),
            challenge=challenge_of(VERIFIER),
            nonce=None,
            claims={},
            receipt="",
            **bound,
        )
        issued = grants.redeem_code(parts.store, code, client, verifier=VERIFIER, secret=b"s" * 32, **bound)
        assert isinstance(issued, grants.Issued)
        assert issued.refresh_token is not None
        made += [code, issued.access_token, issued.refresh_token]
    halves = [secret.partition(".")[2] for secret in made]
    assert len(set(halves)) == len(halves) == 3000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", half) for half in halves)
    assert len({half[:12] for half in halves}) == len(halves)
    numbers = [int.from_bytes(base64.urlsafe_b64decode(half + "="), "big") for half in halves]
    for place in range(256):
        ones = sum(number >> place & 1 for number in numbers)
        # Six standard deviations of a fair coin: by chance once in five hundred million.
        assert abs(ones - len(numbers) / 2) < 6 * len(numbers) ** 0.5 / 2, place


def test_tk_30_what_redis_writes_to_its_disk_holds_no_secret(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    code = walker.code(scope=OFFLINE)
    waiting = walker.az(prompt="login").location.partition("p=")[2]
    tokens = walker.tk(code).get_json()
    renewed = walker.refresh(tokens["refresh_token"]).get_json()
    cookies = {cookie.key: cookie.value for cookie in (walker.browser._cookies or {}).values()}
    secrets = [code, waiting, PASSWORD, *cookies.values()]
    for answer in (tokens, renewed):
        secrets += [answer["access_token"], answer["refresh_token"], answer["id_token"]]
    secrets = [half for secret in secrets for half in (secret, secret.rpartition(".")[2])]
    folder = Path(parts.store.command("CONFIG", "GET", "dir")["dir"])
    files = [file for file in (folder / "appendonlydir").iterdir() if file.suffix != ".manifest"]
    written = b"".join(file.read_bytes() for file in files)
    assert b"grant:{" in written
    assert b"session:{" in written
    assert b"pending:{" in written
    for secret in secrets:
        assert secret.encode() not in written
