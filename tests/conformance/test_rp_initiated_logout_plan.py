"""oidcc-rp-initiated-logout-certification-test-plan: a product signs its user out. Each test is named after its module."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.test import TestResponse

from tests.conformance.suite import BYE, CLIENT, Suite, decode, is_error_page, letters


def log_out(suite: Suite, **parameters: str) -> TestResponse:
    """Send the browser to sign out; follow to where it leaves us or a page asks."""
    endpoint = suite.metadata["end_session_endpoint"]
    return suite.walker.follow(suite.walker.get(endpoint, query_string=parameters))


def confirm(suite: Suite, page: TestResponse) -> TestResponse:
    """Answer the question of whether to sign out."""
    assert page.status_code == 200
    assert 'id="logout-confirm"' in page.get_data(as_text=True)
    return suite.walker.follow(suite.walker.submit(page, "/logout/confirm"))


def says_signed_out(page: TestResponse) -> bool:
    html = page.get_data(as_text=True)
    return page.status_code == 200 and 'id="logged-out"' in html and "signed out" in html


def header_and_claims(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    head, body, _ = token.split(".")
    return json.loads(decode(head)), json.loads(decode(body))


def test_oidcc_rp_initiated_logout_discovery_endpoint_verification(suite: Suite) -> None:
    endpoint = urlsplit(suite.metadata["end_session_endpoint"])
    assert endpoint.scheme == "https" and endpoint.hostname


def test_oidcc_rp_initiated_logout(suite: Suite) -> None:
    token = suite.sign_in().tokens["id_token"]
    state = letters(128)
    left = log_out(suite, id_token_hint=token, post_logout_redirect_uri=BYE, state=state)
    assert left.status_code == 303
    assert left.location == f"{BYE}?state={state}"
    assert suite.says_nobody_is_signed_in()


def test_oidcc_rp_initiated_logout_no_state(suite: Suite) -> None:
    token = suite.sign_in().tokens["id_token"]
    left = log_out(suite, id_token_hint=token, post_logout_redirect_uri=BYE)
    assert (left.status_code, left.location) == (303, BYE)
    assert suite.says_nobody_is_signed_in()


def test_oidcc_rp_initiated_logout_bad_post_logout_redirect_uri(suite: Suite) -> None:
    token = suite.sign_in().tokens["id_token"]
    page = log_out(suite, id_token_hint=token, post_logout_redirect_uri=BYE + letters(10), state=letters(128))
    assert is_error_page(page, "post_logout_redirect_uri")


def test_oidcc_rp_initiated_logout_query_added_to_post_logout_redirect_uri(suite: Suite) -> None:
    token = suite.sign_in().tokens["id_token"]
    page = log_out(suite, id_token_hint=token, post_logout_redirect_uri=f"{BYE}?foo=bar", state=letters(128))
    assert is_error_page(page, "post_logout_redirect_uri")


def test_oidcc_rp_initiated_logout_modified_id_token_hint(suite: Suite) -> None:
    """The claims of a genuine ID token, with alg none."""
    header, claims = header_and_claims(suite.sign_in().tokens["id_token"])
    parts = (json.dumps(part).encode() for part in (header | {"alg": "none"}, claims))
    hint = ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), ""])
    page = log_out(suite, id_token_hint=hint, post_logout_redirect_uri=BYE, state=letters(128))
    assert is_error_page(page, "id_token_hint")
    assert not suite.says_nobody_is_signed_in()


def test_oidcc_rp_initiated_logout_bad_id_token_hint(suite: Suite) -> None:
    """Signed by the client with a key of its own, issuer and audience swapped."""
    header, claims = header_and_claims(suite.sign_in().tokens["id_token"])
    claims |= {"iss": CLIENT, "aud": claims["iss"]}
    hint = jwt.encode(header, claims, RSAKey.generate_key(2048), algorithms=["RS256"])
    page = log_out(suite, id_token_hint=hint, post_logout_redirect_uri=BYE, state=letters(128))
    assert is_error_page(page, "id_token_hint")
    assert not suite.says_nobody_is_signed_in()


def test_oidcc_rp_initiated_logout_no_id_token_hint(suite: Suite) -> None:
    """Nobody shows who asks: there is a question, and after it a page."""
    suite.sign_in()
    question = log_out(suite, post_logout_redirect_uri=BYE, state=letters(128))
    assert says_signed_out(confirm(suite, question))
    assert suite.says_nobody_is_signed_in()


def test_oidcc_rp_initiated_logout_no_params(suite: Suite) -> None:
    suite.sign_in()
    question = log_out(suite)
    assert not suite.says_nobody_is_signed_in()
    assert says_signed_out(confirm(suite, question))
    assert suite.says_nobody_is_signed_in()


def test_oidcc_rp_initiated_logout_only_state(suite: Suite) -> None:
    suite.sign_in()
    question = log_out(suite, state=letters(128))
    assert not suite.says_nobody_is_signed_in()
    assert says_signed_out(confirm(suite, question))
    assert suite.says_nobody_is_signed_in()


def test_oidcc_rp_initiated_logout_no_post_logout_redirect_uri(suite: Suite) -> None:
    token = suite.sign_in().tokens["id_token"]
    assert says_signed_out(log_out(suite, id_token_hint=token, state=letters(128)))
    assert suite.says_nobody_is_signed_in()
