"""Another address for one's account: both mailboxes agree, in any order; the old one can say no, and take it back afterwards."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from idp.accounts.emails import REVERTED_WITHIN
from idp.accounts.lifecycle import set_password, suspend
from idp.models import (
    Account,
    AuditEvent,
    Email,
    EmailChange,
    HeldAddress,
    Link,
    Member,
    OutboxMail,
    Passkey,
    Password,
    RecoveryCode,
    SearchTerm,
    Totp,
)
from idp.parts import Parts
from idp.worker import prune
from tests import canaries
from tests.conftest import Clock
from tests.factors import App, add_app, add_codes
from tests.forgetful import NEW as MENDED
from tests.forgetful import ask, mails, reset_link, set_new
from tests.journey import PASSWORD, Walker, add_carol
from tests.newcomers import handle_in, is_signed_in, mailed, text, unverify
from tests.saml_parties import Customer, belong, decide_for

OLD, NEW = "carol@example.org", "carol@home.example"
THEIRS = canaries.register("mallorys own long sentence about figs", "password")


@pytest.fixture
def carol(parts: Parts) -> str:
    return add_carol(parts)


@pytest.fixture
def signed_in(walker: Walker, carol: str) -> Walker:
    walker.sign_in(walker.follow(walker.get("/login")))
    return walker


@pytest.fixture
def mailbox(signed_in: Walker, parts: Parts) -> Walker:
    """Another browser, in which mails are read."""
    walker = Walker(signed_in.app, parts)
    walker.get("/login")
    return walker


def wish(walker: Walker, address: str = NEW) -> TestResponse:
    answer = walker.submit(walker.get("/me/email"), "/me/email", username=address)
    return walker.follow(answer) if answer.status_code == 303 else answer


def answer(walker: Walker, link: str, said: str = "yes") -> TestResponse:
    page = walker.follow(walker.get(link))
    return page if page.status_code != 200 else walker.submit(page, "/me/email/mail", answer=said)


def address_of(parts: Parts, account_id: str) -> str:
    with parts.database.reading() as db:
        [email] = db.query(Email).filter_by(account_id=account_id)
        return email.canonical


def change(walker: Walker, mailbox: Walker, parts: Parts, address: str = NEW) -> None:
    wish(walker, address)
    assert "agreed" in text(answer(mailbox, mailed(parts, "email_old")))
    assert 'id="email-changed-page"' in text(answer(mailbox, mailed(parts, "email_new")))


@pytest.mark.parametrize("order", [("email_new", "email_old"), ("email_old", "email_new")])
def test_it_changes_once_both_mailboxes_have_agreed(
    signed_in: Walker, mailbox: Walker, parts: Parts, carol: str, order: tuple[str, str]
) -> None:
    assert NEW in text(wish(signed_in))
    assert mails(parts) == [("email_new", NEW), ("email_old", OLD)]
    for name in order:
        link = mailed(parts, name)
        for _ in range(3):  # scanners open links too
            mailbox.open("HEAD", link)
            mailbox.get(link)
        assert address_of(parts, carol) == OLD
        assert answer(mailbox, link).status_code == 200
        assert answer(mailbox, link).status_code == 400  # once
    assert not is_signed_in(mailbox)
    assert address_of(parts, carol) == NEW
    assert mails(parts)[-1] == ("email_changed", OLD)
    assert NEW in text(signed_in.get("/me"))  # who asked for it stays signed in, and is called so at once
    with parts.database.reading() as db:
        assert db.query(EmailChange).count() == 0
        events = [event.event for event in db.query(AuditEvent).filter_by(account_id=carol, event="person.changed")]
    assert len(events) == 1
    # The new one signs in, the old one no more.
    for email, opens in ((NEW, True), (OLD, False)):
        browser = Walker(signed_in.app, parts)
        browser.sign_in(browser.follow(browser.get("/login")), email=email)
        assert is_signed_in(browser) is opens


def test_one_mailbox_alone_changes_nothing(signed_in: Walker, mailbox: Walker, parts: Parts, carol: str) -> None:
    wish(signed_in)
    page = text(answer(mailbox, mailed(parts, "email_new")))
    assert 'id="email-agreed-page"' in page and OLD in page
    assert address_of(parts, carol) == OLD
    shown = text(signed_in.get("/me/email"))
    assert "Has agreed" in shown and NEW in shown


def test_who_has_not_asked_says_so_and_throws_everybody_out(
    signed_in: Walker, mailbox: Walker, parts: Parts, carol: str
) -> None:
    wish(signed_in, "mallory@evil.example")
    answer(mailbox, mailed(parts, "email_new"))
    page = answer(mailbox, mailed(parts, "email_old"), "no")
    assert 'id="email-disowned-page"' in text(page)
    assert not is_signed_in(signed_in)
    assert address_of(parts, carol) == OLD
    assert answer(mailbox, mailed(parts, "email_new")).status_code == 400


def test_the_new_mailbox_throws_nobody_out(signed_in: Walker, mailbox: Walker, parts: Parts, carol: str) -> None:
    wish(signed_in)
    assert answer(mailbox, mailed(parts, "email_new"), "no").status_code == 400
    assert is_signed_in(signed_in)


def test_the_old_mailbox_takes_it_back(
    signed_in: Walker, mailbox: Walker, parts: Parts, carol: str, clock: Clock
) -> None:
    change(signed_in, mailbox, parts)
    link = mailed(parts, "email_changed")
    clock.advance(7 * 86400 - 10)
    signed_in.sign_in(signed_in.follow(signed_in.get("/login")), email=NEW)
    wish(signed_in, "third@evil.example")
    page = mailbox.follow(mailbox.get(link))
    assert OLD in text(page)
    done = mailbox.submit(page, "/me/email/revert")
    assert 'id="email-reverted-page"' in text(done)
    assert address_of(parts, carol) == OLD
    assert not is_signed_in(signed_in)
    assert mails(parts)[-1] == ("email_reverted", NEW)
    assert mailbox.follow(mailbox.get(link)).status_code == 400
    assert answer(mailbox, mailed(parts, "email_old")).status_code == 400  # what was under way is over
    with parts.database.reading() as db:
        assert db.query(HeldAddress).count() == 0
        assert db.query(EmailChange).count() == 0


def test_what_was_closed_from_the_other_mailbox_is_opened_again_from_the_old_one_alone(
    signed_in: Walker, mailbox: Walker, parts: Parts, carol: str
) -> None:
    """Whoever moves the account to a mailbox of theirs, and closes it so that it is lost to its owner."""
    change(signed_in, mailbox, parts)
    signed_in.submit(signed_in.get("/me/close"), "/me/close", username=NEW)
    to_thief = mailed(parts, "account_closed")
    page = mailbox.follow(mailbox.get(mailed(parts, "email_changed")))
    mailbox.submit(page, "/me/email/revert")
    assert mails(parts)[-1] == ("account_closed", OLD)
    assert mailbox.follow(mailbox.get(to_thief)).status_code == 400
    page = mailbox.follow(mailbox.get(mailed(parts, "account_closed")))
    assert 'id="reopened-page"' in text(mailbox.submit(page, "/me/reopen"))
    with parts.database.reading() as db:
        assert db.get_one(Account, carol).state == "active"


def test_it_is_taken_back_for_seven_days(
    signed_in: Walker, mailbox: Walker, parts: Parts, carol: str, clock: Clock
) -> None:
    change(signed_in, mailbox, parts)
    clock.advance(7 * 86400)
    assert mailbox.follow(mailbox.get(mailed(parts, "email_changed"))).status_code == 400
    while prune(parts.database, clock()):
        pass
    with parts.database.reading() as db:
        assert db.query(HeldAddress).count() == 0


def test_each_old_address_can_be_taken_back(signed_in: Walker, mailbox: Walker, parts: Parts, carol: str) -> None:
    """A, then B, then C: whoever has A gets the account back."""
    change(signed_in, mailbox, parts)
    first = mailed(parts, "email_changed")
    change(signed_in, mailbox, parts, "third@home.example")
    page = mailbox.follow(mailbox.get(first))
    assert mailbox.submit(page, "/me/email/revert").status_code == 200
    assert address_of(parts, carol) == OLD


def take_back(mailbox: Walker, link: str) -> str:
    return text(mailbox.submit(mailbox.follow(mailbox.get(link)), "/me/email/revert"))


def test_whoever_changed_it_twice_does_not_come_back_by_the_address_between(
    signed_in: Walker, mailbox: Walker, parts: Parts, carol: str
) -> None:
    """Carol's, then mallory's, then another one of mallory's: once carol has taken hers back, mallory's first takes back nothing."""
    change(signed_in, mailbox, parts, "first@evil.example")
    to_carol = mailed(parts, "email_changed")
    change(signed_in, mailbox, parts, "second@evil.example")
    to_mallory = mailed(parts, "email_changed")
    assert 'id="email-reverted-page"' in take_back(mailbox, to_carol)
    assert mailbox.follow(mailbox.get(to_mallory)).status_code == 400
    assert address_of(parts, carol) == OLD
    with parts.database.reading() as db:
        assert db.query(HeldAddress).count() == 0


def test_by_what_was_put_into_the_account_meanwhile_nobody_comes_back(
    signed_in: Walker, mailbox: Walker, parts: Parts, carol: str, acme: Customer, clock: Clock
) -> None:
    """All of it was announced to the other mailbox alone."""
    clock.advance(60)
    change(signed_in, mailbox, parts, "mallory@acme.example")
    back = mailed(parts, "email_changed")
    clock.advance(60)
    add_app(parts, carol)
    add_codes(parts, carol)
    belong(parts.database, acme, carol, "administrator", now=clock())
    decide_for(parts.database, acme, sso="required")  # it alone would sign carol in
    now = int(clock())
    with parts.database.transaction() as db:
        account = db.get_one(Account, carol)
        account.recovery_email, account.recovery_verified_at = "mallory@evil.example", now
        set_password(db, account, parts.hasher.hash(THEIRS), actor="test", now=now)
        key = {"credential_id": "cred", "public_key": "key", "name": "Theirs", "created_at": now}
        db.add(Passkey(account_id=carol, **key))
        for door in ("google", "company"):
            db.add(Link(account_id=carol, issuer=f"of {door}", subject="mallory", door=door, created_at=now))
    assert 'id="email-reverted-page"' in take_back(mailbox, back)
    with parts.database.reading() as db:
        for table in (Password, Passkey, Totp, RecoveryCode, Link, Member):
            assert db.query(table).filter_by(account_id=carol).count() == 0, table
        assert db.get_one(Account, carol).recovery_email is None
        companies = {term.company_id for term in db.query(SearchTerm).filter_by(account_id=carol)}
        assert companies == {None}
        removed = {event.event for event in db.query(AuditEvent).filter_by(account_id=carol)}
    assert {"person.factor_removed", "person.recovery_removed", "person.unlinked", "company.member_removed"} <= removed
    # Carol sets another password by the mail to her own address, and is in.
    owner = Walker(signed_in.app, parts)
    ask(owner)
    set_new(owner, reset_link(parts))
    assert {recipient for _, recipient in mails(parts)[-2:]} == {OLD}
    owner.sign_in(owner.follow(owner.get("/login")), password=MENDED)
    assert is_signed_in(owner)


def test_what_was_there_before_the_change_stays_when_it_is_taken_back(
    signed_in: Walker, mailbox: Walker, parts: Parts, carol: str, clock: Clock
) -> None:
    add_app(parts, carol)
    with parts.database.transaction() as db:
        account = db.get_one(Account, carol)
        account.recovery_email, account.recovery_verified_at = "carol@other.example", int(clock())
    clock.advance(60)
    change(signed_in, mailbox, parts)
    take_back(mailbox, mailed(parts, "email_changed"))
    with parts.database.reading() as db:
        assert db.get(Password, carol) is not None and db.get(Totp, carol) is not None
        assert db.get_one(Account, carol).recovery_email == "carol@other.example"


def test_the_mails_speak_the_language_of_the_person_whoever_opens_a_link(
    signed_in: Walker, mailbox: Walker, parts: Parts, carol: str
) -> None:
    with parts.database.transaction() as db:
        db.get_one(Account, carol).locale = "fr-CA"
    change(signed_in, mailbox, parts)
    take_back(mailbox, mailed(parts, "email_changed"))
    with parts.database.reading() as db:
        told = {mail.name: mail.language for mail in db.query(OutboxMail)}
    assert told == dict.fromkeys(("email_new", "email_old", "email_changed", "email_reverted"), "fr-CA")


def test_its_own_person_may_return_to_it(signed_in: Walker, mailbox: Walker, parts: Parts, carol: str) -> None:
    change(signed_in, mailbox, parts)
    change(signed_in, mailbox, parts, OLD)
    assert address_of(parts, carol) == OLD


def test_the_person_thinks_better_of_it(signed_in: Walker, mailbox: Walker, parts: Parts, carol: str) -> None:
    wish(signed_in)
    page = signed_in.follow(signed_in.submit(signed_in.get("/me/email"), "/me/email/forget"))
    assert 'role="status"' in text(page) and NEW not in text(page)
    for name in ("email_new", "email_old"):
        assert answer(mailbox, mailed(parts, name)).status_code == 400


def test_only_what_was_asked_last_counts_and_for_a_day(
    signed_in: Walker, mailbox: Walker, parts: Parts, carol: str, clock: Clock
) -> None:
    wish(signed_in, "first@home.example")
    older = mailed(parts, "email_new"), mailed(parts, "email_old")
    wish(signed_in)
    for link in older:
        assert answer(mailbox, link).status_code == 400
    clock.advance(86400)
    for name in ("email_new", "email_old"):
        assert answer(mailbox, mailed(parts, name)).status_code == 400
    assert NEW not in text(signed_in.get("/me"))


def test_another_password_ends_what_is_under_way(signed_in: Walker, mailbox: Walker, parts: Parts, carol: str) -> None:
    """Somebody at an open browser has asked for it; its owner sets another password."""
    wish(signed_in, "mallory@evil.example")
    links = mailed(parts, "email_new"), mailed(parts, "email_old")
    owner = Walker(signed_in.app, parts)
    ask(owner)
    set_new(owner, reset_link(parts))
    for link in links:
        assert answer(mailbox, link).status_code == 400
    assert address_of(parts, carol) == OLD


def test_rc_02_a_reset_link_from_before_ends_when_the_address_changes(
    signed_in: Walker, mailbox: Walker, parts: Parts, carol: str
) -> None:
    """Whoever has read the old mailbox since keeps nothing from before."""
    ask(Walker(signed_in.app, parts))
    link = reset_link(parts)
    change(signed_in, mailbox, parts)
    assert mailbox.follow(mailbox.get(link)).status_code == 400


def test_pw_11_neither_mailbox_is_signed_in_by_it(signed_in: Walker, mailbox: Walker, parts: Parts, carol: str) -> None:
    change(signed_in, mailbox, parts)
    assert not is_signed_in(mailbox)
    page = mailbox.follow(mailbox.get(mailed(parts, "email_changed")))
    assert 'id="email-reverted-page"' in text(mailbox.submit(page, "/me/email/revert"))
    assert not is_signed_in(mailbox)
    assert not is_signed_in(signed_in)


def test_rc_10_whoever_made_the_account_can_have_no_change_under_way(
    signed_in: Walker, parts: Parts, carol: str
) -> None:
    """An address that its maker wants would outlive that the owner proves theirs; so it is asked for only by who has proved it."""
    page = signed_in.get("/me/email")
    unverify(parts, carol)
    answered = signed_in.submit(page, "/me/email", username="mallory@evil.example")
    assert (answered.status_code, answered.location) == (303, "/me/email")
    assert mails(parts) == []
    with parts.database.reading() as db:
        assert db.get(EmailChange, carol) is None


def test_suspended_in_between(signed_in: Walker, mailbox: Walker, parts: Parts, carol: str, clock: Clock) -> None:
    wish(signed_in)
    answer(mailbox, mailed(parts, "email_old"))
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, carol), actor="operator:test", now=clock())
    assert answer(mailbox, mailed(parts, "email_new")).status_code == 400
    assert address_of(parts, carol) == OLD


@pytest.mark.parametrize("wrong", ["carol", "a@x.example,b@y.example", "CAROL@example.org"])
def test_what_is_no_other_address_is_refused(signed_in: Walker, parts: Parts, wrong: str) -> None:
    page = wish(signed_in, wrong)
    assert page.status_code == 400 and 'role="alert"' in text(page)
    assert mails(parts) == []


def test_an_unproved_address_is_proved_first(signed_in: Walker, parts: Parts, carol: str) -> None:
    unverify(parts, carol)
    assert "must be proved first" in text(signed_in.get("/me/email"))
    assert "email-submit" not in text(signed_in.get("/me/email"))


def test_who_has_signed_in_long_ago_proves_it_anew(signed_in: Walker, parts: Parts, clock: Clock) -> None:
    page = signed_in.get("/me/email")
    clock.advance(16 * 60)
    again = signed_in.submit(page, "/me/email", username=NEW)
    assert again.location.startswith("/login?again=")
    assert signed_in.get("/me/email").location.startswith("/login?again=")
    assert mails(parts) == []


@pytest.mark.parametrize("path", ["/me/email", "/me/email/forget"])
def test_nobody_without_a_session_gets_anywhere(walker: Walker, path: str) -> None:
    import re

    page = walker.follow(walker.get("/login"))
    token = re.findall(r'name="csrf" value="([^"]*)"', text(page))[0]
    assert walker.open("POST", path, data={"csrf": token, "username": NEW}).location == "/login"
    assert walker.get("/me/email").location == "/login"


def test_how_many_mails_one_can_cause_is_bounded(signed_in: Walker) -> None:
    page = signed_in.get("/me/email")
    statuses = [signed_in.submit(page, "/me/email", username=NEW).status_code for _ in range(5)]
    assert statuses == [303, 303, 303, 429, 429]


def test_a_recovery_address_that_becomes_the_address_is_none_any_more(
    signed_in: Walker, mailbox: Walker, parts: Parts, carol: str, clock: Clock
) -> None:
    with parts.database.transaction() as db:
        account = db.get_one(Account, carol)
        account.recovery_email, account.recovery_verified_at = NEW, int(clock())
    change(signed_in, mailbox, parts)
    with parts.database.reading() as db:
        assert db.get_one(Account, carol).recovery_email is None


# --- attacks.md section 7 ---------------------------------------------------------------------------------------------------


def test_em_02_an_address_that_is_not_confirmed_gives_nothing(
    signed_in: Walker, mailbox: Walker, parts: Parts, carol: str, acme: Customer
) -> None:
    """Neither a claim, nor a way in, nor a mail, nor what a company's domain would give, whichever one mailbox agrees."""
    decide_for(parts.database, acme, sso="optional")
    wish(signed_in, "victim@acme.example")
    for agreed in (False, True):
        if agreed:
            answer(mailbox, mailed(parts, "email_old"))
        assert OLD in text(signed_in.get("/me")) and "acme" not in text(signed_in.get("/me"))
        with parts.database.reading() as db:
            assert db.query(Email).filter_by(canonical="victim@acme.example").count() == 0
            assert db.query(Email).filter_by(domain="acme.example").count() == 0
        stranger = Walker(signed_in.app, parts)
        page = stranger.follow(stranger.get("/login"))
        own = stranger.follow(stranger.get(f"/login/password?p={handle_in(page)}"))
        stranger.submit(own, "/login/password", username="victim@acme.example", password=PASSWORD)
        assert not is_signed_in(stranger)


@pytest.mark.parametrize("doors", [{"sso": "required"}, {"doors": ["social"]}])
def test_em_06_an_address_of_a_company_that_signs_in_itself_is_refused(
    signed_in: Walker, parts: Parts, acme: Customer, doors: dict[str, object]
) -> None:
    decide_for(parts.database, acme, **doors)
    page = wish(signed_in, "x@acme.example")
    assert page.status_code == 400 and "Acme" in text(page)
    assert mails(parts) == []


def test_em_06_also_when_the_company_decides_it_in_between(
    signed_in: Walker, mailbox: Walker, parts: Parts, carol: str, acme: Customer
) -> None:
    wish(signed_in, "x@acme.example")
    answer(mailbox, mailed(parts, "email_new"))
    decide_for(parts.database, acme, sso="required")
    assert answer(mailbox, mailed(parts, "email_old")).status_code == 400
    assert address_of(parts, carol) == OLD


def test_em_06_nobody_leaves_the_domain_of_their_company(
    walker: Walker, parts: Parts, acme: Customer, clock: Clock
) -> None:
    alice = add_carol(parts, "alice@acme.example")
    belong(parts.database, acme, alice, "administrator", now=clock())
    handle = handle_in(walker.follow(walker.get("/login")))
    own = walker.follow(walker.get(f"/login/password?p={handle}"))
    walker.submit(own, "/login/password", username="alice@acme.example", password=PASSWORD)
    page = walker.get("/me/email")
    assert "email-submit" in text(page)
    with parts.database.transaction() as db:
        from idp.models import Member

        db.query(Member).filter_by(account_id=alice).update({"break_glass": True})
    decide_for(parts.database, acme, sso="required")
    answer = walker.submit(page, "/me/email", username=NEW)
    assert answer.status_code == 303
    assert mails(parts) == [] or all(name not in ("email_new", "email_old") for name, _ in mails(parts))


def test_the_address_of_another_account_is_told_in_its_mailbox_alone(
    signed_in: Walker, mailbox: Walker, parts: Parts, carol: str
) -> None:
    add_carol(parts, "dora@example.org")
    pages = []
    for address in ("dora@example.org", "nobody@example.org"):
        pages.append(text(wish(signed_in, address)).replace(address, "…"))
    import re

    one, other = (re.sub(r'value="[^"]*"', "", page) for page in pages)
    assert one == other
    assert mails(parts) == [
        ("email_taken", "dora@example.org"),
        ("email_old", OLD),
        ("email_new", "nobody@example.org"),
        ("email_old", OLD),
    ]


def test_em_04_who_comes_second_gets_nothing(signed_in: Walker, mailbox: Walker, parts: Parts, carol: str) -> None:
    """The address went to somebody else while it was waited for."""
    wish(signed_in)
    answer(mailbox, mailed(parts, "email_new"))
    add_carol(parts, NEW)
    assert answer(mailbox, mailed(parts, "email_old")).status_code == 400
    assert address_of(parts, carol) == OLD
    with parts.database.reading() as db:
        assert db.query(EmailChange).count() == 0


def test_an_address_that_was_left_lately_is_nobodys(
    signed_in: Walker, mailbox: Walker, parts: Parts, carol: str, clock: Clock
) -> None:
    """Else whoever took the account over would keep its old address from being taken back."""
    from idp.accounts.lifecycle import AddressTaken

    change(signed_in, mailbox, parts)
    with pytest.raises(AddressTaken):
        add_carol(parts, OLD)
    clock.advance(7 * 86400)
    add_carol(parts, OLD)


def test_rc_02_what_lies_in_the_old_mailbox_ends_with_the_way_back(
    app: Flask, parts: Parts, carol: str, clock: Clock
) -> None:
    """Whoever has that mailbox later takes no factor out of the account, and signs nobody out."""
    carols, mailbox, later = (Walker(app, parts) for _ in range(3))
    carols.sign_in(carols.follow(carols.get("/login")))
    page = carols.get("/me/factors/app")
    key = re.search(r'<code id="totp-key"[^>]*>([A-Z2-7 ]+)</code>', text(page))
    assert key is not None
    phone = App(parts, key[1].replace(" ", ""))
    carols.submit(page, "/me/factors/app", code=phone.code())
    link = mailed(parts, "factor_added")
    change(carols, mailbox, parts)
    assert 'id="disowned-page"' in text(later.follow(later.get(link)))  # as long as it can take the address back
    clock.advance(REVERTED_WITHIN)
    assert later.follow(later.get(link)).status_code == 400
    with parts.database.reading() as db:
        assert db.get(Totp, carol) is not None
