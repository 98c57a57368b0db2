"""A device that makes passkeys and shows them, and the browser before it, as Web Authentication Level 3 describes both.

Everything that a hostile one would do otherwise is a keyword argument.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

UP, UV, BE, BS, AT = 1, 4, 8, 16, 64  # flags (section 6.1)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Key:
    """One passkey in the device."""

    id: bytes
    private: ec.EllipticCurvePrivateKey
    user_handle: bytes
    count: int = 0


@dataclass
class Authenticator:
    """``synced``: its maker copies passkeys to other devices; then it does not count either. ``origin``: of the site it is used at."""

    synced: bool = False
    origin: str = "https://login.example"
    keys: list[Key] = field(default_factory=list)

    def make(
        self, options: str, *, key: Key | None = None, fmt: str = "none", statement: Any = None, **odd: Any
    ) -> str:
        """RegistrationResponseJSON (section 5.1.8.1) for PublicKeyCredentialCreationOptionsJSON."""
        asked = json.loads(options)
        made = key or Key(secrets.token_bytes(16), ec.generate_private_key(ec.SECP256R1()), unb64(asked["user"]["id"]))
        if key is None:
            self.keys.append(made)
        point = made.private.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")} | odd.get(
            "cose", {}
        )
        attested = bytes(16) + len(made.id).to_bytes(2, "big") + made.id + cbor2.dumps(cose)
        data = self._data(made, AT, odd) + attested
        client_data = self._client_data("webauthn.create", asked["challenge"], odd)
        if statement == "self":
            signed = made.private.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256()))
            statement = {"alg": -7, "sig": signed}
        attestation = cbor2.dumps({"fmt": fmt, "attStmt": statement or {}, "authData": data})
        response = {
            "clientDataJSON": b64(client_data),
            "attestationObject": b64(attestation),
            "transports": ["internal"],
        }
        return json.dumps({"id": b64(made.id), "rawId": b64(made.id), "type": "public-key", "response": response})

    def show(self, options: str, key: Key | None = None, **odd: Any) -> str:
        """AuthenticationResponseJSON (section 5.1.8.2) for PublicKeyCredentialRequestOptionsJSON."""
        asked = json.loads(options)
        key = key or self.keys[-1]
        if not self.synced:
            key.count = odd.get("count", key.count + 1)
        data = self._data(key, 0, odd)
        client_data = self._client_data("webauthn.get", asked["challenge"], odd)
        signer = odd.get("private", key.private)
        signature = signer.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256()))
        response: dict[str, Any] = {
            "clientDataJSON": b64(client_data),
            "authenticatorData": b64(data),
            "signature": b64(signature),
            "userHandle": b64(odd.get("user_handle", key.user_handle)) or None,
        }
        return json.dumps({"id": b64(key.id), "rawId": b64(key.id), "type": "public-key", "response": response})

    def _data(self, key: Key, more: int, odd: dict[str, Any]) -> bytes:
        flags = odd.get("flags", UP | UV | (BE | BS if self.synced else 0)) | more
        rp_id_hash = hashlib.sha256(odd.get("rp_id", urlsplit(self.origin).hostname).encode()).digest()
        return rp_id_hash + bytes([flags]) + key.count.to_bytes(4, "big")

    def _client_data(self, kind: str, challenge: str, odd: dict[str, Any]) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(said | odd.get("client_data", {})).encode()
