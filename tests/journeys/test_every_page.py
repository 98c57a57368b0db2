"""Every page in a real browser: both languages, light and dark, wide and narrow, with script and without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.browser import axe, chromium, screenshots
from tests.sample_pages import PAGES, RECEIPT, show_samples

pytestmark = pytest.mark.needs("chromium")

HERE = "https://login.example"
PARTS = 8  # of all pages: each within the time that one test has


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def posted() -> list[str]:
    """Where forms were posted to, and whatever the browser complains about: its console must stay empty."""
    return []


def _serve(context: BrowserContext, app: Flask, posted: list[str]) -> Page:
    """Answer the browser from ``app`` in this process; what it asks others for fails."""

    def answer(route: Route) -> None:
        request = route.request
        leaves = request.is_navigation_request() and not request.url.startswith(HERE)
        if request.method == "POST" or leaves:  # the page stays
            route.fulfill(status=204)
            return
        if not request.url.startswith(HERE):
            posted.append(f"loaded {request.url}")
            route.abort()
            return
        given = app.test_client().get(request.url.removeprefix(HERE), base_url=HERE, headers=request.headers)
        route.fulfill(status=given.status_code, headers=dict(given.headers), body=given.get_data())

    context.route("**/*", answer)
    page = context.new_page()
    page.on(
        "request", lambda request: posted.append(request.url.removeprefix(HERE)) if request.method == "POST" else None
    )
    page.on("console", lambda message: posted.append(message.text))
    page.on("pageerror", lambda error: posted.append(str(error)))
    return page


@pytest.fixture
def samples(app: Flask) -> Flask:
    show_samples(app)
    return app


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_page_looks_right_and_axe_finds_nothing(
    browser: Browser, samples: Flask, posted: list[str], language: str, part: int
) -> None:
    with browser.new_context(locale=language, base_url=HERE) as context:
        page = _serve(context, samples, posted)
        for script in ("form_post", "passkeys"):  # the page stays; no sample has a challenge
            page.route(f"**/{script}.js*", lambda route: route.fulfill(content_type="text/javascript"))
        for name in sorted(PAGES)[part::PARTS]:
            page.emulate_media(color_scheme="light")
            page.goto(f"/sample/{name}")
            screenshots(page, f"{name}-{language}")
            axe(page)
            page.emulate_media(color_scheme="dark")
            axe(page)
    assert posted == []


def test_pages_work_without_script(browser: Browser, samples: Flask, posted: list[str]) -> None:
    with browser.new_context(java_script_enabled=False, base_url=HERE) as context:
        page = _serve(context, samples, posted)
        for name, button in (
            ("start-problem", "#login-submit"),
            ("consent", "#consent-allow"),
            ("logout-confirm", "#logout-confirm"),
            ("me", "#sign-out"),
            ("not-me", "#not-me"),
        ):
            page.goto(f"/sample/{name}")
            if name == "start-problem":
                page.fill("#username", "carol@example.org")
            with page.expect_request(lambda request: request.method == "POST"):
                page.click(button)
    assert posted == ["/login", "/consent", "/logout/confirm", "/me/sign-out", "/me/not-me"]


def test_the_answer_to_a_product_is_sent_by_script_and_by_hand_without(
    browser: Browser, samples: Flask, posted: list[str]
) -> None:
    for script in (True, False):
        with browser.new_context(java_script_enabled=script, base_url=HERE) as context:
            page = _serve(context, samples, posted)
            with page.expect_request("https://rp.example/cb"):
                page.goto("/sample/form-post", wait_until="commit")
                if not script:
                    page.get_by_role("button").click()
    assert posted == ["https://rp.example/cb"] * 2


def test_the_password_can_be_shown_and_is_hidden_again_when_it_is_sent(
    browser: Browser, samples: Flask, posted: list[str]
) -> None:
    with browser.new_context(base_url=HERE) as context:
        page = _serve(context, samples, posted)
        page.goto("/sample/password")
        field = page.locator("#password")
        expect(field).to_be_focused()
        field.fill("correct horse")
        page.get_by_role("button", name="Show Password").click()
        expect(field).to_have_attribute("type", "text")
        expect(field).to_be_focused()
        page.get_by_role("button", name="Hide Password").click()
        expect(field).to_have_attribute("type", "password")
        page.get_by_role("button", name="Show Password").click()
        with page.expect_request("**/login/password"):
            page.click("#login-submit")
        expect(field).to_have_attribute("type", "password")
    assert posted == ["/login/password"]


def test_a_double_click_sends_a_form_once(browser: Browser, samples: Flask, posted: list[str]) -> None:
    with browser.new_context(base_url=HERE) as context:
        page = _serve(context, samples, posted)
        page.goto("/sample/consent")
        page.evaluate("sent = 0; addEventListener('submit', event => { sent += !event.defaultPrevented; })")
        with page.expect_request("**/consent"):
            page.dblclick("#consent-allow")
        assert page.evaluate("sent") == 1


def test_the_receipt_code_can_be_copied(browser: Browser, samples: Flask, posted: list[str]) -> None:
    with browser.new_context(base_url=HERE, permissions=["clipboard-read", "clipboard-write"]) as context:
        page = _serve(context, samples, posted)
        page.goto("/sample/error")
        page.get_by_role("button", name="Copy").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == RECEIPT


def test_the_keyboard_alone_is_enough(browser: Browser, samples: Flask, posted: list[str]) -> None:
    with browser.new_context(base_url=HERE) as context:
        page = _serve(context, samples, posted)
        page.goto("/sample/start")
        page.keyboard.type("carol@example.org")
        with page.expect_request("**/login"):
            page.keyboard.press("Enter")
    assert posted == ["/login"]
