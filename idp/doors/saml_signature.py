"""XML Signatures of identity providers, verified in process with the certificates that are pinned for a connection.

The only place that makes VerifiedBytes: the canonical bytes over which a signature was verified, and parts of them. Whatever is believed of a
message is read from them, so no trick with elements around, beside or within what was signed (signature wrapping) can
matter. KeyInfo of a message is never believed: it only helps to explain why no pinned certificate fits.

A pinned certificate is a container of a key. That its dates are over is warned of long before (``saml_refresh.py``) and does
not stop anybody here: the SAML V2.0 Metadata Interoperability Profile (section 2.6.1) asks for exactly that, companies keep
the key of a self-signed certificate past its date, and a whole company locked out at midnight by a date that adds no security
is not what its people would expect. A key that is not trusted any more is removed from the connection.

Accepted (XML Signature 1.1 and base-line algorithms): RSA (PKCS #1 v1.5, from 2048 bits) and ECDSA (from P-256) with SHA-256,
-384, -512; digests SHA-256, -384, -512; one Reference to exactly the parent's ID with the transforms enveloped-signature and
exclusive C14N, in this order.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import InitVar, dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from idp.doors.saml_decryption import decrypt
from idp.doors.saml_document import (
    DS,
    SAML,
    SamlRefused,
    canonical,
    children,
    decode,
    fingerprint,
    inflate,
    local,
    octets_of,
    only,
    parse,
    parse_again,
)

if TYPE_CHECKING:
    from lxml.etree import _Element

    from idp.connections import SpKey

SIGNATURE = f"{{{DS}}}Signature"
_ISSUER = f"{{{SAML}}}Issuer"

EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
_ENVELOPED = DS + "enveloped-signature"
_INCLUSIVE_NAMESPACES = f"{{{EXCLUSIVE}}}InclusiveNamespaces"
_MOST_PREFIXES = 20

_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
_ENC = "http://www.w3.org/2001/04/xmlenc#"
_METHODS: dict[str, tuple[type, hashes.HashAlgorithm]] = {
    _MORE + "rsa-sha256": (rsa.RSAPublicKey, hashes.SHA256()),
    _MORE + "rsa-sha384": (rsa.RSAPublicKey, hashes.SHA384()),
    _MORE + "rsa-sha512": (rsa.RSAPublicKey, hashes.SHA512()),
    _MORE + "ecdsa-sha256": (ec.EllipticCurvePublicKey, hashes.SHA256()),
    _MORE + "ecdsa-sha384": (ec.EllipticCurvePublicKey, hashes.SHA384()),
    _MORE + "ecdsa-sha512": (ec.EllipticCurvePublicKey, hashes.SHA512()),
}
_DIGESTS = {_ENC + "sha256": hashlib.sha256, _MORE + "sha384": hashlib.sha384, _ENC + "sha512": hashlib.sha512}

# SAML core section 1.3.4: an xs:ID.
_ID = re.compile(r"[A-Za-z_][\w.-]{0,255}", re.ASCII)

_SEAL = object()


@dataclass(frozen=True)
class VerifiedBytes:
    """What a pinned key has signed. Nobody but this file can make one.

    :ivar octets: an element: the exclusive C14N that was signed, without its own Signature; or what it held encrypted.
    :ivar certificate: the pinned one whose key verified it.
    """

    octets: bytes
    certificate: x509.Certificate
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("verified bytes come from verify() only")

    def __repr__(self) -> str:
        return f"VerifiedBytes({len(self.octets)} bytes)"  # never what a person's assertion says

    def root(self) -> _Element:
        """These bytes, read anew."""
        return parse_again(self.octets)

    def child(self, tag: str) -> VerifiedBytes:
        """The one child of this kind: it is as verified as its parent.

        A Signature that it has of its own is not looked at and goes; see ``verify`` for that.

        :raises SamlRefused: there is not exactly one.
        """
        found = only(self.root(), tag)
        if found is None:
            raise SamlRefused("saml_structure_wrong", f"one {local(tag)}", "none")
        return VerifiedBytes(canonical(found), self.certificate, _SEAL)

    def opened(self, tag: str, keys: Sequence[SpKey]) -> VerifiedBytes:
        """What is encrypted for us in the one child of this kind, as it was encrypted.

        :raises SamlRefused: it cannot be opened; see ``saml_decryption.decrypt``.
        """
        found = only(self.root(), tag)
        if found is None:
            raise SamlRefused("saml_structure_wrong", f"one {local(tag)}", "none")
        plain = decrypt(found, keys)
        try:
            parse(plain)
        except SamlRefused:  # as if no key had fitted: no oracle
            raise SamlRefused("saml_decryption_failed", "a document encrypted for us", "none") from None
        return VerifiedBytes(plain, self.certificate, _SEAL)


def verify_enveloped(encoded: bytes | str, certificates: Sequence[x509.Certificate]) -> VerifiedBytes:
    """The root of a message in base64 that is signed within itself, such as a LogoutRequest by the POST binding.

    :raises SamlRefused: it is not plain XML, not signed, or not by one of these certificates.
    """
    return verify(parse(decode(encoded)), certificates)


def verify_query(query: str, name: str, certificates: Sequence[x509.Certificate]) -> VerifiedBytes:
    """The root of a message that came in a query and is signed beside itself (SAML bindings section 3.4.4.1).

    Verified is the query exactly as it came, never as it would be written anew (finding S-29). Nothing is inflated before.

    :param query: the raw query string.
    :param name: of the message: SAMLRequest or SAMLResponse.
    :raises SamlRefused: it is not signed, or not by one of these certificates, or not plain XML.
    """
    if not query.isascii():
        raise SamlRefused("saml_unreadable", "a query of ASCII characters", "others")
    signed_names = (name, "RelayState", "SigAlg")
    fields: dict[str, str] = {}
    for part in query.split("&"):
        field_name, _, value = part.partition("=")
        if field_name in fields and field_name in (*signed_names, "Signature"):
            raise SamlRefused("saml_structure_wrong", f"one {field_name}", "several")
        fields[field_name] = value
    if not fields.get("Signature") or not fields.get("SigAlg"):
        raise SamlRefused("saml_unsigned", "a signature in the query", "none")
    method = unquote(fields["SigAlg"])
    if method not in _METHODS:
        raise _weak("SHA-256 or stronger, with RSA or ECDSA", method)
    signed = "&".join(f"{one}={fields[one]}" for one in signed_names if one in fields)
    signature = decode(unquote(fields["Signature"]))
    certificate = _verify_value(signed.encode("ascii"), signature, method, certificates, "")
    return VerifiedBytes(canonical(parse(inflate(decode(unquote(fields.get(name, "")))))), certificate, _SEAL)


def verify(parent: _Element, certificates: Sequence[x509.Certificate]) -> VerifiedBytes:
    """The bytes over which the Signature of this very element was verified.

    :param parent: an element of a tree that ``parse`` made.
    :raises SamlRefused: it has no Signature at its place, or not exactly one, or one that does not hold.
    """
    signature = only(parent, SIGNATURE)
    if signature is None:
        raise SamlRefused("saml_unsigned", "a signature", "none")
    before = signature.getprevious()
    if before is not None and (before.tag != _ISSUER or before.getprevious() is not None):
        raise SamlRefused("saml_structure_wrong", "the signature after the Issuer", "a signature somewhere else")
    parts = children(
        signature,
        (f"{{{DS}}}SignedInfo", 1, 1),
        (f"{{{DS}}}SignatureValue", 1, 1),
        (f"{{{DS}}}KeyInfo", 0, 1),
    )
    signed_info = parts[f"{{{DS}}}SignedInfo"][0]
    method = only(signed_info, f"{{{DS}}}CanonicalizationMethod")
    if method is None:
        raise SamlRefused("saml_structure_wrong", "one CanonicalizationMethod", "none")
    octets = canonical(signed_info, _exclusive(method))
    # From here on SignedInfo is read from the very bytes over which its signature is verified.
    reading = _read_signed_info(parse_again(octets))
    certificate = _verify_value(
        octets, octets_of(parts[f"{{{DS}}}SignatureValue"][0]), reading.method, certificates, _shown_key(parts)
    )
    identifier = parent.get("ID", "")
    if not _ID.fullmatch(identifier) or reading.uri != f"#{identifier}":
        raise SamlRefused("saml_structure_wrong", "a signature of the element that it stands in", "of another element")
    content = _canonical_without(parent, signature, reading.prefixes)
    if not hmac.compare_digest(_DIGESTS[reading.digest](content).digest(), reading.value):
        raise SamlRefused("saml_signature_wrong", "what was signed", "something that was changed after it was signed")
    return VerifiedBytes(content, certificate, _SEAL)


@dataclass(frozen=True, slots=True)
class _SignedInfo:
    method: str
    uri: str
    prefixes: tuple[str, ...]
    digest: str
    value: bytes


def _read_signed_info(signed_info: _Element) -> _SignedInfo:
    """SignedInfo (XML Signature section 4.4) with nothing in it but what we know how to verify."""
    parts = children(
        signed_info,
        (f"{{{DS}}}CanonicalizationMethod", 1, 1),
        (f"{{{DS}}}SignatureMethod", 1, 1),
        (f"{{{DS}}}Reference", 1, 1),
    )
    _exclusive(parts[f"{{{DS}}}CanonicalizationMethod"][0])
    method = _algorithm(parts[f"{{{DS}}}SignatureMethod"][0], _METHODS)
    reference = parts[f"{{{DS}}}Reference"][0]
    referred = children(
        reference, (f"{{{DS}}}Transforms", 1, 1), (f"{{{DS}}}DigestMethod", 1, 1), (f"{{{DS}}}DigestValue", 1, 1)
    )
    transforms = children(referred[f"{{{DS}}}Transforms"][0], (f"{{{DS}}}Transform", 2, 2))[f"{{{DS}}}Transform"]
    children(transforms[0])
    if transforms[0].get("Algorithm") != _ENVELOPED:
        raise _weak("enveloped-signature", transforms[0].get("Algorithm", "nothing"))
    return _SignedInfo(
        method=method,
        uri=reference.get("URI", ""),
        prefixes=_exclusive(transforms[1]),
        digest=_algorithm(referred[f"{{{DS}}}DigestMethod"][0], _DIGESTS),
        value=octets_of(referred[f"{{{DS}}}DigestValue"][0]),
    )


def _exclusive(method: _Element) -> tuple[str, ...]:
    """The PrefixList of an element that must name exclusive C14N (its section 3)."""
    if method.get("Algorithm") != EXCLUSIVE:
        raise _weak("exclusive canonicalisation", method.get("Algorithm", "nothing"))
    found = children(method, (_INCLUSIVE_NAMESPACES, 0, 1))[_INCLUSIVE_NAMESPACES]
    if not found:
        return ()
    children(found[0])
    prefixes = tuple(found[0].get("PrefixList", "").split())
    if len(prefixes) > _MOST_PREFIXES:
        raise SamlRefused("saml_too_large", f"at most {_MOST_PREFIXES} prefixes", str(len(prefixes)))
    return prefixes


def _algorithm(method: _Element, known: Iterable[str]) -> str:
    children(method)  # no HMACOutputLength, nothing else that would change what the name says
    name = method.get("Algorithm", "nothing")
    if name not in known:
        raise _weak("SHA-256 or stronger, with RSA or ECDSA", name)
    return name


def _verify_value(
    octets: bytes, value: bytes, method: str, certificates: Sequence[x509.Certificate], key_info: str
) -> x509.Certificate:
    """The pinned certificate whose key made a signature.

    :param key_info: the fingerprint of the certificate that the message names, to explain with; empty when it names none.
    """
    kind, digest = _METHODS[method]
    for certificate in certificates:
        key = certificate.public_key()
        if not isinstance(key, kind) or not _is_strong(key):
            continue
        try:
            if isinstance(key, rsa.RSAPublicKey):
                key.verify(value, octets, PKCS1v15(), digest)
            elif isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(_dss(value, key), octets, ec.ECDSA(digest))
        except InvalidSignature:
            continue
        return certificate
    pinned = {fingerprint(certificate.public_bytes(Encoding.DER)): certificate for certificate in certificates}
    if not any(_is_strong(certificate.public_key()) for certificate in certificates):
        raise SamlRefused("saml_algorithm_weak", "RSA from 2048 bits or EC from P-256", "a smaller or another key")
    if key_info in pinned:
        raise SamlRefused("saml_signature_wrong", "a signature by the certificate that is named", "another")
    received = f"{key_info} (SHA-256)" if key_info else f"a key that is not named, {method.rpartition('#')[2]}"
    raise SamlRefused("saml_certificate_other", " or ".join(pinned), received)


def _is_strong(key: object) -> bool:
    """Whether a public key is of a kind and size that counts."""
    return (isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048) or (
        isinstance(key, ec.EllipticCurvePublicKey) and key.key_size >= 256
    )


def _dss(value: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
    """ECDSA's two numbers in full width (XML Signature section 6.4.3), as DER."""
    width = (key.key_size + 7) // 8
    if len(value) != 2 * width:
        raise InvalidSignature
    return encode_dss_signature(int.from_bytes(value[:width], "big"), int.from_bytes(value[width:], "big"))


def _shown_key(parts: dict[str, list[_Element]]) -> str:
    """The fingerprint of the certificate in KeyInfo, which is never believed; empty when there is none."""
    for key_info in parts[f"{{{DS}}}KeyInfo"]:
        found = key_info.find(f"{{{DS}}}X509Data/{{{DS}}}X509Certificate")
        if found is not None:
            return fingerprint(octets_of(found))
    return ""


def _canonical_without(parent: _Element, signature: _Element, prefixes: tuple[str, ...]) -> bytes:
    """The canonical form after the enveloped-signature transform (section 6.6.4): the Signature goes, the text after it stays."""
    place, tail = parent.index(signature), signature.tail
    before = signature.getprevious()
    kept = parent.text if before is None else before.tail
    joined = (kept or "") + (tail or "")
    if before is None:
        parent.text = joined
    else:
        before.tail = joined
    parent.remove(signature)
    try:
        return canonical(parent, prefixes)
    finally:  # other signatures in the tree may cover this one
        if before is None:
            parent.text = kept
        else:
            before.tail = kept
        signature.tail = tail
        parent.insert(place, signature)


def _weak(expected: str, received: str) -> SamlRefused:
    return SamlRefused("saml_algorithm_weak", expected, received)
