"""Promises of certificates.py: whatever people paste is read or clearly refused, and a private key is never repeated."""

from __future__ import annotations

import base64
import html
import json
import secrets
import time
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from idp.certificates import (
    LARGEST,
    MOST_CERTIFICATES,
    CertificateRefused,
    begins,
    check_key,
    ends,
    fingerprint,
    read_certificates,
    self_signed,
    to_pem,
)
from idp.reasons import REASONS
from tests.fakes.company_idp import certificate_for, key_pair, pem

KEY, ONE = key_pair("rsa")
TWO = key_pair("ec")[1]
PEM = pem(ONE)
BODY = "".join(PEM.splitlines()[1:-1])
DER = ONE.public_bytes(Encoding.DER)


def refused(given: str | bytes) -> tuple[str, str]:
    with pytest.raises(CertificateRefused) as error:
        read_certificates(given)
    assert error.value.reason in REASONS
    return error.value.reason, error.value.detail


SHAPES = {
    "as it should be": PEM,
    "without armour": "\n".join(PEM.splitlines()[1:-1]),
    "bare, on one line": BODY,
    "on one line with armour": "".join(PEM.splitlines()),
    "on one line, with spaces for line ends": " ".join(PEM.splitlines()),
    "from Windows": PEM.replace("\n", "\r\n"),
    "from an old Mac": PEM.replace("\n", "\r"),
    "line ends in words": PEM.replace("\n", "\\n"),
    "line ends in words, twice escaped": PEM.replace("\n", "\\\\r\\\\n"),
    "with blank lines": PEM.replace("\n", "\n\n"),
    "indented": "    " + PEM.replace("\n", "\n\t  "),
    "spaces at line ends": PEM.replace("\n", "  \n"),
    "quoted in a mail": "> " + PEM.replace("\n", "\n> "),
    "as JSON": json.dumps({"x5c": [BODY]}),
    "as a JSON text": json.dumps(PEM),
    "as XML": f"<ds:X509Certificate>\n{BODY}\n</ds:X509Certificate>",
    "as XML with line ends in entities": f"<X509Certificate>{BODY[:64]}&#13;\n{BODY[64:]}&#xD;</X509Certificate>",
    "as HTML": PEM.replace("\n", "<br/>\n"),
    "as escaped HTML": html.escape(f"<pre>{PEM}</pre>"),
    "with dashes of a word processor": PEM.replace("-----", "—–—"),
    "with four dashes": PEM.replace("-----", "----"),
    "without dashes": PEM.replace("-----", ""),
    "in small letters": PEM.replace("BEGIN CERTIFICATE", "begin certificate").replace("END CERT", "end cert"),
    "without its last line": PEM.rpartition("-----END")[0],
    "without its first line": PEM.partition("CERTIFICATE-----")[2],
    "the older name": PEM.replace("BEGIN CERTIFICATE", "BEGIN X509 CERTIFICATE"),
    "with a label": f"Certificate: {BODY}",
    "with what openssl says before": f"Certificate:\n    Data:\n        Version: 3 (0x2)\nsubject=CN = Acme\n{PEM}",
    "bag attributes": f"Bag Attributes\n    localKeyID: 01 00 00 00\nissuer=/CN=Acme\n{PEM}",
    "with a byte order mark": "\ufeff" + PEM,
    "with zero-width and hard spaces": PEM.replace("\n", "\u200b\u00a0\n"),
    "encoded for an address": PEM.replace("\n", "%0A").replace("+", "%2B").replace("/", "%2F"),
    "without padding": BODY.rstrip("="),
    "as an environment variable": f'IDP_CERT="{PEM}"',
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_certificate_is_read_in_any_shape(shape: str) -> None:
    assert read_certificates(SHAPES[shape]) == (ONE,)


@pytest.mark.parametrize(
    "file",
    [DER, PEM.encode(), PEM.encode("utf-16"), PEM.encode("utf-8-sig"), BODY.encode()],
    ids=["DER", "PEM", "UTF-16", "UTF-8 with a mark", "base64"],
)
def test_a_file_is_read(file: bytes) -> None:
    assert read_certificates(file) == (ONE,)


@pytest.mark.parametrize(
    "text",
    [
        PEM + pem(TWO),
        PEM + "Some words between\n" + pem(TWO),
        (PEM + pem(TWO)).replace("\n", ""),
        BODY.rstrip("=") + "\n\n" + "".join(pem(TWO).splitlines()[1:-1]),
        f"<a>{BODY}</a><b>{''.join(pem(TWO).splitlines()[1:-1])}</b>",
        PEM + pem(TWO) + PEM,
    ],
)
def test_several_are_read_in_their_order_each_once(text: str) -> None:
    assert read_certificates(text) == (ONE, TWO)


@cache
def private_pem(format: PrivateFormat = PrivateFormat.PKCS8, password: bytes = b"") -> str:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return KEY.private_bytes(Encoding.PEM, format, encryption).decode()


@pytest.mark.parametrize(
    "given",
    [
        private_pem(),
        private_pem(PrivateFormat.TraditionalOpenSSL),
        private_pem(password=b"secret words"),
        private_pem().replace("\n", "\\n"),
        "".join(private_pem().splitlines()[1:-1]),
        "".join(private_pem(PrivateFormat.TraditionalOpenSSL).splitlines()[1:-1]),
        "".join(private_pem(password=b"secret words").splitlines()[1:-1]),
        PEM + private_pem(),
        private_pem() + PEM,
        private_pem().replace("PRIVATE KEY", "PRIVATE\nKEY"),
        private_pem().encode(),
        KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        pkcs12.serialize_key_and_certificates(b"a", KEY, ONE, None, BestAvailableEncryption(b"x")),
        b"\xfe\xed\xfe\xed\x00\x00\x00\x02",
    ],
)
def test_a_private_key_is_refused_and_not_repeated(given: str | bytes) -> None:
    with pytest.raises(CertificateRefused) as error:
        read_certificates(given)

    assert error.value.reason == "connection_certificate_private_key"
    said = f"{error.value!r} {error.value} {error.value.detail} {error.value.__cause__}"
    secret = "".join(private_pem().splitlines()[3:6])
    assert not any(secret[at : at + 12] in said for at in range(len(secret) - 12))


def csr() -> x509.CertificateSigningRequest:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Acme")])
    return x509.CertificateSigningRequestBuilder().subject_name(name).sign(KEY, hashes.SHA256())


def public_pem() -> str:
    return KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    ("given", "reason", "says"),
    [
        ("", "missing", "0 characters"),
        ("hello, here is our certificate", "missing", "characters"),
        ("https://idp.acme.example/metadata", "missing", ""),
        (csr().public_bytes(Encoding.PEM).decode(), "other", "signing request"),
        ("".join(csr().public_bytes(Encoding.PEM).decode().splitlines()[1:-1]), "other", "signing request"),
        (public_pem(), "other", "public key"),
        (pkcs7.serialize_certificates([ONE], Encoding.PEM).decode(), "other", "PKCS #7"),
        (pkcs7.serialize_certificates([ONE], Encoding.DER), "other", "PKCS #7"),
        ("<md:EntityDescriptor>" + PEM, "other", "metadata"),
        ("x" * (LARGEST + 1), "other", str(LARGEST)),
        (BODY[:200], "unreadable", f"of {len(DER)} bytes"),
        (PEM.replace(BODY[64:128], ""), "unreadable", "cut short"),
        ("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", "unreadable", "nothing"),
        (base64.b64encode(DER[:40] + bytes(40) + DER[80:]).decode(), "unreadable", "no certificate"),
        (DER[:-5], "unreadable", "no certificate"),
        ("MIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIII", "unreadable", "cut short"),
        ("MIIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "unreadable", "length"),
    ],
)
def test_something_else_is_refused_with_what_was_found(given: str | bytes, reason: str, says: str) -> None:
    assert refused(given)[0] == f"connection_certificate_{reason}"
    assert says in refused(given)[1]


def test_there_is_a_bound_to_their_number() -> None:
    many = "".join(pem(certificate_for(key_pair("ec")[0], f"{number}")) for number in range(MOST_CERTIFICATES + 1))

    assert refused(many) == ("connection_certificate_other", f"{MOST_CERTIFICATES + 1} certificates, at most 10")
    assert len(read_certificates(many.rpartition("-----BEGIN")[0])) == MOST_CERTIFICATES


# --- keys ------------------------------------------------------------------------------------------------------------------------


def certificate_with(public: object, signer: object) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Acme")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(7)
    builder = builder.not_valid_before(ONE.not_valid_before_utc).not_valid_after(ONE.not_valid_after_utc)
    return builder.public_key(public).sign(signer, hashes.SHA256())  # type: ignore[arg-type]  # any kind


@pytest.mark.parametrize(
    ("public", "says"),
    [
        (lambda: rsa.generate_private_key(65537, 1024).public_key(), "RSA with 1024 bits"),
        (lambda: rsa.generate_private_key(65537, 2047).public_key(), "RSA with 2047 bits"),
        (lambda: rsa.RSAPublicNumbers(65537, (1 << 9000) + 1).public_key(), "RSA with 9001 bits"),
        (lambda: ec.generate_private_key(ec.SECP224R1()).public_key(), "secp224r1"),
        (lambda: ec.generate_private_key(ec.SECP256K1()).public_key(), "secp256k1"),
        (lambda: ed25519.Ed25519PrivateKey.generate().public_key(), "neither RSA nor EC"),
        (lambda: dsa.generate_private_key(2048).public_key(), "neither RSA nor EC"),
    ],
)
def test_s_16_a_weak_or_unknown_key_is_refused(public: object, says: str) -> None:
    weak = certificate_with(public(), KEY)  # type: ignore[operator]  # a function

    assert refused(pem(weak)) == ("connection_certificate_weak", refused(pem(weak))[1])
    assert says in refused(pem(weak))[1]
    with pytest.raises(CertificateRefused):
        check_key(weak)


def test_stronger_keys_are_known_to_be_stronger() -> None:
    kinds = ["rsa", "rsa3072", "ec", "ec384", "ec521"]

    assert [check_key(key_pair(kind)[1]) for kind in kinds] == [112, 128, 128, 192, 256]


def test_times_and_fingerprint_are_those_of_openssl() -> None:
    begun = certificate_for(KEY, days=10, begins=1_700_000_000.0)

    assert (begins(begun), ends(begun)) == (1_700_000_000, 1_700_864_000)
    assert fingerprint(ONE) == ONE.fingerprint(hashes.SHA256()).hex()
    assert read_certificates(to_pem(ONE)) == (ONE,)


def test_our_own_certificate_holds_its_key_and_begins_before_now() -> None:
    private = rsa.generate_private_key(65537, 2048)
    now = time.time()

    made = self_signed(private, "SAML abc", now, secrets.token_bytes)

    assert made.public_key() == private.public_key()
    made.verify_directly_issued_by(made)
    assert begins(made) < now < now + 3600 * 86400 / 2 < ends(made)
    assert made.serial_number.bit_length() == 121


# --- anything at all -------------------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *(PEM, BODY, PEM[:300], "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "-----BEGIN -----"),
        *("MII", "MIIB", "<", ">", "&#13;", "\\n", "%0A", "%", "-" * 50, "=", "—", "BEGIN PRIVATE"),
        *("\x00", "\ud800", " " * 60, "A" * 70),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=400), st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=12).map("".join)))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = read_certificates(text)
    except CertificateRefused as error:
        assert error.reason in REASONS
    else:
        assert found == (ONE,)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.binary(max_size=400), st.tuples(st.integers(0, len(DER) - 1), st.integers(1, 255))))
def test_any_bytes_are_read_or_refused(change: bytes | tuple[int, int]) -> None:
    if isinstance(change, tuple):
        at, by = change
        change = DER[:at] + bytes([DER[at] ^ by]) + DER[at + 1 :]
    try:
        read_certificates(change)
    except CertificateRefused as error:
        assert error.reason in REASONS


@pytest.mark.parametrize(
    "piece",
    [
        *("-", "-----BEGIN A", "-----BEGIN CERTIFICATE-----MIIB", "MII", "MIIBAA" + "A" * 340),
        *("<", "&#1;", "\\", "%41", " ", "A ", "\n>", "\n", "\n ", "\t\n"),
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (LARGEST // len(piece))
    started = time.thread_time()

    with pytest.raises(CertificateRefused):
        read_certificates(text)

    assert time.thread_time() - started < 0.5
