"""The key and the certificate of an identity provider, as files that programs read."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.fakes.company_idp import key_pair, pem


def write_key_pair(folder: Path, name: str) -> None:
    """Write ``key.pem`` and ``certificate.pem`` of ``name``."""
    private, certificate = key_pair("rsa", name)
    key = private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (folder / "key.pem").write_bytes(key)
    (folder / "certificate.pem").write_text(pem(certificate))
