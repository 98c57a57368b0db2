"""Forged answers at the real ACS address: refused with a page and a receipt, never a 5xx, and nobody is signed in.

Each kind of attack by itself stands in test_saml_messages.py; here is that the door asks for nothing less.
"""

from __future__ import annotations

import base64
import dataclasses
import secrets

import pytest
from lxml import etree
from werkzeug.test import TestResponse

from idp.attempts import drain
from idp.models import Account, AttemptStep, Link
from idp.parts import Parts
from idp.throttle import RESPONSES
from tests.attacks.door_forgeries import attack_door
from tests.attacks.saml_forgeries import VICTIM
from tests.attacks.test_saml_messages import DIFFERENTIALS, LARGE, SIGNED, WRAPPINGS
from tests.company_walker import answer, leave, post, reason_of, sign_in, text
from tests.fakes.company_idp import CompanyIdp
from tests.journey import Walker
from tests.saml_parties import Customer, add_customer


def encoded(document: bytes) -> str:
    return base64.b64encode(document).decode()


def nobody_came_in(walker: Walker, parts: Parts, answered: TestResponse) -> None:
    assert answered.status_code < 500
    page = walker.follow(answered)
    assert page.status_code < 500
    assert "code=" not in page.headers.get("Location", "")
    with parts.database.reading() as db:
        assert db.query(Account).count() == db.query(Link).count() == 0


@pytest.mark.parametrize("sign", SIGNED)
def test_sa_05_no_wrapping_comes_through_the_door(walker: Walker, acme: Customer, parts: Parts, sign: str) -> None:
    request = leave(walker)
    for wrapping in WRAPPINGS:
        genuine = base64.b64decode(answer(acme, request, parts.clock(), sign=sign))
        made = etree.tostring(wrapping(etree.fromstring(genuine)))
        nobody_came_in(walker, parts, post(walker, acme, encoded(made)))


def test_sa_06_no_trick_of_reading_comes_through_the_door(walker: Walker, acme: Customer, parts: Parts) -> None:
    request = leave(walker)
    genuine = base64.b64decode(answer(acme, request, parts.clock(), sign="both"))
    for change in DIFFERENTIALS.values():
        nobody_came_in(walker, parts, post(walker, acme, encoded(change(genuine))))


@pytest.mark.parametrize("sign", SIGNED)
def test_sa_08_sa_09_no_company_answers_for_another(walker: Walker, acme: Customer, parts: Parts, sign: str) -> None:
    evil = add_customer(
        parts.database,
        parts.connections,
        CompanyIdp("https://idp.evil.example", name="Evil"),
        "evil.example",
        name="Evil",
        now=parts.clock(),
        random=parts.random,
    )
    request = leave(walker)
    for changes in ({"response_issuer": acme.idp.entity_id}, {"issuer": acme.idp.entity_id}, {}):
        made = answer(evil, request, parts.clock(), sign=sign, **changes)
        for customer in (acme, evil):
            nobody_came_in(walker, parts, post(walker, customer, made))


@pytest.mark.parametrize("name", [name for name in LARGE if name not in ("20 MB", "180 kB NameID")])
def test_sa_26_large_messages_end_at_the_door(walker: Walker, acme: Customer, parts: Parts, name: str) -> None:
    message = LARGE[name]()
    nobody_came_in(walker, parts, post(walker, acme, encoded(message) if isinstance(message, bytes) else message))


def test_sa_27_a_thousand_variants_come_to_the_door_and_none_is_believed_or_an_accident(
    walker: Walker, acme: Customer, parts: Parts
) -> None:
    """Harmless is what arrives as exactly the genuine person; it is not followed here, so that the request stays open."""
    seed = secrets.randbits(48)
    outcomes = attack_door(walker, acme, parts, seed, 1000)
    assert outcomes.total() == 1000
    # Which rarer reasons a run meets is chance; these it always meets, and so the variants are many kinds and not one.
    common = {"harmless", "page", "saml_structure_wrong", "saml_signature_wrong"}
    assert common < outcomes.keys() and outcomes["harmless"] < 500, (seed, outcomes)
    with parts.database.reading() as db:
        assert db.query(Account).count() == db.query(Link).count() == 0


def test_what_was_refused_is_told_with_its_reason(walker: Walker, acme: Customer, parts: Parts) -> None:
    request = leave(walker)
    genuine = base64.b64decode(answer(acme, request, parts.clock(), sign="response"))
    page = walker.follow(post(walker, acme, encoded(genuine.replace(b"alice@acme.example", VICTIM.encode()))))
    assert 'id="error-page"' in text(page) and VICTIM not in text(page)
    assert reason_of(page, parts) == "saml_signature_wrong"


def test_a_flood_for_one_company_is_turned_away_unread_and_keeps_nobody_else_out(
    walker: Walker, acme: Customer, parts: Parts
) -> None:
    """From one network only so many responses are examined that signed nobody in: not even its receipts fill up."""
    globex = add_customer(
        parts.database,
        parts.connections,
        CompanyIdp("https://idp.globex.example", name="Globex"),
        "globex.example",
        name="Globex",
        now=parts.clock(),
        random=parts.random,
    )
    request = leave(walker)
    genuine = answer(acme, request, parts.clock())
    mallory = Walker(walker.app, parts, address="203.0.113.66")
    others = CompanyIdp(acme.idp.entity_id, name="Mallory")
    lie = answer(dataclasses.replace(acme, idp=others), request, parts.clock())
    assert [post(mallory, acme, lie).status_code for _ in range(RESPONSES.tries)] == [303] * RESPONSES.tries
    parts.attempts.flush()
    drain(parts.store, parts.database)
    with parts.database.reading() as db:
        written = db.query(AttemptStep).count()
    turned_away = [post(mallory, acme, lie) for _ in range(100)]
    assert {page.status_code for page in turned_away} == {429}
    assert turned_away[0].headers["Retry-After"] == "1"
    parts.attempts.flush()
    drain(parts.store, parts.database)
    with parts.database.reading() as db:
        assert db.query(AttemptStep).count() == written
    # The same company from elsewhere, and another company from the very same network.
    assert "code" in walker.answer_of(walker.follow(post(walker, acme, genuine)))
    assert "code" in mallory.answer_of(sign_in(mallory, globex, "bob@globex.example"))


def test_an_office_that_signs_in_never_waits(walker: Walker, acme: Customer, parts: Parts) -> None:
    for _ in range(RESPONSES.tries + 20):
        visitor = Walker(walker.app, parts)
        assert "code" in visitor.answer_of(sign_in(visitor, acme))
