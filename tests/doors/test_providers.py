"""Promises of the reading functions: whose address is believed, and by what each person is known for ever."""

from __future__ import annotations

from typing import Any

import pytest

from idp.doors.providers import (
    PROVIDERS,
    Said,
    Told,
    WrongAnswer,
    read_oauth2,
    read_openid_connect,
    read_openid_connect_by_claim,
)

ALICE = "alice@example.com"
GMAIL = "alice@gmail.com"


def told(key: str, **said: Any) -> Told:
    subject = "id" if key in ("facebook", "github") else "sub"
    emails: Said = {"emails": []} if key == "github" else {}
    return PROVIDERS[key].read({subject: "1001", **emails, **said})


# The table of docs/operators/social.md: provider, what it says of an address, whether that is believed.
RULES: list[tuple[str, dict[str, Any], bool]] = [
    ("google", {"email": GMAIL, "email_verified": True}, True),
    ("google", {"email": "alice@GoogleMail.com", "email_verified": True}, True),
    ("google", {"email": ALICE, "email_verified": True, "hd": "example.com"}, True),
    ("google", {"email": "alice@Example.com", "email_verified": True, "hd": "EXAMPLE.com"}, True),
    ("google", {"email": ALICE, "email_verified": True}, False),  # somebody's Google account with a foreign address
    ("google", {"email": ALICE, "email_verified": True, "hd": "other.example"}, False),
    ("google", {"email": ALICE, "email_verified": True, "hd": ""}, False),
    ("google", {"email": "alice", "email_verified": True, "hd": ""}, False),
    ("google", {"email": "alice@gmail.com.evil.example", "email_verified": True}, False),
    ("google", {"email": "alice@evilgmail.com", "email_verified": True}, False),
    ("google", {"email": GMAIL, "email_verified": False}, False),
    ("google", {"email": GMAIL, "email_verified": "true"}, False),
    ("google", {"email": GMAIL}, False),
    ("microsoft", {"email": ALICE, "xms_edov": True}, True),
    ("microsoft", {"email": ALICE, "xms_edov": 1}, True),
    ("microsoft", {"email": ALICE, "xms_edov": "1"}, True),
    ("microsoft", {"email": ALICE, "xms_edov": "true"}, True),
    ("microsoft", {"email": ALICE, "xms_edov": False}, False),
    ("microsoft", {"email": ALICE, "xms_edov": "0"}, False),
    ("microsoft", {"email": ALICE, "xms_edov": "yes"}, False),
    ("microsoft", {"email": ALICE, "xms_edov": ["1"]}, False),
    ("microsoft", {"email": ALICE, "email_verified": True}, False),  # it has no such claim
    ("microsoft", {"email": ALICE, "verified_primary_email": [ALICE]}, False),
    ("microsoft", {"email": ALICE}, False),
    ("apple", {"email": ALICE, "email_verified": True}, True),
    ("apple", {"email": ALICE, "email_verified": "true"}, True),
    ("apple", {"email": ALICE, "email_verified": "false"}, False),
    ("apple", {"email": ALICE, "email_verified": False}, False),
    ("apple", {"email": ALICE, "email_verified": "True "}, False),
    ("apple", {"email": ALICE}, False),
    ("linkedin", {"email": ALICE, "email_verified": True}, True),
    ("linkedin", {"email": ALICE, "email_verified": "true"}, True),
    ("linkedin", {"email": ALICE, "email_verified": "false"}, False),
    ("linkedin", {"email": ALICE}, False),
    ("github", {"emails": [{"email": ALICE, "primary": True, "verified": True}]}, True),
    ("github", {"emails": [{"email": ALICE, "primary": True, "verified": False}]}, False),
    ("github", {"emails": [{"email": ALICE, "primary": True, "verified": "true"}]}, False),
    ("facebook", {"email": ALICE}, False),
    ("facebook", {"email": ALICE, "verified": True, "email_verified": True}, False),
]


@pytest.mark.parametrize(("key", "said", "believed"), RULES)
def test_an_address_is_believed_by_the_rule_of_its_provider(key: str, said: dict[str, Any], believed: bool) -> None:
    found = told(key, **said)
    assert found.email_verified is believed
    assert found.email is not None


def test_the_rules_are_about_every_provider() -> None:
    assert {key for key, _, _ in RULES} == set(PROVIDERS)
    assert {key for key, _, believed in RULES if believed} == set(PROVIDERS) - {"facebook"}


def test_any_other_provider_is_believed_only_when_the_operator_says_so() -> None:
    said = {"sub": "1", "id": "1", "email": ALICE, "email_verified": True}
    assert read_openid_connect(said).email_verified is False
    assert read_openid_connect_by_claim(said).email_verified is True
    assert read_openid_connect_by_claim({**said, "email_verified": "true"}).email_verified is False
    assert read_oauth2("id", "email", "name")(said).email_verified is False


def test_githubs_address_is_the_primary_one_and_not_the_one_for_show() -> None:
    rows = [
        {"email": "other@example.com", "primary": False, "verified": True},
        "not a row",
        {"email": ALICE, "primary": True, "verified": True},
    ]
    assert told("github", email="show@example.com", emails=rows).email == ALICE
    assert told("github", email="show@example.com", emails=rows[:1]) == Told("1001", None, False, None)
    with pytest.raises(WrongAnswer, match="emails"):
        told("github", emails={"message": "Bad credentials"})


@pytest.mark.parametrize("key", PROVIDERS)
@pytest.mark.parametrize("subject", [None, "", True, 0, -1, 1.5, ["1"], {"id": 1}, "a" * 256, "é", "a\nb", "a\x00b"])
def test_who_it_is_must_be_said_in_a_form_that_lasts(key: str, subject: Any) -> None:
    with pytest.raises(WrongAnswer, match="subject"):
        told(key, sub=subject, id=subject)


@pytest.mark.parametrize("key", PROVIDERS)
def test_who_it_is_never_is_a_name_or_an_address(key: str) -> None:
    name = {"name": "Alice", "login": "alice", "preferred_username": "alice", "email": ALICE, "upn": ALICE}
    assert told(key, **name).subject == "1001"


def test_github_numbers_its_people() -> None:
    assert PROVIDERS["github"].read({"id": 583231, "login": "octocat", "emails": []}) == Told(
        "583231", None, False, "octocat"
    )


@pytest.mark.parametrize("key", PROVIDERS)
@pytest.mark.parametrize("odd", [None, 7, True, [], {}, ["a@b.example"], "  "])
def test_what_is_no_text_counts_as_not_said(key: str, odd: Any) -> None:
    emails = {"emails": [{"email": odd, "primary": True, "verified": True}]} if key == "github" else {}
    found = told(key, email=odd, name=odd, login=odd, hd=odd, user={"name": odd}, **emails)
    assert (found.email, found.name) == (None, None)


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ({"name": {"firstName": "Alice", "lastName": "Martin"}, "email": "evil@example.com"}, "Alice Martin"),
        ({"name": {"firstName": "Alice"}}, "Alice"),
        ({"name": {"firstName": ["Alice"], "lastName": None}}, None),
        ({"name": "Alice"}, None),
        ({"name": ["Alice"]}, None),
        (["name"], None),
        ("Alice", None),
        (None, None),
        (7, None),
    ],
)
def test_what_apple_sends_beside_the_code_is_a_name_and_nothing_else(user: Any, name: str | None) -> None:
    found = told("apple", email=ALICE, email_verified="true", user=user)
    assert found == Told("1001", ALICE, True, name)


@pytest.mark.parametrize(
    ("given", "at"),
    [(1_700_000_000, 1_700_000_000), (1_700_000_000.9, 1_700_000_000), ("1700000000", 1_700_000_000)]
    + [(odd, None) for odd in (None, True, -1, 0, 2**40, "yesterday", "", [], float("nan"), float("inf"), "٣")],
)
def test_when_it_was_proved_is_a_time_or_not_said(given: Any, at: int | None) -> None:
    assert told("google", auth_time=given).at == at


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_everybody_is_asked_in_a_way_that_binds_the_answer_to_the_request(provider: Any) -> None:
    # LinkedIn has neither: there the state in this browser and the client secret must do.
    assert provider.pkce or provider.nonce or provider.key == "linkedin"
    assert (provider.protocol == "openid_connect") == (provider.jwks_uri is not None)
    assert provider.issuer.startswith("https://")
