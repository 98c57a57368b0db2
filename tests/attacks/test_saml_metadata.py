"""Metadata as a weapon: entityIDs of others, hostile addresses, hosts that lie, and documents that are not what they seem
(SA-12, SA-32, SA-33, SA-34; findings S-03, S-18, S-19)."""

from __future__ import annotations

import base64
import gzip
import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import pytest
import trustme
from lxml import etree

from idp.companies import create_company
from idp.config import Config, read_config
from idp.connections import ConnectionRefused, Description, SamlConnection, check_description
from idp.doors.saml import PostForm, Redirect, authn_request
from idp.doors.saml_metadata import LARGEST, MetadataRefused, fetch_metadata, read_metadata
from idp.doors.saml_response import examine
from idp.fetch import Fetcher
from idp.parts import Parts
from tests.fakes.company_idp import DS, MD, CompanyIdp, certificate_for, instant, key_pair, md, pem
from tests.fakes.product_server import ProductServer, product_server, reply
from tests.saml_parties import add_customer, answer_for, connection_to, only_request, sent_request

NOW = time.time()
HERE = read_config({"IDP_ISSUER": "http://localhost:8000"})
ABROAD = read_config({"IDP_ISSUER": "https://login.example"})
ACME = CompanyIdp()
MALLORY = CompanyIdp("https://idp.mallory.example/saml", name="Mallory")


def read(document: bytes, **changes: Any) -> Description:
    return read_metadata(document, NOW, loopback=False, **changes)


def refused(document: bytes, **changes: Any) -> str:
    with pytest.raises(MetadataRefused) as error:
        read(document, **changes)
    return error.value.reason


# --- SA-12: metadata that reaches for another company ------------------------------------------------------------------------


def add(parts: Parts, company_id: str, document: bytes) -> SamlConnection:
    with parts.database.transaction() as db:
        return parts.connections.add(
            db, company_id, read(document), name="x", vendor="other", actor="operator:test", now=parts.clock(),
            random=secrets.token_bytes, document=document.decode(), source="file",
        )  # fmt: skip


def test_sa_12_s_03_the_entity_id_of_another_company_takes_nothing_from_it(parts: Parts) -> None:
    victim = add_customer(
        parts.database, parts.connections, ACME, now=parts.clock(), random=secrets.token_bytes, name="Acme"
    )
    with parts.database.transaction() as db:
        mallory = create_company(db, "Mallory", actor="operator:test", now=parts.clock(), random=parts.random).id
    stolen = CompanyIdp(ACME.entity_id, name="Mallory")  # the victim's name, the attacker's key

    theirs = add(parts, mallory, stolen.metadata())

    with parts.database.reading() as db:
        ours = parts.connections.load(db, victim.connection.id)
    assert ours is not None
    assert ours.certificates == (ACME.certificate,)
    assert theirs.idp_entity_id == ours.idp_entity_id
    assert {ours.acs, ours.entity_id, ours.slo}.isdisjoint({theirs.acs, theirs.entity_id, theirs.slo})
    now = parts.clock()
    for audience in (ours, theirs):  # said for either of the two, it counts at the victim's door in neither case
        answer = stolen.response(**answer_for(audience, acs=ours.acs), now=now)
        found = examine(answer, ours, only_request(sent_request(ours, now)), now)
        assert found.assertion is None
    genuine = ACME.response(**answer_for(ours), now=now)
    assert examine(genuine, ours, only_request(sent_request(ours, now)), now).assertion is not None
    assert examine(genuine, theirs, only_request(sent_request(theirs, now)), now).assertion is None


def test_sa_12_s_03_a_document_of_several_entities_is_refused() -> None:
    both = md.EntitiesDescriptor(*(etree.fromstring(idp.metadata()) for idp in (MALLORY, ACME)))
    one = md.EntitiesDescriptor(etree.fromstring(MALLORY.metadata()))
    nested = etree.fromstring(MALLORY.metadata())
    nested.append(etree.fromstring(ACME.metadata()))

    assert refused(etree.tostring(both)) == "saml_metadata_several"
    assert refused(etree.tostring(one)) == "saml_metadata_several"
    assert read(etree.tostring(nested)).entity_id == MALLORY.entity_id  # what stands inside is no role of it


def test_sa_12_a_second_role_of_an_identity_provider_is_refused() -> None:
    def twice(root: etree._Element) -> None:
        root.append(deepcopy(root[0]))

    def none(root: etree._Element) -> None:
        root[0].tag = f"{{{MD}}}SPSSODescriptor"

    assert refused(MALLORY.metadata(edit=twice)) == "saml_metadata_several"
    assert refused(MALLORY.metadata(edit=none)) == "saml_metadata_several"


@pytest.mark.parametrize("role", ["SPSSODescriptor", "AttributeAuthorityDescriptor", "RoleDescriptor", "PDPDescriptor"])
def test_sa_12_keys_of_other_roles_are_never_read(role: str) -> None:
    def another(root: etree._Element) -> None:
        for place in (0, len(root)):
            other = deepcopy(root.find(f"{{{MD}}}IDPSSODescriptor"))
            other.tag = f"{{{MD}}}{role}"
            next(other.iter(f"{{{DS}}}X509Certificate")).text = "not even a certificate"
            root.insert(place, other)

    assert read(ACME.metadata(edit=another)).certificates == (ACME.certificate,)


def test_sa_12_keys_in_other_namespaces_or_deeper_are_never_read() -> None:
    def hidden(root: etree._Element) -> None:
        role = root[0]
        key = deepcopy(role[0])
        next(key.iter(f"{{{DS}}}X509Certificate")).text = pem(MALLORY.certificate)
        extensions = md.Extensions()
        extensions.append(key)
        role.insert(0, extensions)
        foreign = deepcopy(key)
        foreign.tag = "{urn:evil}KeyDescriptor"
        role.append(foreign)

    assert read(ACME.metadata(edit=hidden)).certificates == (ACME.certificate,)


# --- SA-32: addresses --------------------------------------------------------------------------------------------------------

BAD_ADDRESSES = [
    "",
    "javascript:alert(1)",
    "JavaScript://idp.acme.example/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "//idp.acme.example/sso",
    "/sso",
    "http://idp.acme.example/sso",
    "http://localhost/sso",
    "https://localhost/sso",
    "https://127.0.0.1/sso",
    "https://[::1]/sso",
    "https://10.0.0.1/sso",
    "https://169.254.169.254/latest/meta-data",
    "https://2130706433/sso",
    "https://0x7f.1/sso",
    "https://intranet/sso",
    "https://idp.corp/sso",
    "https://idp.acme.local/sso",
    "https://metadata.google.internal/sso",
    "https://idp.acme.example/sso#x",
    "https://idp.acme.example/sso?x=1#",
    "https://user:secret@idp.acme.example/sso",
    "https://idp.acme.example@evil.example/sso",
    "https://idp.acme.example\\@evil.example/sso",
    'https://idp.acme.example/"><script>alert(1)</script>',
    "https://idp.acme.example/'onload='x",
    "https://idp.acme.example/\r\nSet-Cookie: x=1",
    "https://idp.acme.example/%0d%0aSet-Cookie:%20x=1",
    "https://idp.acme.example/a b",
    "https://idp.acme.example/../admin",
    "https://idp.acme.example/%2e%2e/admin",
    "https://idp.acme.example:0/sso",
    "https://idp.acme.example:99999/sso",
    "https://idp.acme.example:/sso",
    "https://idp.acme.example./sso",
    "https://idp_acme.example/sso",
    "https://idp.acm\u00e9.example/sso",
    "https://idp.acme.example/\u202esso",
    "https:// idp.acme.example/sso",
    "https:idp.acme.example/sso",
    "https://",
    "https://idp.acme.example/" + "x" * 10_000,
]


def description(**changes: Any) -> Description:
    values: dict[str, Any] = {
        "entity_id": "urn:acme", "sso_url": ACME.sso_url, "sso_binding": "redirect", "slo_url": ACME.slo_url,
        "slo_binding": "redirect", "slo_response_url": None, "certificates": (ACME.certificate,),
    }  # fmt: skip
    return Description(**(values | changes))


@pytest.mark.parametrize("address", BAD_ADDRESSES, ids=lambda address: repr(address)[1:40])
def test_sa_32_s_19_a_hostile_address_is_refused_wherever_it_stands(address: str) -> None:
    for member in ("sso_url", "slo_url", "slo_response_url"):
        with pytest.raises(ConnectionRefused) as error:
            check_description(description(**{member: address}), loopback=False, now=NOW)
        assert error.value.reason == "connection_address_wrong"

    def place(root: etree._Element) -> None:
        for endpoint in root.iter(f"{{{MD}}}SingleSignOnService"):
            endpoint.set("Location", address)

    if address.isprintable():  # XML would change the others on the way
        assert refused(ACME.metadata(edit=place)) == "connection_address_wrong"


@pytest.mark.parametrize(
    "address",
    [
        "https://idp.acme.example/sso?x=1",
        "https://idp.acme.example/sso?x=1&y=%3Ca%3E",
        "https://IdP.Acme.example:443/sso",
        "https://idp.acme.example:8443/adfs/ls/",
        "https://xn--acm-dma.example/sso;v=1",
        "HTTPS://idp.acme.example/sso",
    ],
)
def test_sa_32_an_honest_address_is_kept_letter_by_letter_and_harmless_when_used(address: str) -> None:
    check_description(description(sso_url=address), loopback=False, now=NOW)
    connection = connection_to(ACME, sso_url=address)

    for binding in ("redirect", "post"):
        sent = authn_request(
            connection_to(ACME, sso_url=address, sso_binding=binding), id="_" + "1" * 40, now=NOW, relay_state="r"
        )
        assert sent.url.startswith(address)
        if isinstance(sent, PostForm):
            document = base64.b64decode(dict(sent.fields)["SAMLRequest"])
            assert etree.fromstring(document).get("Destination") == connection.sso_url
        else:
            assert isinstance(sent, Redirect)
            assert sent.url[len(address)] == ("&" if "?" in address else "?")


# --- SA-33: where metadata is fetched ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def host(authority: trustme.CA) -> Iterator[ProductServer]:
    with product_server(authority) as server:
        yield server
        server.released.set()


def fetcher(
    authority: trustme.CA | None, config: Config = HERE, names: Callable[[str, int], Sequence[str]] | None = None
) -> Fetcher:
    trusted = ssl.create_default_context()
    if authority is not None:
        authority.configure_trust(trusted)
    return Fetcher(config, names or (lambda _host, _port: ["127.0.0.1"]), trusted)


def unreachable(outgoing: Fetcher, url: str) -> str:
    started = time.monotonic()
    with pytest.raises(MetadataRefused) as error:
        fetch_metadata(outgoing, url)
    assert time.monotonic() - started < 12
    return error.value.reason.removeprefix("saml_metadata_")


def test_sa_33_metadata_is_fetched_as_it_is(authority: trustme.CA, host: ProductServer) -> None:
    host.answer = reply(200, ACME.metadata(), Content_Type="application/samlmetadata+xml")

    assert read(fetch_metadata(fetcher(authority), host.url("/md"))).entity_id == ACME.entity_id
    assert "accept-encoding" not in host.asked[0].headers or host.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://idp.acme.example/",
        "http://idp.acme.example/md",
        "https://127.0.0.1/md",
        "https://[::ffff:127.0.0.1]/md",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/md",
        "https://[fd00::1]/md",
        "https://2130706433/md",
        "https://user@idp.acme.example/md",
    ],
)
def test_sa_33_s_18_an_address_inside_is_never_called(url: str) -> None:
    asked: list[str] = []

    def resolver(name: str, _port: int) -> Sequence[str]:
        asked.append(name)
        return ["127.0.0.1"]

    assert unreachable(fetcher(None, ABROAD, resolver), url) == "unreachable"
    assert asked == []


@pytest.mark.parametrize("inside", [["127.0.0.1"], ["10.0.0.1"], ["203.0.113.9", "10.0.0.1"], ["::1"], ["fe80::1"]])
def test_sa_33_s_18_a_name_that_leads_inside_is_not_called(host: ProductServer, inside: list[str]) -> None:
    outgoing = fetcher(None, ABROAD, lambda _host, _port: inside)

    assert unreachable(outgoing, f"https://idp.acme.example:{host.port}/md") == "unreachable"
    assert host.connections == 0


def test_sa_33_a_name_is_resolved_once(authority: trustme.CA, host: ProductServer) -> None:
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    host.answer = reply(200, b"<x/>")

    fetch_metadata(fetcher(authority, HERE, lambda _host, _port: next(answers)), host.url("/md"))

    assert next(answers) == ["10.0.0.1"]


@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 401, 404, 500])
def test_sa_33_a_redirect_or_an_error_is_no_metadata(authority: trustme.CA, host: ProductServer, status: int) -> None:
    host.answer = reply(status, ACME.metadata(), Location="https://127.0.0.1/md")

    assert unreachable(fetcher(authority), host.url("/md")) == "unreachable"
    assert len(host.asked) == 1


def test_sa_33_a_certificate_that_nobody_vouches_for_is_not_believed(host: ProductServer) -> None:
    host.answer = reply(200, ACME.metadata())

    assert unreachable(fetcher(None), host.url("/md")) == "unreachable"
    assert host.asked == []


def test_sa_33_an_endless_answer_is_cut(authority: trustme.CA, host: ProductServer) -> None:
    sent = 0

    def endless(_asked: object, write: Callable[[bytes], None]) -> None:
        nonlocal sent
        write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not host.released.is_set() and sent < 100 * LARGEST:
            write(b"<" * 65536)
            sent += 65536

    host.answer = endless

    assert unreachable(fetcher(authority), host.url("/md")) in ("too_large", "unreachable")
    assert sent < 20 * LARGEST


def test_sa_33_a_slow_answer_is_cut(authority: trustme.CA, host: ProductServer) -> None:
    def drip(_asked: object, write: Callable[[bytes], None]) -> None:
        write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not host.released.wait(0.2):
            write(b"<")

    host.answer = drip

    assert unreachable(fetcher(authority), host.url("/md")) == "unreachable"


def test_sa_33_a_packed_answer_is_not_unpacked(authority: trustme.CA, host: ProductServer) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    host.answer = reply(200, bomb, Content_Encoding="gzip")
    document = fetch_metadata(fetcher(authority), host.url("/md"))

    assert document == bomb
    assert refused(document) == "saml_metadata_not_xml"


HEAVY = {
    "entities": b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + b'<!ENTITY b "&a;&a;">' * 1000 + b"]><x>&b;</x>",
    "elements": b"<a>" * 300_000,
    "flat": b"<a>" + b"<b/>" * 250_000 + b"</a>",
    "attributes": b"<a " + b" ".join(b'a%d="x"' % number for number in range(70_000)) + b"/>",
    "namespaces": b"<a " + b" ".join(b'xmlns:a%d="urn:%d"' % (number, number) for number in range(40_000)) + b"/>",
    "comments": b"<!--" * 260_000,
    "more comments": b"<!---->" * 149_000 + b"<a/>",
    "text": b"<a>" + b"x" * 1_000_000 + b"</a>",
    "one attribute": b"<a b='" + b"x" * 1_000_000 + b"'/>",
    "declarations": b"<?xml version='1.0'" + b" " * 1_000_000,
    "brackets": b"<" * 1_000_000,
    "references": b"<a>" + b"&#65;" * 200_000 + b"</a>",
}


@pytest.mark.parametrize("kind", HEAVY)
def test_sa_33_no_document_takes_long(kind: str) -> None:
    started = time.thread_time()

    assert refused(HEAVY[kind])

    assert time.thread_time() - started < 0.3


# --- SA-34: a document that is signed, or seems to be --------------------------------------------------------------------------


def signed(idp: CompanyIdp = ACME, **named: Any) -> bytes:
    return idp.metadata(sign=True, **named)


def test_sa_34_s_18_what_a_pinned_certificate_signed_is_read() -> None:
    assert read(signed(), signed_by=ACME.certificate).certificates == (ACME.certificate,)
    commented = signed().replace(b"<md:NameIDFormat>", b"<!-- the signature does not mind --><md:NameIDFormat>")
    assert read(commented, signed_by=ACME.certificate).entity_id == ACME.entity_id


def test_sa_34_s_18_unsigned_metadata_does_not_count_where_a_certificate_is_pinned() -> None:
    assert refused(ACME.metadata(), signed_by=ACME.certificate) == "saml_metadata_unsigned"
    assert refused(signed(MALLORY), signed_by=ACME.certificate) == "saml_metadata_signature_wrong"


def test_sa_34_what_was_changed_after_it_was_signed_does_not_count() -> None:
    document = signed()
    for old, new in ((ACME.sso_url, "https://idp.evil.example/sso"), (ACME.entity_id, MALLORY.entity_id)):
        changed = document.replace(old.encode(), new.encode())
        assert changed != document
        assert refused(changed, signed_by=ACME.certificate) == "saml_metadata_signature_wrong"


def test_sa_34_s_18_a_signed_element_inside_another_does_not_speak_for_it() -> None:
    genuine = etree.fromstring(signed())
    signature = genuine.find(f"{{{DS}}}Signature")
    forged = etree.fromstring(MALLORY.metadata())
    variants = []
    for place in (0, 1):  # the whole signed document within the forged one
        outer = deepcopy(forged)
        outer.insert(place, deepcopy(genuine))
        variants.append(outer)
    outer = deepcopy(forged)
    extensions = md.Extensions()
    extensions.append(deepcopy(genuine))
    outer.insert(0, extensions)
    variants.append(outer)
    outer = deepcopy(forged)  # its signature moved out, what it signed hidden
    inner = deepcopy(genuine)
    inner.remove(inner.find(f"{{{DS}}}Signature"))
    outer.insert(0, deepcopy(signature))
    outer[0].append(etree.SubElement(outer[0], f"{{{DS}}}Object"))
    outer[0][-1].append(inner)
    variants.append(outer)
    outer = deepcopy(forged)  # the same ID twice
    outer.set("ID", genuine.get("ID"))
    outer.insert(0, deepcopy(signature))
    outer.append(deepcopy(genuine))
    variants.append(outer)
    outer = deepcopy(genuine)  # two signatures
    outer.insert(0, deepcopy(signature))
    variants.append(outer)

    for variant in variants:
        reason = refused(etree.tostring(variant), signed_by=ACME.certificate)
        assert reason in ("saml_metadata_unsigned", "saml_metadata_signature_wrong")


def test_sa_34_a_date_that_has_passed_is_honoured_also_when_signed() -> None:
    old = signed(valid_until=NOW - 60)

    assert refused(old, signed_by=ACME.certificate) == "saml_metadata_expired"
    assert refused(ACME.metadata(valid_until=NOW - 60)) == "saml_metadata_expired"
    later = old.replace(instant(NOW - 60).encode(), instant(NOW + 60).encode())
    assert refused(later, signed_by=ACME.certificate) == "saml_metadata_signature_wrong"


def test_sa_34_a_weak_key_is_never_added() -> None:
    weak = certificate_for(key_pair("rsa1024")[0])

    assert refused(signed(certificates=[ACME.certificate, weak]), signed_by=ACME.certificate) == (
        "connection_certificate_weak"
    )


def test_sa_34_no_refusal_repeats_the_document() -> None:
    secret = "a-very-secret-name-in-the-document"
    for document in (
        f"<html>{secret}</html>".encode(),
        f"{secret}".encode(),
        ACME.metadata().replace(b"emailAddress<", f"{secret}<!DOCTYPE".encode()),
        ACME.metadata().replace(b"<md:NameIDFormat>", f"<{secret}>".encode()),
    ):
        with pytest.raises(MetadataRefused) as error:
            read(document)
        assert secret not in f"{error.value!r}{error.value}{error.value.detail}"
