"""Promises of saml_metadata.py: every vendor's metadata is read, and nothing that is not exactly one identity provider."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from idp.connections import NAME_ID_EMAIL, Description
from idp.doors.saml_metadata import LARGEST, MOST_ELEMENTS, MetadataRefused, read_metadata
from idp.reasons import REASONS
from tests.fakes.company_idp import DS, MD, REDIRECT, CompanyIdp, certificate_for, instant, key_pair, md, pem
from tests.fakes.vendor_metadata import OTHER, SECOND, SIGNING, VENDORS, vendor_metadata

NOW = time.time()
ACME = CompanyIdp()

ENTRA = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/saml2"
OKTA = "https://acme.okta.com/app/acme_product_1/exk1a2b3c4d5E6F7g8h9/sso/saml"
GOOGLE = "https://accounts.google.com/o/saml2/idp?idpid=C01abcdef"
KEYCLOAK = "https://sso.acme.example/realms/acme/protocol/saml"
SHIBBOLETH = "https://idp.acme.example/idp/profile/SAML2/Redirect/SSO"
SIMPLE = "https://idp.acme.example/simplesaml/saml2/idp"
ADFS = "https://adfs.acme.example/adfs/ls/"
# entityID, sign-on and sign-out address
READ: dict[str, tuple[str, str, str | None]] = {
    "entra": ("https://sts.windows.net/11111111-2222-3333-4444-555555555555/", ENTRA, ENTRA),
    "okta": ("http://www.okta.com/exk1a2b3c4d5E6F7g8h9", OKTA, None),
    "google": ("https://accounts.google.com/o/saml2?idpid=C01abcdef", GOOGLE, None),
    "adfs": ("http://adfs.acme.example/adfs/services/trust", ADFS, ADFS),
    "keycloak": ("https://sso.acme.example/realms/acme", KEYCLOAK, KEYCLOAK),
    "shibboleth": ("https://idp.acme.example/idp/shibboleth", SHIBBOLETH, None),
    "simplesamlphp": (f"{SIMPLE}/metadata.php", f"{SIMPLE}/SSOService.php", f"{SIMPLE}/SingleLogoutService.php"),
}


def read(document: bytes, **changes: Any) -> Description:
    return read_metadata(document, changes.pop("now", NOW), loopback=changes.pop("loopback", False), **changes)


def refused(document: bytes, **changes: Any) -> str:
    with pytest.raises(MetadataRefused) as error:
        read(document, **changes)
    assert error.value.reason in REASONS
    assert len(str(error.value)) < 400
    return error.value.reason.removeprefix("saml_metadata_")


def edited(edit: Callable[[etree._Element], Any], **named: Any) -> bytes:
    return ACME.metadata(edit=edit, **named)


def role_of(root: etree._Element) -> etree._Element:
    found = root.find(f"{{{MD}}}IDPSSODescriptor")
    assert found is not None
    return found


# --- what real ones publish --------------------------------------------------------------------------------------------------


def test_there_is_a_document_of_each_vendor() -> None:
    assert sorted(READ) == VENDORS


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_metadata_of_a_vendor_is_read(vendor: str) -> None:
    found = read(vendor_metadata(vendor))

    assert (found.entity_id, found.sso_url, found.slo_url) == READ[vendor]
    assert found.sso_binding == "redirect"
    assert found.slo_binding == ("redirect" if found.slo_url else None)
    assert found.certificates == ((SECOND, SIGNING) if vendor == "shibboleth" else (SIGNING,))
    assert OTHER not in found.certificates


def test_what_else_it_says_is_read() -> None:
    assert read(vendor_metadata("simplesamlphp")).slo_response_url == f"{SIMPLE}/SingleLogoutReturn.php"
    assert NAME_ID_EMAIL in read(vendor_metadata("adfs")).name_id_formats
    assert len(read(vendor_metadata("adfs")).attribute_names) == 2
    assert read(vendor_metadata("google"), now=NOW).name_id_formats == (NAME_ID_EMAIL,)


def test_google_s_date_is_honoured() -> None:
    assert refused(vendor_metadata("google"), now=time.mktime((2031, 5, 7, 0, 0, 0, 0, 0, 0))) == "expired"


def test_post_is_taken_where_there_is_no_redirect() -> None:
    def no_redirect(root: etree._Element) -> None:
        for endpoint in root.iter(f"{{{MD}}}SingleSignOnService", f"{{{MD}}}SingleLogoutService"):
            if endpoint.get("Binding") == REDIRECT:
                endpoint.set("Binding", "urn:oasis:names:tc:SAML:2.0:bindings:SOAP")

    found = read(edited(no_redirect))

    assert (found.sso_binding, found.slo_url, found.slo_binding) == ("post", None, None)


def test_a_certificate_may_stand_there_in_any_shape_and_without_a_use() -> None:
    def messy(root: etree._Element) -> None:
        for descriptor in role_of(root).iterfind(f"{{{MD}}}KeyDescriptor"):
            del descriptor.attrib["use"]
        for element in root.iter(f"{{{DS}}}X509Certificate"):
            element.text = "\r\n  " + pem(ACME.certificate)

    assert read(edited(messy)).certificates == (ACME.certificate,)


def test_of_a_chain_only_the_first_is_the_signer() -> None:
    def chain(root: etree._Element) -> None:
        data = next(root.iter(f"{{{DS}}}X509Data"))
        etree.SubElement(data, f"{{{DS}}}X509Certificate").text = pem(OTHER)

    assert read(edited(chain)).certificates == (ACME.certificate,)


def test_on_loopback_http_is_allowed_and_nowhere_else() -> None:
    def local(root: etree._Element) -> None:
        for endpoint in root.iter(f"{{{MD}}}SingleSignOnService"):
            endpoint.set("Location", "http://localhost:8003/sso")

    assert read(edited(local), loopback=True).sso_url == "http://localhost:8003/sso"
    assert refused(edited(local)) == "connection_address_wrong"


# --- what is refused ---------------------------------------------------------------------------------------------------------


DOCUMENT = ACME.metadata()
BODY = DOCUMENT.partition(b"?>\n")[2]
LAUGHS = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"", "not_xml"),
        (b"<!doctype html><html><body>Sign in</body></html>", "forbidden"),
        (b"<html><body>Sign in</body></html>", "not_xml"),
        (b'{"issuer": "https://idp.acme.example"}', "not_xml"),
        (b"\x1f\x8b\x08\x00 gzip", "not_xml"),
        (DOCUMENT.decode().encode("utf-16"), "not_xml"),
        (DOCUMENT.replace(b"UTF-8", b"UTF-16"), "forbidden"),
        (DOCUMENT.replace(b"UTF-8", b"UTF-7"), "forbidden"),
        (DOCUMENT.replace(b"</md:EntityDescriptor>", b""), "not_xml"),
        (DOCUMENT + b"<x/>", "not_xml"),
        (DOCUMENT + b"\x00", "not_xml"),
        (LAUGHS + BODY, "forbidden"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd">' + BODY, "forbidden"),
        (b"<!-- <!DOCTYPE x> -->" + BODY.replace(b">", b"><![CDATA[x]]>", 1), "forbidden"),
        (b'<?xml-stylesheet href="x"?>' + BODY, "forbidden"),
        (BODY.replace(b">", b"><?php evil ?>", 1), "forbidden"),
        (b"<?x <!-- ?><!DOCTYPE x><?y --> ?>" + BODY, "forbidden"),
        (b"<!-- " + BODY, "not_xml"),
        (BODY.replace(b"idp.acme.example/saml", b"&x;"), "not_xml"),
        (b" " * (LARGEST + 1), "too_large"),
        (BODY.replace(b"<md:NameIDFormat>", b"<x/>" * (MOST_ELEMENTS + 1) + b"<md:NameIDFormat>"), "too_large"),
        (b"<a>" * 41 + b"</a>" * 41, "too_large"),
        (b"<a " + b" ".join(b'a%d=""' % number for number in range(1001)) + b"/>", "too_large"),
        (b"<md:EntityDescriptor/>", "not_xml"),
        (f'<EntityDescriptor xmlns="{MD}" entityID="urn:x"/>'.encode(), "several"),
    ],
)
def test_what_is_no_plain_metadata_is_refused(document: bytes, reason: str) -> None:
    assert refused(document) == reason


def change(tag: str, **attributes: str | None) -> Callable[[etree._Element], None]:
    def edit(root: etree._Element) -> None:
        for element in root.iter(f"{{{MD}}}{tag}"):
            for name, value in attributes.items():
                if value is None:
                    del element.attrib[name]
                else:
                    element.set(name, value)

    return edit


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (change("EntityDescriptor", entityID=None), "connection_entity_id_wrong"),
        (change("EntityDescriptor", entityID=" https://idp.acme.example"), "connection_entity_id_wrong"),
        (change("EntityDescriptor", entityID="urn:" + "x" * 1021), "connection_entity_id_wrong"),
        (change("EntityDescriptor", entityID='urn:"><script>'), "connection_entity_id_wrong"),
        (change("EntityDescriptor", validUntil=instant(NOW - 1)), "expired"),
        (change("EntityDescriptor", validUntil="tomorrow"), "expired"),
        (change("EntityDescriptor", validUntil="0001-01-01T00:00:00+23:00"), "expired"),
        (change("IDPSSODescriptor", validUntil=instant(NOW - 1)), "expired"),
        (change("IDPSSODescriptor", protocolSupportEnumeration="urn:oasis:names:tc:SAML:1.1:protocol"), "incomplete"),
        (change("IDPSSODescriptor", protocolSupportEnumeration=None), "incomplete"),
        (change("SingleSignOnService", Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP"), "incomplete"),
        (change("SingleSignOnService", Location=None), "connection_address_wrong"),
        (change("SingleLogoutService", Location="http://idp.acme.example/slo"), "connection_address_wrong"),
        (change("SingleLogoutService", ResponseLocation="javascript:alert(1)"), "connection_address_wrong"),
        (change("KeyDescriptor", use="encryption"), "connection_certificate_missing"),
    ],
)
def test_what_says_something_wrong_is_refused(edit: Callable[[etree._Element], None], reason: str) -> None:
    assert refused(edited(edit)) == reason


@pytest.mark.parametrize(
    ("date", "valid"),
    [(3600, True), (-3600, False)],
)
def test_dates_may_be_written_in_every_way_that_xml_has(date: int, valid: bool) -> None:
    plain = instant(NOW + date)
    for written in (plain, plain.replace("Z", ".1234567Z"), plain.replace("Z", "+00:00"), plain.replace("Z", "")):
        document = edited(change("EntityDescriptor", validUntil=written))
        assert (read(document).entity_id == ACME.entity_id) if valid else (refused(document) == "expired")


def test_certificates_in_metadata_are_checked_like_all_others() -> None:
    weak = certificate_for(key_pair("rsa1024")[0])
    old = certificate_for(ACME.private, days=1, begins=NOW - 10 * 86400)
    many = [certificate_for(key_pair("ec")[0], str(number)) for number in range(11)]

    assert refused(ACME.metadata(certificates=[ACME.certificate, weak])) == "connection_certificate_weak"
    assert refused(ACME.metadata(certificates=[old])) == "connection_certificate_ended"
    assert refused(ACME.metadata(certificates=many)) == "connection_certificate_other"
    both = ACME.metadata(certificates=[old, ACME.certificate, old])
    assert read(both).certificates == (old, ACME.certificate)


def test_names_that_are_remembered_are_bounded_and_printable() -> None:
    def talkative(root: etree._Element) -> None:
        role = role_of(root)
        for name in ("x" * 257, "a\u202eb", "  ok  ", "ok", ""):
            role.insert(2, md.NameIDFormat(name))
        for number in range(500):
            role.insert(2, md.NameIDFormat(f"urn:{number}"))

    formats = read(edited(talkative)).name_id_formats

    assert len(formats) == 200
    assert not any("\u202e" in name or len(name) > 256 for name in formats)


# --- anything at all ---------------------------------------------------------------------------------------------------------

PIECES = [
    *re.findall(rb"<[^>]*>|[^<]+", BODY),
    *(b"<!--", b"-->", b"<!DOCTYPE x>", b"<![CDATA[", b"]]>", b"<?x?>", b"&lt;", b"&#0;", b"&x;", b"\x00", b"\xff"),
    *(b"<md:EntitiesDescriptor>", b"</md:EntitiesDescriptor>", b'xmlns:md="urn:x"', b"'", b'"', b"=", b" ", b">"),
]
MUTATIONS = st.lists(
    st.tuples(st.integers(0, len(PIECES)), st.sampled_from(["drop", "double", "swap", "put"]), st.sampled_from(PIECES)),
    max_size=6,
)


@settings(max_examples=400, deadline=None)
@given(MUTATIONS)
def test_sa_34_any_mutation_is_read_the_same_or_refused(mutations: list[tuple[int, str, bytes]]) -> None:
    pieces = PIECES[: len(re.findall(rb"<[^>]*>|[^<]+", BODY))]
    for at, what, piece in mutations:
        at = min(at, len(pieces) - 1)
        if what == "drop" and len(pieces) > 1:
            del pieces[at]
        elif what == "double":
            pieces.insert(at, pieces[at])
        elif what == "swap":
            pieces[at], pieces[-1] = pieces[-1], pieces[at]
        else:
            pieces.insert(at, piece)
    try:
        found = read(b"".join(pieces))
    except MetadataRefused as error:
        assert error.reason in REASONS
    else:
        assert found.sso_url == ACME.sso_url
        assert found.certificates == (ACME.certificate,)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))))
def test_any_bytes_are_refused(document: bytes) -> None:
    assert refused(document)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["entityID", "Location", "Binding", "validUntil", "use"]), st.text(max_size=60))
def test_any_value_is_read_or_refused(name: str, value: str) -> None:
    def edit(root: etree._Element) -> None:
        for element in root.iter():
            if name in element.attrib or (name == "validUntil" and element is root):
                element.set(name, value)

    try:
        document = edited(edit)
    except ValueError:  # lxml writes no XML with such a character
        return
    try:
        found = read(document)
    except MetadataRefused as error:
        assert error.reason in REASONS
    else:
        assert found.sso_url.startswith("https://")
        assert not set(found.sso_url + found.entity_id) & set("\"'<>\\ \n\r\t\x00")
