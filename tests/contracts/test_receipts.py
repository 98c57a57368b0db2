"""Whatever fails on the road, a person sees a code, and behind the code stands why."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from idp.app import create_app
from idp.attempts import drain
from idp.models import Attempt
from idp.parts import Parts
from idp.reasons import REASONS
from idp.receipts import find_attempt, latest_attempts, steps_of
from idp.redis_store import RedisStore
from tests.company_walker import come_back, leave, sign_in
from tests.fakes.company_idp import CompanyIdp
from tests.journey import Walker, add_carol
from tests.saml_parties import add_customer


def code_on(page: TestResponse) -> str:
    found = re.search(r'id="receipt-code"[^>]*>([0-9A-Z]{4}-[0-9A-Z]{4})<', page.get_data(as_text=True))
    assert found, page.get_data(as_text=True)
    return found[1]


def told(parts: Parts, code: str) -> tuple[Attempt, list[tuple[str, str | None]]]:
    """What the receipt says, and its steps with their reasons."""
    parts.attempts.flush()
    drain(parts.store, parts.database)
    with parts.database.reading() as db:
        attempt = find_attempt(db, code)
        assert attempt is not None
        steps = [(step.name, step.reason) for step in steps_of(db, code)]
        db.expunge_all()
    return attempt, steps


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"client_id": "nobody"}, "client_unknown"),
        ({"client_id": "OFF"}, "client_unknown"),
        ({"redirect_uri": "https://evil.example/cb"}, "redirect_uri_unregistered"),
        ({"state": "x" * 9000}, "request_unreadable"),
    ],
)
def test_a_refused_request_shows_its_receipt(
    changes: dict[str, str], reason: str, walker: Walker, parts: Parts
) -> None:
    page = walker.az(**changes)
    attempt, steps = told(parts, code_on(page))
    assert (attempt.outcome, attempt.reason) == ("failed", reason)
    assert ("request_refused", reason) in steps


def test_the_receipt_tells_which_address_was_not_registered_without_its_query(walker: Walker, parts: Parts) -> None:
    code = code_on(walker.az(redirect_uri="https://rp1.example/cb/?token=abc"))
    told(parts, code)
    with parts.database.reading() as db:
        facts = [step.facts for step in steps_of(db, code)]
    assert {"parameter": "redirect_uri", "redirect_uri": "https://rp1.example/cb/?•••"} in facts


def test_a_refusal_that_goes_to_the_product_has_a_receipt_too(walker: Walker, parts: Parts) -> None:
    assert walker.az(code_challenge_method="plain").status_code == 303
    parts.attempts.flush()
    drain(parts.store, parts.database)
    with parts.database.reading() as db:
        (attempt,) = latest_attempts(db, 10, failed=True)
        assert (attempt.client_id, attempt.reason) == ("C1", "pkce_method_unsupported")


def test_a_wrong_password_shows_the_receipt_of_the_sign_in_and_the_same_one_ends_well(
    walker: Walker, parts: Parts
) -> None:
    account_id = add_carol(parts)
    start = walker.follow(walker.az())
    page = walker.sign_in(start, password="not the password")
    code = code_on(page)
    _, steps = told(parts, code)
    assert ("password_checked", "password_wrong") in steps
    walker.sign_in(page)
    attempt, steps = told(parts, code)
    assert (attempt.outcome, attempt.reason, attempt.client_id, attempt.door) == ("done", None, "C1", "password")
    assert attempt.account_id == account_id
    assert [name for name, _ in steps][-1] == "code_issued"


def test_the_receipt_never_tells_the_address_or_the_password(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    code = code_on(walker.sign_in(walker.follow(walker.az()), password="not the password"))
    told(parts, code)
    with parts.database.reading() as db:
        facts = str([step.facts for step in steps_of(db, code)])
    assert "c•••l@example.org" in facts
    assert "carol" not in facts and "not the password" not in facts and walker.address not in facts


def test_a_failed_redemption_stands_in_the_receipt_of_its_sign_in(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    code = walker.code()
    assert walker.tk(code).status_code == 200
    assert walker.tk(code).status_code == 400
    parts.attempts.flush()
    drain(parts.store, parts.database)
    with parts.database.reading() as db:
        (attempt,) = latest_attempts(db, 10, failed=True)
        assert attempt.reason == "code_used"
        names = [step.name for step in steps_of(db, attempt.code)]
    assert names[0] == "request_received"
    assert names[-3:] == ["code_issued", "token_issued", "token_refused"]


def test_a_sign_in_through_a_company_is_one_receipt_from_the_product_to_the_code(walker: Walker, parts: Parts) -> None:
    acme = add_customer(parts.database, parts.connections, CompanyIdp(), now=parts.clock(), random=parts.random)
    refused = come_back(walker, acme, leave(walker), audience="https://another.example")
    attempt, steps = told(parts, code_on(refused))
    assert (attempt.outcome, attempt.reason) == ("failed", "saml_audience_wrong")
    assert (attempt.door, attempt.connection_id, attempt.client_id) == ("company", acme.connection.id, "C1")
    names = [name for name, _ in steps]
    assert names.index("request_received") < names.index("request_sent") < names.index("response_refused")
    again = Walker(walker.app, parts)
    assert "code" in again.answer_of(sign_in(again, acme))
    parts.attempts.flush()
    drain(parts.store, parts.database)
    with parts.database.reading() as db:
        done = next(one for one in latest_attempts(db, 10, failed=False) if one.outcome == "done")
        names = [step.name for step in steps_of(db, done.code)]
        facts = str(
            [step.facts for step in steps_of(db, done.code)] + [step.facts for step in steps_of(db, attempt.code)]
        )
    road = [
        "request_received",
        "request_sent",
        "response_received",
        "company_identified",
        "session_opened",
        "code_issued",
    ]
    assert [name for name in names if name in road] == road
    assert done.connection_id == acme.connection.id
    assert "alice" not in facts  # masked, wherever it stood


def test_without_redis_the_page_still_shows_a_receipt(parts: Parts, tmp_path: Path) -> None:
    down = dataclasses.replace(parts, store=RedisStore(f"unix://{tmp_path}/nobody.sock"))
    page = Walker(create_app(down), down).az()
    assert page.status_code == 503
    attempt, _ = told(parts, code_on(page))
    assert attempt.reason == "redis_down"


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_page_says_what_the_table_of_reasons_says(language: str, walker: Walker, parts: Parts) -> None:
    page = walker.get("/authorize?client_id=nobody", headers={"Accept-Language": language}).get_data(as_text=True)
    reason = REASONS["client_unknown"]
    for key in (reason.says, reason.next):
        assert parts.languages.text(language, key) in page
