"""What may be written about a person."""

from __future__ import annotations

from typing import Any

import pytest

from idp.accounts.standard_claims import NAMES, RESERVED, WrongClaim, check_claim


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("name", "Carol Ruiz-Öztürk", None),
        ("name", "  Carol  ", "Carol"),
        ("name", "Rene\u0301e", "Ren\u00e9e"),
        ("name", "<script>alert(1)</script>", None),  # text stays text; pages and JSON escape it
        ("name", "山田 太郎", None),
        ("name", "علي", None),
        ("name", "👩\u200d🚀 Carol", None),
        ("name", "x" * 255, None),
        ("profile", "https://example.org/carol", None),
        ("picture", "https://example.org/c.png?s=1#x", None),
        ("website", "http://example.org:8080/", None),
        ("gender", "female", None),
        ("birthdate", "1990-05-17", None),
        ("birthdate", "2000-02-29", None),
        ("birthdate", "0000-02-29", None),
        ("birthdate", "1990", None),
        ("zoneinfo", "Europe/Paris", None),
        ("zoneinfo", "UTC", None),
        ("locale", "fr", None),
        ("locale", "fr-CA", None),
        ("locale", "fr_CA", "fr-CA"),
        ("locale", "zh-Hant-TW", None),
        ("phone_number", "+33123456789", None),
        ("phone_number", "+14255551212;ext=5678", None),
        ("phone_number_verified", True, None),
        ("email_verified", False, None),
        ("address", {"locality": "Paris", "country": "FR"}, None),
        ("address", {"formatted": "1 rue de la Paix\n75002 Paris"}, None),
    ],
)
def test_right_values_are_kept_in_their_json_type(name: str, value: Any, kept: Any) -> None:
    assert check_claim(name, value) == (value if kept is None else kept)
    assert type(check_claim(name, value)) is type(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", ""),
        ("name", " \t"),
        ("name", 5),
        ("name", None),
        ("name", ["Carol"]),
        ("name", "Carol\x00"),
        ("name", "Carol\r\nBcc: x"),
        ("name", "Carol\u2028x"),
        ("name", "Carol \u202egnp.exe"),
        ("name", "Carol \u2066x\u2069"),
        ("name", "Carol \x1b[31m"),
        ("name", "\ud800"),
        ("name", "\ufdd0"),
        ("name", "x" * 256),
        ("name", "x" * 1_000_000),
        ("profile", "javascript:alert(1)"),
        ("profile", "data:text/html,x"),
        ("profile", "//example.org"),
        ("profile", "https://"),
        ("profile", "https://user:pass@example.org/"),
        ("profile", "https://exa mple.org/"),
        ("profile", "https://example.org/\n"[:-1] + "\\x"),
        ("profile", "https://[::1"),
        ("profile", "https://example.org:99999/"),
        ("profile", "https://example.org/" + "x" * 2048),
        ("birthdate", "1990-02-30"),
        ("birthdate", "17.05.1990"),
        ("birthdate", "1990-5-17"),
        ("birthdate", "0000"),
        ("birthdate", "19900517"),
        ("birthdate", "٢٠٠٠-٠١-٠١"),
        ("zoneinfo", "Paris"),
        ("zoneinfo", "../../etc/passwd"),
        ("zoneinfo", "/etc/localtime"),
        ("zoneinfo", "Europe"),
        ("locale", "french"),
        ("locale", "../../etc"),
        ("locale", "xx"),
        ("locale", "fr-CA-" + "x" * 8 + "-" + "y" * 8),
        ("phone_number", "0123456789"),
        ("phone_number", "+33 1 23 45 67 89"),
        ("phone_number", "+1234567890123456"),
        ("phone_number_verified", "true"),
        ("phone_number_verified", 1),
        ("email_verified", "yes"),
        ("email_verified", None),
        ("address", "Paris"),
        ("address", {}),
        ("address", []),
        ("address", {"planet": "Earth"}),
        ("address", {"locality": 5}),
        ("address", {"locality": "Paris\x00"}),
        ("address", {"locality": {"name": "Paris"}}),
    ],
)
def test_rs_13_wrong_values_are_refused_with_the_name_of_the_claim(name: str, value: Any) -> None:
    with pytest.raises(WrongClaim) as caught:
        check_claim(name, value)
    message = str(caught.value)
    assert message.startswith(name)
    assert message.isprintable()
    assert len(message) < 200


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_tk_22_names_that_secure_a_token_can_never_be_written(name: str) -> None:
    with pytest.raises(WrongClaim, match="is reserved"):
        check_claim(name, "x")


def test_tk_22_p_07_p_08_every_claim_that_the_attacks_name_is_reserved() -> None:
    assert {
        "sub",
        "iss",
        "aud",
        "exp",
        "iat",
        "acr",
        "amr",
        "auth_time",
        "azp",
        "nonce",
        "at_hash",
        "c_hash",
    } <= RESERVED
    assert not RESERVED & set(NAMES)


def test_rs_14_claims_of_other_sources_cannot_be_written() -> None:
    for name in ("_claim_sources", "_claim_names"):
        with pytest.raises(WrongClaim, match="is reserved"):
            check_claim(name, {"src1": {"endpoint": "https://evil.example/"}})


@pytest.mark.parametrize(
    "name", ["password_hash", "is_admin", "", "NAME", "name#fr", "__proto__", "x" * 10_000, "a\nb"]
)
def test_what_is_no_standard_claim_is_refused_with_the_list_of_those(name: str) -> None:
    with pytest.raises(WrongClaim, match="is not a standard claim") as caught:
        check_claim(name, "x")
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "-" * 100_000, "+1" * 50_000, "https://" + "a." * 50_000, "a-" * 50_000]
)
@pytest.mark.parametrize("name", ["name", "profile", "birthdate", "zoneinfo", "locale", "phone_number"])
def test_ds_07_long_texts_are_refused_by_their_length_alone(name: str, text: str) -> None:
    with pytest.raises(WrongClaim, match="is longer than"):
        check_claim(name, text)
