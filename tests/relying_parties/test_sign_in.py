"""`sign_in.py` of the Python guide believes nothing that it has not checked: against a provider that lies on demand."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

FILE = Path(__file__).parents[2] / "docs/relying-parties/python-flask/sign_in.py"
spec = importlib.util.spec_from_file_location("sign_in", FILE)
assert spec
assert spec.loader
sign_in = importlib.util.module_from_spec(spec)
sys.modules["sign_in"] = sign_in  # dataclasses look their module up
spec.loader.exec_module(sign_in)

EVENT = {"http://schemas.openid.net/event/backchannel-logout": {}}


class Liar:
    """A provider made of one key and three answers, each of which a test can change."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.issuer = f"http://localhost:{server.server_address[1]}"
        self.key = ECKey.generate_key("P-256", {"kid": "first", "alg": "ES256", "use": "sig"})
        self.cache_control = "max-age=3600"
        self.keys_read = 0
        self.tokens: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {"sub": "carol"}

    def answer(self, path: str) -> tuple[Any, str]:
        if path == "/.well-known/openid-configuration":
            names = (
                "authorization_endpoint",
                "token_endpoint",
                "userinfo_endpoint",
                "end_session_endpoint",
                "jwks_uri",
            )
            return {"issuer": self.issuer, **{name: f"{self.issuer}/{name}" for name in names}}, ""
        if path == "/jwks_uri":
            self.keys_read += 1
            return {"keys": [self.key.as_dict(private=False)]}, self.cache_control
        return (self.tokens if path == "/token_endpoint" else self.userinfo), ""

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": "carol", "aud": "me", "iat": now, "exp": now + 300, **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        return jwt.encode({"alg": "ES256", "kid": self.key.kid, **header}, claims, self.key)


@pytest.fixture
def liar() -> Iterator[Liar]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            value, cache_control = lying.answer(urlsplit(self.path).path)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Cache-Control", cache_control)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        lying = Liar(server)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield lying
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def provider(liar: Liar) -> Any:
    return sign_in.Provider(liar.issuer, "me", "secret", "http://localhost:5000/callback")


def finish(provider: Any, liar: Liar, token: Callable[[dict[str, str]], str], **answer: str) -> Any:
    _, started = provider.start()
    liar.tokens = {"access_token": "a", "token_type": "Bearer", "id_token": token(started)}
    return provider.finish({"state": started["state"], "iss": liar.issuer, "code": "c", **answer}, started)


def test_a_true_answer_signs_in(provider: Any, liar: Liar) -> None:
    person = finish(provider, liar, lambda started: liar.sign(liar.claims(nonce=started["nonce"])))
    assert (person.claims["sub"], person.userinfo) == ("carol", {"sub": "carol"})


def test_the_browser_takes_along_pkce_state_and_nonce_that_are_new_each_time(provider: Any) -> None:
    (first, one), (second, other) = provider.start(), provider.start()
    for address, started in ((first, one), (second, other)):
        query = parse_qs(urlsplit(address).query)
        assert query["code_challenge_method"] == ["S256"]
        assert (query["state"], query["nonce"]) == ([started["state"]], [started["nonce"]])
        assert started["code_verifier"] not in address
    assert not set(one.values()) & set(other.values())


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"state": "other"}, "state_mismatch"),
        ({"iss": "https://evil.example"}, "issuer_mismatch"),
        ({"iss": ""}, "issuer_mismatch"),
        ({"error": "access_denied"}, "access_denied"),
    ],
)
def test_a_wrong_answer_is_not_even_redeemed(provider: Any, liar: Liar, answer: dict[str, str], code: str) -> None:
    with pytest.raises(sign_in.SignInFailed) as failed:
        finish(provider, liar, lambda started: liar.sign(liar.claims(nonce=started["nonce"])), **answer)
    assert failed.value.code == code
    assert liar.keys_read == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "of-another-sign-in"},
        {"nonce": None},
        {"iss": "https://evil.example"},
        {"aud": "somebody-else"},
        {"aud": None},
        {"aud": ["me", "other"], "azp": "other"},
        {"exp": 1},
        {"exp": None},
        {"iat": 9_999_999_999},
        {"sub": None},
        {"sub": "mallory"},
    ],
    ids=str,
)
def test_a_token_that_says_something_else_signs_nobody_in(provider: Any, liar: Liar, changes: dict[str, Any]) -> None:
    with pytest.raises(sign_in.SignInFailed):
        finish(provider, liar, lambda started: liar.sign(liar.claims(**{"nonce": started["nonce"], **changes})))


def test_ky_06_a_token_signed_in_any_other_way_signs_nobody_in(provider: Any, liar: Liar) -> None:
    stranger = ECKey.generate_key("P-256")
    public = OctKey.import_key(json.dumps(liar.key.as_dict(private=False)))

    def unsigned(claims: dict[str, Any]) -> str:
        body = liar.sign(claims).split(".")[1]
        return f"eyJhbGciOiJub25lIn0.{body}."

    ways: list[Callable[[dict[str, Any]], str]] = [
        unsigned,
        lambda claims: jwt.encode({"alg": "HS256", "kid": "first"}, claims, public, algorithms=["HS256"]),
        lambda claims: jwt.encode({"alg": "ES256", "kid": "first"}, claims, stranger),
        lambda claims: liar.sign(claims, typ="logout+jwt"),
        lambda claims: liar.sign(claims)[:-6] + "AAAAAA",
        lambda claims: "not-a-token",
    ]
    for way in ways:
        with pytest.raises(sign_in.SignInFailed) as failed:
            finish(provider, liar, lambda started, way=way: way(liar.claims(nonce=started["nonce"])))  # type: ignore[misc] # bound now
        assert failed.value.code == "token_not_trusted"


def test_ky_03_keys_are_kept_as_long_as_told_and_a_new_key_is_found_at_once(provider: Any, liar: Liar) -> None:
    def token(started: dict[str, str]) -> str:
        return liar.sign(liar.claims(nonce=started["nonce"]))

    finish(provider, liar, token)
    finish(provider, liar, token)
    assert liar.keys_read == 1
    liar.key = ECKey.generate_key("P-256", {"kid": "second", "alg": "ES256", "use": "sig"})
    liar.cache_control = "no-store"
    finish(provider, liar, token)
    assert liar.keys_read == 2
    finish(provider, liar, token)
    assert liar.keys_read == 3


def test_a_refreshed_token_of_another_person_is_not_taken(provider: Any, liar: Liar) -> None:
    person = finish(provider, liar, lambda started: liar.sign(liar.claims(nonce=started["nonce"])))
    liar.tokens["id_token"] = liar.sign(liar.claims())
    assert provider.refresh(person).claims["sub"] == "carol"
    liar.tokens["id_token"] = liar.sign(liar.claims(sub="mallory"))
    liar.userinfo = {"sub": "mallory"}
    with pytest.raises(sign_in.SignInFailed):
        provider.refresh(person)


def test_lo_08_only_a_logout_token_ends_sessions(provider: Any, liar: Liar) -> None:
    good = liar.claims(sid="s", events=EVENT, jti="1")
    assert provider.check_logout_token(liar.sign(good, typ="logout+jwt"))["sid"] == "s"
    for claims in (
        {**good, "nonce": "n"},
        {**good, "events": {}},
        {**good, "aud": "somebody-else"},
        {**good, "exp": 1},
        {name: value for name, value in good.items() if name not in ("sid", "sub")},
    ):
        with pytest.raises(sign_in.SignInFailed):
            provider.check_logout_token(liar.sign(claims, typ="logout+jwt"))
    with pytest.raises(sign_in.SignInFailed):  # an ID token that carries the event is still none
        provider.check_logout_token(liar.sign(good, typ="JWT"))


def test_a_provider_that_calls_itself_otherwise_is_not_taken(provider: Any, liar: Liar) -> None:
    other = sign_in.Provider(
        liar.issuer.replace("localhost", "127.0.0.1"), "me", "secret", "http://localhost:5000/callback"
    )
    with pytest.raises(sign_in.SignInFailed) as failed:
        other.start()
    assert failed.value.code == "issuer_mismatch"
