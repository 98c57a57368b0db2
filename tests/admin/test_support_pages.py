"""Support: by the code alone, in words, for half an hour, and nothing that only the person may do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from idp.attempts import Step
from idp.models import AuditEvent, Invitation, OutboxMail
from idp.parts import Parts
from tests.administrator import Administrator, add_person
from tests.company_walker import sign_in as company_sign_in
from tests.conftest import Clock
from tests.journey import Walker
from tests.saml_parties import Customer

At = Callable[[str], Administrator]


@pytest.fixture
def sue(administrator: At, parts: Parts) -> Administrator:
    add_person(parts, "sue@example.org", staff="support")
    browser = administrator("sue@example.org")
    browser.sign_in("/support")
    return browser


def text(page: TestResponse) -> str:
    return page.get_data(as_text=True)


def failed(parts: Parts, reason: str, account_id: str | None = None) -> str:
    code = parts.attempts.start()
    parts.attempts.step(code, Step.page_failed, reason=reason, account_id=account_id)
    return code


def look_up(browser: Administrator, code: str) -> TestResponse:
    return browser.submit(browser.get("/support"), "/support", receipt=code)


def test_a_code_as_it_is_heard_opens_the_attempt_in_words(sue: Administrator, parts: Parts) -> None:
    code = failed(parts, "invite_over")
    page = look_up(sue, f" {code.lower().replace('-', ' ')} ")
    assert 'id="support-case-page"' in text(page)
    assert parts.languages.text("en", "reason.invite_over.says") in text(page)
    with parts.database.reading() as db:
        event = db.query(AuditEvent).filter_by(event="support.looked").one()
        assert event.actor.startswith("person:") and event.facts["receipt"] == code


@pytest.mark.parametrize("typed", ["", "x", "AAAA-AAAA", "' OR 1=1", "\x00", "é" * 100, "A" * 5000])
def test_a_code_that_is_none_is_said_so(sue: Administrator, typed: str) -> None:
    page = look_up(sue, typed)
    assert page.status_code == 400 and 'role="alert"' in text(page)


def test_without_the_code_nothing_is_shown(sue: Administrator, administrator: At, parts: Parts, clock: Clock) -> None:
    """Neither an attempt that somebody else of support has opened, nor half an hour later."""
    code = failed(parts, "invite_over")
    assert sue.get(f"/support/{code}").status_code == 404
    assert look_up(sue, code).status_code == 200
    add_person(parts, "sid@example.org", staff="support")
    sid = administrator("sid@example.org")
    sid.sign_in("/support")
    assert sid.get(f"/support/{code}").status_code == 404


def test_the_person_sees_that_support_has_looked(sue: Administrator, app: Flask, parts: Parts) -> None:
    account = add_person(parts, "carol@example.org")
    code = failed(parts, "link_over", account)
    shown = text(look_up(sue, code))
    assert ("carol@example.org" not in shown and "c…" in shown) or "***" in shown or "•" in shown
    from idp.attempts import drain

    parts.attempts.flush()
    while drain(parts.store, parts.database):
        pass
    carol = Walker(app, parts)
    carol.sign_in(carol.follow(carol.get("/login")))
    assert parts.languages.text("en", "activity.support_looked") in text(carol.get("/me/activity"))


def test_a_company_whose_answers_are_wrong_is_told(
    sue: Administrator, app: Flask, parts: Parts, acme: Customer
) -> None:
    from idp.company_policy import set_policy

    with parts.database.transaction() as db:
        contacts = {"contacts": ["it@acme.example"]}
        set_policy(db, acme.company_id, contacts, config=parts.config, actor="operator:test", now=parts.clock())
    walker = Walker(app, parts)
    page = company_sign_in(walker, acme, "alice@acme.example", audience="https://other.example")
    import re

    found = re.search(r'id="receipt-code"[^>]*>([^<]*)<', text(page))
    assert found is not None
    case = look_up(sue, found[1])
    assert "https://other.example" in text(case)
    sue.submit(case, f"/support/{found[1]}", act="company")
    with parts.database.reading() as db:
        mail = db.query(OutboxMail).filter_by(name="support_found").one()
        assert mail.recipient == "it@acme.example" and mail.values["receipt"] == found[1]
        assert db.query(AuditEvent).filter_by(event="support.acted").count() == 1


def test_an_invitation_is_sent_once_more(sue: Administrator, parts: Parts) -> None:
    from idp.accounts.identity import read_address
    from idp.accounts.invitations import Guest, Host, invite

    with parts.database.transaction() as db:
        invite(
            db,
            Guest(read_address("gus@example.org"), {}),
            Host("operator:test", parts.sealer, parts.clock(), parts.random),
        )
    with parts.database.reading() as db:
        gus = db.query(Invitation).one().account_id
    code = failed(parts, "invite_over", gus)
    sue.submit(look_up(sue, code), f"/support/{code}", act="invitation")
    with parts.database.reading() as db:
        assert db.get_one(Invitation, gus).sent == 2


@pytest.mark.parametrize("act", ["", "password", "sign_in", "company", "suspend"])
def test_nothing_else_can_be_done(sue: Administrator, parts: Parts, act: str) -> None:
    code = failed(parts, "link_over", add_person(parts, "carol@example.org"))
    page = look_up(sue, code)
    answer = sue.open("POST", f"/support/{code}", data={"csrf": sue.token(page), "act": act})
    assert answer.status_code == 404
    assert 'type="password"' not in text(page)


# The ten that support hears most, each resolved from the code alone: what it is, who mends it, what to do.
@pytest.mark.parametrize(
    "reason",
    [
        "throttled",
        "invite_over",
        "link_over",
        "verify_over",
        "company_sso_required",
        "saml_audience_wrong",
        "saml_signature_wrong",
        "company_member_missing",
        "csrf",
        "second_over",
    ],
)
def test_ten_failing_cases_are_resolved_from_the_code(sue: Administrator, parts: Parts, reason: str) -> None:
    from idp.reasons import REASONS

    if reason not in REASONS:
        pytest.fail(f"no such reason: {reason}")
    page = text(look_up(sue, failed(parts, reason)))
    for key in (f"reason.{reason}.says", f"reason.{reason}.next", f"support.owner.{REASONS[reason].owner}"):
        assert parts.languages.text("en", key).split("'")[0] in page
