"""Promises of enforcement.py: what a company closes to whom, who is told of a break-glass sign-in, and who gets the mail with
the right door."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, select

from idp.enforcement import ClosedBy, OwnDoor, note_break_glass, own_door, queue_right_door
from idp.languages import Languages
from idp.mail import MOST_PER_DAY, Mailer
from idp.models import AuditEvent, Company, Email, Member, OutboxMail
from idp.parts import Parts
from tests.company_records import add_company, add_person, mails
from tests.conftest import Clock
from tests.fakes.mail_server import MailServer, mail_server
from tests.journey import add_carol


@pytest.fixture
def acme(parts: Parts) -> ClosedBy:
    return ClosedBy(add_company(parts, "Acme", "acme.example"), "Acme")


def decide(parts: Parts, company: ClosedBy, **policy: Any) -> None:
    """Change what a company has decided, whatever should have come before."""
    with parts.database.transaction() as db:
        for name, value in policy.items():
            setattr(db.get_one(Company, company.company_id), name, value)


def door_to(parts: Parts, address: str, account_id: str | None, door: str) -> OwnDoor:
    with parts.database.reading() as db:
        return own_door(db, address, account_id, door)


@pytest.mark.parametrize(
    ("policy", "open_doors"),
    [
        ({}, {"password", "social"}),
        ({"doors": ["social"]}, {"social"}),
        ({"doors": ["password"]}, {"password"}),
        ({"doors": []}, set()),
        ({"sso": "required"}, set()),
    ],
)
def test_each_door_is_open_or_closed_by_itself(
    parts: Parts, acme: ClosedBy, policy: dict[str, Any], open_doors: set[str]
) -> None:
    alice = add_person(parts, acme.company_id, "alice@acme.example")
    decide(parts, acme, **policy)
    for door in ("password", "social"):
        for address, account_id in (("alice@acme.example", alice), ("nobody@acme.example", None)):
            found = door_to(parts, address, account_id, door)
            assert found.opens == (door in open_doors)
            assert found.closed_by == found.for_address == (None if found.opens else acme)
        assert door_to(parts, "carol@example.org", None, door).opens


def test_break_glass_is_for_passwords_alone(parts: Parts, acme: ClosedBy) -> None:
    glass = add_person(parts, acme.company_id, "glass@acme.example")
    decide(parts, acme, sso="required")
    with parts.database.transaction() as db:
        db.get_one(Member, glass).break_glass = True
    assert door_to(parts, "glass@acme.example", glass, "password").opens
    assert not door_to(parts, "glass@acme.example", glass, "social").opens


def test_every_address_of_a_person_counts_and_only_the_typed_one_is_told(parts: Parts, acme: ClosedBy) -> None:
    """Also where it is another company's, and for break-glass people of one of the two."""
    bolt = ClosedBy(add_company(parts, "Bolt", "bolt.example"), "Bolt")
    glass = add_person(parts, acme.company_id, "glass@acme.example")
    for domain in ("bolt.example", "private.example"):
        with parts.database.transaction() as db:
            address = f"glass@{domain}"
            db.add(Email(account_id=glass, address=address, canonical=address, domain=domain, primary=False))
    with parts.database.transaction() as db:
        db.get_one(Member, glass).break_glass = True
    decide(parts, acme, sso="required")
    passed = door_to(parts, "glass@private.example", glass, "password")
    assert (passed.opens, passed.closed_by, passed.for_address) == (True, acme, None)
    decide(parts, bolt, sso="required")
    for typed, told in (("acme", acme), ("bolt", bolt), ("private", None)):
        found = door_to(parts, f"glass@{typed}.example", glass, "password")
        assert (found.opens, found.closed_by, found.for_address) == (False, bolt, told)


def wrong_password(parts: Parts, acme: ClosedBy, address: str) -> None:
    with parts.database.transaction() as db:
        queue_right_door(db, acme, address, language="en", sealer=parts.sealer, now=parts.clock())


def test_a_break_glass_sign_in_is_audited_and_told_to_all_administrators(parts: Parts, acme: ClosedBy) -> None:
    dora = add_person(parts, acme.company_id, "dora@acme.example", "administrator")
    add_person(parts, acme.company_id, "sven@acme.example", "administrator")
    add_person(parts, acme.company_id, "eve@acme.example")
    add_person(parts, acme.company_id, "rita@acme.example", "read_only")
    with parts.database.transaction() as db:
        note_break_glass(db, acme, dora, address="203.0.113.7", sealer=parts.sealer, now=parts.clock())
    told = mails(parts, "break_glass")
    assert {mail.recipient for mail in told} == {"dora@acme.example", "sven@acme.example"}
    assert {mail.values["person"] for mail in told} == {"dora@acme.example"}
    with parts.database.reading() as db:
        row = db.scalars(select(AuditEvent).where(AuditEvent.event == "company.break_glass_used")).one()
        assert (row.account_id, row.actor) == (dora, f"person:{dora}")
        assert row.facts == {"company": acme.company_id, "address": "203.0.113.7"}


def test_no_break_glass_sign_in_is_kept_from_the_administrators(parts: Parts, acme: ClosedBy) -> None:
    """Not by causing so many mails first that further ones are dropped."""
    dora = add_person(parts, acme.company_id, "dora@acme.example", "administrator")
    for _ in range(MOST_PER_DAY + 1):
        with parts.database.transaction() as db:
            note_break_glass(db, acme, dora, address="203.0.113.7", sealer=parts.sealer, now=parts.clock())
    assert len(mails(parts, "break_glass")) == MOST_PER_DAY + 1


def test_the_right_door_is_queued_alike_for_whoever_is_known_or_not(parts: Parts, acme: ClosedBy) -> None:
    """The statements are the same, so that the answer takes as long."""
    add_carol(parts, "alice@acme.example")
    seen: dict[str, list[str]] = {}
    for address in ("alice@acme.example", "nobody@acme.example"):
        statements: list[str] = []

        def note(_c: object, _d: object, statement: str, *_: object, into: list[str] = statements) -> None:
            into.append(statement)

        with parts.database.reading() as db:
            engine = db.connection().engine
        event.listen(engine, "before_cursor_execute", note)
        try:
            wrong_password(parts, acme, address)
        finally:
            event.remove(engine, "before_cursor_execute", note)
        seen[address] = statements
    assert seen["alice@acme.example"] == seen["nobody@acme.example"]
    assert not any("emails" in statement or "accounts" in statement for statement in seen["nobody@acme.example"])
    known, unknown = mails(parts, "right_door")
    assert {*known.values} == {*unknown.values}


def test_the_right_door_is_told_once_a_day(parts: Parts, acme: ClosedBy, clock: Clock) -> None:
    for _ in range(3):
        wrong_password(parts, acme, "alice@acme.example")
    assert len(mails(parts, "right_door")) == 1
    clock.advance(86401)
    wrong_password(parts, acme, "alice@acme.example")
    assert len(mails(parts, "right_door")) == 2


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


def test_the_right_door_reaches_a_mailbox_only_if_an_account_has_it(
    parts: Parts, acme: ClosedBy, server: MailServer
) -> None:
    add_carol(parts, "Alice@acme.example")
    for address in ("nobody@acme.example", "alice@acme.example"):
        wrong_password(parts, acme, address)
    settings = {"smtp": f"localhost:{server.port}", "smtp_starttls": False}
    mailer = Mailer(parts.config.model_copy(update=settings), Languages())
    while mailer.send_due(parts.database, parts.sealer, parts.clock):
        pass
    [received] = server.received
    assert received.recipient == "alice@acme.example"
    assert "Acme" in received.text() and "https://login.example/login" in received.text()
    with parts.database.reading() as db:
        states = {mail.recipient: (mail.state, mail.last_answer) for mail in db.scalars(select(OutboxMail))}
    assert states["nobody@acme.example"] == ("given_up", "no account has this address")
    assert states["alice@acme.example"][0] == "sent"
