"""Messages as they came: small, plain XML, or they are not looked at.

One parser, and nothing in front of it that two readers could read in two ways: UTF-8 only, no document type, no entity, no
comment, no CDATA, no processing instruction (attacks SA-06, SA-26; findings S-14, S-15). Names and order of elements are
checked by whoever reads them, with ``children``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from typing import TYPE_CHECKING

from lxml import etree

from idp.errors import IdpError
from idp.masking import mask_text

if TYPE_CHECKING:
    from lxml.etree import _Element

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
DS = "http://www.w3.org/2000/09/xmldsig#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
_XML = "{http://www.w3.org/XML/1998/namespace}"
_XML_ALLOWED = {_XML + "lang", _XML + "space"}

LARGEST = 256 * 1024  # characters of base64, and bytes of what is in it
MOST_ELEMENTS = 5_000
DEEPEST = 40
MOST_ATTRIBUTES = 64  # of one element
MOST_SIGNS = 1_000  # "=" in one tag and the text behind it: the parser's work grows with the square of the attributes
MOST_NAMESPACES = 64  # in scope of one element, in a document that declares many

# XML 1.0 section 2.8: the declaration is no processing instruction, and it may say nothing but what we read anyway.
_DECLARATION = re.compile(
    r"""<\?xml[ \t\r\n]+version[ \t]*=[ \t]*(["'])1\.0\1"""
    r"""([ \t\r\n]+encoding[ \t]*=[ \t]*(["'])[Uu][Tt][Ff]-8\3)?"""
    r"""([ \t\r\n]+standalone[ \t]*=[ \t]*(["'])(yes|no)\5)?[ \t\r\n]*\?>"""
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_TOO_DEEP = etree.XPath(f"boolean({'/*' * (DEEPEST + 1)})")
# Behind a space, as every attribute is: so that nothing that is not one is ever looked at twice.
_NAMESPACE = re.compile(r"""(?<=\s)xmlns(?::[^\s=]*+)?+\s*+=\s*+(?:"([^"]*)"|'([^']*)')""")
_SPACE = {ord(letter): None for letter in " \t\r\n"}


class SamlRefused(IdpError):
    """A message that is not what it must be. No text of it holds the message.

    :ivar expected: printable, likewise ``received``; see ``saml_response.Check``.
    """

    status = 400

    def __init__(self, reason: str, expected: str, received: str) -> None:
        super().__init__(reason, detail=f"expected {expected}, received {shown(received)}")
        self.expected = shown(expected)
        self.received = shown(received)


def shown(text: str) -> str:
    """Anything that was sent, as it may be shown: one line, at most 200 characters, addresses masked."""
    text = text[:400]
    if "@" in text or not text.isprintable():
        text = mask_text(text)
    return text if len(text) <= 200 else text[:199] + "…"


def decode(encoded: bytes | str) -> bytes:
    """The document in the base64 of a form field (SAML bindings section 3.5.4). It is never inflated.

    :raises SamlRefused: too large, or not base64.
    """
    if len(encoded) > LARGEST:
        raise SamlRefused("saml_too_large", f"at most {LARGEST} characters", f"{len(encoded)} characters")
    try:
        text = encoded.decode("ascii") if isinstance(encoded, bytes) else encoded
        return base64.b64decode(text.translate(_SPACE), validate=True)
    except (ValueError, binascii.Error):
        raise SamlRefused("saml_unreadable", "base64", "something else") from None


def inflate(packed: bytes) -> bytes:
    """The document in the DEFLATE encoding of a query (SAML bindings section 3.4.4.1), which ends where it ends.

    :raises SamlRefused: too large, or not such an encoding.
    """
    stream = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        document = stream.decompress(packed, LARGEST + 1)
    except zlib.error:
        raise _unreadable("the DEFLATE encoding", "something else") from None
    if len(document) > LARGEST:
        raise SamlRefused("saml_too_large", f"at most {LARGEST} bytes", "more")
    if not stream.eof or stream.unused_data:
        raise _unreadable("the DEFLATE encoding", "a part of it, or more")
    return document


def parse(document: bytes) -> _Element:
    """The root of a document that has nothing in it that could be read in two ways.

    :raises SamlRefused: it has, or it is too large, or it is not XML with namespaces.
    """
    if len(document) > LARGEST:
        raise SamlRefused("saml_too_large", f"at most {LARGEST} bytes", f"{len(document)} bytes")
    try:
        text = document.decode("utf-8")
    except UnicodeDecodeError:
        raise _unreadable("XML in UTF-8", "bytes that are not UTF-8") from None
    declaration = _DECLARATION.match(text)
    if declaration:
        text = text[declaration.end() :]
    text = text.strip(" \t\r\n")
    if not text.startswith("<"):
        raise _unreadable("an element", "something before it, or nothing")
    if _CONTROL.search(text):  # NUL above all: it would make the parser guess another encoding
        raise _unreadable("characters that XML allows", "control characters")
    if "<!" in text:
        raise _unreadable("elements and text only", "a document type, comment or CDATA section")
    if "<?" in text:
        raise _unreadable("elements and text only", "a processing instruction or another XML declaration")
    if text.count("<") - text.count("</") > MOST_ELEMENTS:
        raise SamlRefused("saml_too_large", f"at most {MOST_ELEMENTS} elements", "more")
    if any(piece.count("=") > MOST_SIGNS for piece in text.split("<")):
        raise SamlRefused("saml_too_large", f"at most {MOST_ATTRIBUTES} attributes", "more")
    root = parse_again(text.encode())
    _check_elements(root)
    declared = _NAMESPACE.findall(text)
    # Exclusive C14N fails on a relative namespace, and some programs then verify nothing at all ("void canonicalisation").
    if not all(_ABSOLUTE.fullmatch(one or other) for one, other in set(declared) - {("", "")}):
        raise _unreadable("absolute namespace names", "a relative one")
    # What a signature costs grows with the namespaces in scope; few declarations cannot make many.
    if len(declared) > MOST_NAMESPACES and any(len(one.nsmap) > MOST_NAMESPACES for one in root.iter()):
        raise SamlRefused("saml_too_large", f"at most {MOST_NAMESPACES} namespaces in scope", "more")
    return root


def parse_again(octets: bytes) -> _Element:
    """The root of a document that is the canonical form of something that ``parse`` has read.

    :raises SamlRefused: it is not XML with namespaces.
    """
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False, collect_ids=False
    )
    try:
        return etree.fromstring(octets, parser)
    except etree.XMLSyntaxError as error:
        raise _unreadable("well-formed XML", f"an XML error of kind {error.code}") from None


def _check_elements(root: _Element) -> None:
    """What the parser lets through although no message needs it."""
    if _TOO_DEEP(root):
        raise SamlRefused("saml_too_large", f"at most {DEEPEST} elements within each other", "more")
    ids: set[str] = set()
    for element in root.iter():
        if not isinstance(element.tag, str):
            raise _unreadable("elements and text only", "something else")
        attributes = element.items()
        if len(attributes) > MOST_ATTRIBUTES:
            raise SamlRefused("saml_too_large", f"at most {MOST_ATTRIBUTES} attributes", "more")
        for name, value in attributes:
            if name[-2:].lower() == "id" and local(name).lower() == "id":
                if value in ids:
                    raise SamlRefused("saml_structure_wrong", "IDs that are unique", "an ID that is there twice")
                ids.add(value)
            if name.startswith(_XML) and name not in _XML_ALLOWED:
                raise _unreadable("no attribute that moves what others mean", f"xml:{local(name)}")


def canonical(element: _Element, prefixes: tuple[str, ...] = ()) -> bytes:
    """Exclusive XML Canonicalization 1.0 of an element, without comments (there are none).

    ``prefixes``: of the InclusiveNamespaces PrefixList.

    :raises SamlRefused: it has no canonical form.
    """
    try:
        octets = etree.tostring(element, method="c14n", exclusive=True, inclusive_ns_prefixes=list(prefixes))
    except etree.C14NError:
        raise _unreadable("XML with a canonical form", "XML that has none") from None
    if not octets.startswith(b"<"):
        raise _unreadable("XML with a canonical form", "XML that has none")
    return octets


def children(parent: _Element, *allowed: tuple[str, int, int]) -> dict[str, list[_Element]]:
    """The children of an element, which must be of these kinds, in this order, and as many: (tag, least, most).

    :raises SamlRefused: saml_structure_wrong. Text between the children is refused too.
    """
    here = local(parent.tag)
    if (parent.text or "").translate(_SPACE) or any((child.tail or "").translate(_SPACE) for child in parent):
        raise SamlRefused("saml_structure_wrong", f"elements only in {here}", "text")
    found: dict[str, list[_Element]] = {tag: [] for tag, _, _ in allowed}
    order = [tag for tag, _, _ in allowed]
    reached = 0
    for child in parent:
        tag = str(child.tag)
        if tag not in found or order.index(tag) < reached:
            raise SamlRefused("saml_structure_wrong", f"{here} as SAML prescribes it", f"{local(tag)} in a wrong place")
        reached = order.index(tag)
        found[tag].append(child)
    for tag, least, most in allowed:
        if not least <= len(found[tag]) <= most:
            number = str(least) if least == most else f"{least} to {most}"
            raise SamlRefused("saml_structure_wrong", f"{number} {local(tag)} in {here}", str(len(found[tag])))
    return found


def only(parent: _Element, tag: str) -> _Element | None:
    """The child of this kind; None when there is none.

    :raises SamlRefused: there are several.
    """
    found = parent.findall(tag)
    if len(found) > 1:
        raise SamlRefused("saml_structure_wrong", f"one {local(tag)} in {local(parent.tag)}", str(len(found)))
    return found[0] if found else None


def text_of(element: _Element) -> str:
    """The text of an element that has nothing but text.

    :raises SamlRefused: it has children.
    """
    if len(element):
        raise SamlRefused("saml_structure_wrong", f"text only in {local(element.tag)}", "elements")
    return element.text or ""


def octets_of(element: _Element) -> bytes:
    """The bytes that an element holds in base64.

    :raises SamlRefused: it is not base64.
    """
    try:
        return base64.b64decode(text_of(element).translate(_SPACE), validate=True)
    except (ValueError, binascii.Error):
        raise SamlRefused("saml_structure_wrong", f"base64 in {local(element.tag)}", "something else") from None


def local(tag: object) -> str:
    """The name of an element without its namespace."""
    return str(tag).rpartition("}")[2]


def fingerprint(certificate: bytes) -> str:
    """How a certificate in DER is shown to people: the beginning of its SHA-256."""
    return hashlib.sha256(certificate).hexdigest()[:16]


def _unreadable(expected: str, received: str) -> SamlRefused:
    return SamlRefused("saml_unreadable", expected, received)
