from __future__ import annotations

import dataclasses

import pytest
from flask import Flask

from idp.app import create_app
from idp.parts import Parts
from idp.security_headers import content_security_policy
from tests.journey import Walker

PAGES = ("/login", "/me", "/nothing-here", "/authorize?client_id=nope", "/logout", "/language?to=fr", "/consent?p=x")


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_to_a_person_carries_the_headers(walker: Walker, path: str) -> None:
    """Invariant I7 of the attack catalogue."""
    answer = walker.get(path)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert not any(name.startswith("Access-Control-") for name, _ in answer.headers)


def test_az_20_a_page_loads_nothing_foreign_runs_nothing_inline_and_is_framed_by_nobody() -> None:
    assert content_security_policy() == (
        "default-src 'none'; style-src 'self'; script-src 'self'; font-src 'self'; img-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("https://rp.example/cb?x=1", "https://rp.example"),
        ("https://rp.example:8443/cb", "https://rp.example:8443"),
        ("http://127.0.0.1:53124/cb", "http://127.0.0.1:53124"),
        ("http://[::1]:53124/cb", "http:"),  # the grammar has no IPv6 literals
        ("com.example.app:/cb", "com.example.app:"),
        ("https://rp.example;script-src *", "https:"),
        ("https://rp.example *", "https:"),
        ("https://user@rp.example/", "https:"),
    ],
)
def test_a_form_may_end_at_the_origin_of_the_redirect_uri(uri: str, source: str) -> None:
    assert f"; form-action 'self' {source}; " in content_security_policy((uri,))


@pytest.mark.parametrize("uri", ["no-scheme", "//rp.example/", "1;x:/", "a b:/", "'none':/", ""])
def test_what_has_no_scheme_names_no_source(uri: str) -> None:
    assert content_security_policy((uri,), (uri,)) == content_security_policy()


def test_only_the_logo_of_this_product_is_loaded_from_elsewhere() -> None:
    assert "; img-src 'self' https://cdn.rp.example; " in content_security_policy(
        (), ("https://cdn.rp.example/logo.svg",)
    )


def test_single_page_products_may_open_a_sign_in_in_a_window_of_their_own(walker: Walker) -> None:
    assert "Cross-Origin-Opener-Policy" not in walker.az().headers
    assert "Cross-Origin-Opener-Policy" not in walker.get("/login").headers
    assert walker.get("/me").headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_static_files_are_kept_for_a_year_under_the_fingerprint_of_their_content(walker: Walker) -> None:
    page = walker.follow(walker.get("/login")).text
    address = page.split('rel="stylesheet" href="')[1].split('"')[0]
    assert walker.get(address).headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert walker.get(address.partition("?")[0]).headers["Cache-Control"] == "no-cache"
    assert walker.get("/static/../config.py").status_code == 404


def test_without_tls_on_loopback_there_is_no_hsts(parts: Parts) -> None:
    config = parts.config.model_copy(update={"issuer": "http://localhost:8000"})
    app: Flask = create_app(dataclasses.replace(parts, config=config))
    assert "Strict-Transport-Security" not in app.test_client().get("/login", base_url="http://localhost:8000").headers
