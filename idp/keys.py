"""The signing keys: a ring of them per algorithm, in ``keys/``, read anew by every worker when it changes.

A key goes ``next → signing → retired → gone``. ``next`` is published in /jwks and signs nothing yet, so that relying
parties can fetch it in time; ``signing`` signs; ``retired`` is published until the last token it signed has expired;
``gone`` is history. The private part is erased when a key retires.

``keys/ring.json`` holds the ring, ``keys/secrets.json`` what must never change (pairwise subjects rest on it). Both are
0600 in a 0700 folder and replaced atomically. Signatures are made by ``cryptography`` alone (P-01, P-04).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from idp.errors import IdpError, OperatorError, Unavailable
from idp.files import Stamp, only_one, read_private, replace, stamp, usable

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

ALGORITHMS = ("RS256", "ES256", "PS256", "EdDSA")
RSA_BITS = 2048
# The clocks of relying parties may be behind: a retired key stays public this much longer than its last token lived.
CLOCK_SKEW = 300
# What to do about keys that are lost; part of several messages.
RESTORE = "restore keys/ from the backup; if there is none, see “ring.json is lost” in docs/operators/rotate-keys.md"
# Seconds that may pass between the moment noted as a key's making and the first /jwks that shows it: others are made
# with it, times are whole seconds, and an older /jwks may still be under way.
PUBLISHING = 5
LONGEST_JWS = 16_384
LONGEST_HEADER = 1_024

_PUBLIC_MEMBERS = {"kty", "use", "alg", "kid", "n", "e", "crv", "x", "y"}
_HEADER_MEMBERS = {"alg", "kid", "typ"}
# Made once: json.dumps with separators makes a new one at every call.
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+\Z")
_log = structlog.get_logger(__name__)


class BadSignature(IdpError):
    """A JWT that we did not sign, or not for this purpose. ``detail`` says which check it failed, never its content."""

    status = 400

    def __init__(self, detail: str) -> None:
        super().__init__("signature_bad", detail=detail)


class KeyRecord(BaseModel):
    """One key as it stands in ``ring.json``. Times are epoch seconds. ``private`` is a PKCS#8 PEM, only while needed."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    kid: str = Field(pattern=r"^[a-z0-9-]{8,64}$")
    alg: Literal["RS256", "ES256", "PS256", "EdDSA"]
    state: Literal["next", "signing", "retired", "gone"]
    created_at: int
    signing_at: int | None = None
    retired_at: int | None = None
    public_until: int | None = None
    gone_at: int | None = None
    revoked: bool = False
    jwk: dict[str, str]
    private: str | None = Field(None, repr=False)

    @property
    def is_public(self) -> bool:
        """Whether /jwks shows the key and its signatures count."""
        return self.state != "gone"

    def ready_at(self, jwks_max_age: int) -> int:
        """When a ``next`` key has been public for longer than anybody may have cached a /jwks without it."""
        return self.created_at + PUBLISHING + jwks_max_age


class _Ring(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    version: Literal[1]
    keys: list[KeyRecord]


class _Secrets(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    version: Literal[1]
    subjects: str = Field(pattern="^[0-9a-f]{64}$", repr=False)
    master: str = Field(pattern="^[0-9a-f]{64}$", repr=False)


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
            self._headers[typ] = _encode(_dump({"alg": self.alg, "kid": self.kid, "typ": typ}))
        return self._headers[typ]

    def sign(self, data: bytes) -> bytes:
        """A raw JWS signature (RFC 7518 section 3; r‖s for ES256).

        :raises Unavailable: when the private part is erased already.
        """
        private = self._private
        if isinstance(private, rsa.RSAPrivateKey):
            return private.sign(data, _padding(self.alg), hashes.SHA256())
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

    def __init__(self, folder: Path, jwks_max_age: int) -> None:
        """Open the ring that ``create_keys`` made.

        :param jwks_max_age: seconds for which relying parties may keep /jwks.
        :raises OperatorError: when keys are missing, damaged, too weak or readable by others, or under ``python -O``.
        """
        refuse_optimised_python()
        self.jwks_max_age = jwks_max_age
        self.problem: str | None = None
        self._path = folder / "ring.json"
        self._reloading = threading.Lock()
        self._seen = self._look()
        self._loaded = _load(read_ring(folder))
        permanent = _read_secrets(folder)
        self.subjects_secret = bytes.fromhex(permanent.subjects)
        self._master = bytes.fromhex(permanent.master)
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
        data = key.header(typ) + b"." + _encode(_dump(claims))
        return (data + b"." + _encode(key.sign(data))).decode("ascii")

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
        """32 secret bytes for one purpose, always the same (HKDF, RFC 5869)."""
        if purpose not in self._derived:
            hkdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"idp " + purpose.encode())
            self._derived[purpose] = hkdf.derive(self._master)
        return self._derived[purpose]

    def _current(self) -> _Loaded:
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


@dataclass(frozen=True, slots=True)
class TooEarly:
    """Why a rotation was refused: this ``next`` key has not been public for long enough."""

    alg: str
    kid: str
    ready_at: int
    wait: int


@dataclass(frozen=True, slots=True)
class Swap:
    """What happened to one algorithm. ``retired`` is None when its first keys were made."""

    alg: str
    signing: str
    retired: str | None
    next: str
    public_until: int | None


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did. ``hurried`` are the kids that now sign although they were not public for long enough."""

    swaps: tuple[Swap, ...]
    pruned: tuple[str, ...]
    hurried: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Revocation:
    """What a revocation did. ``signing`` is the key that had to take over at once, ``next`` the new one in waiting."""

    kid: str
    alg: str
    was: str
    signing: str | None
    next: str | None


def has_no_keys(folder: Path) -> bool:
    """Whether neither a ring nor secrets are there: at a first start, or when they are lost.

    :raises OperatorError: when the folder cannot be looked into.
    """
    with usable(folder, "IDP_KEYS"):
        return not (folder / "ring.json").exists() and not (folder / "secrets.json").exists()


def create_keys(folder: Path, algorithms: Iterable[str], now: float) -> tuple[str, ...]:
    """The keys of a start: at the first, the folder, the secrets, and a ring for RS256 and each of ``algorithms``; later
    the rings that ``algorithms`` lack. That it is the first start, only the caller can know: ``has_no_keys``.

    A first key signs at once, because nobody can have cached a /jwks with older keys of its algorithm.

    :returns: the algorithms for which keys were made.
    :raises OperatorError: when the folder cannot be used, or a part of what it held is gone.
    """
    refuse_optimised_python()
    _prepare(folder)
    with only_one(folder):
        if has_no_keys(folder):
            return _complete(folder, [], algorithms, now)
        records = read_ring(folder)
        _read_secrets(folder)
        return _complete(folder, records, algorithms, now)


@dataclass(frozen=True, slots=True)
class Replacement:
    """What was lost and is made anew: the algorithms that have keys now, and whether there are other secrets."""

    algorithms: tuple[str, ...]
    secrets: bool


def replace_lost(folder: Path, algorithms: Iterable[str], now: float) -> Replacement:
    """Make anew what the folder has lost for ever: the ring, the secrets, or both. What is there stays.

    :raises OperatorError: when the folder cannot be used, or what is there is damaged.
    """
    refuse_optimised_python()
    _prepare(folder)
    with only_one(folder):
        without_secrets = not (folder / "secrets.json").exists()
        if not without_secrets:
            _read_secrets(folder)
        records = read_ring(folder) if (folder / "ring.json").exists() else ()
        return Replacement(_complete(folder, records, algorithms, now), without_secrets)


def _complete(folder: Path, records: Iterable[KeyRecord], algorithms: Iterable[str], now: float) -> tuple[str, ...]:
    ring = list(records)
    present = {record.alg for record in ring if record.state == "signing"}
    missing = tuple(alg for alg in ALGORITHMS if alg in {"RS256", *algorithms} - present)
    for alg in missing:
        ring += [_make(alg, "signing", now), _make(alg, "next", now)]
    # Only now, when all is made: a start that is killed leaves one without the other as rarely as can be.
    if not (folder / "secrets.json").exists():
        made = {"version": 1, "subjects": secrets.token_hex(32), "master": secrets.token_hex(32)}
        replace(folder / "secrets.json", _dump(made))
    if missing:
        _write(folder, ring)
    return missing


def rotate(
    folder: Path,
    algorithms: Collection[str],
    now: float,
    *,
    jwks_max_age: int,
    longest_token: int,
    emergency: bool = False,
) -> Rotation | TooEarly:
    """``next`` signs, ``signing`` retires, a new ``next`` is published; retired keys whose time is over go.

    All algorithms together or none. One that has no keys yet gets its first two. A ring must be there: that one is lost
    is no reason to sign with keys that nobody knows.

    :param algorithms: which rings; empty means every ring there is.
    :param longest_token: seconds that the longest-lived ID token is valid: the old key stays public that long.
    :param emergency: do not wait until the next key was public for ``jwks_max_age`` seconds.
    :returns: what was done, or which key is too young and how long to wait.
    :raises OperatorError: when the ring cannot be read or written.
    """
    refuse_optimised_python()
    read_ring(folder)  # says what is wrong, also when there is no folder to hold
    with only_one(folder):
        records = list(read_ring(folder))
        _read_secrets(folder)
        present = {record.alg for record in records if record.state == "signing"}
        wanted = [alg for alg in ALGORITHMS if alg in (algorithms or present)]
        hurried = []
        for record in records:
            ready_at = record.ready_at(jwks_max_age)
            if record.alg in wanted and record.state == "next" and ready_at > now:
                if not emergency:
                    return TooEarly(record.alg, record.kid, ready_at, int(-(-(ready_at - now) // 1)))
                hurried.append(record.kid)
        records, pruned = _prune(records, now)
        swaps = []
        for alg in wanted:
            made = [_make(alg, "next", now)]
            if alg not in present:
                made.insert(0, _make(alg, "signing", now))
            old = _one(records, alg, "signing")
            records = [_step(record, now, longest_token) if record.alg == alg else record for record in records] + made
            swaps.append(
                Swap(
                    alg=alg,
                    signing=_one(records, alg, "signing").kid,  # type: ignore[union-attr]  # there is always one now
                    retired=old.kid if old else None,
                    next=made[-1].kid,
                    public_until=int(now) + longest_token + CLOCK_SKEW if old else None,
                )
            )
        _write(folder, records)
        return Rotation(tuple(swaps), pruned, tuple(hurried))


def prune(folder: Path, now: float) -> tuple[str, ...]:
    """Take retired keys whose last token has expired out of /jwks.

    :returns: their kids.
    :raises OperatorError: when the ring cannot be read or written.
    """
    read_ring(folder)  # says what is wrong, also when there is no folder to hold
    with only_one(folder):
        records, pruned = _prune(list(read_ring(folder)), now)
        if pruned:
            _write(folder, records)
        return pruned


def revoke(folder: Path, kid: str, now: float) -> Revocation:
    """Take a stolen key out of use at once: no token that it signed counts any more (KY-05).

    If it was signing, the ``next`` key signs from now on, however young; a new ``next`` is published.

    :raises OperatorError: when there is no such key, or it is gone already.
    """
    read_ring(folder)  # says what is wrong, also when there is no folder to hold
    with only_one(folder):
        records = list(read_ring(folder))
        found = next((record for record in records if record.kid == kid), None)
        if found is None or not found.is_public:
            known = ", ".join(record.kid for record in records if record.is_public)
            raise OperatorError(f"No key in use is called {kid!r}. In use: {known}")
        dead = found.model_copy(update={"state": "gone", "gone_at": int(now), "revoked": True, "private": None})
        records[records.index(found)] = dead
        successor = _one(records, found.alg, "next") if found.state == "signing" else None
        if successor is not None:
            signing = successor.model_copy(update={"state": "signing", "signing_at": int(now)})
            records[records.index(successor)] = signing
        made = _make(found.alg, "next", now) if found.state in ("signing", "next") else None
        if made is not None:
            records.append(made)
        _write(folder, records)
        return Revocation(kid, found.alg, found.state, successor.kid if successor else None, made.kid if made else None)


def read_ring(folder: Path) -> tuple[KeyRecord, ...]:
    """All keys, also those that are gone, in the order in which they were made.

    :raises OperatorError: when the ring is missing, damaged, or readable by others.
    """
    path = folder / "ring.json"
    try:
        ring = _Ring.model_validate_json(read_private(path))
    except FileNotFoundError as error:
        raise OperatorError(_no_keys(folder)) from error
    except OSError as error:
        raise OperatorError(
            f"{path}: cannot be read ({error.strerror}). It must belong to the user who runs idp."
        ) from error
    except ValidationError as error:
        raise OperatorError(f"{path}: damaged ({_where(error)}). Restore keys/ from the backup.") from None
    records = tuple(ring.keys)
    if len({record.kid for record in records}) != len(records):
        raise OperatorError(f"{path}: damaged (one kid twice). Restore keys/ from the backup.")
    for alg in {"RS256"} | {record.alg for record in records if record.is_public}:
        for state in ("signing", "next"):
            if sum(record.alg == alg and record.state == state for record in records) != 1:
                raise OperatorError(
                    f"{path}: damaged ({alg} needs exactly one {state} key). Restore keys/ from the backup."
                )
    return records


def load_public_jwk(jwk: Mapping[str, Any]) -> PublicKey:
    """A public key from its JWK (RFC 7518 section 6): RSA of 2048 bits or more, EC P-256, Ed25519.

    :raises ValueError: when it is anything else, or holds private members.
    """
    private = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"} & set(jwk)
    if private:
        raise ValueError("holds a private or symmetric key")
    kind = (jwk.get("kty"), jwk.get("crv"))
    try:
        if kind == ("RSA", None):
            n, e = (int.from_bytes(_decode(jwk[name]), "big") for name in ("n", "e"))
            if n.bit_length() < RSA_BITS:
                raise ValueError(f"RSA key of {n.bit_length()} bits; at least {RSA_BITS} are needed")
            if e < 65537 or e.bit_length() > 64:
                raise ValueError("RSA exponent is not usual; 65537 is")
            return rsa.RSAPublicNumbers(e, n).public_key()
        if kind == ("EC", "P-256"):
            x, y = (int.from_bytes(_decode(jwk[name]), "big") for name in ("x", "y"))
            return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        if kind == ("OKP", "Ed25519"):
            return ed25519.Ed25519PublicKey.from_public_bytes(_decode(jwk["x"]))
    except (KeyError, TypeError, AttributeError, BadSignature) as error:
        raise ValueError("a member is missing or not base64url") from error
    raise ValueError("must be RSA, EC with P-256, or OKP with Ed25519")


@dataclass(frozen=True, slots=True)
class Jws:
    """A compact JWS taken apart. Nothing in it is true before :func:`is_signed` has said so."""

    header: dict[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes

    def claims(self) -> dict[str, Any]:
        """The payload as a JSON object with unique members.

        :raises BadSignature: it is none.
        """
        return _read_object(self.payload)


def read_jws(jws: str) -> Jws:
    """Take a compact JWS apart: size, three parts, canonical base64url, a header with unique members.

    :raises BadSignature: it is not in order.
    """
    if len(jws) > LONGEST_JWS:
        raise BadSignature("too long")
    parts = jws.split(".")
    if len(parts) != 3:
        raise BadSignature("not three parts")
    if len(parts[0]) > LONGEST_HEADER:
        raise BadSignature("header too long")
    header = _read_object(_decode(parts[0]))
    return Jws(header, _decode(parts[1]), f"{parts[0]}.{parts[1]}".encode("ascii"), _decode(parts[2]))


def is_signed(public: PublicKey, alg: str, data: bytes, signature: bytes) -> bool:
    """Whether ``signature`` over exactly ``data`` was made by the private half of ``public``, with ``alg`` and no other."""
    try:
        if isinstance(public, rsa.RSAPublicKey) and alg in ("RS256", "PS256"):
            public.verify(signature, data, _padding(alg), hashes.SHA256())
        elif isinstance(public, ec.EllipticCurvePublicKey) and alg == "ES256" and len(signature) == 64:
            pair = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
            public.verify(pair, data, ec.ECDSA(hashes.SHA256()))
        elif isinstance(public, ed25519.Ed25519PublicKey) and alg == "EdDSA":
            public.verify(signature, data)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def refuse_optimised_python() -> None:
    """Under ``python -O`` the libraries below lose checks that they wrote as assertions (P-32).

    :raises OperatorError: then.
    """
    if not __debug__:
        raise OperatorError(
            "Python runs with -O or PYTHONOPTIMIZE, which switches security checks off. Start it without."
        )


def _load(records: Iterable[KeyRecord]) -> _Loaded:
    # Signing keys first: a relying party that ignores kid and takes the first key of a kind takes the right one.
    order = {"signing": 0, "next": 1, "retired": 2}
    public = [
        SigningKey(record) for record in sorted((r for r in records if r.is_public), key=lambda r: order[r.state])
    ]
    jwks = _dump({"keys": [key.public_jwk for key in public]})
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
        _public_jwk(private.public_key(), record.kid, record.alg) != record.jwk
    ):
        raise OperatorError(
            f"Key {record.kid}: private and public part do not belong together. Restore keys/ from the backup."
        )
    return private


def _make(alg: str, state: Literal["next", "signing"], now: float) -> KeyRecord:
    # The randomness of keys is the operating system's and no argument: a test that could choose it, so could a mistake.
    private = _MAKERS[alg]()
    public = private.public_key()
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    day = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d")
    kid = f"{alg.lower()}-{day}-{hashlib.sha256(spki).hexdigest()[:8]}"
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return KeyRecord(
        kid=kid,
        alg=alg,  # type: ignore[arg-type]  # one of ALGORITHMS; pydantic checks it
        state=state,
        created_at=int(now),
        signing_at=int(now) if state == "signing" else None,
        jwk=_public_jwk(public, kid, alg),
        private=pem.decode("ascii"),
    )


_MAKERS: dict[str, Callable[[], PrivateKey]] = {
    "RS256": lambda: rsa.generate_private_key(65537, RSA_BITS),
    "PS256": lambda: rsa.generate_private_key(65537, RSA_BITS),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}
_KINDS: dict[str, type[PublicKey]] = {
    "RS256": rsa.RSAPublicKey,
    "PS256": rsa.RSAPublicKey,
    "ES256": ec.EllipticCurvePublicKey,
    "EdDSA": ed25519.Ed25519PublicKey,
}


def _padding(alg: str) -> padding.AsymmetricPadding:
    return padding.PKCS1v15() if alg == "RS256" else padding.PSS(padding.MGF1(hashes.SHA256()), 32)


def _public_jwk(public: PublicKey, kid: str, alg: str) -> dict[str, str]:
    jwk = {"use": "sig", "alg": alg, "kid": kid}
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", **jwk, "n": _integer(numbers.n, -(-public.key_size // 8)), "e": _integer(numbers.e, 3)}
    if isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        return {"kty": "EC", **jwk, "crv": "P-256", "x": _integer(point.x, 32), "y": _integer(point.y, 32)}
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"kty": "OKP", **jwk, "crv": "Ed25519", "x": _encode(raw).decode("ascii")}


def _integer(value: int, size: int) -> str:
    return _encode(value.to_bytes(size, "big")).decode("ascii")


def _step(record: KeyRecord, now: float, longest_token: int) -> KeyRecord:
    if record.state == "next":
        return record.model_copy(update={"state": "signing", "signing_at": int(now)})
    if record.state == "signing":
        until = int(now) + longest_token + CLOCK_SKEW
        return record.model_copy(
            update={"state": "retired", "retired_at": int(now), "public_until": until, "private": None}
        )
    return record


def _prune(records: list[KeyRecord], now: float) -> tuple[list[KeyRecord], tuple[str, ...]]:
    over = {r.kid for r in records if r.state == "retired" and r.public_until is not None and r.public_until <= now}
    gone = {"state": "gone", "gone_at": int(now)}
    return [r.model_copy(update=gone) if r.kid in over else r for r in records], tuple(sorted(over))


def _one(records: Iterable[KeyRecord], alg: str, state: str) -> KeyRecord | None:
    return next((record for record in records if record.alg == alg and record.state == state), None)


def _prepare(folder: Path) -> None:
    with usable(folder, "IDP_KEYS"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (folder / "ring.json").exists():
            folder.chmod(0o700)  # a checkout made it, readable by all, before there was anything to hide


def _read_secrets(folder: Path) -> _Secrets:
    path = folder / "secrets.json"
    try:
        return _Secrets.model_validate_json(read_private(path))
    except OSError as error:
        raise OperatorError(
            f"{path}: missing ({error.strerror}). Restore it from the backup: subject identifiers of pairwise clients rest "
            "on it. If there is no backup, see “secrets.json is lost” in docs/operators/rotate-keys.md"
        ) from error
    except ValidationError as error:
        raise OperatorError(f"{path}: damaged ({_where(error)}). Restore keys/ from the backup.") from None


def _write(folder: Path, records: list[KeyRecord]) -> None:
    replace(folder / "ring.json", _Ring(version=1, keys=records).model_dump_json(indent=1, exclude_none=True).encode())


def _no_keys(folder: Path) -> str:
    return (
        f"{folder.absolute()}: no {'keys' if has_no_keys(folder) else 'ring.json'} there. Is it the right folder (IDP_KEYS)? "
        f"Keys are made by the first start of `idp serve`. If they are lost, {RESTORE}"
    )


def _where(error: ValidationError) -> str:
    # Never the input: it may be a private key.
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    return ": ".join(filter(None, (".".join(str(part) for part in first["loc"]), first["type"])))


def _dump(value: Mapping[str, Any]) -> bytes:
    return _ENCODER.encode(value).encode("ascii")


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(text: str) -> bytes:
    if not _BASE64URL.match(text):
        raise BadSignature("not base64url")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise BadSignature("not base64url") from None
    if _encode(data) != text.encode("ascii"):
        raise BadSignature("base64url is not canonical")
    return data


def _read_object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        if b"\\u" in data:  # an escape can spell half a character, which no hash and no store takes
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise BadSignature("not a JSON object with unique members") from None
    if not isinstance(value, dict):
        raise BadSignature("not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member repeats")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
