"""Which client is calling: client_secret_basic, client_secret_post, private_key_jwt or none (RFC 6749 section 2.3, RFC 7523).

Exactly one method per request. Whatever is wrong, the answer is the same, so that it tells nothing (P-20). A client that
is registered for client_secret_basic may also send its secret in the form, as libraries differ in what they try first.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard
from urllib.parse import unquote_plus

import structlog

from idp import throttle
from idp.client_record import Client, hash_secret
from idp.clients import Clients
from idp.errors import OAuthError
from idp.fetch import Fetcher, FetchError
from idp.jws import BadSignature, Jws, PublicKey, is_signed, load_public_jwk, read_jws
from idp.machine import Request
from idp.oidc.discovery import ASSERTION_ALGORITHMS
from idp.redis_store import RedisStore, token_hash

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_HEADER = 2048  # characters of an Authorization header
LONGEST_ASSERTION_LIFE = 600  # seconds until exp: so long its jti is remembered
CLOCK_SKEW = 30  # seconds that a client's clock may differ
KEYS_KEPT = 3600  # seconds before a client's jwks_uri is read anew
KEYS_RETRY = 30  # seconds between two readings, whatever key is asked for
MOST_KEYS = 20

_BASIC = re.compile(r"basic +([A-Za-z0-9+/]+={0,2})", re.IGNORECASE)
_FORM_ENCODED = re.compile(r"(?:[!-$&-~]|%[0-9A-Fa-f]{2})*")
_ASSERTION_MEMBERS = {"alg", "kid", "typ"}

_log = structlog.get_logger(__name__)


class _Failed(Exception):
    """Authentication failed: ``reason`` is a code of the reasons table."""

    def __init__(self, reason: str, client_id: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.client_id = client_id


class ClientAuthentication:
    """Authenticates relying parties for one issuer."""

    def __init__(
        self,
        issuer: str,
        clients: Clients,
        store: RedisStore,
        fetcher: Fetcher,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients = clients
        self._store = store
        self._keys = _FetchedKeys(fetcher, monotonic)
        # The token endpoint's URL names us too (RFC 7523 section 3, OpenID Connect Core 9).
        self._audiences = (issuer, f"{issuer}/token")

    def authenticate(self, request: Request, form: Mapping[str, str], now: float) -> Client:
        """The client that sends this request, whose form was read strictly.

        ``client_id`` in the form counts only where nothing else says who is calling.

        :raises OAuthError: ``invalid_client`` (401), or ``invalid_request`` if credentials are given in two ways.
        """
        header = request.headers.get("authorization")
        given = [
            header is not None,
            "client_secret" in form,
            "client_assertion" in form or "client_assertion_type" in form,
        ]
        if sum(given) > 1:
            raise OAuthError(
                "invalid_request", "Use one way of client authentication, not several.", reason="client_auth_repeated"
            )
        try:
            if header is not None:
                return self._by_secret(*_read_basic(header), ("client_secret_basic",), now)
            if given[1]:
                methods = ("client_secret_post", "client_secret_basic")
                return self._by_secret(form.get("client_id", ""), form["client_secret"], methods, now)
            if given[2]:
                return self._by_assertion(form, now)
            return self._by_name(form.get("client_id", ""))
        except _Failed as failed:
            wait = throttle.count_client_failure(self._store, client_id=failed.client_id, network=request.peer, now=now)
            _log.warning(
                "client_not_authenticated", reason=failed.reason, client_id=failed.client_id[:128], throttled=bool(wait)
            )
            if wait:
                raise OAuthError(
                    "invalid_client", "Too many failures. Please wait.", reason="client_throttled", status=429
                ) from None
            raise OAuthError(
                "invalid_client", "Client authentication failed.", reason=failed.reason, status=401
            ) from None

    def _by_secret(self, client_id: str, secret: str, methods: tuple[str, ...], now: float) -> Client:
        client = self._clients.find(client_id)
        if client is None:
            hash_secret(secret)  # the same work as for a client that exists
            raise _Failed("client_unknown", client_id)
        if not client.secret_matches(secret, now):
            raise _Failed("client_secret_wrong", client_id)
        if client.token_endpoint_auth_method not in methods:
            raise _Failed("client_method_wrong", client_id)
        return client

    def _by_name(self, client_id: str) -> Client:
        client = self._clients.find(client_id)
        if client is None:
            raise _Failed("client_unknown", client_id)
        if not client.is_public:
            raise _Failed("client_credentials_missing", client_id)
        return client

    def _by_assertion(self, form: Mapping[str, str], now: float) -> Client:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise _Failed("assertion_wrong", form.get("client_id", ""))
        try:
            jws = read_jws(form.get("client_assertion", ""))
            claims = jws.claims()
        except BadSignature:
            raise _Failed("assertion_wrong", form.get("client_id", "")) from None
        client_id = claims.get("sub")
        if not isinstance(client_id, str) or form.get("client_id", client_id) != client_id:
            raise _Failed("assertion_wrong", form.get("client_id", ""))
        client = self._clients.find(client_id)
        if client is None:
            raise _Failed("client_unknown", client_id)
        if client.jwks is None and client.jwks_uri is None:  # registered for another method
            raise _Failed("client_method_wrong", client_id)
        if not self._is_signed_by(client, jws):
            raise _Failed("assertion_signature_wrong", client_id)
        expires = self._check_claims(claims, client_id, now)
        # Last, so that only the client itself can use up one of its names.
        key = f"assertion:{{{token_hash(client_id + ' ' + claims['jti'])}}}"
        if not self._store.command("SET", key, "1", "NX", "EX", int(expires - now) + 2 * CLOCK_SKEW):
            raise _Failed("assertion_repeated", client_id)
        return client

    def _check_claims(self, claims: Mapping[str, Any], client_id: str, now: float) -> float:
        """RFC 7523 section 3; returns when the assertion expires.

        ``aud`` is one string: an assertion that also names others could have been made for them.
        """
        expires, jti = claims.get("exp"), claims.get("jti")
        earliest = [claims[name] for name in ("iat", "nbf") if name in claims]
        in_order = (
            claims.get("iss") == client_id
            and claims.get("aud") in self._audiences
            and _is_time(expires)
            and now - CLOCK_SKEW < expires <= now + LONGEST_ASSERTION_LIFE
            and all(_is_time(start) and start <= now + CLOCK_SKEW for start in earliest)
            and isinstance(jti, str)
            and 0 < len(jti) <= 256
        )
        if not in_order or not _is_time(expires):
            raise _Failed("assertion_wrong", client_id)
        return expires

    def _is_signed_by(self, client: Client, jws: Jws) -> bool:
        header = jws.header
        # A header that we do not know (crit, jku, x5u, jwk, b64 …) could change what the signature means (RFC 8725).
        if not set(header) <= _ASSERTION_MEMBERS or not all(isinstance(value, str) for value in header.values()):
            return False
        alg, kid = header.get("alg", ""), header.get("kid")
        if alg not in ASSERTION_ALGORITHMS:
            return False

        def fits(keys: Iterable[Mapping[str, Any]]) -> bool:
            candidates = [key for key in keys if kid is None or key.get("kid", kid) == kid]
            return any(_signs(key, alg, jws) for key in candidates[:MOST_KEYS])

        if client.jwks is not None:
            return fits(client.jwks["keys"])
        uri = client.jwks_uri or ""
        return fits(self._keys.read(uri)) or fits(self._keys.read(uri, fresh=True))


class _FetchedKeys:
    """The JWK Sets of clients that publish theirs. Read once an hour, and again for a key that is not known yet, but never
    more often than every ``KEYS_RETRY`` seconds, whoever asks.
    """

    def __init__(self, fetcher: Fetcher, monotonic: Callable[[], float]) -> None:
        self._fetcher = fetcher
        self._monotonic = monotonic
        self._sets: dict[str, tuple[float, list[Mapping[str, Any]]]] = {}
        self._turns: dict[str, threading.Lock] = {}

    def read(self, uri: str, *, fresh: bool = False) -> list[Mapping[str, Any]]:
        """The keys at ``uri``, which a client registered; the last good ones where it does not answer."""
        with self._turns.setdefault(uri, threading.Lock()):
            read_at, keys = self._sets.get(uri, (float("-inf"), []))
            age = self._monotonic() - read_at
            if age > (KEYS_RETRY if fresh or not keys else KEYS_KEPT):
                keys = self._fetch(uri, keys)
                self._sets[uri] = (self._monotonic(), keys)
            return keys

    def _fetch(self, uri: str, known: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        try:
            document = self._fetcher.get_json(uri)
        except FetchError as error:
            _log.warning("client_keys_unread", uri=uri, reason=error.reason, detail=error.detail)
            return known
        keys = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(keys, list):
            _log.warning("client_keys_unread", uri=uri, reason="not a JWK Set")
            return known
        return [key for key in keys[:MOST_KEYS] if isinstance(key, dict)]


def _signs(jwk: Mapping[str, Any], alg: str, jws: Jws) -> bool:
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", alg) != alg:
        return False
    try:
        public: PublicKey = load_public_jwk(jwk)
    except ValueError:
        return False
    return is_signed(public, alg, jws.signed, jws.signature)


def _read_basic(header: str) -> tuple[str, str]:
    """Client id and secret of ``Basic …``; each half was form-encoded before (RFC 6749 section 2.3.1)."""
    match = _BASIC.fullmatch(header) if len(header) <= LONGEST_HEADER else None
    if match is None:
        raise _Failed("client_header_malformed")
    try:
        halves = base64.b64decode(match[1], validate=True).decode("ascii").split(":")
        if len(halves) != 2 or not all(_FORM_ENCODED.fullmatch(half) for half in halves):
            raise ValueError
        client_id, secret = (unquote_plus(half, errors="strict") for half in halves)
    except (ValueError, binascii.Error):
        raise _Failed("client_header_malformed") from None
    return client_id, secret


def _is_time(value: object) -> TypeGuard[float]:
    # bool is an int in Python; NaN and infinities were refused when the JSON was read.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53
