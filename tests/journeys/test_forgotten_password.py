"""A forgotten password in a real browser with a real mail server: in both languages, with script and without, and why no mail has come."""

from __future__ import annotations

import itertools

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.backends import wait_until
from tests.forgetful import NEW
from tests.journey import PASSWORD
from tests.journeys.conftest import Social
from tests.journeys.test_password_login import look
from tests.journeys.test_social_detours import press, tab_to

pytestmark = pytest.mark.needs("chromium")

# As the help page that the project was created from calls the button.
BUTTON = {"en": "Reset password", "fr": "Réinitialiser le mot de passe"}


NETWORK = itertools.count(1)


def elsewhere() -> dict[str, str]:
    """As if by another proxy, from a network of its own: one network may not ask for many mails."""
    return {"X-Forwarded-For": f"198.51.100.{next(NETWORK)}"}


@pytest.fixture
def page(social_page: Page) -> Page:
    social_page.set_extra_http_headers(elsewhere())
    return social_page


def to_forgot(social: Social, page: Page, email: str) -> None:
    """From the product to the page for forgotten passwords, by way of the password that is not known."""
    social.start(page)
    page.locator("#username").fill(email)
    page.locator("#login-submit").click()
    page.locator("#password").fill("not the password any more")
    page.locator("#login-submit").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.locator("#forgot-password").click()
    expect(page.locator("#forgot-page")).to_be_visible()


def sign_in_anew(page: Page, email: str) -> None:
    """The way goes on where it was: with the new password to the product."""
    expect(page.locator("#login-page")).to_be_visible()
    expect(page.locator("#username")).to_have_value(email)
    page.locator("#password").fill(NEW)
    page.locator("#login-submit").click()
    expect(page.locator("#signed-in")).to_be_visible()


def test_s11_a_forgotten_password_is_set_anew(social: Social, page: Page, language: str) -> None:
    email = f"forgetful-{language}@example.org"
    social.add_person(email)
    to_forgot(social, page, email)
    expect(page.locator("#username")).to_have_value(email)
    expect(page.locator("#forgot-submit")).to_have_text(BUTTON[language])
    expect(page.locator("#username")).to_have_attribute("autocomplete", "username")
    look(page, f"forgot-{language}")
    page.locator("#forgot-submit").click()
    expect(page.get_by_role("status")).to_contain_text(email)
    look(page, f"forgot-sent-{language}")

    page.goto(social.mailed(email, "/reset"))
    assert page.url == f"{social.provider.issuer}/reset"  # the secret has left the address, and the history
    expect(page.locator("#reset-page")).to_contain_text(email)
    expect(page.locator("#new-password")).to_have_attribute("autocomplete", "new-password")
    look(page, f"reset-{language}")
    page.locator("#new-password").fill("password1")
    page.locator("#reset-submit").click()
    expect(page.get_by_role("alert")).to_be_visible()
    look(page, f"reset-weak-{language}")
    page.locator("#new-password").fill(NEW)
    page.locator("#reset-submit").click()
    expect(page.locator("#reset-done")).to_be_visible()
    look(page, f"reset-done-{language}")
    sign_in_anew(page, email)

    page.goto(social.mailed(email, "/reset"))
    expect(page.locator("#error-page")).to_be_visible()
    look(page, f"reset-over-{language}")
    page.locator("#forgot-again").click()
    expect(page.locator("#forgot-page")).to_be_visible()


def test_s12_why_the_mail_has_not_come(social: Social, page: Page, language: str) -> None:
    """For who has an account and who has none the page says the same: their mail servers have taken the mail, or refused it."""
    known, unknown, refused = (f"{name}-{language}@example.org" for name in ("known", "nobody", "refused"))
    social.add_person(known)
    page.goto(f"{social.provider.issuer}/help/no-mail")
    expect(page.locator("#no-mail-page")).to_contain_text("no-reply@")
    for email in (known, unknown):
        page.goto(f"{social.provider.issuer}/forgot")
        page.locator("#username").fill(email)
        page.locator("#forgot-submit").click()
        expect(page.get_by_role("status")).to_contain_text(email)
    social.mailed(known, "/reset")
    social.has_mail(unknown)
    social.mails.answers["RCPT"] = ["550 5.1.1 no such user"]
    page.goto(f"{social.provider.issuer}/forgot")
    page.locator("#username").fill(refused)
    page.locator("#forgot-submit").click()
    page.locator("#no-mail").click()
    rows = page.locator("ul.rows li")

    def said(email: str) -> str:
        page.reload()
        return rows.filter(has_text=email).locator("span").first.inner_text()

    wait_until(lambda: {"en": "refused", "fr": "refusé"}[language] in said(refused), "the mail is refused", patience=60)
    assert said(known) == said(unknown) != said(refused)
    expect(rows).to_have_count(3)
    look(page, f"no-mail-{language}")
    page.locator("#forgot-again").click()
    expect(page.locator("#forgot-page")).to_be_visible()


def test_a_recovery_address_is_named_proved_used_and_taken_back(social: Social, page: Page, language: str) -> None:
    email, home = f"two-mailboxes-{language}@example.org", f"at-home-{language}@example.net"
    social.add_person(email)
    social.start(page)
    page.locator("#username").fill(email)
    page.locator("#login-submit").click()
    page.locator("#password").fill(PASSWORD)
    page.locator("#login-submit").click()
    expect(page.locator("#signed-in")).to_be_visible()

    page.goto(f"{social.provider.issuer}/me/recovery")
    look(page, f"recovery-{language}")
    page.locator("#username").fill(home)
    page.locator("#recovery-submit").click()
    expect(page.get_by_role("status")).to_contain_text(home)
    page.goto(social.mailed(home, "/me/recovery/mail"))
    look(page, f"recovery-confirm-{language}")
    page.locator("#recovery-confirm").click()
    expect(page.get_by_role("status")).to_be_visible()
    page.goto(f"{social.provider.issuer}/me/recovery")
    expect(page.locator("dl")).to_contain_text(home)
    look(page, f"recovery-set-{language}")

    page.goto(f"{social.provider.issuer}/forgot")
    page.locator("#username").fill(email)
    page.locator("#forgot-submit").click()
    page.goto(social.mailed(home, "/reset"))
    expect(page.locator("#reset-page")).to_contain_text(email)

    page.goto(social.mailed(email, "/me/recovery/undo"))
    look(page, f"recovery-undo-{language}")
    page.locator("#recovery-undo").click()
    expect(page.get_by_role("status")).to_be_visible()
    look(page, f"recovery-undone-{language}")
    page.goto(f"{social.provider.issuer}/me")
    expect(page.locator("#login-page")).to_be_visible()  # everybody is signed out


def test_all_of_it_works_without_script(social: Social, browser: Browser) -> None:
    email = "without-script@example.org"
    social.add_person(email)
    with browser.new_context(
        extra_http_headers=elsewhere(), ignore_https_errors=True, java_script_enabled=False
    ) as context:
        page = context.new_page()
        to_forgot(social, page, email)
        page.locator("#forgot-submit").click()
        page.locator("#no-mail").click()
        expect(page.locator("#no-mail-page")).to_contain_text(email)
        page.goto(social.mailed(email, "/reset"))
        assert page.url == f"{social.provider.issuer}/reset"
        page.locator("#new-password").fill(NEW)
        page.locator("#reset-submit").click()
        sign_in_anew(page, email)


def test_the_keyboard_is_enough(social: Social, browser: Browser) -> None:
    email = "by-keyboard@example.org"
    social.add_person(email)
    with browser.new_context(extra_http_headers=elsewhere(), ignore_https_errors=True) as context:
        page = context.new_page()
        social.start(page)
        press(page, "#forgot-password")
        expect(page.locator("#username")).to_be_focused()
        page.keyboard.type(email)
        press(page, "#forgot-submit")
        press(page, "#no-mail")
        page.wait_for_url("**/help/no-mail*")
        page.goto(social.mailed(email, "/reset"))
        expect(page.locator("#new-password")).to_be_focused()
        page.keyboard.type("nope")
        page.keyboard.press("Enter")
        tab_to(page, "#new-password")
        page.keyboard.press("ControlOrMeta+A")
        page.keyboard.type(NEW)
        page.keyboard.press("Enter")
        sign_in_anew(page, email)
