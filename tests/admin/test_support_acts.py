"""What support may do for a caller, each from the code of the page that failed, and nothing of it without the code."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import update
from werkzeug.test import TestResponse

from idp.accounts.identity import read_address
from idp.accounts.invitations import Guest, Host, invite
from idp.accounts.lifecycle import find_account
from idp.models import AuditEvent, Invitation, Link, MailedLink, OutboxMail, RecoveryCode, Totp
from idp.outbox import MAILS
from idp.parts import Parts
from tests.administrator import Administrator, add_person
from tests.conftest import Clock
from tests.factors import add_app, by_password
from tests.journey import PASSWORD, Walker

At = Callable[[str], Administrator]


@pytest.fixture
def sue(administrator: At, parts: Parts) -> Administrator:
    add_person(parts, "sue@example.org", staff="support")
    browser = administrator("sue@example.org")
    browser.sign_in("/support")
    return browser


def text(page: TestResponse) -> str:
    return page.get_data(as_text=True)


def receipt_of(page: TestResponse) -> str:
    found = re.search(r'id="receipt-code"[^>]*>([^<]*)<', text(page))
    assert found is not None, text(page)
    return found[1]


def look_up(browser: Administrator, code: str) -> TestResponse:
    return browser.submit(browser.get("/support"), "/support", receipt=code)


def to_password(walker: Walker) -> TestResponse:
    return walker.follow(walker.submit(walker.follow(walker.get("/login")), username="carol@example.org"))


def guess(walker: Walker) -> TestResponse:
    """Wrong passwords until there is a wait; the page that says so."""
    page = to_password(walker)
    for _ in range(12):
        page = walker.submit(page, username="carol@example.org", password="not that one")
        if page.status_code == 429:
            return page
    raise AssertionError("nobody had to wait")


def say_code(parts: Parts, account_id: str, reason: str = "link_over") -> str:
    from idp.attempts import Step

    code = parts.attempts.start()
    parts.attempts.step(code, Step.page_failed, reason=reason, account_id=account_id)
    return code


def test_who_mistyped_too_often_can_try_at_once_and_guessers_cannot_go_on(
    sue: Administrator, app: Flask, parts: Parts
) -> None:
    add_person(parts, "carol@example.org")
    carol = Walker(app, parts)
    code = receipt_of(guess(carol))
    case = look_up(sue, code)
    sue.submit(case, f"/support/{code}", act="throttle")
    page = to_password(carol)
    statuses = [
        carol.submit(page, username="carol@example.org", password="still not that one").status_code for _ in range(11)
    ]
    assert 429 not in statuses[:10] and statuses[10] == 429
    sue.submit(case, f"/support/{code}", act="throttle")
    assert carol.submit(page, username="carol@example.org", password=PASSWORD).status_code == 303


def test_what_was_forgiven_ends_after_half_an_hour(parts: Parts, clock: Clock) -> None:
    from idp import throttle

    throttle.forgive(parts.store, emails=["carol@example.org"], account_id="a" * 32, now=clock())
    for _ in range(10):
        throttle.take_sign_in(parts.store, email="carol@example.org", network="192.0.2.1", device=None, now=clock())
    later = clock() + throttle.FORGIVEN_SECONDS
    waits = [
        throttle.take_sign_in(parts.store, email="carol@example.org", network="192.0.2.1", device=None, now=later).wait
        for _ in range(14)
    ]
    assert waits[-1] > 0


@pytest.mark.parametrize("state", ["bounced", "given_up", "waiting"])
def test_a_mail_that_did_not_arrive_is_sent_again_with_all_its_tries(
    sue: Administrator, parts: Parts, state: str
) -> None:
    carol = add_person(parts, "carol@example.org")
    now = int(parts.clock())
    with parts.database.transaction() as db:
        mail = OutboxMail(
            name="reset_password", recipient="carol@example.org", language="en", values={}, state=state,
            tries=len(MAILS.pauses) + 1, created_at=now, next_try_at=now + 9000,
        )  # fmt: skip
        db.add(mail)
        db.add(OutboxMail(name="invitation", recipient="eve@example.org", language="en", values={}, state="bounced",
                          tries=1, created_at=now, next_try_at=now))  # fmt: skip
    code = say_code(parts, carol)
    case = look_up(sue, code)
    assert parts.languages.text("en", f"support.mail.{state}") in text(case)
    sue.submit(case, f"/support/{code}", act="mail")
    leased = MAILS.lease(parts.database, parts.clock())
    assert leased is not None and leased.recipient == "carol@example.org"
    assert MAILS.lease(parts.database, parts.clock()) is None  # that of somebody else stays where it is


def test_an_invitation_that_is_over_leads_to_a_new_one(
    sue: Administrator, app: Flask, parts: Parts, clock: Clock
) -> None:
    with parts.database.transaction() as db:
        host = Host("operator:test", parts.sealer, clock(), parts.random)
        invite(db, Guest(read_address("gus@example.org"), {}), host)
        mail = db.query(OutboxMail).filter_by(name="invitation").one()
        link = parts.sealer.open(mail.values["sealed"], f"{mail.name} {mail.recipient}")["link"]
        db.execute(update(MailedLink).values(expires_at=int(clock()) - 1))
        gus = db.query(Invitation).one().account_id
    guest = Walker(app, parts)
    code = receipt_of(guest.follow(guest.get(link)))
    sue.submit(look_up(sue, code), f"/support/{code}", act="invitation")
    with parts.database.reading() as db:
        assert db.get_one(Invitation, gus).sent == 2


def test_a_reset_that_is_over_says_whose_it_was(sue: Administrator, app: Flask, parts: Parts, clock: Clock) -> None:
    add_person(parts, "carol@example.org")
    carol = Walker(app, parts)
    carol.submit(carol.get("/forgot"), username="carol@example.org")
    with parts.database.transaction() as db:
        mail = db.query(OutboxMail).filter_by(name="reset_password").one()
        link = parts.sealer.open(mail.values["sealed"], f"{mail.name} {mail.recipient}")["link"]
    clock.advance(3600)
    case = look_up(sue, receipt_of(carol.follow(carol.get(link))))
    assert parts.languages.text("en", "support.state.active") in text(case)


def test_a_link_to_a_social_provider_is_taken_away(sue: Administrator, parts: Parts) -> None:
    carol = add_person(parts, "carol@example.org")
    with parts.database.transaction() as db:
        db.add(Link(account_id=carol, issuer="https://g.example", subject="1", door="google", created_at=0))
    code = say_code(parts, carol)
    case = look_up(sue, code)
    found = re.search(r'name="link" value="([^"]+)"', text(case))
    assert found is not None
    sue.submit(case, f"/support/{code}", act="unlink", link="0" * 32)  # none of theirs
    with parts.database.reading() as db:
        assert db.query(Link).count() == 1
    sue.submit(case, f"/support/{code}", act="unlink", link=found[1])
    with parts.database.reading() as db:
        assert db.query(Link).count() == 0
        event = db.query(AuditEvent).filter_by(event="person.unlinked").one()
        support = find_account(db, "sue@example.org")
        assert support is not None and event.actor == f"person:{support.id}" and event.facts["by"] == "support"
        mail = db.query(OutboxMail).filter_by(name="unlinked", recipient="carol@example.org").one()
        assert mail.values["provider"] == "google" and mail.values["by_support"] == "yes"


def test_nobody_browses_cases(sue: Administrator, parts: Parts, clock: Clock) -> None:
    """Guessing at codes, or opening one after the other, ends after an hour's worth of calls; a minute later one more is opened."""
    carol = add_person(parts, "carol@example.org")
    code = say_code(parts, carol)
    page = sue.get("/support")
    answers = [sue.open("POST", "/support", data={"csrf": sue.token(page), "receipt": "K7QX-2M4P"}) for _ in range(61)]
    assert [answer.status_code for answer in answers] == [400] * 60 + [429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert sue.open("POST", "/support", data={"csrf": sue.token(page), "receipt": code}).status_code == 429
    clock.advance(61)
    assert sue.open("POST", "/support", data={"csrf": sue.token(page), "receipt": code}).status_code == 303


def test_the_last_way_in_stays(sue: Administrator, parts: Parts) -> None:
    from idp.models import Password

    carol = add_person(parts, "carol@example.org")
    with parts.database.transaction() as db:
        db.add(Link(account_id=carol, issuer="https://g.example", subject="1", door="google", created_at=0))
        db.delete(db.get_one(Password, carol))
    code = say_code(parts, carol)
    case = look_up(sue, code)
    found = re.search(r'name="link" value="([^"]+)"', text(case))
    assert found is not None
    page = sue.submit(case, f"/support/{code}", act="unlink", link=found[1])
    assert parts.languages.text("en", "support.notice.not_done") in text(page)
    with parts.database.reading() as db:
        assert db.query(Link).count() == 1


def wrong_second(walker: Walker, email: str) -> TestResponse:
    """The right password, and then a wrong code."""
    page = by_password(walker, email)
    assert 'id="second-page"' in text(page)
    return walker.submit(page, "/login/second", code="000000")


def test_second_factors_go_by_two_people_of_support(
    sue: Administrator, administrator: At, app: Flask, parts: Parts
) -> None:
    carol = add_person(parts, "carol@example.org")
    add_app(parts, carol)
    with parts.database.transaction() as db:
        db.add(RecoveryCode(account_id=carol, code_hash="0" * 64, created_at=0))
    code = receipt_of(wrong_second(Walker(app, parts), "carol@example.org"))
    at = f"/support/{code}/factors"
    case = sue.submit(look_up(sue, code), at, act="ask")
    assert 'id="factors-agree"' not in text(case) and 'id="factors-withdraw"' in text(case)
    assert sue.open("POST", at, data={"csrf": sue.token(case), "act": "agree"}).status_code == 404
    add_person(parts, "sid@example.org", staff="support")
    sid = administrator("sid@example.org")
    sid.sign_in("/support")
    assert sid.open("POST", at, data={"csrf": sid.token(sid.get("/support")), "act": "agree"}).status_code == 404
    sid.submit(look_up(sid, code), at, act="agree")
    with parts.database.reading() as db:
        assert db.query(Totp).count() == 0 and db.query(RecoveryCode).count() == 0
        assert [event.facts["act"] for event in db.query(AuditEvent).filter_by(event="support.acted")] == [
            "factors_ask",
            "factors_agree",
        ]


def test_who_only_types_an_address_has_no_factors_taken_away(sue: Administrator, app: Flask, parts: Parts) -> None:
    """Nor who has shown their own password in the same attempt before."""
    add_app(parts, add_person(parts, "carol@example.org"))
    add_app(parts, add_person(parts, "mallory@example.org"))
    stranger = Walker(app, parts)
    page = wrong_second(stranger, "mallory@example.org")
    handle = re.search(r'name="p" value="([^"]+)"', text(page))
    assert handle is not None
    page = stranger.get(f"/login/password?p={handle[1]}")
    while page.status_code != 429:
        page = stranger.submit(page, "/login/password", username="carol@example.org", password="not hers")
    code = receipt_of(page)
    case = look_up(sue, code)
    assert "c•••l@example.org · " in text(case) and 'id="not-proved"' in text(case)
    assert "/factors" not in text(case)
    answer = sue.open("POST", f"/support/{code}/factors", data={"csrf": sue.token(case), "act": "ask"})
    assert answer.status_code == 404
    sue.submit(case, f"/support/{code}", act="throttle")
    # Her own password, but not her second factor: that is who is helped.
    mine = look_up(sue, receipt_of(wrong_second(Walker(app, parts), "carol@example.org")))
    assert 'id="not-proved"' not in text(mine) and 'id="factors-ask"' in text(mine)


def test_nobody_of_the_provider_loses_their_factors_so(sue: Administrator, parts: Parts) -> None:
    olga = add_person(parts, "olga@example.org", staff="operator")
    with parts.database.transaction() as db:
        db.add(Totp(account_id=olga, sealed_secret="x", last_step=0, created_at=0))
    code = say_code(parts, olga)
    case = look_up(sue, code)
    assert "/factors" not in text(case)
    answer = sue.open("POST", f"/support/{code}/factors", data={"csrf": sue.token(case), "act": "ask"})
    assert answer.status_code == 404


def test_half_an_hour_later_it_is_closed(sue: Administrator, parts: Parts, clock: Clock) -> None:
    code = say_code(parts, add_person(parts, "carol@example.org"))
    page = look_up(sue, code)
    clock.advance(1799)
    assert sue.get(f"/support/{code}").status_code == 200
    clock.advance(2)
    assert sue.get(f"/support/{code}").status_code == 404
    answer = sue.open("POST", f"/support/{code}", data={"csrf": sue.token(page), "act": "throttle"})
    assert answer.status_code == 404


def test_a_reason_that_no_table_knows_is_no_error(sue: Administrator, parts: Parts) -> None:
    code = say_code(parts, add_person(parts, "carol@example.org"), reason="of_an_older_version")
    assert look_up(sue, code).status_code == 200


def test_nobody_of_support_guesses_at_a_password_with_its_help(
    sue: Administrator, app: Flask, parts: Parts, clock: Clock
) -> None:
    """Ten tries more, three times, and then once an hour: whoever opens the case again gets no more."""
    carol = add_person(parts, "carol@example.org")
    code = say_code(parts, carol)
    case = look_up(sue, code)
    notices = [text(sue.submit(case, f"/support/{code}", act="throttle")) for _ in range(4)]
    refused = parts.languages.text("en", "support.notice.not_done")
    assert [refused in notice for notice in notices] == [False, False, False, True]
    clock.advance(3601)
    code = say_code(parts, carol)
    assert refused not in text(sue.submit(look_up(sue, code), f"/support/{code}", act="throttle"))


@pytest.mark.parametrize("role", ["operator", "operator_read_only", "support"])
def test_support_does_nothing_to_the_accounts_of_the_provider(sue: Administrator, parts: Parts, role: str) -> None:
    """Nor to one's own: whoever opens such a case sees it, and no act."""
    olga = add_person(parts, "olga@example.org", staff=role)
    with parts.database.transaction() as db:
        db.add(Link(account_id=olga, issuer="https://g.example", subject="1", door="google", created_at=0))
        own = find_account(db, "sue@example.org")
        assert own is not None
        mine = own.id
    for account in (olga, mine):
        code = say_code(parts, account)
        case = look_up(sue, code)
        assert 'name="act"' not in text(case)
        answer = sue.open("POST", f"/support/{code}", data={"csrf": sue.token(case), "act": "throttle"})
        assert answer.status_code == 404
    with parts.database.reading() as db:
        assert db.query(Link).count() == 1
