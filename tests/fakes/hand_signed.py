"""Fills in a Signature that a test wrote by hand: any shape, any algorithm, also those that no honest program would use."""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from lxml import etree

from tests.fakes.company_idp import DS, EXCLUSIVE, Key

MORE = "http://www.w3.org/2001/04/xmldsig-more#"
RSA_SHA256 = MORE + "rsa-sha256"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
ENVELOPED = DS + "enveloped-signature"

DIGESTS = {
    SHA256: "sha256",
    MORE + "sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
    DS + "sha1": "sha1",
    MORE + "md5": "md5",
    MORE + "sha224": "sha224",
}
HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),
    "md5": hashes.MD5(),
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def skeleton(
    uri: str,
    *,
    method: str = RSA_SHA256,
    digest: str = SHA256,
    c14n: str = EXCLUSIVE,
    transforms: tuple[str, ...] = (ENVELOPED, EXCLUSIVE),
    key_info: str = "",
) -> str:
    """A Signature without its values. ``transforms``: algorithms, or whole Transform elements."""
    written = "".join(one if one.startswith("<") else f'<ds:Transform Algorithm="{one}"/>' for one in transforms)
    return (
        f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{c14n}"/>'
        f'<ds:SignatureMethod Algorithm="{method}"/><ds:Reference URI="{uri}"><ds:Transforms>{written}</ds:Transforms>'
        f'<ds:DigestMethod Algorithm="{digest}"/><ds:DigestValue/></ds:Reference></ds:SignedInfo><ds:SignatureValue/>'
        f"{key_info}</ds:Signature>"
    )


def fill_in(signature: etree._Element, key: Key | bytes) -> None:
    """Compute every DigestValue (over the Signature's parent without it) and the SignatureValue, where they are empty.

    ``key``: bytes are the secret of an HMAC.
    """
    parent = signature.getparent()
    assert parent is not None
    for reference in signature.iter(f"{{{DS}}}Reference"):
        content = _without(parent, signature, _canonical_by(list(reference.iter(f"{{{DS}}}Transform"))))
        name = DIGESTS[_algorithm(reference.find(f"{{{DS}}}DigestMethod"))]
        value = reference.find(f"{{{DS}}}DigestValue")
        if value is not None and not value.text:
            value.text = base64.b64encode(hashlib.new(name, content).digest()).decode()
    signed_info = signature.find(f"{{{DS}}}SignedInfo")
    value = signature.find(f"{{{DS}}}SignatureValue")
    if signed_info is None or value is None or value.text:
        return
    how = _canonical_by([signed_info.find(f"{{{DS}}}CanonicalizationMethod")])
    octets = etree.tostring(signed_info, method="c14n", **how)
    value.text = base64.b64encode(raw(octets, _algorithm(signed_info.find(f"{{{DS}}}SignatureMethod")), key)).decode()


def raw(octets: bytes, method: str, key: Key | bytes) -> bytes:
    """A signature value by the name of its algorithm."""
    name = method.rpartition("-")[2]
    if isinstance(key, bytes):
        return hmac.digest(key, octets, name)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(octets, padding.PKCS1v15(), HASHES[name])
    width = (key.key_size + 7) // 8
    r, s = decode_dss_signature(key.sign(octets, ec.ECDSA(HASHES[name])))
    return r.to_bytes(width, "big") + s.to_bytes(width, "big")


def _algorithm(element: etree._Element | None) -> str:
    return "" if element is None else str(element.get("Algorithm"))


def _canonical_by(methods: list[etree._Element | None]) -> dict[str, object]:
    """What lxml needs to canonicalise as the last of these elements says; exclusive when none says anything."""
    for method in reversed(methods):
        algorithm = _algorithm(method)
        if method is not None and "c14n" in algorithm:
            listed = method.find(f"{{{EXCLUSIVE}}}InclusiveNamespaces")
            prefixes = [] if listed is None else str(listed.get("PrefixList", "")).split()
            return {
                "exclusive": algorithm.startswith(EXCLUSIVE),
                "with_comments": algorithm.endswith("WithComments"),
                **({"inclusive_ns_prefixes": prefixes} if prefixes else {}),
            }
    return {"exclusive": True}


def _without(parent: etree._Element, signature: etree._Element, how: dict[str, object]) -> bytes:
    """The parent's canonical form while its Signature is away."""
    place, tail = parent.index(signature), signature.tail
    before = signature.getprevious()
    kept = parent.text if before is None else before.tail
    joined = (kept or "") + (tail or "") or None
    if before is None:
        parent.text = joined
    else:
        before.tail = joined
    parent.remove(signature)
    octets = etree.tostring(parent, method="c14n", **how)
    if before is None:
        parent.text = kept
    else:
        before.tail = kept
    signature.tail = tail
    parent.insert(place, signature)
    return octets
