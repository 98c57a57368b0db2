"""oidcc-basic-certification-test-plan and, with response_mode=form_post, oidcc-formpost-basic-certification-test-plan.

Every test runs in both. Each one is named after the module whose demand it makes.
"""

from __future__ import annotations

import base64
import json

import pytest

from tests.conformance.suite import CLIENT, CLIENT_2, Suite, is_error_page, letters
from tests.conftest import ISSUER, Clock
from tests.journey import Walker, challenge_of


@pytest.fixture(params=["default", "form_post"])
def suite(browser: Walker, clock: Clock, request: pytest.FixtureRequest) -> Suite:
    return Suite(browser, clock, request.param)


def unsigned(**claims: str) -> str:
    """An unsigned request object (OpenID Connect Core 6.1)."""
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), ""])


def test_oidcc_server(suite: Suite) -> None:
    done = suite.sign_in()
    assert suite.pages == ["login"]
    suite.check_userinfo(suite.userinfo(done.tokens["access_token"]), done)


def test_oidcc_server_client_secret_post(suite: Suite) -> None:
    done = suite.round(*suite.authorize(), method="post")
    suite.check_userinfo(suite.userinfo(done.tokens["access_token"]), done)


def test_oidcc_response_type_missing(suite: Suite) -> None:
    asked = suite.request(response_type=None)
    answer = suite.callback(suite.visit(asked), asked)
    assert answer["error"] in ("unsupported_response_type", "invalid_request")
    assert suite.pages == []


def test_oidcc_userinfo_get(suite: Suite) -> None:
    done = suite.sign_in()
    suite.check_userinfo(suite.userinfo(done.tokens["access_token"]), done)


def test_oidcc_userinfo_post_header(suite: Suite) -> None:
    done = suite.sign_in()
    headers = {"Authorization": f"Bearer {done.tokens['access_token']}"}
    suite.check_userinfo(suite.call("POST", suite.metadata["userinfo_endpoint"], None, headers), done)


def test_oidcc_userinfo_post_body(suite: Suite) -> None:
    done = suite.sign_in()
    form = {"access_token": done.tokens["access_token"]}
    suite.check_userinfo(suite.call("POST", suite.metadata["userinfo_endpoint"], form), done)


def test_oidcc_ensure_request_without_nonce_succeeds_for_code_flow(suite: Suite) -> None:
    assert "nonce" not in suite.sign_in(nonce=None).claims


def scopes_give_all_their_claims(suite: Suite, *scopes: str) -> None:
    assert set(scopes) <= set(suite.metadata["scopes_supported"])
    done = suite.sign_in(scope=" ".join(("openid", *scopes)))
    suite.check_userinfo(suite.userinfo(done.tokens["access_token"]), done, *scopes)


def test_oidcc_scope_profile(suite: Suite) -> None:
    scopes_give_all_their_claims(suite, "profile")


def test_oidcc_scope_email(suite: Suite) -> None:
    scopes_give_all_their_claims(suite, "email")


def test_oidcc_scope_address(suite: Suite) -> None:
    scopes_give_all_their_claims(suite, "address")


def test_oidcc_scope_phone(suite: Suite) -> None:
    scopes_give_all_their_claims(suite, "phone")


def test_oidcc_scope_all(suite: Suite) -> None:
    scopes_give_all_their_claims(suite, "profile", "email", "address", "phone")


def test_oidcc_alternate_happy_flow(suite: Suite) -> None:
    """Scopes and parameters in the reverse order."""
    asked = dict(reversed(suite.request(scope="phone address email profile openid").items()))
    done = suite.round(asked, suite.callback(suite.visit(asked), asked)["code"])
    suite.check_userinfo(suite.userinfo(done.tokens["access_token"]), done, *("profile", "email", "address", "phone"))


def test_oidcc_display_page(suite: Suite) -> None:
    suite.sign_in(display="page")


def test_oidcc_display_popup(suite: Suite) -> None:
    suite.sign_in(display="popup")


def test_oidcc_prompt_login(suite: Suite, clock: Clock) -> None:
    first = suite.sign_in()
    clock.advance(1)
    second = suite.sign_in(prompt="login")
    assert suite.pages == ["login", "login"]
    assert second.claims["sub"] == first.claims["sub"]
    assert second.claims["auth_time"] > first.claims["auth_time"]


def test_oidcc_prompt_none_not_logged_in(suite: Suite) -> None:
    assert suite.says_nobody_is_signed_in()
    assert suite.pages == []


@pytest.mark.parametrize("client_id", [CLIENT, CLIENT_2])
def test_oidcc_prompt_none_logged_in(suite: Suite, clock: Clock, client_id: str) -> None:
    """The second client is a third party: what was allowed once is not asked again."""
    first = suite.sign_in(client_id=client_id)
    assert suite.pages == (["login"] if client_id == CLIENT else ["login", "consent"])
    clock.advance(1)
    second = suite.signed_in_silently(client_id=client_id, prompt="none")
    assert second.claims["sub"] == first.claims["sub"]
    assert second.claims["auth_time"] == first.claims["auth_time"]
    assert second.claims["iat"] > first.claims["iat"]


def test_oidcc_max_age_1(suite: Suite, clock: Clock) -> None:
    first = suite.sign_in()
    clock.advance(2)
    second = suite.sign_in(max_age="1")
    assert suite.pages == ["login", "login"]
    assert second.claims["sub"] == first.claims["sub"]
    assert second.claims["auth_time"] > first.claims["auth_time"]
    assert second.claims["auth_time"] >= second.claims["iat"] - 1


def test_oidcc_max_age_10000(suite: Suite, clock: Clock) -> None:
    first = suite.sign_in(max_age="15000")
    clock.advance(1)
    second = suite.signed_in_silently(max_age="10000")
    assert second.claims["sub"] == first.claims["sub"]
    assert second.claims["auth_time"] == first.claims["auth_time"]


def test_oidcc_ensure_request_with_unknown_parameter_succeeds(suite: Suite) -> None:
    suite.sign_in(extra="foobar")


def test_oidcc_id_token_hint(suite: Suite, clock: Clock) -> None:
    first = suite.sign_in()
    clock.advance(1)
    second = suite.signed_in_silently(prompt="none", id_token_hint=first.tokens["id_token"])
    assert second.claims["sub"] == first.claims["sub"]
    assert second.claims["auth_time"] == first.claims["auth_time"]


def test_oidcc_login_hint(suite: Suite) -> None:
    suite.sign_in(login_hint="buffy@login.example")


def test_oidcc_ui_locales(suite: Suite) -> None:
    suite.sign_in(ui_locales="se")


def test_oidcc_claims_locales(suite: Suite) -> None:
    suite.sign_in(claims_locales="se")


def test_oidcc_ensure_request_with_acr_values_succeeds(suite: Suite) -> None:
    supported = suite.metadata["acr_values_supported"]
    assert suite.sign_in(acr_values=" ".join(supported)).claims["acr"] in supported


def test_oidcc_codereuse(suite: Suite) -> None:
    done = suite.sign_in()
    suite.check_error(suite.redeem(done.code, done.asked), 400, "invalid_grant")


def test_oidcc_codereuse_30seconds(suite: Suite, clock: Clock) -> None:
    """After the second use, what the first one gave is dead too."""
    done = suite.sign_in()
    assert suite.userinfo(done.tokens["access_token"]).status_code == 200
    clock.advance(30)
    suite.check_error(suite.redeem(done.code, done.asked), 400, "invalid_grant")
    assert suite.userinfo(done.tokens["access_token"]).status_code == 401


def test_oidcc_ensure_registered_redirect_uri(suite: Suite) -> None:
    """Signed in or not: an address with a path appended gets nothing, not even an error."""
    asked = suite.request()
    asked["redirect_uri"] += f"/{letters(10)}"
    assert is_error_page(suite.visit(asked), "redirect_uri")
    suite.sign_in()
    assert is_error_page(suite.visit(asked), "redirect_uri")


def test_oidcc_ensure_post_request_succeeds(suite: Suite) -> None:
    asked = suite.request()
    posted = suite.walker.open("POST", suite.metadata["authorization_endpoint"], data=asked)
    # By 303, so that the form is not posted to the next page as well.
    assert posted.status_code == 303
    suite.round(asked, suite.callback(suite.work_through(posted), asked)["code"])


def test_oidcc_unsigned_request_object_supported_correctly_or_rejected_as_unsupported(suite: Suite) -> None:
    """The suite leaves it out, because discovery says that there is no alg none; whoever tries gets the right error."""
    assert "none" not in suite.metadata["request_object_signing_alg_values_supported"]
    assert suite.metadata["request_parameter_supported"] is False
    inside = suite.request()
    asked = {name: value for name, value in inside.items() if name not in ("state", "nonce")}
    answer = suite.callback(suite.visit({**asked, "request": unsigned(**inside)}), asked)
    assert answer["error"] == "request_not_supported"


def test_oidcc_ensure_request_object_with_redirect_uri(suite: Suite) -> None:
    """The address outside is wrong: nothing is sent anywhere, whatever stands inside."""
    assert "none" not in suite.metadata["request_object_signing_alg_values_supported"]
    inside = suite.request()
    outside = inside | {"redirect_uri": f"{ISSUER}/{letters(10)}", "request": unsigned(**inside)}
    assert is_error_page(suite.visit(outside), "redirect_uri")


def test_oidcc_claims_essential(suite: Suite) -> None:
    """The name comes from userinfo, and does not stand in the ID token (``round`` looks)."""
    done = suite.sign_in(claims=json.dumps({"userinfo": {"name": {"essential": True}}}))
    suite.check_userinfo(suite.userinfo(done.tokens["access_token"]), done, wished={"name"})


def test_oidcc_refresh_token(suite: Suite, clock: Clock) -> None:
    """Both clients get one; each may use its own, neither the other's."""
    scope = "openid offline_access"
    rounds = {
        client_id: suite.sign_in(client_id=client_id, scope=scope, prompt="consent") for client_id in (CLIENT, CLIENT_2)
    }
    assert suite.pages == ["login", "consent", "consent"]
    clock.advance(1)
    refreshed = {}
    for client_id, done in rounds.items():
        form = {"grant_type": "refresh_token", "refresh_token": done.tokens["refresh_token"], "scope": scope}
        tokens = suite.check_tokens(suite.token_request(form, client_id))
        claims = suite.check_id_token(tokens["id_token"], client_id, None, tokens["access_token"])
        same = ("iss", "sub", "aud", "azp", "auth_time")
        assert [claims.get(name) for name in same] == [done.claims.get(name) for name in same]
        assert claims["iat"] > done.claims["iat"]
        assert tokens["access_token"] != done.tokens["access_token"]
        suite.check_userinfo(suite.userinfo(tokens["access_token"]), done)
        refreshed[client_id] = tokens["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": refreshed[CLIENT_2]}
    suite.check_error(suite.token_request(form, CLIENT), 400, "invalid_grant")


def test_oidcc_ensure_request_with_valid_pkce_succeeds(suite: Suite) -> None:
    assert "S256" in suite.metadata["code_challenge_methods_supported"]
    verifier = letters(64)
    proof = {"code_challenge": challenge_of(verifier), "code_challenge_method": "S256"}
    suite.round(*suite.authorize(**proof), code_verifier=verifier)
