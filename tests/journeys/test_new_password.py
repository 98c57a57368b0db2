"""A person chooses another password in a real browser: told what is wrong with a weak one, and by mail of the change."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import canaries
from tests.backends import wait_until
from tests.journey import PASSWORD
from tests.journeys.conftest import Social
from tests.journeys.test_password_login import look, sign_in

pytestmark = pytest.mark.needs("chromium")

NEW = canaries.register("vierzig grüne Gärten am Fluss", "password")
WORDS = {
    "en": {
        "weak": "This password is easy to guess.",
        "about": "Others could guess this password",
        "show": "Show New password",
        "done": "You have a new password.",
        "mail": "Your account has a new password and",
    },
    "fr": {
        "weak": "Ce mot de passe est facile à deviner.",
        "about": "On pourrait deviner ce mot de passe",
        "show": "Afficher Nouveau mot de passe",
        "done": "Votre nouveau mot de passe est enregistré.",
        "mail": "Votre compte a un nouveau mot de passe et",
    },
}


def change(social: Social, page: Page, words: dict[str, str], name: str, *, script: bool) -> None:
    field = page.locator("#new-password")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("autocomplete", "new-password")
    if script:  # axe needs it
        look(page, name)

    field.fill("Bonjour2026!")
    if script:
        button = page.get_by_role("button", name=words["show"])
        button.click()
        expect(field).to_have_attribute("type", "text")
    else:
        expect(page.get_by_role("button")).to_have_count(1)
    page.locator("#password-submit").click()
    expect(page.get_by_role("alert")).to_contain_text(words["weak"])
    expect(page.get_by_role("alert").get_by_role("listitem").first).to_be_visible()
    expect(field).to_have_attribute("type", "password")
    expect(field).to_have_value("")
    expect(field).to_be_focused()
    if script:
        look(page, f"{name}-weak")

    field.fill("CarolExample1")
    page.locator("#password-submit").click()
    expect(page.get_by_role("alert")).to_contain_text(words["about"])

    field.fill(NEW)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text(words["done"])


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_a_person_changes_their_password(social: Social, browser: Browser, language: str, script: bool) -> None:
    words, email = WORDS[language], f"changes-{language}-{script}@example.org".lower()
    social.add_person(email)
    locale = {"en": "en-GB", "fr": "fr-FR"}[language]
    options = {"ignore_https_errors": True, "locale": locale}
    with (
        browser.new_context(**options, java_script_enabled=script) as context,  # type: ignore[arg-type] # as named
        browser.new_context(**options) as elsewhere,  # type: ignore[arg-type] # as named
    ):
        page, other = context.new_page(), elsewhere.new_page()
        for tab in (other, page):
            tab.goto(f"{social.provider.issuer}/me")
            sign_in(tab, email=email)
            expect(tab).to_have_url(f"{social.provider.issuer}/me")
        page.locator("a[href='/me/password']").first.click()
        change(social, page, words, f"new-password-{language}", script=script)

        other.reload()
        expect(other.locator("#login-page")).to_be_visible()
        sign_in(other, PASSWORD, email)
        expect(other.get_by_role("alert")).to_be_visible()
        other.locator("#password").fill(NEW)
        other.locator("#login-submit").click()
        expect(other).to_have_url(f"{social.provider.issuer}/me")

    def has_come() -> bool:
        told = [mail for mail in social.mails.received if mail.recipient == email and "/forgot" in mail.text()]
        return any(words["mail"] in mail.text() for mail in told)

    wait_until(has_come, f"a mail to {email} that tells of the change", patience=60)
