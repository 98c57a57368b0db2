"""An honest SAML 2.0 identity provider of a company, without its pages: it makes the messages that such a program sends.

lxml builds them, signxml signs them, cryptography encrypts them: none of it is our code. Every field can be changed, and an
``edit`` may change the tree before it is signed, so a test can make any lie that a genuine key would sign.
"""

from __future__ import annotations

import base64
import logging
import secrets
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from lxml import etree
from lxml.builder import ElementMaker
from signxml import SignatureReference, XMLSigner
from signxml.algorithms import CanonicalizationMethod

logging.getLogger("signxml").setLevel(logging.WARNING)  # it writes whole documents

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
MD = "urn:oasis:names:tc:SAML:2.0:metadata"
DS = "http://www.w3.org/2000/09/xmldsig#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"

EMAIL = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
BASIC = "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"

REDIRECT_ALGORITHMS = {
    "rsa": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
    "ec": "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
}
# name → (xenc identifier, bytes of the key)
CIPHERS = {
    "aes128-gcm": (XENC11 + "aes128-gcm", 16),
    "aes256-gcm": (XENC11 + "aes256-gcm", 32),
    "aes128-cbc": (XENC + "aes128-cbc", 16),
    "aes256-cbc": (XENC + "aes256-cbc", 32),
}

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

saml = ElementMaker(namespace=SAML, nsmap={"saml": SAML})
samlp = ElementMaker(namespace=SAMLP, nsmap={"samlp": SAMLP, "saml": SAML})
md = ElementMaker(namespace=MD, nsmap={"md": MD, "ds": DS})
ds = ElementMaker(namespace=DS, nsmap={"ds": DS})
xenc = ElementMaker(namespace=XENC, nsmap={"xenc": XENC, "ds": DS})


@cache
def key_pair(kind: str, name: str = "Acme") -> tuple[Key, x509.Certificate]:
    """A key and its self-signed certificate, made once per process: ``rsa``, ``rsa3072``, ``ec`` (P-256), ``ec384``, ``ec521``.

    ``name`` makes another pair of the same kind.
    """
    private: Key
    if kind.startswith("ec"):
        curve = {"ec": ec.SECP256R1(), "ec384": ec.SECP384R1(), "ec521": ec.SECP521R1()}[kind]
        private = ec.generate_private_key(curve)
    else:
        private = rsa.generate_private_key(65537, int(kind.removeprefix("rsa") or 2048))
    return private, certificate_for(private, name)


def certificate_for(
    private: Key, name: str = "Acme", *, days: int = 3650, begins: float | None = None
) -> x509.Certificate:
    """A self-signed certificate that begins ``begins`` (default: yesterday) and lasts ``days``."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = datetime.fromtimestamp(begins if begins is not None else time.time() - 86400, UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .sign(private, hashes.SHA256())
    )


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_id() -> str:
    return "_" + secrets.token_hex(20)


@dataclass(frozen=True)
class Answer:
    """What a Response says. What is None is derived from the rest; an empty string leaves the attribute or element out.

    :ivar sign: ``response``, ``assertion``, ``both`` or ``none``.
    :ivar lifetime: seconds, of the conditions and the confirmation.
    :ivar attributes: name → values.
    :ivar audiences: one tuple per AudienceRestriction.
    :ivar status: status codes, the outer one first.
    :ivar assertion: False leaves the assertion out, as an error does.
    :ivar encrypt_for: the assertion is encrypted for this certificate, with ``cipher`` (see CIPHERS).
    :ivar edit: called with the Response before anything is signed.
    :ivar edit_signed: called with the Response after the assertion was signed or encrypted, before the Response is.
    :ivar prefixes: of the InclusiveNamespaces PrefixList.
    """

    request_id: str
    acs: str
    audience: str
    name_id: str
    now: float
    sign: str = "assertion"
    lifetime: int = 300
    response_id: str = field(default_factory=new_id)
    assertion_id: str = field(default_factory=new_id)
    issuer: str | None = None
    response_issuer: str | None = None
    destination: str | None = None
    recipient: str | None = None
    version: str = "2.0"
    issue_instant: float | None = None
    confirmation: str = BEARER
    confirmed_request: str | None = None
    confirmed_until: float | None = None
    not_before: float | None = None
    not_on_or_after: float | None = None
    audiences: Sequence[Sequence[str]] | None = None
    name_id_format: str = EMAIL
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    authn_instant: float | None = None
    context: str = PASSWORD
    session_index: str | None = None
    session_not_on_or_after: float | None = None
    status: Sequence[str] = (SUCCESS,)
    status_message: str = ""
    assertion: bool = True
    encrypt_for: x509.Certificate | None = None
    cipher: str = "aes256-gcm"
    oaep: str = "rsa-oaep-mgf1p"
    edit: Callable[[etree._Element], Any] | None = None
    edit_signed: Callable[[etree._Element], Any] | None = None
    prefixes: Sequence[str] = ()


class CompanyIdp:
    """One identity provider: a name (its entityID), an address, and a key to sign with."""

    def __init__(
        self, entity_id: str = "https://idp.acme.example/saml", *, kind: str = "rsa", name: str = "Acme"
    ) -> None:
        self.entity_id = entity_id
        self.kind = kind
        self.private, self.certificate = key_pair(kind, name)
        self.sso_url = "https://idp.acme.example/sso"
        self.slo_url = "https://idp.acme.example/slo"

    # --- Responses ------------------------------------------------------------------------------------------------

    def response(
        self, *, request_id: str, acs: str, audience: str, name_id: str, now: float | None = None, **changes: Any
    ) -> str:
        """A Response in base64, as the form posts it. ``changes``: fields of Answer."""
        return base64.b64encode(
            self.document(request_id=request_id, acs=acs, audience=audience, name_id=name_id, now=now, **changes)
        ).decode()

    def document(self, *, now: float | None = None, **changes: Any) -> bytes:
        """The same as XML."""
        return etree.tostring(self.tree(Answer(now=time.time() if now is None else now, **changes)))

    def tree(self, answer: Answer) -> etree._Element:
        """The same as a tree: signed, encrypted."""
        response = self._unsigned(answer)
        if answer.edit is not None:
            answer.edit(response)
        assertion = response.find(f"{{{SAML}}}Assertion")
        if assertion is not None and answer.sign in ("assertion", "both"):
            signed = self.sign(assertion, answer.prefixes)
            response.replace(assertion, signed)
            assertion = signed
        if assertion is not None and answer.encrypt_for is not None:
            response.replace(assertion, encrypted(assertion, answer.encrypt_for, answer.cipher, answer.oaep))
        if answer.edit_signed is not None:
            answer.edit_signed(response)
        return self.sign(response, answer.prefixes) if answer.sign in ("response", "both") else response

    def sign(self, element: etree._Element, prefixes: Sequence[str] = ()) -> etree._Element:
        """The element with its Signature after its Issuer (SAML core section 5.4), as a tree of its own."""
        element = etree.fromstring(etree.tostring(element, with_tail=False))
        place = etree.SubElement(element, f"{{{DS}}}Signature", {"Id": "placeholder"}, nsmap={"ds": DS})
        issuer = element.find(f"{{{SAML}}}Issuer")
        element.insert(0 if issuer is None else element.index(issuer) + 1, place)
        signer = XMLSigner(
            signature_algorithm="ecdsa-sha256" if self.kind.startswith("ec") else "rsa-sha256",
            digest_algorithm="sha256",
            c14n_algorithm=EXCLUSIVE,
        )
        reference = SignatureReference(
            URI="#" + str(element.get("ID")),
            c14n_method=CanonicalizationMethod(EXCLUSIVE),
            inclusive_ns_prefixes=list(prefixes) or None,
        )
        return signer.sign(
            element, key=self.private, cert=[self.certificate], reference_uri=[reference], id_attribute="ID"
        )

    def _unsigned(self, answer: Answer) -> etree._Element:
        issued = instant(answer.now if answer.issue_instant is None else answer.issue_instant)
        attributes = {
            "ID": answer.response_id,
            "Version": answer.version,
            "IssueInstant": issued,
            "Destination": answer.acs if answer.destination is None else answer.destination,
            "InResponseTo": answer.request_id,
        }
        issuer = self.entity_id if answer.issuer is None else answer.issuer
        response_issuer = issuer if answer.response_issuer is None else answer.response_issuer
        response = samlp.Response({name: value for name, value in attributes.items() if value})
        if response_issuer:
            response.append(saml.Issuer(response_issuer))
        code = None
        for value in reversed(answer.status):
            code = samlp.StatusCode({"Value": value}, *([] if code is None else [code]))
        if code is not None:
            message = [samlp.StatusMessage(answer.status_message)] if answer.status_message else []
            response.append(samlp.Status(code, *message))
        if answer.assertion:
            response.append(self._assertion(answer, issuer, issued))
        return response

    def _assertion(self, answer: Answer, issuer: str, issued: str) -> etree._Element:
        end = answer.now + answer.lifetime
        confirmed = {
            "InResponseTo": answer.request_id if answer.confirmed_request is None else answer.confirmed_request,
            "Recipient": answer.acs if answer.recipient is None else answer.recipient,
            "NotOnOrAfter": instant(end if answer.confirmed_until is None else answer.confirmed_until),
        }
        audiences = [[answer.audience]] if answer.audiences is None else answer.audiences
        statement = {
            "AuthnInstant": instant(answer.now if answer.authn_instant is None else answer.authn_instant),
            "SessionIndex": answer.assertion_id if answer.session_index is None else answer.session_index,
            "SessionNotOnOrAfter": (
                "" if answer.session_not_on_or_after is None else instant(answer.session_not_on_or_after)
            ),
        }
        parts = [
            *([saml.Issuer(issuer)] if issuer else []),
            saml.Subject(
                saml.NameID({"Format": answer.name_id_format} if answer.name_id_format else {}, answer.name_id),
                saml.SubjectConfirmation(
                    {"Method": answer.confirmation},
                    saml.SubjectConfirmationData({name: value for name, value in confirmed.items() if value}),
                ),
            ),
            saml.Conditions(
                {
                    "NotBefore": instant(answer.now - 5 if answer.not_before is None else answer.not_before),
                    "NotOnOrAfter": instant(end if answer.not_on_or_after is None else answer.not_on_or_after),
                },
                *(saml.AudienceRestriction(*(saml.Audience(one) for one in several)) for several in audiences),
            ),
            saml.AuthnStatement(
                {name: value for name, value in statement.items() if value},
                saml.AuthnContext(saml.AuthnContextClassRef(answer.context)),
            ),
        ]
        if answer.attributes:
            parts.append(
                saml.AttributeStatement(
                    *(
                        saml.Attribute(
                            {"Name": name, "NameFormat": BASIC}, *(saml.AttributeValue(value) for value in values)
                        )
                        for name, values in answer.attributes.items()
                    )
                )
            )
        return saml.Assertion({"ID": answer.assertion_id, "Version": "2.0", "IssueInstant": issued}, *parts)

    # --- single logout ------------------------------------------------------------------------------------------------

    def logout_request(
        self,
        *,
        destination: str,
        name_id: str,
        name_id_format: str = EMAIL,
        session_index: str = "",
        now: float | None = None,
        sign: bool = True,
        **changes: str,
    ) -> bytes:
        """A LogoutRequest as XML; signed within itself when ``sign`` (the POST binding). ``changes``: attributes of its
        root (an empty one is left out) and ``Issuer``."""
        now = time.time() if now is None else now
        root = self._message("LogoutRequest", destination, now, {"NotOnOrAfter": instant(now + 300), **changes})
        root.append(saml.NameID({"Format": name_id_format}, name_id))
        if session_index:
            root.append(samlp.SessionIndex(session_index))
        return etree.tostring(self.sign(root) if sign else root)

    def logout_response(
        self,
        *,
        destination: str,
        in_response_to: str,
        status: Sequence[str] = (SUCCESS,),
        now: float | None = None,
        sign: bool = True,
        **changes: str,
    ) -> bytes:
        """A LogoutResponse as XML, likewise."""
        now = time.time() if now is None else now
        root = self._message("LogoutResponse", destination, now, {"InResponseTo": in_response_to, **changes})
        code = None
        for value in reversed(status):
            code = samlp.StatusCode({"Value": value}, *([] if code is None else [code]))
        root.append(samlp.Status(*([] if code is None else [code])))
        return etree.tostring(self.sign(root) if sign else root)

    def redirect_query(self, document: bytes, *, relay_state: str = "", algorithm: str = "") -> str:
        """A message without a signature of its own as a signed query of the Redirect binding (bindings section 3.4.4.1)."""
        packed = zlib.compressobj(wbits=-15)
        deflated = packed.compress(document) + packed.flush()
        name = "SAMLRequest" if b"Request" in document.split(None, 1)[0] else "SAMLResponse"
        parts = [f"{name}={quote(base64.b64encode(deflated), safe='')}"]
        if relay_state:
            parts.append(f"RelayState={quote(relay_state, safe='')}")
        parts.append(f"SigAlg={quote(algorithm or REDIRECT_ALGORITHMS[self.kind[:3].rstrip('0123456789')], safe='')}")
        signed = "&".join(parts)
        return f"{signed}&Signature={quote(base64.b64encode(self.raw_signature(signed.encode())), safe='')}"

    def raw_signature(self, data: bytes) -> bytes:
        """SHA-256 with this provider's key, as XML Signature writes it (ECDSA: r and s in full width)."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(data, rsa_padding.PKCS1v15(), hashes.SHA256())
        width = (self.private.key_size + 7) // 8
        r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(width, "big") + s.to_bytes(width, "big")

    def _message(self, name: str, destination: str, now: float, changes: Mapping[str, str]) -> etree._Element:
        attributes = {
            "ID": new_id(),
            "Version": "2.0",
            "IssueInstant": instant(now),
            "Destination": destination,
            **changes,
        }
        issuer = attributes.pop("Issuer", self.entity_id)
        root = samlp(name, {key: value for key, value in attributes.items() if value})
        root.append(saml.Issuer(issuer))
        return root

    # --- metadata -------------------------------------------------------------------------------------------------------

    def metadata(
        self,
        *,
        certificates: Sequence[x509.Certificate] | None = None,
        sign: bool = False,
        valid_until: float | None = None,
        edit: Callable[[etree._Element], Any] | None = None,
    ) -> bytes:
        """The metadata document. ``edit`` may change its tree before it is signed."""
        keys = [
            md.KeyDescriptor(
                {"use": "signing"}, ds.KeyInfo(ds.X509Data(ds.X509Certificate("".join(pem(one).splitlines()[1:-1]))))
            )
            for one in (certificates or [self.certificate])
        ]
        attributes = {"entityID": self.entity_id, "ID": new_id()}
        if valid_until is not None:
            attributes["validUntil"] = instant(valid_until)
        root = md.EntityDescriptor(
            attributes,
            md.IDPSSODescriptor(
                {"protocolSupportEnumeration": SAMLP},
                *keys,
                md.SingleLogoutService({"Binding": REDIRECT, "Location": self.slo_url}),
                md.NameIDFormat(EMAIL),
                md.SingleSignOnService({"Binding": REDIRECT, "Location": self.sso_url}),
                md.SingleSignOnService({"Binding": POST, "Location": self.sso_url}),
            ),
        )
        if edit is not None:
            edit(root)
        return etree.tostring(self.sign(root) if sign else root, xml_declaration=True, encoding="UTF-8")


def encrypted(
    assertion: etree._Element,
    certificate: x509.Certificate,
    cipher: str = "aes256-gcm",
    oaep: str = "rsa-oaep-mgf1p",
    *,
    beside: bool = False,
) -> etree._Element:
    """An EncryptedAssertion (XML Encryption 1.1): the key by RSA-OAEP, the content by AES.

    ``oaep``: ``rsa-oaep-mgf1p`` (SHA-1, as all of them did) or ``rsa-oaep`` (SHA-256 for both). ``beside``: the EncryptedKey
    follows the EncryptedData, which points to it.
    """
    algorithm, length = CIPHERS[cipher]
    key = secrets.token_bytes(length)
    plain = etree.tostring(assertion, with_tail=False)
    if cipher.endswith("gcm"):
        vector = secrets.token_bytes(12)
        secret = vector + AESGCM(key).encrypt(vector, plain, None)
    else:
        vector = secrets.token_bytes(16)
        padder = padding.ANSIX923(128).padder()  # XML Encryption section 5.2: the last byte tells the length
        encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
        secret = vector + encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    public = certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    digest: hashes.HashAlgorithm = hashes.SHA1() if oaep == "rsa-oaep-mgf1p" else hashes.SHA256()
    wrapped = public.encrypt(key, rsa_padding.OAEP(rsa_padding.MGF1(digest), digest, None))
    if oaep == "rsa-oaep-mgf1p":
        method = xenc.EncryptionMethod(
            {"Algorithm": XENC + "rsa-oaep-mgf1p"}, ds.DigestMethod({"Algorithm": DS + "sha1"})
        )
    else:
        method = xenc.EncryptionMethod(
            {"Algorithm": XENC11 + "rsa-oaep"}, ds.DigestMethod({"Algorithm": XENC + "sha256"})
        )
        etree.SubElement(method, f"{{{XENC11}}}MGF", {"Algorithm": XENC11 + "mgf1sha256"}, nsmap={"xenc11": XENC11})
    encrypted_key = xenc.EncryptedKey(
        {"Id": new_id()},
        method,
        ds.KeyInfo(ds.X509Data(ds.X509Certificate("".join(pem(certificate).splitlines()[1:-1])))),
        xenc.CipherData(xenc.CipherValue(base64.b64encode(wrapped).decode())),
    )
    pointer = ds.RetrievalMethod({"Type": XENC + "EncryptedKey", "URI": "#" + str(encrypted_key.get("Id"))})
    return saml.EncryptedAssertion(
        xenc.EncryptedData(
            {"Id": new_id(), "Type": XENC + "Element"},
            xenc.EncryptionMethod({"Algorithm": algorithm}),
            ds.KeyInfo(pointer if beside else encrypted_key),
            xenc.CipherData(xenc.CipherValue(base64.b64encode(secret).decode())),
        ),
        *([encrypted_key] if beside else []),
    )
