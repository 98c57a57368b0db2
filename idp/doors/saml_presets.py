"""What is known of vendors' identity providers: how a new connection is filled in, and which menu mends what.

The names of menus are the vendors' own, in English, as data. ``docs/company-it/`` has one page per vendor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from idp.connections import NAME_ID_EMAIL, NAME_ID_PERSISTENT

# What a company's IT can have to change on its side.
Setting = Literal["addresses", "name_id", "attributes", "signing", "encryption", "certificate", "people", "logout"]
SETTINGS: tuple[Setting, ...] = (
    "addresses",  # our entityID and ACS address, as they were entered there
    "name_id",  # what the NameID is made of, and its format
    "attributes",
    "signing",  # what is signed, and by which algorithm
    "encryption",
    "certificate",  # the one with which it signs, and its successor
    "people",  # who may use the application
    "logout",
)


@dataclass(frozen=True, slots=True)
class Preset:
    """What a new connection to a vendor's identity provider begins with.

    :ivar name: the product's name.
    :ivar guide: the page of ``docs/company-it/``, without ``.md``.
    :ivar name_id_format: the whole URN.
    :ivar attributes: what we need (email, name, given_name, family_name) → the exact attribute name. Without email the
        NameID is the address.
    :ivar hint: how the address that somebody has typed is passed on: in the request's Subject (``subject``), as a query
        parameter of the sign-on address (``login_hint``, ``username``), or not at all (``none``).
    :ivar menus: where the vendor has what can have to be changed.
    :ivar encrypts_well: False: told of a key to encrypt for, it encrypts the assertion and leaves the Response unsigned, which
        must be refused (finding S-06); so our metadata names none.
    """

    name: str
    guide: str
    name_id_format: str
    attributes: Mapping[str, str]
    hint: str
    menus: Mapping[Setting, str]
    encrypts_well: bool = True


_WS = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
_SHORT = {"given_name": "firstName", "family_name": "lastName"}

_ENTRA = "Entra admin center › Entra ID › Enterprise apps › (the application) › Single sign-on"
_OKTA = "Okta Admin Console › Applications › Applications › (the application)"
_GOOGLE = "Google Admin console › Apps › Web and mobile apps › (the app)"
_ADFS = "AD FS Management › Relying Party Trusts › (the trust)"
_ONELOGIN = "OneLogin Administration › Applications › Applications › (the app)"
_PING = "PingOne › Applications › Applications › (the application)"
_JUMPCLOUD = "JumpCloud Admin Portal › Access › SSO Applications › (the application)"
_KEYCLOAK = "Keycloak Admin Console › Clients › (the client)"

PRESETS: Mapping[str, Preset] = {
    "entra": Preset(
        name="Microsoft Entra ID",
        guide="entra",
        name_id_format=NAME_ID_EMAIL,
        # Its NameID is the user principal name unless IT changes it; this claim is the mail address from the beginning.
        attributes={
            "email": f"{_WS}emailaddress",
            "name": "http://schemas.microsoft.com/identity/claims/displayname",
            "given_name": f"{_WS}givenname",
            "family_name": f"{_WS}surname",
        },
        hint="login_hint",  # it answers a request that has a Subject with an error
        menus={
            "addresses": f"{_ENTRA} › Basic SAML Configuration › Edit",
            "name_id": f"{_ENTRA} › Attributes & Claims › Edit › Unique User Identifier (Name ID)",
            "attributes": f"{_ENTRA} › Attributes & Claims › Edit",
            "signing": f"{_ENTRA} › SAML Certificates › Token signing certificate › Edit › Signing Option, Signing Algorithm",
            "encryption": "Entra admin center › Entra ID › Enterprise apps › (the application) › Token encryption",
            "certificate": f"{_ENTRA} › SAML Certificates › Token signing certificate › Edit",
            "people": "Entra admin center › Entra ID › Enterprise apps › (the application) › Users and groups",
            "logout": f"{_ENTRA} › Basic SAML Configuration › Edit › Logout Url",
        },
    ),
    "okta": Preset(
        name="Okta",
        guide="okta",
        name_id_format=NAME_ID_EMAIL,
        attributes=_SHORT,
        hint="subject",
        menus={
            "addresses": f"{_OKTA} › General › SAML Settings › Edit › Configure SAML",
            "name_id": f"{_OKTA} › General › SAML Settings › Edit › Name ID format, Application username",
            "attributes": f"{_OKTA} › Sign On › Attribute statements",
            "signing": f"{_OKTA} › General › SAML Settings › Edit › Show Advanced Settings › Response, Assertion Signature",
            "encryption": f"{_OKTA} › General › SAML Settings › Edit › Show Advanced Settings › Assertion Encryption",
            "certificate": f"{_OKTA} › Sign On › SAML Signing Certificates",
            "people": f"{_OKTA} › Assignments",
            "logout": f"{_OKTA} › General › SAML Settings › Edit › Show Advanced Settings › Signature Certificate, Single Logout",
        },
    ),
    "google": Preset(
        name="Google Workspace",
        guide="google",
        name_id_format=NAME_ID_EMAIL,
        attributes=_SHORT,
        hint="none",
        menus={
            "addresses": f"{_GOOGLE} › Service provider details",
            "name_id": f"{_GOOGLE} › Service provider details › Name ID",
            "attributes": f"{_GOOGLE} › SAML attribute mapping",
            "signing": f"{_GOOGLE} › Service provider details › Signed response",
            "certificate": "Google Admin console › Security › Authentication › SSO with SAML applications",
            "people": f"{_GOOGLE} › User access",
        },
    ),
    "adfs": Preset(
        name="AD FS",
        guide="adfs",
        name_id_format=NAME_ID_EMAIL,
        attributes={"given_name": f"{_WS}givenname", "family_name": f"{_WS}surname"},
        hint="username",
        menus={
            "addresses": f"{_ADFS} › Properties › Identifiers, Endpoints",
            "name_id": f"{_ADFS} › Edit Claim Issuance Policy › Transform an Incoming Claim (E-Mail Address → Name ID)",
            "attributes": f"{_ADFS} › Edit Claim Issuance Policy › Send LDAP Attributes as Claims",
            "signing": "Set-AdfsRelyingPartyTrust -SamlResponseSignature MessageAndAssertion; "
            f"{_ADFS} › Properties › Advanced › Secure hash algorithm",
            "encryption": f"{_ADFS} › Properties › Encryption",
            "certificate": "AD FS Management › Service › Certificates › Token-signing",
            "people": f"{_ADFS} › Edit Access Control Policy",
            "logout": f"{_ADFS} › Properties › Endpoints › Add SAML (SAML Logout); Signature",
        },
        encrypts_well=False,
    ),
    "onelogin": Preset(
        name="OneLogin",
        guide="onelogin",
        name_id_format=NAME_ID_EMAIL,
        attributes=_SHORT,
        hint="none",
        menus={
            "addresses": f"{_ONELOGIN} › Configuration",
            "name_id": f"{_ONELOGIN} › Parameters › NameID value; Configuration › SAML nameID format",
            "attributes": f"{_ONELOGIN} › Parameters",
            "signing": f"{_ONELOGIN} › Configuration › SAML signature element; SSO › SAML Signature Algorithm",
            "encryption": f"{_ONELOGIN} › Configuration › Encrypt assertion",
            "certificate": f"{_ONELOGIN} › SSO › X.509 Certificate",
            "people": f"{_ONELOGIN} › Access",
            "logout": f"{_ONELOGIN} › Configuration › Single Logout URL",
        },
    ),
    "ping": Preset(
        name="PingOne",
        guide="ping",
        name_id_format=NAME_ID_EMAIL,
        attributes=_SHORT,
        hint="none",
        menus={
            "addresses": f"{_PING} › Configuration › ACS URLs, Entity ID",
            "name_id": f"{_PING} › Attribute Mappings › saml_subject; Configuration › Subject NameID Format",
            "attributes": f"{_PING} › Attribute Mappings",
            "signing": f"{_PING} › Configuration › Sign Assertion & Response, Signing Algorithm",
            "encryption": f"{_PING} › Configuration › Encryption",
            "certificate": f"{_PING} › Configuration › Signing key",
            "people": f"{_PING} › Access",
            "logout": f"{_PING} › Configuration › SLO endpoint, SLO binding",
        },
    ),
    "jumpcloud": Preset(
        name="JumpCloud",
        guide="jumpcloud",
        name_id_format=NAME_ID_EMAIL,
        attributes=_SHORT,
        hint="none",
        menus={
            "addresses": f"{_JUMPCLOUD} › SSO › SP Entity ID, ACS URLs",
            "name_id": f"{_JUMPCLOUD} › SSO › SAMLSubject NameID, SAMLSubject NameID Format",
            "attributes": f"{_JUMPCLOUD} › SSO › Attributes › User Attribute Mapping",
            "signing": f"{_JUMPCLOUD} › SSO › Signature Algorithm, Sign",
            "certificate": f"{_JUMPCLOUD} › SSO › IdP Certificate",
            "people": f"{_JUMPCLOUD} › User Groups",
        },
    ),
    "keycloak": Preset(
        name="Keycloak",
        guide="keycloak",
        name_id_format=NAME_ID_EMAIL,
        attributes={"given_name": "urn:oid:2.5.4.42", "family_name": "urn:oid:2.5.4.4"},
        hint="subject",
        menus={
            "addresses": f"{_KEYCLOAK} › Settings › Client ID, Valid redirect URIs",
            "name_id": f"{_KEYCLOAK} › Settings › SAML capabilities › Name ID format, Force name ID format",
            "attributes": f"{_KEYCLOAK} › Client scopes › (the dedicated scope) › Add predefined mapper",
            "signing": f"{_KEYCLOAK} › Settings › Signature and Encryption › Sign documents, Sign assertions, Signature algorithm",
            "encryption": f"{_KEYCLOAK} › Keys › Encrypt assertions",
            "certificate": "Keycloak Admin Console › Realm settings › Keys",
            "people": "Keycloak Admin Console › Users",
            "logout": f"{_KEYCLOAK} › Advanced › Fine Grain SAML Endpoint Configuration; Settings › Front channel logout",
        },
    ),
    "shibboleth": Preset(
        name="Shibboleth",
        guide="shibboleth",
        name_id_format=NAME_ID_PERSISTENT,
        attributes={
            "email": "urn:oid:0.9.2342.19200300.100.1.3",
            "name": "urn:oid:2.16.840.1.113730.3.1.241",
            "given_name": "urn:oid:2.5.4.42",
            "family_name": "urn:oid:2.5.4.4",
        },
        hint="none",
        menus={
            "addresses": "conf/metadata-providers.xml",
            "name_id": "conf/saml-nameid.xml; conf/saml-nameid.properties; conf/relying-party.xml (nameIDFormatPrecedence)",
            "attributes": "conf/attribute-filter.xml",
            "signing": "conf/relying-party.xml (signResponses, signAssertions)",
            "encryption": "conf/relying-party.xml (encryptAssertions)",
            "certificate": "conf/credentials.xml; conf/idp.properties (idp.signing.key, idp.signing.cert)",
            "people": "conf/intercept/context-check-intercept-config.xml",
            "logout": "conf/relying-party.xml (SAML2.Logout); conf/idp.properties (idp.session.trackSPSessions)",
        },
    ),
    "other": Preset(
        name="SAML 2.0",
        guide="other",
        name_id_format=NAME_ID_EMAIL,
        attributes={},
        hint="none",
        menus={},
    ),
}
