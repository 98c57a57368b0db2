"""The test trip through a connection: for whoever sets it up, and it signs nobody in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from idp import doors
from idp.admin.trials import LIFETIME, make_trial
from idp.attempts import drain
from idp.languages import Languages
from idp.models import Account, Connection
from idp.parts import Parts
from idp.receipts import company_attempts
from tests import canaries
from tests.company_walker import Request, answer, come_back, leave, post, reason_of, request_at, text
from tests.conftest import Clock
from tests.fakes.company_idp import CompanyIdp
from tests.journey import Walker
from tests.saml_parties import Customer, add_customer, decide_for
from tests.stores import contents_of

ALICE = "alice@acme.example"


@pytest.fixture
def acme(parts: Parts) -> Customer:
    """Acme, whose connection has never been tried."""
    return add_customer(
        parts.database, parts.connections, CompanyIdp(), now=parts.clock(), random=parts.random, state="draft",
        attributes={"name": "displayName"},
    )  # fmt: skip


def address(parts: Parts, customer: Customer) -> str:
    secret = make_trial(parts.store, customer.connection.id, now=parts.clock(), random=canaries.random)
    return f"/login/company/try?p={secret}"


def begin(walker: Walker, customer: Customer) -> Request:
    page = walker.get(address(walker.parts, customer))
    assert page.status_code == 200, text(page)
    return request_at(walker.submit(page, "/login/company/try"))


def state_of(parts: Parts, customer: Customer) -> tuple[str, int | None]:
    with parts.database.reading() as db:
        row = db.get_one(Connection, customer.connection.id)
        return row.state, row.tested_at


def is_result(page: TestResponse) -> bool:
    return 'id="try-result"' in text(page)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_trip_that_works_counts_the_connection_as_tested_and_signs_nobody_in(
    language: str, walker: Walker, acme: Customer, parts: Parts
) -> None:
    request = begin(walker, acme)
    assert request.issuer == acme.connection.entity_id
    walker.get(f"/language?to={language}&back=/me")
    page = come_back(walker, acme, request, attributes={"displayName": ["Alice Example"]})
    assert is_result(page), text(page)
    assert page.status_code == 200
    assert {"en": "The sign-in works", "fr": "La connexion fonctionne"}[language] in text(page)
    assert state_of(parts, acme) == ("tested", int(parts.clock()))
    assert "idp_session" not in "".join(page.headers.getlist("Set-Cookie"))
    assert walker.get("/me").status_code == 303  # nobody is signed in
    with parts.database.reading() as db:
        assert db.query(Account).count() == 0


def test_the_page_shows_checks_attributes_account_and_claims_masked(
    walker: Walker, acme: Customer, parts: Parts
) -> None:
    page = text(come_back(walker, acme, begin(walker, acme), attributes={"displayName": ["Alice Example"]}))
    for shown in ("Signature", "Audience", "a•••e@acme.example", "displayName", "A•••", "at_hash"):
        assert shown in page
    assert "This person has no account here yet" in page
    assert ALICE not in page
    assert "Alice Example" not in page
    assert "SAMLResponse" not in page
    for client in parts.clients.all().values():
        if client.enabled:
            assert (f"<summary>{client.name}</summary>" in page) == client.first_party


def test_what_is_wrong_is_said_with_expected_and_received(walker: Walker, acme: Customer, parts: Parts) -> None:
    page = come_back(walker, acme, begin(walker, acme), audience="https://another.example")
    assert is_result(page)
    for shown in ("https://another.example", acme.connection.entity_id, "Expected", "Received"):
        assert shown in text(page)
    assert reason_of(page, parts) == "saml_audience_wrong"
    assert state_of(parts, acme) == ("draft", None)


def test_the_account_is_no_matter_of_the_connection(walker: Walker, acme: Customer, parts: Parts) -> None:
    """Every check holds, but this person may not come in: the connection works."""
    decide_for(parts.database, acme, jit=False)
    page = come_back(walker, acme, begin(walker, acme))
    assert "This person may not come in" in text(page)
    assert state_of(parts, acme)[0] == "tested"


def test_what_the_identity_provider_refuses_is_shown(walker: Walker, acme: Customer, parts: Parts) -> None:
    status = ("urn:oasis:names:tc:SAML:2.0:status:Responder", "urn:oasis:names:tc:SAML:2.0:status:RequestDenied")
    page = come_back(walker, acme, begin(walker, acme), status=status, assertion=False, sign="response")
    assert is_result(page)
    assert "RequestDenied" in text(page)
    assert state_of(parts, acme)[0] == "draft"


def test_every_check_that_the_page_may_show_has_its_words() -> None:
    names = ("saml_response.py", "saml_checks.py", "company_identity.py", "company.py")
    files = [Path(doors.__path__[0]) / name for name in names]
    code = "".join(file.read_text(encoding="utf-8") for file in files)
    checks = set(re.findall(r'(?:\.at\(|\bCheck\(|\(looked,|\bstep(?:, \w+)? =)\s*"(\w+)"', code))
    assert {"signature", "qualifiers", "email"} < checks
    words = Languages()
    assert {check for check in checks if not words.has(f"saml.check.{check}")} == set()


def test_fixed_phrases_are_said_in_the_persons_language(walker: Walker, acme: Customer) -> None:
    request = begin(walker, acme)
    walker.get("/language?to=fr&back=/me")
    page = text(come_back(walker, acme, request, audience="https://another.example", confirmed_request="_x"))
    assert "celle de l’assertion" in page and "of the Assertion" not in page
    assert "deux fois le même identifiant" in page and "the same id twice" not in page
    assert '<code lang="en">https://another.example</code>' in page  # what was sent is shown as it came


def test_every_phrase_of_the_catalogue_is_one_of_the_checks() -> None:
    folder = Path(doors.__path__[0])
    code = "".join(
        file.read_text(encoding="utf-8") for file in [*folder.glob("saml_*.py"), *folder.glob("company*.py")]
    )
    said = {re.sub("[^a-z0-9]+", "_", phrase.lower()).strip("_") for phrase in re.findall('"([^"\n]*)"', code)}
    keys = {key.removeprefix("saml.said.") for key in Languages().keys("en") if key.startswith("saml.said.")}
    assert len(keys) >= 25
    assert keys - said == set()


def test_a_live_connection_can_be_tried_and_stays_live(walker: Walker, parts: Parts) -> None:
    live = add_customer(parts.database, parts.connections, CompanyIdp(), now=parts.clock(), random=parts.random)
    assert is_result(come_back(walker, live, begin(walker, live)))
    assert state_of(parts, live) == ("live", int(parts.clock()))


def test_the_trip_stands_in_the_attempts_of_the_connection(walker: Walker, acme: Customer, parts: Parts) -> None:
    come_back(walker, acme, begin(walker, acme), audience="https://another.example")
    parts.clock.advance(1)  # type: ignore[attr-defined]  # the clock of the tests
    come_back(walker, acme, begin(walker, acme))
    parts.attempts.flush()
    drain(parts.store, parts.database)
    with parts.database.reading() as db:
        worked, failed = company_attempts(db, acme.connection.id)
    assert (worked.outcome, worked.reason) == ("done", None)
    assert (failed.outcome, failed.reason) == ("failed", "saml_audience_wrong")
    [refused] = [step for step in failed.steps if step.name == "response_refused"]
    assert refused.facts == {
        "check": "audience",
        "expected": acme.connection.entity_id,
        "received": "https://another.example",
    }


@pytest.mark.parametrize("wrong", [{}, {"audience": "https://another.example"}], ids=["good", "bad"])
def test_a_trip_writes_what_it_must_and_nothing_else(
    wrong: dict[str, str], walker: Walker, acme: Customer, parts: Parts
) -> None:
    """No account, no link, no session, no grant: that it was tested, who tries, what was asked and how it went."""

    def contents() -> dict[str, str]:
        parts.attempts.flush()
        drain(parts.store, parts.database)
        return contents_of(parts.database, parts.store)

    there = address(parts, acme)
    before = contents()
    request = request_at(walker.submit(walker.get(there), "/login/company/try"))
    assert is_result(come_back(walker, acme, request, attributes={"displayName": ["Alice"]}, **wrong))
    after = contents()
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    mine = (
        f"saml:{{{acme.connection.id}}}:assertion:",
        "trial:",
        "throttle:",
        "attempts",
        "table attempt",
        "table reason_days",
    )
    tested = {"table connections", "table audit_events"}
    assert {name for name in changed if not name.startswith(mine)} == (set() if wrong else tested)


# --- one browser, an hour, once ----------------------------------------------------------------------------------------------


def test_the_same_browser_may_try_again_and_another_may_not(walker: Walker, acme: Customer, parts: Parts) -> None:
    there = address(parts, acme)
    page = walker.get(there)
    stranger = Walker(walker.app, parts)
    early = stranger.get(there)  # looking is allowed until somebody has begun
    assert early.status_code == 200
    for _ in range(2):
        assert is_result(come_back(walker, acme, request_at(walker.submit(page, "/login/company/try"))))
    assert reason_of(stranger.get(there), parts) == "connection_trial_over"
    assert reason_of(stranger.submit(early, "/login/company/try"), parts) == "connection_trial_over"


def test_after_an_hour_it_is_over(walker: Walker, acme: Customer, parts: Parts, clock: Clock) -> None:
    there = address(parts, acme)
    page = walker.get(there)
    clock.advance(LIFETIME)
    assert reason_of(walker.get(there), parts) == "connection_trial_over"
    assert reason_of(walker.submit(page, "/login/company/try"), parts) == "connection_trial_over"


def test_the_result_belongs_to_the_browser_that_left(walker: Walker, acme: Customer, parts: Parts) -> None:
    request = begin(walker, acme)
    arrived = post(walker, acme, answer(acme, request, parts.clock()))
    page = Walker(walker.app, parts).follow(arrived)
    assert reason_of(page, parts) == "pending_foreign_browser"
    assert state_of(parts, acme)[0] == "draft"


def test_a_response_is_shown_once(walker: Walker, acme: Customer, parts: Parts) -> None:
    request = begin(walker, acme)
    response = answer(acme, request, parts.clock())
    arrived = post(walker, acme, response)
    assert is_result(walker.follow(arrived))
    assert reason_of(walker.follow(arrived), parts) == "connection_trial_over"
    again = walker.follow(post(walker, acme, response))
    assert not is_result(again)


@pytest.mark.parametrize("query", ["", "?c=x&r=y", "?c=../..&r=", "?r=%00"])
def test_no_result_is_shown_for_nothing(query: str, walker: Walker, acme: Customer) -> None:
    page = walker.get(f"/login/company/try/result{query}")
    assert page.status_code == 400
    assert 'id="error-page"' in text(page)


def test_nobody_signs_in_with_the_answer_to_a_trial(walker: Walker, parts: Parts) -> None:
    """The response of a test trip is genuine; its request was no sign-in, and that decides."""
    live = add_customer(parts.database, parts.connections, CompanyIdp(), now=parts.clock(), random=parts.random)
    arrived = post(walker, live, answer(live, begin(walker, live), parts.clock()))
    assert arrived.location.startswith("/login/company/try/result")
    handed = arrived.location.replace("/login/company/try/result", "/login/company/return")
    page = walker.follow(walker.get(handed))
    assert reason_of(page, parts) == "pending_unknown"
    assert walker.get("/me").status_code == 303


def test_no_result_is_shown_for_the_answer_to_a_sign_in(walker: Walker, parts: Parts) -> None:
    live = add_customer(parts.database, parts.connections, CompanyIdp(), now=parts.clock(), random=parts.random)
    arrived = post(walker, live, answer(live, leave(walker), parts.clock()))
    handed = arrived.location.replace("/login/company/return", "/login/company/try/result")
    assert reason_of(walker.follow(walker.get(handed)), parts) == "connection_trial_over"


def test_the_button_needs_our_token(walker: Walker, acme: Customer, parts: Parts) -> None:
    page = walker.get(address(parts, acme))
    refused: Any = walker.submit(page, "/login/company/try", csrf="forged")
    assert refused.status_code == 400
    assert not re.search("SAMLRequest", text(refused))
