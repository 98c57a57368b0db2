"""Passkeys in a real browser with a device of its own: made, used from the button and from the field's suggestions, taken away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from idp.database import Database
from tests.browser import chromium
from tests.journeys.conftest import World
from tests.journeys.test_password_login import look, sign_in
from tests.races.test_invitation_at_once import host_for, invited

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture(scope="module")
def browser(world: World) -> Iterator[Browser]:
    """One that believes the provider's certificate: where it only looks away, there are no passkeys."""
    with chromium("MAP *.test 127.0.0.1", trusted=Path(world.provider.environ["IDP_TLS_CERTIFICATE"])) as browser:
        yield browser


@pytest.fixture
def context(browser: Browser, language: str) -> Iterator[BrowserContext]:
    locale = {"en": "en-GB", "fr": "fr-FR"}[language]
    context = browser.new_context(ignore_https_errors=True, locale=locale)  # the products'
    yield context
    context.close()


class Device:
    """A virtual authenticator in a tab. It does nothing until it is ``willing``, as a person who does not touch it."""

    def __init__(self, page: Page) -> None:
        self.cdp = page.context.new_cdp_session(page)
        self.cdp.send("WebAuthn.enable")
        options: dict[str, Any] = {
            "protocol": "ctap2",
            "ctap2Version": "ctap2_1",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": False,
        }
        self.id = self.cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]

    def willing(self, willing: bool = True) -> None:
        self._send("setAutomaticPresenceSimulation", enabled=willing)

    def recognizes(self, recognizes: bool) -> None:
        self._send("setUserVerified", isUserVerified=recognizes)

    def keys(self) -> list[dict[str, Any]]:
        return list(self._send("getCredentials")["credentials"])

    def forget(self) -> None:
        self._send("clearCredentials")

    def _send(self, what: str, **more: Any) -> dict[str, Any]:
        return dict(self.cdp.send(f"WebAuthn.{what}", {"authenticatorId": self.id, **more}))


@pytest.fixture
def device(page: Page) -> Device:
    return Device(page)


def leave_session(page: Page) -> None:
    """Come back another day."""
    page.context.clear_cookies(name="__Host-idp_session")


def go_to_passkeys(world: World, page: Page, email: str) -> None:
    """By the password, from My account."""
    page.goto(f"{world.provider.issuer}/me")
    sign_in(page, email=email)
    page.locator("a[href='/me/passkeys']").click()


def add_passkey(world: World, page: Page, device: Device, email: str, name: str) -> None:
    go_to_passkeys(world, page, email)
    expect(page.locator("#own-passkeys-page")).to_be_visible()
    page.locator("#name").fill(name)
    device.willing()
    page.locator("#passkey-add").click()
    expect(page.get_by_role("status").first).to_be_visible()
    expect(page.locator(".rows")).to_contain_text(name)
    device.willing(False)


def test_a_passkey_is_made_used_and_taken_away(world: World, page: Page, device: Device, language: str) -> None:
    email = f"passkey-{language}@example.org"
    world.provider.add_person(email, "Carol Example")
    go_to_passkeys(world, page, email)
    expect(page.locator("#passkey-add")).to_be_visible()
    expect(page.locator("[data-without-passkeys]")).to_be_hidden()
    look(page, f"passkeys-none-{language}")
    page.locator("#name").fill("Blue key")
    device.willing()
    page.locator("#name").press("Enter")  # does what the button does
    expect(page.locator(".rows")).to_contain_text("Blue key")
    look(page, f"passkeys-one-{language}")
    device.willing(False)
    [key] = device.keys()
    assert key["rpId"] == "login.provider.test" and key["isResidentCredential"]
    # The same device again says so.
    device.willing()
    page.locator("#passkey-add").click()
    expect(page.locator("#passkey-said")).not_to_be_empty()
    look(page, f"passkeys-known-{language}")
    device.willing(False)

    # From the button: no address, no password.
    leave_session(page)
    page.goto(f"{world.webinar.address}/start")
    expect(page.locator("#passkey")).to_be_visible()
    look(page, f"passkey-start-{language}")
    device.willing()
    page.locator("#passkey").click()
    expect(page.locator("#signed-in")).to_be_visible()
    claims = world.webinar.seen[-1]["claims"]
    assert (claims["amr"], claims["acr"]) == (["hwk", "user", "mfa"], "2")

    device.willing(False)
    leave_session(page)
    page.goto(f"{world.webinar.address}/start")
    expect(page.locator("#last-door")).to_be_visible()
    look(page, f"passkey-again-{language}")

    # Taken away: the device still shows it, and it opens nothing.
    go_to_passkeys(world, page, email)
    page.locator("a[href^='/me/passkeys/remove']").click()
    look(page, f"passkey-remove-{language}")
    page.locator("#remove-passkey").click()
    expect(page.get_by_role("status").first).to_be_visible()
    leave_session(page)
    device.willing()  # answers the field's suggestion by itself: nothing is pressed, or the press would meet the next page
    page.goto(f"{world.webinar.address}/start")
    expect(page.locator("#passkey-page")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_visible()
    look(page, f"passkey-unknown-{language}")
    with page.expect_navigation():
        page.locator("#passkey").click()
    expect(page.locator("#passkey-page")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_visible()


def test_the_field_for_the_address_suggests_it(world: World, page: Page, device: Device, language: str) -> None:
    """Chromium's device picks the suggestion at once when it is willing: nothing is pressed."""
    email = f"suggested-{language}@example.org"
    world.provider.add_person(email, "Carol Example")
    add_passkey(world, page, device, email, "Blue key")
    leave_session(page)
    page.goto(f"{world.webinar.address}/start")
    expect(page.locator("#passkey")).to_be_enabled()
    expect(page.locator("#username")).to_have_attribute("autocomplete", "username webauthn")
    device.willing()
    page.goto(f"{world.webinar.address}/start")
    expect(page.locator("#signed-in")).to_be_visible()
    assert world.webinar.seen[-1]["claims"]["acr"] == "2"


def test_who_is_not_recognized_reads_so_and_signs_in_otherwise(
    world: World, page: Page, device: Device, language: str
) -> None:
    email = f"unrecognized-{language}@example.org"
    world.provider.add_person(email, "Carol Example")
    add_passkey(world, page, device, email, "Blue key")
    leave_session(page)
    device.recognizes(False)
    page.goto(f"{world.webinar.address}/start")
    device.willing()
    page.locator("#passkey").click()
    expect(page.locator("#passkey-said")).not_to_be_empty()
    expect(page.locator("#passkey")).to_be_enabled()
    look(page, f"passkey-nothing-{language}")
    device.willing(False)
    sign_in(page, email=email)
    expect(page.locator("#signed-in")).to_be_visible()
    assert world.webinar.seen[-1]["claims"]["amr"] == ["pwd"]


def test_without_script_nothing_of_it_is_in_the_way(world: World, browser: Browser, language: str) -> None:
    locale = {"en": "en-GB", "fr": "fr-FR"}[language]
    with browser.new_context(ignore_https_errors=True, java_script_enabled=False, locale=locale) as context:
        page = context.new_page()
        page.goto(f"{world.webinar.address}/start")
        expect(page.locator("#passkey")).to_be_hidden()
        sign_in(page)
        expect(page.locator("#signed-in")).to_be_visible()
        page.goto(f"{world.provider.issuer}/me/passkeys")
        expect(page.locator("[data-without-passkeys]")).to_be_visible()
        expect(page.locator("#passkey-add")).to_be_hidden()


def test_an_invitation_is_taken_by_a_passkey(world: World, page: Page, device: Device, language: str) -> None:
    database = Database(world.provider.config)
    _, link = invited(database, f"passkey-guest-{language}@example.org", host_for(world.provider))
    database.close()
    page.goto(f"{world.provider.issuer}{link}")
    page.locator("#invite-passkey").click()
    expect(page.locator("#invite-passkey-page")).to_be_visible()
    look(page, f"invite-passkey-{language}")
    device.willing()
    with page.expect_navigation():
        page.locator("#passkey-add").click()
    expect(page.locator("#passkey")).to_be_visible()
    assert len(device.keys()) == 1
    with page.expect_navigation():
        page.locator("#passkey").click()
    expect(page.locator("#sign-out")).to_be_visible()
