"""attacks.md section 5. Each test carries its case id. The demands of the RP-initiated logout plan are in tests/conformance."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.models import LogoutNotice
from idp.parts import Parts
from tests.conftest import Clock
from tests.journey import Walker, add_carol, claims_of
from tests.registrations import SECRET_2

BYE = "https://rp1.example/bye"


@pytest.fixture(autouse=True)
def carol(parts: Parts) -> str:
    return add_carol(parts)


def logout(walker: Walker, **parameters: str | None) -> TestResponse:
    given = {name: value for name, value in parameters.items() if value is not None}
    return walker.get("/logout", query_string=given)


def is_signed_in(walker: Walker) -> bool:
    return "code" in Walker.answer_of(walker.az(prompt="none"))


def is_the_question(page: TestResponse) -> bool:
    return 'id="logout-confirm"' in page.get_data(as_text=True)


def says_signed_out(page: TestResponse) -> bool:
    html = page.get_data(as_text=True)
    return 'id="logged-out"' in html and "signed out" in html


def jwt(header: dict[str, Any], claims: object, signature: str = "") -> str:
    encode = lambda part: base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()  # noqa: E731
    return f"{encode(header)}.{encode(claims)}.{signature}"


def test_a_logout_by_post_from_another_site_finds_the_session(walker: Walker, parts: Parts) -> None:
    """Such a POST comes without cookies (SameSite=Lax); the browser comes back by GET with them."""
    token = walker.tokens()["id_token"]
    without_cookies = Walker(walker.app, parts)
    posted = without_cookies.open("POST", "/logout", data={"id_token_hint": token, "post_logout_redirect_uri": BYE})
    assert posted.status_code == 303
    assert token not in posted.location
    assert walker.get(posted.location).location == BYE
    assert not is_signed_in(walker)


def test_a_logout_after_the_session_has_ended_still_leads_back(walker: Walker) -> None:
    token = walker.tokens()["id_token"]
    logout(walker, id_token_hint=token)
    assert logout(walker, id_token_hint=token, post_logout_redirect_uri=BYE).location == BYE


def test_lo_01_p_03_an_unsigned_hint_does_nothing(walker: Walker) -> None:
    sub = claims_of(walker.tokens()["id_token"])["sub"]
    forged = jwt({"alg": "none"}, {"iss": "https://login.example", "sub": sub, "aud": "C1", "sid": "x"})
    response = logout(walker, id_token_hint=forged, post_logout_redirect_uri=BYE)
    assert response.status_code == 400
    assert "Location" not in response.headers
    assert "id_token_hint" in response.get_data(as_text=True)
    assert is_signed_in(walker)


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example/",
        "https://rp2.example/bye",
        "https://rp1.example/bye/",
        "https://rp1.example/bye?x=1",
        "https://rp1.example/by",
        "javascript:alert(1)",
        "https://rp1.example/bye\r\nX: y",
    ],
)
def test_lo_02_nobody_is_sent_to_an_unregistered_address(walker: Walker, uri: str) -> None:
    token = walker.tokens()["id_token"]
    response = logout(walker, id_token_hint=token, post_logout_redirect_uri=uri)
    assert response.status_code == 400
    assert "Location" not in response.headers
    assert "post_logout_redirect_uri" in response.get_data(as_text=True)
    assert is_signed_in(walker)
    # Without a hint there is a question, and after it a page, never a redirect to there.
    page = walker.follow(logout(walker, post_logout_redirect_uri=uri))
    assert page.status_code in (200, 400)
    if page.status_code == 200:
        assert says_signed_out(walker.follow(walker.submit(page, "/logout/confirm")))


@pytest.mark.parametrize(
    "hint",
    [
        "garbage",
        "1.1",
        "a.b.c.d.e",
        "x" * 4000,
        "..",
        jwt({"alg": "RS256", "typ": "JWT"}, ["a", "list"], "AAAA"),
        jwt({"alg": "RS256", "typ": "JWT"}, {"aud": 5}, "AAAA"),
        jwt({"alg": "HS256", "typ": "JWT"}, {"aud": "C1"}, "AAAA"),
        jwt({"alg": "RSA1_5", "enc": "A128CBC-HS256", "zip": "DEF"}, {}, "a.b.c"),
        "\x00",
        "é.é.é",
    ],
)
def test_lo_03_what_is_no_id_token_of_ours_is_refused(walker: Walker, hint: str) -> None:
    walker.code()
    response = logout(walker, id_token_hint=hint)
    assert response.status_code == 400
    assert "Location" not in response.headers
    assert is_signed_in(walker)


def test_lo_03_a_genuine_token_with_one_letter_changed_is_refused(walker: Walker) -> None:
    head, body, signature = walker.tokens()["id_token"].split(".")
    swapped = base64.urlsafe_b64encode(json.dumps({**claims_of(f"{head}.{body}.x"), "aud": "C2"}).encode()).rstrip(b"=")
    for hint in (f"{head}.{swapped.decode()}.{signature}", f"{head}.{body}.{signature[:-4]}AAAA"):
        assert logout(walker, id_token_hint=hint).status_code == 400


def test_lo_04_a_foreign_page_cannot_sign_anybody_out(walker: Walker) -> None:
    walker.code()
    assert is_the_question(walker.follow(walker.get("/logout")))
    assert is_signed_in(walker)
    assert walker.open("POST", "/logout/confirm", data={}).status_code == 400
    assert is_signed_in(walker)


def test_lo_05_a_logout_ends_this_session_and_what_it_gave_and_no_other(walker: Walker, parts: Parts) -> None:
    first = walker.tokens(scope="openid offline_access")
    second = Walker(walker.app, parts)
    others = second.tokens()
    logout(walker, id_token_hint=first["id_token"])
    assert not is_signed_in(walker)
    assert is_signed_in(second)
    assert second.userinfo(others["access_token"]).status_code == 200
    # Offline access is what the person allowed beyond the session; an online grant dies with it.
    third = Walker(walker.app, parts)
    online = third.tokens()
    logout(third, id_token_hint=online["id_token"])
    assert third.userinfo(online["access_token"]).status_code == 401


def test_lo_05_the_cookie_is_dead_on_the_server(walker: Walker, parts: Parts) -> None:
    token = walker.tokens()["id_token"]
    cookie = walker.browser.get_cookie("__Host-idp_session", domain="login.example")
    assert cookie is not None
    logout(walker, id_token_hint=token)
    walker.browser.set_cookie("__Host-idp_session", cookie.value, domain="login.example")
    assert not is_signed_in(walker)


def test_lo_07_the_person_never_waits_for_a_relying_party(walker: Walker, parts: Parts) -> None:
    """A notice is a row that the worker delivers; the answer to the person needs no outgoing call."""
    token = walker.tokens()["id_token"]
    claims = claims_of(token)
    logout(walker, id_token_hint=token)
    with parts.database.reading() as db:
        notices = db.scalars(select(LogoutNotice)).all()
    assert [(notice.client_id, notice.sid, notice.sub) for notice in notices] == [("C1", claims["sid"], claims["sub"])]


def test_a_hint_of_another_session_asks_first(walker: Walker, parts: Parts) -> None:
    second = Walker(walker.app, parts)
    foreign = second.tokens()["id_token"]
    walker.code()
    question = walker.follow(logout(walker, id_token_hint=foreign, post_logout_redirect_uri=BYE))
    assert is_the_question(question)
    assert is_signed_in(walker)
    assert walker.submit(question, "/logout/confirm").location == BYE
    assert not is_signed_in(walker)
    assert is_signed_in(second)


@pytest.mark.parametrize("client_id", ["REMOVED", "OFF"])
def test_a_hint_of_a_client_that_is_gone_asks_first_and_leads_nowhere(
    walker: Walker, parts: Parts, client_id: str
) -> None:
    claims = claims_of(walker.tokens()["id_token"])
    hint = parts.keys.sign_jwt({**claims, "aud": client_id}, "RS256")
    question = walker.follow(logout(walker, id_token_hint=hint, post_logout_redirect_uri=BYE))
    assert is_the_question(question)
    assert is_signed_in(walker)
    assert logout(walker, id_token_hint=hint, client_id="C1").status_code == 400
    assert logout(walker, id_token_hint=hint, client_id=client_id).status_code == 400
    assert says_signed_out(walker.follow(walker.submit(question, "/logout/confirm")))
    assert not is_signed_in(walker)


def test_a_client_id_must_agree_with_the_hint(walker: Walker) -> None:
    token = walker.tokens()["id_token"]
    assert logout(walker, id_token_hint=token, client_id="C2").status_code == 400
    assert logout(walker, client_id="nope").status_code == 400
    assert logout(walker, id_token_hint=token, client_id="C1", post_logout_redirect_uri=BYE).location == BYE


def test_two_clients_cannot_compare_their_sids(walker: Walker, parts: Parts) -> None:
    one = claims_of(walker.tokens()["id_token"])
    other = Walker(walker.app, parts, client_id="C2", secret=SECRET_2, redirect_uri="https://rp2.example/cb")
    other.browser = walker.browser
    page = other.follow(other.az())
    code = other.answer_of(other.follow(other.submit(page, "/consent", decision="allow")))["code"]
    two = claims_of(other.tk(code).get_json()["id_token"])
    assert one["sid"] != two["sid"]
    assert one["sub"] != two["sub"]


def test_signing_in_again_keeps_what_the_session_gave(walker: Walker, clock: Clock) -> None:
    """A re-authentication gets a new cookie but stays the same session towards products."""
    first = walker.tokens()
    clock.advance(100)
    page = walker.follow(walker.az(prompt="login"))
    second = walker.tk(walker.answer_of(walker.sign_in(page))["code"]).get_json()
    assert claims_of(first["id_token"])["sid"] == claims_of(second["id_token"])["sid"]
    assert walker.userinfo(first["access_token"]).status_code == 200
    logout(walker, id_token_hint=second["id_token"])
    assert walker.userinfo(first["access_token"]).status_code == 401


def test_lo_09_there_is_no_logout_by_frames_of_products(walker: Walker) -> None:
    """Front-channel logout, which would load pages of products into ours, is not offered."""
    told = walker.get("/.well-known/openid-configuration").get_json()
    assert not [name for name in told if name.startswith("frontchannel")]
    page = walker.get("/logout")
    assert page.status_code == 200
    assert "<iframe" not in page.get_data(as_text=True)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "frame-src" not in page.headers["Content-Security-Policy"]
