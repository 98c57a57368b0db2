from __future__ import annotations

import dataclasses

import pytest
from flask import Flask, Response

from idp import cookies
from idp.app import create_app
from idp.cookies import BROWSER, DEVICE, LANGUAGE, SESSION
from idp.parts import Parts

VALUE = "Ab3_-" * 8 + "xyz"  # 43 characters of base64url


def test_over_https_names_carry_the_host_prefix_and_on_loopback_they_do_not() -> None:
    assert cookies.cookie_name(SESSION, secure=True) == "__Host-idp_session"
    assert cookies.cookie_name(SESSION, secure=False) == "idp_session"


def test_pw_15_cookies_are_secure_http_only_lax_and_of_this_host_only(app: Flask) -> None:
    with app.test_request_context("/"):
        response = Response()
        cookies.put(response, SESSION, VALUE)
        cookies.put(response, DEVICE, VALUE, max_age=cookies.YEAR)
        cookies.remove(response, SESSION)
    assert response.headers.getlist("Set-Cookie") == [
        f"__Host-idp_session={VALUE}; Path=/; HttpOnly; SameSite=Lax; Secure",
        f"__Host-idp_device={VALUE}; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000; Secure",
        "__Host-idp_session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0; Secure",
    ]


def test_on_loopback_over_http_cookies_are_not_secure_because_clients_would_drop_them(parts: Parts) -> None:
    config = parts.config.model_copy(update={"issuer": "http://localhost:8000"})
    with create_app(dataclasses.replace(parts, config=config)).test_request_context("/"):
        response = Response()
        cookies.put(response, LANGUAGE, "fr")
    assert response.headers["Set-Cookie"] == "idp_language=fr; Path=/; HttpOnly; SameSite=Lax"


def test_a_cookie_is_found_among_others() -> None:
    header = f"x=1; not__Host-idp_session=no; __Host-idp_session={VALUE};  __Host-idp_language=fr"
    assert cookies.find_in(header, SESSION, secure=True) == VALUE
    assert cookies.find_in(header, LANGUAGE, secure=True) == "fr"
    assert cookies.find_in(header, DEVICE, secure=True) is None
    assert cookies.find_in(header, SESSION, secure=False) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        VALUE[:-1],
        VALUE + "x",
        VALUE[:-1] + "é",
        VALUE[:-1] + "=",
        VALUE[:-1] + "\x00",
        f'"{VALUE[:41]}"',
        "A" * 8192,
    ],
)
def test_pw_15_a_tampered_cookie_is_no_cookie(value: str) -> None:
    assert cookies.find_in(f"__Host-idp_session={value}", SESSION, secure=True) is None


def test_pw_15_a_tampered_session_cookie_makes_an_anonymous_visitor(app: Flask) -> None:
    for value in (VALUE, "x", "A" * 8000):
        answer = app.test_client(use_cookies=False).get(
            "/me", base_url="https://login.example", headers={"Cookie": f"__Host-idp_session={value}"}
        )
        assert (answer.status_code, answer.location) == (303, "/login")


def test_the_browser_cookie_is_made_once_and_leaves_with_the_answer(app: Flask) -> None:
    @app.get("/browser")
    def show() -> str:
        assert cookies.browser() == cookies.browser()
        return cookies.browser()

    client = app.test_client()
    first = client.get("/browser", base_url="https://login.example")
    assert first.headers["Set-Cookie"].startswith(f"__Host-idp_browser={first.text}; ")
    assert cookies.find_in(f"__Host-idp_browser={first.text}", BROWSER, secure=True) == first.text
    second = client.get("/browser", base_url="https://login.example")
    assert second.text == first.text
    assert "Set-Cookie" not in second.headers
