"""`make run`, as a newcomer meets it: the printed table, the sample product, the mailbox, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, Page

from tests import canaries
from tests.backends import wait_until
from tests.browser import axe, chromium, screenshots
from tests.needs import program

ROOT = Path(__file__).parents[2]
PORTS = (8000, 8002, 8003, 8004, 8005, 8025)
PRODUCT, ACME, MAILBOX = "http://localhost:8002", "http://localhost:8003", "http://localhost:8005"
STAND_INS = "http://localhost:8004"
KEYS = ("google", "facebook", "linkedin", "microsoft", "apple", "github")
ALICE = "alice@acme.example"

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.xdist_group("ports of make run")]


@dataclass
class Demo:
    """A running `make run`: its process, what it printed, where it keeps its things."""

    process: subprocess.Popen[str]
    printed: str
    data: Path

    @property
    def password(self) -> str:
        return self.password_of("carol@example.org")

    def password_of(self, email: str) -> str:
        row = re.search(rf"{re.escape(email)} +(\S+)", self.printed)
        assert row
        return row[1]


def start(folder: Path) -> Demo:
    environment = {
        name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    }
    environment |= {"IDP_DATA": str(folder / "data"), "IDP_KEYS": str(folder / "keys"), "IDP_LOG_LEVEL": "DEBUG"}
    process = subprocess.Popen(
        [program("setpriv"), "--pdeathsig", "TERM", program("make"), "--no-print-directory", "run"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    printed = ""
    for line in process.stdout:
        printed += line
        if "Ctrl-C" in line:
            break
    else:
        raise AssertionError(printed)
    demo = Demo(process, printed, folder / "data/demo")
    for email in ("carol@example.org", ALICE, "bob@acme.example", "admin@acme.example"):
        canaries.register(demo.password_of(email), "password")
    return demo


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def stop(demo: Demo, how: signal.Signals) -> None:
    demo.process.send_signal(how)
    demo.process.communicate(timeout=60)
    wait_until(lambda: all(is_free(port) for port in PORTS), "every port is free again")
    for log in demo.data.glob("*.log"):
        canaries.show(log.read_text(encoding="utf-8", errors="replace"), f"demo {log.stem}")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = start(tmp_path_factory.mktemp("demo"))
    try:
        yield running
    finally:
        if running.process.poll() is None:
            stop(running, signal.SIGTERM)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


def sign_in(page: Page, password: str) -> None:
    page.goto(PRODUCT)
    page.click("#sign-in")
    page.fill("#username", "carol@example.org")
    page.click("#login-submit")
    page.fill("#password", password)
    page.click("#login-submit")
    page.wait_for_selector("#welcome")


def test_it_prints_the_addresses_and_a_person_to_sign_in_as(demo: Demo) -> None:
    for address in ("http://localhost:8000", PRODUCT, ACME, STAND_INS, MAILBOX, "bob@example.net"):
        assert address in demo.printed
    assert re.fullmatch(r"\w{4}-\w{4}-\w{4}-\w{4}", demo.password)
    for file in ("passwords.json", "secrets.json", "social.json", "apple.json"):
        assert (demo.data / file).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
@pytest.mark.parametrize(
    ("locale", "button", "welcome"),
    [("en-GB", "Sign in", "Hello, Carol Example"), ("fr-FR", "Se connecter", "Bonjour, Carol Example")],
)
def test_a_person_signs_in_sees_the_claims_and_signs_out(
    demo: Demo, browser: Browser, locale: str, button: str, welcome: str, script: bool
) -> None:
    with browser.new_context(locale=locale, java_script_enabled=script) as context:
        page = context.new_page()
        page.goto(PRODUCT)
        assert page.inner_text("#sign-in") == button
        page.click("#sign-in")
        assert page.get_attribute("html", "lang") == locale[:2]
        page.fill("#username", "carol@example.org")
        page.click("#login-submit")
        page.fill("#password", demo.password)
        assert page.inner_text("#login-submit") == button
        page.click("#login-submit")
        page.wait_for_selector("#welcome")
        assert page.inner_text("#welcome") == welcome
        assert page.inner_text("#id_token-iss") == "http://localhost:8000"
        assert page.inner_text("#userinfo-email") == "carol@example.org"
        assert page.inner_text("#id_token-sub") == page.inner_text("#userinfo-sub")
        page.click("#sign-out")
        page.wait_for_selector("#sign-in")
        assert page.url == f"{PRODUCT}/"
        page.click("#sign-in")
        page.wait_for_selector("#username")  # signed out at the provider too


def at_acme(page: Page, demo: Demo, email: str = ALICE) -> None:
    """Sign in on Acme's own page."""
    page.wait_for_selector("#acme-sign-in")
    page.fill("#acme-username", email)
    page.fill("#acme-password", demo.password_of(email))
    page.click("#acme-submit")


def by_company(page: Page, demo: Demo, email: str = ALICE) -> None:
    """From the product by My Company ID to Acme, and back."""
    page.goto(PRODUCT)
    page.click("#sign-in")
    page.click("#company-id-link")
    page.fill("#username", email)
    page.click("#login-submit")
    at_acme(page, demo, email)
    page.wait_for_selector("#welcome")


@pytest.mark.parametrize(
    ("locale", "link", "go_on", "acme", "welcome"),
    [
        ("en-GB", "My Company ID", "Continue", "Sign in to Acme", "Hello, Alice Archer"),
        ("fr-FR", "Mon identifiant d’entreprise", "Continuer", "Connexion à Acme", "Bonjour, Alice Archer"),
    ],
)
def test_alice_signs_in_through_her_company_and_out_of_both(
    demo: Demo, browser: Browser, locale: str, link: str, go_on: str, acme: str, welcome: str
) -> None:
    with browser.new_context(locale=locale) as context:
        page = context.new_page()
        page.goto(PRODUCT)
        page.click("#sign-in")
        assert page.inner_text("#company-id-link") == link
        page.click("#company-id-link")
        page.fill("#username", ALICE)
        assert page.inner_text("#login-submit") == go_on
        page.click("#login-submit")
        page.wait_for_selector("#acme-sign-in")
        assert page.url.startswith(f"{ACME}/")
        assert page.inner_text("h1") == acme
        assert page.input_value("#acme-username") == ALICE
        screenshots(page, f"acme-sign-in-{locale[:2]}")
        axe(page)
        at_acme(page, demo)
        page.wait_for_selector("#welcome")
        assert page.inner_text("#welcome") == welcome
        assert page.inner_text("#userinfo-email") == ALICE
        page.click("#sign-out")
        page.wait_for_selector("#sign-in")
        assert page.url == f"{PRODUCT}/"
        page.goto(ACME)
        page.wait_for_selector("#acme-sign-in")  # signed out at Acme too


def test_without_script_each_step_has_a_button(demo: Demo, browser: Browser) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(PRODUCT)
        page.click("#sign-in")
        page.fill("#username", ALICE)  # the first page knows by the domain where she belongs
        page.click("#login-submit")
        at_acme(page, demo)
        page.click("#send button")
        page.wait_for_selector("#welcome")
        assert page.inner_text("#userinfo-email") == ALICE


def test_acmes_start_page_opens_the_product_and_signs_out_of_it(demo: Demo, browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(ACME)
        at_acme(page, demo, "bob@acme.example")
        page.click("#open-product")
        page.wait_for_selector("#welcome")
        assert page.url == f"{PRODUCT}/"
        assert page.inner_text("#welcome") == "Hello, Bob Baker"
        page.goto(ACME)
        page.click("#acme-sign-out")
        page.wait_for_selector("#acme-signed-out")

        def signed_out() -> bool:
            page.goto(PRODUCT)
            return page.query_selector("#sign-in") is not None

        wait_until(signed_out, "the product has heard of the logout")
        page.click("#sign-in")
        page.wait_for_selector("#username")  # signed out at the provider too


def test_acme_answers_encrypted_too(demo: Demo, browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(ACME)
        at_acme(page, demo)
        page.check("#encrypted")
        page.click("#change-answers")
        assert page.is_checked("#encrypted")
        answers: list[str] = []
        page.on("request", lambda request: answers.append(unquote(request.post_data or "")))
        page.goto(PRODUCT)
        page.click("#sign-in")
        page.fill("#username", ALICE)
        page.click("#login-submit")
        page.wait_for_selector("#welcome")  # Acme asks nothing: she is signed in there
        (answer,) = [text for text in answers if text.startswith("SAMLResponse=")]
        document = b64decode(answer.removeprefix("SAMLResponse=").partition("&")[0])
        assert b"EncryptedAssertion" in document
        assert ALICE.encode() not in document


def test_acme_lets_nobody_in_by_a_wrong_password(demo: Demo, browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(ACME)
        page.fill("#acme-username", ALICE)
        page.fill("#acme-password", "wrong")
        page.click("#acme-submit")
        page.wait_for_selector("#wrong")
        axe(page)


@pytest.mark.parametrize("locale", ["en-GB", "fr-FR"])
@pytest.mark.parametrize("key", KEYS)
def test_each_stand_in_asks_and_can_be_refused(demo: Demo, browser: Browser, key: str, locale: str) -> None:
    with browser.new_context(locale=locale) as context:
        page = context.new_page()
        page.goto(PRODUCT)
        page.click("#sign-in")
        page.click(f"#social-{key}")
        page.wait_for_selector("#stand-in-choose")
        assert page.url.startswith(f"{STAND_INS}/{key}/")
        assert page.query_selector("#stand-in-notice")  # nobody takes it for the real one
        if key in ("google", "apple"):
            screenshots(page, f"stand-in-{key}-{locale[:2]}")
        axe(page)
        page.click("button[data-email='bob@example.net']")
        page.wait_for_selector("#stand-in-consent")
        if key in ("google", "apple"):
            screenshots(page, f"stand-in-consent-{key}-{locale[:2]}")
        axe(page)
        page.click("#deny")
        page.wait_for_url(f"http://localhost:8000/login/social/{key}/failed*")


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
@pytest.mark.parametrize("key", ["google", "apple"])
def test_a_newcomer_comes_by_a_stand_in(demo: Demo, browser: Browser, key: str, script: bool) -> None:
    email = f"nina-{key}-{script}@example.net".lower()
    with browser.new_context(java_script_enabled=script) as context:
        page = context.new_page()
        page.goto(PRODUCT)
        page.click("#sign-in")
        page.click(f"#social-{key}")
        page.wait_for_selector("#stand-in-choose")
        page.fill("#new-name", "Nina Newcomer")
        page.fill("#new-email", email)
        page.click("#sign-in-new")
        page.click("#allow")
        if key == "apple" and not script:
            page.click("#send button")  # the answer is a form
        page.click("#welcome-submit")
        page.wait_for_selector("#welcome")
        assert page.inner_text("#welcome") == "Hello, Nina Newcomer"
        assert page.inner_text("#userinfo-email") == email


def test_at_a_stand_in_one_is_its_user(demo: Demo, browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(STAND_INS)
        axe(page)
        page.click(".tile >> nth=0")
        page.wait_for_selector("#signed-out")
        axe(page)
        page.click(".person >> nth=1")
        page.wait_for_selector("#signed-in")
        page.fill("#email", "")
        page.uncheck("#verified")
        page.click("#change")
        assert page.input_value("#email") == ""
        assert not page.is_checked("#verified")
        page.check("#mood-down")
        page.click("#change-mood")
        assert page.is_checked("#mood-down")
        screenshots(page, "stand-in-account")
        axe(page)
        page.check("#mood-well")
        page.click("#change-mood")
        page.fill("#email", "carol@example.org")
        page.click("#change")
        page.click("#stand-in-sign-out")
        page.wait_for_selector("#signed-out")


def test_the_id_token_is_renewed_by_the_refresh_token(demo: Demo, browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        sign_in(page, demo.password)
        before = {claim: page.inner_text(f"#id_token-{claim}") for claim in ("sub", "sid", "auth_time", "at_hash")}
        page.click("#renew")
        page.wait_for_selector("#welcome")
        after = {claim: page.inner_text(f"#id_token-{claim}") for claim in before}
        assert after.pop("at_hash") != before.pop("at_hash")
        assert after == before


def test_signing_out_everywhere_ends_the_session_at_the_product(demo: Demo, browser: Browser) -> None:
    with browser.new_context() as context, browser.new_context() as elsewhere:
        page, other = context.new_page(), elsewhere.new_page()
        sign_in(page, demo.password)
        sign_in(other, demo.password)
        page.goto("http://localhost:8000/me")
        page.click("form[action='/me/sign-out-everywhere'] button")
        page.wait_for_load_state()

        def signed_out() -> bool:
            other.goto(PRODUCT)
            return other.query_selector("#sign-in") is not None

        wait_until(signed_out, "the product has heard of the logout")


def test_a_new_device_is_told_to_its_owner_in_the_mailbox(demo: Demo, browser: Browser) -> None:
    with browser.new_context() as known, browser.new_context() as new:
        sign_in(known.new_page(), demo.password)
        page = new.new_page()
        sign_in(page, demo.password)

        def arrived() -> bool:
            page.goto(MAILBOX)
            return page.query_selector(".mails a") is not None

        wait_until(arrived, "the mail has arrived")
        page.click(".mails a >> nth=0")
        link = page.get_attribute("#mail-text a", "href")
        assert link
        assert link.startswith("http://localhost:8000/")
        canaries.register(link.rpartition("=")[2], "mailed link")
        framed = page.frame_locator("#mail-html")
        assert framed.locator(f"a[href='{link}']").count() == 1


def test_the_demos_own_pages_are_good_in_both_widths(demo: Demo, browser: Browser) -> None:
    for locale in ("en-GB", "fr-FR"):
        with browser.new_context(locale=locale) as context:
            page = context.new_page()
            page.goto(PRODUCT)
            screenshots(page, f"product-{locale[:2]}")
            axe(page)
            sign_in(page, demo.password)
            screenshots(page, f"product-signed-in-{locale[:2]}")
            axe(page)
            page.goto(MAILBOX)
            screenshots(page, f"mailbox-{locale[:2]}")
            axe(page)
            page.goto(ACME)
            at_acme(page, demo)
            page.wait_for_selector("#acme-welcome")
            screenshots(page, f"acme-{locale[:2]}")
            axe(page)


def test_what_came_back_to_one_browser_signs_in_nobody_in_another(demo: Demo, browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        sign_in(page, demo.password)
        (callback,) = [url for url in asked if url.startswith(f"{PRODUCT}/callback?")]
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(callback)
        assert page.inner_text("#failure") == "state_mismatch"
        page.goto(PRODUCT)
        assert page.query_selector("#sign-in")


def test_the_mailbox_answers_only_to_its_own_name(demo: Demo) -> None:
    with socket.create_connection(("127.0.0.1", 8005), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: rebound.example:8005\r\nConnection: close\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 421")


def test_nothing_is_left_when_make_is_killed(demo: Demo, tmp_path: Path) -> None:
    """Last, because the ports are the same: a second start on the same folder shows the same password, and dies whole."""
    stop(demo, signal.SIGTERM)
    again = start(demo.data.parents[1])
    assert again.password == demo.password
    stop(again, signal.SIGKILL)
