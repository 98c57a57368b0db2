"""attacks.md section 8, as far as one message can be an attack: each case for Responses, assertions and both being signed.

``accepted`` is the only way in: a message counts when every check of ``examine`` and of ``identify`` holds.
"""

from __future__ import annotations

import base64
import copy
import random
import resource
import socketserver
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from idp.accounts.identity import Identity
from idp.connections import NAME_ID_PERSISTENT, SamlConnection
from idp.doors.company_identity import identify
from idp.doors.saml_response import Examination, examine
from tests.attacks import saml_forgeries
from tests.fakes.company_idp import (
    DS,
    EXCLUSIVE,
    SAML,
    SAMLP,
    SUCCESS,
    XENC,
    CompanyIdp,
    certificate_for,
    encrypted,
    instant,
    new_id,
    saml,
)
from tests.fakes.hand_signed import ENVELOPED, MORE, fill_in, skeleton
from tests.saml_parties import REQUEST, answer_for, connection_to, only_request, sent_request

NOW = float(int(time.time()))
STATUS = "urn:oasis:names:tc:SAML:2.0:status:"
SIGNED = ("response", "assertion", "both")
each_signed = pytest.mark.parametrize("sign", SIGNED)

ACME = CompanyIdp()
CONNECTION = connection_to(ACME)
ASSERTION, SIGNATURE = f"{{{SAML}}}Assertion", f"{{{DS}}}Signature"


def look(
    message: str | bytes, connection: SamlConnection = CONNECTION, now: float = NOW, **request: Any
) -> Examination:
    """Examine a message: XML as bytes, or base64."""
    encoded = base64.b64encode(message) if isinstance(message, bytes) else message
    return examine(encoded, connection, only_request(sent_request(connection, NOW, **request)), now)


def accepted(message: str | bytes, connection: SamlConnection = CONNECTION, **request: Any) -> Identity | None:
    """Who comes in by this message, at the company that has proved acme.example."""
    assertion = look(message, connection, **request).assertion
    return None if assertion is None else identify(assertion, connection, {"acme.example"}.__contains__, NOW)[0]


def genuine(
    sign: str = "assertion", idp: CompanyIdp = ACME, connection: SamlConnection = CONNECTION, **changes: Any
) -> bytes:
    return idp.document(**answer_for(connection, **{"now": NOW, "sign": sign, **changes}))


def tree(document: bytes) -> etree._Element:
    return etree.fromstring(document)


def part(root: etree._Element, tag: str) -> etree._Element:
    found = next(root.iter(tag))
    assert found is not None
    return found


@pytest.fixture(autouse=True, scope="module")
def the_genuine_message_is_accepted() -> None:
    """Else every refusal here would prove nothing."""
    for sign in SIGNED:
        identity = accepted(genuine(sign))
        assert identity is not None and identity.email == "alice@acme.example"


# --- SA-01, SA-05: signature wrapping -------------------------------------------------------------------------------------


def test_sa_01_no_mix_of_genuine_and_forged_elements_says_anything_else() -> None:
    """10³ variants of the generator; ``make test-long`` tries 10⁶ others."""
    outcome = saml_forgeries.attack(seed=1, number=1000)
    assert outcome.lies == () and outcome.accidents == ()
    assert outcome.harmless < 100  # it does change what counts
    assert len(outcome.refused) >= 7  # and it reaches the deeper checks


def forged_assertion(genuine_one: etree._Element, identifier: str | None = None) -> etree._Element:
    """A copy without signature that names the administrator."""
    forged = copy.deepcopy(genuine_one)
    for signature in list(forged.iter(SIGNATURE)):
        forged.remove(signature)
    part(forged, f"{{{SAML}}}NameID").text = "admin@acme.example"
    forged.set("ID", identifier or new_id())
    return forged


def xsw_1(root: etree._Element) -> etree._Element:
    """The signed Response within the Signature of a copy of it."""
    return _wrapped_response(root, lambda forged, signature: signature.append(root))


def xsw_2(root: etree._Element) -> etree._Element:
    """The signed Response before the Signature of a copy of it."""
    return _wrapped_response(root, lambda forged, signature: forged.insert(forged.index(signature), root))


def _wrapped_response(root: etree._Element, put: Callable[[etree._Element, etree._Element], None]) -> etree._Element:
    forged = copy.deepcopy(root)
    part(forged, f"{{{SAML}}}NameID").text = "admin@acme.example"
    forged.set("ID", new_id())
    signature = forged.find(SIGNATURE)
    if signature is None:
        signature = part(forged, SIGNATURE)
        parent = signature.getparent()
        assert parent is not None
        parent.remove(signature)
        forged.insert(1, signature)
    for inner in root.findall(SIGNATURE):
        root.remove(inner)
    put(forged, signature)
    return forged


def xsw_3(root: etree._Element) -> etree._Element:
    """A forged assertion before the genuine one."""
    assertion = part(root, ASSERTION)
    root.insert(root.index(assertion), forged_assertion(assertion))
    return root


def xsw_4(root: etree._Element) -> etree._Element:
    """The genuine assertion within a forged one."""
    assertion = part(root, ASSERTION)
    forged = forged_assertion(assertion)
    root.replace(assertion, forged)
    forged.append(assertion)
    return root


def xsw_5(root: etree._Element) -> etree._Element:
    """The forged assertion takes the signature, the genuine one follows without it."""
    assertion = part(root, ASSERTION)
    forged = forged_assertion(assertion)
    root.replace(assertion, forged)
    for signature in list(root.iter(SIGNATURE)):
        forged.insert(1, signature)
    root.append(assertion)
    return root


def xsw_6(root: etree._Element) -> etree._Element:
    """The same, and the genuine one stands within the signature."""
    assertion = part(root, ASSERTION)
    forged = forged_assertion(assertion)
    root.replace(assertion, forged)
    signatures = list(root.iter(SIGNATURE)) + list(assertion.iter(SIGNATURE))
    for signature in signatures:
        forged.insert(1, signature)
    signatures[0].append(assertion)
    return root


def xsw_7(root: etree._Element) -> etree._Element:
    """The genuine assertion in Extensions, a forged one in its place; the same ID."""
    assertion = part(root, ASSERTION)
    forged = forged_assertion(assertion, assertion.get("ID"))
    root.replace(assertion, forged)
    extensions = etree.Element(f"{{{SAMLP}}}Extensions")
    extensions.append(assertion)
    root.insert(1, extensions)
    return root


def xsw_8(root: etree._Element) -> etree._Element:
    """The genuine assertion in a ds:Object of the signature that the forged one took."""
    assertion = part(root, ASSERTION)
    forged = forged_assertion(assertion, assertion.get("ID"))
    root.replace(assertion, forged)
    signature = next(iter([*assertion.iter(SIGNATURE), *root.iter(SIGNATURE)]))
    forged.insert(1, signature)
    inside = etree.SubElement(signature, f"{{{DS}}}Object")
    inside.append(assertion)
    return root


def in_a_manifest(root: etree._Element) -> etree._Element:
    signature = part(root, SIGNATURE)
    manifest = etree.SubElement(etree.SubElement(signature, f"{{{DS}}}Object"), f"{{{DS}}}Manifest")
    manifest.append(copy.deepcopy(part(root, f"{{{DS}}}Reference")))
    return root


def two_signatures(root: etree._Element) -> etree._Element:
    signature = part(root, SIGNATURE)
    signature.addnext(copy.deepcopy(signature))
    return root


def two_signed_infos(root: etree._Element) -> etree._Element:
    signed_info = part(root, f"{{{DS}}}SignedInfo")
    signed_info.addnext(copy.deepcopy(signed_info))
    return root


def two_references(root: etree._Element) -> etree._Element:
    reference = part(root, f"{{{DS}}}Reference")
    reference.addnext(copy.deepcopy(reference))
    return root


def two_digest_values(root: etree._Element) -> etree._Element:
    value = part(root, f"{{{DS}}}DigestValue")
    value.addnext(copy.deepcopy(value))
    return root


def a_reference_to(uri: str) -> Callable[[etree._Element], etree._Element]:
    def change(root: etree._Element) -> etree._Element:
        part(root, f"{{{DS}}}Reference").set("URI", uri)
        return root

    change.__name__ = f"reference to {uri}"
    return change


def a_nested_response(root: etree._Element) -> etree._Element:
    outer = copy.deepcopy(root)
    for child in list(outer)[1:]:
        outer.remove(child)
    outer.set("ID", new_id())
    outer.append(root)
    return outer


def an_assertion_in_a_value(root: etree._Element) -> etree._Element:
    assertion = part(root, ASSERTION)
    value = etree.SubElement(
        etree.SubElement(
            etree.SubElement(assertion, f"{{{SAML}}}AttributeStatement"), f"{{{SAML}}}Attribute", {"Name": "x"}
        ),
        f"{{{SAML}}}AttributeValue",
    )
    value.append(forged_assertion(assertion))
    return root


def a_signature_of_another_element(root: etree._Element) -> etree._Element:
    """The signature holds, but for the assertion; it is put where that of the Response belongs."""
    signature = part(root, SIGNATURE)
    root.insert(1, signature)
    forged = forged_assertion(part(root, ASSERTION))
    root.replace(part(root, ASSERTION), forged)
    return root


WRAPPINGS = (
    *(xsw_1, xsw_2, xsw_3, xsw_4, xsw_5, xsw_6, xsw_7, xsw_8, in_a_manifest, two_signatures, two_signed_infos),
    *(two_references, two_digest_values, a_nested_response, an_assertion_in_a_value, a_signature_of_another_element),
    *(
        a_reference_to(uri)
        for uri in ("", "#", "#other", "https://evil.example/x", "#xpointer(/)", "#xpointer(id('x'))")
    ),
)


@each_signed
@pytest.mark.parametrize("wrapping", WRAPPINGS, ids=lambda one: one.__name__)
def test_sa_05_every_known_wrapping_is_refused(sign: str, wrapping: Callable[[Any], Any]) -> None:
    assert accepted(etree.tostring(wrapping(tree(genuine(sign))))) is None


@pytest.mark.parametrize("uri", ["", "#", "#{other}", "#xpointer(id('{own}'))", "https://evil.example/{own}", "{own}"])
def test_sa_05_also_a_company_that_signs_so_must_refer_to_the_element_itself(uri: str) -> None:
    """Signed by the genuine key, as a careless program would."""
    root = tree(genuine("none"))
    assertion = part(root, ASSERTION)
    written = uri.format(own=assertion.get("ID"), other=root.get("ID"))
    assertion.insert(1, tree(skeleton(written).encode()))
    fill_in(part(root, SIGNATURE), ACME.private)
    assert look(etree.tostring(root)).reason == "saml_structure_wrong"


# --- SA-06: two readers, two meanings ---------------------------------------------------------------------------------------

HEAD = b'<?xml version="1.0" encoding="UTF-8"?>'


def with_bytes(old: bytes, new: bytes, count: int = 1) -> Callable[[bytes], bytes]:
    return lambda document: document.replace(old, new, count)


DIFFERENTIALS: dict[str, Callable[[bytes], bytes]] = {
    "DOCTYPE": lambda document: b"<!DOCTYPE x>" + document,
    "DOCTYPE after the declaration": lambda document: HEAD + b"<!DOCTYPE x SYSTEM 'https://evil.example/'>" + document,
    "entity": lambda document: (
        b'<!DOCTYPE x [<!ENTITY e "admin">]>' + document.replace(b"alice@", b"&e;@", 1)
    ),
    "external entity": lambda document: (
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>' + document.replace(b"alice@", b"&e;@", 1)
    ),
    "entity without DOCTYPE": with_bytes(b"alice@", b"&e;@"),
    "CDATA": with_bytes(b"alice@acme.example", b"<![CDATA[alice@acme.example]]>"),
    "comment": with_bytes(b"alice@acme.example", b"alice@acme.example<!---->.evil.example"),
    "comment in the digest": with_bytes(b"<ds:DigestValue>", b"<ds:DigestValue><!--x-->"),
    "comment in the signature": with_bytes(b"<ds:SignatureValue>", b"<ds:SignatureValue><!--x-->"),
    "comment at the end": lambda document: document + b"<!-- x -->",
    "processing instruction": with_bytes(b"alice@", b"<?x y?>alice@"),
    "stylesheet": lambda document: HEAD + b'<?xml-stylesheet href="https://evil.example/"?>' + document,
    "second declaration": lambda document: HEAD + HEAD + document,
    "xml:base": with_bytes(b"<saml:Assertion ", b'<saml:Assertion xml:base="https://evil.example/" '),
    "xml:id": with_bytes(b"<saml:Assertion ", b'<saml:Assertion xml:id="x" '),
    "namespace bound anew": with_bytes(b"<saml:Subject>", b'<saml:Subject xmlns:saml="urn:mallory">'),
    "duplicate attribute": with_bytes(b'Version="2.0"', b'Version="2.0" Version="2.0"'),
    "duplicate by two prefixes": with_bytes(
        b"<saml:Subject>", b'<saml:Subject xmlns:a="urn:x" xmlns:b="urn:x" a:ID="1" b:ID="2">'
    ),
    "relative namespace": with_bytes(b"<saml:Subject>", b'<saml:Subject xmlns:a="relative">'),
    "namespace that is used and relative": with_bytes(b"<saml:Subject>", b'<saml:Subject xmlns:a="../x" a:y="1">'),
    "prefix that is not bound": with_bytes(b"<saml:Subject>", b'<saml:Subject z:y="1">'),
    "UTF-16": lambda document: document.decode().encode("utf-16"),
    "UTF-16 without BOM": lambda document: document.decode().encode("utf-16-le"),
    "UTF-16 that says so": lambda document: ('<?xml version="1.0" encoding="UTF-16"?>' + document.decode()).encode("utf-16"),
    "UTF-32": lambda document: document.decode().encode("utf-32-le"),
    "UTF-7": lambda document: b'<?xml version="1.0" encoding="UTF-7"?>' + document.decode().encode("utf-7"),
    "encoding that lies": lambda document: b'<?xml version="1.0" encoding="UTF-16"?>' + document,
    "Latin-1": lambda document: b'<?xml version="1.0" encoding="ISO-8859-1"?>' + document.replace(b"alice", b"\xe9lice"),
    "XML 1.1": lambda document: b'<?xml version="1.1"?>' + document,
    "BOM": lambda document: b"\xef\xbb\xbf" + document,
    "BOM within": with_bytes(b"><", b">\xef\xbb\xbf<", 2),
    "NUL": with_bytes(b"alice@", b"alice\x00@"),
    "character reference to NUL": with_bytes(b"alice@", b"alice&#0;@"),
    "bytes that are not UTF-8": with_bytes(b"alice@", b"al\xc0\xaece@"),
    "surrogate": with_bytes(b"alice@", b"al\xed\xa0\x80ce@"),
    "text at the end": lambda document: document + b"x",
    "text before": lambda document: b"x" + document,
    "two roots": lambda document: document + document,
    "nothing": lambda document: b"",
    "cut": lambda document: document[:-9],
    "capitals": with_bytes(b"samlp:Response", b"samlp:RESPONSE", 2),
}  # fmt: skip


@each_signed
@pytest.mark.parametrize("name", DIFFERENTIALS)
def test_sa_06_what_could_be_read_in_two_ways_is_refused_before_any_signature(sign: str, name: str) -> None:
    looked = look(DIFFERENTIALS[name](genuine(sign)))
    assert looked.assertion is None
    if name not in ("namespace bound anew", "capitals", "BOM within"):  # plain XML, but none of ours
        assert [check.name for check in looked.checks] == ["document"]
    assert looked.reason in ("saml_unreadable", "saml_structure_wrong", "saml_not_a_response", "saml_signature_wrong")


@pytest.mark.parametrize("encoded", ["=", "AAA", "!!!!", "PD94bWw=PD94", "PHg+\x00", "PHg+é", "é" * 10, "%3Cx%3E", ""])
def test_sa_06_what_is_not_base64_is_refused(encoded: str) -> None:
    assert look(encoded).reason == "saml_unreadable"


def test_sa_06_base64_in_lines_and_a_declaration_are_ordinary() -> None:
    assert look(base64.encodebytes(HEAD + b"\n" + genuine()).decode()).assertion is not None


# --- SA-08 to SA-11: one company, another company -----------------------------------------------------------------------------

EVIL = CompanyIdp("https://idp.evil.example/saml", name="Evil")
EVIL_CONNECTION = connection_to(EVIL, id="evil0001", company_id="company-evil")


@pytest.mark.parametrize("connection", [CONNECTION, EVIL_CONNECTION], ids=["at A", "at B"])
@each_signed
def test_sa_08_an_assertion_of_one_company_in_an_envelope_of_another_is_refused_at_both(
    sign: str, connection: SamlConnection
) -> None:
    message = genuine(sign, EVIL, connection, response_issuer=ACME.entity_id)
    looked = look(message, connection)
    assert looked.assertion is None
    assert looked.reason == ("saml_issuer_wrong" if connection is EVIL_CONNECTION else "saml_certificate_other")


@each_signed
def test_sa_09_an_assertion_that_names_another_issuer_is_refused(sign: str) -> None:
    message = genuine(sign, EVIL, EVIL_CONNECTION, issuer=ACME.entity_id, response_issuer=EVIL.entity_id)
    assert look(message, EVIL_CONNECTION).reason == "saml_issuer_wrong"
    assert look(message, CONNECTION).assertion is None


@each_signed
def test_sa_10_a_company_speaks_for_its_own_domains_only(sign: str) -> None:
    connection = connection_to(ACME, attributes={"email": "mail"})
    for name_id, mail in (
        ("bob@b.example", "alice@acme.example"),
        ("alice@acme.example", "bob@b.example"),
        ("admin@login.example", "admin@login.example"),
        ("alice@sub.acme.example", "alice@sub.acme.example"),
        ("alice@acme.example.evil.example", "alice@acme.example"),
        ("alice@acme.example", "alice@acme.exаmple"),  # a Cyrillic letter
    ):
        message = genuine(sign, connection=connection, name_id=name_id, attributes={"mail": [mail]})
        assert look(message, connection).assertion is not None
        assert accepted(message, connection) is None
    fine = genuine(sign, connection=connection, attributes={"mail": ["Alice@ACME.example"]})
    assert accepted(fine, connection) is not None


@each_signed
def test_sa_11_the_same_name_id_of_two_companies_is_two_people(sign: str) -> None:
    keys = set()
    for idp, identifier in ((ACME, "acme0001"), (EVIL, "evil0001"), (CompanyIdp(), "acme0002")):
        connection = connection_to(idp, id=identifier, name_id_format=NAME_ID_PERSISTENT, attributes={"email": "mail"})
        message = genuine(
            sign,
            idp,
            connection,
            name_id="42",
            name_id_format=NAME_ID_PERSISTENT,
            attributes={"mail": ["alice@acme.example"]},
        )
        identity = accepted(message, connection)
        assert identity is not None
        keys.add((identity.issuer, identity.subject))
    assert len(keys) == 3


# --- SA-13 to SA-15, SA-17, SA-20: another message, another place, another time, another request ---------------------------


@pytest.mark.parametrize(
    "name", ["LogoutResponse", "LogoutRequest", "AuthnRequest", "ArtifactResponse", "Assertion", "Envelope", "metadata"]
)
def test_sa_13_only_a_response_is_a_response(name: str) -> None:
    signed_assertion = tree(genuine("assertion")).find(ASSERTION)
    assert signed_assertion is not None
    if name == "LogoutResponse":
        message = ACME.logout_response(destination=CONNECTION.acs, in_response_to=REQUEST)
    elif name == "LogoutRequest":
        message = ACME.logout_request(destination=CONNECTION.acs, name_id="alice@acme.example")
    elif name == "metadata":
        message = ACME.metadata(sign=True)
    elif name == "Assertion":
        message = etree.tostring(signed_assertion)
    elif name == "Envelope":
        soap = "http://schemas.xmlsoap.org/soap/envelope/"
        envelope = etree.Element(f"{{{soap}}}Envelope")
        etree.SubElement(envelope, f"{{{soap}}}Body").append(tree(genuine("both")))
        message = etree.tostring(envelope)
    else:
        root = tree(genuine("none"))
        root.tag = f"{{{SAMLP}}}{name}"
        message = etree.tostring(ACME.sign(root))
    looked = look(message)
    assert looked.reason == "saml_not_a_response" and looked.assertion is None and not looked.unsolicited


@each_signed
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"destination": "https://login.example/saml/other/acs"}, "saml_destination_wrong"),
        ({"destination": CONNECTION.acs + "/"}, "saml_destination_wrong"),
        ({"destination": CONNECTION.acs.upper()}, "saml_destination_wrong"),
        ({"destination": ""}, "saml_destination_wrong"),
        ({"recipient": EVIL_CONNECTION.acs}, "saml_recipient_wrong"),
        ({"recipient": ""}, "saml_recipient_wrong"),
        ({"audiences": [["https://other.example"]]}, "saml_audience_wrong"),
        ({"audiences": [[CONNECTION.entity_id + " "]]}, "saml_audience_wrong"),
        ({"audiences": []}, "saml_audience_wrong"),
        ({"audiences": [[CONNECTION.entity_id], ["https://other.example"]]}, "saml_audience_wrong"),
    ],
)
def test_sa_14_every_address_is_ours_to_the_letter(sign: str, changes: dict[str, Any], reason: str) -> None:
    looked = look(genuine(sign, **changes))
    assert looked.reason == reason and looked.assertion is None and looked.seen is not None
    assert [check.reason for check in looked.checks if not check.ok] == [reason]  # all others hold


@each_signed
def test_sa_14_several_audiences_may_be_named_if_each_restriction_holds(sign: str) -> None:
    both = [[CONNECTION.entity_id, "https://other.example"], [CONNECTION.entity_id]]
    assert look(genuine(sign, audiences=both)).assertion is not None


@each_signed
def test_sa_14_without_conditions_nothing_holds(sign: str) -> None:
    def without(response: etree._Element) -> None:
        conditions = part(response, f"{{{SAML}}}Conditions")
        conditions.getparent().remove(conditions)  # type: ignore[union-attr] # it has one

    assert look(genuine(sign, edit=without)).reason == "saml_audience_wrong"


def confirmations(*methods: str, **attributes: str) -> Callable[[etree._Element], None]:
    """An edit: these SubjectConfirmations, with the data of the first but for ``attributes``."""

    def edit(response: etree._Element) -> None:
        subject = part(response, f"{{{SAML}}}Subject")
        old = part(response, f"{{{SAML}}}SubjectConfirmation")
        subject.remove(old)
        for method in methods:
            new = copy.deepcopy(old)
            new.set("Method", f"urn:oasis:names:tc:SAML:2.0:cm:{method}")
            for name, value in attributes.items():
                new[0].set(name, value)
            subject.append(new)

    return edit


@each_signed
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"confirmed_until": NOW - 61}, "saml_expired"),
        ({"not_on_or_after": NOW - 61}, "saml_expired"),
        ({"session_not_on_or_after": NOW - 61}, "saml_expired"),
        ({"confirmed_until": NOW + 10 * 365 * 86400}, "saml_lifetime_wrong"),
        ({"not_on_or_after": NOW + 10 * 365 * 86400}, "saml_lifetime_wrong"),
        ({"not_before": NOW + 61}, "saml_clock_ahead"),
        ({"edit": confirmations("sender-vouches")}, "saml_confirmation_wrong"),
        ({"edit": confirmations("holder-of-key")}, "saml_confirmation_wrong"),
        ({"edit": confirmations("bearer", "bearer")}, "saml_confirmation_wrong"),
        ({"edit": confirmations("bearer", "sender-vouches")}, "saml_confirmation_wrong"),
        ({"edit": confirmations()}, "saml_unsolicited"),
        ({"edit": confirmations("bearer", NotBefore=instant(NOW - 30))}, "saml_confirmation_wrong"),
        ({"edit": lambda response: part(response, f"{{{SAML}}}SubjectConfirmationData").attrib.pop("NotOnOrAfter")},
         "saml_lifetime_wrong"),
    ],
)  # fmt: skip
def test_sa_15_one_bearer_confirmation_that_counts_now(sign: str, changes: dict[str, Any], reason: str) -> None:
    if changes.get("edit") is not None and reason == "saml_unsolicited":
        reason = "saml_request_other"  # the envelope still names the request
    looked = look(genuine(sign, **changes))
    assert looked.reason == reason and looked.assertion is None


def test_sa_17_a_stolen_encrypted_assertion_answers_no_other_request() -> None:
    """Mallory puts alice's encrypted assertion into a Response to her own request: unsigned, or signed by herself."""
    ours = CONNECTION.keys[0].certificate
    stolen = part(tree(genuine("both", request_id="_" + "7" * 40, encrypt_for=ours)), f"{{{SAML}}}EncryptedAssertion")

    def envelope(response: etree._Element) -> None:
        response.replace(part(response, ASSERTION), copy.deepcopy(stolen))

    assert look(genuine("none", edit=envelope)).reason == "saml_encrypted_unsigned"
    assert look(genuine("response", EVIL, issuer=ACME.entity_id, edit=envelope)).reason == "saml_certificate_other"
    # Even if the company itself signed such an envelope, the assertion answers another request.
    assert look(genuine("response", edit=envelope)).reason == "saml_request_other"


@each_signed
def test_sa_20_an_answer_that_nobody_asked_for_begins_anew(sign: str) -> None:
    looked = look(genuine(sign, request_id=""))
    assert looked.reason == "saml_unsolicited" and looked.unsolicited and looked.assertion is None
    looked = look(genuine(sign, request_id="_" + "8" * 40))
    assert looked.reason == "saml_request_unknown" and not looked.unsolicited
    for changes in ({"confirmed_request": ""}, {"confirmed_request": "_other"}):
        looked = look(genuine(sign, **changes))
        assert looked.reason == "saml_request_other" and not looked.unsolicited
    forged = look(genuine("none", request_id=""))
    assert forged.reason == "saml_unsigned" and not forged.unsolicited


# --- SA-21 to SA-23: encryption -----------------------------------------------------------------------------------------------


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """A port of this machine, and everybody who called it."""
    called: list[str] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            called.append(str(self.client_address))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/x", called
        server.shutdown()


def sealed(change: Callable[[etree._Element], None], **how: Any) -> bytes:
    """A signed Response with an encrypted assertion that was changed before the Response was signed."""

    def edit(response: etree._Element) -> None:
        change(part(response, f"{{{SAML}}}EncryptedAssertion"))

    return genuine("response", encrypt_for=CONNECTION.keys[0].certificate, edit_signed=edit, **how)


@pytest.mark.parametrize("place", ["content", "key", "pointer", "pointer beside"])
@pytest.mark.parametrize("scheme", ["http", "file", "fragment"])
def test_sa_21_nothing_is_ever_fetched_for_a_message(place: str, scheme: str) -> None:
    with listening() as (address, called):
        uri = {"http": address, "file": "file:///etc/hostname", "fragment": "#elsewhere"}[scheme]

        def change(inside: etree._Element) -> None:
            values = list(inside.iter(f"{{{XENC}}}CipherValue"))
            if place in ("content", "key"):
                value = values[-1 if place == "content" else 0]
                data = value.getparent()
                assert data is not None
                data.replace(value, etree.Element(f"{{{XENC}}}CipherReference", {"URI": uri}))
                return
            wrapped = part(inside, f"{{{XENC}}}EncryptedKey")
            key_info = wrapped.getparent()
            assert key_info is not None
            pointer = etree.Element(f"{{{DS}}}RetrievalMethod", {"URI": uri, "Type": XENC + "EncryptedKey"})
            key_info.replace(wrapped, pointer)
            if place == "pointer beside":
                inside.append(wrapped)

        looked = look(sealed(change))
        assert looked.reason == "saml_structure_wrong" and looked.assertion is None
        assert called == []


@each_signed
@pytest.mark.parametrize(
    "algorithm", ["http://www.w3.org/TR/1999/REC-xslt-19991116", "http://www.w3.org/TR/1999/REC-xpath-19991116"]
)
def test_sa_21_transforms_that_compute_are_refused(sign: str, algorithm: str) -> None:
    def change(response: etree._Element) -> None:
        for transform in list(response.iter(f"{{{DS}}}Transform"))[::2]:
            transform.set("Algorithm", algorithm)

    root = tree(genuine(sign))
    change(root)
    assert look(etree.tostring(root)).assertion is None


@each_signed
@pytest.mark.parametrize("name", ["EncryptedID", "EncryptedAttribute"])
def test_sa_21_encrypted_parts_of_an_assertion_are_refused(sign: str, name: str) -> None:
    secret = encrypted(saml.NameID("x"), CONNECTION.keys[0].certificate)
    secret.tag = f"{{{SAML}}}{name}"

    def edit(response: etree._Element) -> None:
        if name == "EncryptedID":
            subject = part(response, f"{{{SAML}}}Subject")
            subject.replace(part(subject, f"{{{SAML}}}NameID"), secret)
        else:
            part(response, ASSERTION).append(saml.AttributeStatement(secret))

    assert look(genuine(sign, edit=edit)).reason == "saml_structure_wrong"


def test_sa_21_a_pointer_to_the_key_in_the_message_is_no_fetch() -> None:
    """As OpenSAML writes it when the key stands beside the content."""

    def edit(response: etree._Element) -> None:
        assertion = part(response, ASSERTION)
        response.replace(assertion, encrypted(assertion, CONNECTION.keys[0].certificate, beside=True))

    assert look(genuine("response", edit_signed=edit)).assertion is not None


@pytest.mark.parametrize("cipher", ["aes128-gcm", "aes256-gcm", "aes128-cbc", "aes256-cbc"])
def test_sa_22_whatever_is_wrong_with_a_ciphertext_the_answer_is_the_same(cipher: str) -> None:
    """Changed and signed anew by the company's own key: nobody else gets that far."""
    chance = random.Random(22)
    answers = set()
    for number in range(250):  # a thousand with all four

        def change(inside: etree._Element) -> None:
            value = list(inside.iter(f"{{{XENC}}}CipherValue"))[number % 2]  # noqa: B023 called at once
            octets = bytearray(base64.b64decode(value.text or ""))
            octets[chance.randrange(len(octets))] ^= 1 << chance.randrange(8)
            value.text = base64.b64encode(bytes(octets)).decode()

        looked = look(sealed(change, cipher=cipher))
        if looked.assertion is None:  # CBC protects nothing: a bit in the text of a value may be another letter
            failed = next(check for check in looked.checks if not check.ok)
            if failed.name == "decryption":
                answers.add(failed)
        else:
            assert cipher.endswith("cbc")
    assert len(answers) == 1
    assert {check.reason for check in answers} == {"saml_decryption_failed"}


def test_sa_22_rsa_1_5_is_never_tried() -> None:
    def change(inside: etree._Element) -> None:
        part(inside, f"{{{XENC}}}EncryptedKey")[0].set("Algorithm", XENC + "rsa-1_5")
        part(inside, f"{{{XENC}}}EncryptedKey")[0].clear(keep_tail=True)
        part(inside, f"{{{XENC}}}EncryptedKey")[0].set("Algorithm", XENC + "rsa-1_5")

    assert look(sealed(change)).reason == "saml_algorithm_weak"


def test_sa_22_without_the_signature_of_the_response_nothing_is_decrypted() -> None:
    """A changed ciphertext and a genuine one get the same words, before any key is touched."""
    ours = CONNECTION.keys[0].certificate
    for message in (genuine("assertion", encrypt_for=ours), genuine("none", encrypt_for=ours)):
        root = tree(message)
        broken = copy.deepcopy(root)
        part(broken, f"{{{XENC}}}CipherValue").text = "AAAA"
        first, second = look(etree.tostring(root)), look(etree.tostring(broken))
        assert first.checks[1:] == second.checks[1:]
        assert first.reason == "saml_encrypted_unsigned"


def test_sa_22_the_same_work_is_done_whether_the_key_or_the_content_is_broken() -> None:
    def time_of(change: Callable[[etree._Element], None]) -> float:
        message = base64.b64encode(sealed(change))
        times = []
        for _ in range(15):
            start = time.thread_time()
            look(message.decode())
            times.append(time.thread_time() - start)
        return min(times)

    def broken(number: int) -> Callable[[etree._Element], None]:
        def change(inside: etree._Element) -> None:
            value = list(inside.iter(f"{{{XENC}}}CipherValue"))[number]
            octets = base64.b64decode(value.text or "")
            value.text = base64.b64encode(octets[:-1] + bytes([octets[-1] ^ 1])).decode()

        return change

    key, content = time_of(broken(0)), time_of(broken(1))
    assert 0.5 < key / content < 2  # both do one RSA operation per key of ours and one AES operation


def several(*kinds: str) -> Callable[[etree._Element], None]:
    """An edit: assertions of these kinds, plain or encrypted."""

    def edit(response: etree._Element) -> None:
        assertion = part(response, ASSERTION)
        response.remove(assertion)
        for kind in kinds:
            one = copy.deepcopy(assertion)
            one.set("ID", new_id())
            response.append(encrypted(one, CONNECTION.keys[0].certificate) if kind == "encrypted" else one)

    return edit


@pytest.mark.parametrize(
    "kinds",
    [("plain", "encrypted"), ("encrypted", "plain"), ("plain", "plain"), (), ("encrypted",) * 5, ("encrypted",) * 2],
    ids=str,
)
@pytest.mark.parametrize("sign", ["response", "both"])
def test_sa_23_exactly_one_assertion(sign: str, kinds: tuple[str, ...]) -> None:
    looked = look(genuine("response", edit=several(*kinds)))
    assert looked.reason == "saml_structure_wrong" and looked.assertion is None


@each_signed
def test_sa_23_no_assertion_gives_advice(sign: str) -> None:
    def edit(response: etree._Element) -> None:
        assertion = part(response, ASSERTION)
        advice = saml.Advice(forged_assertion(assertion))
        part(assertion, f"{{{SAML}}}Conditions").addnext(advice)

    assert look(genuine(sign, edit=edit)).reason == "saml_structure_wrong"


# --- SA-24: weak and strange algorithms, signed by the genuine key -----------------------------------------------------------


def by_hand(sign: str, key: Any = None, **how: Any) -> bytes:
    """A message whose Signature was written by hand and filled in with the company's key."""
    root = tree(genuine("none"))
    for element in ([part(root, ASSERTION)] if sign != "response" else []) + ([root] if sign != "assertion" else []):
        element.insert(1, tree(skeleton(f"#{element.get('ID')}", **how).encode()))
        fill_in(element[1], ACME.private if key is None else key)
    return etree.tostring(root)


@each_signed
@pytest.mark.parametrize(
    "how",
    [
        {"method": DS + "rsa-sha1"},
        {"digest": DS + "sha1"},
        {"method": DS + "rsa-sha1", "digest": DS + "sha1"},
        {"method": MORE + "rsa-md5"},
        {"method": MORE + "rsa-sha224"},
        {"digest": MORE + "sha224"},
        {"digest": MORE + "md5"},
        {"c14n": "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"},
        {"c14n": EXCLUSIVE + "WithComments"},
        {"transforms": (ENVELOPED, "http://www.w3.org/TR/2001/REC-xml-c14n-20010315")},
        {"transforms": (ENVELOPED, EXCLUSIVE + "WithComments")},
        {"transforms": (EXCLUSIVE, ENVELOPED)},
        {"transforms": (ENVELOPED,)},
        {"transforms": (EXCLUSIVE,)},
        {"transforms": ()},
        {"transforms": (ENVELOPED, EXCLUSIVE, EXCLUSIVE)},
        {"transforms": (ENVELOPED, ENVELOPED, EXCLUSIVE)},
        {"transforms": (ENVELOPED, f'<ds:Transform Algorithm="{EXCLUSIVE}"><ds:XPath>true()</ds:XPath></ds:Transform>')},
        {"transforms": (f'<ds:Transform Algorithm="{ENVELOPED}">x</ds:Transform>', EXCLUSIVE)},
    ],
    ids=str,
)  # fmt: skip
def test_sa_24_only_strong_algorithms_and_the_two_transforms(sign: str, how: dict[str, Any]) -> None:
    assert look(by_hand(sign)).assertion is not None
    looked = look(by_hand(sign, **how))
    assert looked.assertion is None and looked.reason in ("saml_algorithm_weak", "saml_structure_wrong")


@each_signed
def test_sa_24_a_certificate_is_no_secret_of_an_hmac(sign: str) -> None:
    der = ACME.certificate.public_bytes(Encoding.DER)
    pem = ACME.certificate.public_bytes(Encoding.PEM)
    for method in (DS + "hmac-sha1", MORE + "hmac-sha256"):
        for secret in (der, pem):
            assert look(by_hand(sign, key=secret, method=method)).reason == "saml_algorithm_weak"


@each_signed
def test_sa_24_small_keys_and_other_kinds_do_not_count(sign: str) -> None:
    small = rsa.generate_private_key(65537, 1024)
    connection = connection_to(ACME, certificates=(certificate_for(small),))
    assert look(by_hand(sign, key=small), connection).reason == "saml_algorithm_weak"
    # A signature value of one kind under the name of the other
    elliptic = CompanyIdp(kind="ec")
    assert look(genuine(sign, elliptic), connection_to(elliptic)).assertion is not None
    for idp in (ACME, elliptic):
        method = MORE + ("ecdsa-sha256" if idp is ACME else "rsa-sha256")
        root = tree(genuine(sign, idp))
        for element in root.iter(f"{{{DS}}}SignatureMethod"):
            element.set("Algorithm", method)
        assert look(etree.tostring(root), connection_to(idp)).assertion is None


@each_signed
def test_sa_24_the_certificate_in_the_message_is_never_believed(sign: str) -> None:
    evil = CompanyIdp(ACME.entity_id, name="Evil")
    looked = look(genuine(sign, evil))
    assert looked.reason == "saml_certificate_other" and looked.assertion is None


@each_signed
def test_sa_24_forged_padding_with_a_small_exponent_is_refused(sign: str) -> None:
    """Bleichenbacher's forgery of 2006: a cube whose beginning looks like PKCS #1 v1.5, and garbage after it."""
    private = rsa.generate_private_key(3, 2048)
    connection = connection_to(ACME, certificates=(certificate_for(private),))
    assert look(by_hand(sign, key=private), connection).assertion is not None
    block = b"\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\x00" + bytes.fromhex(
        "3031300d060960864801650304020105000420" + "11" * 32
    )
    wanted = int.from_bytes(block + b"\x00" * (256 - len(block)), "big")
    low, high = 0, 1 << 700
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**3 < wanted else (low, middle)
    root = tree(by_hand(sign, key=private))
    for value in root.iter(f"{{{DS}}}SignatureValue"):
        value.text = base64.b64encode(low.to_bytes(256, "big")).decode()
    assert look(etree.tostring(root), connection).assertion is None


@pytest.mark.parametrize("kind", ["ec", "ec384", "ec521"])
def test_sa_24_odd_signature_values_of_elliptic_curves_are_refused(kind: str) -> None:
    idp = CompanyIdp(kind=kind)
    connection = connection_to(idp)
    good = tree(genuine("response", idp))
    value = part(good, f"{{{DS}}}SignatureValue")
    octets = base64.b64decode(value.text or "")
    half = len(octets) // 2
    for odd in (
        bytes(len(octets)),
        b"",
        octets[:-1],
        octets + b"\x00",
        b"\x00" + octets,
        octets[half:] + octets[:half],
        octets[:half] + bytes(half),
        bytes(half) + octets[half:],
        b"\xff" * len(octets),
        octets * 2,
    ):
        value.text = base64.b64encode(odd).decode()
        assert look(etree.tostring(good), connection).assertion is None
    value.text = base64.b64encode(octets).decode()
    assert look(etree.tostring(good), connection).assertion is not None


# --- SA-26: large and deep ------------------------------------------------------------------------------------------------------


def attributes_of(number: int) -> bytes:
    return b"".join(b' a%d="1"' % one for one in range(number))


LARGE: dict[str, Callable[[], str | bytes]] = {
    "deflated": lambda: base64.b64encode(zlib.compress(b"<x>" + b"a" * 12_000_000 + b"</x>")[2:-4]).decode(),
    "259 kB": lambda: "A" * 259_000,
    "20 MB": lambda: "A" * 20_000_000,
    "100 000 nodes": lambda: b"<x>" + b"<a/>" * 100_000 + b"</x>",
    "5 000 nodes": lambda: b"<x>" + b"<a/>" * 4_999 + b"</x>",
    "40 000 tiny nodes": lambda: b"<x>" + b"<a/>" * 40_000 + b"</x>",
    "depth 50 000": lambda: b"<a>" * 50_000 + b"</a>" * 50_000,
    "depth 2 000": lambda: b"<a>" * 2_000 + b"</a>" * 2_000,
    "depth 200": lambda: b"<a>" * 200 + b"</a>" * 200,
    "20 000 attributes": lambda: b"<x" + attributes_of(20_000) + b"/>",
    "16 000 namespaces": lambda: b"<x" + b"".join(b' xmlns:a%d="u:"' % one for one in range(9_000)) + b"/>",
    "1 MB NameID": lambda: genuine("response", name_id="a" * 1_000_000),
    "180 kB NameID": lambda: genuine("response", name_id="a" * 180_000),
    "1 000 EncryptedAssertions": lambda: b'<p:Response xmlns:p="%s" Version="2.0">' % SAMLP.encode()
    + b'<EncryptedAssertion xmlns="%s"/>' % SAML.encode() * 1000
    + b"</p:Response>",
    "billion laughs": lambda: (
        b'<!DOCTYPE x [<!ENTITY a "ha">'
        + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10))
        + b"]><x>&a9;</x>"
    ),
    "quadratic blow-up": lambda: b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 50_000 + b'">]><x>' + b"&a;" * 20_000 + b"</x>",
    "prefixes": lambda: etree.tostring(_with_prefixes()),
    "character references": lambda: b"<x>" + b"&#65;" * 36_000 + b"</x>",
}  # fmt: skip


def _with_prefixes() -> etree._Element:
    root = tree(genuine("response"))
    listed = " ".join(f"p{number}" for number in range(20_000))
    for element in root.iter(f"{{{DS}}}CanonicalizationMethod", f"{{{DS}}}Transform"):
        etree.SubElement(element, f"{{{EXCLUSIVE}}}InclusiveNamespaces", {"PrefixList": listed[:80_000]})
    return root


@pytest.mark.parametrize("name", LARGE)
def test_sa_26_large_and_deep_messages_cost_nothing(name: str) -> None:
    message = LARGE[name]()
    encoded = base64.b64encode(message).decode() if isinstance(message, bytes) else message
    look(encoded)  # warm
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    looked = look(encoded)
    spent = time.process_time() - start
    assert looked.assertion is None or name == "180 kB NameID"
    assert spent <= 0.1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before <= 20 * 1024  # kB
    if name == "180 kB NameID" and looked.assertion is not None:
        assert identify(looked.assertion, CONNECTION, lambda domain: True, NOW)[0] is None


# --- SA-28: the company says no -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", ["none", "response", "assertion", "both"])
@pytest.mark.parametrize("assertion", [False, True], ids=["alone", "with an assertion"])
@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        (("Responder",), "saml_status_failed"),
        (("Requester", "RequestUnsupported"), "saml_status_failed"),
        (("Responder", "NoPassive"), "saml_status_no_passive"),
        (("Responder", "AuthnFailed"), "saml_status_denied"),
        (("Responder", "RequestDenied"), "saml_status_denied"),
        (("VersionMismatch",), "saml_status_failed"),
        (("success",), "saml_status_failed"),
        (("Success", "AuthnFailed"), "saml_status_denied"),
    ],
)
def test_sa_28_a_status_other_than_success_is_no_sign_in(
    sign: str, assertion: bool, codes: tuple[str, ...], reason: str
) -> None:
    status = [STATUS + code for code in codes]
    looked = look(genuine(sign, status=status, assertion=assertion, status_message="user alice@acme.example is away"))
    assert looked.assertion is None and looked.status == codes
    assert looked.reason == ("saml_unsigned" if assertion and sign == "none" else reason)
    assert "alice@" not in str(looked.checks)
    assert looked.in_response_to == (None if sign == "none" or (sign == "assertion" and not assertion) else REQUEST)


@each_signed
def test_sa_28_without_a_status_there_is_no_sign_in(sign: str) -> None:
    assert look(genuine(sign, status=[])).reason == "saml_structure_wrong"
    assert look(genuine(sign, assertion=False, status=[SUCCESS])).reason == "saml_structure_wrong"


# --- SA-39, SA-41 -------------------------------------------------------------------------------------------------------------------


@each_signed
def test_sa_39_a_fresh_proof_is_fresh(sign: str) -> None:
    old = genuine(sign, authn_instant=NOW - 3600)
    assert look(old).assertion is not None
    assert look(old, force_authn=True).reason == "saml_authn_old"
    assert look(old, max_age=600).reason == "saml_authn_old"
    assert look(old, max_age=3600).assertion is not None
    assert look(genuine(sign), force_authn=True, max_age=0).assertion is not None

    def without(response: etree._Element) -> None:
        part(response, f"{{{SAML}}}AuthnStatement").attrib.pop("AuthnInstant")

    assert look(genuine(sign, edit=without)).reason == "saml_structure_wrong"


@each_signed
def test_sa_39_a_strength_that_was_asked_for_is_reached(sign: str) -> None:
    refeds = "https://refeds.org/profile/mfa"
    assert look(genuine(sign), contexts=(refeds,)).reason == "saml_context_unmet"
    assert look(genuine(sign, context=refeds), contexts=(refeds,)).assertion is not None

    def without(response: etree._Element) -> None:
        context = part(response, f"{{{SAML}}}AuthnContext")
        context.clear()

    assert look(genuine(sign, edit=without), contexts=(refeds,)).reason == "saml_context_unmet"


@each_signed
@pytest.mark.parametrize(
    ("ahead", "reason"),
    [(0, ""), (60, ""), (-60, ""), (300, "saml_clock_ahead"), (-300, "saml_clock_behind"), (-700, "saml_clock_behind")],
)
def test_sa_41_a_minute_is_nothing_and_five_are_told(sign: str, ahead: int, reason: str) -> None:
    looked = look(genuine(sign, now=NOW + ahead), issued_at=int(NOW))
    assert looked.reason == reason
    assert (looked.assertion is None) == bool(reason)


def test_sa_41_an_old_message_is_old_whatever_it_says_of_itself() -> None:
    late = look(genuine(lifetime=3600), now=NOW + 700, issued_at=int(NOW))
    assert late.reason == "saml_expired"
