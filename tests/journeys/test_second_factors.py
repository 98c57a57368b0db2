"""Second factors in a real browser: an authenticator app added, asked for, remembered, demanded and removed; a passkey as the second."""

from __future__ import annotations

import time

import pyotp
import pytest
from playwright.sync_api import Page, expect

from idp.database import Database
from idp.key_ring import KeyRing
from idp.models import Email, OutboxMail
from idp.sealing import Sealer
from tests.journeys.conftest import Company, World
from tests.journeys.test_passkeys import Device, add_passkey, browser, context, device, leave_session
from tests.journeys.test_password_login import look, sign_in
from tests.saml_parties import belong, decide_for

__all__ = ["browser", "context", "device"]
pytestmark = pytest.mark.needs("chromium")


def show_code(page: Page, secret: str, steps: int = 0) -> None:
    """Type what the app shows, or showed some steps (of 30 seconds) ago, while there is time to send it."""
    while time.time() % 30 > 22:
        page.wait_for_timeout(500)
    page.locator("#code").fill(pyotp.TOTP(secret).at(int(time.time()) + 30 * steps))
    page.keyboard.press("Enter")


def key_of(page: Page) -> str:
    """What the app takes over."""
    expect(page.locator("svg.qr")).to_be_visible()
    return page.locator("#totp-key").inner_text().replace(" ", "")


def test_an_app_is_added_asked_for_remembered_and_removed(world: World, page: Page, language: str) -> None:
    email = f"second-{language}@example.org"
    world.provider.add_person(email, "Carol Example")
    page.goto(f"{world.provider.issuer}/me")
    sign_in(page, email=email)
    page.locator("#to-factors").click()
    look(page, f"factors-none-{language}")
    page.locator("#add-app").click()
    secret = key_of(page)
    look(page, f"factors-app-{language}")
    page.locator("#code").fill("000000")
    page.locator("#app-submit").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert key_of(page) == secret
    look(page, f"factors-app-wrong-{language}")
    show_code(page, secret, -1)
    expect(page.locator("#own-codes-page")).to_be_visible()
    codes = page.locator("#codes").inner_text().split()
    assert len(codes) == 10
    look(page, f"factors-codes-{language}")
    page.locator("#codes-kept").click()
    expect(page.locator("#to-factors")).to_be_visible()

    leave_session(page)
    page.goto(f"{world.webinar.address}/start")
    sign_in(page, email=email)
    expect(page.locator("#second-page")).to_be_visible()
    expect(page.locator("#code")).to_be_focused()
    expect(page.locator("#code")).to_have_attribute("autocomplete", "one-time-code")
    look(page, f"second-{language}")
    page.locator("#code").fill("000000")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    look(page, f"second-wrong-{language}")
    page.locator("#remember").check()
    show_code(page, secret)
    expect(page.locator("#signed-in")).to_be_visible()
    claims = world.webinar.seen[-1]["claims"]
    assert (claims["amr"], claims["acr"]) == (["pwd", "otp", "mfa"], "2")

    leave_session(page)
    page.goto(f"{world.webinar.address}/start")
    sign_in(page, email=email)
    expect(page.locator("#signed-in")).to_be_visible()
    assert world.webinar.seen[-1]["claims"]["acr"] == "1"

    # Taken away: for that the second is asked for also where it is remembered; a recovery code will do.
    page.goto(f"{world.provider.issuer}/me/factors")
    sign_in(page, email=email)
    page.locator("#code").fill(codes[0])
    page.keyboard.press("Enter")
    expect(page.locator("#factors-page")).to_be_visible()
    look(page, f"factors-remembered-{language}")
    page.locator("#remove-app").click()
    look(page, f"factors-remove-{language}")
    page.locator("#remove-submit").click()
    expect(page.get_by_role("status")).to_be_visible()
    expect(page.locator("#add-app")).to_be_visible()


def test_a_company_demands_one_and_it_is_set_up_on_the_way(
    world: World, company: Company, page: Page, language: str
) -> None:
    email = f"demanded-{language}@example.org"
    world.provider.add_person(email, "Carol Example")
    config = world.provider.config
    database = Database(config)
    with database.reading() as db:
        account_id = db.query(Email).filter_by(canonical=email).one().account_id
    belong(database, company.customer, account_id, now=time.time())
    decide_for(database, company.customer, doors=["password", "social"], second_factor_from=int(time.time()) - 1)
    page.goto(f"{world.webinar.address}/start")
    sign_in(page, email=email)
    expect(page.locator("#mailed-code-page")).to_be_visible()
    look(page, f"mailed-code-{language}")
    page.locator("#code").fill(_mailed(world, database, email))
    page.keyboard.press("Enter")
    expect(page.locator("#setup-page")).to_be_visible()
    look(page, f"second-setup-{language}")
    show_code(page, key_of(page))
    expect(page.locator("#codes-page")).to_be_visible()
    look(page, f"second-codes-{language}")
    page.locator("#codes-kept").click()
    expect(page.locator("#signed-in")).to_be_visible()
    assert world.webinar.seen[-1]["claims"]["acr"] == "2"
    decide_for(database, company.customer, second_factor_from=None)
    database.close()


def test_a_passkey_is_the_second_factor(
    world: World, company: Company, page: Page, device: Device, language: str
) -> None:
    email = f"second-key-{language}@example.org"
    world.provider.add_person(email, "Carol Example")
    add_passkey(world, page, device, email, "Blue key")
    page.goto(f"{world.provider.issuer}/me/factors/app")
    secret = key_of(page)
    show_code(page, secret, -1)
    expect(page.locator("#own-codes-page")).to_be_visible()
    leave_session(page)
    page.goto(f"{world.webinar.address}/start")
    sign_in(page, email=email)
    expect(page.locator("#second-page #passkey")).to_be_visible()
    look(page, f"second-passkey-{language}")
    device.willing()
    page.locator("#passkey").click()
    expect(page.locator("#signed-in")).to_be_visible()
    claims = world.webinar.seen[-1]["claims"]
    assert (claims["amr"], claims["acr"]) == (["pwd", "hwk", "user", "mfa"], "2")


def _mailed(world: World, database: Database, email: str) -> str:
    keys = KeyRing(world.provider.config.keys, world.provider.config.jwks_max_age)
    with database.reading() as db:
        mail = db.query(OutboxMail).filter_by(name="sign_in_code", recipient=email).one()
    opened = Sealer(keys.derive("mail"), lambda size: bytes(size)).open(mail.values["sealed"], f"sign_in_code {email}")
    return opened["code"]
