"""attacks.md section 1: what must bounce at the authorization endpoint. Each test carries its case id."""

from __future__ import annotations

import base64
import json
import socket
import threading
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from idp.parts import Parts
from tests.conftest import Clock
from tests.journey import Walker, add_carol, claims_of, query_of
from tests.registrations import SECRET_2

EVIL = "https://evil.example/"


@pytest.fixture(autouse=True)
def carol(parts: Parts) -> str:
    return add_carol(parts)


def records(parts: Parts) -> set[str]:
    """Everything that Redis holds, but for the receipts, which are written a moment later."""
    return set(parts.store.command("KEYS", "*")) - {"attempts"}


def refused_on_a_page(response: TestResponse, parameter: str = "") -> None:
    """400, a page of ours that names the parameter, and no way off it."""
    html = response.get_data(as_text=True)
    assert response.status_code == 400, html
    assert "Location" not in response.headers
    assert 'id="error-page"' in html
    assert 'id="receipt-code"' in html
    assert parameter in html
    assert "evil" not in html
    assert response.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def refused_by_redirect(response: TestResponse, error: str) -> dict[str, str]:
    """The error at the registered redirect URI, with state and iss."""
    answer = Walker.answer_of(response)
    assert response.location.startswith("https://rp1.example/cb?")
    assert answer["error"] == error
    assert answer["state"] == "s1"
    assert answer["iss"] == "https://login.example"
    assert "code" not in answer
    return answer


def test_az_01_p_02_an_unknown_client_is_never_redirected(walker: Walker) -> None:
    refused_on_a_page(walker.az(client_id="nope", scope="x", redirect_uri=EVIL), "client_id")
    refused_on_a_page(walker.az(client_id="OFF", redirect_uri="https://off.example/cb"), "client_id")
    refused_on_a_page(walker.az(client_id=None), "client_id")


@pytest.mark.parametrize(
    "more",
    [
        {"scope": "foo"},
        {"nonce": None, "response_type": "id_token"},
        {"prompt": "foo"},
        {"code_challenge_method": "S512"},
        {"scope": "openid offline_access"},
        {"max_age": "abc"},
    ],
)
def test_az_02_p_02_a_foreign_redirect_uri_is_never_used_whatever_else_is_wrong(
    walker: Walker, more: dict[str, str | None]
) -> None:
    refused_on_a_page(walker.az(redirect_uri=EVIL, **more), "redirect_uri")


@pytest.mark.parametrize(
    "uri",
    ["javascript:alert(1)//", "data:text/html,x", "https://rp1.example/cb\r\nSet-Cookie:x=1", "\\\\evil", "///evil"],
)
def test_az_03_dangerous_redirect_uris_are_neither_used_nor_repeated(walker: Walker, uri: str) -> None:
    response = walker.az(redirect_uri=uri)
    refused_on_a_page(response, "redirect_uri")
    assert "alert(1)" not in response.get_data(as_text=True)
    assert "x=1" not in str(response.headers)


@pytest.mark.parametrize(
    "uri",
    [
        "https://rp1.example/CB",
        "https://rp1.example/cb/",
        "https://rp1.example/cb/../x",
        "https://rp1.example/cb%2f..%2fx",
        "https://rp1.example/cb;x",
        "https://rp1.example/cb?x=1",
        "https://rp1.example/cb?bar=foo&x=1",
        "https://rp1.example/cb#x",
        "https://rp1.example:443/cb",
        "https://user@rp1.example/cb",
        "https://rp1.example./cb",
        "https://rр1.example/cb",  # the second letter is Cyrillic
        "https://rp1.example.evil.com/cb",
        "https://rp1.example@evil.com/cb",
        "https:\\\\rp1.example\\cb",
        "https://rp1.example/cb\t",
        "https://rp1.example/cb\n",
        "https://rp1.example/cb%00",
        "https://rp1.example/cb\x00",
        "http://rp1.example/cb",
        " https://rp1.example/cb",
        "HTTPS://rp1.example/cb",
    ],
)
def test_az_04_the_redirect_uri_is_compared_byte_for_byte(walker: Walker, uri: str) -> None:
    response = walker.az(redirect_uri=uri)
    assert response.status_code == 400
    assert "Location" not in response.headers


def test_az_06_the_redirect_uri_is_never_guessed(walker: Walker) -> None:
    refused_on_a_page(walker.az(redirect_uri=None), "redirect_uri")
    refused_on_a_page(walker.az(redirect_uri=""), "redirect_uri")


@pytest.mark.parametrize(
    "response_type", ["code code", "code ", "token", "id_token", "code token", "code id_token", "CODE", "none"]
)
def test_az_07_p_17_only_the_response_type_code(walker: Walker, response_type: str) -> None:
    response = walker.az(response_type=response_type)
    refused_by_redirect(response, "unsupported_response_type")
    assert "#" not in response.location


def test_az_07_a_missing_response_type_is_told_in_the_query(walker: Walker) -> None:
    refused_by_redirect(walker.az(response_type=None), "invalid_request")


@pytest.mark.parametrize("mode", ["fragment", "web_message", "jwt", "query.jwt", "form_post<script>", "Query"])
def test_az_08_p_18_unknown_response_modes_are_refused_in_the_default_mode(walker: Walker, mode: str) -> None:
    response = walker.az(response_mode=mode)
    refused_by_redirect(response, "invalid_request")
    assert "script>" not in response.location.lower().replace("%3e", ">")


def test_az_08_form_post_is_honoured_also_for_errors(walker: Walker) -> None:
    html = walker.az(response_mode="form_post", prompt="none").get_data(as_text=True)
    assert 'action="https://rp1.example/cb"' in html
    assert 'name="error" value="login_required"' in html
    assert 'name="state" value="s1"' in html


def unsigned(**claims: str) -> str:
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


@pytest.mark.parametrize(
    "request_object",
    [
        unsigned(client_id="C1", redirect_uri=EVIL, prompt="none"),
        "eyJhbGciOiJSUzI1NiJ9.e30.garbage",
        "a.b.c.d.e",
        "x" * 5000,
    ],
)
def test_az_09_p_03_request_objects_are_refused_unread(walker: Walker, parts: Parts, request_object: str) -> None:
    walker.code()
    before = records(parts)
    refused_by_redirect(walker.az(request=request_object), "request_not_supported")
    assert records(parts) == before


def test_az_09_a_request_object_of_a_megabyte_is_refused_unread(walker: Walker) -> None:
    response = walker.az(request="x" * 1_000_000)
    assert response.status_code in (400, 413)
    assert "Location" not in response.headers


def test_az_10_nothing_is_fetched_for_a_request(walker: Walker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        refused_by_redirect(walker.az(request_uri=address), "request_uri_not_supported")
        refused_by_redirect(walker.az(registration=json.dumps({"jwks_uri": address})), "registration_not_supported")
        walker.az(claims=json.dumps({"userinfo": {"_claim_sources": {"a": {"endpoint": address}}}}))
        with pytest.raises(TimeoutError):
            listener.accept()


def test_az_11_p_03_hints_name_people_only_if_we_signed_them(walker: Walker, parts: Parts, clock: Clock) -> None:
    add_carol(parts, "bob@example.net")
    bobs = Walker(walker.app, parts)
    page = bobs.follow(bobs.az())
    code = bobs.answer_of(bobs.sign_in(page, email="bob@example.net"))["code"]
    bobs_token = bobs.tk(code).get_json()["id_token"]
    carols_token = walker.tokens()["id_token"]
    carol = claims_of(carols_token)["sub"]

    def silently(hint: str) -> dict[str, str]:
        return walker.answer_of(walker.az(prompt="none", id_token_hint=hint))

    # A genuine token of somebody else: nobody is passed off as somebody else.
    assert silently(bobs_token)["error"] == "login_required"
    # Forged ones name nobody: the answer is about carol, who is signed in, never about bob.
    head, body, signature = bobs_token.split(".")
    forged = unsigned(sub=claims_of(bobs_token)["sub"], iss="https://login.example", aud="C1", sid="x")
    # Nor do genuine ones of a client that is gone: what its subjects meant, nobody knows any more.
    gone = parts.keys.sign_jwt({**claims_of(bobs_token), "aud": "REMOVED"}, "RS256")
    for hint in (forged, gone, f"{head}.{body}.{signature[:-8]}AAAAAAAA", "a.b.c.d.e", "garbage", "x" * 4000):
        tokens = walker.tk(silently(hint)["code"]).get_json()
        assert claims_of(tokens["id_token"])["sub"] == carol
    # One's own is accepted, also when it has expired.
    clock.advance(3601)
    assert "code" in silently(carols_token)


def test_az_11_a_hint_of_another_client_names_the_same_person(walker: Walker, parts: Parts) -> None:
    walker.code()
    other = Walker(walker.app, parts, client_id="C2", secret=SECRET_2, redirect_uri="https://rp2.example/cb")
    other.browser = walker.browser
    page = other.follow(other.az())
    code = other.answer_of(other.follow(other.submit(page, "/consent", decision="allow")))["code"]
    pairwise_token = other.tk(code).get_json()["id_token"]
    assert "code" in walker.answer_of(walker.az(prompt="none", id_token_hint=pairwise_token))


@pytest.mark.parametrize(
    "claims",
    [
        "{",
        "[1]",
        '"x"',
        '{"id_token":"x"}',
        '{"userinfo":[]}',
        "[" * 1500,
        '{"userinfo":{"a":NaN}}',
        '{"userinfo":{},"userinfo":{}}',
    ],
)
def test_az_12_claims_that_are_no_claims_request_are_refused(walker: Walker, claims: str) -> None:
    refused_by_redirect(walker.az(claims=claims), "invalid_request")


def test_az_12_a_megabyte_of_claims_is_refused(walker: Walker) -> None:
    response = walker.az(claims="[" * 1_000_000)
    assert response.status_code in (400, 413)


def test_az_12_no_internal_field_is_a_claim(walker: Walker) -> None:
    wanted = json.dumps({"userinfo": {"password_hash": None, "id": None, "state": None, "account_id": None}})
    tokens = walker.tokens(claims=wanted)
    assert set(walker.userinfo(tokens["access_token"]).get_json()) == {"sub"}


@pytest.mark.parametrize("max_age", ["abc", "-1", "1e9", "9" * 5000, "1.5", " 1", "１"])
def test_az_13_max_age_is_a_number_of_seconds(walker: Walker, max_age: str) -> None:
    refused_by_redirect(walker.az(max_age=max_age), "invalid_request")


def test_az_13_max_age_zero_asks_for_a_sign_in(walker: Walker) -> None:
    walker.code()
    assert walker.az(max_age="0").location.startswith("/login?")


@pytest.mark.parametrize("scope", ["openid admin:all tenant:B", "openid " + " ".join(f"s{n}" for n in range(900))])
def test_az_14_p_05_unknown_scopes_are_not_granted(walker: Walker, scope: str) -> None:
    tokens = walker.tokens(scope=scope)
    assert tokens["scope"] == "openid"
    seen = walker.post("/introspect", {"token": tokens["access_token"]}, walker.basic()).get_json()
    assert seen["scope"] == "openid"


@pytest.mark.parametrize("scope", ["openid\temail", "openid\nemail", 'openid "x"', "openid  email", "", " "])
def test_az_14_malformed_scopes_are_refused(walker: Walker, scope: str) -> None:
    refused_by_redirect(walker.az(scope=scope), "invalid_scope")


def test_az_14_a_scope_given_twice_is_refused(walker: Walker) -> None:
    refused_by_redirect(walker.get(walker.authorization_url() + "&scope=openid+admin"), "invalid_request")


def test_az_16_fresh_authentication_is_enforced_when_the_code_is_made(walker: Walker, clock: Clock) -> None:
    walker.code()
    first = claims_of(walker.tokens()["id_token"])["auth_time"]
    clock.advance(7200)
    for demand in ({"max_age": "60"}, {"prompt": "login"}):
        asked_at = int(clock())
        page = walker.az(**demand)
        assert page.location.startswith("/login?")
        handle = query_of(page.location)["p"][0]
        # Going on without signing in leads back to the sign-in page, not to a code.
        again = walker.get(f"/authorize/resume?p={quote(handle)}")
        assert again.location.startswith("/login?")
        clock.advance(5)
        code = walker.answer_of(walker.sign_in(page))["code"]
        auth_time = claims_of(walker.tk(code).get_json()["id_token"])["auth_time"]
        assert auth_time > asked_at > first
        clock.advance(7200)


def test_az_16_an_acr_that_is_essential_and_out_of_reach_is_refused(walker: Walker) -> None:
    walker.code()
    wanted = json.dumps({"id_token": {"acr": {"essential": True, "values": ["mfa"]}}})
    refused_by_redirect(walker.az(claims=wanted), "unmet_authentication_requirements")
    # A voluntary one is answered by what was really done, never by what was wished.
    assert claims_of(walker.tokens(acr_values="mfa")["id_token"])["acr"] == "1"


@pytest.mark.parametrize(
    "more",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge": ""},
        {"code_challenge": "a" * 42},
        {"code_challenge": "a" * 129},
        {"code_challenge": "é" * 43},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"code_challenge_method": "S512"},
    ],
)
def test_az_17_p_11_a_public_client_needs_pkce_with_s256(
    parts: Parts, walker: Walker, more: dict[str, str | None]
) -> None:
    public = Walker(walker.app, parts, client_id="P1", secret=None, redirect_uri="https://spa.example/cb")
    assert public.answer_of(public.az(**more))["error"] == "invalid_request"


def test_az_19_other_methods_have_no_side_effect(walker: Walker, parts: Parts) -> None:
    walker.code()
    before = records(parts)
    for method in ("HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"):
        response = walker.open(method, walker.authorization_url())
        assert response.status_code == 405, method
        assert "Location" not in response.headers
    assert walker.open("HEAD", "/consent?p=x&decision=allow").status_code in (303, 400, 405)
    assert records(parts) == before


def test_az_20_pages_cannot_be_framed(walker: Walker, parts: Parts) -> None:
    other = Walker(walker.app, parts, client_id="C2", secret=SECRET_2, redirect_uri="https://rp2.example/cb")
    consent = other.sign_in(other.follow(other.az()))
    assert 'id="consent-allow"' in consent.get_data(as_text=True)
    assert "frame-ancestors 'none'" in consent.headers["Content-Security-Policy"]
    assert consent.headers["X-Frame-Options"] == "DENY"


def test_az_21_a_sign_in_that_began_elsewhere_cannot_be_continued_here(walker: Walker, parts: Parts) -> None:
    mallory = Walker(walker.app, parts)
    link = mallory.az().location
    page = walker.get(link)
    refused_on_a_page(page)
    # Nor by posting into it from a browser that has a sign-in of its own.
    own = walker.follow(walker.az())
    stolen = query_of(link)["p"][0]
    answer = walker.submit(own, "/login", p=stolen, username="carol@example.org")
    assert answer.status_code == 400
    # And mallory's transaction has got no session and no code by it.
    assert mallory.follow(mallory.get(f"/authorize/resume?p={quote(stolen)}")).status_code == 200


def test_az_22_what_was_asked_for_cannot_be_edited_on_the_way(walker: Walker) -> None:
    page = walker.follow(walker.az(scope="openid"))
    changes = {"client_id": "C2", "redirect_uri": EVIL, "scope": "openid email", "state": "other"}
    page = walker.follow(walker.submit(page, "/login", username="carol@example.org", **changes))
    page = walker.sign_in(page, **changes)
    answer = walker.answer_of(page)
    assert page.location.startswith("https://rp1.example/cb?")
    assert answer["state"] == "s1"
    tokens = walker.tk(answer["code"]).get_json()
    assert tokens["scope"] == "openid"


def test_az_28_what_a_request_says_is_escaped(walker: Walker) -> None:
    hostile = '"><svg/onload=alert(1)>@x.example'
    page = walker.follow(walker.az(login_hint=hostile, ui_locales="../../etc", display="<b>"))
    html = page.get_data(as_text=True)
    assert page.status_code == 200
    assert "<svg" not in html
    assert "../" not in html
    assert '<html lang="en"' in html


def test_az_29_no_cors_where_people_are(walker: Walker) -> None:
    for method in ("OPTIONS", "GET"):
        response = walker.open(
            method,
            walker.authorization_url(),
            headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"},
        )
        assert "Access-Control-Allow-Origin" not in response.headers


def test_az_30_no_silent_code_without_recorded_consent(walker: Walker, parts: Parts) -> None:
    walker.code()
    other = Walker(walker.app, parts, client_id="C2", secret=SECRET_2, redirect_uri="https://rp2.example/cb")
    other.browser = walker.browser
    assert other.answer_of(other.az(prompt="none"))["error"] == "consent_required"


def test_p_19_no_input_to_authorize_ends_in_a_5xx(walker: Walker) -> None:
    """The class behind P-19: whatever a parameter holds, the answer is a page or an OAuth error."""
    nasty = [
        "",
        " ",
        "\x00",
        "é",
        "\ud7ff",
        "%s%n",
        "a" * 3000,
        "[]",
        "{}",
        "null",
        "-1",
        "none login",
        "\r\nX: y",
        "'",
        "🙂" * 50,
    ]
    names = [
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "prompt",
        "max_age",
        "acr_values",
        "login_hint",
        "id_token_hint",
        "ui_locales",
        "claims",
        "display",
        "request",
        "registration",
    ]
    for name in names:
        for value in nasty:
            response = walker.az(**{name: value})
            assert response.status_code < 500, (name, value)
    for raw in (
        b"/authorize?%ff=%fe",
        b"/authorize?client_id=%ff",
        b"/authorize?" + b"a=1&" * 100,
        b"/authorize?;;;&&&===",
    ):
        assert walker.get(raw.decode("latin-1")).status_code == 400


def test_ds_05_state_and_nonce_are_capped(walker: Walker) -> None:
    answer = Walker.answer_of(walker.az(state="x" * 1025))
    assert answer["error"] == "invalid_request"
    assert "state" not in answer
    assert Walker.answer_of(walker.az(nonce="x" * 1025))["error"] == "invalid_request"
    long_state = "s" * 1024
    page = walker.follow(walker.az(state=long_state))
    assert walker.answer_of(walker.sign_in(page))["state"] == long_state


def test_two_browsers_sign_in_at_once_without_meeting(walker: Walker, parts: Parts) -> None:
    add_carol(parts, "bob@example.net")
    subjects: dict[str, str] = {}

    def go(email: str) -> None:
        person = Walker(walker.app, parts)
        code = person.answer_of(person.sign_in(person.follow(person.az()), email=email))["code"]
        subjects[email] = claims_of(person.tk(code).get_json()["id_token"])["sub"]

    threads = [threading.Thread(target=go, args=(email,)) for email in ("carol@example.org", "bob@example.net")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(subjects.values())) == 2


@pytest.mark.parametrize(
    "wish", ['{"acr":{"essential":true,"values":5}}', '{"acr":{"values":"1"}}', '{"sub":{"values":{"a":1}}}']
)
@pytest.mark.parametrize("signed_in", [True, False])
def test_az_12_values_of_a_wish_are_a_list(walker: Walker, wish: str, signed_in: bool) -> None:
    if signed_in:
        walker.code()
    refused_by_redirect(walker.az(claims=f'{{"id_token":{wish}}}'), "invalid_request")


@pytest.mark.parametrize("value", ["5", "null", '["x"]', '"somebody else"', "true"])
def test_az_11_a_sub_that_is_not_this_persons_never_shows_a_page_to_prompt_none(walker: Walker, value: str) -> None:
    walker.code()
    claims = f'{{"id_token":{{"sub":{{"value":{value}}}}}}}'
    refused_by_redirect(walker.az(claims=claims, prompt="none"), "login_required")


def test_az_11_the_persons_own_sub_may_be_asked_for(walker: Walker) -> None:
    sub = claims_of(walker.tokens()["id_token"])["sub"]
    for wish in ({"value": sub}, {"values": ["x", sub]}):
        assert "code" in walker.answer_of(walker.az(claims=json.dumps({"userinfo": {"sub": wish}}), prompt="none"))


@pytest.mark.parametrize("signed_in", [True, False])
def test_a_parameter_that_we_use_ourselves_is_ignored_beside_others(walker: Walker, signed_in: bool) -> None:
    if signed_in:
        walker.code()
    page = walker.follow(walker.az(posted="hello", p="x", other="y"))
    assert page.status_code == (303 if signed_in else 200)
