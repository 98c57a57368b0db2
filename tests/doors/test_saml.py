"""What we send to companies' identity providers: read back by signxml and cryptography, not by code of ours."""

from __future__ import annotations

import base64
import re
import secrets
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from lxml import etree
from signxml import InvalidSignature as InvalidXmlSignature
from signxml import SignatureConfiguration, XMLVerifier
from signxml.algorithms import DigestAlgorithm, SignatureMethod

from idp.connections import NAME_ID_EMAIL, NAME_ID_PERSISTENT, SamlConnection
from idp.doors.saml import (
    ENCRYPTION,
    POST,
    REDIRECT,
    RSA_SHA256,
    PostForm,
    Redirect,
    authn_request,
    logout_request,
    logout_response,
    sp_metadata,
)
from tests.fakes.company_idp import CompanyIdp
from tests.saml_parties import connection_to, sp_key

NOW = 1_795_000_000.7
NAMES = {
    "saml": "urn:oasis:names:tc:SAML:2.0:assertion",
    "samlp": "urn:oasis:names:tc:SAML:2.0:protocol",
    "md": "urn:oasis:names:tc:SAML:2.0:metadata",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
}
ID = "_" + "ab" * 20
MFA = "https://refeds.org/profile/mfa"


@pytest.fixture
def acme() -> SamlConnection:
    return connection_to(CompanyIdp(), hint="none")


def verify_query(url: str, certificate: x509.Certificate) -> None:
    """As an identity provider does (SAML 2.0 bindings 3.4.4.1): over the query as it came, without the signature."""
    query, _, signature = urlsplit(url).query.partition("&Signature=")
    begins = re.search(r"SAML(Request|Response)=", query)
    assert begins is not None
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(base64.b64decode(unquote(signature)), query[begins.start() :].encode(), PKCS1v15(), SHA256())


def verify_xml(document: bytes, certificate: x509.Certificate) -> etree._Element:
    """The element that the enveloped signature really covers."""
    expected = SignatureConfiguration(
        signature_methods=frozenset({SignatureMethod.RSA_SHA256}),
        digest_algorithms=frozenset({DigestAlgorithm.SHA256}),
        location="./",
    )
    result = XMLVerifier().verify(document, x509_cert=certificate, expect_config=expected, id_attribute="ID")
    assert not isinstance(result, list)
    assert result.signed_xml is not None
    return result.signed_xml


def opened(message: Redirect | PostForm) -> tuple[etree._Element, dict[str, str]]:
    """The message as a tree, and the fields beside it."""
    if isinstance(message, PostForm):
        fields = dict(message.fields)
        name = next(name for name in fields if name.startswith("SAML"))
        return etree.fromstring(base64.b64decode(fields.pop(name))), fields
    fields = dict(parse_qsl(urlsplit(message.url).query, strict_parsing=True))
    name = next(name for name in fields if name.startswith("SAML"))
    return etree.fromstring(zlib.decompress(base64.b64decode(fields.pop(name)), -15)), fields


def ask(connection: SamlConnection, **changes: Any) -> Redirect | PostForm:
    return authn_request(connection, **({"id": ID, "now": NOW} | changes))


def found(tree: etree._Element, path: str) -> list[Any]:
    result = tree.xpath(path, namespaces=NAMES)
    assert isinstance(result, list)
    return result


# --- AuthnRequest ---------------------------------------------------------------------------------------------------------


def test_a_request_says_who_asks_whom_and_where_the_answer_goes(acme: SamlConnection) -> None:
    tree, fields = opened(ask(acme, relay_state="h" * 40))
    assert etree.QName(tree).localname == "AuthnRequest"
    assert dict(tree.attrib) == {
        "ID": ID,
        "Version": "2.0",
        "IssueInstant": "2026-11-18T11:06:40Z",
        "Destination": acme.sso_url,
        "ProtocolBinding": POST,
        "AssertionConsumerServiceURL": acme.acs,
    }
    assert [etree.QName(child).localname for child in tree] == ["Issuer", "NameIDPolicy"]
    assert found(tree, "saml:Issuer/text()") == [acme.entity_id]
    assert dict(found(tree, "samlp:NameIDPolicy")[0].attrib) == {"Format": NAME_ID_EMAIL, "AllowCreate": "true"}
    assert fields["RelayState"] == "h" * 40


def test_a_request_asks_for_a_fresh_silent_or_stronger_proof_only_when_told(acme: SamlConnection) -> None:
    tree, _ = opened(ask(acme, force_authn=True, passive=True, contexts=(MFA, "urn:x")))
    assert (tree.get("ForceAuthn"), tree.get("IsPassive")) == ("true", "true")
    assert found(tree, "samlp:RequestedAuthnContext/@Comparison") == ["exact"]
    assert found(tree, "samlp:RequestedAuthnContext/saml:AuthnContextClassRef/text()") == [MFA, "urn:x"]


@pytest.mark.parametrize("binding", ["redirect", "post"])
@pytest.mark.parametrize(
    ("hint", "subject", "query"),
    [
        ("subject", ["alice+x@acme.example"], ""),
        ("login_hint", [], "login_hint=alice%2Bx%40acme.example"),
        ("username", [], "username=alice%2Bx%40acme.example"),
        ("none", [], ""),
    ],
)
def test_the_address_is_passed_on_as_the_vendor_takes_it(
    acme: SamlConnection, binding: str, hint: str, subject: list[str], query: str
) -> None:
    connection = replace(acme, hint=hint, sso_binding=binding, name_id_format=NAME_ID_PERSISTENT)
    message = ask(connection, login_hint="alice+x@acme.example")
    tree, _ = opened(message)
    assert found(tree, "saml:Subject/saml:NameID/text()") == subject
    assert {name.get("Format") for name in found(tree, "saml:Subject/saml:NameID")} <= {NAME_ID_EMAIL}
    assert tree.get("Destination") == acme.sso_url
    asked = urlsplit(message.url).query.partition("SAMLRequest=")[0].rstrip("&")
    assert asked == query
    assert "alice" not in ask(connection, login_hint="").url


def test_an_address_with_a_query_of_its_own_keeps_it(acme: SamlConnection) -> None:
    url = "https://accounts.google.example/o/saml2/idp?idpid=C01"
    message = ask(replace(acme, sso_url=url), relay_state="r")
    assert message.url.startswith(f"{url}&SAMLRequest=")
    verify_query(message.url, acme.keys[0].certificate)


def test_s_28_ids_are_the_callers_160_random_bits_and_xml_names(acme: SamlConnection) -> None:
    id = "_" + secrets.token_hex(20)
    assert opened(ask(acme, id=id))[0].get("ID") == id
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9._-]*", id)


def test_s_30_relay_state_is_the_callers_handle_and_nothing_else(acme: SamlConnection) -> None:
    for binding in ("redirect", "post"):
        connection = replace(acme, sso_binding=binding)
        assert opened(ask(connection, relay_state="abc"))[1].get("RelayState") == "abc"
        assert "RelayState" not in opened(ask(connection))[1]


# --- signatures ---------------------------------------------------------------------------------------------------------------


def test_s_16_a_redirect_is_signed_by_rsa_sha256_and_says_so(acme: SamlConnection) -> None:
    message = ask(acme, relay_state="abc")
    assert opened(message)[1]["SigAlg"] == RSA_SHA256
    assert "sha1" not in message.url.lower()
    verify_query(message.url, acme.keys[0].certificate)


def test_s_29_the_signature_covers_the_query_as_it_is_sent(acme: SamlConnection) -> None:
    url = ask(acme, relay_state="a b/ü+&=~").url
    verify_query(url, acme.keys[0].certificate)
    assert opened(Redirect(url))[1]["RelayState"] == "a b/ü+&=~"
    for changed in (
        url.replace("RelayState=a", "RelayState=b"),
        url.replace("rsa-sha256", "rsa-sha512"),
        re.sub("%[0-9A-F]{2}", lambda escape: escape[0].lower(), url.partition("&Signature=")[0])
        + "&Signature="
        + url.partition("&Signature=")[2],
    ):
        assert changed != url
        with pytest.raises(InvalidSignature):
            verify_query(changed, acme.keys[0].certificate)


@pytest.mark.parametrize("kind", ["authn", "logout_request", "logout_response"])
def test_s_16_a_posted_message_carries_its_signature_behind_its_issuer(acme: SamlConnection, kind: str) -> None:
    connection = replace(acme, sso_binding="post", slo_binding="post")
    message = made(kind, connection)
    assert isinstance(message, PostForm)
    tree, _ = opened(message)
    assert [etree.QName(child).localname for child in tree][:2] == ["Issuer", "Signature"]
    assert found(tree, "//ds:SignatureMethod/@Algorithm") == [RSA_SHA256]
    assert found(tree, "//ds:DigestMethod/@Algorithm") == ["http://www.w3.org/2001/04/xmlenc#sha256"]
    assert found(tree, "//ds:Reference/@URI") == [f"#{ID}"]
    document = base64.b64decode(dict(message.fields)[next(iter(dict(message.fields)))])
    assert verify_xml(document, connection.keys[0].certificate).get("ID") == ID
    with pytest.raises(InvalidXmlSignature):
        verify_xml(
            document.replace(b"login.example/saml/acme0001/metadata", b"evil.example"), connection.keys[0].certificate
        )


def test_a_redirect_carries_no_signature_inside(acme: SamlConnection) -> None:
    assert found(opened(ask(acme))[0], "//ds:Signature") == []


def made(kind: str, connection: SamlConnection) -> Redirect | PostForm:
    match kind:
        case "authn":
            return ask(connection)
        case "logout_request":
            return logout_request(
                connection,
                id=ID,
                now=NOW,
                name_id="alice@acme.example",
                name_id_format=NAME_ID_EMAIL,
                session_index="_s1",
            )
        case _:
            return logout_response(connection, id=ID, in_response_to="_r1", now=NOW, success=True)


def test_sa_40_a_thousand_parallel_requests_of_two_companies_are_signed_by_the_right_key() -> None:
    """S-17: pysaml2 keeps one signer for the whole process, and its key is that of whoever came last."""
    parties = [
        connection_to(
            CompanyIdp(f"https://idp.{name}.example/saml"), id=name, keys=(sp_key(name),), sso_binding=binding
        )
        for name in ("acme", "globex")
        for binding in ("redirect", "post")
    ]
    gate = threading.Barrier(8)

    def work(worker: int) -> int:
        gate.wait()
        done = 0
        for number in range(125):
            connection = parties[(worker + number) % 4]
            other = parties[(worker + number + 2) % 4]
            message = ask(connection, id="_" + secrets.token_hex(20))
            tree, _ = opened(message)
            assert found(tree, "saml:Issuer/text()") == [connection.entity_id]
            if isinstance(message, Redirect):
                verify_query(message.url, connection.keys[0].certificate)
                with pytest.raises(InvalidSignature):
                    verify_query(message.url, other.keys[0].certificate)
            else:
                document = base64.b64decode(dict(message.fields)["SAMLRequest"])
                assert verify_xml(document, connection.keys[0].certificate).get("ID") == tree.get("ID")
            done += 1
        return done

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 1000


# --- S-findings about what of pysaml2 is never used -------------------------------------------------------------------------------


def test_s_17_s_20_s_24_s_26_of_pysaml2_only_the_object_model_is_ever_loaded() -> None:
    """No client with its cache of people, no configuration with its defaults, no signer, no xmlsec1, no metadata store."""
    code = (
        "import sys; import idp.doors.saml; "
        "print(sorted(m for m in sys.modules if m.startswith(('saml2', 'OpenSSL', 'xmlschema'))))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    models = ("md", "saml", "samlp", "time_util", "validate", "version", "xmldsig", "xmlenc")
    assert answer.stdout.strip() == str(["saml2", *(f"saml2.{name}" for name in models)])


def test_s_19_no_address_becomes_markup(acme: SamlConnection) -> None:
    """pysaml2's form builder printed the address unescaped; here it is a value that the template escapes."""
    url = 'https://idp.example/"><script>alert(1)</script>'
    message = ask(replace(acme, sso_url=url, sso_binding="post"))
    assert isinstance(message, PostForm)
    assert message.url == url
    assert opened(message)[0].get("Destination") == url
    assert b"<script>" not in base64.b64decode(dict(message.fields)["SAMLRequest"])


# --- logout ---------------------------------------------------------------------------------------------------------------------------


def test_a_logout_request_names_the_session_of_the_company(acme: SamlConnection) -> None:
    tree, fields = opened(made("logout_request", acme))
    assert etree.QName(tree).localname == "LogoutRequest"
    assert (tree.get("Destination"), tree.get("NotOnOrAfter")) == (acme.slo_url, "2026-11-18T11:11:40Z")
    assert [etree.QName(child).localname for child in tree] == ["Issuer", "NameID", "SessionIndex"]
    assert found(tree, "saml:NameID/text()") == ["alice@acme.example"]
    assert found(tree, "saml:NameID/@Format") == [NAME_ID_EMAIL]
    assert found(tree, "samlp:SessionIndex/text()") == ["_s1"]
    assert fields["SigAlg"] == RSA_SHA256


@pytest.mark.parametrize(("success", "status"), [(True, "Success"), (False, "Responder")])
def test_a_logout_response_answers_one_request_at_the_right_address(
    acme: SamlConnection, success: bool, status: str
) -> None:
    elsewhere = replace(acme, slo_response_url="https://idp.acme.example/slo/done")
    for connection, to in ((acme, acme.slo_url), (elsewhere, elsewhere.slo_response_url)):
        message = logout_response(
            connection, id=ID, in_response_to="_r1", now=NOW, success=success, relay_state="theirs"
        )
        tree, fields = opened(message)
        assert etree.QName(tree).localname == "LogoutResponse"
        assert (tree.get("Destination"), tree.get("InResponseTo")) == (to, "_r1")
        assert found(tree, "samlp:Status/samlp:StatusCode/@Value") == [f"urn:oasis:names:tc:SAML:2.0:status:{status}"]
        assert fields["RelayState"] == "theirs"
        assert message.url.startswith(f"{to}?SAMLResponse=")
        verify_query(message.url, connection.keys[0].certificate)


# --- metadata --------------------------------------------------------------------------------------------------------------------------


def certificates(tree: etree._Element, use: str) -> list[str]:
    return found(tree, f"//md:KeyDescriptor[@use='{use}']//ds:X509Certificate/text()")


def der(certificate: x509.Certificate) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


def test_our_metadata_holds_this_connections_names_addresses_and_keys(acme: SamlConnection) -> None:
    keys = (sp_key("acme1"), sp_key("acme1-next", "next"), sp_key("acme1-old", "retired"))
    tree = etree.fromstring(sp_metadata(replace(acme, keys=keys, name_id_format=NAME_ID_PERSISTENT)))
    assert tree.get("entityID") == acme.entity_id
    sp = found(tree, "md:SPSSODescriptor")[0]
    assert sp.get("AuthnRequestsSigned") == sp.get("WantAssertionsSigned") == "true"
    assert certificates(tree, "signing") == [der(keys[0].certificate), der(keys[1].certificate)]
    assert certificates(tree, "encryption") == [der(keys[0].certificate)]
    assert found(tree, "//md:EncryptionMethod/@Algorithm") == list(ENCRYPTION)
    assert found(tree, "//md:NameIDFormat/text()") == [NAME_ID_PERSISTENT]
    assert [(one.get("Binding"), one.get("Location")) for one in found(tree, "//md:SingleLogoutService")] == [
        (REDIRECT, acme.slo),
        (POST, acme.slo),
    ]
    services = found(tree, "//md:AssertionConsumerService")
    assert [(one.get("Binding"), one.get("Location"), one.get("isDefault")) for one in services] == [
        (POST, acme.acs, "true")
    ]


def test_s_06_who_would_encrypt_in_an_unsigned_response_is_not_told_a_key_for_it(acme: SamlConnection) -> None:
    tree = etree.fromstring(sp_metadata(replace(acme, vendor="adfs")))
    assert certificates(tree, "encryption") == []
    assert len(certificates(tree, "signing")) == 1


def test_our_metadata_is_in_the_order_of_the_schema(acme: SamlConnection) -> None:
    tree = etree.fromstring(sp_metadata(acme))
    assert [etree.QName(child).localname for child in found(tree, "md:SPSSODescriptor")[0]] == [
        *("KeyDescriptor", "KeyDescriptor", "SingleLogoutService", "SingleLogoutService"),
        *("NameIDFormat", "AssertionConsumerService"),
    ]
    assert [etree.QName(child).localname for child in found(tree, "//md:KeyDescriptor[@use='encryption']")[0]] == [
        "KeyInfo",
        *["EncryptionMethod"] * len(ENCRYPTION),
    ]


def test_no_private_key_is_in_our_metadata(acme: SamlConnection) -> None:
    assert b"PRIVATE" not in sp_metadata(acme)
    assert str(acme.keys[0].private.private_numbers().d) not in repr(acme)
