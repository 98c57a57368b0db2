"""The social doors: there, back, and what stands in between."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from werkzeug.test import TestResponse

from idp.cookies import LAST_DOOR, POSTER, cookie_name
from idp.models import Account, Link
from idp.parts import Parts
from tests.conftest import Clock
from tests.fakes.product_server import reply
from tests.journey import Walker, add_carol, claims_of
from tests.social_walker import (
    CODE,
    STRANGER,
    Sites,
    application,
    asked_of,
    begin,
    challenge_holds,
    come_back,
    handle_of,
    latest,
    leave,
    link_carol,
    post_back,
    reason_of,
    refresh_of,
    social_sites,
    text,
)

LAST = cookie_name(LAST_DOOR, secure=True)


@pytest.fixture
def sites() -> Iterator[Sites]:
    with social_sites() as running:
        yield running


@pytest.fixture
def walker(parts: Parts, sites: Sites) -> Walker:
    return Walker(application(parts, sites), parts)


def last_door(walker: Walker) -> str | None:
    cookie = walker.browser.get_cookie(LAST, domain="login.example")
    return cookie.value if cookie is not None else None


def signed_in(walker: Walker, key: str = "alpha", **request: str | None) -> TestResponse:
    return walker.follow(come_back(walker, leave(walker, key, **request), key))


# --- the logos ---------------------------------------------------------------------------------------------------------------


def test_the_doors_stand_on_the_pages_in_the_order_of_the_file(walker: Walker, parts: Parts) -> None:
    handle = begin(walker)
    for path in (f"/login?p={handle}", f"/login/password?p={handle}", f"/login/company?p={handle}"):
        page = text(walker.get(path))
        assert re.findall(r'id="social-(\w+)"', page) == ["alpha", "beta", "poster"], path
        assert "Continue with Alpha" in page
        assert "Continuer avec Beta" in text(walker.get(path, headers={"Accept-Language": "fr"}))


def test_without_providers_nothing_of_it_is_there(app: object, parts: Parts) -> None:
    walker = Walker(app, parts)  # type: ignore[arg-type] # the fixture's app is a Flask
    page = walker.follow(walker.az())
    assert "social" not in text(page)
    assert walker.get(f"/login/social/google?p={begin(walker)}").status_code == 404
    assert walker.get("/login/social/google/return?code=c&state=s").status_code == 404


def test_a_logo_takes_along_what_was_typed_and_ticked(walker: Walker, parts: Parts) -> None:
    link_carol(parts)
    page = walker.follow(walker.az())
    page = walker.submit(page, "/login", username="carol@other.example", keep="yes", door="alpha")
    assert page.status_code == 200  # Chromium holds form-action against every redirect after a form: none follows
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]
    asked = asked_of(walker.get(refresh_of(page)))
    assert asked["login_hint"] == "carol@other.example"
    assert "code" in walker.answer_of(walker.follow(come_back(walker, asked)))
    kept = walker.browser.get_cookie("__Host-idp_session", domain="login.example")
    assert kept is not None and kept.max_age


def test_a_logo_on_the_password_page_needs_no_address(walker: Walker) -> None:
    page = walker.get(f"/login/password?p={begin(walker)}")
    page = walker.submit(page, "/login", door="beta")
    assert asked_of(walker.get(refresh_of(page)))["client_id"] == "we-at-beta"


def test_what_we_remember_is_not_told_to_others(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    walker.sign_in(walker.az(), keep="yes")
    walker.browser.delete_cookie("__Host-idp_session", domain="login.example")
    page = walker.get(f"/login?p={begin(walker)}&other=yes")
    assert 'value="carol@example.org"' in text(page)
    page = walker.submit(page, "/login", username="carol@example.org", door="alpha")
    assert "login_hint" not in asked_of(walker.get(refresh_of(page)))


# --- there and back ----------------------------------------------------------------------------------------------------------


def test_carol_signs_in_and_is_the_same_person_as_ever(walker: Walker, parts: Parts, sites: Sites) -> None:
    link_carol(parts)
    asked = leave(walker, login_hint="carol@example.org", ui_locales="fr")
    assert asked["redirect_uri"] == "https://login.example/login/social/alpha/return"
    assert asked["response_type"] == "code"
    assert asked["login_hint"] == "carol@example.org"
    assert "prompt" not in asked
    first = walker.tk(walker.answer_of(walker.follow(come_back(walker, asked)))["code"])
    redeemed = sites.redeemed[-1]
    assert redeemed["redirect_uri"] == asked["redirect_uri"]
    assert challenge_holds(asked, redeemed["code_verifier"])
    told = claims_of(first.get_json()["id_token"])
    assert "amr" not in told  # nothing was proved here
    assert told["acr"] == "1"
    other = Walker(walker.app, parts)
    by_password = claims_of(other.tk(other.code()).get_json()["id_token"])
    assert by_password["sub"] == told["sub"]


def test_each_trip_has_its_own_state_and_verifier(walker: Walker) -> None:
    first, second = leave(walker), leave(walker)
    assert first["state"] != second["state"]
    assert first["code_challenge"] != second["code_challenge"]


def test_two_tabs_each_come_back(walker: Walker, parts: Parts) -> None:
    link_carol(parts)
    first, second = leave(walker), leave(walker)
    for asked in (second, first):
        assert "code" in walker.answer_of(walker.follow(come_back(walker, asked)))


def test_a_provider_that_posts_its_answers(walker: Walker, parts: Parts) -> None:
    link_carol(parts, "poster")
    other_tab = leave(walker, "poster")
    asked = leave(walker, "poster")
    assert asked["response_mode"] == "form_post"
    for trip in (other_tab, asked):
        back = post_back(walker, trip)
        assert back.status_code == 303
        assert CODE not in back.location and trip["state"] not in back.location
        assert not back.headers.getlist("Set-Cookie")
        assert "code" in walker.answer_of(walker.follow(walker.get(back.location)))


def test_the_cookie_that_comes_along_with_a_post_is_of_no_other_use(walker: Walker, parts: Parts) -> None:
    left = walker.get(f"/login/social/poster?p={begin(walker)}")
    (line,) = [line for line in left.headers.getlist("Set-Cookie") if "poster" in line]
    assert re.fullmatch(r"__Host-idp_poster=[\w-]{43}; Path=/; HttpOnly; SameSite=None; Max-Age=900; Secure", line), (
        line
    )
    value = walker.browser.get_cookie(cookie_name(POSTER, secure=True), domain="login.example")
    browser = walker.browser.get_cookie("__Host-idp_browser", domain="login.example")
    assert value is not None and browser is not None and value.value != browser.value
    assert not walker.get(f"/login/social/alpha?p={begin(walker)}").headers.getlist("Set-Cookie")


def test_a_new_sign_in_is_asked_for_when_the_product_wants_one(walker: Walker) -> None:
    assert leave(walker, "alpha", prompt="login")["prompt"] == "login"
    assert leave(walker, "alpha", max_age="60")["prompt"] == "login"


# --- what goes wrong ---------------------------------------------------------------------------------------------------------


def test_cancel_leads_to_a_kind_page_with_the_other_doors(walker: Walker, parts: Parts) -> None:
    link_carol(parts)
    back = come_back(walker, leave(walker), code=None, error="access_denied", error_description="<b>You said no</b>")
    page = walker.follow(back)
    assert page.status_code == 200
    assert "You did not sign in with Alpha" in text(page)
    assert "You said no" not in text(page)
    assert re.findall(r'id="social-(\w+)"', text(page)) == ["again", "beta", "poster"]
    assert reason_of(parts, page) == "social_cancelled"
    french = text(walker.get(back.location, headers={"Accept-Language": "fr"}))
    assert "Connexion avec Alpha abandonnée" in french
    again = re.search(r'id="social-again" href="([^"]*)"', page.get_data(as_text=True))
    assert again is not None
    assert "code" in walker.answer_of(walker.follow(come_back(walker, asked_of(walker.get(again[1])))))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"error": "server_error"}, "social_unavailable"),
        ({"error": "temporarily_unavailable"}, "social_unavailable"),
        ({"error": "invalid_request"}, "social_misconfigured"),
        ({"error": "what_is_this"}, "social_error_unknown"),
        ({"error": "<script>alert(1)</script>"}, "social_error_unknown"),
        ({"error": ""}, "social_error_unknown"),
        ({"error": "access_denied", "code": CODE}, "social_cancelled"),
        ({}, "social_answer_wrong"),
        ({"code": ""}, "social_answer_wrong"),
        ({"code": "x" * 5000}, "social_answer_wrong"),
        ({"code": "\u0000\ud7ff"}, "social_answer_wrong"),
        ({"code": "no-such-code"}, "social_code_over"),
    ],
)
def test_every_failure_is_a_page_with_a_receipt(
    walker: Walker, parts: Parts, answer: dict[str, str], reason: str
) -> None:
    page = walker.follow(come_back(walker, leave(walker), **{"code": None, **answer}))
    assert page.status_code in (200, 403)
    assert 'id="error-page"' in text(page)
    assert "<script>alert" not in page.get_data(as_text=True)
    assert reason_of(parts, page) == reason
    attempt, steps = latest(parts)
    assert (attempt.door, attempt.client_id, attempt.outcome) == ("alpha", "C1", "failed")
    assert steps[-1] == "response_refused"


def test_a_provider_that_is_down_or_broken(walker: Walker, parts: Parts, sites: Sites) -> None:
    for status, body in ((503, b"gone"), (200, b"<html>"), (500, b"{}"), (302, b"")):
        sites.token = reply(status, body)
        page = walker.follow(come_back(walker, leave(walker)))
        assert page.status_code == 403
        assert reason_of(parts, page) in ("social_unavailable", "social_answer_wrong"), status
    sites.server.answer = lambda asked, write: None  # it hangs up
    assert reason_of(parts, walker.follow(come_back(walker, leave(walker)))) == "social_unavailable"


def test_the_failed_page_without_a_failure_is_the_ordinary_one(walker: Walker) -> None:
    handle = begin(walker)
    assert walker.get(f"/login/social/alpha/failed?p={handle}").location.startswith("/login?")
    walker.follow(come_back(walker, leave(walker), error="access_denied"))
    assert walker.get(f"/login/company/failed?p={handle}").location.startswith("/login/company?")


def test_the_companys_page_does_not_mistake_a_social_failure_for_its_own(walker: Walker) -> None:
    failed = come_back(walker, leave(walker), error="access_denied")
    assert walker.get(f"/login/company/failed?p={handle_of(failed)}").status_code == 303


def test_one_receipt_from_the_product_to_the_code(walker: Walker, parts: Parts) -> None:
    link_carol(parts)
    signed_in(walker)
    attempt, steps = latest(parts)
    road = ["request_received", "request_sent", "response_received", "social_identified", "session_opened"]
    assert [step for step in steps if step in road] == road
    assert (attempt.door, attempt.outcome) == ("alpha", "done")


# --- silently ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def returning(walker: Walker, parts: Parts) -> Walker:
    """Carol has come by Alpha before; her session here is over."""
    link_carol(parts)
    signed_in(walker)
    assert last_door(walker) == "alpha"
    walker.browser.delete_cookie("__Host-idp_session", domain="login.example")
    return walker


def silently(walker: Walker, **request: str | None) -> dict[str, str]:
    """From the product to the provider without a page in between."""
    response = walker.az(**request)
    for _ in range(3):
        if response.location.startswith("http"):
            break
        response = walker.get(response.location)
    return asked_of(response)


def test_s7_still_signed_in_there_the_product_opens_without_a_page(returning: Walker) -> None:
    asked = silently(returning)
    assert asked["prompt"] == "none"
    assert "code" in returning.answer_of(returning.follow(come_back(returning, asked)))


@pytest.mark.parametrize("error", ["login_required", "interaction_required", "consent_required", "server_error", "odd"])
def test_s7_not_signed_in_there_the_ordinary_page_and_no_loop(returning: Walker, error: str) -> None:
    page = returning.follow(come_back(returning, silently(returning), code=None, error=error))
    assert page.status_code == 200
    assert "Last time you signed in with Alpha." in text(page)
    assert "receipt" not in text(page)
    again = returning.get(page.request.full_path)
    assert again.status_code == 200  # it was asked; no second time


def test_silently_nobody_new_comes_in(returning: Walker, parts: Parts) -> None:
    page = returning.follow(come_back(returning, silently(returning), code=STRANGER))
    assert page.status_code == 200
    assert 'id="login-page"' in text(page)
    with parts.database.reading() as db:
        assert db.query(Account).count() == 1
        assert db.query(Link).count() == 1


@pytest.mark.parametrize(
    "request_",
    [
        {"prompt": "login"},
        {"prompt": "select_account"},
        {"max_age": "60"},
        {"domain_hint": "acme.example"},
        {"idp_hint": "a1"},
    ],
)
def test_no_silent_trip_where_the_product_wants_something_else(returning: Walker, request_: dict[str, str]) -> None:
    page = returning.follow(returning.az(**request_))
    assert page.status_code == 200
    assert 'id="login-page"' in text(page)


def test_a_product_that_may_show_nothing_gets_its_code(returning: Walker) -> None:
    asked = silently(returning, prompt="none")
    assert asked["prompt"] == "none"
    assert "code" in returning.answer_of(returning.follow(come_back(returning, asked)))


@pytest.mark.parametrize(
    "answer",
    [{"code": None, "error": "login_required"}, {"code": STRANGER}, {"code": "no-such-code"}, {"code": None}],
)
def test_a_product_that_may_show_nothing_is_told_to_ask(returning: Walker, answer: dict[str, str | None]) -> None:
    done = returning.follow(come_back(returning, silently(returning, prompt="none"), **answer))
    assert returning.answer_of(done)["error"] == "login_required"


def test_a_product_that_may_show_nothing_and_wants_it_recent(returning: Walker) -> None:
    done = returning.follow(returning.az(prompt="none", max_age="60"))
    assert returning.answer_of(done)["error"] == "login_required"


def test_who_names_a_person_gets_no_other_one_silently(returning: Walker) -> None:
    """The provider would bring whoever is signed in there."""
    named = json.dumps({"id_token": {"sub": {"value": "somebody else"}}})
    for request in ({"id_token_hint": "of.some.body"}, {"claims": named}):
        assert 'id="login-page"' in text(returning.follow(returning.get(returning.authorization_url(**request))))


def test_whoever_signs_out_or_comes_by_another_door_is_not_asked_for_silently(returning: Walker) -> None:
    done = returning.follow(come_back(returning, silently(returning)))
    assert "code" in returning.answer_of(done)
    returning.submit(returning.get("/me"), "/me/sign-out")
    assert last_door(returning) is None
    signed_in(returning)
    assert last_door(returning) == "alpha"
    returning.browser.delete_cookie("__Host-idp_session", domain="login.example")
    returning.sign_in(returning.get(f"/login?p={begin(returning)}&other=yes"))
    assert last_door(returning) is None


def test_a_provider_that_cannot_be_asked_silently_is_not(walker: Walker, parts: Parts) -> None:
    link_carol(parts, "beta")
    signed_in(walker, "beta")
    walker.browser.delete_cookie("__Host-idp_session", domain="login.example")
    page = walker.follow(walker.az())
    assert page.status_code == 200
    assert "Last time you signed in with Beta." in text(page)
    assert walker.answer_of(walker.az(prompt="none"))["error"] == "login_required"


def test_a_door_that_is_configured_no_more_is_forgotten(returning: Walker, parts: Parts, app: object) -> None:
    page = Walker.follow(returning, returning.az())  # with it: on to the provider
    assert page.status_code == 303
    without = Walker(app, parts)  # type: ignore[arg-type] # the fixture's app is a Flask
    without.browser.set_cookie(LAST, "alpha", domain="login.example")
    assert without.follow(without.az()).status_code == 200


# --- many at once ------------------------------------------------------------------------------------------------------------


def test_a_slow_provider_leaves_room_for_others(walker: Walker, parts: Parts, sites: Sites, clock: Clock) -> None:
    here = walker.app.extensions["idp"]
    asked = leave(walker)
    turns = [here.provider_turns.turn("alpha") for _ in range(max(1, parts.config.threads // 4))]
    for turn in turns:
        assert turn.__enter__()
    page = walker.follow(come_back(walker, asked))
    assert reason_of(parts, page) == "social_busy"
    link_carol(parts, "beta")
    assert "code" in walker.answer_of(signed_in(walker, "beta"))
    for turn in turns:
        turn.__exit__(None, None, None)


def test_one_network_that_sends_rubbish_must_wait_and_people_need_not(walker: Walker, parts: Parts) -> None:
    link_carol(parts)
    for _ in range(70):
        assert "code" in walker.answer_of(signed_in(walker, prompt="login"))  # what signs in costs nothing
    last = 0
    for _ in range(70):
        last = walker.get("/login/social/alpha/return?state=x&code=y").status_code
    assert last == 429
    neighbour = Walker(walker.app, parts)  # of the same network: what belongs to a trip of ours is no rubbish
    assert "code" in neighbour.answer_of(signed_in(neighbour))


def test_codes_that_name_nobody_are_looked_at_only_so_often(walker: Walker, parts: Parts, sites: Sites) -> None:
    """Each costs a call to the provider. Refusals there cost none, and nobody has to wait for them."""
    link_carol(parts)
    for _ in range(70):
        walker.follow(come_back(walker, leave(walker), code=None, error="access_denied"))
    assert "code" in walker.answer_of(signed_in(walker))
    for _ in range(70):
        page = walker.follow(come_back(walker, leave(walker, prompt="login"), code="no-such-code"))
    assert reason_of(parts, page) == "social_busy" and 'id="social-beta"' in text(page)
    assert len(sites.redeemed) < 70
    elsewhere = Walker(walker.app, parts, address="198.51.100.9")
    assert "code" in elsewhere.answer_of(signed_in(elsewhere))
