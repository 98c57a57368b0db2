from __future__ import annotations

import dataclasses
import html
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask, Response
from jinja2 import Environment

from idp.app import create_app
from idp.errors import IdpError, OAuthError, PageError, Unavailable
from idp.parts import Parts
from idp.reasons import REASONS
from idp.rendering import Site, error_page, pages_in, render_page
from tests.sample_pages import PAGES


def _html(page: Response) -> str:
    return page.get_data(as_text=True)


@pytest.fixture
def stranded(parts: Parts) -> Flask:
    """An application whose Redis, SQL and keys are gone: whoever touches one fails."""
    gone: Any = None
    return create_app(dataclasses.replace(parts, store=gone, database=gone, keys=gone))


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PageError("redirect_uri_unregistered", parameter="redirect_uri"), ("redirect_uri", "K7QX-2M4P")),
        (OAuthError("invalid_request", "no", reason="pkce_missing", parameter="code_challenge"), ("code_challenge",)),
        (IdpError("nobody_wrote_a_sentence_for_this"), ("K7QX-2M4P",)),
    ],
)
def test_an_error_page_needs_neither_redis_nor_sql(
    stranded: Flask, error: IdpError, words: tuple[str, ...], language: str
) -> None:
    with stranded.test_request_context("/authorize?x=1", headers={"Accept-Language": language}):
        page = error_page(error, "K7QX-2M4P")
    assert page.status_code == error.status
    assert 'id="error-page"' in _html(page)
    assert f'<html lang="{language}">' in _html(page)
    for word in words:
        assert word in _html(page)


def test_a_part_that_does_not_answer_is_a_503_that_says_when_to_come_back(stranded: Flask) -> None:
    with stranded.test_request_context("/login/password?p=p1"):
        page = error_page(Unavailable("redis_down", retry_after=7), "K7QX-2M4P")
    assert (page.status_code, page.headers["Retry-After"]) == (503, "7")
    assert '<a class="button" href="/login/password?p=p1">' in _html(page)


def test_what_an_error_knows_beyond_its_sentence_is_not_shown(stranded: Flask) -> None:
    with stranded.test_request_context("/"):
        page = error_page(PageError("internal", status=500, detail="postgresql://user:secret@host"), None)
    assert "secret" not in _html(page)
    assert "receipt-code" not in _html(page)


def test_an_undefined_value_is_an_error_and_not_a_hole(app: Flask) -> None:
    with app.test_request_context("/"), pytest.raises(Exception, match="'client' is undefined"):
        render_page("oidc/logged_out.html")


def test_a_sign_in_may_end_at_the_product_and_its_logo_is_loaded(app: Flask) -> None:
    template, values = PAGES["start"]
    with app.test_request_context("/login"):
        page = render_page(template, form_targets=("https://rp1.example/cb",), **values(str))
    policy = page.headers["Content-Security-Policy"]
    assert "; form-action 'self' https://rp1.example; " in policy
    assert "; img-src 'self' https://login.example; " in policy


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_failure_that_a_person_reads_leads_to_help(stranded: Flask, parts: Parts, language: str) -> None:
    """Its sentence, the next step, the code, the page that explains it with a way to support, and another way on."""
    for reason in REASONS.values():
        if not parts.languages.has(reason.says):  # only developers read of it
            continue
        for error in (PageError(reason.code), Unavailable(reason.code)):
            with stranded.test_request_context("/login/password?p=p1", headers={"Accept-Language": language}):
                page = html.unescape(_html(error_page(error, "K7QX-2M4P")))
            assert parts.languages.text(language, reason.says) in page
            assert parts.languages.text(language, reason.next) in page
            assert f'href="/help?receipt=K7QX-2M4P&about={reason.code}"' in page
            assert re.search(r'<a class="button[^"]*"[^>]* href="/', page), reason.code


@pytest.mark.parametrize(
    ("seconds", "english", "french"),
    [
        (0, "just now", "à l’instant"),
        (59, "just now", "à l’instant"),
        (300, "5 minutes ago", "il y a 5 minutes"),
        (7200, "2 hours ago", "il y a 2 heures"),
        (9 * 86400, "9 days ago", "il y a 9 jours"),
        (-30, "just now", "à l’instant"),  # another machine's clock is ahead
    ],
)
def test_times_are_told_as_distances(app: Flask, parts: Parts, seconds: int, english: str, french: str) -> None:
    values = {"done": False, "agent": "Firefox", "address": "192.0.2.1", "at": parts.clock() - seconds}
    for language, words in (("en", english), ("fr", french)):
        with app.test_request_context("/", headers={"Accept-Language": language}):
            assert f"<dd>{words}</dd>" in _html(render_page("accounts/not_me.html", **values))


@pytest.mark.parametrize(
    ("wait", "words"),
    [(1, "1 second"), (75, "75 seconds"), (119.2, "2 minutes"), (121, "3 minutes"), (3601, "61 minutes")],
)
def test_a_waiting_time_is_never_told_shorter_than_it_is(app: Flask, wait: float, words: str) -> None:
    template, values = PAGES["password-wait"]
    with app.test_request_context("/"):
        page = render_page(template, **(values(str) | {"wait": wait}))
    assert f"Wait {words}, then try again." in _html(page)


def test_many_who_ask_for_a_page_at_once_have_it_compiled_once(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, compile_it = [], Environment.compile

    def slowly(self: Environment, source: str, name: str | None = None, *rest: Any, **more: Any) -> Any:
        compiled.append(name)
        time.sleep(0.05)  # the others come meanwhile
        return compile_it(self, source, name, *rest, **more)

    monkeypatch.setattr(Environment, "compile", slowly)
    with ThreadPoolExecutor(8) as people:
        pages = [
            people.submit(
                lambda: pages_in(
                    "en", parts.languages, None, Site("compiled-once.example", "/me", "/help"), "help"
                ).get_template("busy.html")
            )
            for _ in range(8)
        ]
    assert len({page.result() for page in pages}) == 1
    assert compiled.count("busy.html") == 1
