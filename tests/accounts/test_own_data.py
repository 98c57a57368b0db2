"""/me/data: everything that is kept about a person, for that person, and no secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from idp.accounts import own_records
from idp.accounts.lifecycle import change_claims
from idp.attempts import drain
from idp.mail import queue_mail
from idp.models import Account, Device, Password, Table
from idp.parts import Parts
from tests.company_records import add_company, add_person
from tests.conftest import Clock
from tests.journey import PASSWORD, Walker, add_carol

# Tables that hold something about an account, and under which member of the file it stands.
TOLD = {
    "accounts": "account",
    "emails": "addresses",
    "passwords": "password",
    "passkeys": "passkeys",
    "totps": "authenticator_app",
    "recovery_codes": "recovery_codes",
    "email_changes": "change_of_address",
    "held_addresses": "former_addresses",
    "invitations": "invitation",
    "links": "linked_ways",
    "members": "company",
    "devices": "browsers",
    "consents": "consents",
    "product_uses": "products",
    "seats": "seats",
    "staff": "role_at_the_provider",
    "factor_removals": "removal_of_factors",
    "attempts": "activity",
    "audit_events": "audit",
}
# Of these nothing is told: the beginnings of what is told already; secrets of mails that are on their way; what Redis has still to be told;
# whom somebody has invited for their company.
NOT_TOLD = {"search_terms", "mailed_links", "revocations", "bulk_invitations"}


@pytest.fixture
def alice(parts: Parts) -> str:
    acme = add_company(parts, "Acme")
    return add_person(parts, acme, "carol@example.org", "administrator")


def download(walker: Walker, parts: Parts) -> dict[str, Any]:
    walker.code(scope="openid profile")
    parts.attempts.flush()
    drain(parts.store, parts.database)
    page = walker.get("/me/data")
    assert 'id="own-data-page"' in page.get_data(as_text=True)
    answer = walker.submit(page, "/me/data")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == 'attachment; filename="login.example-my-data.json"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.mimetype == "application/json"
    told: dict[str, Any] = json.loads(answer.get_data())
    return told


def test_every_table_that_knows_a_person_is_told_or_said_not_to_be() -> None:
    knows = {table.name for table in Table.metadata.tables.values() if "account_id" in table.columns} | {"accounts"}
    assert knows == TOLD.keys() | NOT_TOLD


def test_the_file_says_who_how_and_what(walker: Walker, parts: Parts, alice: str) -> None:
    with parts.database.transaction() as db:
        claims = {"name": "Alice Ångström", "zoneinfo": "Europe/Paris"}
        change_claims(db, db.get_one(Account, alice), claims, actor="operator:test", now=parts.clock())
    told = download(walker, parts)
    assert set(TOLD.values()) <= told.keys()
    assert told["format"] == own_records.FORMAT
    assert told["account"]["claims"] == claims
    assert told["addresses"][0]["address"] == "carol@example.org"
    assert told["company"] == {"name": "Acme", "role": "administrator", "since": told["company"]["since"]}
    assert told["sessions"][0]["methods"] == ["pwd"]
    assert told["products"][0]["client_id"] == "C1"
    assert {step["what"] for step in told["activity"][0]["steps"]} >= {"password_checked", "session_opened"}
    assert "person.signed_in" in {row["event"] for row in told["audit"]}
    assert told["made_at"].endswith("Z")


def test_mails_to_an_address_whose_domain_has_other_letters_are_told_too(walker: Walker, parts: Parts) -> None:
    person = add_carol(parts, "Carol@bücher.example")
    with parts.database.transaction() as db:
        account = db.get_one(Account, person)
        for recipient in (account.emails[0].address, account.emails[0].canonical, "carol@example.org"):
            queue_mail(db, name="test", recipient=recipient, language="en", now=parts.clock(), sealer=parts.sealer)
    with parts.database.reading() as db:
        told = own_records.own_records(db, person, (), now=parts.clock())["mails"]
    assert {mail["recipient"] for mail in told} == {"carol@bücher.example", "carol@xn--bcher-kva.example"}


def test_no_secret_is_in_it_and_nothing_of_anybody_else(walker: Walker, parts: Parts, alice: str) -> None:
    dora = add_carol(parts, "dora@example.org", name="Dora")
    text = json.dumps(download(walker, parts))
    with parts.database.reading() as db:
        secrets = [*db.scalars(select(Password.hash)), *db.scalars(select(Device.secret_hash)), alice, dora]
    cookie = walker.browser.get_cookie("__Host-idp_session", "login.example")
    assert cookie is not None
    for secret in (*secrets, cookie.value, PASSWORD, "dora", "Dora"):
        assert secret not in text


def test_it_is_asked_for_a_recent_proof(walker: Walker, clock: Clock, alice: str) -> None:
    walker.sign_in(walker.get("/me"))
    page = walker.get("/me/data")
    clock.advance(16 * 60)
    for answer in (walker.get("/me/data"), walker.submit(page, "/me/data")):
        assert answer.status_code == 303
        assert answer.location.startswith("/login?again=")


def test_without_a_session_it_leads_to_the_sign_in(walker: Walker) -> None:
    assert walker.get("/me/data").location == "/login"
