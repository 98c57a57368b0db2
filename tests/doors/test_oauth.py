"""Promises of oauth.py: whatever a provider answers, it names the right person or nobody, within ten seconds.

The provider is a small HTTP server that answers as each test says; what it signs is signed by ``cryptography`` alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import trustme
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from idp.accounts.identity import Identity
from idp.config import read_config
from idp.doors.oauth import authorization_url, redeem
from idp.doors.provider_documents import ProviderDocuments
from idp.doors.providers import (
    CONSUMERS,
    PROVIDERS,
    Provider,
    Registered,
    read_openid_connect,
    read_openid_connect_by_claim,
)
from idp.doors.social_errors import SocialError
from idp.fetch import Fetcher
from idp.jws import is_signed, load_public_jwk, public_jwk, read_jws
from idp.reasons import REASONS
from tests import canaries
from tests.fakes.product_server import Asked, ProductServer, product_server, reply

HERE = read_config({"IDP_ISSUER": "http://localhost:8000"})
NOW = 1_800_000_000.0
NONCE = "nonce-of-this-request"
VERIFIER = "v" * 43
CODE = canaries.register("code-4/0AbCdEf", "a provider's code")
ACCESS_TOKEN = canaries.register("access-token-of-a-provider", "a provider's access token")
SECRET = canaries.register("client-secret-at-a-provider", "client secret at a provider")
RETURN = "http://localhost:8000/login/social/any/return"
TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"

KEY = rsa.generate_private_key(65537, 2048)
OTHER_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(claims: Any, key: Any = KEY, alg: str = "RS256", kid: str | None = "k1", **header: Any) -> str:
    """A JWT as a provider would make it, also one that no provider should."""
    head = {"alg": alg, **({} if kid is None else {"kid": kid}), **header}
    data = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}".encode()
    if alg == "none":
        signature = b""
    elif isinstance(key, bytes):
        signature = hmac.digest(key, data, "sha256")
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        pair = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        signature = b"".join(number.to_bytes(32, "big") for number in pair)
    else:
        signature = key.sign(data, padding.PKCS1v15(), getattr(hashes, f"SHA{alg[2:]}")())
    return f"{data.decode()}.{b64(signature)}"


@dataclass
class Site:
    """A provider's server: by path, what it answers next."""

    server: ProductServer
    answers: dict[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def asked(self, path: str) -> list[Asked]:
        return [one for one in self.server.asked if urlsplit(one.line.split(" ")[1]).path == path]

    def form(self) -> dict[str, str]:
        """What the only token request said."""
        (one,) = self.asked("/token")
        return dict(parse_qsl(one.body.decode(), strict_parsing=True))

    def answer(self, asked: Asked, write: Callable[[bytes], None]) -> None:
        given = self.answers[urlsplit(asked.line.split(" ")[1]).path]
        if callable(given):
            given(asked, write)
        else:
            reply(200, json.dumps(given).encode(), Content_Type="application/json")(asked, write)


@pytest.fixture
def site() -> Iterator[Site]:
    with product_server(None) as server:
        made = Site(server)
        server.answer = made.answer
        made.answers["/keys"] = {"keys": [public_jwk(KEY.public_key(), "k1", "RS256")]}
        yield made


def provider_at(site: Site, key: str = "", **changes: Any) -> Provider:
    """A provider whose endpoints are here."""
    provider = PROVIDERS.get(key) or Provider(
        key="any",
        name="Any",
        protocol="openid_connect",
        issuer=site.address,
        read=read_openid_connect,
        scopes=("openid",),
    )
    where = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
    where |= {"userinfo_endpoint": "/userinfo"} if provider.userinfo_endpoint else {}
    where |= {"emails_endpoint": "/emails"} if provider.emails_endpoint else {}
    endpoints = {name: site.address + path for name, path in where.items()}
    return replace(provider, **{**endpoints, **changes})


@pytest.fixture
def documents() -> ProviderDocuments:
    return ProviderDocuments(Fetcher(HERE))


@dataclass
class Party:
    """We, registered at one provider."""

    site: Site
    documents: ProviderDocuments
    registered: Registered

    def claims(self, **changes: Any) -> dict[str, Any]:
        """An ID token's; None leaves one out."""
        provider = self.registered.provider
        claims = {
            "iss": provider.issuer.replace("{tenantid}", TENANT),
            "sub": "1001",
            "aud": self.registered.client_id,
            "exp": NOW + 300,
            "iat": NOW,
            "nonce": NONCE,
            **({"tid": TENANT} if "{tenantid}" in provider.issuer else {}),
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def gives(self, id_token: str | None = None, **more: Any) -> None:
        tokens = {"access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 3600}
        tokens |= {} if id_token is None else {"id_token": id_token}
        self.site.answers["/token"] = {name: value for name, value in {**tokens, **more}.items() if value is not None}

    def redeem(self, **more: Any) -> Identity:
        wanted = {"code": CODE, "iss": None, "redirect_uri": RETURN, "nonce": NONCE, "verifier": VERIFIER}
        return redeem(self.registered, self.documents, **{**wanted, "sent_at": NOW - 5, "now": NOW, **more})

    def reason(self, **more: Any) -> str:
        """Why nobody came of it; nothing secret stands in the error."""
        with pytest.raises(SocialError) as error:
            self.redeem(**more)
        canaries.show(f"{error.value!r} {error.value}", "a provider's error")
        assert error.value.__cause__ is None
        assert error.value.reason in REASONS
        return error.value.reason


@pytest.fixture
def party(site: Site, documents: ProviderDocuments) -> Party:
    return Party(site, documents, Registered(provider_at(site), "us", SECRET))


def at(site: Site, documents: ProviderDocuments, key: str, **more: Any) -> Party:
    return Party(site, documents, Registered(provider_at(site, key), "us", SECRET, **more))


# --- the way there -------------------------------------------------------------------------------------------------------------


def sent(registered: Registered, documents: ProviderDocuments, **more: Any) -> dict[str, str]:
    url = authorization_url(
        registered, documents, redirect_uri=RETURN, state="st", nonce=NONCE, verifier=VERIFIER, **more
    )
    base, _, query = url.partition("?")
    assert base == registered.provider.authorization_endpoint
    canaries.show(url, "an authorization request")
    return dict(parse_qsl(query, strict_parsing=True))


CHALLENGE = b64(hashlib.sha256(VERIFIER.encode()).digest())
PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("google", {"scope": "openid email profile", "nonce": NONCE, **PKCE}),
        ("microsoft", {"scope": "openid email profile", "nonce": NONCE, **PKCE}),
        ("apple", {"scope": "name email", "nonce": NONCE, "response_mode": "form_post"}),
        ("facebook", {"scope": "public_profile email", **PKCE}),
        ("linkedin", {"scope": "openid profile email"}),
        ("github", {"scope": "read:user user:email", **PKCE}),
    ],
)
def test_each_provider_is_asked_what_it_understands_and_no_more(
    key: str, said: dict[str, str], documents: ProviderDocuments
) -> None:
    usual = {"response_type": "code", "client_id": "us", "redirect_uri": RETURN, "state": "st"}
    assert sent(Registered(PROVIDERS[key], "us", SECRET), documents) == {**usual, **said}


@pytest.mark.parametrize("key", PROVIDERS)
def test_silent_and_fresh_are_asked_where_that_is_possible(key: str, documents: ProviderDocuments) -> None:
    registered = Registered(PROVIDERS[key], "us", SECRET)
    silent, fresh = sent(registered, documents, silent=True), sent(registered, documents, fresh=True)
    assert (silent.get("prompt") == "none") == (key in ("google", "microsoft"))
    asked = {name: fresh[name] for name in ("prompt", "auth_type", "claims") if name in fresh}
    assert asked == {
        "google": {"prompt": "select_account", "claims": '{"id_token":{"auth_time":{"essential":true}}}'},
        "microsoft": {"prompt": "login"},
        "facebook": {"auth_type": "reauthenticate"},
        "github": {"prompt": "select_account"},
    }.get(key, {})


def test_who_was_here_and_in_which_language_is_told_where_it_is_understood(documents: ProviderDocuments) -> None:
    hints = {"login_hint": "alice@example.com", "ui_locales": "fr"}
    google = sent(Registered(PROVIDERS["google"], "us", SECRET), documents, **hints)
    assert google["login_hint"] == "alice@example.com"
    assert "ui_locales" not in google
    assert not set(hints) & set(sent(Registered(PROVIDERS["github"], "us", SECRET), documents, **hints))


def test_what_stands_in_an_endpoints_query_stays(site: Site, documents: ProviderDocuments) -> None:
    provider = provider_at(site, authorization_endpoint="https://id.example/authorize?realm=1")
    url = authorization_url(
        Registered(provider, "us", SECRET), documents, redirect_uri=RETURN, state="a&b", nonce=NONCE, verifier=VERIFIER
    )
    assert parse_qs(urlsplit(url).query)["realm"] == ["1"]
    assert parse_qs(urlsplit(url).query)["state"] == ["a&b"]


# --- the way back --------------------------------------------------------------------------------------------------------------


def test_a_code_names_a_person(party: Party) -> None:
    party.gives(sign(party.claims(email="Alice@Example.COM", name="Alice", email_verified=True)))
    assert party.redeem() == Identity(
        door="any",
        issuer=party.site.address,
        subject="1001",
        email="alice@example.com",
        email_verified=False,  # nobody has said that this provider may be believed
        name="Alice",
        methods=(),
        at=int(NOW),
        acr="1",
        undated=True,  # it was not told to ask, and does not say when it did
    )
    assert party.site.form() == {
        "grant_type": "authorization_code",
        "code": CODE,
        "redirect_uri": RETURN,
        "client_id": "us",
        "client_secret": SECRET,
        "code_verifier": VERIFIER,
    }
    (asked,) = party.site.asked("/token")
    assert asked.headers["accept"] == "application/json"
    assert "cookie" not in asked.headers
    assert "authorization" not in asked.headers


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://accounts.google.com"}, "social_issuer_wrong"),
        ({"iss": None}, "social_issuer_wrong"),
        ({"iss": ["http://127.0.0.1"]}, "social_issuer_wrong"),
        ({"aud": "other"}, "social_audience_wrong"),
        ({"aud": None}, "social_audience_wrong"),
        ({"aud": []}, "social_audience_wrong"),
        ({"aud": {"us": 1}}, "social_audience_wrong"),
        ({"aud": "us2"}, "social_audience_wrong"),
        ({"aud": ["us", "other"]}, "social_audience_wrong"),
        ({"aud": ["us", "other"], "azp": "other"}, "social_audience_wrong"),
        ({"azp": "other"}, "social_audience_wrong"),
        ({"aud": "other", "azp": "us"}, "social_audience_wrong"),
        ({"nonce": None}, "social_nonce_wrong"),
        ({"nonce": "of-another-request"}, "social_nonce_wrong"),
        ({"nonce": [NONCE]}, "social_nonce_wrong"),
        ({"nonce": "é"}, "social_nonce_wrong"),
        ({"exp": NOW - 120}, "social_time_wrong"),
        ({"exp": None}, "social_time_wrong"),
        ({"exp": str(int(NOW + 300))}, "social_time_wrong"),
        ({"exp": True}, "social_time_wrong"),
        ({"iat": NOW + 121}, "social_time_wrong"),
        ({"iat": None}, "social_time_wrong"),
        ({"nbf": NOW + 121}, "social_time_wrong"),
        ({"at_hash": "x"}, "social_id_token_wrong"),
        ({"at_hash": 7}, "social_id_token_wrong"),
        ({"sub": None}, "social_answer_wrong"),
        ({"sub": ""}, "social_answer_wrong"),
        ({"sub": 1.5}, "social_answer_wrong"),
    ],
)
def test_an_id_token_that_is_not_for_us_now_names_nobody(party: Party, changes: dict[str, Any], reason: str) -> None:
    party.gives(sign(party.claims(**changes)))
    assert party.reason() == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["us"]},
        {"aud": ["us", "other"], "azp": "us"},
        {"azp": "us"},
        {"exp": NOW - 119},
        {"iat": NOW + 120, "nbf": NOW + 120},
        {"iat": NOW - 300},  # as Microsoft's
        {"at_hash": b64(hashlib.sha256(ACCESS_TOKEN.encode()).digest()[:16])},
    ],
)
def test_an_id_token_that_is_names_somebody(party: Party, changes: dict[str, Any]) -> None:
    party.gives(sign(party.claims(**changes)))
    assert party.redeem().subject == "1001"


def test_an_id_token_must_be_signed_by_the_provider(party: Party) -> None:
    claims, keys = party.claims(), party.site.answers["/keys"]["keys"]
    small = rsa.generate_private_key(65537, 1024)
    pem = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    keys += [
        public_jwk(EC_KEY.public_key(), "k2", "ES256"),
        {**public_jwk(OTHER_KEY.public_key(), "for-encryption", "RS256"), "use": "enc"},
        {"kty": "oct", "kid": "shared", "alg": "HS256", "k": b64(b"a shared secret of 32 characters")},
        {"kty": "RSA", "kid": "odd"},
        {"kty": "RSA", "kid": "odd", "n": 5, "e": []},
        public_jwk(small.public_key(), "small", "RS256"),
    ]
    good = sign(claims)
    head, _, signature = good.split(".")
    for id_token in (
        sign(claims, OTHER_KEY),
        sign(claims, OTHER_KEY, kid=None),
        sign(claims, OTHER_KEY, kid="unknown"),
        sign(claims, KEY, kid="k2"),
        sign(claims, OTHER_KEY, kid="for-encryption"),
        sign(claims, small, kid="small"),
        sign(claims, KEY, kid="odd"),
        sign(claims, pem, alg="HS256"),
        sign(claims, SECRET.encode(), alg="HS256"),
        sign(claims, b"a shared secret of 32 characters", alg="HS256", kid="shared"),
        sign(claims, KEY, alg="RS384"),  # the key says that it is for RS256
        sign(claims, OTHER_KEY, jwk=public_jwk(OTHER_KEY.public_key(), "k1", "RS256")),
        sign(claims, alg="RS256", crit=["b64"], b64=False),
        f"{head}.{b64(json.dumps({**claims, 'sub': '1002'}).encode())}.{signature}",
    ):
        party.gives(id_token)
        assert party.reason() == "social_signature_wrong", id_token[:60]
    for id_token in (
        good,
        sign(claims, kid=None),
        sign(claims, EC_KEY, "ES256", "k2"),
        sign(claims, EC_KEY, "ES256", None),
    ):
        party.gives(id_token)
        assert party.redeem().subject == "1001"


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "", None, 7, ["RS256"], "RSA-OAEP", "dir"])
def test_an_id_token_without_a_signature_names_nobody(party: Party, alg: Any) -> None:
    _, payload, _ = sign(party.claims()).split(".")
    header = b64(json.dumps({"alg": alg, "kid": "k1"}).encode())
    party.gives(f"{header}.{payload}.")
    assert party.reason() in ("social_signature_wrong", "social_id_token_wrong")
    party.gives(f"{header}.{payload}.{b64(b'x' * 256)}")
    assert party.reason() == "social_signature_wrong"


@pytest.mark.parametrize(
    "id_token", [None, "", "x", "a.b", "a.b.c.d.e", 7, ["a.b.c"], {"a": 1}, "é.é.é", sign([1]), sign("x"), "A" * 20_000]
)
def test_what_is_no_id_token_names_nobody(party: Party, id_token: Any) -> None:
    party.gives(id_token)
    assert party.reason() == "social_id_token_wrong"


def test_a_claim_that_repeats_names_nobody(party: Party) -> None:
    payload = json.dumps(party.claims())[:-1] + ', "sub": "1002"}'
    header = sign({}).split(".")[0]
    data = f"{header}.{b64(payload.encode())}"
    signature = KEY.sign(data.encode(), padding.PKCS1v15(), hashes.SHA256())
    party.gives(f"{data}.{b64(signature)}")
    assert party.reason() == "social_id_token_wrong"


# --- mix-up --------------------------------------------------------------------------------------------------------------------


def test_so_08_an_answer_that_names_another_issuer_goes_nowhere(party: Party) -> None:
    party.gives(sign(party.claims()))
    for iss in ("https://evil.example", "", party.site.address + "/", party.site.address.upper()):
        assert party.reason(iss=iss) == "social_issuer_wrong"
    assert not party.site.asked("/token")  # the code, perhaps another provider's, was not shown to this one
    assert party.redeem(iss=party.site.address).subject == "1001"


def test_so_08_a_provider_that_always_names_its_issuer_must(party: Party) -> None:
    party.gives(sign(party.claims()))
    party.registered = replace(party.registered, provider=replace(party.registered.provider, iss_parameter=True))
    assert party.reason() == "social_issuer_wrong"
    assert not party.site.asked("/token")


@pytest.mark.parametrize("key", PROVIDERS)
def test_so_08_every_provider_knows_its_own_name(key: str, site: Site, documents: ProviderDocuments) -> None:
    party = at(site, documents, key, tenant="common")
    assert party.reason(iss="https://evil.example") == "social_issuer_wrong"
    assert party.reason(iss="https://evil.example/" + party.registered.provider.issuer) == "social_issuer_wrong"
    assert not site.server.asked


def test_google_may_name_itself_without_https_and_nobody_else(site: Site, documents: ProviderDocuments) -> None:
    google = at(site, documents, "google")
    google.gives(sign(google.claims(iss="accounts.google.com")))
    assert google.redeem().issuer == "https://accounts.google.com"
    linkedin = at(site, documents, "apple")
    linkedin.gives(sign(linkedin.claims(iss="appleid.apple.com")))


# --- Microsoft's tenants ---------------------------------------------------------------------------------------------------------

OTHER = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("tenant", "tid", "reason"),
    [
        ("common", TENANT, ""),
        ("common", CONSUMERS, ""),
        ("organizations", TENANT, ""),
        ("organizations", CONSUMERS, "social_tenant_forbidden"),
        ("consumers", CONSUMERS, ""),
        ("consumers", TENANT, "social_tenant_forbidden"),
        (TENANT, TENANT, ""),
        (TENANT, OTHER, "social_tenant_forbidden"),
        (TENANT, CONSUMERS, "social_tenant_forbidden"),
    ],
)
def test_only_tenants_that_the_entry_allows(
    tenant: str, tid: str, reason: str, site: Site, documents: ProviderDocuments
) -> None:
    party = at(site, documents, "microsoft", tenant=tenant)
    issuer = f"https://login.microsoftonline.com/{tid}/v2.0"
    party.gives(sign(party.claims(iss=issuer, tid=tid)))
    if reason:
        assert party.reason() == reason
    else:
        assert party.redeem().issuer == issuer


@pytest.mark.parametrize(
    "changes",
    [
        {"tid": None},
        {"tid": OTHER},
        {"tid": [TENANT]},
        {"iss": "https://login.microsoftonline.com/common/v2.0", "tid": "common"},
        {"iss": "https://login.microsoftonline.com/{tenantid}/v2.0", "tid": "{tenantid}"},
        {"iss": "https://login.microsoftonline.com/../v2.0", "tid": ".."},
        {"iss": "https://login.microsoftonline.com/evil.example/v2.0", "tid": "evil.example"},
        {"iss": f"https://login.microsoftonline.com/{TENANT}/v2.0/", "tid": TENANT},
        {"iss": f"https://login.microsoftonline.com/{TENANT}\n/v2.0", "tid": f"{TENANT}\n"},
        {"iss": f"https://login.microsoftonline.com/{TENANT.upper()}/v2.0", "tid": TENANT.upper()},
        {"iss": f"https://loginXmicrosoftonline.com/{TENANT}/v2.0"},
        {"iss": f"https://sts.windows.net/{TENANT}/"},
    ],
)
def test_a_tenant_is_a_guid_and_the_one_that_the_issuer_names(
    changes: dict[str, Any], site: Site, documents: ProviderDocuments
) -> None:
    party = at(site, documents, "microsoft", tenant="common")
    party.gives(sign(party.claims(**changes)))
    assert party.reason() == "social_issuer_wrong"


def test_a_key_of_microsofts_counts_for_the_tenants_that_it_names(site: Site, documents: ProviderDocuments) -> None:
    party = at(site, documents, "microsoft", tenant="common")
    jwk = public_jwk(KEY.public_key(), "k1", "RS256")
    del jwk["alg"]  # as there
    party.gives(sign(party.claims()))
    site.answers["/keys"] = {"keys": [{**jwk, "issuer": f"https://login.microsoftonline.com/{CONSUMERS}/v2.0"}]}
    assert party.reason() == "social_signature_wrong"
    site.answers["/keys"] = {"keys": [{**jwk, "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}]}
    party.documents = ProviderDocuments(Fetcher(HERE))
    assert party.redeem().issuer == f"https://login.microsoftonline.com/{TENANT}/v2.0"


# --- keys ------------------------------------------------------------------------------------------------------------------------


def test_keys_are_kept_for_an_hour_and_read_again_for_an_unknown_one_once_a_minute(party: Party, site: Site) -> None:
    now = [1000.0]
    party.documents = ProviderDocuments(Fetcher(HERE), lambda: now[0])
    party.gives(sign(party.claims()))
    for _ in range(3):
        party.redeem()
    assert len(site.asked("/keys")) == 1
    party.gives(sign(party.claims(), OTHER_KEY, kid="new"))
    for _ in range(3):
        assert party.reason() == "social_signature_wrong"
    assert len(site.asked("/keys")) == 1  # it was read less than a minute ago
    site.answers["/keys"]["keys"].append(public_jwk(OTHER_KEY.public_key(), "new", "RS256"))
    now[0] += 60
    assert party.redeem().subject == "1001"
    assert len(site.asked("/keys")) == 2
    now[0] += 3600
    party.redeem()
    assert len(site.asked("/keys")) == 3


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(500), "social_unavailable"),
        (reply(404, b"{}"), "social_unavailable"),
        (reply(302, b"", Location="http://127.0.0.1:1/keys"), "social_unavailable"),
        (lambda asked, write: None, "social_unavailable"),
        (reply(200, b"<html>"), "social_answer_wrong"),
        (reply(200, b"[]"), "social_answer_wrong"),
        (reply(200, b"[" * 100_000), "social_answer_wrong"),
        (reply(200, b'{"keys": {}}'), "social_answer_wrong"),
        (reply(200, b'{"keys": [1, null, {}]}'), "social_signature_wrong"),
        (reply(200, b" " * 300_000 + b"{}"), "social_unavailable"),
    ],
)
def test_without_the_keys_nobody_is_named(party: Party, answer: Any, reason: str) -> None:
    party.gives(sign(party.claims()))
    party.site.answers["/keys"] = answer
    assert party.reason() == reason


# --- the token endpoint ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(200, b"<html>Sign in</html>", Content_Type="text/html"), "social_answer_wrong"),
        (reply(200, b""), "social_answer_wrong"),
        (reply(200, b"[]"), "social_answer_wrong"),
        (reply(200, b"[" * 60_000), "social_answer_wrong"),
        (reply(200, b'{"access_token":'), "social_answer_wrong"),
        (reply(200, b"access_token=x&token_type=bearer"), "social_answer_wrong"),
        (reply(200, b'{"access_token": "\xff"}'), "social_answer_wrong"),
        (reply(200, b'{"access_token": ["x"]}'), "social_answer_wrong"),
        (reply(200, b'{"access_token": "a b"}'), "social_answer_wrong"),
        (reply(200, b'{"access_token": "x", "token_type": "mac"}'), "social_answer_wrong"),
        (reply(200, b'{"access_token": "x", "token_type": 7}'), "social_answer_wrong"),
        (reply(200, b'{"access_token": "x", "expires_at": "never"}'), "social_id_token_wrong"),
        (reply(200, b'{"access_token": "x", "expires_in": {"a": 1}}'), "social_answer_wrong"),
        (reply(200, b'{"access_token": "x", "expires_in": 1e999}'), "social_answer_wrong"),
        (reply(200, b"{}"), "social_answer_wrong"),
        (reply(302, b"", Location="https://evil.example/token"), "social_answer_wrong"),
        (reply(307, b"", Location="/keys"), "social_answer_wrong"),
        (reply(404, b"not here"), "social_answer_wrong"),
        (reply(429, b"slow down"), "social_unavailable"),
        (reply(500, b"<html>"), "social_unavailable"),
        (reply(503, b'{"error": "temporarily_unavailable"}'), "social_unavailable"),
        (reply(200, b" " * 70_000 + b"{}"), "social_unavailable"),
        (lambda asked, write: write(b"HTTP/1.1 \xff\r\n\r\n"), "social_unavailable"),
        (lambda asked, write: None, "social_unavailable"),
        (reply(400, b'{"error": "invalid_grant"}'), "social_code_over"),
        (reply(401, b'{"error": "invalid_client"}'), "social_misconfigured"),
        (reply(400, b'{"error": "of_their_own", "error_description": "\\u0000"}'), "social_error_unknown"),
        (reply(400, b'{"error": "<script>"}'), "social_error_unknown"),
        (reply(400, b'{"error": null}'), "social_error_unknown"),
        (reply(400, b'{"error": ["invalid_grant"]}'), "social_error_unknown"),
        # GitHub's errors come in a 200
        (reply(200, b'{"error": "bad_verification_code", "error_description": "..."}'), "social_code_over"),
        (reply(200, b'{"error": "incorrect_client_credentials"}'), "social_misconfigured"),
        (reply(200, b'{"error": "unverified_user_email"}'), "social_unproved_there"),
        # Facebook's are objects
        (reply(400, b'{"error": {"message": "m", "type": "OAuthException", "code": 100, "error_subcode": 36007}}'),
         "social_code_over"),
        (reply(400, b'{"error": {"message": "Error validating client secret.", "code": 1}}'), "social_misconfigured"),
        (reply(400, b'{"error": {"message": "An unknown error", "code": 1}}'), "social_unavailable"),
        (reply(400, b'{"error": {"message": "m", "code": 101, "fbtrace_id": "x"}}'), "social_misconfigured"),
        (reply(400, b'{"error": {"code": "100"}}'), "social_error_unknown"),
        (reply(400, b'{"error": {}}'), "social_error_unknown"),
    ],
)  # fmt: skip
def test_a_token_endpoint_that_answers_otherwise_names_nobody(party: Party, answer: Any, reason: str) -> None:
    party.site.answers["/token"] = answer
    assert party.reason() == reason
    assert len(party.site.server.asked) == 1  # nothing was followed, nothing tried again


def test_a_slow_provider_is_given_up(party: Party) -> None:
    party.site.answers["/token"] = lambda asked, write: party.site.server.released.wait()
    began = time.monotonic()
    assert party.reason() == "social_unavailable"
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("code", ["", "a\nb", "é", "c" * 4097, "\x00"])
def test_what_cannot_be_a_code_is_not_sent(party: Party, code: str) -> None:
    assert party.reason(code=code) == "social_answer_wrong"
    assert not party.site.server.asked


def test_an_address_that_our_rules_forbid_is_not_called(party: Party) -> None:
    forbidden = replace(party.registered.provider, token_endpoint="https://169.254.169.254/token")
    party.registered = replace(party.registered, provider=forbidden)
    assert party.reason() == "social_misconfigured"


def test_the_environment_neither_leads_elsewhere_nor_adds_passwords(
    party: Party, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password of-the-environment\n")
    for name, value in {
        "NETRC": str(tmp_path / "netrc"),
        "HTTP_PROXY": "http://127.0.0.1:1",
        "ALL_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    party.gives(sign(party.claims()))
    assert party.redeem().subject == "1001"
    assert all("authorization" not in asked.headers for asked in party.site.server.asked)


# --- the userinfo endpoint -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def telling(party: Party) -> Party:
    """A provider that says the rest at its userinfo endpoint."""
    provider = replace(
        party.registered.provider,
        userinfo_endpoint=party.site.address + "/userinfo",
        read=read_openid_connect_by_claim,
    )
    party.registered = replace(party.registered, provider=provider)
    party.gives(sign(party.claims()))
    return party


def test_the_rest_is_told_at_the_userinfo_endpoint(telling: Party) -> None:
    told = {"sub": "1001", "email": "alice@example.com", "email_verified": True, "name": "Alice"}
    telling.site.answers["/userinfo"] = told
    found = telling.redeem()
    assert (found.email, found.email_verified, found.name) == ("alice@example.com", True, "Alice")
    (asked,) = telling.site.asked("/userinfo")
    assert asked.headers["authorization"] == f"Bearer {ACCESS_TOKEN}"


@pytest.mark.parametrize("told", [{"sub": "1002"}, {"sub": 1001}, {"sub": ["1001"]}, {"sub": None}, {}])
def test_a_userinfo_endpoint_that_tells_of_another_names_nobody(telling: Party, told: dict[str, Any]) -> None:
    telling.site.answers["/userinfo"] = told
    assert telling.reason() == "social_userinfo_other"


def test_an_address_is_not_believed_by_the_word_for_another(telling: Party) -> None:
    """The ID token's address goes before; what userinfo says of its own does not make that one verified."""
    telling.gives(sign(telling.claims(email="boss@example.com")))
    telling.site.answers["/userinfo"] = {"sub": "1001", "email": "mine@example.com", "email_verified": True}
    found = telling.redeem()
    assert (found.email, found.email_verified) == ("boss@example.com", False)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(200, b"<html>"), "social_answer_wrong"),
        (reply(200, b"[]"), "social_answer_wrong"),
        (reply(200, b"[" * 60_000), "social_answer_wrong"),
        (reply(302, b"{}", Location="/keys"), "social_answer_wrong"),
        (reply(401, b'{"message": "Bad credentials"}'), "social_answer_wrong"),
        (reply(503, b"{}"), "social_unavailable"),
        (reply(200, b" " * 70_000), "social_unavailable"),
        (lambda asked, write: None, "social_unavailable"),
        (reply(400, b'{"error": {"message": "m", "code": 190}}'), "social_code_over"),
        (reply(200, b'{"error": "server_error"}'), "social_unavailable"),
    ],
)
def test_a_userinfo_endpoint_that_answers_otherwise_names_nobody(telling: Party, answer: Any, reason: str) -> None:
    telling.site.answers["/userinfo"] = answer
    assert telling.reason() == reason


# --- what each provider does in its own way ------------------------------------------------------------------------------------------


def test_apples_client_secret_is_a_jwt_by_our_key(site: Site, documents: ProviderDocuments) -> None:
    pem = EC_KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    registered = Registered(
        provider_at(site, "apple"), "com.example.web", pem, team_id="TEAM123456", key_id="KEY1234567"
    )
    party = Party(site, documents, registered)
    party.gives(sign(party.claims(email="Alice@Example.com", email_verified="true", auth_time=int(NOW) - 9)))
    found = party.redeem(
        user_field='{"name": {"firstName": "Alice", "lastName": "Martin"}, "email": "evil@example.com"}'
    )
    assert found.issuer == "https://appleid.apple.com"
    assert (found.email, found.email_verified, found.name, found.at) == (
        "alice@example.com", True, "Alice Martin", NOW - 9,
    )  # fmt: skip
    form = site.form()
    secret = canaries.register(form.pop("client_secret"), "client secret for Apple")
    assert form == {
        "grant_type": "authorization_code", "code": CODE, "redirect_uri": RETURN, "client_id": "com.example.web",
    }  # fmt: skip
    jws = read_jws(secret)
    public = load_public_jwk(public_jwk(EC_KEY.public_key(), "x", "ES256"))
    assert is_signed(public, "ES256", jws.signed, jws.signature)
    assert jws.header == {"typ": "JWT", "alg": "ES256", "kid": "KEY1234567"}
    claims = jws.claims()
    assert claims["iss"] == "TEAM123456"
    assert claims["sub"] == "com.example.web"
    assert claims["aud"] == "https://appleid.apple.com"
    assert claims["iat"] == NOW
    assert 0 < claims["exp"] - claims["iat"] <= 15_777_000  # six months


@pytest.mark.parametrize(
    "user",
    ["x", "{", "[]", '"x"', "null", '{"name": 7}', "[" * 4000, "1" * 4000, '{"name": {"firstName": {}}}', "{}" * 9999],
)
def test_what_the_browser_adds_to_apples_answer_can_hold_anything(
    user: str, site: Site, documents: ProviderDocuments
) -> None:
    pem = EC_KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    party = Party(site, documents, Registered(provider_at(site, "apple"), "us", pem, team_id="T", key_id="K"))
    party.gives(sign(party.claims()))
    assert party.redeem(user_field=user).name is None


def test_facebook_wants_a_proof_that_we_know_the_secret(site: Site, documents: ProviderDocuments) -> None:
    provider = provider_at(site, "facebook", userinfo_endpoint=site.address + "/me?fields=id,name,email")
    party = Party(site, documents, Registered(provider, "us", SECRET))
    party.gives()
    site.answers["/me"] = {"id": "10158", "name": "Alice", "email": "alice@example.com", "verified": True}
    found = party.redeem()
    assert (found.issuer, found.subject) == ("https://www.facebook.com", "10158")
    assert (found.email, found.email_verified) == ("alice@example.com", False)
    (asked,) = site.asked("/me")
    assert dict(parse_qsl(urlsplit(asked.line.split(" ")[1]).query)) == {
        "fields": "id,name,email",
        "appsecret_proof": hmac.digest(SECRET.encode(), ACCESS_TOKEN.encode(), "sha256").hex(),
    }


def test_github_tells_addresses_in_a_list_of_their_own(site: Site, documents: ProviderDocuments) -> None:
    party = at(site, documents, "github")
    party.gives(token_type="bearer", scope="read:user,user:email")
    site.answers["/userinfo"] = {"id": 583231, "login": "octocat", "name": None, "email": "show@example.com"}
    site.answers["/emails"] = [{"email": "octo@example.com", "primary": True, "verified": True, "visibility": None}]
    found = party.redeem(iss="https://github.com/login/oauth")
    assert (found.issuer, found.subject) == ("https://github.com/login/oauth", "583231")
    assert (found.email, found.email_verified, found.name) == ("octo@example.com", True, "octocat")
    site.answers["/emails"] = reply(404, b'{"message": "Not Found"}')
    assert party.reason() == "social_misconfigured"  # nobody has given us leave to read addresses
    site.answers["/emails"] = {"message": "no list"}
    assert party.reason() == "social_answer_wrong"


def test_linkedin_leaves_the_nonce_out(site: Site, documents: ProviderDocuments) -> None:
    party = at(site, documents, "linkedin")
    party.gives(sign(party.claims(nonce=None)), token_type=None)
    site.answers["/userinfo"] = {"sub": "1001", "email": "alice@example.com", "email_verified": "true", "name": "Alice"}
    found = party.redeem()
    assert (found.issuer, found.email_verified) == ("https://www.linkedin.com/oauth", True)
    assert "code_verifier" not in site.form()


# --- any OpenID Connect provider -------------------------------------------------------------------------------------------------------


@pytest.fixture
def discovered(site: Site, documents: ProviderDocuments) -> Party:
    site.answers["/.well-known/openid-configuration"] = {
        "issuer": site.address,
        "authorization_endpoint": site.address + "/authorize",
        "token_endpoint": site.address + "/token",
        "jwks_uri": site.address + "/keys",
        "authorization_response_iss_parameter_supported": True,
    }
    provider = Provider(
        key="any",
        name="Any",
        protocol="openid_connect",
        issuer=site.address,
        read=read_openid_connect,
        scopes=("openid",),
    )
    return Party(site, documents, Registered(provider, "us:1", SECRET + "%é"))


def test_a_provider_tells_where_it_stands(discovered: Party) -> None:
    site = discovered.site
    url = authorization_url(
        discovered.registered, discovered.documents, redirect_uri=RETURN, state="s", nonce=NONCE, verifier=VERIFIER
    )
    assert url.startswith(site.address + "/authorize?")
    discovered.gives(sign(discovered.claims()))
    assert discovered.redeem(iss=site.address).subject == "1001"
    assert len(site.asked("/.well-known/openid-configuration")) == 1
    assert discovered.reason() == "social_issuer_wrong"  # it says that it always names itself
    # Basic is what counts when nothing is said, each half form-encoded (RFC 6749 section 2.3.1).
    (asked,) = site.asked("/token")
    given = base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode()
    assert given == f"us%3A1:{SECRET}%25%C3%A9"
    assert "client_secret" not in site.form()


def test_a_provider_may_take_the_secret_in_the_form(discovered: Party) -> None:
    discovered.site.answers["/.well-known/openid-configuration"]["token_endpoint_auth_methods_supported"] = [
        "client_secret_basic",
        "client_secret_post",
    ]
    discovered.gives(sign(discovered.claims()))
    discovered.redeem(iss=discovered.site.address)
    assert discovered.site.form()["client_secret"] == SECRET + "%é"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"issuer": "https://accounts.google.com"}, "social_answer_wrong"),
        ({"issuer": None}, "social_answer_wrong"),
        ({"token_endpoint": None}, "social_answer_wrong"),
        ({"token_endpoint": ["https://x.example"]}, "social_answer_wrong"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "social_misconfigured"),
        ({"authorization_endpoint": "http://other.example/a"}, ""),  # while we are on loopback; see the next test
        ({"jwks_uri": "file:///etc/passwd"}, "social_misconfigured"),
        ({"userinfo_endpoint": "https://10.0.0.1/userinfo"}, "social_misconfigured"),
        ({"token_endpoint": "https://user:pw@id.example/token"}, "social_misconfigured"),
    ],
)
def test_a_provider_cannot_lead_astray(discovered: Party, changes: dict[str, Any], reason: str) -> None:
    discovered.site.answers["/.well-known/openid-configuration"] |= changes
    if reason:
        with pytest.raises(SocialError) as error:
            authorization_url(
                discovered.registered,
                discovered.documents,
                redirect_uri=RETURN,
                state="s",
                nonce="n",
                verifier=VERIFIER,
            )
        assert error.value.reason == reason
        assert discovered.reason(iss=discovered.site.address) == reason


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(404), "social_unavailable"),
        (reply(200, b"<html>"), "social_answer_wrong"),
        (lambda asked, write: None, "social_unavailable"),
    ],
)
def test_a_provider_that_does_not_tell_is_not_there(discovered: Party, answer: Any, reason: str) -> None:
    discovered.site.answers["/.well-known/openid-configuration"] = answer
    assert discovered.reason(iss=discovered.site.address) == reason


# --- the person -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("email", "canonical"),
    [
        ("ALICE@Example.COM", "alice@example.com"),
        ("  alice@example.com ", "alice@example.com"),
        ("zoé@bücher.example", "zoé@xn--bcher-kva.example"),
        ("ZOE\u0301@example.com", "zo\u00e9@example.com"),
        ("alice+tag@example.com", "alice+tag@example.com"),
        ("alice", None),
        ("alice@localhost", None),
        ("Alice <alice@example.com>", None),
        ("alice@example.com, bob@example.com", None),
        ("alice@example.com\nbcc: eve@evil.example", None),
        ('"a b"@example.com', None),
        ("a" * 400 + "@example.com", None),
        ("alice@[127.0.0.1]", None),
    ],
)
def test_an_address_has_one_spelling_or_is_none(telling: Party, email: str, canonical: str | None) -> None:
    telling.site.answers["/userinfo"] = {"sub": "1001", "email": email, "email_verified": True}
    found = telling.redeem()
    assert (found.email, found.email_verified) == (canonical, canonical is not None)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Alice Martin", "Alice Martin"),
        ("  Alice \t\n Martin ", "Alice Martin"),
        ("A\x00l\x1bi\x7fce", "Alice"),
        ("\u202eecilA\u2066", "ecilA"),
        ("Ze\u0301lie", "Z\u00e9lie"),
        ("क्\u200dष", "क्\u200dष"),
        ("\ud800Alice", "Alice"),
        ("\u202e\u200b", None),
        ("x" * 100_00, "x" * 200),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),  # pages escape
    ],
)
def test_a_name_can_stand_on_a_page(telling: Party, name: str, shown: str | None) -> None:
    telling.site.answers["/userinfo"] = {"sub": "1001", "name": name}
    assert telling.redeem().name == shown


def test_when_it_was_proved_is_never_to_come(party: Party) -> None:
    for auth_time, told in ((NOW - 60, NOW - 60), (NOW + 60, NOW), (None, NOW), ("x", NOW)):
        party.gives(sign(party.claims(auth_time=auth_time)))
        assert party.redeem().at == told


def test_who_must_prove_anew_is_not_let_in_by_what_was_proved_before(party: Party) -> None:
    for auth_time, fresh in ((NOW - 5, True), (NOW - 305, True), (NOW - 306, False), (1, False)):
        party.gives(sign(party.claims(auth_time=auth_time)))
        if fresh:
            assert party.redeem(fresh=True).at == auth_time
        else:
            assert party.reason(fresh=True) == "social_not_fresh"
            assert party.redeem(fresh=False).at == auth_time


# --- errors on the way back ---------------------------------------------------------------------------------------------------------------


def test_nothing_secret_stands_in_what_is_printed_of_a_registration(site: Site) -> None:
    assert SECRET not in repr(Registered(provider_at(site), "us", SECRET))


def test_a_provider_whose_certificate_nobody_vouches_for_is_not_there(party: Party) -> None:
    with product_server(trustme.CA(), "127.0.0.1") as impostor:
        there = replace(party.registered.provider, token_endpoint=f"https://127.0.0.1:{impostor.port}/token")
        party.registered = replace(party.registered, provider=there)
        assert party.reason() == "social_unavailable"
        assert not impostor.asked
