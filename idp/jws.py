"""A JWS taken apart and believed or not (RFC 7515, RFC 8725), and the public keys that decide it, as JWKs (RFC 7517).

Signatures are checked by ``cryptography`` alone (P-01, P-04).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from idp.errors import IdpError

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

RSA_BITS = 2048
LONGEST_JWS = 16_384
LONGEST_HEADER = 1_024

# Made once: json.dumps with separators makes a new one at every call.
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+\Z")


class BadSignature(IdpError):
    """A JWT that we did not sign, or not for this purpose. ``detail`` says which check it failed, never its content."""

    status = 400

    def __init__(self, detail: str) -> None:
        super().__init__("signature_bad", detail=detail)


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
            public.verify(signature, data, rsa_padding(alg), hashes.SHA256())
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


def public_jwk(public: PublicKey, kid: str, alg: str) -> dict[str, str]:
    """The JWK of a public key that makes signatures of ``alg`` (RFC 7518 section 6)."""
    jwk = {"use": "sig", "alg": alg, "kid": kid}
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", **jwk, "n": _integer(numbers.n, -(-public.key_size // 8)), "e": _integer(numbers.e, 3)}
    if isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        return {"kty": "EC", **jwk, "crv": "P-256", "x": _integer(point.x, 32), "y": _integer(point.y, 32)}
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"kty": "OKP", **jwk, "crv": "Ed25519", "x": base64url(raw).decode("ascii")}


def rsa_padding(alg: str) -> padding.AsymmetricPadding:
    """The padding of RS256 or PS256 (RFC 7518 sections 3.3 and 3.5)."""
    return padding.PKCS1v15() if alg == "RS256" else padding.PSS(padding.MGF1(hashes.SHA256()), 32)


def dump_json(value: Mapping[str, Any]) -> bytes:
    """A JSON object without spaces, in ASCII."""
    return _ENCODER.encode(value).encode("ascii")


def base64url(data: bytes) -> bytes:
    """Base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _integer(value: int, size: int) -> str:
    return base64url(value.to_bytes(size, "big")).decode("ascii")


def _decode(text: str) -> bytes:
    if not _BASE64URL.match(text):
        raise BadSignature("not base64url")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise BadSignature("not base64url") from None
    if base64url(data) != text.encode("ascii"):
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
