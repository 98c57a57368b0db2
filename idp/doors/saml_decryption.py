"""What an identity provider encrypted for us: XML Encryption 1.1 with RSA-OAEP and AES, in process.

Nothing is ever fetched: the key stands in the message, the content stands in the message, and an element that would point
somewhere else is refused (finding S-05). Only what stands in a verified, signed Response comes here, so nobody but the identity
provider itself can have anything opened; and whatever goes wrong with a key or a content ends in the same words after the same
work (attack SA-22).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding

from idp.doors.saml_document import DS, XENC, SamlRefused, children, fingerprint, octets_of

if TYPE_CHECKING:
    from lxml.etree import _Element

    from idp.connections import SpKey

_XENC11 = "http://www.w3.org/2009/xmlenc11#"
_MORE = "http://www.w3.org/2001/04/xmldsig-more#"

# Algorithm → (how, bytes of the key)
_CONTENT = {
    **{f"{_XENC11}aes{bits}-gcm": ("gcm", bits // 8) for bits in (128, 192, 256)},
    **{f"{XENC}aes{bits}-cbc": ("cbc", bits // 8) for bits in (128, 192, 256)},
}
_OAEP = (XENC + "rsa-oaep-mgf1p", _XENC11 + "rsa-oaep")
# SHA-1 inside OAEP is no weakness (RFC 8017 section 7.1 asks for no collision resistance), and most products use it.
_SHA_1 = hashes.SHA1()  # noqa: S303 not for a signature, see above
_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    DS + "sha1": _SHA_1,
    XENC + "sha256": hashes.SHA256(),
    _MORE + "sha384": hashes.SHA384(),
    XENC + "sha512": hashes.SHA512(),
}
_MASKS: dict[str, hashes.HashAlgorithm] = {
    _XENC11 + "mgf1sha1": _SHA_1,
    _XENC11 + "mgf1sha256": hashes.SHA256(),
    _XENC11 + "mgf1sha384": hashes.SHA384(),
    _XENC11 + "mgf1sha512": hashes.SHA512(),
}

_DATA, _KEY = f"{{{XENC}}}EncryptedData", f"{{{XENC}}}EncryptedKey"
_METHOD, _KEY_INFO = f"{{{XENC}}}EncryptionMethod", f"{{{DS}}}KeyInfo"
_CIPHER, _VALUE = f"{{{XENC}}}CipherData", f"{{{XENC}}}CipherValue"
_POINTER, _LIST = f"{{{DS}}}RetrievalMethod", f"{{{XENC}}}ReferenceList"


def decrypt(encrypted: _Element, keys: Sequence[SpKey]) -> bytes:
    """The document in an EncryptedAssertion (SAML core section 2.3.4) that stands in a verified Response.

    :raises SamlRefused: saml_encrypted_other_key, when the message names a certificate that is not ours;
        saml_algorithm_weak; saml_structure_wrong; saml_decryption_failed for all the rest.
    """
    outer = children(encrypted, (_DATA, 1, 1), (_KEY, 0, 1))
    data = outer[_DATA][0]
    if data.get("Type", XENC + "Element") != XENC + "Element":
        raise SamlRefused("saml_structure_wrong", "an encrypted element", data.get("Type", ""))
    parts = children(data, (_METHOD, 1, 1), (_KEY_INFO, 1, 1), (_CIPHER, 1, 1))
    wrapped = _encrypted_key(parts[_KEY_INFO][0], outer[_KEY])
    content = _value(parts[_CIPHER][0])
    how, length = _CONTENT.get(_plain_algorithm(parts[_METHOD][0]), ("", 0))
    if not how:
        raise _weak("AES with GCM or CBC", _plain_algorithm(parts[_METHOD][0]))
    key = _unwrap(wrapped, keys, length)
    # Without a key the same work is done with one that means nothing, and its outcome does not count.
    plain = _gcm(content, key or bytes(length)) if how == "gcm" else _cbc(content, key or bytes(length))
    if key is None or plain is None:
        raise SamlRefused("saml_decryption_failed", "a document encrypted for us", "none")
    return plain


def _encrypted_key(key_info: _Element, beside: list[_Element]) -> _Element:
    """The one EncryptedKey: within KeyInfo, or beside the data with a pointer of exactly that to it."""
    found = children(key_info, (_KEY, 0, 1), (_POINTER, 0, 1))
    within, pointers = found[_KEY], found[_POINTER]
    if len(within) + len(beside) != 1 or len(pointers) != len(beside):
        raise SamlRefused("saml_structure_wrong", "one EncryptedKey", str(len(within) + len(beside)))
    if pointers:
        children(pointers[0])  # no transforms
        if pointers[0].get("URI") != "#" + beside[0].get("Id", ""):
            raise SamlRefused("saml_structure_wrong", "the EncryptedKey in the message", "one that is somewhere else")
    return (within or beside)[0]


def _unwrap(wrapped: _Element, keys: Sequence[SpKey], length: int) -> bytes | None:
    """The content's key, which one of ours opens; every one of ours is tried, whichever fits."""
    parts = children(wrapped, (_METHOD, 1, 1), (_KEY_INFO, 0, 1), (_CIPHER, 1, 1), (_LIST, 0, 1))
    padding = _oaep(parts[_METHOD][0])
    value = _value(parts[_CIPHER][0])
    for key_info in parts[_KEY_INFO]:
        _check_addressee(key_info, keys)
    found = None
    for key in keys:
        try:
            opened = key.private.decrypt(value, padding)
        except ValueError:
            continue
        if len(opened) == length:
            found = opened
    return found


def _oaep(method: _Element) -> OAEP:
    """RSA-OAEP as an EncryptionMethod names it (XML Encryption 1.1 section 5.5.2)."""
    name = method.get("Algorithm", "nothing")
    if name not in _OAEP:
        raise _weak("RSA-OAEP", name)
    digest, mask = f"{{{DS}}}DigestMethod", f"{{{_XENC11}}}MGF"
    known = [(digest, 0, 1), (mask, 0, 1 if name == _XENC11 + "rsa-oaep" else 0)]
    if len(method) and method[0].tag == mask:
        known.reverse()  # the standard gives them no order
    found = children(method, *known)
    digests = [_named(one, _DIGESTS) for one in found[digest]] or [_SHA_1]  # the standard's default
    masks = [_named(one, _MASKS) for one in found[mask]] or [_SHA_1]  # the standard's default
    return OAEP(MGF1(masks[0]), digests[0], None)


def _named(method: _Element, known: dict[str, hashes.HashAlgorithm]) -> hashes.HashAlgorithm:
    name = _plain_algorithm(method)
    if name not in known:
        raise _weak("SHA-1 or SHA-2 within OAEP", name)
    return known[name]


def _check_addressee(key_info: _Element, keys: Sequence[SpKey]) -> None:
    """Tell, from what everybody can read, that this was encrypted for another certificate."""
    named = key_info.find(f"{{{DS}}}X509Data/{{{DS}}}X509Certificate")
    if named is None:
        return
    theirs = octets_of(named)
    ours = [key.certificate.public_bytes(Encoding.DER) for key in keys]
    if theirs not in ours:
        raise SamlRefused(
            "saml_encrypted_other_key",
            " or ".join(fingerprint(one) for one in ours),
            f"{fingerprint(theirs)} (SHA-256)",
        )


def _gcm(content: bytes, key: bytes) -> bytes | None:
    """Section 5.2.4: twelve bytes of vector, the content, sixteen of tag."""
    try:
        return AESGCM(key).decrypt(content[:12], content[12:], None)
    except (InvalidTag, ValueError):
        return None


def _cbc(content: bytes, key: bytes) -> bytes | None:
    """Section 5.2.3: sixteen bytes of vector, the content; its last byte says how many of it are padding."""
    if len(content) < 32 or len(content) % 16:
        return None
    decryptor = Cipher(algorithms.AES(key), modes.CBC(content[:16])).decryptor()
    plain = decryptor.update(content[16:]) + decryptor.finalize()
    return plain[: -plain[-1]] if 1 <= plain[-1] <= 16 else None


def _value(cipher_data: _Element) -> bytes:
    """CipherValue; there is no way to a CipherReference."""
    return octets_of(children(cipher_data, (_VALUE, 1, 1))[_VALUE][0])


def _plain_algorithm(method: _Element) -> str:
    children(method)
    return method.get("Algorithm", "nothing")


def _weak(expected: str, received: str) -> SamlRefused:
    return SamlRefused("saml_algorithm_weak", expected, received)
