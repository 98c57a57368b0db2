"""What a product may say about where its person belongs: read strictly, and nothing of it can stop a sign-in."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from idp.oidc.request_checks import RequestRefused, check_request
from idp.parts import Parts

REQUEST = {
    "client_id": "C1",
    "response_type": "code",
    "scope": "openid",
    "redirect_uri": "https://rp1.example/cb",
    "state": "s1",
}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("acme.example", "acme.example"),
        ("ACME.Example", "acme.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("acme.example.", "acme.example"),
        ("BÜCHER.example.", "xn--bcher-kva.example"),
        ("acme", ""),
        ("alice@acme.example", ""),
        ("acme.example/../x", ""),
        ("[127.0.0.1]", ""),
        ("acme.example\n", "acme.example"),
        ("a b.example", ""),
        ("x" * 400 + ".example", ""),
        ("", ""),
    ],
)
def test_a_domain_hint_is_a_domain_or_nothing(parts: Parts, given: str, read: str) -> None:
    assert check_request(urlencode({**REQUEST, "domain_hint": given}), parts.clients).domain_hint == read


@pytest.mark.parametrize(
    ("given", "read"),
    [("acme0001", "acme0001"), ("ACME", ""), ("../x", ""), ("a" * 17, ""), ("a\n", ""), ("a:{b}", ""), ("", "")],
)
def test_an_idp_hint_is_the_id_of_a_connection_or_nothing(parts: Parts, given: str, read: str) -> None:
    assert check_request(urlencode({**REQUEST, "idp_hint": given}), parts.clients).idp_hint == read


@pytest.mark.parametrize("name", ["idp_hint", "domain_hint"])
def test_a_hint_is_given_once(parts: Parts, name: str) -> None:
    with pytest.raises(RequestRefused, match="parameter_repeated"):
        check_request(urlencode([*REQUEST.items(), (name, "a"), (name, "b")]), parts.clients)
