"""Another address for one's account in a real browser with a real mail server: asked for in one, agreed to where the mails are read, and
taken back; in both languages, with script and without."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journey import PASSWORD
from tests.journeys.conftest import Social
from tests.journeys.test_my_account import another_browser, look_both

pytestmark = pytest.mark.needs("chromium")

NETWORK = itertools.count(1)


@pytest.fixture
def page(social_page: Page) -> Page:
    """As if by another proxy, from a network of its own: one network may not ask for many mails."""
    social_page.set_extra_http_headers({"X-Forwarded-For": f"203.0.113.{next(NETWORK)}"})
    return social_page


@pytest.fixture
def mailbox(browser: Browser, language: str) -> Iterator[Page]:
    """Another browser, in which mails are read."""
    with another_browser(browser, language) as page:
        yield page


def go_home(social: Social, page: Page, email: str) -> None:
    page.goto(f"{social.provider.issuer}/me")
    page.locator("#username").fill(email)
    page.locator("#login-submit").click()
    page.locator("#password").fill(PASSWORD)
    page.locator("#login-submit").click()
    expect(page.locator("#sign-out")).to_be_visible()


def wish(page: Page, new: str) -> None:
    """From My account by its link to the form, and on to both mailboxes."""
    page.locator("#change-email").click()
    expect(page.locator("#username")).to_have_attribute("autocomplete", "email")
    page.locator("#username").fill(new)
    page.locator("#email-submit").click()
    expect(page.get_by_role("status")).to_be_visible()
    expect(page.locator("#mailboxes")).to_contain_text(new)


def open_mail(social: Social, mailbox: Page, email: str) -> None:
    mailbox.goto(social.mailed(email, "/me/email/mail"))
    assert mailbox.url == f"{social.provider.issuer}/me/email/mail"  # the secret has left the address, and the history
    expect(mailbox.locator("#email-ask-page")).to_be_visible()


def test_it_is_asked_for_agreed_to_and_taken_back(social: Social, page: Page, mailbox: Page, language: str) -> None:
    old, new = f"moving-{language}@example.org", f"moved-{language}@example.net"
    social.add_person(old)
    go_home(social, page, old)
    page.goto(f"{social.provider.issuer}/me/email")
    look_both(page, f"own-email-{language}")
    page.locator("#username").fill(old)
    page.locator("#email-submit").click()
    expect(page.get_by_role("alert")).to_be_visible()
    look_both(page, f"own-email-problem-{language}")
    page.locator("#back-to-me").click()
    wish(page, new)
    look_both(page, f"own-email-asked-{language}")

    open_mail(social, mailbox, new)
    expect(mailbox.locator("#email-disown")).to_have_count(0)
    look_both(mailbox, f"own-email-new-{language}")
    mailbox.locator("#email-agree").click()
    expect(mailbox.locator("#email-agreed-page")).to_contain_text(old)
    look_both(mailbox, f"own-email-agreed-{language}")
    open_mail(social, mailbox, old)
    look_both(mailbox, f"own-email-old-{language}")
    mailbox.locator("#email-agree").click()
    expect(mailbox.locator("#email-changed-page")).to_contain_text(new)
    look_both(mailbox, f"own-email-changed-{language}")
    page.goto(f"{social.provider.issuer}/me")
    expect(page.locator("dl").first).to_contain_text(new)

    mailbox.goto(social.mailed(old, "/me/email/revert"))
    expect(mailbox.locator("#email-revert-page")).to_contain_text(old)
    look_both(mailbox, f"own-email-revert-{language}")
    mailbox.locator("#email-take-back").click()
    expect(mailbox.locator("#email-reverted-page")).to_contain_text(old)
    look_both(mailbox, f"own-email-reverted-{language}")
    page.goto(f"{social.provider.issuer}/me")
    expect(page.locator("#login-page")).to_be_visible()
    go_home(social, page, old)

    mailbox.goto(social.mailed(old, "/me/email/revert"))
    expect(mailbox.locator("#error-page")).to_be_visible()


def test_who_has_not_asked_ends_it(social: Social, page: Page, mailbox: Page, language: str) -> None:
    old, new = f"attacked-{language}@example.org", f"attacker-{language}@example.net"
    social.add_person(old)
    go_home(social, page, old)
    wish(page, new)
    open_mail(social, mailbox, old)
    mailbox.locator("#email-disown").click()
    expect(mailbox.locator("#email-disowned-page")).to_be_visible()
    look_both(mailbox, f"own-email-disowned-{language}")
    mailbox.goto(social.mailed(new, "/me/email/mail"))
    expect(mailbox.locator("#error-page")).to_be_visible()
    page.goto(f"{social.provider.issuer}/me")
    expect(page.locator("#login-page")).to_be_visible()


def test_all_of_it_without_script(social: Social, browser: Browser, language: str) -> None:
    old, new = f"plain-{language}@example.org", f"plainer-{language}@example.net"
    social.add_person(old)
    with another_browser(browser, language, script=False) as page:
        page.set_extra_http_headers({"X-Forwarded-For": f"203.0.113.{next(NETWORK)}"})
        go_home(social, page, old)
        wish(page, new)
        for email in (old, new):
            open_mail(social, page, email)
            page.locator("#email-agree").click()
        expect(page.locator("#email-changed-page")).to_be_visible()
        go_back = page.locator("a[href='/me']").first
        go_back.click()
        expect(page.locator("dl").first).to_contain_text(new)
