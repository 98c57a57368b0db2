"""Metadata of companies' identity providers: fetched, read strictly once, and kept only as a Description (finding S-18).

Exactly one EntityDescriptor with exactly one IDPSSODescriptor. Comments are allowed here, and only here; other roles (AD FS
and Shibboleth have them) are passed over, and their keys never read (attack SA-12).

The address of the metadata vouches for it, by TLS. Who wants more pins a certificate too: then only what was verified to be
signed with it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from lxml import etree

from idp.certificates import MOST_CERTIFICATES, CertificateRefused, fingerprint, read_certificates
from idp.connections import ConnectionRefused, Description, check_description
from idp.doors.saml_document import DEEPEST, DS, SAML, SAMLP, SamlRefused
from idp.doors.saml_signature import SIGNATURE, verify
from idp.fetch import Fetcher, FetchError
from idp.logs import printable

if TYPE_CHECKING:
    from lxml.etree import _Element

MD = "urn:oasis:names:tc:SAML:2.0:metadata"
LARGEST = 1024 * 1024  # bytes
MOST_ELEMENTS = 10_000
MOST_ATTRIBUTES = 1_000  # XML attributes of one start tag
MOST_NAMES = 200  # NameID formats and SAML attributes that are remembered
LONGEST_NAME = 256

# The one that is asked by first: a redirect works without script, and its answer is posted either way.
BINDINGS = {
    "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect": "redirect",
    "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST": "post",
}

_DECLARATION = re.compile(
    r"""<\?xml\s+version\s*=\s*["']1\.0["'](\s+encoding\s*=\s*["']utf-?8["'])?(\s+standalone\s*=\s*["'](yes|no)["'])?\s*\?>""",
    re.IGNORECASE | re.ASCII,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class MetadataRefused(ConnectionRefused):
    """Metadata that is not what it must be. ``reason``: ``saml_metadata_…`` or ``connection_…``."""


def fetch_metadata(outgoing: Fetcher, url: str) -> bytes:
    """The document at an address: https, a public address, no redirect, five seconds, 1 MB (attack SA-33).

    :raises MetadataRefused: ``saml_metadata_unreachable``, ``saml_metadata_too_large``.
    """
    try:
        status, document = outgoing.get(url, LARGEST + 1)
    except FetchError as error:
        raise MetadataRefused("saml_metadata_unreachable", detail=printable(error.detail)) from None
    if status != 200:
        raise MetadataRefused("saml_metadata_unreachable", detail=f"status {status}")
    if len(document) > LARGEST:
        raise MetadataRefused("saml_metadata_too_large", detail=f"more than {LARGEST} bytes")
    return document


def read_metadata(
    document: bytes, now: float, *, loopback: bool, signed_by: x509.Certificate | None = None
) -> Description:
    """The identity provider that a document describes (SAML 2.0 metadata, sections 2.3.2 and 2.4.3).

    :param now: seconds since 1970.
    :param loopback: see ``check_description``.
    :param signed_by: given: only what this certificate's key has signed is read.
    :raises MetadataRefused: what is wrong with it.
    """
    root = _parse(document)
    if signed_by is not None:
        root = _verified(root, signed_by)
    if root.tag == f"{{{MD}}}EntitiesDescriptor":
        number = sum(1 for _ in root.iter(f"{{{MD}}}EntityDescriptor"))
        raise MetadataRefused("saml_metadata_several", detail=f"an EntitiesDescriptor with {number} entities")
    if root.tag != f"{{{MD}}}EntityDescriptor":
        raise MetadataRefused("saml_metadata_not_xml", detail=printable(f"the root is {_local(root)}", 80))
    roles = root.findall(f"{{{MD}}}IDPSSODescriptor")
    if len(roles) != 1:
        found = ", ".join(sorted({_local(child) for child in root}))
        raise MetadataRefused("saml_metadata_several", detail=printable(f"{len(roles)} IDPSSODescriptors in: {found}"))
    role = roles[0]
    for dated in (root, role):
        _check_valid(dated.get("validUntil"), now)
    if SAMLP not in role.get("protocolSupportEnumeration", "").split():
        raise MetadataRefused("saml_metadata_incomplete", detail="protocolSupportEnumeration lacks SAML 2.0")
    sign_on = _endpoint(role, "SingleSignOnService")
    if sign_on is None:
        raise MetadataRefused("saml_metadata_incomplete", detail="no SingleSignOnService by redirect or POST")
    sign_out = _endpoint(role, "SingleLogoutService")
    description = Description(
        entity_id=root.get("entityID", ""),
        sso_url=sign_on[0],
        sso_binding=sign_on[1],
        slo_url=sign_out[0] if sign_out else None,
        slo_binding=sign_out[1] if sign_out else None,
        slo_response_url=sign_out[2] if sign_out else None,
        certificates=_certificates(role),
        name_id_formats=_names(format.text for format in role.iterfind(f"{{{MD}}}NameIDFormat")),
        attribute_names=_names(attribute.get("Name") for attribute in role.iterfind(f"{{{SAML}}}Attribute")),
    )
    try:
        check_description(description, loopback=loopback, now=now)
    except ConnectionRefused as refused:
        raise MetadataRefused(refused.reason, detail=refused.detail) from None
    return description


# --- inside ----------------------------------------------------------------------------------------------------------------


def _parse(document: bytes) -> _Element:
    """The root, without comments. Nothing is expanded, loaded or guessed: UTF-8 or nothing."""
    if len(document) > LARGEST:
        raise MetadataRefused("saml_metadata_too_large", detail=f"{len(document)} bytes")
    try:
        text = document.decode("utf-8-sig").strip(" \t\r\n")
    except UnicodeDecodeError:
        raise MetadataRefused("saml_metadata_not_xml", detail="bytes that are not UTF-8") from None
    declaration = _DECLARATION.match(text)
    if declaration:
        text = text[declaration.end() :]
    if _CONTROL.search(text):
        raise MetadataRefused("saml_metadata_not_xml", detail="control characters")
    if not text.lstrip().startswith("<"):
        raise MetadataRefused("saml_metadata_not_xml", detail="it does not begin with <")
    if "<?" in text:
        raise MetadataRefused("saml_metadata_forbidden", detail="a processing instruction, or another encoding")
    text = "".join(_without_comments(text))
    if text.count("<") - text.count("</") > MOST_ELEMENTS:
        raise MetadataRefused("saml_metadata_too_large", detail=f"more than {MOST_ELEMENTS} elements")
    if any(tag.count("=") > MOST_ATTRIBUTES for tag in text.split("<")):
        raise MetadataRefused("saml_metadata_too_large", detail=f"more than {MOST_ATTRIBUTES} attributes")
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False, collect_ids=False
    )
    try:
        root = etree.fromstring(text.strip(" \t\r\n").encode(), parser)
    except etree.XMLSyntaxError as error:
        raise MetadataRefused("saml_metadata_not_xml", detail=f"an XML error of kind {error.code}") from None
    depth = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > DEEPEST:
            raise MetadataRefused("saml_metadata_too_large", detail=f"more than {DEEPEST} levels")
    return root


def _without_comments(text: str) -> Iterator[str]:
    """The text between comments (XML 1.0 section 2.5). Whatever else begins with ``<!`` is refused."""
    at = 0
    while (found := text.find("<!", at)) >= 0:
        if not text.startswith("<!--", found):
            raise MetadataRefused("saml_metadata_forbidden", detail="a document type, entity or CDATA section")
        yield text[at:found]
        end = text.find("-->", found + 4)
        if end < 0:
            raise MetadataRefused("saml_metadata_not_xml", detail="a comment without an end")
        at = end + 3
    yield text[at:]


def _verified(root: _Element, signed_by: x509.Certificate) -> _Element:
    """The root as read from the very bytes that were verified: no other element's signature can stand in for it."""
    if root.find(SIGNATURE) is None:
        raise MetadataRefused("saml_metadata_unsigned")
    try:
        return _parse(verify(root, [signed_by]).octets)
    except SamlRefused as refused:
        raise MetadataRefused("saml_metadata_signature_wrong", detail=refused.detail) from None


def _check_valid(until: str | None, now: float) -> None:
    if until is None:
        return
    try:
        moment = datetime.fromisoformat(until.strip())
        ended = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() <= now
    except (ValueError, OverflowError):
        raise MetadataRefused("saml_metadata_expired", detail="validUntil cannot be read") from None
    if ended:
        raise MetadataRefused("saml_metadata_expired", detail=f"validUntil {moment:%Y-%m-%d %H:%M}")


def _endpoint(role: _Element, name: str) -> tuple[str, str, str | None] | None:
    """Address, binding and address for responses of a service (SAML 2.0 metadata, section 2.2.2)."""
    found = list(role.iterfind(f"{{{MD}}}{name}"))
    for uri, binding in BINDINGS.items():
        for endpoint in found:
            if endpoint.get("Binding") == uri:
                return endpoint.get("Location", ""), binding, endpoint.get("ResponseLocation")
    return None


def _certificates(role: _Element) -> tuple[x509.Certificate, ...]:
    """The certificates for signing. Of a chain, which begins with it, only the first."""
    found: dict[str, x509.Certificate] = {}
    for descriptor in role.iterfind(f"{{{MD}}}KeyDescriptor"):
        if descriptor.get("use") not in (None, "signing"):
            continue
        for data in descriptor.iterfind(f"{{{DS}}}KeyInfo/{{{DS}}}X509Data"):
            element = data.find(f"{{{DS}}}X509Certificate")
            if element is None:
                continue
            try:
                certificate = read_certificates(element.text or "")[0]
            except CertificateRefused as refused:
                raise MetadataRefused(refused.reason, detail=refused.detail) from None
            found[fingerprint(certificate)] = certificate
            if len(found) > MOST_CERTIFICATES:
                raise MetadataRefused("connection_certificate_other", detail=f"{MOST_CERTIFICATES} is the most")
    return tuple(found.values())


def _names(found: Iterator[str | None]) -> tuple[str, ...]:
    names = dict.fromkeys((name or "").strip() for name in found)
    return tuple(name for name in names if 0 < len(name) <= LONGEST_NAME and name.isprintable())[:MOST_NAMES]


def _local(element: _Element) -> str:
    return str(element.tag).rpartition("}")[2]
