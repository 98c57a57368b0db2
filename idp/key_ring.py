"""The ring of keys that a process signs with and believes, read anew by every worker when it changes.

Signatures are made by ``cryptography`` alone (P-01, P-04).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from idp.errors import OperatorError, Unavailable
from idp.files import Stamp, stamp
from idp.jws import (
    BadSignature,
    PublicKey,
    base64url,
    dump_json,
    is_signed,
    load_public_jwk,
    public_jwk,
    read_jws,
    rsa_padding,
)
from idp.keys import KeyRecord, PrivateKey, read_lasting_secrets, read_ring, refuse_optimised_python

_PUBLIC_MEMBERS = {"kty", "use", "alg", "kid", "n", "e", "crv", "x", "y"}
_HEADER_MEMBERS = {"alg", "kid", "typ"}
_KINDS: dict[str, type[PublicKey]] = {
    "RS256": rsa.RSAPublicKey,
    "PS256": rsa.RSAPublicKey,
    "ES256": ec.EllipticCurvePublicKey,
    "EdDSA": ed25519.Ed25519PublicKey,
}
_log = structlog.get_logger(__name__)


class SigningKey:
    """A key that is public now, with its objects loaded. Shows nothing secret however it is printed."""

    __slots__ = ("_headers", "_private", "_public", "alg", "kid", "record")

    def __init__(self, record: KeyRecord) -> None:
        """Load and check a key (KY-10, P-12, P-14).

        :raises OperatorError: when the private part is missing, too weak, or not of this key.
        """
        self.kid = record.kid
        self.alg: str = record.alg
        # Without the PEM: what is loaded is held by cryptography's object, which never prints itself.
        self.record = record.model_copy(update={"private": None})
        self._headers: dict[str, bytes] = {}
        _check_public(record)
        self._public = load_public_jwk(record.jwk)
        self._private = _load_private(record) if record.state in ("next", "signing") else None

    def __repr__(self) -> str:
        return f"<SigningKey {self.kid} {self.alg} {self.state}>"

    @property
    def state(self) -> str:
        return self.record.state

    @property
    def public_jwk(self) -> dict[str, str]:
        return self.record.jwk

    def header(self, typ: str) -> bytes:
        """The JWS header for tokens of this type, base64url, made once."""
        if typ not in self._headers:
            self._headers[typ] = base64url(dump_json({"alg": self.alg, "kid": self.kid, "typ": typ}))
        return self._headers[typ]

    def sign(self, data: bytes) -> bytes:
        """A raw JWS signature (RFC 7518 section 3; r‖s for ES256).

        :raises Unavailable: when the private part is erased already.
        """
        private = self._private
        if isinstance(private, rsa.RSAPrivateKey):
            return private.sign(data, rsa_padding(self.alg), hashes.SHA256())
        if isinstance(private, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(private.sign(data, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        if isinstance(private, ed25519.Ed25519PrivateKey):
            return private.sign(data)
        raise Unavailable("signing_key_missing", detail=f"{self.kid} is {self.state}")

    def is_signed(self, data: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is this key's, over exactly ``data``."""
        return is_signed(self._public, self.alg, data, signature)


@dataclass(frozen=True, slots=True)
class _Loaded:
    public: dict[str, SigningKey]
    signing: dict[str, SigningKey]
    jwks: bytes


class KeyRing:
    """The keys of this process. Reads ``ring.json`` anew when it was replaced; the last good ring stays if it is wrong."""

    def __init__(
        self,
        folder: Path,
        jwks_max_age: int,
        *,
        look_every: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the ring that ``create_keys`` made.

        :param jwks_max_age: seconds for which relying parties may keep /jwks.
        :param look_every: seconds for which the file is not looked at again: four looks a token are felt (docs/speed.md).
        :param clock: seconds that only grow.
        :raises OperatorError: when keys are missing, damaged, too weak or readable by others, or under ``python -O``.
        """
        refuse_optimised_python()
        self.jwks_max_age = jwks_max_age
        self.problem: str | None = None
        self._path = folder / "ring.json"
        self._look_every, self._clock = look_every, clock
        self._next_look = clock() + look_every
        self._reloading = threading.Lock()
        self._seen = self._look()
        self._loaded = _load(read_ring(folder))
        permanent = read_lasting_secrets(folder)
        self.subjects_secret = permanent.subjects_secret
        self._lasting = permanent
        self._derived: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"<KeyRing {self._path.parent} {sorted(self._loaded.public)}>"

    def signing(self, alg: str) -> SigningKey:
        """The key that signs now.

        :raises Unavailable: when no ring has this algorithm (``Clients`` never lets such a client in).
        """
        key = self._current().signing.get(alg)
        if key is None:
            raise Unavailable("signing_key_missing", detail=f"no key for {alg}: idp keys rotate --alg {alg}")
        return key

    def algorithms(self) -> frozenset[str]:
        """The algorithms that have a signing key."""
        return frozenset(self._current().signing)

    def verifying(self, kid: str) -> SigningKey | None:
        """The key of a token that we may have signed: next, signing or retired, never revoked."""
        return self._current().public.get(kid)

    def jwks(self) -> bytes:
        """The JWK Set of all public keys (RFC 7517 section 5), serialised once per change of the ring."""
        return self._current().jwks

    def sign_jwt(self, claims: Mapping[str, Any], alg: str, typ: str = "JWT") -> str:
        """A compact JWS of ``claims`` (RFC 7515 section 7.1), signed by the current key of ``alg``.

        :raises Unavailable: when no ring has this algorithm.
        """
        key = self.signing(alg)
        data = key.header(typ) + b"." + base64url(dump_json(claims))
        return (data + b"." + base64url(key.sign(data))).decode("ascii")

    def verify_jwt(self, jws: str, *, typ: tuple[str, ...]) -> dict[str, Any]:
        """The claims of a JWT that we signed for one of these purposes. Claims themselves (exp, aud, …) are not looked at.

        Follows RFC 8725: the algorithm is the key's and not the token's to choose, no header but alg, kid and typ is
        accepted (so no crit, jwk, jku, x5u, x5c, b64, zip), JSON members may not repeat.

        :raises BadSignature: for everything else.
        """
        read = read_jws(jws)
        header = read.header
        if set(header) != _HEADER_MEMBERS or not all(isinstance(value, str) for value in header.values()):
            raise BadSignature("header members")
        key = self.verifying(header["kid"])
        if key is None:
            raise BadSignature("unknown key")
        if header["alg"] != key.alg:
            raise BadSignature("algorithm is not the key's")
        if header["typ"] not in typ:
            raise BadSignature("made for another purpose")
        if not key.is_signed(read.signed, read.signature):
            raise BadSignature("signature")
        return read.claims()

    def derive(self, purpose: str) -> bytes:
        """32 secret bytes for one purpose, always the same."""
        if purpose not in self._derived:
            self._derived[purpose] = self._lasting.derive(purpose)
        return self._derived[purpose]

    def _current(self) -> _Loaded:
        now = self._clock()
        if now < self._next_look:
            return self._loaded
        self._next_look = now + self._look_every
        found = self._look()
        # One thread reads; the others go on with the ring they have, whose keys are still public.
        if found != self._seen and self._reloading.acquire(blocking=False):
            try:
                self._reload(found)
            finally:
                self._reloading.release()
        return self._loaded

    def _look(self) -> tuple[Stamp, int] | None:
        try:
            return stamp(self._path), os.stat(self._path.parent).st_mode
        except OSError:
            return None

    def _reload(self, found: tuple[Stamp, int] | None) -> None:
        try:
            self._loaded = _load(read_ring(self._path.parent))
            self.problem = None
            _log.info("keys_reloaded", public=sorted(self._loaded.public))
        except OperatorError as error:
            self.problem = str(error)
            _log.error("keys_not_reloaded", problem=self.problem)
        # Even when it is wrong: it is looked at again when it changes, not at every signature.
        self._seen = found


def _load(records: Iterable[KeyRecord]) -> _Loaded:
    # Signing keys first: a relying party that ignores kid and takes the first key of a kind takes the right one.
    order = {"signing": 0, "next": 1, "retired": 2}
    public = [
        SigningKey(record) for record in sorted((r for r in records if r.is_public), key=lambda r: order[r.state])
    ]
    jwks = dump_json({"keys": [key.public_jwk for key in public]})
    return _Loaded({key.kid: key for key in public}, {key.alg: key for key in public if key.state == "signing"}, jwks)


def _check_public(record: KeyRecord) -> None:
    jwk = record.jwk
    if not set(jwk) <= _PUBLIC_MEMBERS:
        raise OperatorError(f"Key {record.kid} would publish more than its public part. Restore keys/ from the backup.")
    if (jwk.get("use"), jwk.get("alg"), jwk.get("kid")) != ("sig", record.alg, record.kid):
        raise OperatorError(f"Key {record.kid} lacks use, alg or kid. Restore keys/ from the backup.")
    try:
        public = load_public_jwk(jwk)
    except ValueError as error:
        raise OperatorError(f"Key {record.kid}: {error}. Restore keys/ from the backup.") from error
    if not isinstance(public, _KINDS[record.alg]):
        raise OperatorError(f"Key {record.kid} cannot sign {record.alg}. Restore keys/ from the backup.")


def _load_private(record: KeyRecord) -> PrivateKey:
    try:
        private = serialization.load_pem_private_key((record.private or "").encode(), None)
    except (ValueError, TypeError) as error:
        raise OperatorError(
            f"Key {record.kid}: its private part is missing or damaged. Restore keys/ from the backup."
        ) from error
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) or (
        public_jwk(private.public_key(), record.kid, record.alg) != record.jwk
    ):
        raise OperatorError(
            f"Key {record.kid}: private and public part do not belong together. Restore keys/ from the backup."
        )
    return private
