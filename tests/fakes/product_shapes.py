"""Answers in the exact shape of well-known products: their prefixes, order of elements, attribute names and signatures.

Written after the products' public documentation and messages; filled in and signed at test time. Times and names are ours.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from lxml import etree

from tests.fakes.company_idp import DS, EMAIL, SAML, SAMLP, CompanyIdp, encrypted, new_id, pem
from tests.fakes.hand_signed import fill_in

PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"


@dataclass(frozen=True)
class Said:
    """What every shape says."""

    entity_id: str
    request_id: str
    acs: str
    audience: str
    name_id: str
    now: float
    certificate: str
    response_id: str
    assertion_id: str

    def at(self, seconds: float = 0, digits: int = 3) -> str:
        moment = datetime.fromtimestamp(self.now + seconds, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{'123456789'[:digits]}" if digits else "") + "Z"


@dataclass(frozen=True)
class Shape:
    """``make`` writes it; ``email`` is the attribute with the address (empty: the NameID is); ``encrypts``: it can."""

    make: Callable[[Said], str]
    name_id_format: str
    email: str
    encrypts: bool = False


def _signature(prefix: str, uri: str, key_info: str, *, prefix_list: str = "", spaced: bool = False) -> str:
    """A Signature skeleton with this prefix (empty: as default namespace)."""
    p = f"{prefix}:" if prefix else ""
    declared = f'xmlns:{prefix}="{DS}"' if prefix else f'xmlns="{DS}"'
    inclusive = (
        f'<ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="{prefix_list}"/>'
        if prefix_list
        else ""
    )
    n = "\n" if spaced else ""
    return (
        f"<{p}Signature {declared}>{n}<{p}SignedInfo>{n}"
        f'<{p}CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>{n}'
        f'<{p}SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>{n}'
        f'<{p}Reference URI="#{uri}">{n}<{p}Transforms>{n}'
        f'<{p}Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>{n}'
        f'<{p}Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#">{inclusive}</{p}Transform>{n}'
        f'</{p}Transforms>{n}<{p}DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>{n}'
        f"<{p}DigestValue/>{n}</{p}Reference>{n}</{p}SignedInfo>{n}<{p}SignatureValue/>{n}{key_info}</{p}Signature>"
    )


def entra(said: Said) -> str:
    """Microsoft Entra ID: the assertion signed, everything in default namespaces, claim names as URIs."""
    claims = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
    microsoft = "http://schemas.microsoft.com/identity/claims"
    local, _, domain = said.name_id.partition("@")
    attributes = "".join(
        f'<Attribute Name="{name}"><AttributeValue>{value}</AttributeValue></Attribute>'
        for name, value in (
            (f"{microsoft}/tenantid", "7f5a1c2e-0d6b-4a8e-9a35-3f6e5b1c9d20"),
            (f"{microsoft}/objectidentifier", "0b9c8d7e-1f2a-4b3c-8d4e-5f6a7b8c9d0e"),
            (f"{microsoft}/displayname", "Alice Martin"),
            (f"{microsoft}/identityprovider", "https://sts.windows.net/7f5a1c2e-0d6b-4a8e-9a35-3f6e5b1c9d20/"),
            (
                "http://schemas.microsoft.com/claims/authnmethodsreferences",
                "http://schemas.microsoft.com/ws/2008/06/identity/authenticationmethod/password",
            ),
            (f"{claims}/givenname", "Alice"),
            (f"{claims}/surname", "Martin"),
            (f"{claims}/emailaddress", said.name_id),
            (f"{claims}/name", f"{local}@{domain.split('.')[0]}.onmicrosoft.com"),
        )
    )
    key_info = f"<KeyInfo><X509Data><X509Certificate>{said.certificate}</X509Certificate></X509Data></KeyInfo>"
    return (
        f'<samlp:Response ID="{said.response_id}" Version="2.0" IssueInstant="{said.at()}" Destination="{said.acs}" '
        f'InResponseTo="{said.request_id}" xmlns:samlp="{SAMLP}"><Issuer xmlns="{SAML}">{said.entity_id}</Issuer>'
        '<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>'
        f'<Assertion ID="{said.assertion_id}" IssueInstant="{said.at()}" Version="2.0" xmlns="{SAML}">'
        f"<Issuer>{said.entity_id}</Issuer>{_signature('', said.assertion_id, key_info)}"
        f'<Subject><NameID Format="{EMAIL}">{said.name_id}</NameID>'
        '<SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
        f'<SubjectConfirmationData InResponseTo="{said.request_id}" NotOnOrAfter="{said.at(3600)}" '
        f'Recipient="{said.acs}"/></SubjectConfirmation></Subject>'
        f'<Conditions NotBefore="{said.at(-300)}" NotOnOrAfter="{said.at(3600)}"><AudienceRestriction>'
        f"<Audience>{said.audience}</Audience></AudienceRestriction></Conditions>"
        f"<AttributeStatement>{attributes}</AttributeStatement>"
        f'<AuthnStatement AuthnInstant="{said.at(-1800)}" SessionIndex="{said.assertion_id}"><AuthnContext>'
        "<AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</AuthnContextClassRef></AuthnContext>"
        "</AuthnStatement></Assertion></samlp:Response>"
    )


def okta(said: Said) -> str:
    """Okta: Response and assertion signed, prefixes saml2p and saml2, a PrefixList for the types of attributes."""
    key_info = (
        f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{_wrapped(said.certificate)}</ds:X509Certificate></ds:X509Data>"
        "</ds:KeyInfo>"
    )
    attributes = "".join(
        f'<saml2:Attribute Name="{name}" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified">'
        '<saml2:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">{value}</saml2:AttributeValue>'
        "</saml2:Attribute>"
        for name, value in (("firstName", "Alice"), ("lastName", "Martin"), ("email", said.name_id))
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><saml2p:Response Destination="{said.acs}" ID="{said.response_id}" '
        f'InResponseTo="{said.request_id}" IssueInstant="{said.at()}" Version="2.0" xmlns:saml2p="{SAMLP}" '
        f'xmlns:xs="http://www.w3.org/2001/XMLSchema"><saml2:Issuer '
        f'Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity" xmlns:saml2="{SAML}">{said.entity_id}</saml2:Issuer>'
        f"{_signature('ds', said.response_id, key_info, prefix_list='xs')}"
        f'<saml2p:Status xmlns:saml2p="{SAMLP}">'
        '<saml2p:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></saml2p:Status>'
        f'<saml2:Assertion ID="{said.assertion_id}" IssueInstant="{said.at()}" Version="2.0" xmlns:saml2="{SAML}" '
        'xmlns:xs="http://www.w3.org/2001/XMLSchema"><saml2:Issuer '
        f'Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity" xmlns:saml2="{SAML}">{said.entity_id}</saml2:Issuer>'
        f"{_signature('ds', said.assertion_id, key_info, prefix_list='xs')}"
        f'<saml2:Subject xmlns:saml2="{SAML}"><saml2:NameID Format="{EMAIL}">{said.name_id}</saml2:NameID>'
        '<saml2:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml2:SubjectConfirmationData '
        f'InResponseTo="{said.request_id}" NotOnOrAfter="{said.at(300)}" Recipient="{said.acs}"/>'
        "</saml2:SubjectConfirmation></saml2:Subject>"
        f'<saml2:Conditions NotBefore="{said.at(-300)}" NotOnOrAfter="{said.at(300)}" xmlns:saml2="{SAML}">'
        f"<saml2:AudienceRestriction><saml2:Audience>{said.audience}</saml2:Audience></saml2:AudienceRestriction>"
        "</saml2:Conditions>"
        f'<saml2:AuthnStatement AuthnInstant="{said.at()}" SessionIndex="{said.request_id}" xmlns:saml2="{SAML}">'
        "<saml2:AuthnContext><saml2:AuthnContextClassRef>"
        "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml2:AuthnContextClassRef>"
        f'</saml2:AuthnContext></saml2:AuthnStatement><saml2:AttributeStatement xmlns:saml2="{SAML}">{attributes}'
        "</saml2:AttributeStatement></saml2:Assertion></saml2p:Response>"
    )


def google(said: Said) -> str:
    """Google Workspace: the Response signed, with spaces between elements, KeyInfo with the subject's name."""
    key_info = (
        "<ds:KeyInfo>\n<ds:X509Data>\n<ds:X509SubjectName>ST=California,C=US,OU=Google For Work,CN=Google,"
        "L=Mountain View,O=Google Inc.</ds:X509SubjectName>\n"
        f"<ds:X509Certificate>{_wrapped(said.certificate)}</ds:X509Certificate>\n</ds:X509Data>\n</ds:KeyInfo>\n"
    )
    attributes = "".join(
        f'<saml2:Attribute Name="{name}"><saml2:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:anyType">'
        f"{value}</saml2:AttributeValue></saml2:Attribute>"
        for name, value in (("firstName", "Alice"), ("lastName", "Martin"))
    )
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>'
        f'<saml2p:Response xmlns:saml2p="{SAMLP}" Destination="{said.acs}" ID="{said.response_id}" '
        f'InResponseTo="{said.request_id}" IssueInstant="{said.at()}" Version="2.0">'
        f'<saml2:Issuer xmlns:saml2="{SAML}">{said.entity_id}</saml2:Issuer>'
        f"{_signature('ds', said.response_id, key_info, spaced=True)}"
        '<saml2p:Status><saml2p:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></saml2p:Status>'
        f'<saml2:Assertion xmlns:saml2="{SAML}" ID="{said.assertion_id}" IssueInstant="{said.at()}" Version="2.0">'
        f'<saml2:Issuer>{said.entity_id}</saml2:Issuer><saml2:Subject><saml2:NameID Format="{EMAIL}">{said.name_id}'
        '</saml2:NameID><saml2:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
        f'<saml2:SubjectConfirmationData InResponseTo="{said.request_id}" NotOnOrAfter="{said.at(300)}" '
        f'Recipient="{said.acs}"/></saml2:SubjectConfirmation></saml2:Subject>'
        f'<saml2:Conditions NotBefore="{said.at(-300)}" NotOnOrAfter="{said.at(300)}"><saml2:AudienceRestriction>'
        f"<saml2:Audience>{said.audience}</saml2:Audience></saml2:AudienceRestriction></saml2:Conditions>"
        f"<saml2:AttributeStatement>{attributes}</saml2:AttributeStatement>"
        f'<saml2:AuthnStatement AuthnInstant="{said.at(-7200)}" SessionIndex="{said.assertion_id}">'
        "<saml2:AuthnContext><saml2:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified"
        "</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement></saml2:Assertion></saml2p:Response>"
    )


def adfs(said: Said) -> str:
    """AD FS: the assertion signed, its KeyInfo in a default namespace of its own, three digits of a second, Consent."""
    key_info = (
        f'<KeyInfo xmlns="{DS}"><ds:X509Data><ds:X509Certificate>{said.certificate}</ds:X509Certificate></ds:X509Data>'
        "</KeyInfo>"
    )
    upn = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn"
    mail = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"
    return (
        f'<samlp:Response ID="{said.response_id}" Version="2.0" IssueInstant="{said.at()}" Destination="{said.acs}" '
        f'Consent="urn:oasis:names:tc:SAML:2.0:consent:unspecified" InResponseTo="{said.request_id}" '
        f'xmlns:samlp="{SAMLP}"><Issuer xmlns="{SAML}">{said.entity_id}</Issuer><samlp:Status>'
        '<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success" /></samlp:Status>'
        f'<Assertion ID="{said.assertion_id}" IssueInstant="{said.at()}" Version="2.0" xmlns="{SAML}">'
        f"<Issuer>{said.entity_id}</Issuer>{_signature('ds', said.assertion_id, key_info)}"
        f'<Subject><NameID Format="{EMAIL}">{said.name_id}</NameID>'
        '<SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
        f'<SubjectConfirmationData InResponseTo="{said.request_id}" NotOnOrAfter="{said.at(300)}" '
        f'Recipient="{said.acs}" /></SubjectConfirmation></Subject>'
        f'<Conditions NotBefore="{said.at(0)}" NotOnOrAfter="{said.at(3600)}"><AudienceRestriction>'
        f"<Audience>{said.audience}</Audience></AudienceRestriction></Conditions><AttributeStatement>"
        f'<Attribute Name="{upn}"><AttributeValue>alice@acme.local</AttributeValue></Attribute>'
        f'<Attribute Name="{mail}"><AttributeValue>{said.name_id}</AttributeValue></Attribute></AttributeStatement>'
        f'<AuthnStatement AuthnInstant="{said.at(-5)}" SessionIndex="{said.assertion_id}"><AuthnContext>'
        "<AuthnContextClassRef>urn:federation:authentication:windows</AuthnContextClassRef></AuthnContext>"
        "</AuthnStatement></Assertion></samlp:Response>"
    )


def keycloak(said: Said) -> str:
    """Keycloak: the Response signed with the prefix dsig, the key as a value too, a role per attribute value."""
    key_info = (
        "<dsig:KeyInfo><dsig:KeyName>r6Ik1vsZeXzQ3fWVNKlKhLSKDbjVgJ7-dUg5uUtEeZA</dsig:KeyName><dsig:X509Data>"
        f"<dsig:X509Certificate>{said.certificate}</dsig:X509Certificate></dsig:X509Data></dsig:KeyInfo>"
    )
    values = "".join(
        '<saml:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">'
        f"{role}</saml:AttributeValue>"
        for role in ("offline_access", "uma_authorization", "default-roles-acme")
    )
    email = values[: values.index(">") + 1] + said.name_id + "</saml:AttributeValue>"
    basic = "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"
    return (
        f'<samlp:Response xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}" Destination="{said.acs}" ID="{said.response_id}" '
        f'InResponseTo="{said.request_id}" IssueInstant="{said.at()}" Version="2.0"><saml:Issuer>{said.entity_id}'
        f"</saml:Issuer>{_signature('dsig', said.response_id, key_info)}<samlp:Status><samlp:StatusCode "
        'Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>'
        f'<saml:Assertion xmlns="{SAML}" ID="{said.assertion_id}" IssueInstant="{said.at()}" Version="2.0">'
        f'<saml:Issuer>{said.entity_id}</saml:Issuer><saml:Subject><saml:NameID Format="{EMAIL}">{said.name_id}'
        '</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
        f'<saml:SubjectConfirmationData InResponseTo="{said.request_id}" NotOnOrAfter="{said.at(58)}" '
        f'Recipient="{said.acs}"/></saml:SubjectConfirmation></saml:Subject>'
        f'<saml:Conditions NotBefore="{said.at(-2)}" NotOnOrAfter="{said.at(58)}"><saml:AudienceRestriction>'
        f"<saml:Audience>{said.audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
        f'<saml:AuthnStatement AuthnInstant="{said.at()}" SessionIndex="9d1b4c1e::3c7f" '
        f'SessionNotOnOrAfter="{said.at(36000)}"><saml:AuthnContext><saml:AuthnContextClassRef>'
        "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified</saml:AuthnContextClassRef></saml:AuthnContext>"
        f'</saml:AuthnStatement><saml:AttributeStatement><saml:Attribute FriendlyName="email" Name="email" '
        f'NameFormat="{basic}">{email}</saml:Attribute><saml:Attribute Name="Role" NameFormat="{basic}">{values}'
        "</saml:Attribute></saml:AttributeStatement></saml:Assertion></samlp:Response>"
    )


def shibboleth(said: Said) -> str:
    """Shibboleth: Response and assertion signed, persistent NameID with qualifiers, OIDs as names, a NameID as a value."""
    key_info = (
        f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{_wrapped(said.certificate)}</ds:X509Certificate></ds:X509Data>"
        "</ds:KeyInfo>"
    )
    uri = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
    persistent = (
        f'<saml2:NameID Format="{PERSISTENT}" NameQualifier="{said.entity_id}" SPNameQualifier="{said.audience}">'
        "5F2XK3NQ7XGZL4WBWM2TQF3JHNDFK6RD</saml2:NameID>"
    )
    mail = f"<saml2:AttributeValue>{said.name_id}</saml2:AttributeValue>"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<saml2p:Response Destination="{said.acs}" ID="{said.response_id}" '
        f'InResponseTo="{said.request_id}" IssueInstant="{said.at()}" Version="2.0" xmlns:saml2p="{SAMLP}">'
        f'<saml2:Issuer xmlns:saml2="{SAML}">{said.entity_id}</saml2:Issuer>'
        f"{_signature('ds', said.response_id, key_info, spaced=True)}"
        '<saml2p:Status><saml2p:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></saml2p:Status>'
        f'<saml2:Assertion ID="{said.assertion_id}" IssueInstant="{said.at()}" Version="2.0" xmlns:saml2="{SAML}">'
        f"<saml2:Issuer>{said.entity_id}</saml2:Issuer>{_signature('ds', said.assertion_id, key_info, spaced=True)}"
        f'<saml2:Subject>{persistent}<saml2:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
        f'<saml2:SubjectConfirmationData Address="192.0.2.7" InResponseTo="{said.request_id}" '
        f'NotOnOrAfter="{said.at(300)}" Recipient="{said.acs}"/></saml2:SubjectConfirmation></saml2:Subject>'
        f'<saml2:Conditions NotBefore="{said.at()}" NotOnOrAfter="{said.at(300)}"><saml2:AudienceRestriction>'
        f"<saml2:Audience>{said.audience}</saml2:Audience></saml2:AudienceRestriction></saml2:Conditions>"
        f'<saml2:AuthnStatement AuthnInstant="{said.at(-3)}" SessionIndex="_{"a" * 32}"><saml2:SubjectLocality '
        'Address="192.0.2.7"/><saml2:AuthnContext><saml2:AuthnContextClassRef>'
        "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml2:AuthnContextClassRef>"
        "</saml2:AuthnContext></saml2:AuthnStatement><saml2:AttributeStatement>"
        f'<saml2:Attribute FriendlyName="mail" Name="urn:oid:0.9.2342.19200300.100.1.3" NameFormat="{uri}">{mail}'
        '</saml2:Attribute><saml2:Attribute FriendlyName="eduPersonTargetedID" '
        f'Name="urn:oid:1.3.6.1.4.1.5923.1.1.1.10" NameFormat="{uri}"><saml2:AttributeValue>{persistent}'
        "</saml2:AttributeValue></saml2:Attribute></saml2:AttributeStatement></saml2:Assertion></saml2p:Response>"
    )


SHAPES = {
    "entra": Shape(entra, EMAIL, "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"),
    "okta": Shape(okta, EMAIL, "email", encrypts=True),
    "google": Shape(google, EMAIL, ""),
    "adfs": Shape(adfs, EMAIL, "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"),
    "keycloak": Shape(keycloak, EMAIL, "email", encrypts=True),
    "shibboleth": Shape(shibboleth, PERSISTENT, "urn:oid:0.9.2342.19200300.100.1.3", encrypts=True),
}


def shaped(
    name: str,
    idp: CompanyIdp,
    *,
    request_id: str,
    acs: str,
    audience: str,
    name_id: str,
    now: float,
    encrypt_for: object = None,
) -> bytes:
    """An answer of this product, signed with the key of ``idp`` and, for a certificate, encrypted."""
    said = Said(
        entity_id=idp.entity_id,
        request_id=request_id,
        acs=acs,
        audience=audience,
        name_id=name_id,
        now=now,
        certificate="".join(pem(idp.certificate).splitlines()[1:-1]),
        response_id=new_id(),
        assertion_id=new_id(),
    )
    written = SHAPES[name].make(said)
    root = etree.fromstring(written.encode())
    for signature in reversed(list(root.iter(f"{{{DS}}}Signature"))):  # the assertion's first: the Response's covers it
        if signature.getparent() is not root:
            fill_in(signature, idp.private)
    if encrypt_for is not None:
        assertion = root.find(f"{{{SAML}}}Assertion")
        assert assertion is not None
        root.replace(assertion, encrypted(assertion, encrypt_for, "aes256-cbc"))  # type: ignore[arg-type] # a certificate
    for signature in root.findall(f"{{{DS}}}Signature"):
        fill_in(signature, idp.private)
    declared = written.startswith("<?xml")
    return etree.tostring(root, xml_declaration=declared, encoding="UTF-8" if declared else None)


def shaped_answer(name: str, idp: CompanyIdp, **values: object) -> str:
    """The same in base64, in lines as some of them write it."""
    return base64.encodebytes(shaped(name, idp, **values)).decode()  # type: ignore[arg-type] # passed on


def _wrapped(text: str) -> str:
    return "\n".join(text[start : start + 76] for start in range(0, len(text), 76))
