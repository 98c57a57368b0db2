"""Claims by scope and by name, subjects, and acr."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from idp.client_record import Client, Secret, hash_secret
from idp.oidc.claims import ACR_VALUES, PERSON_CLAIMS, person_claims, subject, token_half_hash, wishes

KEY = b"k" * 32


def _client(client_id: str = "c", **changes: object) -> Client:
    given = {
        "client_id": client_id,
        "name": "C",
        "type": "web",
        "redirect_uris": ("https://rp.example/cb",),
        "token_endpoint_auth_method": "client_secret_basic",
        "secrets": (Secret(hash=hash_secret("x")),),
    }
    return Client.model_validate(given | changes)


def _pairwise(host: str, **changes: object) -> Client:
    return _client(subject_type="pairwise", redirect_uris=(f"https://{host}/cb",), **changes)


def test_the_claims_are_those_of_the_specification_and_the_company() -> None:
    assert len(PERSON_CLAIMS - {"company", "seat"}) == 19
    acme = person_claims(_client(), {"company": {"id": "c1"}, "email": "x"}, ["company"], {}, proved_at=0)
    assert acme == {"company": {"id": "c1"}}
    profile = person_claims(_client(), dict.fromkeys(PERSON_CLAIMS, "x"), ["profile"], {}, proved_at=0)
    assert len(profile) == 14


SEATS = {"c": {"role": "organizer", "granted_at": 100}, "d": {"role": "attendee", "granted_at": 100}}


@pytest.mark.parametrize(
    ("client_id", "proved_at", "told"),
    [
        ("c", 100, {"seat": SEATS["c"]}),
        ("c", 101, {"seat": SEATS["c"]}),
        ("c", 99, {}),  # signed in before they became an organizer
        ("d", 99, {"seat": SEATS["d"]}),
        ("e", 101, {}),  # another product's seats are nobody's business
    ],
)
def test_a_product_is_told_of_its_own_seat_and_of_an_organizer_who_signed_in_since(
    client_id: str, proved_at: int, told: dict[str, object]
) -> None:
    person = {"email": "x", "seats": SEATS, "seat": "never taken from a record"}
    client = _client(client_id)

    assert person_claims(client, person, ["openid", "seat"], {}, proved_at=proved_at) == told
    assert person_claims(client, person, (), {"seat": None, "seats": None}, proved_at=proved_at) == told
    assert person_claims(client, person, ["openid"], {"seats": None}, proved_at=proved_at) == {}


@pytest.mark.parametrize(
    ("first_party", "scopes", "granted"),
    [
        (True, ("openid",), {"userinfo": {"email": None, "name": None}}),
        (False, ("openid",), {}),
        (False, ("openid", "email"), {"userinfo": {"email": None}}),
    ],
)
def test_claims_by_name_are_granted_within_what_is_allowed(
    first_party: bool, scopes: tuple[str, ...], granted: dict[str, dict[str, None]]
) -> None:
    asked = {"userinfo": {"name": None, "email": {"essential": True}, "phone_number": None, "role": None, "sub": None}}

    assert wishes(asked, _client(first_party=first_party), scopes) == granted


def test_public_subjects_are_those_of_the_account() -> None:
    assert subject(_client(), "account", "public", KEY) == "public"


def test_pairwise_subjects_belong_to_the_sector_that_was_registered() -> None:
    one = subject(_pairwise("rp.example"), "account", "public", KEY)
    digest = hmac.digest(KEY, len("rp.example").to_bytes(4, "big") + b"rp.exampleaccount", hashlib.sha256)

    assert len(one) == 43
    assert one == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert subject(_pairwise("rp.example", client_id="other"), "account", "public", KEY) == one
    assert subject(_pairwise("other.example"), "account", "public", KEY) != one
    assert subject(_pairwise("rp.example"), "account2", "public", KEY) != one
    assert subject(_pairwise("rp.example"), "account", "public", b"l" * 32) != one
    several = _client(
        subject_type="pairwise",
        redirect_uris=("https://a.example/cb", "https://b.example/cb"),
        sector_identifier="rp.example",
    )
    assert subject(several, "account", "public", KEY) == one


def test_sector_and_account_cannot_be_shifted_into_each_other() -> None:
    assert subject(_pairwise("a.b"), "cdef", "p", KEY) != subject(_pairwise("a.bc"), "def", "p", KEY)


def test_half_hashes_follow_the_algorithm() -> None:
    assert token_half_hash("t", "RS256") == token_half_hash("t", "ES256") == token_half_hash("t", "PS256")
    assert len(token_half_hash("t", "EdDSA")) == 43


def test_acr_values_are_short_and_named() -> None:
    assert ACR_VALUES == ("1", "2")
