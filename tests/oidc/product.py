"""A product that calls the machine endpoints, and the provider that it calls: no Flask, real keys, a real Valkey.

The sign-in before the code is taken as done: a test says who holds the session and what the checked request asks.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from idp.accounts.sessions import Session
from idp.attempts import Attempts
from idp.client_record import Client, hash_secret
from idp.clients import Clients
from idp.config import Config
from idp.fetch import FetchError
from idp.key_ring import KeyRing
from idp.machine import Answer, Endpoints, Request
from idp.oidc.machine_endpoints import machine_endpoints
from idp.oidc.provider import Provider
from idp.oidc.request_checks import CheckedRequest
from idp.redis_store import RedisStore
from tests import canaries

ISSUER = "https://login.example"
SECRETS = {
    name: canaries.register(f"{name}-secret-not-to-be-found-in-any-log", "client secret")
    for name in ("C1", "C2", "POST", "PS", "ED", "RS", "NO")
} | {"ES": canaries.register("odd + %:&ü secret, not to be found in a log", "client secret")}
VERIFIER = "v" * 43
PERSON = {
    "name": "Carol Example",
    "given_name": "Carol",
    "email": "carol@example.org",
    "email_verified": True,
    "phone_number": "+33123456789",
    "phone_number_verified": False,
    "address": {"locality": "Paris"},
    "updated_at": 1_700_000_000,
}

_CLIENTS = """
clients:
  C1:
    name: One
    type: web
    redirect_uris: [https://rp1.example/cb, https://rp1.example/other]
    scopes: [openid, profile, email, address, phone, offline_access]
    pkce: optional
    secrets: [{{hash: "{C1}"}}]
  C2:
    name: Two, of a third party
    type: web
    first_party: false
    subject_type: pairwise
    redirect_uris: [https://rp2.example/cb]
    secrets: [{{hash: "{C2}"}}]
  P1:
    name: Public
    type: spa
    redirect_uris: [https://spa.example/cb]
  ES:
    name: ES256 and signed userinfo
    type: web
    redirect_uris: [https://es.example/cb]
    id_token_signed_response_alg: ES256
    userinfo_signed_response_alg: ES256
    pkce: optional
    secrets: [{{hash: "{ES}"}}]
  PS:
    name: PS256
    type: web
    redirect_uris: [https://ps.example/cb]
    id_token_signed_response_alg: PS256
    pkce: optional
    secrets: [{{hash: "{PS}"}}]
  ED:
    name: EdDSA
    type: web
    redirect_uris: [https://ed.example/cb]
    id_token_signed_response_alg: EdDSA
    pkce: optional
    secrets: [{{hash: "{ED}"}}]
  POST:
    name: Secret in the form
    type: web
    redirect_uris: [https://post.example/cb]
    token_endpoint_auth_method: client_secret_post
    secrets: [{{hash: "{POST}"}}]
  NO:
    name: No refresh tokens
    type: web
    redirect_uris: [https://no.example/cb]
    grant_types: [authorization_code]
    pkce: optional
    secrets: [{{hash: "{NO}"}}]
  RS:
    name: Resource server of C1
    type: web
    redirect_uris: [https://rs.example/cb]
    introspects: [C1]
    secrets: [{{hash: "{RS}"}}]
  J1:
    name: Key of its own
    type: web
    redirect_uris: [https://j1.example/cb]
    token_endpoint_auth_method: private_key_jwt
    jwks:
      keys:
        - {es_jwk}
        - {rs_jwk}
  J2:
    name: Keys at an address
    type: web
    redirect_uris: [https://j2.example/cb]
    token_endpoint_auth_method: private_key_jwt
    jwks_uri: https://j2.example/jwks
  OFF:
    name: Switched off
    type: web
    enabled: false
    redirect_uris: [https://off.example/cb]
    secrets: [{{hash: "{C2}"}}]
"""


class ClientKey:
    """A client's key pair for private_key_jwt."""

    def __init__(self, alg: str, kid: str | None) -> None:
        self.alg, self.kid = alg, kid
        self.private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = (
            ec.generate_private_key(ec.SECP256R1()) if alg == "ES256" else rsa.generate_private_key(65537, 2048)
        )

    @property
    def jwk(self) -> dict[str, str]:
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            rsa_numbers = public.public_numbers()
            jwk = {"kty": "RSA", "n": _number(rsa_numbers.n, 256), "e": _number(rsa_numbers.e, 3)}
        else:
            point = public.public_numbers()
            jwk = {"kty": "EC", "crv": "P-256", "x": _number(point.x, 32), "y": _number(point.y, 32)}
        return jwk if self.kid is None else {**jwk, "kid": self.kid}

    @property
    def public_pem(self) -> bytes:
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, claims: Mapping[str, Any], **header: Any) -> str:
        """A compact JWS; a header member of None is left out."""
        members = {"alg": self.alg, "typ": "JWT", "kid": self.kid, **header}
        head = {name: value for name, value in members.items() if value is not None}
        data = f"{encode(json.dumps(head).encode())}.{encode(json.dumps(claims).encode())}"
        if isinstance(self.private, rsa.RSAPrivateKey):
            signature = self.private.sign(data.encode(), padding.PKCS1v15(), hashes.SHA256())
        else:
            r, s = decode_dss_signature(self.private.sign(data.encode(), ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return f"{data}.{encode(signature)}"


ES_KEY, RS_KEY = ClientKey("ES256", "es-1"), ClientKey("RS256", None)


class JwksServer:
    """Stands where the outgoing HTTP is: the document that J2 publishes, and how often it was read."""

    def __init__(self) -> None:
        self.document: Any = {"keys": []}
        self.read = 0
        self.down = False

    def get_json(self, uri: str, limit: int = 0, seconds: float = 0) -> Any:
        self.read += 1
        if self.down:
            raise FetchError("outgoing_failed", detail="status 500")
        return self.document


class Ticks:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class CountingStore(RedisStore):
    """A store that counts its round trips, of all threads."""

    trips = 0
    _count = threading.Lock()

    def _exchange(self, packed: bytes, count: int) -> list[Any]:
        with self._count:
            self.trips += 1
        return super()._exchange(packed, count)


@dataclass
class Product:
    """The provider with everything around it, and requests to it as a product sends them."""

    config: Config
    provider: Provider
    endpoints: Endpoints
    store: CountingStore
    clients: Clients
    ticks: Ticks
    attempts: Attempts
    jwks: JwksServer
    clock: Callable[[], float]
    session: Session = field(init=False)

    def __post_init__(self) -> None:
        now = int(self.now)
        self.session = Session(
            key="k" * 64,
            id="5" * 32,
            account_id="a" * 32,
            sub="public-sub-of-carol",
            auth_time=now - 100,
            amr=("pwd",),
            acr="1",
            created=now,
            expires=now + 86400,
            kept=False,
            idle=3600,
            last_seen=now,
            agent="Firefox on Linux",
            address="192.0.2.7",
            person=PERSON,
            consents={},
        )

    @property
    def now(self) -> float:
        return self.clock()

    def client(self, client_id: str) -> Client:
        found = self.clients.find(client_id)
        assert found is not None
        return found

    # --- the part of /authorize -----------------------------------------------------------------------------------

    def code(
        self,
        client_id: str = "C1",
        scope: str = "openid",
        *,
        session: Session | None = None,
        receipt: str = "K7QX-2M4P",
        **checked: Any,
    ) -> str:
        """A fresh code. ``checked`` replaces fields of the checked request."""
        client = self.client(client_id)
        given: dict[str, Any] = {
            "redirect_uri": client.redirect_uris[0],
            "nonce": "n1",
            "state": "s1",
            "code_challenge": encode(hashlib.sha256(VERIFIER.encode()).digest()),
        } | checked
        request = CheckedRequest(client=client, scopes=tuple(scope.split()), **given)
        code = self.provider.issue_code(request, session or self.session, request.scopes, receipt, self.now)
        return canaries.register(code, "code")

    def somebody_else(self, name: str = "b") -> Session:
        """The session of another person."""
        return replace(
            self.session,
            key=name * 64,
            id=name * 32,
            account_id=name * 32,
            sub=f"public-sub-of-{name}",
            person={"name": name},
        )

    # --- requests -------------------------------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        form: Mapping[str, str | None] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: str = "",
    ) -> Answer:
        """One request, as ``wsgi_request`` hands it over."""
        sent = dict(headers or {})
        body = b""
        if isinstance(form, bytes):
            body = form
        elif form is not None:
            body = urlencode({name: value for name, value in form.items() if value is not None}).encode()
        if form is not None:
            sent.setdefault("content-type", "application/x-www-form-urlencoded")
        answer = self.endpoints.answer(Request(method, path, sent, query, body, "198.51.100.20"))
        assert answer is not None
        canaries.register_answer(dict(answer.headers), answer.body.decode())
        return answer

    def token(
        self, form: Mapping[str, str | None], client_id: str = "C1", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """A token request, with the authentication that the client is registered for."""
        sent, extra = self.credentials(client_id)
        return self.ask("POST", "/token", {**extra, **form}, sent if headers is None else headers)

    def credentials(self, client_id: str) -> tuple[dict[str, str], dict[str, str | None]]:
        """Headers and form fields that authenticate a client."""
        method = self.client(client_id).token_endpoint_auth_method
        if method == "client_secret_basic":
            return basic(client_id, SECRETS[client_id]), {}
        if method == "client_secret_post":
            return {}, {"client_id": client_id, "client_secret": SECRETS[client_id]}
        return {}, {"client_id": client_id}

    def redeem(self, code: str, client_id: str = "C1", **changes: str | None) -> Answer:
        """TK(x) of attacks.md."""
        form: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client(client_id).redirect_uris[0],
            "code_verifier": VERIFIER,
        }
        return self.token(form | changes, client_id)

    def refresh(self, refresh_token: str, client_id: str = "C1", **changes: str | None) -> Answer:
        return self.token({"grant_type": "refresh_token", "refresh_token": refresh_token, **changes}, client_id)

    def tokens(self, client_id: str = "C1", scope: str = "openid", **checked: Any) -> dict[str, Any]:
        """A code and what it buys."""
        return data(self.redeem(self.code(client_id, scope, **checked), client_id))

    def userinfo(self, access_token: str) -> Answer:
        return self.ask("GET", "/userinfo", headers={"authorization": f"Bearer {access_token}"})

    def introspect(self, token: str, client_id: str = "C1") -> dict[str, Any]:
        return data(self.ask("POST", "/introspect", {"token": token}, self.credentials(client_id)[0]))

    def assertion(self, client_id: str = "J1", key: ClientKey = ES_KEY, **changes: Any) -> dict[str, str | None]:
        """The form fields of private_key_jwt; ``changes`` to the claims (None: leave out), ``header_x`` to the header."""
        header = {
            name.removeprefix("header_"): changes.pop(name) for name in list(changes) if name.startswith("header_")
        }
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": ISSUER,
            "jti": encode(canaries.random(16)),
            "iat": int(self.now),
            "exp": int(self.now) + 60,
        } | changes
        kept = {name: value for name, value in claims.items() if value is not None}
        return {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": key.sign(kept, **header),
        }


@functools.cache
def _ring(keys: Path) -> KeyRing:
    """Loading and checking keys takes half a second: once for all tests."""
    return KeyRing(keys, 3600)


@contextmanager
def running_product(
    folder: Path, keys: Path, redis_url: str, clock: Callable[[], float], **settings: Any
) -> Iterator[Product]:
    """A provider on an empty Redis, with the clients above."""
    yaml = _CLIENTS.format(
        **{name: hash_secret(secret) for name, secret in SECRETS.items()},
        es_jwk=json.dumps(ES_KEY.jwk),
        rs_jwk=json.dumps(RS_KEY.jwk),
    )
    (folder / "products.yaml").write_text(yaml, encoding="utf-8")
    config = Config(**{"issuer": ISSUER, "data": folder, "keys": keys, **settings})
    ring = _ring(keys)
    ticks = Ticks()
    clients = Clients(folder / "products.yaml", {}, loopback=config.on_loopback, signable=ring.algorithms, clock=ticks)
    jwks = JwksServer()
    with CountingStore(redis_url) as store:
        store.command("FLUSHDB")
        attempts = Attempts(store, canaries.random, clock)
        provider = Provider(config, store, ring, clients, canaries.random)
        endpoints = machine_endpoints(
            config,
            provider,
            store,
            attempts,
            jwks,  # type: ignore[arg-type]  # the one method of Fetcher that is used
            ui_locales=("en", "fr"),
            clock=clock,
            authorize=lambda _: None,
        )
        try:
            yield Product(config, provider, endpoints, store, clients, ticks, attempts, jwks, clock)
        finally:
            attempts.close()


def basic(client_id: str, secret: str) -> dict[str, str]:
    """HTTP Basic as RFC 6749 section 2.3.1 says."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def data(answer: Answer) -> dict[str, Any]:
    """The JSON of a successful answer."""
    assert answer.status == 200, answer.body
    return dict(json.loads(answer.body))


def error(answer: Answer) -> tuple[int, str]:
    """Status and error code of a refusal."""
    return answer.status, str(json.loads(answer.body)["error"])


def headers(answer: Answer) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers}


def claims(jwt: str) -> dict[str, Any]:
    """The payload of a JWT, unverified."""
    return dict(json.loads(decode(jwt.split(".")[1])))


def encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _number(value: int, size: int) -> str:
    return encode(value.to_bytes(size, "big"))
