"""Whom an assertion is about: name and address, domain, and the explanation when it is a user name."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Any

import pytest

from idp.accounts.identity import Identity
from idp.connections import NAME_ID_EMAIL, NAME_ID_PERSISTENT, NAME_ID_UNSPECIFIED, SamlConnection
from idp.doors.company_identity import identify
from idp.doors.saml_checks import Check
from idp.doors.saml_response import examine
from tests.fakes.company_idp import PASSWORD, CompanyIdp
from tests.saml_parties import answer_for, connection_to, only_request, sent_request

NOW = float(int(time.time()))
ACME = CompanyIdp()
MAIL = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"


def who(
    *, domains: Sequence[str] = ("acme.example",), said: dict[str, Any] | None = None, **connection: Any
) -> tuple[Identity | None, dict[str, Check]]:
    """The identity of a genuine answer that says ``said``, and the checks that failed."""
    here: SamlConnection = connection_to(ACME, **connection)
    document = ACME.document(**answer_for(here, now=NOW, **(said or {})))
    looked = examine(base64.b64encode(document), here, only_request(sent_request(here, NOW)), NOW)
    assert looked.assertion is not None, looked.reason
    identity, checks = identify(looked.assertion, here, set(domains).__contains__, NOW)
    return identity, {check.name: check for check in checks if not check.ok}


def test_the_identity_of_a_person_of_a_company() -> None:
    said = {
        "attributes": {MAIL: ["Alice@Acme.example"], "given": ["Alice"], "family": [" Martin "]},
        "authn_instant": NOW - 600,
    }
    attributes = {"email": MAIL, "given_name": "given", "family_name": "family"}
    contexts = {PASSWORD: {"acr": "2", "amr": ["pwd", "mfa"]}}
    identity, wrong = who(said=said, attributes=attributes, contexts=contexts)
    assert wrong == {}
    assert identity == Identity(
        door="company",
        issuer=f"company:acme0001:{ACME.entity_id}",
        subject=f"{NAME_ID_EMAIL}:alice@acme.example",
        email="alice@acme.example",
        email_verified=True,
        name="Alice Martin",
        methods=("pwd", "mfa"),
        at=int(NOW) - 600,
        acr="2",
    )


def test_what_the_company_did_not_prove_is_not_said() -> None:
    identity, _ = who(contexts={"urn:other": {"acr": "2", "amr": ["mfa"]}})
    assert identity is not None
    assert (identity.methods, identity.acr, identity.name) == ((), "1", None)


def test_the_time_of_the_proof_is_never_in_the_future() -> None:
    identity, _ = who(said={"authn_instant": NOW + 50})
    assert identity is not None and identity.at == int(NOW)


def test_capitals_of_an_address_make_no_other_person_but_those_of_an_id_do() -> None:
    written = {name: who(said={"name_id": name})[0] for name in ("alice@acme.example", "ALICE@acme.EXAMPLE")}
    assert len({identity.subject for identity in written.values() if identity}) == 1
    attributes = {"email": "mail"}
    ids = set()
    for name in ("AbC", "abc"):
        said = {"name_id": name, "name_id_format": NAME_ID_PERSISTENT, "attributes": {"mail": ["alice@acme.example"]}}
        identity, _ = who(said=said, attributes=attributes, name_id_format=NAME_ID_PERSISTENT)
        assert identity is not None
        ids.add(identity.subject)
    assert len(ids) == 2


@pytest.mark.parametrize("given", [NAME_ID_EMAIL, NAME_ID_PERSISTENT, NAME_ID_UNSPECIFIED, "urn:x"])
def test_unspecified_leaves_the_format_to_the_company(given: str) -> None:
    identity, wrong = who(said={"name_id_format": given}, name_id_format=NAME_ID_UNSPECIFIED)
    assert identity is not None and wrong == {}
    assert identity.subject == f"{given}:alice@acme.example"
    for agreed in {NAME_ID_EMAIL, NAME_ID_PERSISTENT} - {given}:
        identity, wrong = who(said={"name_id_format": given}, name_id_format=agreed)
        assert identity is None and wrong["name_id_format"].reason == "company_name_id_format_wrong"


def test_a_transient_name_is_nobody_whatever_was_agreed() -> None:
    transient = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
    identity, wrong = who(said={"name_id_format": transient}, name_id_format=NAME_ID_UNSPECIFIED)
    assert identity is None and wrong["name_id_format"].reason == "company_name_id_transient"


@pytest.mark.parametrize(
    ("name_id", "attributes", "reason", "hint"),
    [
        ("alice@acme.onmicrosoft.com", {}, "company_email_upn", "proved"),
        ("alice@acme.local", {MAIL: ["alice@acme.example"]}, "company_email_upn", MAIL),
        ("alice_gmail.com#EXT#@acme.onmicrosoft.com", {}, "company_email_upn", "proved"),
        ("ACME\\alice", {MAIL: ["alice@acme.example"]}, "company_email_upn", "NameID"),
        ("ACME\\alice", {}, "company_email_malformed", "NameID"),
        ("alice@b.example", {}, "company_domain_foreign", "proved"),
        ("alice@b.example", {MAIL: ["alice@c.example"]}, "company_domain_foreign", "proved"),
    ],
)
def test_a_user_name_instead_of_the_address_is_explained(
    name_id: str, attributes: dict[str, list[str]], reason: str, hint: str
) -> None:
    identity, wrong = who(said={"name_id": name_id, "attributes": attributes})
    assert identity is None
    check = next(iter(wrong.values()))
    assert check.reason == reason and hint in check.expected
    assert name_id not in check.received


def test_an_attribute_that_was_not_sent_is_explained_by_those_that_were() -> None:
    said = {"attributes": {"Email": ["alice@acme.example"], "groups": ["staff"]}}
    identity, wrong = who(said=said, attributes={"email": "mail"})
    assert identity is None
    assert wrong["email"].reason == "company_email_missing"
    assert "mail" in wrong["email"].expected and "Email, groups" in wrong["email"].received


@pytest.mark.parametrize("name", ["", "  ", "a" * 201, "bell\x7f", "x\u202ey"])
def test_a_name_that_cannot_be_shown_is_left_out(name: str) -> None:
    identity, _ = who(said={"attributes": {"name": [name]}}, attributes={"name": "name"})
    assert identity is not None and identity.name is None


def test_two_names_are_no_name() -> None:
    identity, _ = who(said={"attributes": {"name": ["Alice", "Bob"]}}, attributes={"name": "name"})
    assert identity is not None and identity.name is None


def test_a_domain_in_other_letters_is_asked_for_in_ascii() -> None:
    identity, _ = who(said={"name_id": "alice@bücher.example"}, domains=["xn--bcher-kva.example"])
    assert identity is not None and identity.email == "alice@xn--bcher-kva.example"
