"""attacks.md section 7 for forgotten passwords: a link is for one account as it stands, once, and the page tells nobody anything."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.lifecycle import change_claims, reactivate, set_password, suspend
from idp.accounts.passwords import find_credentials
from idp.app import create_app
from idp.attempts import drain
from idp.models import (
    Account,
    Attempt,
    AuditEvent,
    Consent,
    Device,
    Email,
    EmailChange,
    Link,
    MailedLink,
    OutboxMail,
    Passkey,
    Password,
    RecoveryCode,
    Totp,
)
from idp.parts import Parts
from idp.receipts import steps_of
from tests.attacks.counted_work import Work, counted, looked_at
from tests.conftest import Clock
from tests.factors import add_app
from tests.forgetful import NEW, ask, mails, reset_link, set_new
from tests.journey import PASSWORD, Walker, add_carol
from tests.newcomers import come, google, handle_in, is_signed_in, mailed, opened, text, unverify, with_newcomers
from tests.people import give, open_for, refresh_is_alive
from tests.saml_parties import Customer, belong, decide_for

MALLORY = "mallory@evil.example"


@pytest.fixture
def carol(parts: Parts) -> str:
    return add_carol(parts)


def opens(parts: Parts, password: str, email: str = "carol@example.org") -> bool:
    """Whether a password is that of an address."""
    with parts.database.reading() as db:
        return parts.hasher.verify(find_credentials(db, email).hash, password).ok


def over(page: TestResponse) -> bool:
    """Whether an answer says that the link counts no more, whatever has ended it."""
    html = re.sub(r"[0-9A-Z]{4}-[0-9A-Z]{4}", "", text(page))
    return page.status_code == 400 and 'id="error-page"' in html and "reset" not in page.headers.get("Location", "")


def forged(walker: Walker, **fields: Any) -> TestResponse:
    """Post to /reset with a token of this browser's own."""
    token = re.findall(r'name="csrf" value="([^"]*)"', text(walker.get("/forgot")))[0]
    return walker.open("POST", "/reset", data={"csrf": token, "password": NEW} | fields)


# --- RC-02 ---------------------------------------------------------------------------------------------------------------------


def test_rc_02_a_reset_link_works_once(walker: Walker, parts: Parts, carol: str) -> None:
    ask(walker)
    link = reset_link(parts)
    set_new(walker, link)
    assert over(walker.follow(walker.get(link)))
    assert over(forged(walker, password="another password altogether"))
    assert opens(parts, NEW)


def test_rc_02_two_pages_of_one_link_set_one_password(walker: Walker, parts: Parts, carol: str) -> None:
    ask(walker)
    link = reset_link(parts)
    other = Walker(walker.app, parts)
    pages = [(one, one.follow(one.get(link))) for one in (walker, other)]
    answers = [one.submit(page, "/reset", password=f"{NEW} of {number}") for number, (one, page) in enumerate(pages)]
    assert answers[0].status_code == 303
    assert over(answers[1])
    assert opens(parts, f"{NEW} of 0")


def test_rc_02_a_reset_link_ends_after_half_an_hour(walker: Walker, parts: Parts, carol: str, clock: Clock) -> None:
    ask(walker)
    page = walker.follow(walker.get(reset_link(parts)))
    clock.advance(1799)
    assert walker.follow(walker.get(reset_link(parts))).status_code == 200
    clock.advance(1)
    assert over(walker.submit(page, "/reset", password=NEW))
    assert over(walker.follow(walker.get(reset_link(parts))))
    assert opens(parts, PASSWORD)


def test_rc_02_only_the_newest_reset_link_counts(walker: Walker, parts: Parts, carol: str) -> None:
    ask(walker)
    page = walker.follow(walker.get(reset_link(parts)))
    older = reset_link(parts)
    ask(walker)
    assert over(walker.submit(page, "/reset", password=NEW))
    assert over(walker.follow(walker.get(older)))
    set_new(walker, reset_link(parts))
    # nor does the older one count again once the newer is used
    assert over(walker.follow(walker.get(older)))


def test_rc_02_somebody_elses_request_ends_no_link_of_mine(walker: Walker, parts: Parts, carol: str) -> None:
    add_carol(parts, "dora@example.org")
    ask(walker)
    ask(Walker(walker.app, parts), "dora@example.org")
    ask(Walker(walker.app, parts), "nobody@example.org")
    set_new(walker, reset_link(parts, 0))
    assert opens(parts, NEW)
    assert not opens(parts, NEW, "dora@example.org")


def _other_password(db: Any, account: Account, parts: Parts) -> None:
    set_password(db, account, parts.hasher.hash("set in the meantime by her"), actor="operator:test", now=parts.clock())


def _same_password(db: Any, account: Account, parts: Parts) -> None:
    set_password(db, account, parts.hasher.hash(PASSWORD), actor="operator:test", now=parts.clock())


def _other_address(db: Any, account: Account, parts: Parts) -> None:
    changes = {"email": "carol@elsewhere.example", "email_verified": True}
    change_claims(db, account, changes, actor="operator:test", now=parts.clock())


def _suspended(db: Any, account: Account, parts: Parts) -> None:
    suspend(db, account, actor="operator:test", now=parts.clock())


def _suspended_for_a_moment(db: Any, account: Account, parts: Parts) -> None:
    suspend(db, account, actor="operator:test", now=parts.clock())
    reactivate(db, account, actor="operator:test", now=parts.clock())


def _away_and_back(db: Any, account: Account, parts: Parts) -> None:
    hers = account.emails[0].address
    for address in ("carol@elsewhere.example", hers):
        changes = {"email": address, "email_verified": True}
        change_claims(db, account, changes, actor="operator:test", now=parts.clock())
        db.flush()


def _recovery_address(db: Any, account: Account, parts: Parts) -> None:
    account.recovery_email, account.recovery_verified_at = "carol@home.example", int(parts.clock())


def _closed(db: Any, account: Account, parts: Parts) -> None:
    account.state = "closed"


@pytest.mark.parametrize(
    "change",
    [
        _other_password,
        _same_password,
        _other_address,
        _suspended,
        _suspended_for_a_moment,
        _away_and_back,
        _recovery_address,
        _closed,
    ],
)
@pytest.mark.parametrize("when", ["before it is opened", "before the form is sent"])
def test_rc_02_a_reset_link_is_bound_to_the_account_as_it_stood(
    walker: Walker, parts: Parts, carol: str, clock: Clock, change: Callable[[Any, Account, Parts], None], when: str
) -> None:
    ask(walker)
    link = reset_link(parts)
    page = walker.follow(walker.get(link))
    clock.advance(5)
    with parts.database.transaction() as db:
        change(db, db.get_one(Account, carol), parts)
    with parts.database.reading() as db:
        before = db.get_one(Password, carol).hash
    if when == "before it is opened":
        assert over(walker.follow(walker.get(link)))
    assert over(walker.submit(page, "/reset", password=NEW))
    with parts.database.reading() as db:
        assert db.get_one(Password, carol).hash == before


def test_rc_02_a_reset_link_is_over_when_the_company_closes_the_door(
    walker: Walker, parts: Parts, acme: Customer
) -> None:
    add_carol(parts, "alice@acme.example")
    ask(walker, "alice@acme.example")
    page = walker.follow(walker.get(reset_link(parts)))
    decide_for(parts.database, acme, sso="required")
    assert over(walker.submit(page, "/reset", password=NEW))
    assert not opens(parts, NEW, "alice@acme.example")


# --- RC-03 ---------------------------------------------------------------------------------------------------------------------


def test_rc_03_the_link_says_whose_password_it_is_and_nothing_else(walker: Walker, parts: Parts, carol: str) -> None:
    mallory = add_carol(parts, MALLORY, "a password of mallory")
    ask(walker, MALLORY)
    fields = dict.fromkeys(("username", "email", "user", "login", "person", "address"), "carol@example.org")
    set_new(walker, reset_link(parts), **fields, account_id=carol, account=carol, sub=carol, t="x")
    assert opens(parts, NEW, MALLORY)
    assert opens(parts, PASSWORD)
    with parts.database.reading() as db:
        [changed] = db.query(AuditEvent).filter_by(event="person.password_set").order_by(AuditEvent.id.desc()).limit(1)
        assert changed.account_id == mallory


@pytest.mark.parametrize(
    "typed",
    [
        "carol@example.org,mallory@evil.example",
        "carol@example.org mallory@evil.example",
        "carol@example.org;mallory@evil.example",
        "carol@example.org\ncc:mallory@evil.example",
        "carol@example.org\r\nBcc: mallory@evil.example",
        "carol@example.org%0acc:mallory@evil.example",
        "carol@example.org\0mallory@evil.example",
        "<carol@example.org> mallory@evil.example",
        '"carol@example.org"@evil.example',
        '["carol@example.org","mallory@evil.example"]',
        "carol@example.org|mallory@evil.example",
        "carol@evil.example@example.org",
        "carol@[203.0.113.9]",
        "x" * 400 + "@example.org",
        "",
    ],
)
def test_rc_03_what_is_not_one_address_gets_no_mail(walker: Walker, parts: Parts, carol: str, typed: str) -> None:
    answer = ask(walker, typed)
    assert [recipient for _, recipient in mails(parts) if recipient.endswith("evil.example")] == []
    assert answer.status_code == 400
    assert mails(parts) == []


def test_rc_03_of_two_addresses_in_the_form_one_is_asked_for(walker: Walker, parts: Parts, carol: str) -> None:
    page = walker.get("/forgot")
    token = re.findall(r'name="csrf" value="([^"]*)"', text(page))[0]
    twice = {"csrf": token, "username": ["carol@example.org", MALLORY], "username[]": MALLORY, "email": MALLORY}
    walker.open("POST", "/forgot", data=twice)
    walker.open("POST", f"/forgot?username={MALLORY}", data=twice)
    assert {recipient for _, recipient in mails(parts)} == {"carol@example.org"}


def test_rc_03_the_mail_goes_to_the_address_of_the_account_and_not_to_one_that_looks_like_it(
    walker: Walker, parts: Parts, carol: str
) -> None:
    for typed in ("CAROL@EXAMPLE.ORG", " carol@example.org ", "carol@example.org."):
        ask(Walker(walker.app, parts, address=f"192.0.2.{len(typed)}"), typed)
    assert set(mails(parts)) == {("reset_password", "carol@example.org")}
    for lookalike in ("cаrol@example.org", "carol@exаmple.org", "carol@examp1e.org"):
        ask(Walker(walker.app, parts, address="198.51.100.7"), lookalike)
    assert Counter(name for name, _ in mails(parts)) == {"reset_password": 3, "no_account": 3}


def test_rc_03_a_link_of_another_purpose_resets_nothing(parts: Parts, carol: str) -> None:
    walker = Walker(with_newcomers(parts), parts)
    walker.submit(come(walker, google()), "/login/link/send")
    secret = mailed(parts, "link_account").partition("=")[2]
    assert over(walker.follow(walker.get(f"/reset?t={secret}")))
    assert over(forged(walker))
    ask(walker)
    secret = reset_link(parts).partition("=")[2]
    assert walker.follow(walker.get(f"/login/link/mail?t={secret}")).status_code == 400
    assert walker.follow(walker.get(f"/me/not-me?t={secret}")).status_code == 400


@pytest.mark.parametrize("secret", ["", "A" * 43, "A" * 42, "A" * 8000, "%00" * 43, "' OR ''='", "../" * 14 + "A"])
def test_rc_03_no_other_secret_opens_anything(walker: Walker, parts: Parts, carol: str, secret: str) -> None:
    ask(walker)
    walker.get("/login")
    assert over(walker.follow(walker.get("/reset", query_string={"t": secret})))


def test_rc_03_a_link_that_was_made_for_nobody_opens_nothing(walker: Walker, parts: Parts) -> None:
    """One is made for every address alike, and kept where there is no password to set: it names no account."""
    ask(walker, "nobody@example.org")
    with parts.database.reading() as db:
        assert [(link.purpose, link.account_id) for link in db.query(MailedLink)] == [("reset", None)]
        mail = db.query(OutboxMail).one()
        assert parts.sealer.open(mail.values["sealed"], f"no_account {mail.recipient}") == {"link": "/login"}


# --- RC-04, RC-08, RC-09 -------------------------------------------------------------------------------------------------------


def test_rc_04_the_secret_of_a_reset_leaves_the_url_and_the_page_tells_nobody(
    walker: Walker, parts: Parts, carol: str
) -> None:
    ask(walker)
    link = reset_link(parts)
    secret = link.partition("=")[2]
    first = walker.get(link)
    assert (first.status_code, first.location) == (303, "/reset")
    assert first.get_data() == b""
    [cookie] = [one for one in first.headers.getlist("Set-Cookie") if "mailed_link" in one]
    assert all(flag in cookie for flag in ("__Host-", "HttpOnly", "Secure", "SameSite=Lax", "Max-Age=1800"))
    page = walker.get("/reset")
    for answer in (first, page):
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
    assert secret not in text(page)
    loaded = re.findall(r'(?:src|href)="([^"#]*)"', text(page))
    assert loaded and all(one.startswith("/") and not one.startswith("//") for one in loaded)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    answer = walker.submit(page, "/reset", password=NEW)
    assert any("mailed_link=;" in one for one in answer.headers.getlist("Set-Cookie"))


def test_rc_08_scanners_that_open_a_reset_link_change_nothing(walker: Walker, parts: Parts, carol: str) -> None:
    ask(walker)
    link = reset_link(parts)
    scanner = Walker(walker.app, parts, user_agent="Mozilla/5.0 SafeLinks")
    for _ in range(5):
        scanner.open("HEAD", link)
        scanner.open("HEAD", "/reset")
        scanner.follow(scanner.get(link))
        scanner.open("OPTIONS", link)
    assert opens(parts, PASSWORD)
    set_new(walker, link)
    assert opens(parts, NEW)


def test_rc_08_a_form_of_another_site_resets_nothing(walker: Walker, parts: Parts, carol: str) -> None:
    ask(walker)
    walker.follow(walker.get(reset_link(parts)))
    answer = walker.open("POST", "/reset", data={"password": NEW}, headers={"Origin": "https://evil.example"})
    assert answer.status_code >= 400
    assert opens(parts, PASSWORD)


def test_rc_09_ten_thousand_reset_links_have_nothing_in_common_and_sql_holds_none(
    walker: Walker, parts: Parts, carol: str
) -> None:
    from idp.accounts.mailed_links import make_link

    with parts.database.transaction() as db:
        secrets = {
            make_link(db, purpose="reset", account_id=carol, facts={}, lifetime=60, now=0, random=parts.random)
            for _ in range(10_000)
        }
    assert len(secrets) == 10_000
    # 43 letters of 64: each place but the last, which holds four bits, has nearly all of its six bits.
    for place in range(42):
        counts = Counter(secret[place] for secret in secrets)
        entropy = -sum(count / 10_000 * math.log2(count / 10_000) for count in counts.values())
        assert entropy > 5.95, place
    ask(walker)
    secret = reset_link(parts).partition("=")[2]
    with parts.database.reading() as db:
        dump = str(db.execute(select(MailedLink.__table__)).all()) + str(db.execute(select(OutboxMail.__table__)).all())
        hashed = db.execute(select(Password.hash)).scalars().one()
    assert secret not in dump
    assert hashed not in dump  # the link is bound to it by another hash
    assert not any(one in dump for one in secrets)


# --- RC-05 ---------------------------------------------------------------------------------------------------------------------

KNOCKING = {
    "carol@example.org": "reset_password",
    "nobdy@example.org": "no_account",
    "socia@example.org": "reset_elsewhere",
    "suspd@example.org": "account_suspended",
    "empty@example.org": "reset_password",
    "unver@example.org": "reset_password",
    "alice@acm.example": "reset_elsewhere",
    "ghost@acm.example": "reset_elsewhere",
    "nlink@acm.example": "reset_elsewhere",
}


@pytest.fixture
def everybody(parts: Parts, acme: Customer) -> Flask:
    """A provider at which all of KNOCKING stand; all addresses have one length."""
    from tests.fakes.company_idp import CompanyIdp
    from tests.saml_parties import add_customer

    strict = add_customer(
        parts.database, parts.connections, CompanyIdp("https://idp.acm.example/"), "acm.example", name="Acm",
        sso="required", now=parts.clock(), random=parts.random,
    )  # fmt: skip
    add_carol(parts)
    add_carol(parts, "empty@example.org", None)
    unverify(parts, add_carol(parts, "unver@example.org"))
    social = add_carol(parts, "socia@example.org", None)
    suspended = add_carol(parts, "suspd@example.org")
    alice = add_carol(parts, "alice@acm.example")
    add_carol(parts, "nlink@acm.example", None)
    belong(parts.database, strict, alice, now=parts.clock())
    with parts.database.transaction() as db:
        db.add(Link(account_id=social, issuer="https://google.example", subject="1", door="google", created_at=0))
        suspend(db, db.get_one(Account, suspended), actor="operator:test", now=parts.clock())
    parts.attempts.close()
    return with_newcomers(parts)


def test_rc_05_every_address_gets_the_same_answer_for_the_same_work(everybody: Flask, parts: Parts) -> None:
    """I9: known, unknown, social, company, suspended: bytes, headers and work are alike, and each mailbox is told its own."""
    seen: dict[str, object] = {}
    work: dict[str, Work] = {}
    for number, email in enumerate(KNOCKING):
        visitor = Walker(everybody, parts, address=f"192.0.{number}.7")
        page = visitor.follow(visitor.submit(visitor.follow(visitor.az()), "/login", username="x@other.example"))
        page = visitor.get(re.findall(r'id="forgot-password" href="([^"]*)"', text(page))[0])
        with counted(parts) as done:
            answer = visitor.submit(page, "/forgot", username=email)
        with counted(parts) as helped:
            explained = visitor.get("/help/no-mail")
        work[email] = Work(done.statements + helped.statements, done.trips + helped.trips)
        assert answer.status_code == 200
        seen[email] = looked_at(answer, email), looked_at(explained, email)
    for email in KNOCKING:
        assert seen[email] == seen["carol@example.org"], email
        assert work[email] == work["carol@example.org"], email
    assert {recipient: name for name, recipient in mails(parts)} == KNOCKING


def test_rc_05_whoever_has_to_wait_waits_alike(everybody: Flask, parts: Parts) -> None:
    tries: dict[str, tuple[int, object]] = {}
    for number, email in enumerate(KNOCKING):
        visitor = Walker(everybody, parts, address=f"203.0.{number}.7")
        asked = 0
        while (answer := ask(visitor, email)).status_code == 200:
            asked += 1
        assert answer.status_code == 429
        tries[email] = asked, looked_at(answer, email)
        assert tries[email] == tries["carol@example.org"], email
    assert tries["carol@example.org"][0] == 3


def test_rc_05_a_stranger_who_asks_without_end_keeps_nobody_out(
    walker: Walker, parts: Parts, carol: str, clock: Clock
) -> None:
    """From many networks, for hours: at every moment the newest mail's link is good, and its number is bounded."""
    for minute in range(180):
        ask(Walker(walker.app, parts, address=f"198.51.{minute % 200}.9"))
        ask(Walker(walker.app, parts, address=f"203.0.{minute % 200}.9"))
        clock.advance(60)
        if minute % 20 == 0:
            assert walker.follow(walker.get(reset_link(parts))).status_code == 200
    assert len(mails(parts)) <= 3 + 180 / 15
    set_new(walker, reset_link(parts))
    assert opens(parts, NEW)


def test_rc_05_the_receipt_tells_support_and_not_the_visitor(walker: Walker, parts: Parts, carol: str) -> None:
    ask(walker)
    ask(Walker(walker.app, parts), "nobody@example.org")
    parts.attempts.flush()
    drain(parts.store, parts.database)
    with parts.database.reading() as db:
        steps = [
            (step.name, step.reason, sorted(step.facts))
            for attempt in db.query(Attempt)
            for step in steps_of(db, attempt.code)
            if step.name == "reset_asked"
        ]
    assert steps == [("reset_asked", None, ["address", "email"])] * 2


# --- RC-10: who made the account need not be who has the mailbox ------------------------------------------------------------------


@pytest.fixture
def mallory(parts: Parts) -> Walker:
    return Walker(with_newcomers(parts), parts, address="203.0.113.9")


@pytest.fixture
def trap(parts: Parts, mallory: Walker) -> str:
    """An account that Mallory has made with Carol's address: she sits in it, and has put into it whatever there is."""
    made = add_carol(parts)
    mallory.submit(come(mallory, google("g-m", "carol@example.org")), "/login/link", password=PASSWORD)
    unverify(parts, made)
    now = int(parts.clock())
    with parts.database.transaction() as db:
        account = db.get_one(Account, made)
        account.recovery_email, account.recovery_verified_at = MALLORY, now
        account.terms_version, account.terms_accepted_at = "2026-11", now
        key = {"credential_id": "c", "public_key": "k", "name": "Mallory's", "created_at": now}
        db.add(Passkey(account_id=made, **key))
        db.add(Totp(account_id=made, sealed_secret="s", last_step=0, created_at=now))
        db.add(RecoveryCode(account_id=made, code_hash="h", created_at=now))
        change = {"address": MALLORY, "canonical": MALLORY, "created_at": now, "expires_at": now + 9999}
        db.add(EmailChange(account_id=made, **change))
        db.add(Consent(account_id=made, client_id="C2", scopes=["openid"], given_at=now))
        db.query(Device).filter_by(account_id=made).update({"remembered_until": now + 9999})
    return made


def test_rc_10_a_reset_takes_out_everything_that_the_accounts_maker_had_put_in(
    walker: Walker, mallory: Walker, parts: Parts, trap: str
) -> None:
    offline = give(parts, open_for(parts, trap)[0], offline=True)
    undo = mailed(parts, "linked")
    assert is_signed_in(mallory)
    ask(walker)
    assert mails(parts)[-1] == ("reset_password", "carol@example.org")  # and not to the recovery address
    set_new(walker, reset_link(parts))
    assert not is_signed_in(mallory)
    assert not refresh_is_alive(parts, offline)
    assert opens(parts, NEW)
    assert not opened(mallory, come(mallory, google("g-m", "carol@example.org")))
    assert mallory.follow(mallory.get(undo)).status_code == 400
    with parts.database.reading() as db:
        for table in (Passkey, Totp, RecoveryCode, Link, EmailChange, Consent, Device):
            assert db.query(table).filter_by(account_id=trap).count() == 0, table.__name__
        account = db.get_one(Account, trap)
        assert (account.recovery_email, account.recovery_verified_at) == (None, None)
        assert (account.terms_version, account.terms_accepted_at) == (None, None)
        assert db.query(Email).one().verified_at is not None
        assert db.query(AuditEvent).filter_by(event="person.reclaimed").count() == 1
        left = db.query(MailedLink).filter(MailedLink.account_id == trap, MailedLink.used_at.is_(None)).count()
        assert left == 0
    again = Walker(mallory.app, parts)
    again.sign_in(again.follow(again.get("/login")))
    assert not is_signed_in(again)
    walker.sign_in(walker.follow(walker.get("/login")), password=NEW)
    assert is_signed_in(walker)


def test_rc_10_a_social_link_of_the_maker_does_not_keep_the_owner_out(walker: Walker, parts: Parts, trap: str) -> None:
    """No password, and a link of Mallory's: Carol is not sent to a door that she does not have."""
    with parts.database.transaction() as db:
        db.delete(db.get_one(Password, trap))
    ask(walker)
    assert mails(parts)[-1][0] == "reset_password"
    set_new(walker, reset_link(parts))
    assert opens(parts, NEW)


def test_rc_10_the_maker_cannot_reset_what_the_owner_has_taken(
    walker: Walker, mallory: Walker, parts: Parts, trap: str
) -> None:
    """Mallory asks as well: her mail goes to Carol, and what she has asked for before is over."""
    ask(mallory)
    ask(walker)
    set_new(walker, reset_link(parts))
    ask(mallory)
    assert {recipient for name, recipient in mails(parts) if name.startswith("reset")} == {"carol@example.org"}


def test_rc_10_what_the_owner_has_set_up_stays_when_they_forget_their_password(
    walker: Walker, parts: Parts, carol: str
) -> None:
    """Only an address that nobody had proved is a reason to wipe: second factors are not had by mail (PW-11)."""
    now = int(parts.clock())
    with parts.database.transaction() as db:
        db.add(Totp(account_id=carol, sealed_secret="s", last_step=0, created_at=now))
        db.add(RecoveryCode(account_id=carol, code_hash="h", created_at=now))
        db.add(Passkey(account_id=carol, credential_id="c", public_key="k", name="Hers", created_at=now))
    ask(walker)
    set_new(walker, reset_link(parts))
    with parts.database.reading() as db:
        for table in (Totp, RecoveryCode, Passkey):
            assert db.query(table).filter_by(account_id=carol).count() == 1, table.__name__
        assert db.query(AuditEvent).filter_by(event="person.reclaimed").count() == 0


def test_pw_11_a_reset_signs_nobody_in(walker: Walker, parts: Parts, carol: str) -> None:
    ask(walker)
    page = walker.follow(walker.get(reset_link(parts)))
    answer = walker.submit(page, "/reset", password=NEW)
    assert answer.location.startswith("/login/password?")
    assert not any("_session=" in one and "Max-Age=0" not in one for one in answer.headers.getlist("Set-Cookie"))
    assert not is_signed_in(walker)


def test_pw_11_after_a_reset_the_second_factor_is_asked_for_all_the_same(
    walker: Walker, parts: Parts, carol: str
) -> None:
    """Whoever has the mailbox alone has one factor."""
    app = add_app(parts, carol)
    ask(walker)
    page = set_new(walker, reset_link(parts))
    page = walker.follow(walker.submit(page, "/login/password", username="carol@example.org", password=NEW))
    assert page.request.path == "/login/second"
    assert not is_signed_in(walker)
    page = walker.follow(walker.submit(page, "/login/second", code=app.code()))
    assert is_signed_in(walker)


def test_pw_11_half_a_sign_in_with_the_old_password_is_over_after_a_reset(
    walker: Walker, parts: Parts, carol: str
) -> None:
    """Mallory knows the old password and has come to the second step; Carol sets another one."""
    app = add_app(parts, carol)
    mallory = Walker(walker.app, parts)
    half = mallory.sign_in(mallory.follow(mallory.get("/login")))
    assert half.request.path == "/login/second"
    ask(walker)
    set_new(walker, reset_link(parts))
    mallory.follow(mallory.submit(half, "/login/second", code=app.code()))
    assert not is_signed_in(mallory)


def test_a_known_browser_of_a_stranger_learns_nothing_from_the_page_of_help(parts: Parts, carol: str) -> None:
    """Its handle of a sign-in that is somebody else's says nothing there either."""
    app = create_app(dataclasses.replace(parts))
    hers, his = Walker(app, parts), Walker(app, parts)
    handle = handle_in(hers.follow(hers.az()))
    his.get("/login")
    assert text(his.get(f"/help/no-mail?p={handle}")).count("Rendezvous One") == 0
