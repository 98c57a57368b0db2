"""The userinfo endpoint: attacks.md section 3 (RS-…), and the demands of the certification modules."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from idp import grants
from idp.jws import is_signed, load_public_jwk
from tests.oidc.product import ISSUER, PERSON, SECRETS, Product, basic, claims, data, decode, error, headers

if TYPE_CHECKING:
    from tests.conftest import Clock

ALL = "openid profile email address phone"


def test_get_header_post_header_and_post_form_say_the_same(product: Product) -> None:
    token = product.tokens(scope=ALL)["access_token"]
    bearer = {"authorization": f"Bearer {token}"}
    answers = [
        product.ask("GET", "/userinfo", headers=bearer),
        product.ask("POST", "/userinfo", headers=bearer),
        product.ask("POST", "/userinfo", {}, headers=bearer),
        product.ask("POST", "/userinfo", {"access_token": token}),
    ]

    assert [data(answer) for answer in answers] == [{**PERSON, "sub": product.session.sub}] * 4
    assert {headers(answer)["content-type"] for answer in answers} == {"application/json"}
    assert {headers(answer)["cache-control"] for answer in answers} == {"no-store"}


@pytest.mark.parametrize(
    ("scope", "names"),
    [
        ("openid", set()),
        ("openid profile", {"name", "given_name", "updated_at"}),
        ("openid email", {"email", "email_verified"}),
        ("openid address", {"address"}),
        ("openid phone", {"phone_number", "phone_number_verified"}),
    ],
)
def test_rs_02_each_scope_gives_its_claims_and_nothing_else(product: Product, scope: str, names: set[str]) -> None:
    told = data(product.userinfo(product.tokens(scope=scope)["access_token"]))

    assert set(told) == names | {"sub"}


def test_rs_02_internal_fields_never_leave(product: Product) -> None:
    session = replace(
        product.session, person={**PERSON, "password_hash": "x", "internal_role": "x", "_claim_sources": {}}
    )
    wanted = {"userinfo": dict.fromkeys(("password_hash", "internal_role", "_claim_sources"))}
    told = data(product.userinfo(product.tokens(scope=ALL, session=session, claims=wanted)["access_token"]))

    assert set(told) == {*PERSON, "sub"}


def test_rs_14_distributed_claims_are_stripped(product: Product) -> None:
    session = replace(
        product.session, person={**PERSON, "_claim_names": {"email": "src"}, "_claim_sources": {"src": {}}}
    )
    told = data(product.userinfo(product.tokens(scope=ALL, session=session)["access_token"]))

    assert not {"_claim_names", "_claim_sources"} & set(told)


def test_rs_13_text_of_a_person_is_plain_ascii_json(product: Product) -> None:
    name = '<script>\u202e\u2028"é\ud800'
    session = replace(product.session, person={"name": name})
    answer = product.userinfo(product.tokens(scope="openid profile", session=session)["access_token"])

    assert answer.body.isascii()
    assert data(answer)["name"] == name
    assert headers(answer)["x-content-type-options"] == "nosniff"


def test_members_without_a_value_are_left_out(product: Product) -> None:
    session = replace(product.session, person={"name": None, "given_name": "", "address": {}, "email_verified": False})
    told = data(product.userinfo(product.tokens(scope=ALL, session=session)["access_token"]))

    assert told == {"sub": product.session.sub, "email_verified": False}


def test_claims_can_be_asked_for_by_name(product: Product) -> None:
    """oidcc-claims-essential: the name comes from userinfo and does not leak into the ID token."""
    tokens = product.tokens(scope="openid", claims={"userinfo": {"name": {"essential": True}, "email": None}})

    assert set(data(product.userinfo(tokens["access_token"]))) == {"sub", "name", "email"}
    assert "name" not in claims(tokens["id_token"])


def test_a_third_party_gets_only_claims_of_the_scopes_that_the_person_granted(product: Product) -> None:
    wanted = {"userinfo": {"email": None, "name": None}}
    tokens = product.tokens("C2", "openid email", claims=wanted)

    assert set(data(product.userinfo(tokens["access_token"]))) == {"sub", "email", "email_verified"}


def test_a_client_gets_no_claim_of_a_scope_that_it_may_not_have(product: Product) -> None:
    tokens = product.tokens("ES", "openid", claims={"userinfo": {"phone_number": None, "email": None}})

    assert set(claims(product.userinfo(tokens["access_token"]).body.decode())) - {"iss", "aud"} == {"sub", "email"}


def test_a_client_that_asks_for_it_gets_a_signed_answer(product: Product) -> None:
    tokens = product.tokens("ES", "openid email")
    answer = product.userinfo(tokens["access_token"])
    head, body, signature = answer.body.decode().split(".")
    header = json.loads(decode(head))
    key = next(key for key in data(product.ask("GET", "/jwks"))["keys"] if key["kid"] == header["kid"])

    assert headers(answer)["content-type"] == "application/jwt"
    assert header["alg"] == "ES256"
    assert is_signed(load_public_jwk(key), "ES256", f"{head}.{body}".encode(), decode(signature))
    told = json.loads(decode(body))
    assert (told["iss"], told["aud"], told["sub"]) == (ISSUER, "ES", claims(tokens["id_token"])["sub"])
    assert "nonce" not in told


def test_rs_01_the_scheme_may_be_written_in_any_case(product: Product) -> None:
    token = product.tokens()["access_token"]

    for scheme in ("Bearer", "bearer", "BEARER"):
        assert product.ask("GET", "/userinfo", headers={"authorization": f"{scheme} {token}"}).status == 200


@pytest.mark.parametrize(
    "form",
    ["BearerX{0}", "Bearer  {0}", "Bearer\t{0}", "Bearer {0},Bearer {0}", "{0}", "Bearer", "Bearer ", "Basic {0}"],
)
def test_rs_01_another_header_is_refused(product: Product, form: str) -> None:
    token = product.tokens()["access_token"]
    answer = product.ask("GET", "/userinfo", headers={"authorization": form.format(token)})

    assert error(answer) == (400, "invalid_request")
    assert headers(answer)["www-authenticate"] == f'Bearer realm="{ISSUER}", error="invalid_request"'


def test_rs_01_a_token_in_the_url_or_in_two_places_is_refused(product: Product) -> None:
    token = product.tokens()["access_token"]
    bearer = {"authorization": f"Bearer {token}"}

    assert error(product.ask("GET", "/userinfo", query=f"access_token={token}")) == (400, "invalid_request")
    assert error(product.ask("GET", "/userinfo", headers=bearer, query=f"access_token={token}")) == (
        400,
        "invalid_request",
    )
    assert error(product.ask("POST", "/userinfo", {"access_token": token}, bearer)) == (400, "invalid_request")
    twice = f"access_token={token}&access_token={token}".encode()
    assert error(product.ask("POST", "/userinfo", twice)) == (400, "invalid_request")


def test_without_a_token_the_challenge_names_no_error(product: Product) -> None:
    for method in ("GET", "POST"):
        answer = product.ask(method, "/userinfo")
        assert answer.status == 401
        assert headers(answer)["www-authenticate"] == f'Bearer realm="{ISSUER}"'


def test_a_token_that_does_not_live_is_invalid(product: Product, clock: Clock) -> None:
    tokens = product.tokens(scope="openid offline_access")
    gid = tokens["access_token"].split(".")[0]

    for token in ("x", f"{gid}.{'A' * 43}", tokens["refresh_token"], tokens["id_token"], product.code()):
        assert error(product.userinfo(token)) == (401, "invalid_token")
    clock.advance(3600)
    answer = product.userinfo(tokens["access_token"])
    assert error(answer) == (401, "invalid_token")
    assert headers(answer)["www-authenticate"] == f'Bearer realm="{ISSUER}", error="invalid_token"'


def test_a_token_without_openid_is_not_enough(product: Product) -> None:
    tokens = product.tokens(scope="openid email offline_access")
    narrow = data(product.refresh(tokens["refresh_token"], scope="email"))

    assert error(product.userinfo(narrow["access_token"])) == (403, "insufficient_scope")


def test_rs_03_two_people_who_share_everything_each_get_their_own(product: Product) -> None:
    carol = replace(product.session, person={**PERSON, "sub": "same"})
    other = replace(product.somebody_else(), person={**PERSON, "sub": "same", "name": "Somebody Else"})
    tokens = [product.tokens(scope=ALL, session=session)["access_token"] for session in (carol, other)]
    told = [data(product.userinfo(token)) for token in tokens]

    assert [(one["sub"], one["name"]) for one in told] == [
        (carol.sub, "Carol Example"),
        (other.sub, "Somebody Else"),
    ]


def test_rs_04_a_suspended_persons_token_is_dead(product: Product) -> None:
    tokens = product.tokens()
    grants.end_account_grants(product.store, product.session.account_id)

    assert error(product.userinfo(tokens["access_token"])) == (401, "invalid_token")


def test_rs_05_a_pairwise_subject_is_the_same_everywhere_for_one_client_and_leads_to_nobody(product: Product) -> None:
    tokens = product.tokens("C2", "openid")
    sub = claims(tokens["id_token"])["sub"]

    assert data(product.userinfo(tokens["access_token"]))["sub"] == sub
    told = data(product.ask("POST", "/introspect", {"token": tokens["access_token"]}, basic("C2", SECRETS["C2"])))
    assert told["sub"] == sub
    assert sub == claims(product.tokens("C2", "openid")["id_token"])["sub"]
    assert sub not in (product.session.sub, product.session.account_id)
    assert claims(product.tokens("C1")["id_token"])["sub"] == product.session.sub
    assert told["sid"] != claims(product.tokens("C1")["id_token"])["sid"]
    assert product.session.account_id not in json.dumps(told)


def test_what_changes_about_a_person_is_told_from_then_on(product: Product) -> None:
    tokens = product.tokens(scope=ALL)
    grants.rewrite_person(product.store, product.session.account_id, {"name": "Carol Newname"})

    assert data(product.userinfo(tokens["access_token"])) == {"sub": product.session.sub, "name": "Carol Newname"}
