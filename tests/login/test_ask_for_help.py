"""/help: what a failure means, who can mend it, how to reach support; and that nothing is told by it."""

from __future__ import annotations

import dataclasses
import html

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from idp.app import create_app
from idp.errors import Unavailable
from idp.parts import Parts
from idp.reasons import REASONS
from tests.journey import Walker, add_carol


def text_of(page: TestResponse) -> str:
    return html.unescape(page.get_data(as_text=True))


def supported(parts: Parts, support: str) -> Flask:
    return create_app(dataclasses.replace(parts, config=parts.config.model_copy(update={"support": support})))


@pytest.mark.parametrize(
    ("support", "link"),
    [
        (
            "help@login.example",
            "mailto:help@login.example?subject=Help%20with%20signing%20in%20at%20login.example%20K7QX-2M4P",
        ),
        ("https://help.example/", "https://help.example/"),
        ("", None),
    ],
)
def test_support_is_a_mail_with_the_code_or_a_page_or_nobody(parts: Parts, support: str, link: str | None) -> None:
    page = text_of(Walker(supported(parts, support), parts).get("/help?receipt=k7qx2m4p"))
    assert ('id="contact-support"' in page) == (link is not None)
    if link is not None:
        assert f'href="{link}"' in page
    else:
        assert "Ask whoever gave you the product" in page
    assert ">K7QX-2M4P<" in page


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_reason_is_explained_with_who_can_mend_it(walker: Walker, parts: Parts, language: str) -> None:
    words = parts.languages
    for reason in REASONS.values():
        page = text_of(walker.get(f"/help?about={reason.code}", headers={"Accept-Language": language}))
        if words.has(reason.says):
            for key in (reason.says, reason.next, f"help.owner.{reason.owner}"):
                assert words.text(language, key) in page
    for way in ("/help/why-sign-in", "/help/no-mail", "/forgot", "/login", "/help/mail"):
        assert f'href="{way}"' in page


@pytest.mark.parametrize("query", ["", "?receipt=<b>&about=<b>", "?receipt=K7QX-2M4P-X&about=no_such_reason", "?p=x"])
def test_what_is_no_code_and_no_reason_is_left_aside(app: Flask, parts: Parts, query: str) -> None:
    page = Walker(app, parts).get(f"/help{query}")
    assert page.status_code == 200
    assert "<b>" not in page.get_data(as_text=True)
    assert 'id="receipt-code"' not in text_of(page)


def test_nothing_is_looked_up_by_a_code(walker: Walker, parts: Parts) -> None:
    """The receipt of a failed sign-in says to whoever has it no more than one that never was."""
    add_carol(parts)
    walker.sign_in(walker.get("/me"), password="wrong and long enough")
    parts.attempts.flush()
    failed = walker.follow(walker.get("/login"))
    wrong = walker.submit(failed, "/login", username="carol@example.org")
    page = walker.submit(
        walker.follow(wrong), "/login/password", username="carol@example.org", password="wrong again here"
    )
    code = text_of(page).partition('id="receipt-code"')[2].partition(">")[2].partition("<")[0]
    assert len(code) == 9
    stranger = Walker(walker.app, parts)
    own, other = (text_of(stranger.get(f"/help?receipt={one}")) for one in (code, "K7QX-2M4P"))
    assert own.replace(code, "") == other.replace("K7QX-2M4P", "")


def test_it_helps_when_nothing_else_works(parts: Parts) -> None:
    class Gone:
        def __getattr__(self, name: str) -> object:
            raise Unavailable("redis_down")

    app = create_app(dataclasses.replace(parts, store=Gone(), database=Gone()))
    with app.test_client() as browser:
        browser.set_cookie("__Host-idp_session", "x" * 43, domain="login.example")
        for path in ("/help?about=redis_down", "/help/mail"):
            assert browser.get(path, base_url="https://login.example").status_code == 200


def test_the_mails_page_says_who_sends_and_where_links_lead(parts: Parts) -> None:
    config = parts.config.model_copy(update={"mail_from": "Example <accounts@mail.example>"})
    page = text_of(Walker(create_app(dataclasses.replace(parts, config=config)), parts).get("/help/mail"))
    assert "<code>accounts@mail.example</code>" in page
    assert "<code>https://login.example/</code>" in page
    assert "Let through what comes from mail.example and passes DMARC." in page
