"""Metadata in the shapes in which real identity providers publish it (``tests/metadata``), with keys of the tests."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from tests.fakes.company_idp import key_pair, pem

FOLDER = Path(__file__).parents[1] / "metadata"
VENDORS = sorted(path.stem for path in FOLDER.glob("*.xml"))

SIGNING = key_pair("rsa", "signs")[1]
SECOND = key_pair("rsa", "signs too")[1]
OTHER = key_pair("rsa", "of another role")[1]


def vendor_metadata(vendor: str) -> bytes:
    """The document of a vendor. OTHER stands wherever a key is that must never be read."""
    text = (FOLDER / f"{vendor}.xml").read_text(encoding="utf-8")
    for name, certificate in (("CERTIFICATE", SIGNING), ("SECOND", SECOND), ("OTHER", OTHER)):
        text = text.replace(f"@{name}@", _body(certificate, "")).replace(f"@{name}_LINES@", _body(certificate, "\n"))
    return text.encode()


def _body(certificate: x509.Certificate, between: str) -> str:
    return between.join(pem(certificate).splitlines()[1:-1])
