"""S14, My account in a real browser: who one is, products, sessions, what has happened, one's data, and the end of it; in both
languages, with script and without, by keyboard, in light and dark."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from idp.database import Database
from idp.key_ring import KeyRing
from idp.models import LogoutNotice, OutboxMail
from idp.sealing import Sealer
from tests import canaries
from tests.journey import PASSWORD
from tests.journeys.conftest import World
from tests.journeys.test_password_login import look, sign_in
from tests.journeys.test_social_detours import press, tab_to

pytestmark = pytest.mark.needs("chromium")

LOCALES = {"en": "en-GB", "fr": "fr-FR"}


def arrive(world: World, page: Page, email: str) -> None:
    """A new person comes to My account without any product."""
    world.provider.add_person(email, "Carol Example")
    go_home(world, page, email)


def go_home(world: World, page: Page, email: str) -> None:
    page.goto(f"{world.provider.issuer}/me")
    sign_in(page, email=email)
    expect(page.locator("#sign-out")).to_be_visible()


@contextmanager
def another_browser(
    browser: Browser, language: str, *, script: bool = True, zone: str = "Europe/Berlin"
) -> Iterator[Page]:
    with browser.new_context(
        ignore_https_errors=True, java_script_enabled=script, locale=LOCALES[language], timezone_id=zone
    ) as context:
        yield context.new_page()


def told(world: World) -> dict[str, Any]:
    """What the product that was opened last hears of the person from now on."""
    token = world.webinar.seen[-1]["access_token"]
    return dict(world.provider.get("/userinfo", headers={"Authorization": f"Bearer {token}"}).json())


def look_both(page: Page, name: str) -> None:
    """As ``look``, and once more in the dark."""
    look(page, name)
    page.emulate_media(color_scheme="dark")
    look(page, f"{name}-dark")
    page.emulate_media(color_scheme="light")


def open_product(world: World, page: Page, email: str) -> str:
    """Sign in to the product; the person's ``sub`` there."""
    page.goto(f"{world.webinar.address}/start")
    sign_in(page, email=email)
    expect(page.locator("#signed-in")).to_be_visible()
    return str(world.webinar.seen[-1]["claims"]["sub"])


def is_told_of_the_end(world: World, sub: str) -> bool:
    """Whether the product that was open is to hear that its sessions are over."""
    database = Database(world.provider.config)
    with database.reading() as db:
        notices = db.scalars(select(LogoutNotice.client_id).where(LogoutNotice.sub == sub)).all()
    database.close()
    return set(notices) == {"webinar"}


def mailed_link(world: World, email: str) -> str:
    """The link in the mail that tells of the closed account."""
    config = world.provider.config
    keys = KeyRing(config.keys, config.jwks_max_age)
    database = Database(config)
    with database.reading() as db:
        mail = db.scalars(
            select(OutboxMail).where(OutboxMail.name == "account_closed", OutboxMail.recipient == email)
        ).one()
    database.close()
    sealer = Sealer(keys.derive("mail"), secrets.token_bytes)
    link = sealer.open(mail.values["sealed"], f"account_closed {email}")["link"]
    canaries.register(link.partition("t=")[2], "link in a mail")
    return f"{world.provider.issuer}{link}"


def test_s14_who_one_is_is_told_to_products(world: World, page: Page, language: str) -> None:
    email = f"profile-{language}@example.org"
    arrive(world, page, email)
    expect(page.locator("html")).to_have_attribute("lang", language)
    look_both(page, f"my-account-new-{language}")
    page.goto(f"{world.webinar.address}/start")
    expect(page.locator("#signed-in")).to_be_visible()  # without another sign-in
    assert told(world)["name"] == "Carol Example"

    page.goto(f"{world.provider.issuer}/me")
    page.locator("#change-profile").click()
    expect(page.locator("#own-profile-page")).to_be_visible()
    for field, word in (("name", "name"), ("given_name", "given-name"), ("family_name", "family-name")):
        expect(page.locator(f"#{field}")).to_have_attribute("autocomplete", word)
    page.locator("#given_name").fill("Zoë")
    page.locator("#family_name").fill("Ångström")
    page.locator("#name").fill("Zoë Ångström")
    page.locator("#zoneinfo").select_option("Europe/Paris")
    look_both(page, f"my-profile-{language}")
    page.locator("#profile-save").click()
    expect(page.get_by_role("status")).to_be_visible()
    expect(page.locator("#zoneinfo")).to_have_value("Europe/Paris")
    claims = told(world)
    wanted = {"name": "Zoë Ångström", "given_name": "Zoë", "family_name": "Ångström", "zoneinfo": "Europe/Paris"}
    assert {name: claims[name] for name in wanted} == wanted

    page.locator("#name").fill("Zoë\u202eÅngström")
    page.locator("#profile-save").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("#name")).to_have_attribute("aria-invalid", "true")
    look(page, f"my-profile-wrong-{language}")
    other = {"en": "fr", "fr": "en"}[language]
    page.locator("#name").fill("Zoë Ångström")
    page.locator("#locale").select_option(other)
    page.locator("#profile-save").click()
    expect(page.locator("html")).to_have_attribute("lang", other)
    assert told(world)["locale"] == other
    page.locator("#back-to-me").click()
    expect(page.get_by_text("Zoë Ångström")).to_be_visible()


def test_s14_products_sessions_and_what_has_happened(world: World, browser: Browser, page: Page, language: str) -> None:
    email = f"products-{language}@example.org"
    arrive(world, page, email)
    page.goto(f"{world.partner.address}/start")
    page.locator("#consent-allow").click()
    expect(page.locator("#signed-in")).to_be_visible()
    with another_browser(browser, language) as phone:
        go_home(world, phone, email)
        page.goto(f"{world.provider.issuer}/me")
        expect(page.locator("section[aria-labelledby=sessions] li")).to_have_count(2)
        look_both(page, f"my-account-{language}")
        page.locator("section[aria-labelledby=products] li").filter(has_text="Partner Statistics").get_by_role(
            "button"
        ).click()
        expect(page.get_by_role("status")).to_be_visible()
        expect(page.locator("section[aria-labelledby=products] form")).to_have_count(0)
        ending = page.locator("form[action='/me/sessions/end']")
        expect(ending).to_have_count(1)
        ending.get_by_role("button").click()
        expect(page.get_by_role("status")).to_be_visible()
        expect(ending).to_have_count(0)
        phone.reload()
        expect(phone.locator("#login-page")).to_be_visible()
    page.locator("#to-activity").click()
    codes = page.locator("code")
    expect(codes.first).to_be_visible()
    assert all(re.fullmatch(r"[0-9A-Z]{4}-[0-9A-Z]{4}", code) for code in codes.all_inner_texts())
    look_both(page, f"my-activity-{language}")
    page.goto(f"{world.provider.issuer}/me")
    page.locator("#sign-out-everywhere").click()
    expect(page.locator("#logged-out")).to_be_visible()


def take_data(page: Page, folder: Path) -> dict[str, Any]:
    """Press the button; what is in the file."""
    with page.expect_download() as download:
        page.locator("#data-download").click()
    assert download.value.suggested_filename.endswith(".json")
    file = folder / "my-data.json"
    download.value.save_as(file)
    text = file.read_text(encoding="utf-8")
    canaries.show(text, "my data")
    return dict(json.loads(text))


def close(page: Page, email: str) -> None:
    page.locator("#close-page #username").fill(email)
    page.locator("#close-account").click()


def test_s14_ones_data_and_the_end_of_an_account(world: World, page: Page, language: str, tmp_path: Path) -> None:
    email = f"leaving-{language}@example.org"
    world.provider.add_person(email, "Carol Example")
    sub = open_product(world, page, email)
    page.goto(f"{world.provider.issuer}/me")
    page.locator("#to-data").click()
    expect(page.locator("#own-data-page")).to_be_visible()
    look_both(page, f"my-data-{language}")
    data = take_data(page, tmp_path)
    assert data["account"]["sub"] == sub
    assert [one["address"] for one in data["addresses"]] == [email]

    page.locator("#back-to-me").click()
    page.locator("#to-close").click()
    expect(page.locator("#close-page")).to_contain_text(email)
    expect(page.locator("#close-page")).to_contain_text("GoToWebinar")
    look_both(page, f"close-{language}")
    close(page, "somebody-else@example.org")
    expect(page.get_by_role("alert")).to_be_visible()
    look(page, f"close-wrong-{language}")
    close(page, email.upper())
    expect(page.locator("#closed-page")).to_contain_text(email)
    look_both(page, f"closed-{language}")
    assert is_told_of_the_end(world, sub)
    page.goto(f"{world.provider.issuer}/me")
    expect(page.locator("#login-page")).to_be_visible()
    sign_in(page, email=email)
    expect(page.get_by_role("alert")).to_be_visible()

    page.goto(mailed_link(world, email))
    expect(page.locator("#reopen-page")).to_contain_text(email)
    assert page.url == f"{world.provider.issuer}/me/reopen"  # the secret has left the address, and the history
    look_both(page, f"reopen-{language}")
    page.locator("#reopen").click()
    expect(page.locator("#reopened-page")).to_be_visible()
    look_both(page, f"reopened-{language}")
    page.goto(mailed_link(world, email))
    expect(page.locator("#error-page")).to_be_visible()
    assert open_product(world, page, email) == sub  # whole again


def test_all_of_it_works_without_script(world: World, browser: Browser, language: str, tmp_path: Path) -> None:
    email = f"no-script-{language}@example.org"
    with another_browser(browser, language, script=False) as page:
        arrive(world, page, email)
        page.locator("#change-profile").click()
        page.locator("#name").fill("Zoë Ångström")
        expect(page.locator("#zoneinfo")).to_have_value("")
        page.locator("#zoneinfo").select_option("America/New_York")
        page.locator("#profile-save").click()
        expect(page.get_by_role("status")).to_be_visible()
        expect(page.locator("#zoneinfo")).to_have_value("America/New_York")
        page.locator("#back-to-me").click()
        page.locator("#to-data").click()
        assert take_data(page, tmp_path)["account"]["claims"]["name"] == "Zoë Ångström"
        page.goto(f"{world.provider.issuer}/me")
        page.locator("#to-close").click()
        close(page, email)
        expect(page.locator("#closed-page")).to_be_visible()
        page.goto(mailed_link(world, email))
        page.locator("#reopen").click()
        expect(page.locator("#reopened-page")).to_be_visible()


def test_the_keyboard_is_enough(world: World, browser: Browser) -> None:
    email = "keys-only@example.org"
    world.provider.add_person(email, "Carol Example")
    with another_browser(browser, "en") as page:
        page.goto(f"{world.provider.issuer}/me")
        page.keyboard.type(email)
        page.keyboard.press("Enter")
        expect(page.locator("#password")).to_be_focused()
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        press(page, "#change-profile")
        tab_to(page, "#name")
        page.keyboard.press("ControlOrMeta+A")
        page.keyboard.type("Carol by keyboard")
        tab_to(page, "#zoneinfo")
        expect(page.locator("#zoneinfo")).to_have_value(
            "Europe/Berlin"
        )  # where the browser is, as long as nothing was said
        page.keyboard.type("Kyiv")
        press(page, "#profile-save")
        expect(page.get_by_role("status")).to_be_visible()
        expect(page.locator("#zoneinfo")).to_have_value("Europe/Kyiv")
        press(page, "#back-to-me")
        press(page, "#to-close")
        tab_to(page, "#close-page #username")
        page.keyboard.type(email)
        page.keyboard.press("Enter")
        expect(page.locator("#closed-page")).to_be_visible()
