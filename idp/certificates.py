"""Certificates: read from whatever people paste or upload, strong enough or refused, and our own self-signed ones.

Which certificate counts is decided by pinning: a person or a company's metadata names it. So nobody's signature on it is
looked at, and neither is its name; its key is.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key

from idp.errors import IdpError

MOST_CERTIFICATES = 10  # certificates of one identity provider
LARGEST = 256 * 1024  # bytes that are looked at
SMALLEST_CERTIFICATE = 64

RSA_BITS = range(2048, 8192 + 1)  # a longer key makes each signature cost us more
RSA_EXPONENT_BITS = 33
CURVES = {"secp256r1": 128, "secp384r1": 192, "secp521r1": 256}  # name → bits of strength
SP_CERTIFICATE_DAYS = 3650  # it is pinned by the identity provider, and changed by a rollover

# What word processors make of hyphens.
_DASHES = re.compile("[-\u00ad\u2010-\u2015\u2212\ufe58\ufe63\uff0d]{2,}")
_INVISIBLE = re.compile("[\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff\x00]")
_ESCAPED_BREAK = re.compile(r"\\{1,4}[nrt]")
_TAG = re.compile(r"<[^<>]{0,500}>")
_MARK = re.compile(r"-----\s?(BEGIN|END)\s?([A-Z0-9 #]{3,40})\s?-----", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/= ]{40,}")
_START = re.compile("MI[IH]")  # 30 82 or 30 81: a sequence of more than 127 bytes, and less than 16 kB
_PRIVATE = re.compile(r"PRIVATE\s?KEY|BEGIN\s?ENCRYPTED|PuTTY-User-Key", re.IGNORECASE)
_OTHERS = {
    "CERTIFICATE REQUEST": "a certificate signing request",
    "NEW CERTIFICATE REQUEST": "a certificate signing request",
    "PUBLIC KEY": "a public key without its certificate",
    "RSA PUBLIC KEY": "a public key without its certificate",
    "PKCS7": "a PKCS #7 file (.p7b)",
    "X509 CRL": "a list of revoked certificates",
}
_PKCS7 = bytes.fromhex("06092a864886f70d0107")  # where the object identifier of PKCS #7 stands
_VERSION_3 = bytes.fromhex("020103")  # how a PKCS #12 file goes on


class CertificateRefused(IdpError):
    """What was given is no certificate that could count. ``detail`` says what was found, and never repeats it."""

    status = 409


def read_certificates(given: str | bytes) -> tuple[x509.Certificate, ...]:
    """All certificates in a text or a file, in their order, each once.

    PEM with or without its first and last line, on one line or many, with line ends as ``\\n`` in words, as XML or HTML, in
    JSON, several after each other; or DER.

    :raises CertificateRefused: ``connection_certificate_…``: nothing found, cut short, something else, a private key, too
        weak, too many.
    """
    if len(given) > LARGEST:
        raise CertificateRefused("connection_certificate_other", detail=f"more than {LARGEST} bytes or characters")
    if isinstance(given, bytes):
        if given[:1] == b"\x30":
            return (_certificate(given),)
        if given[:4] == b"\xfe\xed\xfe\xed":
            raise CertificateRefused("connection_certificate_private_key", detail="a Java key store")
        given = _decoded(given)
    found = {fingerprint(one): one for one in map(_certificate, _contained(_plain(given)))}
    if not found:
        raise CertificateRefused("connection_certificate_missing", detail=f"{len(given.strip())} characters")
    if len(found) > MOST_CERTIFICATES:
        raise CertificateRefused(
            "connection_certificate_other", detail=f"{len(found)} certificates, at most {MOST_CERTIFICATES}"
        )
    return tuple(found.values())


def check_key(certificate: x509.Certificate) -> int:
    """The strength of a certificate's key, in bits of a symmetric one (NIST SP 800-57 part 1, table 2).

    :raises CertificateRefused: ``connection_certificate_weak``: less than RSA 2048 or P-256, or of another kind.
    """
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateRefused("connection_certificate_weak", detail="a key of an unknown kind") from None
    if isinstance(key, rsa.RSAPublicKey):
        exponent = key.public_numbers().e.bit_length()
        if key.key_size not in RSA_BITS or exponent > RSA_EXPONENT_BITS:
            raise CertificateRefused("connection_certificate_weak", detail=f"RSA with {key.key_size} bits")
        return 112 if key.key_size < 3072 else 128 if key.key_size < 7680 else 192
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in CURVES:
            raise CertificateRefused("connection_certificate_weak", detail=f"the curve {key.curve.name}")
        return CURVES[key.curve.name]
    raise CertificateRefused("connection_certificate_weak", detail="a key that is neither RSA nor EC")


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER form, as 64 hex digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def begins(certificate: x509.Certificate) -> int:
    """From when it is meant to count, in seconds since 1970."""
    return int(certificate.not_valid_before_utc.timestamp())


def ends(certificate: x509.Certificate) -> int:
    """Until when it is meant to count, in seconds since 1970."""
    return int(certificate.not_valid_after_utc.timestamp())


def to_pem(certificate: x509.Certificate) -> str:
    """The certificate in PEM."""
    return certificate.public_bytes(Encoding.PEM).decode()


def self_signed(private: rsa.RSAPrivateKey, name: str, now: float, random: Callable[[int], bytes]) -> x509.Certificate:
    """A certificate of ours for a key pair of ours. ``name``: of at most 64 characters."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = datetime.fromtimestamp(int(now), UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(int.from_bytes(b"\x01" + random(15)))
        .not_valid_before(start - timedelta(days=1))  # clocks differ
        .not_valid_after(start + timedelta(days=SP_CERTIFICATE_DAYS))
        .sign(private, hashes.SHA256())
    )


# --- inside ----------------------------------------------------------------------------------------------------------------


def _decoded(file: bytes) -> str:
    if file[:2] in (b"\xff\xfe", b"\xfe\xff"):  # an old Windows editor
        return file.decode("utf-16", errors="replace")
    return file.decode("utf-8", errors="replace")


def _plain(text: str) -> str:
    """The text on one line, without what programs and pages wrap around a certificate."""
    if "EntityDescriptor" in text:
        raise CertificateRefused("connection_certificate_other", detail="SAML metadata")
    text = html.unescape(text)
    text = _ESCAPED_BREAK.sub(" ", _INVISIBLE.sub("", text))
    if re.search("%[0-9A-Fa-f]{2}", text):
        text = unquote(text)
    text = _DASHES.sub(_dashes, _TAG.sub(" | ", text))
    text = " ".join(re.sub(r"\n[ \t]*>", "\n", text).split())  # also of a quoted mail
    if _PRIVATE.search(text):
        raise CertificateRefused("connection_certificate_private_key", detail="a private key")
    return text


def _dashes(run: re.Match[str]) -> str:
    return "-----" if len(run[0]) < 8 else "----- -----"  # of two marks that have met on one line


def _contained(text: str) -> Iterator[bytes]:
    """Each DER object in the text: of the armoured parts, if there are any, else of all that looks like base64."""
    marks = list(_MARK.finditer(text))
    if not any(mark[1].upper() == "BEGIN" for mark in marks):
        for run in _BASE64.finditer(text):
            yield from _objects(run[0])
        return
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        if mark[1].upper() != "BEGIN":
            continue
        label = " ".join(mark[2].upper().split())
        if label in _OTHERS:
            raise CertificateRefused("connection_certificate_other", detail=_OTHERS[label])
        body = text[mark.end() : following.start() if following else len(text)]
        inside = list(_objects(body))
        if not inside:
            raise CertificateRefused("connection_certificate_unreadable", detail="nothing after its first line")
        yield inside[0]


def _objects(run: str) -> Iterator[bytes]:
    """The DER sequences in a run of base64. Each says in its first bytes how long it is."""
    letters = re.sub("[^A-Za-z0-9+/]", "", run)
    start = _START.search(letters)
    while start:
        at = start.start()
        head = base64.b64decode(letters[at : at + 8].ljust(8, "A"))
        length = 4 + int.from_bytes(head[2:4]) if head[1] == 0x82 else 3 + head[2]
        if length < SMALLEST_CERTIFICATE:
            raise CertificateRefused(
                "connection_certificate_unreadable", detail="its length is not that of a certificate"
            )
        needed = -(-length // 3) * 4 - (-length % 3)  # digits, without padding
        part = letters[at : at + needed]
        if len(part) < needed:
            found = len(part) * 3 // 4
            raise CertificateRefused(
                "connection_certificate_unreadable", detail=f"cut short: {found} of {length} bytes are there"
            )
        yield base64.b64decode(part + "=" * (-len(part) % 4))
        start = _START.search(letters, at + needed)


def _certificate(der: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(der)
        begins(certificate), ends(certificate)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise _what_it_is(der) from None
    check_key(certificate)
    return certificate


def _what_it_is(der: bytes) -> CertificateRefused:
    """The refusal of something in DER that is no certificate."""
    if _holds_private_key(der):
        return CertificateRefused("connection_certificate_private_key", detail="a private key")
    if _PKCS7 in der[:24]:
        return CertificateRefused("connection_certificate_other", detail="a PKCS #7 file (.p7b)")
    try:
        x509.load_der_x509_csr(der)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        return CertificateRefused(
            "connection_certificate_unreadable", detail=f"{len(der)} bytes that are no certificate"
        )
    return CertificateRefused("connection_certificate_other", detail="a certificate signing request")


def _holds_private_key(der: bytes) -> bool:
    if der[4:7] == _VERSION_3 and _PKCS7 in der[:40]:  # PKCS #12 (.pfx)
        return True
    try:
        load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)  # it is not going to be used
    except TypeError:  # it wants a password
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True
