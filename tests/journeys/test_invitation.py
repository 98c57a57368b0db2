"""An invitation in a real browser with a real mail server: by the command, in both languages, with script and without, to each way in."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from idp.cli.company_arguments import connections_of
from idp.database import Database
from tests.fakes.company_idp import CompanyIdp
from tests.fakes.company_site import CompanySite
from tests.fakes.relying_party import running
from tests.guests import FIRST
from tests.journeys.conftest import Company, Social
from tests.journeys.test_company_login import let_in
from tests.journeys.test_password_login import look, sign_in
from tests.journeys.test_social_detours import press, tab_to
from tests.saml_parties import add_customer

pytestmark = pytest.mark.needs("chromium")

# As the mails, which the help pages describe, say it.
ACCEPT = {"en": "Accept and sign in", "fr": "Accepter et se connecter"}
SUBJECT = {"en": "localhost: an account was created for you", "fr": "localhost\u00a0: un compte a été créé pour vous"}


@pytest.fixture
def page(social_page: Page) -> Page:
    return social_page


@pytest.fixture(scope="module")
def companies(social_world: Social) -> Iterator[dict[str, Company]]:
    """Two at which SSO is optional and required, each on a site of its own."""
    config, made = social_world.provider.config, {}
    sites = {sso: CompanySite(CompanyIdp(f"https://{sso}.test/saml")) for sso in ("optional", "required")}
    with (
        running(sites["optional"], "idp.optional.test", social_world.authority),
        running(sites["required"], "idp.required.test", social_world.authority),
    ):
        for sso, site in sites.items():
            site.idp.sso_url, site.idp.slo_url = f"{site.address}/sso", f"{site.address}/slo"
            database = Database(config)
            customer = add_customer(
                database,
                connections_of(config),
                site.idp,
                f"{sso}.example",
                name=f"{sso.capitalize()} Ltd",
                sso=sso,
                jit=False,
                now=time.time(),
                random=secrets.token_bytes,
            )
            database.close()
            made[sso] = Company(site, customer, f"{sso}.example")
        yield made


def invite(social: Social, email: str, language: str, *more: str) -> str:
    """As an operator does; the link in the mail."""
    social.provider.idp("people", "invite", email, "--language", language, *more)
    return social.mailed(email, "/invite")


def invite_member(social: Social, company: Company, email: str, language: str) -> str:
    social.provider.idp("companies", "members", "invite", company.domain, email, "--language", language)
    return social.mailed(email, "/invite")


def is_theirs(page: Page, email: str) -> None:
    """Signed in, at the person's own pages."""
    page.wait_for_url("**/me")
    expect(page.locator("main")).to_contain_text(email)


def test_s2_an_invitation_ends_in_a_chosen_password(social: Social, page: Page, language: str) -> None:
    email = f"guest-{language}@example.org"
    older = invite(social, email, language)
    social.mails.received.clear()
    social.provider.idp("people", "resend", email)
    link = social.mailed(email, "/invite")
    [mail] = [one for one in social.mails.received if one.recipient == email]
    assert str(mail.message["Subject"]) == SUBJECT[language]
    assert "invite sent 2 times" in social.provider.idp("people", "list")

    page.goto(older)
    expect(page.locator("#error-page")).to_be_visible()
    look(page, f"invite-over-{language}")

    page.goto(link)
    assert page.url == f"{social.provider.issuer}/invite"  # the secret has left the address, and the history
    expect(page.locator("#invited")).to_have_text(email)
    expect(page.locator("#new-password")).to_have_attribute("autocomplete", "new-password")
    expect(page.locator("#invite-submit")).to_have_text(ACCEPT[language])
    look(page, f"invite-{language}")
    page.locator("#new-password").fill("password1")
    page.locator("#terms").check()
    page.locator("#invite-submit").click()
    expect(page.get_by_role("alert")).to_be_visible()
    look(page, f"invite-weak-{language}")
    page.locator("#new-password").fill(FIRST)
    page.locator("#terms").check()
    page.locator("#invite-submit").click()
    is_theirs(page, email)
    page.context.clear_cookies()
    page.goto(f"{social.provider.issuer}/login")
    sign_in(page, FIRST, email)
    is_theirs(page, email)


def test_an_invitation_ends_in_a_social_account_with_another_address(social: Social, page: Page, language: str) -> None:
    email = f"social-guest-{language}@example.org"
    social.person_at("google", f"private-{language}@gmail.example")
    page.goto(invite(social, email, language))
    page.locator("#social-google").click()
    expect(page.locator("#invite-social-page")).to_contain_text(f"private-{language}@gmail.example")
    look(page, f"invite-social-{language}")
    page.locator("#terms").check()
    page.locator("#invite-social-submit").click()
    is_theirs(page, email)
    page.goto(social.mailed(email, "/me/links/undo"))  # the mail that tells of the link, with the way back


@pytest.mark.parametrize("sso", ["optional", "required"])
def test_s2_an_invitation_ends_in_the_companys_own_sign_in(
    social: Social, companies: dict[str, Company], page: Page, language: str, sso: str
) -> None:
    company = companies[sso]
    email = f"alice-{language}@{company.domain}"
    link = invite_member(social, company, email, language)
    page.goto(link)
    expect(page.locator("#invite-page")).to_contain_text(f"{sso.capitalize()} Ltd")
    expect(page.locator("#new-password")).to_have_count(1 if sso == "optional" else 0)
    expect(page.locator("#social-google")).to_have_count(1 if sso == "optional" else 0)
    look(page, f"invite-company-{sso}-{language}")
    page.locator("#invite-company").click()
    page.locator("#login-submit").click()
    let_in(page, email)
    is_theirs(page, email)
    listed = social.provider.idp("companies", "members", "list", company.domain)
    assert f"{email}  active" in listed
    page.goto(link)
    expect(page.locator("#error-page")).to_be_visible()


def test_all_of_it_works_without_script(social: Social, companies: dict[str, Company], browser: Browser) -> None:
    email, worker = "without-script-guest@example.org", f"without-script@{companies['required'].domain}"
    with browser.new_context(ignore_https_errors=True, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(invite(social, email, "en"))
        page.locator("#new-password").fill(FIRST)
        page.locator("#terms").check()
        page.locator("#invite-submit").click()
        is_theirs(page, email)
        context.clear_cookies()
        page.goto(invite_member(social, companies["required"], worker, "en"))
        page.locator("#invite-company").click()
        page.locator("#login-submit").click()
        let_in(page, worker)
        page.locator("#carry").click()
        is_theirs(page, worker)


def test_the_keyboard_is_enough(social: Social, browser: Browser) -> None:
    email = "by-keyboard-guest@example.org"
    with browser.new_context(ignore_https_errors=True) as context:
        page = context.new_page()
        page.goto(invite(social, email, "en"))
        expect(page.locator("#new-password")).to_be_focused()
        page.keyboard.type(FIRST)
        tab_to(page, "#terms")
        page.keyboard.press("Space")
        press(page, "#invite-submit")
        is_theirs(page, email)
