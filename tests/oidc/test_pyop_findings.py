"""The weaknesses of pyop, oic and jwkest (docs/decisions): each finding that a machine endpoint or the engine meets, by its
number. Those of the authorization request (P-02, P-17, P-18), of the keys (P-04, P-14, P-32) and of clients.yaml (P-13, P-22,
P-27) have their tests beside those files too.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import logging
import re
import string
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pyop.authz_state
import pyop.provider
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pyop.storage import StatelessWrapper

from idp import grants
from idp.client_record import Client
from idp.config import Config
from idp.errors import OAuthError, Unavailable
from idp.jws import is_signed, load_public_jwk
from idp.key_ring import KeyRing, SigningKey
from idp.machine import Request
from idp.oidc.provider import ID_TOKEN, Metadata, Provider
from idp.oidc.userinfo import SIGNED_USERINFO
from tests import canaries
from tests.oidc.product import (
    ES_KEY,
    ISSUER,
    PERSON,
    SECRETS,
    VERIFIER,
    Product,
    basic,
    claims,
    data,
    decode,
    encode,
    error,
)

if TYPE_CHECKING:
    from tests.conftest import Clock

ROOT = Path(__file__).parents[2]
OFFLINE = "openid email offline_access"


def _none_jwt(payload: dict[str, Any], **header: Any) -> str:
    head = {"alg": "none", "typ": "JWT", **header}
    return f"{encode(json.dumps(head).encode())}.{encode(json.dumps(payload).encode())}."


def _sources() -> Iterator[tuple[Path, str]]:
    for path in sorted((ROOT / "idp").rglob("*.py")):
        yield path, path.read_text(encoding="utf-8")


# --- P-00 ---------------------------------------------------------------------------------------------------------------


def test_p_00_jwks_publishes_all_keys(product: Product) -> None:
    assert len(data(product.ask("GET", "/jwks"))["keys"]) == 8  # of four algorithms the signing one and the next


def test_p_00_one_code_twenty_threads_one_success(product: Product) -> None:
    code = product.code()
    with ThreadPoolExecutor(20) as pool:
        statuses = sorted(answer.status for answer in pool.map(lambda _: product.redeem(code), range(20)))

    assert statuses == [200] + [400] * 19


def test_p_00_a_refresh_token_is_bound_to_its_client(product: Product) -> None:
    token = product.tokens(scope=OFFLINE)["refresh_token"]

    assert error(product.refresh(token, "ES")) == (400, "invalid_grant")


def test_p_00_a_clients_secret_is_known_only_as_a_hash(product: Product) -> None:
    client = product.client("C1")

    assert client.secret_matches(SECRETS["C1"], product.now)
    assert SECRETS["C1"] not in f"{client!r} {client.model_dump()}"


def test_p_00_the_authentication_is_told_as_it_was(product: Product) -> None:
    session = replace(product.session, auth_time=1_700_000_000, acr="2", amr=("pwd", "otp"))
    told = claims(product.tokens(session=session)["id_token"])

    assert (told["auth_time"], told["acr"], told["amr"]) == (1_700_000_000, "2", ["pwd", "otp"])


def test_p_00_reuse_of_a_code_revokes_what_it_gave(product: Product) -> None:
    code = product.code()
    tokens = data(product.redeem(code))
    product.redeem(code)

    assert product.userinfo(tokens["access_token"]).status == 401


@pytest.mark.parametrize(
    ("issuer", "allowed"),
    [
        ("http://localhost:8000", True),
        ("http://127.0.0.1:8000", True),
        ("http://[::1]:8000", True),
        ("https://login.example", True),
        ("http://login.example", False),
        ("http://localhost.evil.example", False),
    ],
)
def test_p_00_http_is_allowed_on_loopback_and_nowhere_else(issuer: str, allowed: bool) -> None:
    metadata = Metadata(
        issuer=issuer,
        authorization_endpoint=f"{issuer}/authorize",
        token_endpoint=f"{issuer}/token",
        jwks_uri=f"{issuer}/jwks",
        response_types_supported=["code"],
        subject_types_supported=["public"],
        id_token_signing_alg_values_supported=["RS256"],
    )
    try:
        assert metadata.verify()
    except Exception as refused:  # noqa: BLE001 oic raises an exception of its own
        assert (type(refused).__name__, allowed) == ("SchemeError", False)
    else:
        assert allowed
    assert metadata["issuer"] == issuer


# --- P-01, P-29: logs ---------------------------------------------------------------------------------------------------


@contextmanager
def _everything_logged() -> Iterator[io.StringIO]:
    """Every logger at DEBUG, also those that logs.configure holds back."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    loggers = [logging.getLogger(name) for name in ("", "pyop", "oic", "jwkest")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    loggers[0].addHandler(handler)
    try:
        yield stream
    finally:
        loggers[0].removeHandler(handler)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _key_parameters(keys: Path) -> Iterator[str]:
    for record in json.loads((keys / "ring.json").read_text())["keys"]:
        if "private" not in record:
            continue
        private = load_pem_private_key(record["private"].encode(), None)
        if isinstance(private, rsa.RSAPrivateKey):
            numbers = private.private_numbers()
            parameters = [numbers.d, numbers.p, numbers.q, numbers.dmp1]
        elif isinstance(private, ec.EllipticCurvePrivateKey):
            parameters = [private.private_numbers().private_value]
        else:
            assert isinstance(private, ed25519.Ed25519PrivateKey)
            parameters = [int.from_bytes(private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()), "big")]
        for number in parameters:
            raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
            yield from (str(number), f"{number:x}", encode(raw)[:40])


def test_p_01_no_key_no_code_no_token_no_secret_is_logged_even_at_debug(product: Product) -> None:
    with _everything_logged() as stream:
        seen = [VERIFIER, SECRETS["C1"], SECRETS["ES"]]
        for client_id in ("C1", "ES", "PS", "ED"):
            code = product.code(client_id, OFFLINE)
            first = data(product.redeem(code, client_id))
            second = data(product.refresh(first["refresh_token"], client_id))
            product.userinfo(second["access_token"])
            product.ask("POST", "/introspect", {"token": second["access_token"]}, basic(client_id, SECRETS[client_id]))
            product.redeem(code, client_id)
            product.provider.check_id_token_hint(first["id_token"])
            seen += [
                code,
                *(value for tokens in (first, second) for name, value in tokens.items() if name.endswith("_token")),
            ]
        product.ask("POST", "/token", {"code": "x"}, basic("C1", "wrong"))
        logged = stream.getvalue()

    assert "code_used" in logged or "request_refused" in logged  # it does see our log
    secrets = [*seen, *_key_parameters(product.config.keys)]
    assert len(secrets) > 40
    assert [secret[:12] for secret in secrets if secret in logged] == []


def test_p_01_pyop_holds_no_key_and_ours_show_nothing_when_printed(product: Product) -> None:
    assert product.provider.signing_key is None
    key = product.provider.keys.signing("RS256")
    printed = f"{key!r} {key} {product.provider.keys!r} {key.record!r} {vars(product.provider)!r}"

    assert not [parameter for parameter in _key_parameters(product.config.keys) if parameter in printed]
    assert "PRIVATE KEY" not in printed


# --- P-03, P-12, P-26: hints --------------------------------------------------------------------------------------------


def _hint_claims(product: Product, **changes: Any) -> dict[str, Any]:
    now = int(product.now)
    return {"iss": ISSUER, "sub": product.session.sub, "aud": "C1", "sid": "s", "iat": now, "exp": now + 60} | changes


def test_p_03_a_genuine_id_token_is_a_hint_also_when_it_has_expired(product: Product, clock: Clock) -> None:
    tokens = {client_id: product.tokens(client_id)["id_token"] for client_id in ("C1", "ES", "PS", "ED", "C2")}
    clock.advance(5 * 86400)
    for client_id, token in tokens.items():
        hint = product.provider.check_id_token_hint(token)
        assert hint is not None
        assert (hint["aud"], hint["sub"]) == (client_id, claims(token)["sub"])


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "NONE", ""])
def test_p_03_an_unsigned_hint_is_nothing(product: Product, alg: str) -> None:
    kid = product.provider.keys.signing("RS256").kid
    payload = _hint_claims(product)

    assert product.provider.check_id_token_hint(_none_jwt(payload, alg=alg)) is None
    assert product.provider.check_id_token_hint(_none_jwt(payload, alg=alg, kid=kid)) is None
    assert product.provider.check_id_token_hint(_none_jwt(payload, alg=alg, kid=kid) + "AAAA") is None


def test_p_03_a_hint_with_other_claims_or_another_signature_is_nothing(product: Product) -> None:
    ring = product.provider.keys
    for changes in (
        {"iss": "https://evil.example"},
        {"aud": ["C1"]},
        {"aud": 7},
        {"sub": None},
        {"sid": None},
    ):
        assert product.provider.check_id_token_hint(ring.sign_jwt(_hint_claims(product, **changes), "RS256")) is None
    genuine = product.tokens()["id_token"]
    head, body, signature = genuine.split(".")
    forged = encode(json.dumps(_hint_claims(product, sub="bob")).encode())
    for wrong in (
        f"{head}.{forged}.{signature}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        ES_KEY.sign(_hint_claims(product)),
    ):
        assert product.provider.check_id_token_hint(wrong) is None


def test_p_12_an_encrypted_hint_is_refused_before_anything_looks_at_it(product: Product) -> None:
    head = encode(json.dumps({"alg": "RSA1_5", "enc": "A128CBC-HS256", "zip": "DEF"}).encode())

    assert product.provider.check_id_token_hint(f"{head}.AAAA.AAAA.AAAA.AAAA") is None
    assert product.provider.check_id_token_hint(f"{head}." + "A" * 300_000 + ".AAAA.AAAA.AAAA") is None
    for key in data(product.ask("GET", "/jwks"))["keys"]:
        assert key["use"] == "sig"
        assert key["alg"]


def test_p_26_no_other_jwt_of_ours_passes_for_an_id_token(product: Product) -> None:
    signed_userinfo = product.userinfo(product.tokens("ES")["access_token"]).body.decode()
    logout_token = product.provider.keys.sign_jwt(_hint_claims(product), "RS256", "logout+jwt")

    assert len({ID_TOKEN, SIGNED_USERINFO, "logout+jwt"}) == 3
    assert product.provider.check_id_token_hint(signed_userinfo) is None
    assert product.provider.check_id_token_hint(logout_token) is None


@pytest.mark.parametrize(
    "name",
    [
        "logout_user",
        "do_post_logout_redirect",
        "parse_authentication_request",
        "handle_client_registration_request",
        "_verify_client_authentication",
    ],
)
def test_p_26_what_pyop_would_do_with_raw_input_is_switched_off(product: Product, name: str) -> None:
    with pytest.raises(NotImplementedError):
        getattr(product.provider, name)("anything")


# --- signing ------------------------------------------------------------------------------------------------------------


def test_p_04_id_tokens_are_signed_by_cryptography(product: Product) -> None:
    for client_id, alg in (("C1", "RS256"), ("ES", "ES256"), ("ED", "EdDSA")):
        head, body, signature = product.tokens(client_id)["id_token"].split(".")
        key = product.provider.keys.verifying(json.loads(decode(head))["kid"])
        assert key is not None
        assert is_signed(load_public_jwk(key.public_jwk), alg, f"{head}.{body}".encode(), decode(signature))
    importing = [
        path.name
        for path, source in _sources()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom) and "jwkest" in ast.unparse(node)
    ]
    assert importing == []


class FailingRing(KeyRing):
    """A ring whose signatures fail, as a broken disk or library would make them."""

    def sign_jwt(self, claims: Any, alg: str, typ: str = "JWT") -> str:
        raise ValueError("canary of the signing accident")


class EmptyRing(KeyRing):
    """A ring without the key that a client needs."""

    def signing(self, alg: str) -> SigningKey:
        raise Unavailable("signing_key_missing")


def _with_ring(product: Product, ring: type[KeyRing]) -> Provider:
    keys = ring(product.config.keys, 3600)
    return Provider(product.config, product.store, keys, product.clients, canaries.random)


def _exchange(provider: Provider, product: Product, code: str) -> None:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": "https://rp1.example/cb",
        "code_verifier": VERIFIER,
    }
    provider.handle_token_request(form, product.client("C1"), product.now)


def test_p_31_when_signing_fails_no_token_lives_and_the_code_is_spent(product: Product) -> None:
    """TK-24."""
    code = product.code(scope=OFFLINE)
    with pytest.raises(ValueError, match="signing accident"):
        _exchange(_with_ring(product, FailingRing), product, code)

    assert product.store.command("KEYS", "grant:*") == []
    assert error(product.redeem(code)) == (400, "invalid_grant")


def test_p_31_when_a_refresh_cannot_be_signed_the_whole_grant_ends(product: Product) -> None:
    tokens = product.tokens(scope=OFFLINE)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    with pytest.raises(ValueError, match="signing accident"):
        _with_ring(product, FailingRing).handle_token_request(form, product.client("C1"), product.now)

    assert product.store.command("KEYS", "grant:*") == []


def test_p_27_without_a_key_of_the_clients_algorithm_nothing_is_spent(product: Product) -> None:
    code = product.code()
    with pytest.raises(Unavailable):
        _exchange(_with_ring(product, EmptyRing), product, code)

    assert product.redeem(code).status == 200


@pytest.mark.parametrize("alg", ["none", "HS256", "RS512", "junk", ""])
def test_p_27_a_client_cannot_ask_for_another_algorithm(product: Product, alg: str) -> None:
    known = product.client("C1").model_dump()
    with pytest.raises(ValueError, match="id_token_signed_response_alg"):
        Client.model_validate({**known, "id_token_signed_response_alg": alg})


# --- scopes and claims --------------------------------------------------------------------------------------------------


def test_p_05_only_granted_scopes_are_told(product: Product) -> None:
    tokens = product.tokens(scope="openid email")

    assert tokens["scope"] == "openid email"
    assert product.introspect(tokens["access_token"])["scope"] == "openid email"


def test_p_06_the_claims_parameter_reaches_no_internal_field(product: Product) -> None:
    session = replace(product.session, person={**PERSON, "password_hash": "x", "internal_role": "x"})
    wanted = {
        "userinfo": {"password_hash": None, "internal_role": {"essential": True}},
        "id_token": {"password_hash": None},
    }
    tokens = product.tokens(session=session, claims=wanted)

    assert data(product.userinfo(tokens["access_token"])) == {"sub": session.sub}
    assert "password_hash" not in claims(tokens["id_token"])
    assert "password_hash" not in json.loads(product.store.command("HGET", _grant_key(tokens), "facts"))["claims"]


def test_p_07_attributes_of_a_person_replace_no_security_claim(product: Product) -> None:
    """TK-22."""
    reserved = (
        "acr",
        "amr",
        "auth_time",
        "azp",
        "at_hash",
        "c_hash",
        "nonce",
        "iss",
        "aud",
        "exp",
        "iat",
        "sub",
        "sid",
    )
    session = replace(product.session, person=dict.fromkeys(reserved, "forged"))
    tokens = product.tokens(
        session=session, nonce=None, claims={"id_token": dict.fromkeys(reserved), "userinfo": dict.fromkeys(reserved)}
    )

    assert "forged" not in claims(tokens["id_token"]).values()
    assert data(product.userinfo(tokens["access_token"])) == {"sub": session.sub}


def test_p_08_a_sub_among_the_attributes_changes_nobodys_subject(product: Product) -> None:
    victim = replace(product.session, person={"sub": "shared", "name": "Victim"})
    other = replace(product.somebody_else(), person={"sub": "shared", "name": "Other"})
    of_victim = product.tokens(scope="openid profile", session=victim)
    of_other = product.tokens(scope="openid profile", session=other)

    assert data(product.userinfo(of_victim["access_token"])) == {"sub": victim.sub, "name": "Victim"}
    assert data(product.userinfo(of_other["access_token"])) == {"sub": other.sub, "name": "Other"}
    assert claims(of_other["id_token"])["sub"] == other.sub


# --- state --------------------------------------------------------------------------------------------------------------


def _grant_key(tokens: dict[str, Any]) -> str:
    return f"grant:{{{tokens['access_token'].split('.')[0]}}}"


def test_p_09_a_flow_costs_the_same_however_many_people_there_are(product: Product) -> None:
    """DS-01."""
    product.attempts.close()

    def trips() -> int:
        before = product.store.trips
        tokens = product.tokens(scope=OFFLINE)
        product.userinfo(tokens["access_token"])
        product.refresh(tokens["refresh_token"])
        return product.store.trips - before

    alone = trips()
    for number in range(1000):
        product.code(session=replace(product.session, id=f"{number:032x}", account_id=f"{number:032x}"))
    assert trips() == alone == 4


def test_p_09_none_of_pyops_dictionaries_exists(product: Product) -> None:
    state = product.provider.authz_state

    for name in ("authorization_codes", "access_tokens", "refresh_tokens", "subject_identifiers"):
        assert not hasattr(state, name)
    for call in (state.get_user_id_for_subject_identifier, state.delete_state_for_subject_identifier):
        with pytest.raises(AttributeError):
            call("sub")


def test_p_10_a_refresh_token_does_not_rest_on_an_access_token(product: Product, clock: Clock) -> None:
    tokens = product.tokens(scope=OFFLINE)
    product.ask("POST", "/revoke", {"token": tokens["access_token"]}, basic("C1", SECRETS["C1"]))
    assert "refresh_token" not in product.tokens(scope="openid email")

    clock.advance(10 * 86400)
    assert product.refresh(tokens["refresh_token"]).status == 200


@pytest.mark.parametrize("verifier", [None, "v", "é" * 43, "w" * 43, "v" * 129])
def test_p_11_pkce_is_checked_at_the_token_endpoint_and_burns_the_code(product: Product, verifier: str | None) -> None:
    challenge = encode(hashlib.sha256(VERIFIER.encode()).digest())
    code = product.code("P1", code_challenge=challenge)
    refused = product.redeem(code, "P1", code_verifier=verifier)

    assert error(refused) == (400, "invalid_grant")
    assert challenge.encode() not in refused.body
    assert error(product.redeem(code, "P1")) == (400, "invalid_grant")


def test_p_11_a_verifier_without_a_challenge_is_a_downgrade(product: Product) -> None:
    assert error(product.redeem(product.code(code_challenge=None))) == (400, "invalid_grant")


def test_p_13_nobody_can_register_a_client(product: Product) -> None:
    """RG-01."""
    for path in ("/register", "/registration", "/connect/register", "/oidc/register"):
        assert not product.endpoints.serves(path)
    assert "registration_endpoint" not in data(product.ask("GET", "/.well-known/openid-configuration"))


def test_p_14_jwks_has_no_private_and_no_symmetric_member(product: Product) -> None:
    for key in data(product.ask("GET", "/jwks"))["keys"]:
        assert not {"d", "p", "q", "dp", "dq", "qi", "k", "oth"} & set(key)
        assert key["kty"] in ("RSA", "EC", "OKP")


def test_p_15_state_is_never_in_the_token(product: Product) -> None:
    assert product.provider.stateless is False
    assert not [value for value in vars(product.provider.state).values() if isinstance(value, StatelessWrapper)]
    assert all(
        len(token) == 66
        for name, token in product.tokens(scope=OFFLINE).items()
        if name in ("access_token", "refresh_token")
    )


def test_p_16_each_code_carries_its_own_sessions_authentication(product: Product) -> None:
    laptop = replace(product.session, id="1" * 32, auth_time=1_700_000_000, acr="1")
    phone = replace(product.session, id="2" * 32, auth_time=1_700_000_500, acr="2")
    codes = [product.code(session=session) for session in (laptop, phone)]
    told = [claims(data(product.redeem(code))["id_token"]) for code in codes]

    assert [(one["auth_time"], one["acr"]) for one in told] == [(1_700_000_000, "1"), (1_700_000_500, "2")]
    assert told[0]["sid"] != told[1]["sid"]


# --- P-19, P-20, P-21, P-25, P-29: what comes in -------------------------------------------------------------------------

_NAMES = st.sampled_from(
    [
        "grant_type",
        "code",
        "redirect_uri",
        "code_verifier",
        "client_id",
        "client_secret",
        "refresh_token",
        "scope",
        "token",
        "token_type_hint",
        "access_token",
        "client_assertion",
        "client_assertion_type",
        *("self", "cls", "lax", "a#b#c", "__class__", "scope#fr"),
        "state",
        "x",
    ]
)
_CREDENTIALS_OF_NOBODY = (
    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "A" * 5000,
    f"{'A' * 22}.{'A' * 43}",
    "9" * 400,
    _none_jwt({"sub": "J1", "iss": "J1"}),
    f"{encode(b'[' * 200)}.AAAA.AAAA",
    f"{encode(b'1')}.{encode(b'NaN')}.AAAA",
)
_VALUES = st.one_of(
    st.sampled_from(
        [
            *_CREDENTIALS_OF_NOBODY,
            "",
            " ",
            "authorization_code",
            "refresh_token",
            "C1",
            "P1",
            "J1",
            "a.b.c",
            "é",
            "\x00",
            "\r\nx",
            "{}",
            "[",
            "null",
        ]
    ),
    st.text(max_size=40),
)
_FORMS = st.lists(st.tuples(_NAMES, _VALUES), max_size=12)
_AUTHORIZATIONS = st.one_of(
    st.none(),
    st.just(basic("C1", SECRETS["C1"])["authorization"]),
    st.sampled_from(
        [
            *_CREDENTIALS_OF_NOBODY,
            "",
            " ",
            "Basic",
            "Basic ",
            "Basic Og==",
            "Basic ///",
            "Bearer",
            "Bearer x",
            "Digest x",
            "Basic =",
            "Bearer \xff",
        ]
    ),
    st.text(alphabet=string.printable, max_size=60),
)


@given(
    path=st.sampled_from(
        ["/token", "/userinfo", "/introspect", "/revoke", "/jwks", "/.well-known/openid-configuration"]
    ),
    method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", ""]),
    form=st.one_of(_FORMS, st.binary(max_size=200)),
    authorization=_AUTHORIZATIONS,
    kind=st.sampled_from(
        [
            "application/x-www-form-urlencoded",
            "application/json",
            "",
            "application/x-www-form-urlencoded; charset=utf-16",
        ]
    ),
    query=st.text(alphabet=string.printable, max_size=60),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[])
def test_p_19_no_input_to_any_endpoint_ends_in_a_5xx(
    shared_product: Product, path: str, method: str, form: Any, authorization: str | None, kind: str, query: str
) -> None:
    body = form if isinstance(form, bytes) else urlencode(form).encode()
    sent = {"content-type": kind} | ({} if authorization is None else {"authorization": authorization})
    answer = shared_product.endpoints.answer(Request(method, path, sent, query, body, "192.0.2.1"))

    assert answer is not None
    assert answer.status < 500
    assert b"Traceback" not in answer.body
    assert b"Error'" not in answer.body


@pytest.mark.parametrize(
    ("form", "sent"),
    [
        ({}, {"authorization": "basic !"}),
        ({}, {"authorization": "Basic Y*z*E="}),
        ({"client_id": "C1", "client_secret": SECRETS["C1"]}, basic("C1", SECRETS["C1"])),
        ({}, basic("C1", "wrong")),
        ({}, basic("nobody", "wrong")),
    ],
    ids=range(5),
)
def test_p_20_client_authentication_is_strict_and_tells_nothing(
    product: Product, form: dict[str, str | None], sent: dict[str, str]
) -> None:
    status, code = error(
        product.ask("POST", "/token", {"grant_type": "refresh_token", "refresh_token": "x", **form}, sent)
    )

    assert (status, code) in ((401, "invalid_client"), (400, "invalid_request"))


@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke", "/userinfo"])
def test_p_21_repeated_parameters_are_refused_everywhere(product: Product, path: str) -> None:
    access_token = product.tokens()["access_token"]
    body = f"token=a&token=b&access_token={access_token}".encode()

    assert error(product.ask("POST", path, body, basic("C1", SECRETS["C1"]))) == (400, "invalid_request")


def test_p_23_public_and_pairwise_subjects_live_beside_each_other(product: Product) -> None:
    pairwise = product.tokens("C2")
    public = product.tokens("C1")

    assert data(product.userinfo(pairwise["access_token"]))["sub"] == claims(pairwise["id_token"])["sub"]
    assert data(product.userinfo(public["access_token"]))["sub"] == product.session.sub


def test_p_24_introspection_tells_only_the_owner_and_only_of_the_living(product: Product, clock: Clock) -> None:
    token = product.tokens()["access_token"]

    assert product.introspect(token, "C2") == {"active": False}
    assert error(product.ask("POST", "/introspect", {"token": token})) == (401, "invalid_client")
    clock.advance(3600)
    assert product.introspect(token) == {"active": False}


def test_p_25_the_bearer_header_is_exact_and_the_only_way_besides_a_form(product: Product) -> None:
    token = product.tokens()["access_token"]

    assert product.ask("GET", "/userinfo", headers={"authorization": f"BearerX{token}"}).status == 400
    assert product.ask("GET", "/userinfo", headers={"authorization": f"bearer {token}"}).status == 200
    assert product.ask("GET", "/userinfo", query=f"access_token={token}").status == 400
    assert product.ask("POST", "/userinfo", {"access_token": token}, {"authorization": f"Bearer {token}"}).status == 400


def test_p_28_secrets_have_at_least_128_bits_and_are_stored_as_hashes(product: Product) -> None:
    """TK-30."""
    tokens = product.tokens(scope=OFFLINE)
    record = product.store.command("HGETALL", _grant_key(tokens))

    for name in ("access_token", "refresh_token"):
        assert len(decode(tokens[name].split(".")[1])) == 32
        assert tokens[name].split(".")[1] not in str(record)


def test_p_29_nothing_that_was_sent_stands_in_an_answer(product: Product) -> None:
    sent = "canary-of-the-sender"
    for form in (
        {"grant_type": sent},
        {"grant_type": "authorization_code", "code": sent, "redirect_uri": sent, "code_verifier": sent},
        {"grant_type": "refresh_token", "refresh_token": sent, "scope": sent},
        {sent: sent},
    ):
        answer = product.token(form)
        assert answer.status == 400
        assert sent.encode() not in answer.body
        assert re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+", json.loads(answer.body)["error_description"])
    assert sent.encode() not in product.ask("POST", "/token", {"grant_type": "x"}, basic(sent, sent)).body
    assert sent.encode() not in product.userinfo(sent).body


def test_p_30_the_metadata_is_our_own(product: Product) -> None:
    metadata = data(product.ask("GET", "/.well-known/openid-configuration"))

    assert metadata["request_uri_parameter_supported"] is False
    assert "implicit" not in metadata["grant_types_supported"]
    assert "version" not in metadata
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert metadata["authorization_response_iss_parameter_supported"] is True


# --- what we never call -------------------------------------------------------------------------------------------------

BANNED = (
    *(
        "verify_json",
        "load_from_url",
        "KeyJar",
        "from_jwt",
        "to_jwt",
        "to_error_url",
        "StatelessWrapper",
        "RedisWrapper",
    ),
    *("provider_configuration", "handle_client_registration_request", "logout_user", "do_post_logout_redirect"),
)


@pytest.mark.parametrize("name", BANNED)
def test_p_33_what_trusts_its_input_is_never_called(name: str) -> None:
    for path, source in _sources():
        used = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
        assert name not in used, path


def test_p_33_a_key_that_comes_with_the_token_is_not_trusted(product: Product) -> None:
    payload = _hint_claims(product)
    kid = product.provider.keys.signing("ES256").kid
    for header in (
        {"jwk": ES_KEY.jwk},
        {"jku": "https://evil.example"},
        {"x5u": "https://evil.example"},
        {"crit": ["x"], "x": 1},
    ):
        assert product.provider.check_id_token_hint(ES_KEY.sign(payload, kid=kid, **header)) is None
        form = {"grant_type": "refresh_token", "refresh_token": "x"}
        assertion = product.assertion(**{f"header_{name}": value for name, value in header.items()})
        assert error(product.ask("POST", "/token", {**form, **assertion})) == (401, "invalid_client")


def test_p_34_the_unmaintained_library_is_pinned_by_hash_and_not_ours_to_call() -> None:
    lock = (ROOT / "deploy/requirements.txt").read_text()

    assert re.search(r"^pyjwkest==\S+ \\\n\s+--hash=sha256:", lock, re.M)
    assert not [path for path, source in _sources() if re.search(r"^\s*(import|from) jwkest", source, re.M)]


# --- the low ones -------------------------------------------------------------------------------------------------------


def test_p_low_the_configuration_is_not_copied_at_every_request(product: Product) -> None:
    class Counting(dict):  # type: ignore[type-arg]
        copies = 0

        def __deepcopy__(self, memo: Any) -> Any:
            Counting.copies += 1
            return self

    product.provider.configuration_information = Counting(product.provider.configuration_information)
    product.tokens(scope=OFFLINE)
    assert Counting.copies == 0


def test_p_low_the_request_is_stored_once_and_not_with_every_token(product: Product) -> None:
    tokens = product.tokens(scope=OFFLINE, nonce="n" * 1024)
    key = _grant_key(tokens)
    before = str(product.store.command("HGETALL", key))
    product.refresh(tokens["refresh_token"])
    after = str(product.store.command("HGETALL", key))

    assert before.count("n" * 1024) == after.count("n" * 1024) == 1
    assert len(after) < len(before) + 600
    assert "state" not in json.loads(product.store.command("HGET", key, "facts"))


def test_p_low_a_code_lives_sixty_seconds(product: Product, clock: Clock) -> None:
    code = product.code()
    clock.advance(60)

    assert error(product.redeem(code)) == (400, "invalid_grant")


def test_p_low_a_requested_sub_is_an_object_with_a_value(product: Product) -> None:
    """OpenID Connect Core 5.5.1."""
    own = {"id_token": {"sub": {"value": product.session.sub}}}
    assert claims(product.tokens(claims=own)["id_token"])["sub"] == product.session.sub
    assert product.tokens(claims={"id_token": {"sub": None}, "userinfo": {"sub": {"essential": True}}})
    with pytest.raises(OAuthError) as refused:
        product.code(claims={"userinfo": {"sub": {"value": "somebody"}}})
    assert (refused.value.error, refused.value.may_redirect) == ("login_required", True)


def test_p_low_unknown_used_and_expired_codes_look_alike(product: Product, clock: Clock) -> None:
    used, late, foreign = product.code(), product.code(), product.code("ES")
    product.redeem(used)
    clock.advance(60)
    answers = [product.redeem(code) for code in (used, late, foreign, "unknown")]

    assert len({(answer.status, answer.body, tuple(answer.headers)) for answer in answers}) == 1


def test_p_low_at_hash_is_never_null(product: Product) -> None:
    assert len(decode(claims(product.tokens("ED")["id_token"])["at_hash"])) == 32


def test_p_low_a_client_that_is_switched_off_loses_what_it_held(product: Product) -> None:
    tokens = product.tokens(scope=OFFLINE)
    path = product.config.data / "products.yaml"
    path.write_text(path.read_text().replace("    name: One\n", "    name: One\n    enabled: false\n"))
    product.ticks.now += 1

    assert error(product.userinfo(tokens["access_token"])) == (401, "invalid_token")
    assert product.introspect(tokens["access_token"], "RS") == {"active": False}
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert error(product.ask("POST", "/token", form, basic("C1", SECRETS["C1"]))) == (401, "invalid_client")


def test_p_low_grant_types_are_per_client(product: Product) -> None:
    assert error(product.refresh("x", "NO")) == (400, "unauthorized_client")
    assert "refresh_token" not in product.tokens("NO", OFFLINE)


def test_every_request_passes_our_subclass_of_pyops_provider(product: Product) -> None:
    assert isinstance(product.provider, pyop.provider.Provider)
    assert isinstance(product.provider.authz_state, pyop.authz_state.AuthorizationState)
    local = Config(issuer="http://localhost:8000", data=product.config.data, keys=product.config.keys)
    assert (
        Provider(local, product.store, product.provider.keys, product.clients, canaries.random).issuer == local.issuer
    )
    assert grants.GRACE == 10
