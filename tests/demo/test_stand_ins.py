"""The stand-ins for social providers: our own doors understand each, and each refuses what the real one refuses."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import trustme

from idp.accounts.identity import Identity
from idp.config import read_config
from idp.doors.oauth import authorization_url, redeem
from idp.doors.provider_documents import ProviderDocuments
from idp.doors.provider_entries import read_providers
from idp.doors.providers import Registered
from idp.doors.social_errors import SocialError
from idp.fetch import Fetcher
from tests.fakes.social_sites import HOSTS, Lies, SocialSites, social_sites

ISSUER = "http://localhost:8000"
BOB = "bob@example.net"
KEYS = ("google", "facebook", "linkedin", "microsoft", "apple", "github")
VERIFIER = "a" * 50


@pytest.fixture(scope="module")
def running() -> Iterator[SocialSites]:
    with social_sites(ISSUER) as sites:
        yield sites


@pytest.fixture
def sites(running: SocialSites) -> SocialSites:
    """Every browser is Bob everywhere, who agrees to everything."""
    running.forget()
    for site in running.by_key.values():
        site.everybody, site.consent = site.find(BOB).subject, "allow"
    return running


@pytest.fixture
def registered(running: SocialSites, tmp_path: Path) -> dict[str, Registered]:
    file = tmp_path / "providers.yaml"
    file.write_text(running.providers_yaml)
    return read_providers(file, running.environment, loopback=True).take()


def documents() -> ProviderDocuments:
    return ProviderDocuments(Fetcher(read_config({"IDP_ISSUER": ISSUER})))


def answer_of(registered: Registered, **asked: Any) -> dict[str, str]:
    """What a browser without cookies brings back."""
    url = authorization_url(
        registered, documents(), redirect_uri=return_of(registered), state="s", nonce="n", verifier=VERIFIER, **asked
    )
    response = requests.get(url, allow_redirects=False, timeout=10)
    if response.status_code == 303:
        return dict(parse_qsl(urlsplit(response.headers["Location"]).query))
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', response.text)
    return {name: unescape(value) for name, value in found}


def return_of(registered: Registered) -> str:
    return f"{ISSUER}/login/social/{registered.key}/return"


def who(registered: Registered, answer: dict[str, str], verifier: str = VERIFIER) -> Identity:
    return redeem(
        registered, documents(), code=answer["code"], iss=answer.get("iss"), redirect_uri=return_of(registered),
        nonce="n", verifier=verifier, sent_at=time.time(), user_field=answer.get("user", ""), now=time.time(),
    )  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_each_tells_who_somebody_is(sites: SocialSites, registered: dict[str, Registered], key: str) -> None:
    answer = answer_of(registered[key])
    told = who(registered[key], answer)
    assert (told.subject, told.email, told.name) == (sites.by_key[key].find(BOB).subject, BOB, "Bob Berger")
    assert told.email_verified == (key != "facebook")
    with pytest.raises(SocialError):  # a code works once
        who(registered[key], answer)


@pytest.mark.parametrize("key", KEYS)
def test_an_address_that_was_not_proved_is_told_as_such(
    sites: SocialSites, registered: dict[str, Registered], key: str
) -> None:
    site = sites.by_key[key]
    subject = site.add_person("Una Proved", f"una-{key}@example.net", verified=False).subject
    site.everybody = subject
    assert not who(registered[key], answer_of(registered[key])).email_verified
    site.change(subject, email="")
    assert who(registered[key], answer_of(registered[key])).email is None


@pytest.mark.parametrize("key", KEYS)
def test_a_refusal_comes_back_in_the_providers_own_words(
    sites: SocialSites, registered: dict[str, Registered], key: str
) -> None:
    sites.by_key[key].consent = "deny"
    answer = answer_of(registered[key])
    assert answer["error"] in ("access_denied", "user_cancelled_authorize")
    assert answer["state"] == "s"


@pytest.mark.parametrize("key", ["google", "microsoft"])
def test_nobody_is_shown_anything_in_silence(sites: SocialSites, registered: dict[str, Registered], key: str) -> None:
    assert "code" in answer_of(registered[key], silent=True)
    sites.by_key[key].everybody = None
    assert answer_of(registered[key], silent=True)["error"] == "login_required"


@pytest.mark.parametrize("key", ["google", "microsoft", "facebook", "github"])
def test_a_code_without_its_verifier_is_worth_nothing(
    sites: SocialSites, registered: dict[str, Registered], key: str
) -> None:
    with pytest.raises(SocialError) as caught:
        who(registered[key], answer_of(registered[key]), verifier="b" * 50)
    assert caught.value.reason == "social_code_over"


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(("mood", "reason"), [("down", "social_unavailable"), ("broken", "social_answer_wrong")])
def test_moods(sites: SocialSites, registered: dict[str, Registered], key: str, mood: str, reason: str) -> None:
    answer = answer_of(registered[key])
    sites.by_key[key].mood = mood
    with pytest.raises(SocialError) as caught:
        who(registered[key], answer)
    assert caught.value.reason == reason


@pytest.mark.parametrize("key", ["google", "linkedin", "microsoft", "apple"])
def test_lies_are_told_when_a_test_wants_them(sites: SocialSites, registered: dict[str, Registered], key: str) -> None:
    tries: list[tuple[str, dict[str, Any]]] = [
        ("social_id_token_wrong", {"alg": "none"}),
        ("social_signature_wrong", {"alg": "other key"}),
        ("social_audience_wrong", {"claims": {"aud": "somebody-else"}}),
        ("social_issuer_wrong", {"answer": {"iss": "https://evil.example"}}),
    ]
    for reason, told in tries:
        sites.by_key[key].lies = Lies(**told)
        with pytest.raises(SocialError) as caught:
            who(registered[key], answer_of(registered[key]))
        assert caught.value.reason == reason


def test_apple_tells_the_name_once_and_hides_the_address(sites: SocialSites, registered: dict[str, Registered]) -> None:
    apple = sites.apple
    apple.everybody = apple.add_person("Rea Lay", "rea@example.net", hidden=True).subject
    first, again = answer_of(registered["apple"]), answer_of(registered["apple"])
    assert "user" in first
    assert "user" not in again
    told = who(registered["apple"], first)
    assert str(told.email).endswith("@privaterelay.appleid.com")


def test_facebook_wants_a_proof_of_the_secret(sites: SocialSites) -> None:
    answer = requests.get(f"{sites.facebook.back}/v24.0/me?access_token=any", timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == 190


def test_github_fails_with_status_200_and_a_form_unless_json_is_asked_for(sites: SocialSites) -> None:
    url = f"{sites.github.back}/login/oauth/access_token"
    assert requests.post(url, data={}, timeout=10).text.startswith("error=incorrect_client_credentials")
    answer = requests.post(url, data={}, headers={"Accept": "application/json"}, timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (200, "incorrect_client_credentials")


@pytest.mark.parametrize("key", KEYS)
def test_an_address_that_is_not_registered_gets_no_answer(
    sites: SocialSites, registered: dict[str, Registered], key: str
) -> None:
    url = authorization_url(
        registered[key], documents(), redirect_uri="https://evil.example/", state="s", nonce="n", verifier=VERIFIER
    )
    answer = requests.get(url, allow_redirects=False, timeout=10)
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_under_names_of_their_own_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", *HOSTS.values()).configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with social_sites(ISSUER, tls=context) as sites:
        assert sites.google.address == f"https://accounts.google.test:{sites.port}"
        answer = requests.get(
            f"https://127.0.0.1:{sites.port}/.well-known/openid-configuration",
            headers={"Host": f"accounts.google.test:{sites.port}"},
            verify=str(tmp_path / "ca.pem"),
            timeout=10,
        )
        assert answer.json()["issuer"] == sites.google.address
