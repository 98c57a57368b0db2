from __future__ import annotations

import re

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from idp import csrf
from tests.journey import Walker


def _token(page: TestResponse) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def _first_step(walker: Walker) -> TestResponse:
    return walker.follow(walker.get("/login"))


def test_a_form_from_our_own_page_is_taken(walker: Walker) -> None:
    assert walker.submit(_first_step(walker), "/login", username="carol@example.org").status_code == 303


def test_each_page_carries_another_token_and_each_is_taken(walker: Walker) -> None:
    pages = [_first_step(walker), _first_step(walker)]
    assert _token(pages[0]) != _token(pages[1])
    for page in pages:
        assert walker.submit(page, "/login", username="carol@example.org").status_code == 303


@pytest.mark.parametrize("token", [None, "", "x", "é" * 64, "A" * 64, "A" * 100_000, "\x00", "%00", "AAAA" * 5])
def test_a_form_without_our_token_is_refused(walker: Walker, token: str | None) -> None:
    answer = walker.submit(_first_step(walker), "/login", username="carol@example.org", csrf=token)
    assert answer.status_code in (400, 413)
    assert "error-page" in answer.text


def test_a_changed_token_is_refused(walker: Walker) -> None:
    page = _first_step(walker)
    token = _token(page)
    for position in (0, 21, 22, 40, 63):
        changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
        answer = walker.submit(page, "/login", username="carol@example.org", csrf=changed)
        assert answer.status_code == 400


def test_the_token_of_another_browser_is_refused(walker: Walker, app: Flask) -> None:
    mallory = Walker(app, walker.parts)
    answer = walker.submit(
        _first_step(walker), "/login", username="carol@example.org", csrf=_token(_first_step(mallory))
    )
    assert answer.status_code == 400


def test_a_browser_without_its_cookie_is_refused(walker: Walker, app: Flask) -> None:
    page = _first_step(walker)
    stranger = Walker(app, walker.parts)
    assert stranger.submit(page, "/login", username="carol@example.org").status_code == 400


def test_every_form_is_checked_but_those_that_products_companies_and_providers_send(app: Flask) -> None:
    changing = {
        rule.endpoint for rule in app.url_map.iter_rules() if (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}
    }
    exempt = {endpoint for endpoint in changing if getattr(app.view_functions[endpoint], "csrf_exempt", False)}
    assert exempt == {
        "authorize.authorize",
        "logout.logout",
        "company.take_response",
        "company_logout.slo",
        "social.come_back",
    }
    assert len(changing - exempt) >= 8
    for rule in app.url_map.iter_rules():
        if rule.endpoint in changing - exempt:
            answer = app.test_client().post(rule.rule, base_url="https://login.example", data={csrf.FIELD: "A" * 64})
            assert answer.status_code == 400, rule
            assert "Set-Cookie" not in answer.headers
