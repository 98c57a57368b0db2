"""Every check of a Response, what it tells, and that nothing that is sent makes it raise."""

from __future__ import annotations

import base64
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from idp.connections import SamlConnection
from idp.doors.company_identity import identify
from idp.doors.saml_checks import Check, SentRequest
from idp.doors.saml_response import Examination, examine
from idp.reasons import REASONS
from tests.fakes.company_idp import SAML, SAMLP, CompanyIdp, certificate_for, key_pair, pem
from tests.fakes.product_shapes import SHAPES, shaped, shaped_answer
from tests.needs import program
from tests.saml_parties import answer_for, connection_to, only_request, sent_request, sp_key

NOW = float(int(time.time()))
ACME = CompanyIdp()
HERE = connection_to(ACME)
EVERY = (
    *("document", "message", "structure", "signature", "status", "request", "issuer", "destination", "confirmation"),
    *("recipient", "audience", "conditions", "name_id", "qualifiers", "issue_instant", "not_before", "not_on_or_after"),
    "authn_instant",
)


def look(encoded: str | bytes, connection: SamlConnection = HERE, now: float = NOW, **request: Any) -> Examination:
    return examine(encoded, connection, only_request(sent_request(connection, NOW, **request)), now)


def answer(idp: CompanyIdp = ACME, connection: SamlConnection = HERE, **changes: Any) -> str:
    return idp.response(**answer_for(connection, **{"now": NOW, **changes}))


def failed(looked: Examination) -> dict[str, Check]:
    return {check.name: check for check in looked.checks if not check.ok}


@pytest.mark.parametrize("kind", ["rsa", "rsa3072", "ec", "ec384", "ec521"])
@pytest.mark.parametrize("sign", ["response", "assertion", "both"])
def test_a_genuine_answer_is_read(kind: str, sign: str) -> None:
    idp = CompanyIdp(kind=kind)
    connection = connection_to(idp)
    looked = look(
        answer(
            idp,
            connection,
            sign=sign,
            attributes={"mail": ["alice@acme.example"], "groups": ["a", "b"]},
            session_index="s1",
            session_not_on_or_after=NOW + 3600,
        ),
        connection,
    )
    assert [check.name for check in looked.checks] == list(EVERY)
    read = looked.assertion
    assert read is not None and read == looked.seen
    assert (read.issuer, read.name_id, read.session_index) == (idp.entity_id, "alice@acme.example", "s1")
    assert read.attributes == {"mail": ("alice@acme.example",), "groups": ("a", "b")}
    assert (read.authn_instant, read.not_on_or_after, read.session_not_on_or_after) == (NOW, NOW + 300, NOW + 3600)
    assert read.in_response_to == looked.in_response_to == sent_request(connection, NOW).id
    assert looked.status == ("Success",) and looked.reason == "" and not looked.unsolicited


@pytest.mark.parametrize("cipher", ["aes128-gcm", "aes256-gcm", "aes128-cbc", "aes256-cbc"])
@pytest.mark.parametrize("oaep", ["rsa-oaep-mgf1p", "rsa-oaep"])
@pytest.mark.parametrize("sign", ["response", "both"])
def test_an_encrypted_answer_is_read(cipher: str, oaep: str, sign: str) -> None:
    looked = look(answer(sign=sign, encrypt_for=HERE.keys[0].certificate, cipher=cipher, oaep=oaep))
    assert looked.assertion is not None and looked.assertion.name_id == "alice@acme.example"


@pytest.mark.parametrize("product", SHAPES)
@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "encrypted"])
def test_answers_of_well_known_products_are_read(product: str, encrypt: bool) -> None:
    shape = SHAPES[product]
    connection = connection_to(
        ACME, name_id_format=shape.name_id_format, attributes={"email": shape.email} if shape.email else {}
    )
    key = sp_key().certificate if encrypt and shape.encrypts else None
    encoded = shaped_answer(product, ACME, encrypt_for=key, **answer_for(connection, now=NOW))
    looked = look(encoded, connection)
    assert failed(looked) == {} and looked.assertion is not None
    identity, checks = identify(looked.assertion, connection, {"acme.example"}.__contains__, NOW)
    assert identity is not None, checks
    assert identity.email == "alice@acme.example"


def test_any_of_several_certificates_counts_and_a_retired_key_still_opens() -> None:
    old, new = key_pair("rsa", "old")[1], ACME.certificate
    connection = connection_to(
        ACME, certificates=(old, new), keys=(sp_key("new one"), sp_key("old one", "retired"), sp_key("next", "next"))
    )
    for key in connection.keys:
        assert look(answer(sign="response", encrypt_for=key.certificate), connection).assertion is not None


def test_a_certificate_whose_date_is_over_still_counts() -> None:
    """The pinned key counts; the end of its certificate was warned of (saml_signature.py says why)."""
    over = certificate_for(ACME.private, days=1, begins=NOW - 10 * 86400)
    assert look(answer(), connection_to(ACME, certificates=(over,))).assertion is not None


# --- the classic mistakes: each with its own reason, and with what was expected and received -----------------------------------


@pytest.mark.parametrize(
    ("changes", "reason", "name", "expected", "received"),
    [
        ({"audiences": [["https://other.example"]]}, "saml_audience_wrong", "audience", HERE.entity_id, "other.example"),
        ({"recipient": "https://x.example/acs"}, "saml_recipient_wrong", "recipient", HERE.acs, "x.example/acs"),
        ({"destination": "https://x.example/acs"}, "saml_destination_wrong", "destination", HERE.acs, "x.example/acs"),
        ({"sign": "none"}, "saml_unsigned", "signature", "a signature", "none"),
        ({"now": NOW + 300}, "saml_clock_ahead", "issue_instant", "to 20", "20"),
        ({"now": NOW - 300}, "saml_clock_behind", "issue_instant", "to 20", "20"),
        ({"issuer": "https://idp.acme.example/other"}, "saml_issuer_wrong", "issuer", ACME.entity_id, "/other"),
        ({"name_id": ""}, "saml_name_id_missing", "name_id", "a NameID", "none"),
        ({"status": ["urn:oasis:names:tc:SAML:2.0:status:Responder", "urn:x:odd"], "assertion": False},
         "saml_status_failed", "status", "Success", "Responder, urn:x:odd"),
    ],
)  # fmt: skip
def test_a_classic_mistake_is_explained(
    changes: dict[str, Any], reason: str, name: str, expected: str, received: str
) -> None:
    looked = look(answer(**changes))
    check = failed(looked)[name]
    assert (looked.reason, check.reason) == (reason, reason)
    assert expected in check.expected and received in check.received
    assert looked.assertion is None


def test_an_old_certificate_is_explained_by_the_fingerprints_of_both() -> None:
    newer = CompanyIdp(ACME.entity_id, name="Acme since today")
    check = failed(look(answer(newer)))["signature"]
    assert check.reason == "saml_certificate_other"
    assert ACME.certificate.fingerprint(ACME.certificate.signature_hash_algorithm).hex()[:16] in check.expected  # type: ignore[arg-type] # SHA-256
    assert newer.certificate.fingerprint(newer.certificate.signature_hash_algorithm).hex()[:16] in check.received  # type: ignore[arg-type] # SHA-256


def test_what_is_encrypted_for_another_key_is_explained() -> None:
    other = sp_key("another connection")
    check = failed(look(answer(sign="response", encrypt_for=other.certificate)))["decryption"]
    assert check.reason == "saml_encrypted_other_key"

    def unnamed(response: etree._Element) -> None:
        for named in list(response.iter("{http://www.w3.org/2000/09/xmldsig#}X509Data")):
            key_info = named.getparent()
            assert key_info is not None
            parent = key_info.getparent()
            if parent is not None and parent.tag.endswith("EncryptedKey"):
                parent.remove(key_info)

    hidden = look(answer(sign="response", encrypt_for=other.certificate, edit_signed=unnamed))
    assert hidden.reason == "saml_decryption_failed"


def test_one_dry_look_shows_everything_that_is_wrong() -> None:
    looked = look(answer(audiences=[["x"]], recipient="https://x.example", confirmed_until=NOW - 900, name_id=""))
    assert set(failed(looked)) == {"audience", "recipient", "not_on_or_after", "name_id"}
    assert looked.assertion is None and looked.seen is not None


def test_an_answer_to_another_connection_or_provider_is_refused() -> None:
    """SA-19: what was asked of one identity provider is not answered by another."""
    for changes in ({"connection_id": "other001"}, {"idp_entity_id": "https://idp.other.example"}):
        assert look(answer(), **changes).reason == "saml_request_other"


def test_the_request_is_looked_for_only_by_what_was_verified() -> None:
    asked: list[str] = []

    def request_of(identifier: str) -> SentRequest | None:
        asked.append(identifier)
        return None

    for encoded in (answer(sign="none"), answer(CompanyIdp(name="Evil")), answer(request_id="no id: <>")):
        examine(encoded, HERE, request_of, NOW)
    assert asked == []
    examine(answer(), HERE, request_of, NOW)
    assert asked == [sent_request(HERE, NOW).id]


def test_every_reason_that_is_given_has_its_row() -> None:
    messages = [answer(**changes) for changes in ({}, {"sign": "none"}, {"audiences": []}, {"name_id": ""})]
    given = {check.reason for one in (*messages, "x", "") for check in look(one).checks if not check.ok}
    assert given and given <= REASONS.keys()


def test_addresses_of_people_are_masked_in_what_the_company_said() -> None:
    status = ["urn:oasis:names:tc:SAML:2.0:status:Responder"]
    message = "AADSTS50105: The signed in user 'alice@acme.example' is not assigned to a role."
    check = failed(look(answer(status=status, assertion=False, status_message=message)))["status"]
    assert "AADSTS50105" in check.received and "alice@" not in check.received


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("NameQualifier", ACME.entity_id, True),
        ("SPNameQualifier", HERE.entity_id, True),
        ("NameQualifier", "https://idp.other.example", False),
        ("SPNameQualifier", "https://other.example", False),
    ],
)
def test_a_name_that_belongs_to_another_application_is_nobody_here(name: str, value: str, fits: bool) -> None:
    def qualify(response: etree._Element) -> None:
        next(response.iter(f"{{{SAML}}}NameID")).set(name, value)

    looked = look(answer(edit=qualify))
    assert (looked.assertion is not None) == fits
    assert looked.reason == ("" if fits else "saml_name_id_qualified")


# --- hypothesis: whatever comes -----------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=400), st.text(max_size=400)))
def test_no_field_makes_it_raise(field: bytes | str) -> None:
    looked = look(field)
    assert looked.assertion is None and looked.reason in REASONS


NAMES = st.sampled_from(
    [
        "samlp:Response",
        "saml:Assertion",
        "saml:Issuer",
        "ds:Signature",
        "samlp:Status",
        "samlp:StatusCode",
        "saml:Subject",
    ]
)
LEAF = st.builds(
    lambda name, key, value, text: f'<{name} {key}="{value}">{text}</{name}>',
    NAMES,
    st.sampled_from(["ID", "Version", "Value", "Destination", "xmlns:saml", "IssueInstant"]),
    st.sampled_from(["2.0", "_a", "urn:oasis:names:tc:SAML:2.0:status:Success", "x", "2026-01-01T00:00:00Z"]),
    st.text("ab<>&;@é\u202e\x00 ", max_size=8),
)
TREE = st.recursive(
    LEAF,
    lambda inner: st.builds(
        lambda name, parts: f"<{name}>{''.join(parts)}</{name}>", NAMES, st.lists(inner, max_size=4)
    ),
    max_leaves=12,
)
OPEN = (
    f'<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="{SAML}" '
    'xmlns:ds="http://www.w3.org/2000/09/xmldsig#" ID="_r" Version="2.0">'
)


@settings(max_examples=300, deadline=None)
@given(st.lists(TREE, max_size=5))
def test_no_tree_makes_it_raise(parts: list[str]) -> None:
    document = f"{OPEN}{''.join(parts)}</samlp:Response>"
    looked = look(base64.b64encode(document.encode()))
    assert looked.assertion is None and looked.reason in REASONS


GENUINE = base64.b64decode(answer(sign="both"))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(GENUINE)), st.integers(0, 40), st.binary(max_size=20))
def test_no_cut_and_splice_is_believed(start: int, length: int, new: bytes) -> None:
    made = GENUINE[:start] + new + GENUINE[start + length :]
    looked = look(base64.b64encode(made))
    if looked.assertion is not None:
        assert looked.assertion == look(base64.b64encode(GENUINE)).assertion


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=30), st.sampled_from(["response", "assertion"]))
def test_whatever_a_genuine_key_signs_is_checked_and_shown_safely(
    name_id: str, value: str, name: str, sign: str
) -> None:
    """A company may sign any nonsense: nothing raises, and what is shown is short and printable."""
    try:
        encoded = answer(sign=sign, name_id=name_id, attributes={name: [value]})
    except ValueError:  # no XML can hold it
        return
    connection = connection_to(ACME, attributes={"email": name})
    looked = look(encoded, connection)
    checks = list(looked.checks)
    if looked.seen is not None:
        identity, more = identify(looked.seen, connection, {"acme.example"}.__contains__, NOW)
        checks += more
        assert identity is None or identity.email is not None
    for check in checks:
        assert len(check.expected) <= 200 and len(check.received) <= 200
        assert (check.expected + check.received).isprintable()


# --- the shapes are what they say: another program takes them too -------------------------------------------------------------------


@pytest.mark.needs("xmlsec1")
@pytest.mark.parametrize("product", SHAPES)
def test_the_shapes_of_products_are_signed_as_others_verify_it(product: str, tmp_path: Path) -> None:
    document = shaped(product, ACME, **answer_for(HERE, now=NOW))
    (tmp_path / "answer.xml").write_bytes(document)
    (tmp_path / "key.pem").write_text(pem(ACME.certificate))
    ids = [["--id-attr:ID", name] for name in (f"{SAMLP}:Response", f"{SAML}:Assertion")]
    places = ("/*/*[local-name()='Signature']", "/*/*/*[local-name()='Signature']")
    for where in [place for place in places if etree.fromstring(document).xpath(place)]:
        command = [program("xmlsec1"), "--verify", "--enabled-key-data", "rsa", "--pubkey-cert-pem", "key.pem"]
        done = subprocess.run(
            [*command, *ids[0], *ids[1], "--node-xpath", where, "answer.xml"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
