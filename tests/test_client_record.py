"""The record of one relying party: what it may say, and what it answers when a request asks it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from idp.client_record import Client, hash_secret
from idp.clients import read_content
from tests.records import HASH, NATIVE, NOW, SECRET, SPA, WEB, only, said, wrong

ROOT = Path(__file__).parents[1]


def test_a_web_client_needs_little_and_gets_sane_defaults() -> None:
    client = only(WEB)
    assert (client.client_id, client.is_public, client.first_party, client.enabled) == ("C1", False, True, True)
    assert client.token_endpoint_auth_method == "client_secret_basic"
    assert client.scopes == ("openid", "profile", "email", "offline_access")
    assert client.response_modes == ("query", "form_post")
    assert (client.pkce, client.id_token_signed_response_alg, client.subject_type) == ("required", "RS256", "public")
    assert (client.code_lifetime, client.access_token_lifetime, client.refresh_token_lifetime) == (60, 3600, 2_592_000)
    assert client.algorithms == {"RS256"}
    assert client.sector == ""


def test_browser_and_native_products_are_public() -> None:
    assert only(SPA).is_public and only(NATIVE).is_public
    assert only(SPA).token_endpoint_auth_method == "none"


URI_FIELDS = ["backchannel_logout_uri", "logo_uri", "policy_uri", "tos_uri", "client_uri", "initiate_login_uri"]
BAD_TARGETS = [
    "https://127.0.0.1/x", "https://[::1]/x", "https://0/x", "https://169.254.169.254/x", "https://2130706433/x",
    "http://a@b/x", "https://a@b.example/x", "https://[::ffff:127.0.0.1]/x", "gopher://rp1.example/x", "file:///etc/passwd",
    "http://rp1.example/x", "javascript:alert(1)", "https://localhost/x", "https://rp1.example/x#y", "com.example.app:/x",
]  # fmt: skip


@pytest.mark.parametrize("name", URI_FIELDS)
def test_rg_05_internal_and_odd_targets_are_refused_when_they_are_set(name: str) -> None:
    for target in BAD_TARGETS:
        [problem] = said(wrong(f"{name}: '{target}'"))
        assert f"clients.yaml:9: C1: {name}: " in problem, target
    assert getattr(only(wrong(f"{name}: https://rp1.example/x")), name) == "https://rp1.example/x"


def test_rg_05_a_jwks_uri_is_checked_too() -> None:
    base = wrong("token_endpoint_auth_method: private_key_jwt", base=WEB.partition("    secrets")[0])
    for target in BAD_TARGETS:
        assert ": C1: jwks_uri: " in said(base + f"    jwks_uri: '{target}'\n")[0], target
    assert only(base + "    jwks_uri: https://rp1.example/jwks\n").jwks_uri


@pytest.mark.parametrize(
    ("uris", "message"),
    [
        ("\n      - javascript:alert(1)//", "7: C1: redirect_uris: has the scheme 'javascript'"),
        ("\n      - data:text/html,x", "'data'"),
        ("\n      - http://rp1.example/cb", "is http"),
        ("\n      - https://rp1.example/cb#x", "fragment"),
        ("\n      - https://u@rp1.example/cb", "user name"),
        ("\n      - https://*.rp1.example/cb", "character"),
        ("\n      - http://localhost/cb", "IDP_ISSUER"),
        ("\n      - https://10.0.0.1/cb", "IP address"),
        ("\n      - 42", "must be text"),
        ("\n      - [https://rp1.example/x]", "must be text"),
        ("\n      - {uri: https://rp1.example/x}", "must be text"),
        ("\n      - com.example.app:/cb", "scheme"),
        ("".join(f"\n      - https://rp1.example/{n}" for n in range(1000)), "at most 50"),
        ("\n      - https://rp1.example/cb", "lists something twice"),
    ],
)
def test_rg_03_bad_redirect_uris_are_refused(uris: str, message: str) -> None:
    [problem] = said(WEB.replace("https://rp1.example/cb", f"https://rp1.example/cb{uris}"))
    assert ": C1: redirect_uris: " in problem and message in problem


def test_p_22_one_string_is_no_list_of_redirect_uris() -> None:
    [problem] = said(WEB.replace("redirect_uris:\n      - https", "redirect_uris: https"))
    assert "5: C1: redirect_uris: must be a list" in problem
    assert not only(WEB).accepts_redirect("https://rp1.example")
    assert not only(WEB).accepts_redirect("cb")
    assert not only(WEB).accepts_redirect("")


def test_http_on_this_machine_is_for_any_client_while_the_issuer_is_here() -> None:
    for base in (WEB, SPA, NATIVE):
        local = base.replace("https://rp1.example", "http://localhost:8002")
        assert only(local, loopback=True).redirect_uris == ("http://localhost:8002/cb",)
        [problem] = said(local)
        assert "clients.yaml:6: C1: redirect_uris: " in problem


@pytest.mark.parametrize(
    "alg", ["none", "None", "HS256", "HS512", "RS1", "RS512", "ES256K", "junk", "''", "null", "[RS256]"]
)
def test_tk_23_p_27_a_client_that_asks_for_a_weak_algorithm_is_refused_at_load(alg: str) -> None:
    [problem] = said(wrong(f"id_token_signed_response_alg: {alg}"))
    assert "9: C1: id_token_signed_response_alg: " in problem
    if alg != "null":  # not asking for a signed answer at all
        [problem] = said(wrong(f"userinfo_signed_response_alg: {alg}"))
        assert "9: C1: userinfo_signed_response_alg: " in problem


@pytest.mark.parametrize(
    "line", ["refresh_token_rotation: false", "rotate_refresh_tokens: false", "refresh_token_usage: reusable"]
)
def test_tk_28_no_setting_lets_a_public_client_keep_its_refresh_token(line: str) -> None:
    [problem] = said(wrong(line, base=SPA))
    assert "is unknown" in problem


def test_algorithms_are_those_that_something_is_signed_with() -> None:
    assert only(wrong("id_token_signed_response_alg: ES256")).algorithms >= {"ES256"}
    assert only(wrong("userinfo_signed_response_alg: PS256")).algorithms == {"RS256", "PS256"}


def test_a_pairwise_client_belongs_to_one_host_for_ever() -> None:
    pairwise = wrong("subject_type: pairwise")
    assert only(pairwise).sector == "rp1.example"
    two = pairwise.replace(
        "      - https://rp1.example/cb\n", "      - https://rp1.example/cb\n      - https://rp2.example/cb\n"
    )
    [problem] = said(two)
    assert "C1: sector_identifier: is needed" in problem
    assert only(two + "    sector_identifier: example.com\n").sector == "example.com"
    native = wrong("subject_type: pairwise", base=NATIVE).replace("https://rp1.example/cb", "com.example.app:/cb")
    assert "sector_identifier: is needed" in said(native)[0]
    for bad in ("https://example.com", "Example.com", "example.com/", "10.0.0.1", "exa mple", "a..b"):
        assert "is no host name" in said(two + f"    sector_identifier: '{bad}'\n")[0]


def test_az_04_redirects_match_byte_for_byte() -> None:
    client = only(WEB)
    assert client.accepts_redirect("https://rp1.example/cb")
    for other in (
        "https://rp1.example/CB", "https://rp1.example/cb/", "https://rp1.example/cb?x=1", "https://rp1.example/cb#f",
        "https://rp1.example:443/cb", "https://user@rp1.example/cb", "https://rp1.example./cb", "http://rp1.example/cb",
        "https://rp1.example/cb/../x", "https://rp1.example/cb%2f..%2fx", "https://rp1.example/cb;x", "https://rp1.example/cb\n",
        "https://rp1.example.evil.com/cb", "https://rp1.example@evil.com/cb", "https://rp1.example/cb%00", "HTTPS://rp1.example/cb",
    ):  # fmt: skip
        assert not client.accepts_redirect(other), other


def test_only_a_native_products_loopback_port_is_free() -> None:
    client = only(NATIVE.replace("https://rp1.example/cb", "http://127.0.0.1/cb?a=1\n      - 'http://[::1]:7000/cb'"))
    for good in (
        "http://127.0.0.1/cb?a=1",
        "http://127.0.0.1:1/cb?a=1",
        "http://127.0.0.1:65535/cb?a=1",
        "http://[::1]:9/cb",
    ):
        assert client.accepts_redirect(good), good
    for bad in (
        "http://127.0.0.1:65536/cb?a=1", "http://127.0.0.1:0/cb?a=1", "http://127.0.0.1:01/cb?a=1", "http://127.0.0.1:/cb?a=1",
        "http://127.0.0.1:80/cb", "http://127.0.0.1:80/other?a=1", "https://127.0.0.1:80/cb?a=1", "http://127.0.0.2:80/cb?a=1",
        "http://localhost:80/cb?a=1", "http://127.0.0.1:80:80/cb?a=1", "http://127.0.0.1:80@evil.example/cb?a=1",
        "http://127.0.0.1:8080.evil.example/cb?a=1", "http://127.0.0.1:80/cb?a=1#x", "http://evil.example/http://127.0.0.1:80/cb?a=1",
    ):  # fmt: skip
        assert not client.accepts_redirect(bad), bad
    web = only(WEB.replace("https://rp1.example/cb", "http://127.0.0.1/cb"), loopback=True)
    assert not web.accepts_redirect("http://127.0.0.1:5000/cb")


def test_cross_origin_calls_come_from_origins_of_redirect_uris() -> None:
    text = NATIVE.replace("https://rp1.example/cb", "https://rp1.example:8443/cb\n      - com.example.app:/cb")
    assert only(text).redirect_origins == {"https://rp1.example:8443"}


def test_two_secrets_are_valid_until_the_old_one_expires() -> None:
    text = WEB + "        expires: 2027-01-15T08:00:10Z\n" + f"      - hash: {hash_secret('the-new-one-' * 4)}\n"
    client = only(text)
    assert client.secret_matches(SECRET, NOW + 9.9)
    assert not client.secret_matches(SECRET, NOW + 10)
    assert client.secret_matches("the-new-one-" * 4, NOW + 10**9)
    for other in ("", SECRET + "x", SECRET[:-1], HASH, HASH.removeprefix("sha256:"), "\ud800", "é"):
        assert not client.secret_matches(other, NOW), other


def test_public_keys_of_a_client_are_public_strong_and_for_signatures() -> None:
    base = wrong("token_endpoint_auth_method: private_key_jwt", base=WEB.partition("    secrets")[0])

    def written(*keys: object) -> str:
        return base + f"    jwks: {json.dumps({'keys': keys})}\n"

    good = [RSAKey.generate_key(2048), ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519")]
    public = [key.as_dict(private=False) | {"use": "sig"} for key in good]
    assert only(written(*public)).jwks == {"keys": tuple(public)}
    for key in good:
        assert "private or symmetric" in said(written(key.as_dict(private=True)))[0]
    weak = public[0] | {"n": "_" * 170 + "w"}
    for bad, why in (
        (weak, "1024 bits"),
        ({"kty": "oct", "k": "c2VjcmV0"}, "private or symmetric"),
        (public[0] | {"use": "enc"}, "not for signatures"),
        (public[0] | {"e": "Aw"}, "exponent"),
        (public[1] | {"x": public[1]["y"]}, "cannot be used"),
        (public[1] | {"crv": "P-521"}, "must be RSA"),
        ({"kty": "RSA", "n": "!"}, "not base64url"),
        ({"kty": "RSA"}, "missing"),
        ({"kty": "RSA", "x5c": ["MII"]}, "not all text"),
    ):
        [problem] = said(written(bad))
        assert "C1: jwks: " in problem and why in problem
    assert "exactly one is needed" in said(written(*public) + "    jwks_uri: https://rp1.example/jwks\n")[0]
    assert "exactly one is needed" in said(base)[0]


def test_a_client_sees_its_own_tokens_and_those_it_serves() -> None:
    text = wrong("introspects: [C2]") + WEB.removeprefix("clients:\n").replace("C1", "C2")
    clients = read_content(text.encode(), "clients.yaml", {}, loopback=False).clients
    assert clients["C1"].may_introspect("C1") and clients["C1"].may_introspect("C2")
    assert clients["C2"].may_introspect("C2") and not clients["C2"].may_introspect("C1")


def test_the_manual_explains_every_setting() -> None:
    manual = (ROOT / "docs" / "operators" / "add-client.md").read_text()
    explained = set(
        re.findall(r"`([a-z_]+)`", " ".join(line for line in manual.splitlines() if line.startswith("| `")))
    )
    assert set(Client.model_fields) - {"client_id"} <= explained
