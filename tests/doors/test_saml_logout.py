"""Logout messages of a company's identity provider, read: what counts, and the reason why anything else does not."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

import pytest
from lxml import etree

from idp.connections import NAME_ID_EMAIL, NAME_ID_PERSISTENT, NAME_ID_UNSPECIFIED, SamlConnection
from idp.doors.saml_checks import Check
from idp.doors.saml_logout import LIFETIME, MOST_SESSIONS, SKEW, LogoutRequest, LogoutResponse, read_logout
from tests.fakes.company_idp import SAML, SAMLP, SUCCESS, CompanyIdp
from tests.saml_parties import connection_to

NOW = float(int(time.time()))
ALICE = "alice@acme.example"
PARTIAL = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout"
DENIED = "urn:oasis:names:tc:SAML:2.0:status:RequestDenied"


@pytest.fixture
def idp() -> CompanyIdp:
    return CompanyIdp()


@pytest.fixture
def acme(idp: CompanyIdp) -> SamlConnection:
    return connection_to(idp)


def request_of(idp: CompanyIdp, connection: SamlConnection, *, sign: bool = False, **changes: str) -> bytes:
    given = {"destination": connection.slo, "name_id": ALICE, "session_index": "_s1"} | changes
    return idp.logout_request(now=NOW, sign=sign, **given)


def by_redirect(idp: CompanyIdp, document: bytes, **changes: str) -> tuple[str, str, list[tuple[str, str]]]:
    return "GET", idp.redirect_query(document, **changes), []


def by_post(document: bytes, name: str = "SAMLRequest", **more: str) -> tuple[str, str, list[tuple[str, str]]]:
    return "POST", "", [(name, base64.b64encode(document).decode()), *more.items()]


def reason_of(sent: tuple[str, str, list[tuple[str, str]]], connection: SamlConnection, now: float = NOW) -> str:
    """Why a message does not count; nothing when it does."""
    read = read_logout(*sent, connection, now)
    return read.reason if isinstance(read, Check) else ""


# --- what counts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rsa", "rsa3072", "ec", "ec384"])
@pytest.mark.parametrize("binding", ["redirect", "post"])
def test_a_request_by_either_binding_names_sessions(kind: str, binding: str) -> None:
    idp = CompanyIdp(kind=kind)
    connection = connection_to(idp)
    document = request_of(idp, connection, sign=binding == "post")
    algorithm = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256" if kind.startswith("ec") else ""
    sent = (
        by_post(document, RelayState="their state")
        if binding == "post"
        else by_redirect(idp, document, relay_state="their state", algorithm=algorithm)
    )
    read = read_logout(*sent, connection, NOW)
    assert isinstance(read, LogoutRequest), read
    assert read.id == etree.fromstring(document).get("ID")
    assert (read.name_id, read.name_id_format, read.session_indexes) == (ALICE, NAME_ID_EMAIL, ("_s1",))
    assert read.relay_state == "their state"
    assert NOW < read.until <= NOW + LIFETIME + SKEW
    assert ALICE not in repr(read)


def test_a_format_that_is_left_open_fits_every_one(idp: CompanyIdp, acme: SamlConnection) -> None:
    """Microsoft Entra ID leaves it out."""
    for format, expected in ((NAME_ID_UNSPECIFIED, None), (NAME_ID_PERSISTENT, NAME_ID_PERSISTENT)):
        read = read_logout(*by_redirect(idp, request_of(idp, acme, name_id_format=format)), acme, NOW)
        assert isinstance(read, LogoutRequest)
        assert read.name_id_format == expected


@pytest.mark.parametrize("number", [0, 1, MOST_SESSIONS])
def test_a_request_names_none_one_or_many_sessions(idp: CompanyIdp, acme: SamlConnection, number: int) -> None:
    root = etree.fromstring(request_of(idp, acme, session_index=""))
    for index in range(number):
        etree.SubElement(root, f"{{{SAMLP}}}SessionIndex").text = f"_s{index}"
    read = read_logout(*by_redirect(idp, etree.tostring(root)), acme, NOW)
    assert isinstance(read, LogoutRequest)
    assert read.session_indexes == tuple(f"_s{index}" for index in range(number))


@pytest.mark.parametrize(
    ("status", "success"),
    [((SUCCESS,), True), ((SUCCESS, PARTIAL), False), ((DENIED,), False), ((DENIED, PARTIAL), False)],
)
def test_a_response_says_whether_all_sessions_have_ended(
    idp: CompanyIdp, acme: SamlConnection, status: tuple[str, ...], success: bool
) -> None:
    for sign in (True, False):
        document = idp.logout_response(destination=acme.slo, in_response_to="_r1", status=status, now=NOW, sign=sign)
        sent = by_post(document, "SAMLResponse") if sign else by_redirect(idp, document)
        read = read_logout(*sent, acme, NOW)
        assert isinstance(read, LogoutResponse), read
        assert (read.in_response_to, read.success) == ("_r1", success)


def test_any_pinned_certificate_counts(idp: CompanyIdp, acme: SamlConnection) -> None:
    old = CompanyIdp(name="the old key")
    connection = replace(acme, certificates=(old.certificate, idp.certificate))
    assert reason_of(by_redirect(idp, request_of(idp, acme)), connection) == ""
    assert reason_of(by_redirect(old, request_of(old, acme)), connection) == ""


def test_s_29_a_query_in_another_spelling_counts_as_it_was_signed(idp: CompanyIdp, acme: SamlConnection) -> None:
    """Lower-case escapes, as .NET writes them: signed so, they count; changed on the way, they do not."""
    document = request_of(idp, acme)
    query = idp.redirect_query(document, relay_state="a/b+c d")
    signed, _, signature = query.partition("&Signature=")
    lower = re.sub("%[0-9A-F]{2}", lambda escape: escape[0].lower(), signed)
    assert lower != signed
    assert reason_of(("GET", f"{lower}&Signature={signature}", []), acme) == "saml_certificate_other"
    again = quote(base64.b64encode(idp.raw_signature(lower.encode())), safe="")
    read = read_logout("GET", f"{lower}&Signature={again}", [], acme, NOW)
    assert isinstance(read, LogoutRequest)
    assert read.relay_state == "a/b+c d"


def test_parameters_may_come_in_any_order_and_strange_ones_among_them(idp: CompanyIdp, acme: SamlConnection) -> None:
    parts = idp.redirect_query(request_of(idp, acme), relay_state="r").split("&")
    assert reason_of(("GET", "&".join(["utm=1", *reversed(parts), "x"]), []), acme) == ""


# --- what does not -------------------------------------------------------------------------------------------------------------

CHANGES: dict[str, tuple[dict[str, str], str]] = {
    "another issuer": ({"Issuer": "https://idp.globex.example/saml"}, "saml_logout_issuer"),
    "an issuer that only begins so": ({"Issuer": "https://idp.acme.example/saml "}, "saml_logout_issuer"),
    "no destination": ({"Destination": ""}, "saml_logout_destination"),
    "another destination": ({"Destination": "https://login.example/saml/globex/slo"}, "saml_logout_destination"),
    "our other address": ({"Destination": "https://login.example/saml/acme0001/acs"}, "saml_logout_destination"),
    "another version": ({"Version": "1.1"}, "saml_structure_wrong"),
    "no id": ({"ID": ""}, "saml_structure_wrong"),
    "no instant": ({"IssueInstant": ""}, "saml_structure_wrong"),
    "no time as instant": ({"IssueInstant": "yesterday"}, "saml_structure_wrong"),
    "an instant long ago": ({"IssueInstant": "2020-01-01T00:00:00Z"}, "saml_logout_time"),
    "an instant to come": ({"IssueInstant": "2100-01-01T00:00:00Z"}, "saml_logout_time"),
    "an end long ago": ({"NotOnOrAfter": "2020-01-01T00:00:00Z"}, "saml_logout_time"),
    "no time as end": ({"NotOnOrAfter": "x"}, "saml_structure_wrong"),
}


@pytest.mark.parametrize(("changes", "reason"), CHANGES.values(), ids=list(CHANGES))
def test_sa_29_a_signed_request_must_be_for_us_and_for_now(
    idp: CompanyIdp, acme: SamlConnection, changes: dict[str, str], reason: str
) -> None:
    assert reason_of(by_redirect(idp, request_of(idp, acme, **changes)), acme) == reason
    if changes.get("ID") != "":  # XML signatures refer to it
        assert reason_of(by_post(request_of(idp, acme, sign=True, **changes)), acme) == reason


@pytest.mark.parametrize(
    ("changes", "reason"), [CHANGES[name] for name in CHANGES if "end" not in name], ids=lambda value: str(value)[:40]
)
def test_sa_30_a_signed_response_must_be_for_us_and_for_now(
    idp: CompanyIdp, acme: SamlConnection, changes: dict[str, str], reason: str
) -> None:
    given = {"destination": acme.slo, "in_response_to": "_r1", "now": NOW, "sign": False}
    document = idp.logout_response(**given | changes)  # type: ignore[arg-type] # attributes of the message
    assert reason_of(by_redirect(idp, document), acme) == reason


@pytest.mark.parametrize("seconds", [-SKEW, 0, LIFETIME + SKEW - 1])
def test_a_clock_may_be_a_minute_off(idp: CompanyIdp, acme: SamlConnection, seconds: int) -> None:
    document = idp.logout_response(destination=acme.slo, in_response_to="_r1", now=NOW, sign=False)
    assert reason_of(by_redirect(idp, document), acme, NOW + seconds) == ""
    for outside in (-SKEW - 1, LIFETIME + SKEW):
        assert reason_of(by_redirect(idp, document), acme, NOW + outside) == "saml_logout_time"


def test_sa_29_an_unsigned_or_foreign_signature_counts_by_neither_binding(
    idp: CompanyIdp, acme: SamlConnection
) -> None:
    other = CompanyIdp("https://idp.acme.example/saml", name="Globex")
    plain = request_of(idp, acme)
    assert reason_of(by_post(plain), acme) == "saml_unsigned"
    assert reason_of(by_post(request_of(other, acme, sign=True)), acme) == "saml_certificate_other"
    assert reason_of(by_redirect(other, request_of(other, acme)), acme) == "saml_certificate_other"
    query = idp.redirect_query(plain)
    for cut in (r"&Signature=.*", r"&SigAlg=[^&]*", r"&SigAlg=.*"):
        assert reason_of(("GET", re.sub(cut, "", query), []), acme) == "saml_unsigned"
    # A signature inside is not looked at in a query, and one beside it is not in a form.
    inside = idp.redirect_query(request_of(idp, acme, sign=True)).partition("&SigAlg")[0]
    assert reason_of(("GET", inside, []), acme) == "saml_unsigned"
    assert reason_of(("POST", query, [("SAMLRequest", base64.b64encode(plain).decode())]), acme) == "saml_unsigned"


@pytest.mark.parametrize("what", ["request", "response"])
def test_s_13_a_logout_message_counts_signed_by_this_company_and_for_this_address(
    idp: CompanyIdp, acme: SamlConnection, what: str
) -> None:
    """pysaml2 takes it unsigned, from anybody, for anywhere."""

    def message(by: CompanyIdp, *, sign: bool, **changes: str) -> bytes:
        destination = changes.pop("destination", acme.slo)
        if what == "request":
            return by.logout_request(destination=destination, name_id=ALICE, now=NOW, sign=sign, **changes)
        return by.logout_response(destination=destination, in_response_to="_r1", now=NOW, sign=sign, **changes)

    name = f"SAML{what.capitalize()}"
    stranger = CompanyIdp("https://idp.stranger.example", name="Stranger")
    assert reason_of(by_redirect(idp, message(idp, sign=False)), acme) == ""
    assert reason_of(by_post(message(idp, sign=True), name), acme) == ""
    for sender in (idp, stranger):
        assert reason_of(by_post(message(sender, sign=False), name), acme) == "saml_unsigned"
        unsigned = by_redirect(sender, message(sender, sign=False))[1].partition("&SigAlg")[0]
        assert reason_of(("GET", unsigned, []), acme) == "saml_unsigned"
    assert reason_of(by_post(message(stranger, sign=True), name), acme) == "saml_certificate_other"
    assert reason_of(by_redirect(stranger, message(stranger, sign=False)), acme) == "saml_certificate_other"
    foreign = message(idp, sign=True, Issuer=stranger.entity_id)
    assert reason_of(by_post(foreign, name), acme) == "saml_logout_issuer"
    nowhere = message(idp, sign=True, destination="")
    assert reason_of(by_post(nowhere, name), acme) == "saml_logout_destination"


TAMPERED: dict[str, tuple[Callable[[str], str], str]] = {
    "relay state": (lambda query: query.replace("RelayState=r1", "RelayState=r2"), "saml_certificate_other"),
    "relay state gone": (lambda query: query.replace("&RelayState=r1", ""), "saml_certificate_other"),
    "relay state twice": (lambda query: f"{query}&RelayState=r2", "saml_structure_wrong"),
    "message twice": (lambda query: f"{query}&SAMLRequest=AAAA", "saml_structure_wrong"),
    "both messages": (lambda query: f"{query}&SAMLResponse=AAAA", "saml_structure_wrong"),
    "as a response": (lambda query: query.replace("SAMLRequest=", "SAMLResponse="), "saml_certificate_other"),
    "other algorithm": (lambda query: query.replace("rsa-sha256", "rsa-sha512"), "saml_certificate_other"),
    "sha-1": (
        lambda query: re.sub("SigAlg=[^&]*", "SigAlg=http%3A%2F%2Fwww.w3.org%2F2000%2F09%2Fxmldsig%23rsa-sha1", query),
        "saml_algorithm_weak",
    ),
    "hmac": (
        lambda query: re.sub("SigAlg=[^&]*", "SigAlg=http%3A%2F%2Fwww.w3.org%2F2001%2F04%2Fxmldsig-more%23hmac-sha256", query),
        "saml_algorithm_weak",
    ),
    "signature not base64": (lambda query: re.sub("Signature=.*", "Signature=%21%21", query), "saml_unreadable"),
    "nothing": (lambda query: "", "saml_structure_wrong"),
    "escaped name": (lambda query: query.replace("SAMLRequest", "SAML%52equest"), "saml_structure_wrong"),
}  # fmt: skip


@pytest.mark.parametrize(("tamper", "reason"), TAMPERED.values(), ids=list(TAMPERED))
def test_sa_29_a_tampered_query_does_not_count(
    idp: CompanyIdp, acme: SamlConnection, tamper: Callable[[str], str], reason: str
) -> None:
    query = idp.redirect_query(request_of(idp, acme), relay_state="r1")
    assert reason_of(("GET", query, []), acme) == ""
    assert tamper(query) != query
    assert reason_of(("GET", tamper(query), []), acme) == reason


def changed(document: bytes, change: Callable[[etree._Element], object]) -> bytes:
    root = etree.fromstring(document)
    change(root)
    return etree.tostring(root)


STRUCTURES: dict[str, tuple[Callable[[etree._Element], object], str]] = {
    "no name": (lambda root: root.remove(root[1]), "saml_structure_wrong"),
    "two names": (lambda root: root.insert(2, etree.fromstring(etree.tostring(root[1]))), "saml_structure_wrong"),
    "an encrypted name": (
        lambda root: root.replace(root[1], etree.Element(f"{{{SAML}}}EncryptedID")),
        "saml_logout_encrypted",
    ),
    "no issuer": (lambda root: root.remove(root[0]), "saml_structure_wrong"),
    "two issuers": (lambda root: root.insert(0, etree.fromstring(etree.tostring(root[0]))), "saml_structure_wrong"),
    "too many sessions": (
        lambda root: root.extend([etree.Element(f"{{{SAMLP}}}SessionIndex") for _ in range(MOST_SESSIONS)]),
        "saml_structure_wrong",
    ),
    "elements in the name": (lambda root: etree.SubElement(root[1], "{urn:x}b"), "saml_structure_wrong"),
    "another message": (lambda root: setattr(root, "tag", f"{{{SAMLP}}}AuthnRequest"), "saml_structure_wrong"),
    "an answer as a question": (lambda root: setattr(root, "tag", f"{{{SAMLP}}}LogoutResponse"), "saml_structure_wrong"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), STRUCTURES.values(), ids=list(STRUCTURES))
def test_a_genuine_message_in_another_structure_does_not_count(
    idp: CompanyIdp, acme: SamlConnection, change: Callable[[etree._Element], object], reason: str
) -> None:
    assert reason_of(by_redirect(idp, changed(request_of(idp, acme), change)), acme) == reason


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<",
        b"plain text",
        b"<!DOCTYPE x><x/>",
        b"<x><!-- --></x>",
        b"<?xml version='1.1'?><x/>",
        b"\xff\xfe<\x00x\x00",
    ],
)
def test_what_is_not_plain_xml_is_not_read(idp: CompanyIdp, acme: SamlConnection, document: bytes) -> None:
    sent = by_post(document)
    assert reason_of(sent, acme) == "saml_unreadable"
    signed = idp.redirect_query(b"<Request " + document)
    assert reason_of(("GET", signed, []), acme) in ("saml_unreadable", "saml_structure_wrong")


def test_s_14_a_bomb_is_not_inflated(idp: CompanyIdp, acme: SamlConnection) -> None:
    bomb = request_of(idp, acme).replace(b"</saml:NameID>", b" " * 20_000_000 + b"</saml:NameID>")
    begun = time.perf_counter()
    query = idp.redirect_query(bomb)
    begun = time.perf_counter()
    assert reason_of(("GET", query, []), acme) == "saml_too_large"
    unsigned = re.sub("&Signature=.*", "&Signature=AAAA", query)
    assert reason_of(("GET", unsigned, []), acme) == "saml_certificate_other"  # nothing is inflated for a stranger
    assert time.perf_counter() - begun < 1


def test_a_message_cut_short_or_with_something_behind_it_does_not_count(idp: CompanyIdp, acme: SamlConnection) -> None:
    whole = idp.redirect_query(request_of(idp, acme))
    packed = base64.b64decode(re.search("SAMLRequest=([^&]*)", whole)[1].replace("%2B", "+").replace("%2F", "/").replace("%3D", "="))  # type: ignore[index] # it is there  # fmt: skip
    for other in (packed[:-2], packed + b"x", b""):
        part = "SAMLRequest=" + quote(base64.b64encode(other), safe="")
        signed = f"{part}&SigAlg={quote('http://www.w3.org/2001/04/xmldsig-more#rsa-sha256', safe='')}"
        signature = quote(base64.b64encode(idp.raw_signature(signed.encode())), safe="")
        assert reason_of(("GET", f"{signed}&Signature={signature}", []), acme) == "saml_unreadable"


def test_a_relay_state_that_is_a_document_is_not_carried_back(idp: CompanyIdp, acme: SamlConnection) -> None:
    document = request_of(idp, acme)
    assert reason_of(by_redirect(idp, document, relay_state="x" * 1024), acme) == ""
    assert reason_of(by_redirect(idp, document, relay_state="x" * 1025), acme) == "saml_too_large"


def test_what_was_received_is_shown_without_the_persons_address(idp: CompanyIdp, acme: SamlConnection) -> None:
    read = read_logout(*by_redirect(idp, request_of(idp, acme, Issuer=ALICE)), acme, NOW)
    assert isinstance(read, Check)
    assert ALICE not in repr(read)
    assert not read.ok
