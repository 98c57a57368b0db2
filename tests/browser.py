"""A real browser for journeys: Chromium, screenshots in two widths, and axe, which looks for barriers."""

from __future__ import annotations

import atexit
import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from tests.needs import program

SCREENSHOTS = Path(__file__).parents[1] / "screenshots"
WIDTHS = (1280, 320)  # 320 is also what 1280 becomes at 400 % zoom (WCAG 1.4.10)

ARGUMENTS = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def chromium(host_rules: str = "", trusted: Path | None = None) -> Iterator[Browser]:
    """Chromium, closed at the end. ``host_rules``: e.g. ``MAP login.example.com 127.0.0.1:8443``, so that a journey has
    real names (localhost's ports are one site, which hides what cookies really do). ``trusted``: a file
    with a certificate that it believes; passkeys need that, while for all else a context may look away."""
    arguments = [*ARGUMENTS, *([f"--host-resolver-rules={host_rules}"] if host_rules else [])]
    if trusted is not None:
        key = load_pem_x509_certificate(trusted.read_bytes()).public_key()
        spki = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
        arguments.append(f"--ignore-certificate-errors-spki-list={base64.b64encode(spki).decode()}")
    browser = _playwright().chromium.launch(executable_path=program("chromium"), args=arguments)
    try:
        yield browser
    finally:
        browser.close()


@cache
def _playwright() -> Playwright:
    """One for the whole process: it refuses to be started beside itself, and fixtures of several files overlap."""
    started = sync_playwright().start()
    atexit.register(started.stop)
    return started


def screenshots(page: Page, name: str, folder: Path = SCREENSHOTS) -> None:
    """Take ``<name>-1280.png`` and ``<name>-320.png`` of the whole page; nothing may need sideways scrolling."""
    folder.mkdir(parents=True, exist_ok=True)
    before = page.viewport_size
    too_wide = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        page.screenshot(path=folder / f"{name}-{width}.png", full_page=True)
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if overflow > 0:
            too_wide.append(f"{overflow} px at {width}")
    if before:
        page.set_viewport_size(before)
    assert not too_wide, f"{name} scrolls sideways: {too_wide}"


def axe(page: Page) -> None:
    """Assert that axe finds no barrier in the page as it stands."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
