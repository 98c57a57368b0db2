"""The token endpoint: attacks.md section 2, and what OpenID Connect and the certification modules demand of it."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from idp import grants
from idp.attempts import drain
from idp.database import Database
from idp.jws import is_signed, load_public_jwk
from idp.machine import Request
from idp.receipts import find_attempt, steps_of
from tests import canaries
from tests.oidc.product import (
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
    headers,
)

if TYPE_CHECKING:
    from tests.conftest import Clock

OFFLINE = "openid email offline_access"


# --- what a product gets ------------------------------------------------------------------------------------------------


def test_a_code_buys_tokens_and_the_one_standardized_id_token(product: Product) -> None:
    answer = product.redeem(product.code("C1", "openid email"))
    tokens = data(answer)

    assert set(tokens) == {"access_token", "token_type", "expires_in", "scope", "id_token"}
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == ("Bearer", 3600, "openid email")
    told = claims(tokens["id_token"])
    assert set(told) == {"iss", "sub", "aud", "exp", "iat", "auth_time", "acr", "amr", "sid", "at_hash", "nonce"}
    assert (told["iss"], told["sub"], told["aud"], told["nonce"]) == (ISSUER, product.session.sub, "C1", "n1")
    assert (told["iat"], told["exp"]) == (product.now, product.now + 3600)
    assert (told["auth_time"], told["acr"], told["amr"]) == (product.session.auth_time, "1", ["pwd"])
    assert told["sid"] == product.session.sid("C1")
    assert decode(told["at_hash"]) == hashlib.sha256(tokens["access_token"].encode()).digest()[:16]


def test_the_nonce_is_absent_if_none_was_sent(product: Product) -> None:
    assert "nonce" not in claims(product.tokens(nonce=None)["id_token"])


@pytest.mark.parametrize(("client_id", "alg"), [("C1", "RS256"), ("ES", "ES256"), ("PS", "PS256"), ("ED", "EdDSA")])
def test_id_tokens_are_signed_in_the_clients_algorithm_with_a_published_key(
    product: Product, client_id: str, alg: str
) -> None:
    tokens = product.tokens(client_id)
    head, body, signature = tokens["id_token"].split(".")
    header = json.loads(decode(head))
    published = {key["kid"]: key for key in data(product.ask("GET", "/jwks"))["keys"]}

    assert (header["alg"], header["typ"], published[header["kid"]]["alg"]) == (alg, "JWT", alg)
    assert is_signed(load_public_jwk(published[header["kid"]]), alg, f"{head}.{body}".encode(), decode(signature))
    digest = hashlib.new("sha512" if alg == "EdDSA" else "sha256", tokens["access_token"].encode()).digest()
    assert decode(claims(tokens["id_token"])["at_hash"]) == digest[: len(digest) // 2]


def test_claims_that_the_claims_parameter_asks_for_stand_in_the_id_token_and_no_others(product: Product) -> None:
    told = claims(product.tokens(scope="openid profile", claims={"id_token": {"email": None}})["id_token"])

    assert told["email"] == PERSON["email"]
    assert "name" not in told


def test_a_refresh_gives_a_new_id_token_of_the_same_authentication(product: Product, clock: Clock) -> None:
    first = product.tokens(scope=OFFLINE)
    clock.advance(60)
    second = data(product.refresh(first["refresh_token"]))
    before, after = claims(first["id_token"]), claims(second["id_token"])

    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    assert {name: before[name] for name in ("iss", "sub", "aud", "auth_time", "acr", "amr", "sid")} == {
        name: after[name] for name in ("iss", "sub", "aud", "auth_time", "acr", "amr", "sid")
    }
    assert after["iat"] == before["iat"] + 60
    assert "nonce" not in after


def test_there_is_a_refresh_token_only_with_offline_access_and_for_clients_that_use_them(product: Product) -> None:
    assert "refresh_token" in product.tokens("C1", OFFLINE)
    assert "refresh_token" not in product.tokens("C1", "openid email")
    assert "refresh_token" not in product.tokens("NO", OFFLINE)


def test_without_openid_in_a_narrowed_refresh_there_is_no_id_token(product: Product) -> None:
    tokens = product.tokens(scope=OFFLINE)

    assert "id_token" not in data(product.refresh(tokens["refresh_token"], scope="email"))


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({}, 400, "invalid_request"),
        ({"grant_type": "password", "username": "x", "password": "y"}, 400, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, 400, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token"}, 400, "invalid_request"),
        ({"grant_type": "authorization_code", "code": "nonsense"}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "nonsense"}, 400, "invalid_grant"),
    ],
)
def test_wrong_requests_get_the_error_of_rfc_6749(
    product: Product, form: dict[str, str | None], status: int, code: str
) -> None:
    assert error(product.token(form)) == (status, code)


@pytest.mark.parametrize("name", ["self", "lax", "code#fr", "a#b#c", "__class__", "client_id#x", "state"])
def test_a_parameter_that_we_do_not_know_is_ignored(product: Product, name: str) -> None:
    form = {
        "grant_type": "authorization_code",
        "code": product.code(),
        "redirect_uri": "https://rp1.example/cb",
        "code_verifier": VERIFIER,
        name: "x",
    }
    assert product.token(form).status == 200


def test_claims_of_every_type_can_stand_in_the_id_token(product: Product) -> None:
    told = claims(product.tokens(claims={"id_token": dict.fromkeys(PERSON)})["id_token"])

    assert {name: told[name] for name in PERSON} == PERSON


def test_a_client_may_use_only_its_grant_types(product: Product) -> None:
    refused = product.token({"grant_type": "refresh_token", "refresh_token": "x"}, "NO")

    assert error(refused) == (400, "unauthorized_client")


def test_every_step_is_one_redis_round_trip(product: Product) -> None:
    code = product.code(scope=OFFLINE)
    counted = []

    def trips(step: Any) -> Any:
        before = product.store.trips
        result = step()
        counted.append(product.store.trips - before)
        return result

    product.attempts.close()  # its thread writes too
    tokens = data(trips(lambda: product.redeem(code)))
    tokens = data(trips(lambda: product.refresh(tokens["refresh_token"])))
    trips(lambda: product.userinfo(tokens["access_token"]))
    trips(lambda: product.introspect(tokens["access_token"]))
    trips(lambda: product.introspect(tokens["refresh_token"]))
    trips(lambda: product.code())

    assert counted == [1] * 6


# --- attacks.md, section 2 ----------------------------------------------------------------------------------------------


def test_tk_02_a_second_use_of_the_code_ends_what_the_first_gave(product: Product, clock: Clock) -> None:
    for wait in (1, 30):
        code = product.code(scope=OFFLINE)
        tokens = data(product.redeem(code))
        assert product.userinfo(tokens["access_token"]).status == 200
        clock.advance(wait)

        assert error(product.redeem(code)) == (400, "invalid_grant")
        assert product.userinfo(tokens["access_token"]).status == 401
        assert error(product.refresh(tokens["refresh_token"])) == (400, "invalid_grant")


@pytest.mark.parametrize("thief", ["C2", "P1", "C2 who says C1"])
def test_tk_03_another_client_gets_nothing_and_burns_the_code(product: Product, thief: str) -> None:
    code = product.code("C1")
    form: dict[str, str | None] = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": "https://rp1.example/cb",
        "code_verifier": VERIFIER,
    }
    if thief.endswith("C1"):
        form["client_id"] = "C1"

    assert error(product.token(form, thief[:2])) == (400, "invalid_grant")
    assert error(product.redeem(code)) == (400, "invalid_grant")


@pytest.mark.parametrize("verifier", [None, "w" * 43, "é" * 43, "v", "v" * 129, "v" * 42 + " "])
def test_tk_05_a_wrong_verifier_burns_the_code(product: Product, verifier: str | None) -> None:
    code = product.code("C1")

    assert error(product.redeem(code, code_verifier=verifier)) == (400, "invalid_grant")
    assert error(product.redeem(code)) == (400, "invalid_grant")


def test_tk_06_a_verifier_without_a_challenge_is_refused(product: Product) -> None:
    code = product.code("C1", code_challenge=None)

    assert error(product.redeem(code)) == (400, "invalid_grant")
    assert product.redeem(product.code("C1", code_challenge=None), code_verifier=None).status == 200


@pytest.mark.parametrize(
    "uri", [None, "https://rp1.example/other", "https://rp1.example/CB", "https://rp1.example/cb/"]
)
def test_tk_07_the_redirect_uri_must_be_the_one_of_the_request(product: Product, uri: str | None) -> None:
    code = product.code("C1")

    assert error(product.redeem(code, redirect_uri=uri)) == (400, "invalid_grant")
    assert error(product.redeem(code)) == (400, "invalid_grant")


def _header(text: str | bytes) -> dict[str, str]:
    raw = text.encode() if isinstance(text, str) else text
    return {"authorization": "Basic " + base64.b64encode(raw).decode()}


@pytest.mark.parametrize(
    "sent",
    [
        {"authorization": ""},
        {"authorization": " "},
        {"authorization": "Basic"},
        {"authorization": "Basic "},
        _header("C1"),
        _header("C1:a:b"),
        _header(b"C1:\xff\xfe"),
        _header("C1:%zz"),
        _header(":"),
        {"authorization": "Basic !!!"},
        {
            "authorization": _header(f"C1:{SECRETS['C1']}")["authorization"][:12]
            + "*"
            + _header(f"C1:{SECRETS['C1']}")["authorization"][12:]
        },
        {"authorization": "Basic " + "A" * 1_000_000},
        {"authorization": _header(f"C1:{SECRETS['C1']}")["authorization"] + ", " + _header("C2:x")["authorization"]},
        {"authorization": "Bearer abc"},
        {"authorization": _header(f"C1:{SECRETS['C1']}")["authorization"].replace(" ", "\t")},
    ],
    ids=range(15),
)
def test_tk_08_a_malformed_basic_header_is_invalid_client(product: Product, sent: dict[str, str]) -> None:
    started = time.perf_counter()
    answer = product.ask("POST", "/token", {"grant_type": "authorization_code", "code": "x"}, sent)

    assert error(answer) == (401, "invalid_client")
    assert headers(answer)["www-authenticate"] == f'Basic realm="{ISSUER}"'
    assert time.perf_counter() - started < 1


def test_tk_08_the_scheme_may_be_written_in_any_case(product: Product) -> None:
    sent = basic("C1", SECRETS["C1"])["authorization"].replace("Basic", "bAsIc")

    assert (
        product.token(
            {
                "grant_type": "authorization_code",
                "code": product.code(),
                "redirect_uri": "https://rp1.example/cb",
                "code_verifier": VERIFIER,
            },
            headers={"authorization": sent},
        ).status
        == 200
    )


def test_tk_09_a_secret_of_any_characters_works_form_encoded(product: Product) -> None:
    form: dict[str, str | None] = {"grant_type": "refresh_token", "refresh_token": "x"}
    secret = SECRETS["ES"]

    assert error(product.token(form, "ES")) == (400, "invalid_grant")
    in_form = {**form, "client_id": "ES", "client_secret": secret}
    assert error(product.ask("POST", "/token", in_form)) == (400, "invalid_grant")
    # Not encoded: never accepted, whatever the library meant.
    for ambiguous in (secret, secret.replace(" ", "+"), secret.replace(" ", "%20")):
        assert error(product.ask("POST", "/token", form, _header(f"ES:{ambiguous}"))) == (401, "invalid_client")


def test_tk_03_an_attack_is_worth_a_warning(product: Product, caplog: pytest.LogCaptureFixture) -> None:
    tokens = product.tokens(scope=OFFLINE, receipt="AAAA-AAAA")
    product.refresh(tokens["refresh_token"], "C2")
    product.redeem(product.code("C1", receipt="BBBB-BBBB"), "C2")
    warnings = [record.msg for record in caplog.records if record.name == "idp.oidc.token"]

    assert [(one["event"], one["reason"], one["client_id"], one["receipt"]) for one in warnings] == [
        ("grant_attacked", "refresh_foreign", "C2", "AAAA-AAAA"),
        ("grant_attacked", "code_foreign", "C2", "BBBB-BBBB"),
    ]


def test_tk_12_what_is_no_plain_form_is_refused_quickly(product: Product) -> None:
    form = "application/x-www-form-urlencoded"
    cases: list[tuple[bytes, dict[str, str], int]] = [
        (b"grant_type=authorization_code&code=a&code=b", {}, 400),
        (b"grant_type=authorization_code&grant_type=refresh_token&code=a", {}, 400),
        (b"grant_type=authorization_code&client_id=C1&client_id=C2", {}, 400),
        (b"code=a&code=", {}, 400),
        (b"code=%ff", {}, 400),
        (b"code=%00", {}, 400),
        (b"\xff", {}, 400),
        (b"&".join(b"p%d=1" % number for number in range(61)), {}, 400),
        (b'{"grant_type":"authorization_code"}', {"content-type": "application/json"}, 415),
        (b"--x\r\n", {"content-type": "multipart/form-data; boundary=x"}, 415),
        (b"code=a", {"content-type": f"{form}; charset=utf-16"}, 415),
        (b"code=a", {"content-type": ""}, 415),
        (b"\x1f\x8b", {"content-type": form, "content-encoding": "gzip"}, 415),
    ]
    for body, sent, status in cases:
        started = time.perf_counter()
        answer = product.ask("POST", "/token", body, {**basic("C1", SECRETS["C1"]), **sent})
        assert (answer.status, json.loads(answer.body)["error"]) == (status, "invalid_request"), body
        assert time.perf_counter() - started < 0.1
    refused = product.ask("GET", "/token", query="grant_type=authorization_code")
    assert (refused.status, headers(refused)["allow"]) == (405, "POST")


@pytest.mark.parametrize("thief", ["C2", "P1", "nobody"])
def test_tk_15_another_clients_refresh_token_is_refused_and_left_alone(product: Product, thief: str) -> None:
    tokens = product.tokens(scope=OFFLINE)
    form: dict[str, str | None] = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}

    if thief == "nobody":
        assert error(product.ask("POST", "/token", form)) == (401, "invalid_client")
    else:
        assert error(product.token(form, thief)) == (400, "invalid_grant")
    assert product.refresh(tokens["refresh_token"]).status == 200


def test_tk_17_reuse_of_a_refresh_token_ends_the_family_after_the_grace(product: Product, clock: Clock) -> None:
    first = product.tokens(scope=OFFLINE)
    second = data(product.refresh(first["refresh_token"]))
    clock.advance(9)
    again = data(product.refresh(first["refresh_token"]))
    assert again["refresh_token"] == second["refresh_token"]
    assert again["access_token"] != second["access_token"]

    clock.advance(1)
    assert error(product.refresh(first["refresh_token"])) == (400, "invalid_grant")
    assert error(product.refresh(second["refresh_token"])) == (400, "invalid_grant")
    for tokens in (first, second, again):
        assert product.userinfo(tokens["access_token"]).status == 401


def test_tk_17_an_older_refresh_token_ends_the_family_even_within_the_grace(product: Product) -> None:
    first = product.tokens(scope=OFFLINE)
    second = data(product.refresh(first["refresh_token"]))
    third = data(product.refresh(second["refresh_token"]))

    assert error(product.refresh(first["refresh_token"])) == (400, "invalid_grant")
    assert error(product.refresh(third["refresh_token"])) == (400, "invalid_grant")


def test_tk_17_a_made_up_refresh_token_ends_nothing(product: Product) -> None:
    """A resource server knows the grant's id from an access token. That must not be enough to sign anybody out."""
    tokens = product.tokens(scope=OFFLINE)
    gid = tokens["access_token"].partition(".")[0]

    assert error(product.refresh(f"{gid}.{encode(canaries.random(32))}")) == (400, "invalid_grant")
    assert error(product.refresh(tokens["access_token"])) == (400, "invalid_grant")
    assert product.refresh(tokens["refresh_token"]).status == 200


def test_tk_18_a_refresh_does_not_need_an_access_token_that_still_lives(product: Product, clock: Clock) -> None:
    tokens = product.tokens(scope=OFFLINE)
    clock.advance(7200)
    assert product.userinfo(tokens["access_token"]).status == 401

    fresh = data(product.refresh(tokens["refresh_token"]))
    assert product.userinfo(fresh["access_token"]).status == 200


def test_tk_19_ended_grants_give_nothing(product: Product) -> None:
    session, account = product.session.id, product.session.account_id
    suspended = product.tokens(scope=OFFLINE)
    grants.end_account_grants(product.store, account)
    assert error(product.refresh(suspended["refresh_token"])) == (400, "invalid_grant")

    kept, withdrawn = product.tokens(scope=OFFLINE), product.tokens("ES", OFFLINE)
    grants.end_account_grants(product.store, account, "ES")
    assert error(product.refresh(withdrawn["refresh_token"], "ES")) == (400, "invalid_grant")

    online, unredeemed = product.tokens(), product.code(scope=OFFLINE)
    grants.end_session_grants(product.store, session)
    assert product.userinfo(online["access_token"]).status == 401
    assert error(product.redeem(unredeemed)) == (400, "invalid_grant")
    assert product.refresh(kept["refresh_token"]).status == 200  # offline access outlives the session


def test_tk_20_a_refresh_narrows_the_scope_for_once_and_never_widens_it(product: Product) -> None:
    tokens = product.tokens(scope=OFFLINE)

    for wider in ("openid profile", "admin", "openid\temail", "openid\nemail", "OPENID"):
        assert error(product.refresh(tokens["refresh_token"], scope=wider)) == (400, "invalid_scope")
    narrow = data(product.refresh(tokens["refresh_token"], scope="openid"))
    assert narrow["scope"] == "openid"
    assert product.introspect(narrow["access_token"])["scope"] == "openid"
    assert "email" not in data(product.userinfo(narrow["access_token"]))
    assert data(product.refresh(narrow["refresh_token"]))["scope"] == OFFLINE


def test_tk_21_a_refresh_token_family_ends_however_often_it_is_used(product: Product, clock: Clock) -> None:
    token = product.tokens(scope=OFFLINE)["refresh_token"]
    for _ in range(29):
        clock.advance(86400)
        token = data(product.refresh(token))["refresh_token"]
    clock.advance(86400)

    assert error(product.refresh(token)) == (400, "invalid_grant")


def test_tk_22_nothing_that_is_known_of_a_person_replaces_a_security_claim(product: Product) -> None:
    names = ("iss", "sub", "aud", "exp", "iat", "auth_time", "acr", "amr", "azp", "nonce", "at_hash", "sid", "email")
    session = replace(product.session, person=dict.fromkeys(names, "forged"))
    told = claims(product.tokens(session=session, claims={"id_token": dict.fromkeys(names)}, nonce=None)["id_token"])

    assert [name for name, value in told.items() if value == "forged"] == ["email"]
    assert not {"azp", "nonce"} & set(told)


def test_tk_26_an_assertion_that_is_right_is_accepted(product: Product) -> None:
    for audience in (ISSUER, f"{ISSUER}/token"):
        answer = product.redeem(product.code("J1"), "J1", **product.assertion(aud=audience))
        assert answer.status == 200


def test_tk_27_success_may_not_be_stored_and_sets_no_cookie(product: Product) -> None:
    sent = headers(product.redeem(product.code()))

    assert (sent["cache-control"], sent["pragma"]) == ("no-store", "no-cache")
    assert sent["content-type"] == "application/json"
    assert sent["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in sent
    assert "access-control-allow-origin" not in sent


def test_tk_28_public_clients_rotate_like_all_others(product: Product) -> None:
    tokens = product.tokens("P1", "openid offline_access")
    successor = data(product.refresh(tokens["refresh_token"], "P1"))["refresh_token"]

    assert successor != tokens["refresh_token"]


def test_tk_30_secrets_are_random_and_stored_only_as_hashes(product: Product) -> None:
    secrets = []
    for _ in range(20):
        code = product.code(scope=OFFLINE)
        tokens = data(product.redeem(code))
        secrets += [code, tokens["access_token"], tokens["refresh_token"]]
        secrets.append(data(product.refresh(tokens["refresh_token"]))["refresh_token"])
    halves = [secret.split(".")[1] for secret in secrets]

    assert len(set(halves)) == len(halves)
    assert all(len(half) == 43 for half in halves)  # 256 bits; of a refresh token 96 of them are a MAC
    dump = [
        part
        for key in product.store.command("KEYS", "*")
        for part in (key, str(product.store.command("HGETALL", key)) if key.startswith("grant:") else "")
    ]
    assert dump
    assert not [half for half in halves if half in "\n".join(dump)]


# --- accidents ----------------------------------------------------------------------------------------------------------


def test_a_form_of_blank_values_counts_as_not_sent(product: Product) -> None:
    assert error(product.token({"grant_type": "", "code": ""})) == (400, "invalid_request")


def test_expired_codes_are_refused(product: Product, clock: Clock) -> None:
    in_time, late = product.code(), product.code()
    clock.advance(59)
    assert product.redeem(in_time).status == 200
    clock.advance(1)
    assert error(product.redeem(late)) == (400, "invalid_grant")


def test_the_steps_of_the_token_endpoint_stand_in_the_receipt(
    product: Product, made_once: Path, tmp_path: Path
) -> None:
    code = product.code(receipt="AAAA-AAAA")
    product.redeem(code)
    product.redeem(code)
    product.attempts.flush()
    shutil.copy(made_once / "idp.sqlite", tmp_path)
    database = Database(product.config)
    drain(product.store, database)

    with database.reading() as db:
        steps = [(step.name, step.reason) for step in steps_of(db, "AAAA-AAAA")]
        attempt = find_attempt(db, "AAAA-AAAA")
        assert attempt is not None
        assert (attempt.client_id, attempt.account_id) == ("C1", product.session.account_id)
    assert steps == [("token_issued", None), ("token_refused", "code_used")]
    database.close()


def test_a_disabled_client_is_unknown(product: Product) -> None:
    answer = product.ask(
        "POST", "/token", {"grant_type": "refresh_token", "refresh_token": "x"}, basic("OFF", SECRETS["C2"])
    )

    assert error(answer) == (401, "invalid_client")


def test_an_unreadable_request_is_answered_in_json(product: Product) -> None:
    answer = product.endpoints.answer(Request("POST", "/token"))

    assert answer is not None
    assert error(answer) == (415, "invalid_request")
