"""What we send to companies' identity providers: AuthnRequests, logout messages, and our metadata. The home of pysaml2.

pysaml2 gives the object model (SAML 2.0 core and metadata as classes) and nothing else: its clients and its signer, which
is one for the whole process, are never built. Every message is signed here, in process, with the connection's own key.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree.ElementTree import register_namespace

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from saml2 import md, saml, samlp, xmldsig

from idp.connections import NAME_ID_EMAIL, SamlConnection, SpKey
from idp.doors.saml_presets import PRESETS

LOGOUT_LIFETIME = 5 * 60  # seconds that a logout request of ours may be answered

POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
# What may be encrypted for us, the best first: RSA-OAEP with AES-GCM, then with AES-CBC (XML Encryption 1.1 section 5).
ENCRYPTION = (
    "http://www.w3.org/2009/xmlenc11#aes256-gcm",
    "http://www.w3.org/2009/xmlenc11#aes128-gcm",
    "http://www.w3.org/2001/04/xmlenc#aes256-cbc",
    "http://www.w3.org/2001/04/xmlenc#aes128-cbc",
    "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p",
)
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
RESPONDER = "urn:oasis:names:tc:SAML:2.0:status:Responder"

_EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
_ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
_ISSUER = f"{{{saml.NAMESPACE}}}Issuer"
_QUERY_FIELDS = ("login_hint", "username")  # what vendors call the parameter for the address, outside of SAML

# Only for the eyes of who debugs: without them the prefixes would be ns0, ns1 …
for _prefix, _namespace in (
    ("samlp", samlp.NAMESPACE),
    ("saml", saml.NAMESPACE),
    ("md", md.NAMESPACE),
    ("ds", xmldsig.NAMESPACE),
):
    register_namespace(_prefix, _namespace)


@dataclass(frozen=True, slots=True)
class Redirect:
    """A message by the HTTP-Redirect binding: where to send the browser (SAML 2.0 bindings 3.4)."""

    url: str


@dataclass(frozen=True, slots=True)
class PostForm:
    """A message by the HTTP-POST binding: the form that the browser posts (SAML 2.0 bindings 3.5)."""

    url: str
    fields: tuple[tuple[str, str], ...]


def authn_request(
    connection: SamlConnection,
    *,
    id: str,
    now: float,
    force_authn: bool = False,
    passive: bool = False,
    contexts: Sequence[str] = (),
    login_hint: str = "",
    relay_state: str | None = None,
) -> Redirect | PostForm:
    """A signed AuthnRequest (SAML 2.0 core 3.4.1) for the connection's sign-on address.

    :param id: ``_`` and at least 160 random bits in hex.
    :param now: seconds since 1970.
    :param contexts: AuthnContextClassRefs of which exactly one must be met.
    :param login_hint: the person's address; passed on the way the connection's ``hint`` says.
    :param relay_state: a handle of ours of at most 80 bytes.
    """
    subject = None
    if login_hint and connection.hint == "subject":
        subject = saml.Subject(name_id=saml.NameID(text=login_hint, format=NAME_ID_EMAIL))
    requested = None
    if contexts:
        refs = [saml.AuthnContextClassRef(text=context) for context in contexts]
        requested = samlp.RequestedAuthnContext(authn_context_class_ref=refs, comparison="exact")
    message = samlp.AuthnRequest(
        **_header(connection, id, now, connection.sso_url),
        force_authn="true" if force_authn else None,
        is_passive="true" if passive else None,
        protocol_binding=POST,
        assertion_consumer_service_url=connection.acs,
        subject=subject,
        name_id_policy=samlp.NameIDPolicy(format=connection.name_id_format, allow_create="true"),
        requested_authn_context=requested,
    )
    query = {connection.hint: login_hint} if login_hint and connection.hint in _QUERY_FIELDS else {}
    to = _with_query(connection.sso_url, urlencode(query, quote_via=quote))
    return _send(connection, connection.sso_binding, to, "SAMLRequest", message, relay_state)


def logout_request(
    connection: SamlConnection,
    *,
    id: str,
    now: float,
    name_id: str,
    name_id_format: str,
    session_index: str | None,
    relay_state: str | None = None,
) -> Redirect | PostForm:
    """A signed LogoutRequest (SAML 2.0 core 3.7.1) for the connection's sign-out address, which must be there."""
    to = connection.slo_url
    assert to is not None
    message = samlp.LogoutRequest(
        **_header(connection, id, now, to),
        not_on_or_after=_instant(now + LOGOUT_LIFETIME),
        reason="urn:oasis:names:tc:SAML:2.0:logout:user",
        name_id=saml.NameID(text=name_id, format=name_id_format),
        session_index=[samlp.SessionIndex(text=session_index)] if session_index else [],
    )
    return _send(connection, connection.slo_binding, to, "SAMLRequest", message, relay_state)


def logout_response(
    connection: SamlConnection,
    *,
    id: str,
    in_response_to: str,
    now: float,
    success: bool,
    relay_state: str | None = None,
) -> Redirect | PostForm:
    """A signed LogoutResponse (SAML 2.0 core 3.7.2) for the connection's sign-out address, which must be there.

    :param in_response_to: the id of the request.
    :param relay_state: what came with the request, as it came.
    """
    to = connection.slo_response_url or connection.slo_url
    assert to is not None
    message = samlp.LogoutResponse(
        **_header(connection, id, now, to),
        in_response_to=in_response_to,
        status=samlp.Status(status_code=samlp.StatusCode(value=SUCCESS if success else RESPONDER)),
    )
    return _send(connection, connection.slo_binding, to, "SAMLResponse", message, relay_state)


def sp_metadata(connection: SamlConnection) -> bytes:
    """Our metadata for one connection (SAML 2.0 metadata 2.4.4), as XML in UTF-8.

    The key that signs and the next one are published, so that an identity provider believes the next one before it signs.
    Encrypted for is the one that signs: what was encrypted for an older one is opened as well, while that one is kept.
    """
    signing = [_key_descriptor(key, "signing") for key in connection.keys if key.state in ("signing", "next")]
    preset = PRESETS.get(connection.vendor)
    encrypts = preset is None or preset.encrypts_well
    encryption = [_key_descriptor(key, "encryption") for key in connection.keys if encrypts and key.state == "signing"]
    sp = md.SPSSODescriptor(
        protocol_support_enumeration=samlp.NAMESPACE,
        authn_requests_signed="true",
        want_assertions_signed="true",
        key_descriptor=signing + encryption,
        single_logout_service=[
            md.SingleLogoutService(binding=binding, location=connection.slo) for binding in (REDIRECT, POST)
        ],
        name_id_format=[md.NameIDFormat(text=connection.name_id_format)],
        assertion_consumer_service=[
            md.AssertionConsumerService(binding=POST, location=connection.acs, index="0", is_default="true")
        ],
    )
    xml: bytes = md.EntityDescriptor(entity_id=connection.entity_id, spsso_descriptor=sp).to_string()
    return xml


def _key_descriptor(key: SpKey, use: str) -> md.KeyDescriptor:
    certificate = base64.b64encode(key.certificate.public_bytes(Encoding.DER)).decode()
    methods = [md.EncryptionMethod(algorithm=algorithm) for algorithm in ENCRYPTION] if use == "encryption" else []
    return md.KeyDescriptor(
        use=use,
        key_info=xmldsig.KeyInfo(
            x509_data=[xmldsig.X509Data(x509_certificate=xmldsig.X509Certificate(text=certificate))]
        ),
        encryption_method=methods,
    )


def _header(connection: SamlConnection, id: str, now: float, destination: str) -> dict[str, Any]:
    """What every message begins with (SAML 2.0 core 3.2.1, 3.2.2)."""
    return {
        "id": id,
        "version": "2.0",
        "issue_instant": _instant(now),
        "destination": destination,
        "issuer": saml.Issuer(text=connection.entity_id),
    }


def _instant(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _send(
    connection: SamlConnection,
    binding: str | None,
    to: str,
    field: str,
    message: samlp.RequestAbstractType_ | samlp.StatusResponseType_,
    relay_state: str | None,
) -> Redirect | PostForm:
    key = connection.keys[0]
    xml: bytes = message.to_string()
    if binding == "post":
        fields = {field: base64.b64encode(_signed(xml, key)).decode()}
        return PostForm(to, tuple((fields | ({} if relay_state is None else {"RelayState": relay_state})).items()))
    return Redirect(_with_query(to, _signed_query(field, xml, relay_state, key)))


def _signed_query(field: str, xml: bytes, relay_state: str | None, key: SpKey) -> str:
    """The query of the DEFLATE encoding, signed as it stands (SAML 2.0 bindings 3.4.4.1)."""
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = base64.b64encode(deflate.compress(xml) + deflate.flush()).decode()
    fields: Mapping[str, str] = {
        field: packed,
        **({} if relay_state is None else {"RelayState": relay_state}),
        "SigAlg": RSA_SHA256,
    }
    query = urlencode(fields, safe="", quote_via=quote)
    signature = base64.b64encode(key.private.sign(query.encode(), PKCS1v15(), SHA256())).decode()
    return f"{query}&{urlencode({'Signature': signature}, safe='', quote_via=quote)}"


def _signed(xml: bytes, key: SpKey) -> bytes:
    """The same message with an enveloped signature behind its Issuer (SAML 2.0 core 5.4, XML Signature 1.1)."""
    root = etree.fromstring(xml)
    digest = hashlib.sha256(_canonical(root)).digest()
    ds = f"{{{xmldsig.NAMESPACE}}}"
    signature = etree.Element(f"{ds}Signature", nsmap={"ds": xmldsig.NAMESPACE})
    info = etree.SubElement(signature, f"{ds}SignedInfo")
    etree.SubElement(info, f"{ds}CanonicalizationMethod", Algorithm=_EXCLUSIVE)
    etree.SubElement(info, f"{ds}SignatureMethod", Algorithm=RSA_SHA256)
    reference = etree.SubElement(info, f"{ds}Reference", URI=f"#{root.get('ID')}")
    transforms = etree.SubElement(reference, f"{ds}Transforms")
    for algorithm in (_ENVELOPED, _EXCLUSIVE):
        etree.SubElement(transforms, f"{ds}Transform", Algorithm=algorithm)
    etree.SubElement(reference, f"{ds}DigestMethod", Algorithm=_SHA256)
    etree.SubElement(reference, f"{ds}DigestValue").text = base64.b64encode(digest).decode()
    root.insert([child.tag for child in root].index(_ISSUER) + 1, signature)
    value = key.private.sign(_canonical(info), PKCS1v15(), SHA256())
    etree.SubElement(signature, f"{ds}SignatureValue").text = base64.b64encode(value).decode()
    data = etree.SubElement(etree.SubElement(signature, f"{ds}KeyInfo"), f"{ds}X509Data")
    certificate = base64.b64encode(key.certificate.public_bytes(Encoding.DER)).decode()
    etree.SubElement(data, f"{ds}X509Certificate").text = certificate
    return etree.tostring(root, encoding="UTF-8")


def _canonical(element: etree._Element) -> bytes:
    return etree.tostring(element, method="c14n", exclusive=True, with_comments=False)


def _with_query(url: str, query: str) -> str:
    """Append to an address that may have a query of its own (Google's have)."""
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url
