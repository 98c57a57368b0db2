"""Promises of enforcement.py: who is told of a break-glass sign-in, and who gets the mail with the right door."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import event, select

from idp.companies import Policy, policy_of_company
from idp.enforcement import note_break_glass, queue_right_door
from idp.languages import Languages
from idp.mail import Mailer
from idp.models import AuditEvent, OutboxMail
from idp.parts import Parts
from tests.company_records import add_company, add_person, mails
from tests.conftest import Clock
from tests.fakes.mail_server import MailServer, mail_server
from tests.journey import add_carol


@pytest.fixture
def policy(parts: Parts) -> Policy:
    acme = add_company(parts, "Acme", "acme.example")
    with parts.database.reading() as db:
        return policy_of_company(db, acme)


def wrong_password(parts: Parts, policy: Policy, address: str) -> None:
    with parts.database.transaction() as db:
        queue_right_door(db, policy, address, language="en", sealer=parts.sealer, now=parts.clock())


def test_a_break_glass_sign_in_is_audited_and_told_to_all_administrators(parts: Parts, policy: Policy) -> None:
    dora = add_person(parts, policy.company_id, "dora@acme.example", "administrator")
    add_person(parts, policy.company_id, "sven@acme.example", "administrator")
    add_person(parts, policy.company_id, "eve@acme.example")
    add_person(parts, policy.company_id, "rita@acme.example", "read_only")
    with parts.database.transaction() as db:
        note_break_glass(db, policy, dora, address="203.0.113.7", sealer=parts.sealer, now=parts.clock())
    told = mails(parts, "break_glass")
    assert {mail.recipient for mail in told} == {"dora@acme.example", "sven@acme.example"}
    assert {mail.values["person"] for mail in told} == {"dora@acme.example"}
    with parts.database.reading() as db:
        row = db.scalars(select(AuditEvent).where(AuditEvent.event == "company.break_glass_used")).one()
        assert (row.account_id, row.actor) == (dora, f"person:{dora}")
        assert row.facts == {"company": policy.company_id, "address": "203.0.113.7"}


def test_the_right_door_is_queued_alike_for_whoever_is_known_or_not(parts: Parts, policy: Policy) -> None:
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
            wrong_password(parts, policy, address)
        finally:
            event.remove(engine, "before_cursor_execute", note)
        seen[address] = statements
    assert seen["alice@acme.example"] == seen["nobody@acme.example"]
    assert not any("emails" in statement or "accounts" in statement for statement in seen["nobody@acme.example"])
    known, unknown = mails(parts, "right_door")
    assert {*known.values} == {*unknown.values}


def test_the_right_door_is_told_once_a_day(parts: Parts, policy: Policy, clock: Clock) -> None:
    for _ in range(3):
        wrong_password(parts, policy, "alice@acme.example")
    assert len(mails(parts, "right_door")) == 1
    clock.advance(86401)
    wrong_password(parts, policy, "alice@acme.example")
    assert len(mails(parts, "right_door")) == 2


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


def test_the_right_door_reaches_a_mailbox_only_if_an_account_has_it(
    parts: Parts, policy: Policy, server: MailServer
) -> None:
    add_carol(parts, "Alice@acme.example")
    for address in ("nobody@acme.example", "alice@acme.example"):
        wrong_password(parts, policy, address)
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
