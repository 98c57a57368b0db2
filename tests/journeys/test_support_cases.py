"""Ten people fail for ten reasons, in a real browser, and read out the code of the page. Support, from that code alone, does or says what
lets them in; where the fault is their company's, its IT is told what to mend, and mends it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect

from idp.accounts.identity import read_address
from idp.accounts.invitations import Guest, Host, invite, send_again
from idp.accounts.lifecycle import suspend
from idp.accounts.totp import NewTotp
from idp.admin.staff import set_staff
from idp.database import Database
from idp.languages import Languages
from idp.models import Account, Company, Email
from idp.parts import Parts, build
from tests import canaries
from tests.backends import wait_until
from tests.journey import PASSWORD
from tests.journeys.admin_world import (
    Center,
    Firm,
    a_firm,
    browser,
    center,
    come_through_the_company,
    connect,
    let_in,
    prove_domain,
    sign_in,
    somebody,
    try_it,
)

__all__ = ["browser", "center"]
pytestmark = pytest.mark.needs("chromium")

WORDS = Languages()


@pytest.fixture(scope="module")
def here(center: Center) -> Iterator[Parts]:
    """The provider's own parts, for what happened before somebody called."""
    built = build(center.provider.config, {})
    yield built
    built.close()


@pytest.fixture(scope="module")
def sue(browser: Browser, center: Center) -> Iterator[Page]:
    """Somebody of support, signed in."""
    yield from _agent(browser, center, "sue")


@pytest.fixture(scope="module")
def sid(browser: Browser, center: Center) -> Iterator[Page]:
    """A second one."""
    yield from _agent(browser, center, "sid")


def _agent(browser: Browser, center: Center, name: str) -> Iterator[Page]:
    email = f"{name}@support.example"
    center.provider.add_person(email)
    database = Database(center.provider.config)
    with database.transaction() as db:
        account = db.query(Email).filter_by(canonical=email).one().account_id
        set_staff(db, account, "support", actor="operator:test", now=time.time())
    database.close()
    with somebody(browser) as page:
        sign_in(page, center, email)
        yield page


@pytest.fixture(scope="module")
def firm(browser: Browser, center: Center) -> Iterator[Firm]:
    """A company whose people come in by its own page, and whose IT is written to."""
    with a_firm(center, "umbrella") as made, somebody(browser) as page:
        sign_in(page, center, made.ada)
        page.click("#nav-company-sign-in")
        prove_domain(page, center, made)
        connect(page, made)
        try_it(page, made.ada)
        page.click("#go-live")
        expect(page.locator("#to-draft")).to_be_visible()
        page.click("#nav-settings")
        page.fill("#contacts", f"it@{made.domain}")
        page.click("#settings-save")
        come_through_the_company(browser, center, made, made.ada)
        yield made


@pytest.fixture(autouse=True)
def usual(firm: Firm) -> None:
    firm.site.changes.clear()


# --- what each of them does ------------------------------------------------------------------------------------------


def receipt(page: Page) -> str:
    """What the caller reads out."""
    expect(page.locator("#receipt-code").first).to_be_visible()
    return page.locator("#receipt-code").first.inner_text()


def open_case(agent: Page, center: Center, code: str, reason: str) -> None:
    """The attempt, which says why it failed."""
    agent.goto(f"{center.origin}/support")
    agent.fill("#receipt", code.lower().replace("-", " "))
    agent.locator("form[action='/support'] button").click()
    expect(agent.locator("#support-case-page")).to_be_visible()
    expect(agent.locator("main")).to_contain_text(WORDS.text("en", f"reason.{reason}.says"))


def act(agent: Page, name: str) -> None:
    agent.click(f"#{name}")
    expect(agent.get_by_role("status")).to_be_visible()


def type_password(page: Page, center: Center, email: str, password: str = PASSWORD) -> None:
    page.goto(f"{center.provider.issuer}/me")
    page.fill("#username", email)
    page.click("#login-submit")
    page.fill("#password", password)
    page.click("#login-submit")


def through_company(page: Page, center: Center, firm: Firm, who: str) -> None:
    page.goto(f"{center.provider.issuer}/me")
    page.click("#company-id-link")
    page.fill("#username", who)
    page.click("#login-submit")
    expect(page.locator("#who, #receipt-code, #sign-out").first).to_be_visible()
    if page.locator("#who").is_visible():  # not signed in there yet
        let_in(page, who)


@contextmanager
def caller(browser: Browser, language: str) -> Iterator[Page]:
    with somebody(browser, language) as page:
        yield page


def forget(page: Page, center: Center, email: str) -> None:
    page.goto(f"{center.provider.issuer}/forgot")
    page.fill("#username", email)
    page.locator("form[action='/forgot'] button[type=submit]").first.click()


def is_in(page: Page) -> None:
    expect(page.locator("#sign-out")).to_be_visible()


def mailed(center: Center, recipient: str, path: str) -> str:
    """The link to ``path`` in the mail to somebody that came last."""
    return center.mails.link_to(recipient, center.provider.issuer + path)


def account_of(here: Parts, email: str) -> str:
    with here.database.reading() as db:
        return str(db.query(Email).filter_by(canonical=email).one().account_id)


# --- ten calls -------------------------------------------------------------------------------------------------------


def test_1_who_has_mistyped_too_often_need_not_wait(browser: Browser, center: Center, sue: Page) -> None:
    center.provider.add_person("one@callers.example")
    with caller(browser, "en") as page:
        type_password(page, center, "one@callers.example", "not that one")
        for _ in range(12):
            page.fill("#password", "not that one")
            page.click("#login-submit")
        code = receipt(page)
        open_case(sue, center, code, "throttled")
        act(sue, "act-throttle")
        type_password(page, center, "one@callers.example")
        is_in(page)


def test_2_whose_invitation_is_over_gets_another(browser: Browser, center: Center, here: Parts, sue: Page) -> None:
    host = Host("operator:test", here.sealer, time.time(), here.random)
    with here.database.transaction() as db:
        invite(db, Guest(read_address("two@callers.example"), {}), host)
    first = mailed(center, "two@callers.example", "/invite")
    with here.database.transaction() as db:
        send_again(db, db.query(Email).filter_by(canonical="two@callers.example").one().account_id, host)
    with caller(browser, "fr") as page:
        page.goto(first)
        open_case(sue, center, receipt(page), "invite_over")
        wait_until(
            lambda: sum(mail.recipient == "two@callers.example" for mail in center.mails.received) == 2, "both mails"
        )
        center.mails.received.clear()
        act(sue, "act-invitation")
        link = mailed(center, "two@callers.example", "/invite")
        assert link != first
        page.goto(link)
        page.fill("#new-password", PASSWORD)
        page.locator("form[action='/invite'] button[type=submit]").first.click()
        is_in(page)


def test_3_whose_mail_did_not_go_out_is_sent_it_at_once(browser: Browser, center: Center, sue: Page) -> None:
    center.provider.add_person("three@callers.example")
    with caller(browser, "en") as page:
        forget(page, center, "three@callers.example")
        first = mailed(center, "three@callers.example", "/reset")
        center.mails.answers["RCPT"] = ["450 4.2.0 later"] * 50
        forget(page, center, "three@callers.example")
        wait_until(
            lambda: len(center.mails.answers["RCPT"]) < 50, "the mail server has refused it for now", patience=60
        )
        page.goto(first)  # the newest alone counts, and has not come
        open_case(sue, center, receipt(page), "reset_over")
        center.mails.answers.clear()
        center.mails.received.clear()
        act(sue, "act-mail")
        page.goto(mailed(center, "three@callers.example", "/reset"))
        expect(page.locator("#new-password")).to_be_visible()


def test_4_who_was_suspended_is_sent_to_their_company(
    browser: Browser, center: Center, firm: Firm, here: Parts, sue: Page
) -> None:
    come_through_the_company(browser, center, firm, firm.bob)
    with here.database.transaction() as db:
        bob = db.get_one(Account, account_of(here, firm.bob))
        ada = account_of(here, firm.ada)
        suspend(db, bob, actor=f"person:{ada}", now=time.time(), reason="On leave")
    with caller(browser, "fr") as page:
        through_company(page, center, firm, firm.bob)
        open_case(sue, center, receipt(page), "account_suspended")
        expect(sue.locator("main")).to_contain_text(WORDS.text("en", "support.state.suspended"))
        with somebody(browser) as ada_page:
            sign_in(ada_page, center, firm.ada)
            ada_page.click("#nav-people")
            ada_page.get_by_role("link", name="Bob").click()
            ada_page.locator("form[action$='/reactivate'] button").click()
            expect(ada_page.get_by_role("status")).to_be_visible()
        through_company(page, center, firm, firm.bob)
        is_in(page)


def test_5_who_took_the_wrong_door_is_told_the_right_one(
    browser: Browser, center: Center, firm: Firm, here: Parts, sue: Page
) -> None:
    with here.database.transaction() as db:
        db.get_one(Company, firm.id).sso = "required"
    with caller(browser, "en") as page:
        type_password_at_the_other_door(page, center, firm.bob)
        open_case(sue, center, receipt(page), "company_sso_required")
        through_company(page, center, firm, firm.bob)
        is_in(page)
    with here.database.transaction() as db:
        db.get_one(Company, firm.id).sso = "optional"


def type_password_at_the_other_door(page: Page, center: Center, email: str) -> None:
    """Somebody who says that the address is not of a company."""
    page.goto(f"{center.provider.issuer}/me")
    page.click("#company-id-link")
    page.fill("#username", email)
    page.click("#own-email-link")
    page.fill("#username", email)
    page.fill("#password", PASSWORD)
    page.click("#login-submit")


@pytest.mark.parametrize(
    ("number", "changes", "reason"),
    [
        (6, {"sign": "none"}, "saml_unsigned"),
        (7, {"lifetime": -3600}, "saml_expired"),
        (8, {"audiences": (("https://another.example",),)}, "saml_audience_wrong"),
    ],
)
def test_6_to_8_where_the_company_answers_wrongly_its_it_is_told_what_to_mend(
    browser: Browser, center: Center, firm: Firm, sue: Page, number: int, changes: dict[str, object], reason: str
) -> None:
    center.mails.received.clear()
    firm.site.changes.update(changes)
    with caller(browser, "fr" if number % 2 else "en") as page:
        through_company(page, center, firm, firm.bob)
        code = receipt(page)
        open_case(sue, center, code, reason)
        act(sue, "act-company")
        wait_until(
            lambda: any(
                mail.recipient == f"it@{firm.domain}" and code in mail.text() for mail in center.mails.received
            ),
            "its IT is told",
            patience=60,
        )
        firm.site.changes.clear()  # they have mended it
        through_company(page, center, firm, firm.bob)
        is_in(page)


def test_9_whom_the_company_sends_but_nobody_knows_is_invited(
    browser: Browser, center: Center, firm: Firm, sue: Page
) -> None:
    eve = f"eve@{firm.domain}"
    with caller(browser, "fr") as page:
        through_company(page, center, firm, eve)
        open_case(sue, center, receipt(page), "company_member_missing")
        with somebody(browser) as ada:
            sign_in(ada, center, firm.ada)
            ada.click("#nav-people")
            ada.click("#invite")
            ada.fill("#people", eve)
            ada.click("#invite-look")
            ada.click("#invite-confirm")
            expect(ada.locator("#count-invited")).to_have_text("1")
        page.goto(mailed(center, eve, "/invite"))
        page.click("#invite-company")
        page.click("#login-submit")
        expect(page.locator("#who, #sign-out").first).to_be_visible()
        if page.locator("#who").is_visible():
            let_in(page, eve)
        is_in(page)


def test_10_who_has_lost_the_telephone_is_helped_by_two(
    browser: Browser, center: Center, here: Parts, sue: Page, sid: Page
) -> None:
    center.provider.add_person("ten@callers.example")
    secret = canaries.register(pyotp.random_base32(), "totp secret")
    with here.database.transaction() as db:
        account = db.query(Email).filter_by(canonical="ten@callers.example").one().account_id
        here.totps.add(db, account, NewTotp(secret, 0), time.time())
    with caller(browser, "en") as page:
        type_password(page, center, "ten@callers.example")
        page.fill("#code", "000000")
        page.keyboard.press("Enter")
        code = receipt(page)
        open_case(sue, center, code, "second_code_wrong")
        act(sue, "factors-ask")
        expect(sue.locator("#factors-agree")).not_to_be_visible()  # not the same person twice
        open_case(sid, center, code, "second_code_wrong")
        act(sid, "factors-agree")
        type_password(page, center, "ten@callers.example")
        is_in(page)
