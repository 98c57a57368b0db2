"""Client authentication: attacks.md TK-08, TK-09 (test_token.py), TK-26, and what RFC 6749 and RFC 7523 say."""

from __future__ import annotations

import base64
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest

from idp.errors import OAuthError
from idp.machine import Request
from idp.oidc.client_auth import ClientAuthentication
from tests.oidc.product import (
    ES_KEY,
    ISSUER,
    RS_KEY,
    SECRETS,
    ClientKey,
    Product,
    Ticks,
    basic,
    encode,
    error,
)

if TYPE_CHECKING:
    from tests.conftest import Clock

REFRESH: dict[str, str | None] = {"grant_type": "refresh_token", "refresh_token": "x"}
AUTHENTICATED = (400, "invalid_grant")  # what REFRESH comes to once the client is known
REFUSED = (401, "invalid_client")


def test_each_client_may_use_its_method_and_basic_clients_also_the_form(product: Product) -> None:
    def by_form(client_id: str) -> tuple[int, str]:
        form = {**REFRESH, "client_id": client_id, "client_secret": SECRETS[client_id]}
        return error(product.ask("POST", "/token", form))

    def by_header(client_id: str) -> tuple[int, str]:
        return error(product.ask("POST", "/token", REFRESH, basic(client_id, SECRETS[client_id])))

    assert by_header("C1") == AUTHENTICATED
    assert by_form("C1") == AUTHENTICATED
    assert by_form("POST") == AUTHENTICATED
    assert by_header("POST") == REFUSED


def test_a_confidential_client_is_never_known_by_its_name_alone(product: Product) -> None:
    for client_id in ("C1", "POST", "J1", "nobody", ""):
        assert error(product.ask("POST", "/token", {**REFRESH, "client_id": client_id})) == REFUSED
    assert error(product.ask("POST", "/token", {**REFRESH, "client_id": "P1"})) == AUTHENTICATED


def test_a_public_client_has_no_secret_to_show(product: Product) -> None:
    assert error(product.ask("POST", "/token", {**REFRESH, "client_id": "P1", "client_secret": "anything"})) == REFUSED
    assert error(product.ask("POST", "/token", REFRESH, basic("P1", "anything"))) == REFUSED


def test_two_methods_at_once_are_refused(product: Product) -> None:
    twice = {**REFRESH, "client_id": "C1", "client_secret": SECRETS["C1"]}
    for form, sent in (
        (twice, basic("C1", SECRETS["C1"])),
        ({**twice, **product.assertion()}, {}),
        ({**REFRESH, **product.assertion()}, basic("C1", SECRETS["C1"])),
    ):
        assert error(product.ask("POST", "/token", form, sent)) == (400, "invalid_request")


def test_the_answer_does_not_tell_an_unknown_client_from_a_wrong_secret(product: Product) -> None:
    answers = [
        product.ask("POST", "/token", REFRESH, basic(client_id, secret))
        for client_id, secret in (
            ("C1", "wrong"),
            ("nobody", "wrong"),
            ("POST", SECRETS["POST"]),
            ("OFF", SECRETS["C2"]),
        )
    ]

    assert len({(answer.status, answer.body, tuple(answer.headers)) for answer in answers}) == 1


def test_failures_are_counted_per_client_and_network_and_stop_no_right_secret(product: Product) -> None:
    statuses = [product.ask("POST", "/token", REFRESH, basic("C1", "wrong")).status for _ in range(32)]

    assert statuses == [401] * 30 + [429] * 2
    assert error(product.ask("POST", "/token", REFRESH, basic("C1", SECRETS["C1"]))) == AUTHENTICATED
    assert product.ask("POST", "/token", REFRESH, basic("C2", "wrong")).status == 401


def test_success_costs_no_round_trip_of_its_own(product: Product) -> None:
    product.attempts.close()
    before = product.store.trips
    assert error(product.ask("POST", "/token", REFRESH, basic("C1", SECRETS["C1"]))) == AUTHENTICATED

    assert product.store.trips == before


# --- private_key_jwt ----------------------------------------------------------------------------------------------------


def _with(product: Product, client_id: str = "J1", **changes: Any) -> tuple[int, str]:
    form = {**REFRESH, **product.assertion(client_id, **changes)}
    return error(product.ask("POST", "/token", form))


@pytest.mark.parametrize("audience", [ISSUER, f"{ISSUER}/token"])
@pytest.mark.parametrize("key", [ES_KEY, RS_KEY], ids=["ES256", "RS256 without kid"])
def test_an_assertion_signed_by_a_registered_key_is_accepted(product: Product, audience: str, key: ClientKey) -> None:
    assert _with(product, aud=audience, key=key) == AUTHENTICATED
    assert _with(product, aud=audience, key=key, header_kid="never-seen" if key is RS_KEY else "es-1") == AUTHENTICATED


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://evil.example"},
        {"aud": [ISSUER]},
        {"aud": [ISSUER, "https://evil.example"]},
        {"aud": f"{ISSUER}/"},
        {"aud": f"{ISSUER}/authorize"},
        {"aud": None},
        {"iss": "C1"},
        {"iss": None},
        {"sub": "C1"},
        {"sub": None},
        {"sub": ["J1"]},
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"exp": 10**400},
        {"exp": float("inf")},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": "j" * 257},
        {"header_alg": "none"},
        {"header_alg": "HS256"},
        {"header_alg": "RS256"},
        {"header_alg": ["ES256"]},
        {"header_alg": None},
        {"header_kid": "../../dev/null"},
        {"header_jku": "https://evil.example/jwks"},
        {"header_x5u": "https://evil.example/x5u"},
        {"header_jwk": ES_KEY.jwk},
        {"header_x5c": ["AAAA"]},
        {"header_crit": ["exp"]},
        {"header_b64": False},
        {"key": ClientKey("ES256", "es-1")},
        {"key": ClientKey("RS256", None)},
    ],
    ids=lambda changes: " ".join(f"{name}={str(value)[:30]}" for name, value in changes.items()),
)
def test_tk_26_an_assertion_that_is_wrong_anywhere_is_refused(product: Product, changes: dict[str, Any]) -> None:
    assert _with(product, **changes) == REFUSED


def test_tk_26_times_are_bounded(product: Product) -> None:
    now = int(product.now)
    for times in (
        {"exp": now - 31},
        {"exp": now + 601},
        {"exp": now + 10 * 365 * 86400},
        {"iat": now + 31},
        {"nbf": now + 31},
        {"nbf": "now"},
    ):
        assert _with(product, **times) == REFUSED
    for times in ({"exp": now - 29}, {"exp": now + 600}, {"nbf": now + 8}, {"iat": None}):
        assert _with(product, **times) == AUTHENTICATED


def test_tk_26_an_assertion_works_once(product: Product) -> None:
    form = {**REFRESH, **product.assertion()}

    assert error(product.ask("POST", "/token", form)) == AUTHENTICATED
    assert error(product.ask("POST", "/token", form)) == REFUSED


def test_tk_26_nobody_but_the_client_can_use_up_its_jti(product: Product) -> None:
    stranger = ClientKey("ES256", "es-1")

    assert _with(product, jti="taken", key=stranger) == REFUSED
    assert _with(product, jti="taken") == AUTHENTICATED


def test_tk_26_hmac_with_the_public_key_as_secret_is_refused(product: Product) -> None:
    claims = {"iss": "J1", "sub": "J1", "aud": ISSUER, "jti": "x", "exp": int(product.now) + 60}
    signed = f"{encode(json.dumps({'alg': 'HS256', 'typ': 'JWT'}).encode())}.{encode(json.dumps(claims).encode())}"
    for secret in (RS_KEY.public_pem, json.dumps(RS_KEY.jwk).encode()):
        forged = f"{signed}.{encode(hmac.digest(secret, signed.encode(), 'sha256'))}"
        form = {**REFRESH, **product.assertion(), "client_assertion": forged}
        assert error(product.ask("POST", "/token", form)) == REFUSED


@pytest.mark.parametrize(
    "assertion",
    ["", "a", "a.b", "a.b.c", "a.b.c.d.e", "..", ".".join(["A" * 20_000] * 3), "é.é.é"],
    ids=lambda assertion: assertion[:9],
)
def test_tk_26_what_is_no_jws_is_refused(product: Product, assertion: str) -> None:
    form = {**REFRESH, **product.assertion(), "client_assertion": assertion}
    answer = product.ask("POST", "/token", form)

    assert answer.status in (400, 401)


def test_tk_26_json_that_says_two_things_is_refused(product: Product) -> None:
    claims = f'{{"iss":"J1","sub":"C1","sub":"J1","aud":"{ISSUER}","jti":"x","exp":{int(product.now) + 60}}}'
    head = encode(json.dumps({"alg": "ES256", "kid": "es-1"}).encode())
    form = {**REFRESH, **product.assertion(), "client_assertion": f"{head}.{encode(claims.encode())}.AAAA"}

    assert error(product.ask("POST", "/token", form)) == REFUSED


def test_the_assertion_type_and_the_named_client_must_fit(product: Product) -> None:
    right = {**REFRESH, **product.assertion()}

    assert error(product.ask("POST", "/token", right | {"client_id": "J2"})) == REFUSED
    assert error(product.ask("POST", "/token", right | {"client_assertion_type": "urn:other"})) == REFUSED
    assert error(product.ask("POST", "/token", {**right, "client_assertion_type": None})) == REFUSED
    assert error(product.ask("POST", "/token", right | {"client_id": "J1"})) == AUTHENTICATED


def test_a_client_of_another_method_cannot_use_an_assertion(product: Product) -> None:
    assert _with(product, "C1") == REFUSED
    assert _with(product, "P1") == REFUSED


# --- keys at an address -------------------------------------------------------------------------------------------------


def test_keys_at_jwks_uri_are_kept_and_read_again_for_an_unknown_kid(product: Product, clock: Clock) -> None:
    old, new = ClientKey("ES256", "old"), ClientKey("ES256", "new")
    authenticate, later = _by_uri(product)
    product.jwks.document = {"keys": [old.jwk]}
    assert authenticate(old) == "J2"
    assert authenticate(old) == "J2"
    assert product.jwks.read == 1

    product.jwks.document = {"keys": [old.jwk, new.jwk]}
    later.now += 29
    assert authenticate(new) == "refused"  # not more often than every 30 seconds, whoever asks
    assert product.jwks.read == 1
    later.now += 2
    assert authenticate(new) == "J2"
    assert product.jwks.read == 2
    later.now += 3601
    assert authenticate(old) == "J2"
    assert product.jwks.read == 3


def test_a_client_whose_keys_cannot_be_read_keeps_the_last_good_ones(product: Product) -> None:
    key = ClientKey("ES256", "k")
    authenticate, later = _by_uri(product)
    product.jwks.down = True
    assert authenticate(key) == "refused"
    product.jwks.down, product.jwks.document = False, {"keys": [key.jwk]}
    assert authenticate(key) == "refused"
    later.now += 31
    assert authenticate(key) == "J2"
    product.jwks.down = True
    later.now += 4000
    assert authenticate(key) == "J2"


@pytest.mark.parametrize(
    "document", [None, [], "x", {}, {"keys": {}}, {"keys": ["x", None, {"kty": "oct", "k": "AAAA"}, {"kty": "EC"}]}]
)
def test_a_strange_document_at_jwks_uri_is_no_accident(product: Product, document: Any) -> None:
    authenticate, _ = _by_uri(product)
    product.jwks.document = document

    assert authenticate(ClientKey("ES256", "k")) == "refused"


def _by_uri(product: Product) -> tuple[Any, Ticks]:
    later = Ticks()
    known = ClientAuthentication(ISSUER, product.clients, product.store, product.jwks, later)  # type: ignore[arg-type]  # as in product.py

    def authenticate(key: ClientKey) -> str:
        form = {name: str(value) for name, value in product.assertion("J2", key).items()}
        try:
            return known.authenticate(Request("POST", "/token", peer="192.0.2.1"), form, product.now).client_id
        except OAuthError:
            return "refused"

    return authenticate, later


def test_a_secret_sent_twice_over_in_base64_is_not_decoded_twice(product: Product) -> None:
    once = base64.b64encode(f"C1:{SECRETS['C1']}".encode()).decode()
    twice = base64.b64encode(once.encode()).decode()

    assert error(product.ask("POST", "/token", REFRESH, {"authorization": f"Basic {twice}"})) == REFUSED
