"""Signatures: what is verified is what is read, where a signature may stand, and that only verify() makes verified bytes."""

from __future__ import annotations

import base64
import copy
import dataclasses
import pickle
import time
from typing import Any

import pytest
from lxml import etree

from idp.doors import saml_signature
from idp.doors.saml_document import SamlRefused, parse
from idp.doors.saml_signature import VerifiedBytes, verify, verify_enveloped
from tests.fakes.company_idp import DS, EXCLUSIVE, SAML, SAMLP, CompanyIdp, key_pair
from tests.fakes.hand_signed import ENVELOPED, MORE, fill_in, skeleton
from tests.saml_parties import answer_for, connection_to

NOW = float(int(time.time()))
ACME = CompanyIdp()
HERE = connection_to(ACME)
ASSERTION = f"{{{SAML}}}Assertion"


def refused(document: bytes, *, certificates: Any = HERE.certificates) -> str:
    with pytest.raises(SamlRefused) as caught:
        verify_enveloped(base64.b64encode(document), certificates)
    assert "alice" not in str(caught.value)
    return caught.value.reason


def by_hand(xml: str, place: int = 0, key: Any = None, **how: Any) -> bytes:
    root = etree.fromstring(xml)
    root.insert(place, etree.fromstring(skeleton(f"#{root.get('ID')}", **how)))
    fill_in(root[place], key or ACME.private)
    return etree.tostring(root)


def test_what_was_signed_is_returned_without_its_signature() -> None:
    document = ACME.logout_request(destination=HERE.slo, name_id="alice@acme.example")
    verified = verify_enveloped(base64.b64encode(document), HERE.certificates)
    root = verified.root()
    assert root.tag == f"{{{SAMLP}}}LogoutRequest" and root.find(f"{{{DS}}}Signature") is None
    assert verified.certificate == ACME.certificate
    assert verified.octets == etree.tostring(root, method="c14n", exclusive=True)
    assert "alice" not in repr(verified)


def test_nobody_else_makes_verified_bytes() -> None:
    document = base64.b64encode(ACME.logout_request(destination=HERE.slo, name_id="a"))
    verified = verify_enveloped(document, HERE.certificates)
    with pytest.raises(TypeError):
        VerifiedBytes(b"<x/>", ACME.certificate, object())
    with pytest.raises(TypeError):
        VerifiedBytes(b"<x/>", ACME.certificate)  # type: ignore[call-arg] # that is the point
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(verified, octets=b"<x/>")
    with pytest.raises(dataclasses.FrozenInstanceError):
        verified.octets = b"<x/>"  # type: ignore[misc] # that is the point
    with pytest.raises(TypeError):
        pickle.dumps(verified)


def test_other_signatures_in_the_tree_still_hold_afterwards() -> None:
    """verify() takes the Signature out only for a moment."""
    root = parse(ACME.document(**answer_for(HERE, now=NOW, sign="both")))
    before = etree.tostring(root)
    inner = root.find(ASSERTION)
    assert inner is not None
    for element in (root, inner, root, inner):
        verify(element, HERE.certificates)
        assert etree.tostring(root) == before


def test_text_around_the_signature_is_part_of_what_is_signed() -> None:
    spaced = '<x ID="_1" xmlns="urn:x">\n  <y/>\n  text \n</x>'
    document = by_hand(spaced)
    root = etree.fromstring(document)
    root[0].tail = "\n   "
    for value in root.iter(f"{{{DS}}}DigestValue", f"{{{DS}}}SignatureValue"):
        value.text = None
    fill_in(root[0], ACME.private)
    verified = verify_enveloped(base64.b64encode(etree.tostring(root)), HERE.certificates)
    assert verified.octets == b'<x xmlns="urn:x" ID="_1">\n  \n   <y></y>\n  text \n</x>'
    root[0].tail = "\n    "
    assert refused(etree.tostring(root)) == "saml_signature_wrong"


def test_prefixes_of_the_list_are_rendered_also_when_they_come_from_above() -> None:
    transform = (
        f'<ds:Transform Algorithm="{EXCLUSIVE}"><ec:InclusiveNamespaces xmlns:ec="{EXCLUSIVE}" PrefixList="xs #default"/>'
        "</ds:Transform>"
    )
    xml = '<r xmlns="urn:r" xmlns:xs="urn:xs"><a:x ID="_1" xmlns:a="urn:a"><a:y type="xs:string"/></a:x></r>'
    root = etree.fromstring(xml)
    root[0].insert(0, etree.fromstring(skeleton("#_1", transforms=(ENVELOPED, transform))))
    fill_in(root[0][0], ACME.private)
    verified = verify(parse(etree.tostring(root))[0], HERE.certificates)
    assert b'xmlns:xs="urn:xs"' in verified.octets


@pytest.mark.parametrize("algorithm", ["rsa-sha256", "rsa-sha384", "rsa-sha512"])
@pytest.mark.parametrize("digest", ["http://www.w3.org/2001/04/xmlenc#sha512", MORE + "sha384"])
def test_stronger_algorithms_of_rsa_count(algorithm: str, digest: str) -> None:
    document = by_hand('<x ID="_1"/>', method=MORE + algorithm, digest=digest)
    assert verify_enveloped(base64.b64encode(document), HERE.certificates).root().get("ID") == "_1"


@pytest.mark.parametrize("algorithm", ["ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512"])
@pytest.mark.parametrize("kind", ["ec", "ec384", "ec521"])
def test_stronger_algorithms_of_elliptic_curves_count(algorithm: str, kind: str) -> None:
    private, certificate = key_pair(kind)
    document = by_hand('<x ID="_1"/>', key=private, method=MORE + algorithm)
    assert verify_enveloped(base64.b64encode(document), [ACME.certificate, certificate]).certificate == certificate


@pytest.mark.parametrize("identifier", ["", "1a", "a b", "é", "a" * 257, "#x"])
def test_an_element_without_a_proper_id_is_not_signed(identifier: str) -> None:
    xml = f'<x ID="{identifier}"/>' if identifier else "<x/>"
    assert refused(by_hand(xml)) == "saml_structure_wrong"


@pytest.mark.parametrize("name", ["Id", "id", "AssertionID", "{urn:x}ID"])
def test_only_the_attribute_id_of_saml_is_an_id(name: str) -> None:
    root = etree.fromstring("<x/>")
    root.set(name, "_1")
    root.insert(0, etree.fromstring(skeleton("#_1")))
    fill_in(root[0], ACME.private)
    assert refused(etree.tostring(root)) == "saml_structure_wrong"


def test_a_signature_stands_after_the_issuer_or_first() -> None:
    issuer = f'<i:Issuer xmlns:i="{SAML}">x</i:Issuer>'
    fine = by_hand(f'<x ID="_1">{issuer}<y/></x>', 1)
    assert verify_enveloped(base64.b64encode(fine), HERE.certificates)
    assert refused(by_hand(f'<x ID="_1">{issuer}<y/></x>', 2)) == "saml_structure_wrong"
    assert refused(by_hand(f'<x ID="_1"><y/>{issuer}</x>', 2)) == "saml_structure_wrong"
    assert refused(by_hand('<x ID="_1"><y/></x>', 1)) == "saml_structure_wrong"


def test_the_signature_of_a_child_is_none_of_its_parent() -> None:
    root = etree.fromstring('<r ID="_0"/>')
    root.append(etree.fromstring(by_hand('<x ID="_1"/>')))
    assert refused(etree.tostring(root)) == "saml_unsigned"


def test_signed_info_is_read_from_the_bytes_that_were_verified() -> None:
    """A member of SignedInfo that is changed after signing breaks the signature before it can say anything."""
    for change in (
        lambda info: info.find(f".//{{{DS}}}Reference").set("URI", "#_2"),
        lambda info: info.find(f".//{{{DS}}}DigestValue").__setattr__("text", "AAAA"),
        lambda info: info.__setattr__("text", " "),
        lambda info: info.set("Id", "x"),
    ):
        root = etree.fromstring(by_hand('<x ID="_1"/>'))
        change(root[0][0])
        assert refused(etree.tostring(root)) in ("saml_certificate_other", "saml_signature_wrong")


def test_a_digest_that_fits_another_content_is_refused() -> None:
    root = etree.fromstring(by_hand('<x ID="_1"><y>one</y></x>'))
    root[1].text = "two"
    assert refused(etree.tostring(root)) == "saml_signature_wrong"


def test_no_certificate_verifies_nothing() -> None:
    assert refused(by_hand('<x ID="_1"/>'), certificates=()) in ("saml_algorithm_weak", "saml_certificate_other")


def test_the_seal_is_nowhere_else() -> None:
    assert not [name for name in vars(saml_signature) if "seal" in name.lower() and name != "_SEAL"]


def test_a_part_of_verified_bytes_is_verified() -> None:
    document = ACME.document(**answer_for(HERE, now=NOW, sign="response"))
    verified = verify_enveloped(base64.b64encode(document), HERE.certificates)
    assert verified.child(ASSERTION).root().tag == ASSERTION
    with pytest.raises(SamlRefused):
        verified.child(f"{{{SAML}}}Nothing")
    twice = etree.fromstring(document)
    twice.append(copy.deepcopy(twice[-1]))
    assert refused(etree.tostring(twice)) == "saml_structure_wrong"
