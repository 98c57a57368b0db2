"""The first step of a sign-in: the e-mail address, and when it may be skipped."""

from __future__ import annotations

import pytest

from idp.parts import Parts
from tests.conftest import Clock
from tests.journey import PASSWORD, Walker, add_carol

ACCOUNT = "__Host-idp_account"
MONTH = 31 * 86400


@pytest.fixture(autouse=True)
def carol(parts: Parts) -> str:
    return add_carol(parts)


def shows(walker: Walker, **parameters: str) -> str:
    """The step that a new authorization request comes to, and the address that is filled in there."""
    page = walker.follow(walker.az(**parameters)).get_data(as_text=True)
    step = "password" if 'id="password"' in page else "e-mail"
    return f"{step} carol" if 'value="carol@example.org"' in page else step


def test_a_stranger_is_asked_for_the_address(walker: Walker) -> None:
    assert shows(walker) == "e-mail"


def test_a_login_hint_skips_the_first_step(walker: Walker) -> None:
    assert shows(walker, login_hint="carol@example.org") == "password carol"


def test_a_login_hint_that_is_no_address_does_not(walker: Walker) -> None:
    assert shows(walker, login_hint="carol") == "e-mail"


def test_who_signs_in_again_is_not_asked_for_the_address(walker: Walker) -> None:
    walker.code()
    assert shows(walker, prompt="login") == "password carol"


def test_who_asked_to_be_kept_signed_in_is_remembered_after_the_session(walker: Walker, clock: Clock) -> None:
    walker.sign_in(walker.az(), keep="yes")
    clock.advance(MONTH)
    assert shows(walker) == "password carol"


def test_who_did_not_ask_is_not_remembered(walker: Walker, clock: Clock) -> None:
    walker.sign_in(walker.az())
    clock.advance(MONTH)
    assert shows(walker) == "e-mail"


def test_signing_out_forgets_the_address(walker: Walker) -> None:
    walker.sign_in(walker.az(), keep="yes")
    walker.submit(walker.follow(walker.get("/logout")), "/logout/confirm")
    assert shows(walker) == "e-mail"


def test_another_account_can_be_chosen(walker: Walker, clock: Clock) -> None:
    walker.sign_in(walker.az(), keep="yes")
    assert shows(walker, prompt="select_account") == "e-mail"
    clock.advance(MONTH)
    page = walker.follow(walker.az())
    other = page.get_data(as_text=True).partition('href="/login?')[2].partition('"')[0].replace("&amp;", "&")
    assert 'id="password"' not in walker.get(f"/login?{other}").get_data(as_text=True)


def test_the_address_stands_in_no_cookie_in_clear_and_a_forged_one_is_nothing(walker: Walker, clock: Clock) -> None:
    walker.sign_in(walker.az(), keep="yes")
    cookie = walker.browser.get_cookie(ACCOUNT, domain="login.example")
    assert cookie is not None
    assert "carol" not in cookie.value
    clock.advance(MONTH)
    for forged in (cookie.value[:-4] + "AAAA", "A" * 60, cookie.value[:50]):
        walker.browser.set_cookie(ACCOUNT, forged, domain="login.example")
        assert shows(walker) == "e-mail"


@pytest.mark.parametrize(
    "typed", ["", "carol", "carol@", "@example.org", "a b@example.org", "carol@example.org\x00", "x" * 400]
)
def test_what_is_no_address_is_said_so_at_once(walker: Walker, typed: str) -> None:
    page = walker.submit(walker.follow(walker.az()), "/login", username=typed)
    assert page.status_code == 400
    assert 'role="alert"' in page.get_data(as_text=True)


def test_who_proves_themselves_anew_for_a_page_of_their_own_comes_back_to_it(walker: Walker, clock: Clock) -> None:
    walker.code()
    clock.advance(1000)
    asked = walker.follow(walker.get("/login?again=/me/password"))
    assert 'value="carol@example.org"' in asked.get_data(as_text=True)
    answer = walker.submit(asked, "/login/password", username="carol@example.org", password=PASSWORD)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/me/password")


@pytest.mark.parametrize(
    "path", ["//evil.example", "/me/../logout", "https://evil.example/me", "/login", "/me?x=1", ""]
)
def test_nobody_is_led_elsewhere_by_proving_themselves_anew(walker: Walker, path: str) -> None:
    assert walker.get("/login", query_string={"again": path}).status_code == 400
