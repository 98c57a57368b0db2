"""``idp companies``: the whole journey of a company by command, and every way in which a command is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import select

from idp.attempts import Step
from idp.cli.companies_command import companies_command
from idp.config import Config
from idp.errors import OperatorError
from idp.models import AuditEvent, Connection, ConnectionMetadata
from idp.parts import Parts
from tests.cli.conftest import Idp
from tests.company_walker import come_back, request_at, sign_in, text
from tests.fakes.company_idp import CompanyIdp, key_pair
from tests.fakes.dns_server import dns_server
from tests.journey import Walker, add_carol
from tests.saml_parties import Customer, add_customer, answer_for
from tests.stores import hash_of

ALICE = "alice@acme.example"


@pytest.fixture
def idp(run_on_parts: Callable[[click.Command], Idp]) -> Idp:
    return run_on_parts(companies_command)


@pytest.fixture
def metadata(tmp_path: Path) -> str:
    """The metadata of Acme's identity provider, as a file."""
    file = tmp_path / "metadata.xml"
    file.write_bytes(CompanyIdp().metadata())
    return str(file)


@pytest.fixture
def acme(parts: Parts) -> Customer:
    return add_customer(parts.database, parts.connections, CompanyIdp(), now=parts.clock(), random=parts.random)


def done(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def told(result: Result) -> Any:
    return json.loads(done(result))


def refused(result: Result, *words: str) -> str:
    assert result.exit_code == 1
    assert isinstance(result.exception, OperatorError), result.exception
    message = str(result.exception)
    assert all(letter.isprintable() or letter == "\n" for letter in message)
    for word in words:
        assert word in message
    return message


def happened(parts: Parts) -> list[str]:
    with parts.database.reading() as db:
        events = db.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
        assert all(event.actor.startswith("operator:") for event in events if event.event.startswith("company."))
        return [event.event for event in events]


# --- the journey ---------------------------------------------------------------------------------------------------------------


def test_a_company_goes_from_nothing_to_requiring_sso_by_commands_alone(
    idp: Idp, parts: Parts, walker: Walker, metadata: str
) -> None:
    company = told(idp("add", "Acme", "--json"))["id"]
    domain = told(idp("domains", "add", company, "acme.example", "--json"))
    with dns_server() as server:
        server.records["acme.example"] = [f'"{domain["record"]}"']
        checked = told(idp("domains", "check", "Acme", "acme.example", "--json", IDP_DNS_SERVER=server.address))
    assert (checked["ok"], checked["method"], checked["status"]) == (True, "dns", "verified")

    connection = told(idp("connections", "add", "acme.example", "--metadata-file", metadata, "--json"))
    assert connection["state"] == "draft"
    refused(idp("connections", "go-live", connection["id"]), "connection_untested")

    there = told(idp("try", connection["id"], "--json"))["address"].removeprefix(parts.config.issuer)
    with parts.database.reading() as db:
        loaded = parts.connections.load(db, connection["id"])
    assert loaded is not None
    customer = Customer(company, loaded, CompanyIdp())
    done(idp("set", "Acme", "jit=true"))
    page = come_back(walker, customer, request_at(walker.submit(walker.get(there), "/login/company/try")))
    assert 'id="try-result"' in text(page)
    assert "is live" in done(idp("connections", "go-live", connection["id"]))

    refused(idp("require-sso", "Acme"), "company_sso_untried")
    add_carol(parts, "carol@acme.example")
    done(idp("members", "add", "Acme", "carol@acme.example", "--role", "administrator", "--vouch"))
    done(idp("members", "break-glass", "Acme", "carol@acme.example"))
    done(idp("members", "add", "Acme", ALICE, "--role", "administrator", "--name", "Alice Example"))
    assert "code" in walker.answer_of(sign_in(walker, customer))
    assert "requires SSO" in done(idp("require-sso", "Acme", "--end-sessions"))
    shown = told(idp("show", "Acme", "--json"))
    assert shown["sso"] == "required"
    assert shown["domains"] == [{"domain": "acme.example", "status": "verified"}]
    assert shown["members"] == {"administrator": 2}
    assert walker.get("/me").status_code == 303  # her session has ended
    done(idp("relax-sso", "Acme"))
    assert told(idp("show", "Acme", "--json"))["sso"] == "optional"
    assert {"company.created", "company.sso_required", "company.sso_relaxed"} <= set(happened(parts))


# --- companies -------------------------------------------------------------------------------------------------------------------


def test_a_company_is_found_by_id_name_and_domain(idp: Idp, acme: Customer) -> None:
    for word in (acme.company_id, "Acme", "acme.example", "ACME.example."):
        assert told(idp("show", word, "--json"))["id"] == acme.company_id
    refused(idp("show", "Globex"), "No company", "idp companies list")


def test_a_company_is_found_by_its_domain_in_any_spelling(idp: Idp) -> None:
    company = told(idp("add", "Books", "--json"))["id"]
    done(idp("domains", "add", company, "bücher.example"))
    for word in ("bücher.example", "BÜCHER.example.", "xn--bcher-kva.example"):
        assert told(idp("show", word, "--json"))["id"] == company


def test_a_name_that_two_companies_have_asks_for_the_id(idp: Idp) -> None:
    ids = [told(idp("add", "Twin", "--json"))["id"] for _ in range(2)]
    refused(idp("show", "Twin"), *ids)
    assert told(idp("show", ids[0], "--json"))["name"] == "Twin"


def test_policies_are_set_and_taken_back(idp: Idp, acme: Customer) -> None:
    done(
        idp(
            "set",
            "Acme",
            "name=Acme Inc",
            "jit=false",
            "doors=password",
            "session_idle=1800",
            "shortest_password=15",
            "second_factor_from=2027-01-31",
            "contacts=it@acme.example",
        )
    )
    shown = told(idp("show", "Acme Inc", "--json"))
    assert (shown["jit"], shown["doors"], shown["session_idle"]) == (False, ["password"], 1800)
    assert (shown["shortest_password"], shown["second_factor_from"]) == (15, 1801353600)
    assert shown["contacts"] == ["it@acme.example"]
    done(idp("set", "Acme Inc", "session_idle=", "contacts=", "doors=social,password"))
    shown = told(idp("show", "Acme Inc", "--json"))
    assert (shown["session_idle"], shown["contacts"], shown["doors"]) == (None, [], ["social", "password"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("sso=required", "company_field_wrong"),
        ("jit=perhaps", "jit"),
        ("doors=window", "doors"),
        ("session_idle=1h", "session_idle"),
        ("second_factor_from=tomorrow", "second_factor_from"),
        ("shortest_password=7", "shortest_password"),
        ("session_lifetime=999999999", "company_session_too_long"),
        ("contacts=nobody", "contacts"),
        ("name=", "name"),
        ("jit", "KEY=VALUE"),
        ("id=x", "company_field_wrong"),
    ],
)
def test_a_wrong_policy_is_refused_and_nothing_changes(change: str, says: str, idp: Idp, acme: Customer) -> None:
    before = told(idp("show", "Acme", "--json"))
    refused(idp("set", "Acme", change), says)
    assert told(idp("show", "Acme", "--json")) == before


def test_a_company_is_removed_only_when_one_is_sure(idp: Idp, acme: Customer, parts: Parts, walker: Walker) -> None:
    sign_in(walker, acme)
    assert idp("remove", "Acme", given="n\n").exit_code == 1
    assert told(idp("list", "--json"))
    done(idp("remove", "Acme", "--yes"))
    assert told(idp("list", "--json")) == []
    assert walker.get("/me").status_code == 303  # signed out at once
    again = told(idp("add", "Globex", "--json"))["id"]
    refused(idp("domains", "add", again, "acme.example"), "domain_taken")  # it cools off


def test_lists_say_how_to_begin(idp: Idp) -> None:
    assert "idp companies add" in done(idp("list"))
    done(idp("add", "Acme"))
    assert "idp companies domains add" in done(idp("domains", "list", "Acme"))
    assert "idp companies members add" in done(idp("members", "list", "Acme"))
    assert "idp companies connections add" in done(idp("connections", "list", "Acme"))
    assert "Acme" in done(idp("list"))


# --- domains ---------------------------------------------------------------------------------------------------------------------


def test_the_record_and_the_file_are_printed(idp: Idp) -> None:
    done(idp("add", "Acme"))
    shown = done(idp("domains", "add", "Acme", "Acme.example."))
    assert "TXT record at acme.example" in shown
    assert "https://acme.example/.well-known/idp-verification-code.txt" in shown
    assert re.search(r"idp-verification-code=[0-9a-f-]{36}", shown)
    assert told(idp("domains", "list", "Acme", "--json"))[0]["status"] == "pending"


def test_a_check_shows_what_was_found_and_why_it_is_not_enough(idp: Idp) -> None:
    done(idp("add", "Acme"))
    done(idp("domains", "add", "Acme", "acme.example"))
    with dns_server() as server:
        server.records["acme.example"] = ['"v=spf1 -all"']
        result = idp("domains", "check", "Acme", "acme.example", IDP_DNS_SERVER=server.address)
    assert result.exit_code == 1
    assert "TXT acme.example: v=spf1 -all" in result.stdout
    assert "domain_record_missing" in result.stdout
    assert "idp-verification-code=" in result.stdout


@pytest.mark.parametrize(
    ("domain", "says"),
    [("gmail.com", "domain_public_mail"), ("co.uk", "domain_public_suffix"), ("no domain", "domain_malformed")],
)
def test_a_domain_that_is_nobodys_own_is_refused(domain: str, says: str, idp: Idp) -> None:
    done(idp("add", "Acme"))
    refused(idp("domains", "add", "Acme", domain), says)


def test_a_domain_is_released(idp: Idp, acme: Customer) -> None:
    done(idp("domains", "release", "Acme", "acme.example"))
    [row] = told(idp("domains", "list", "Acme", "--json"))
    assert row["status"] == "released"
    assert "closed until" in done(idp("domains", "list", "Acme"))
    refused(idp("domains", "check", "Acme", "globex.example"), "domain_unclaimed")


# --- members ---------------------------------------------------------------------------------------------------------------------


def test_who_has_no_account_gets_one_that_waits(idp: Idp, acme: Customer, parts: Parts, walker: Walker) -> None:
    assert "waits for the first company sign-in" in done(idp("members", "add", "Acme", ALICE, "--role", "read_only"))
    [alice] = told(idp("members", "list", "Acme", "--json"))
    assert (alice["role"], alice["prepared"], alice["has_password"]) == ("read_only", True, False)
    sign_in(walker, acme)
    [alice] = told(idp("members", "list", "Acme", "--json"))
    assert alice["prepared"] is False


def test_roles_are_changed_and_the_last_administrator_stays(idp: Idp, acme: Customer, walker: Walker) -> None:
    sign_in(walker, acme)
    done(idp("members", "role", "Acme", ALICE, "administrator"))
    refused(idp("members", "role", "Acme", ALICE, "member"), "company_last_administrator")
    refused(idp("members", "remove", "Acme", ALICE), "company_last_administrator")
    assert "administrator" in done(idp("members", "list", "Acme"))


def test_who_is_removed_is_signed_out_at_once(idp: Idp, acme: Customer, walker: Walker) -> None:
    sign_in(walker, acme)
    assert walker.get("/me").status_code == 200
    done(idp("members", "remove", "Acme", ALICE))
    assert walker.get("/me").status_code == 303
    assert told(idp("members", "list", "Acme", "--json")) == []


def test_an_address_of_elsewhere_needs_somebody_who_vouches(idp: Idp, acme: Customer, parts: Parts) -> None:
    add_carol(parts)
    refused(idp("members", "add", "Acme", "carol@example.org"), "company_member_outside")
    done(idp("members", "add", "Acme", "carol@example.org", "--vouch"))
    refused(idp("members", "add", "Acme", "carol@example.org", "--vouch"), "company_member_elsewhere")
    refused(idp("members", "role", "Acme", "nobody@example.org", "member"), "Nobody has the address")
    refused(idp("members", "add", "Acme", "no address"), "no address")


def test_break_glass_is_named_and_withdrawn(idp: Idp, acme: Customer, parts: Parts) -> None:
    add_carol(parts)
    done(idp("members", "add", "Acme", "carol@example.org", "--vouch"))
    done(idp("members", "break-glass", "Acme", "carol@example.org"))
    assert "break-glass" in done(idp("members", "list", "Acme"))
    done(idp("members", "break-glass", "Acme", "carol@example.org", "--withdraw"))
    assert "break-glass" not in done(idp("members", "list", "Acme"))


# --- connections -------------------------------------------------------------------------------------------------------------------


def test_a_connection_by_hand_and_what_is_to_be_entered_there(idp: Idp, tmp_path: Path) -> None:
    pem = tmp_path / "idp.pem"
    pem.write_bytes(CompanyIdp().certificate.public_bytes(Encoding.PEM))
    done(idp("add", "Acme"))
    added = told(
        idp(
            "connections", "add", "Acme", "--name", "Acme ADFS", "--entity-id", "https://idp.acme.example",
            "--sign-on-url", "https://idp.acme.example/sso", "--binding", "post",
            "--sign-out-url", "https://idp.acme.example/slo", "--certificate", str(pem),
            "--name-id-format", "persistent", "--email-attribute", "mail", "--json",
        )
    )  # fmt: skip
    assert added["sso_binding"] == "post"
    assert added["slo_url"] == "https://idp.acme.example/slo"
    assert added["name_id_format"] == "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
    assert added["attributes"] == {"email": "mail"}
    assert len(added["certificates"]) == 1
    shown = done(idp("connections", "show", "Acme ADFS"))
    for value in (*added["ours"].values(), added["name_id_format"], "mail (email)", "BEGIN CERTIFICATE"):
        assert value in shown
    assert "PRIVATE" not in shown


def test_a_preset_fills_in_what_the_vendor_sends(idp: Idp, metadata: str) -> None:
    done(idp("add", "Acme"))
    added = told(idp("connections", "add", "Acme", "--vendor", "entra", "--metadata-file", metadata, "--json"))
    assert added["name"] == "Microsoft Entra ID"
    assert added["attributes"]["email"].endswith("/emailaddress")
    assert added["hint"] == "login_hint"
    done(idp("connections", "set", added["id"], "email=", "name_attribute=cn", "hint=none", "name=Ours"))
    [shown] = told(idp("connections", "list", "Acme", "--json"))
    assert shown["name"] == "Ours"
    changed = told(idp("connections", "show", "Ours", "--json"))
    assert "email" not in changed["attributes"]
    assert changed["attributes"]["name"] == "cn"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "Give one of"),
        (("--metadata-url", "https://a", "--sign-on-url", "https://b"), "Give one of"),
        (("--sign-on-url", "https://idp.acme.example/sso"), "By hand at least"),
        (("--metadata-file", "no-such-file"), "No such file"),
        (("--metadata-url", "http://idp.acme.example/metadata"), "saml_metadata_unreachable"),
        (("--metadata-url", "https://127.0.0.1/metadata"), "saml_metadata_unreachable"),
    ],
)
def test_a_wrong_description_is_refused_and_says_how_to_mend_it(options: tuple[str, ...], says: str, idp: Idp) -> None:
    done(idp("add", "Acme"))
    refused(idp("connections", "add", "Acme", *options), says)
    assert told(idp("connections", "list", "Acme", "--json")) == []


def test_metadata_that_is_none_is_refused(idp: Idp, tmp_path: Path) -> None:
    done(idp("add", "Acme"))
    for content, says in ((b"hello", "saml_metadata_not_xml"), (b"<!DOCTYPE x><x/>", "saml_metadata_forbidden")):
        (tmp_path / "wrong.xml").write_bytes(content)
        refused(idp("connections", "add", "Acme", "--metadata-file", str(tmp_path / "wrong.xml")), says)


def test_metadata_that_must_be_signed_counts_only_with_that_signature(idp: Idp, tmp_path: Path) -> None:
    company = CompanyIdp()
    _, other = key_pair("rsa", "somebody else")
    for name, certificate in (("right", company.certificate), ("wrong", other)):
        (tmp_path / name).write_bytes(certificate.public_bytes(Encoding.DER))
    (tmp_path / "signed.xml").write_bytes(company.metadata(sign=True))
    (tmp_path / "unsigned.xml").write_bytes(company.metadata())
    done(idp("add", "Acme"))

    def add(document: str, certificate: str) -> Result:
        return idp(
            "connections", "add", "Acme", "--metadata-file", str(tmp_path / document),
            "--metadata-certificate", str(tmp_path / certificate),
        )  # fmt: skip

    refused(add("unsigned.xml", "right"), "saml_metadata_unsigned")
    refused(add("signed.xml", "wrong"), "saml_metadata_signature_wrong")
    done(add("signed.xml", "right"))


def test_our_metadata_is_what_an_identity_provider_can_read(idp: Idp, acme: Customer) -> None:
    printed = done(idp("connections", "metadata", acme.connection.id))
    assert printed.startswith("<")
    assert acme.connection.entity_id in printed
    assert acme.connection.acs in printed


def test_certificates_are_added_listed_and_removed(idp: Idp, acme: Customer, tmp_path: Path) -> None:
    _, second = key_pair("rsa", "a successor")
    (tmp_path / "next.pem").write_bytes(second.public_bytes(Encoding.PEM))
    name = acme.connection.id
    assert "1 added, 2 count now" in done(idp("connections", "certificates", "add", name, str(tmp_path / "next.pem")))
    assert "0 added" in done(idp("connections", "certificates", "add", name, str(tmp_path / "next.pem")))
    first, other = told(idp("connections", "certificates", "list", name, "--json"))
    assert "days left" in done(idp("connections", "certificates", "list", name))
    done(idp("connections", "certificates", "remove", name, first["fingerprint"]))
    refused(idp("connections", "certificates", "remove", name, other["fingerprint"]), "connection_last_certificate")
    refused(idp("connections", "certificates", "remove", name, "00"), "connection_certificate_unknown")
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    refused(
        idp("connections", "certificates", "add", name, str(tmp_path / "key.pem")), "connection_certificate_private_key"
    )


def test_certificates_come_by_standard_input_too(idp: Idp, acme: Customer) -> None:
    _, second = key_pair("rsa", "a successor")
    given = second.public_bytes(Encoding.PEM)
    assert "1 added" in done(idp("connections", "certificates", "add", acme.connection.id, "-", given=given))


def test_our_key_is_rolled_in_two_steps(idp: Idp, acme: Customer) -> None:
    name = acme.connection.id
    keys = told(idp("connections", "show", name, "--json"))["keys"]
    assert "is published" in done(idp("connections", "roll-key", name))
    between = told(idp("connections", "show", name, "--json"))["keys"]
    assert [key["state"] for key in between] == ["signing", "next"]
    assert "signs now" in done(idp("connections", "roll-key", name))
    after = told(idp("connections", "show", name, "--json"))["keys"]
    assert [key["state"] for key in after] == ["signing", "retired"]
    assert after[0]["fingerprint"] == between[1]["fingerprint"]
    assert after[1]["fingerprint"] == keys[0]["fingerprint"]


def test_a_connection_goes_back_and_away(idp: Idp, acme: Customer) -> None:
    name = acme.connection.id
    assert "draft" in done(idp("connections", "back-to-draft", name))
    assert idp("connections", "remove", name, given="n\n").exit_code == 1
    done(idp("connections", "remove", name, "--yes"))
    refused(idp("connections", "show", name), "No connection")


def test_a_connection_is_described_anew(idp: Idp, acme: Customer, tmp_path: Path) -> None:
    successor = CompanyIdp(name="a successor")
    (tmp_path / "new.xml").write_bytes(successor.metadata())
    before = told(idp("connections", "show", acme.connection.id, "--json"))
    done(idp("connections", "replace", acme.connection.id, "--metadata-file", str(tmp_path / "new.xml")))
    after = told(idp("connections", "show", acme.connection.id, "--json"))
    assert after["certificates"] != before["certificates"]
    assert after["id"] == before["id"]
    other = CompanyIdp("https://other.example")
    (tmp_path / "other.xml").write_bytes(other.metadata())
    refused(
        idp("connections", "replace", acme.connection.id, "--metadata-file", str(tmp_path / "other.xml")),
        "connection_entity_id_fixed",
    )


@pytest.mark.parametrize(
    "change", ["nonsense", "colour=red", "hint=shout", "contexts=[1]", "contexts={", "name_id_format=x"]
)
def test_a_wrong_setting_is_refused(change: str, idp: Idp, acme: Customer) -> None:
    before = told(idp("connections", "show", acme.connection.id, "--json"))
    refused(idp("connections", "set", acme.connection.id, change))
    assert told(idp("connections", "show", acme.connection.id, "--json")) == before


@pytest.fixture
def aside(parts: Parts, acme: Customer) -> int:
    """Metadata that was kept aside, because it names another sign-on address."""
    moved = CompanyIdp()
    moved.sso_url = "https://idp.acme.example/moved"
    with parts.database.transaction() as db:
        kept = ConnectionMetadata(
            connection_id=acme.connection.id, read_at=int(parts.clock()), source="url", state="kept_aside",
            document=moved.metadata().decode(),
            changes={"sso_url": {"was": acme.idp.sso_url, "is": moved.sso_url}},
        )  # fmt: skip
        db.add(kept)
        db.flush()
        return kept.id


def test_metadata_that_waits_is_shown_with_its_difference_and_accepted(idp: Idp, acme: Customer, aside: int) -> None:
    name = acme.connection.id
    assert "changes list" in done(idp("connections", "show", name))
    shown = done(idp("connections", "changes", "list", name))
    for word in (f"Number {aside}", acme.idp.sso_url, "https://idp.acme.example/moved"):
        assert word in shown
    refused(idp("connections", "changes", "accept", name, str(aside + 1)), "No metadata")
    done(idp("connections", "changes", "accept", name, str(aside)))
    assert told(idp("connections", "show", name, "--json"))["sso_url"] == "https://idp.acme.example/moved"
    assert "Nothing waits" in done(idp("connections", "changes", "list", name))


def test_metadata_that_waits_is_dismissed(idp: Idp, acme: Customer, aside: int) -> None:
    name = acme.connection.id
    done(idp("connections", "changes", "dismiss", name, str(aside)))
    assert told(idp("connections", "changes", "list", name, "--json")) == []
    assert told(idp("connections", "show", name, "--json"))["sso_url"] == acme.idp.sso_url


# --- trying and watching -----------------------------------------------------------------------------------------------------------


def test_a_captured_response_is_tried_without_a_signing_key(
    idp: Idp, acme: Customer, parts: Parts, config: Config, tmp_path: Path
) -> None:
    """Not even the ring of signing keys is there."""
    file = tmp_path / "response"
    file.write_text(acme.idp.response(**answer_for(acme.connection), now=parts.clock()))
    (config.keys / "ring.json").unlink()
    report = told(idp("try", acme.connection.id, "--response", str(file), "--json"))
    assert report["ok"] is True
    assert report["outcome"]["decision"] == "new"
    assert {one["client_id"] for one in report["told"]} >= {"C1"}
    with parts.database.reading() as db:
        assert db.get_one(Connection, acme.connection.id).tested_at is None


@pytest.mark.parametrize("shape", ["base64", "lines", "xml", "form"])
def test_a_response_is_taken_in_the_shapes_in_which_people_have_it(
    shape: str, idp: Idp, acme: Customer, parts: Parts, tmp_path: Path
) -> None:
    from base64 import b64decode
    from urllib.parse import urlencode

    encoded = acme.idp.response(**answer_for(acme.connection), now=parts.clock())
    content = {
        "base64": encoded.encode(),
        "lines": b"\n".join(encoded[at : at + 76].encode() for at in range(0, len(encoded), 76)) + b"\n",
        "xml": b64decode(encoded),
        "form": urlencode({"SAMLResponse": encoded, "RelayState": "x"}).encode(),
    }[shape]
    assert "would succeed" in done(idp("try", acme.connection.id, "--response", "-", given=content))


def test_what_fails_is_printed_with_expected_received_and_the_menu(
    idp: Idp, acme: Customer, parts: Parts, tmp_path: Path
) -> None:
    done(idp("connections", "set", acme.connection.id, "vendor=okta"))
    file = tmp_path / "response"
    wrong = {**answer_for(acme.connection), "audience": "https://another.example"}
    file.write_text(acme.idp.response(**wrong, now=parts.clock()))
    result = idp("try", acme.connection.id, "--response", str(file))
    assert result.exit_code == 1
    for word in ("saml_audience_wrong", acme.connection.entity_id, "https://another.example", "Okta Admin Console"):
        assert word in result.stdout
    assert "Nothing was written" in result.stdout


def test_an_old_response_is_tried_as_of_then(idp: Idp, acme: Customer, parts: Parts, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    then = parts.clock() - 40 * 3600
    file = tmp_path / "response"
    file.write_text(acme.idp.response(**answer_for(acme.connection), now=then))
    assert idp("try", acme.connection.id, "--response", str(file)).exit_code == 1
    as_of = datetime.fromtimestamp(then + 5, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    done(idp("try", acme.connection.id, "--response", str(file), "--as-of", as_of))
    refused(idp("try", acme.connection.id, "--response", str(file), "--as-of", "yesterday"), "2026-11-22T10:30:00Z")
    refused(idp("try", acme.connection.id, "--as-of", as_of), "--response")


@pytest.mark.parametrize("wrong", [{}, {"audience": "https://another.example"}], ids=["good", "bad"])
def test_a_dry_run_by_command_leaves_both_stores_as_they_were(
    wrong: dict[str, str], idp: Idp, acme: Customer, parts: Parts
) -> None:
    given = acme.idp.response(**{**answer_for(acme.connection), **wrong}, now=parts.clock())
    before = hash_of(parts.database, parts.store)
    result = idp("try", acme.connection.id, "--response", "-", "--json", given=given)
    assert json.loads(result.stdout)["ok"] is (not wrong)
    assert hash_of(parts.database, parts.store) == before


def test_attempts_show_what_failed_and_only_of_this_connection(
    idp: Idp, acme: Customer, parts: Parts, walker: Walker
) -> None:
    sign_in(walker, acme)
    parts.clock.advance(1)  # type: ignore[attr-defined]  # the clock of the tests
    sign_in(Walker(walker.app, parts), acme, audience="https://another.example")
    parts.attempts.step("0000-0001", Step.request_sent, connection_id="anothers")
    parts.attempts.flush()
    rows = told(idp("attempts", acme.connection.id, "--json"))
    assert [(row["outcome"], row["reason"]) for row in rows] == [("failed", "saml_audience_wrong"), ("done", None)]
    shown = done(idp("attempts", acme.connection.id, "--failed"))
    for word in ("saml_audience_wrong", "expected  " + acme.connection.entity_id, "received  https://another.example"):
        assert word in shown
    assert "0000-0001" not in shown
    assert ALICE not in shown


# --- what holds for all ----------------------------------------------------------------------------------------------------------


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


def test_every_command_says_what_it_does(idp: Idp) -> None:
    found = list(commands(companies_command))
    assert len(found) > 30
    for path, command in found:
        assert command.help, path
        assert "Usage" in done(idp(*path, "--help"))


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from idp.cli.companies_command import companies_command;"
        "print([name for name in ('sqlalchemy', 'lxml', 'saml2', 'flask', 'cryptography', 'oic', 'dns') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_without_redis_a_change_stands_and_says_so(idp: Idp, acme: Customer, tmp_path: Path) -> None:
    nobody = f"unix://{tmp_path}/nobody.sock"
    result = idp("members", "add", "Acme", "bob@acme.example", IDP_REDIS_URL=nobody)
    assert result.exit_code == 0
    assert "Redis does not answer" in result.stderr
    assert told(idp("members", "list", "Acme", "--json"))


def test_a_database_that_is_not_there_is_told(idp: Idp, tmp_path: Path) -> None:
    refused(idp("list", IDP_DATA=str(tmp_path / "elsewhere")), "idp database upgrade")
