"""E-mail addresses: one spelling, strictly read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.accounts.identity import canonical_email, read_address


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("carol@example.org", "carol@example.org"),
        ("  Carol@EXAMPLE.org\n", "carol@example.org"),
        ("carol@example.org.", "carol@example.org"),
        ("carol+news@example.org", "carol+news@example.org"),
        ("c.a.rol@example.org", "c.a.rol@example.org"),
        ("bob@exämple.net", "bob@xn--exmple-cua.net"),
        ("bob@xn--exmple-cua.net", "bob@xn--exmple-cua.net"),
        ("bob@EXÄMPLE.net", "bob@xn--exmple-cua.net"),
        ("ren\u00e9e@example.org", "ren\u00e9e@example.org"),
        ("rene\u0301e@example.org", "ren\u00e9e@example.org"),
        ("REN\u00c9E@example.org", "ren\u00e9e@example.org"),
    ],
)
def test_all_spellings_of_an_address_have_one_canonical_form(written: str, canonical: str) -> None:
    assert canonical_email(written) == canonical


def test_an_address_is_kept_as_its_owner_writes_it() -> None:
    assert read_address("Carol@Example.org").written == "Carol@example.org"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "carol",
        "@example.org",
        "carol@",
        "carol@localhost",
        "carol@example..org",
        "carol@example.org..",
        "carol@.",
        "carol@-example.org",
        "carol@[192.0.2.1]",
        '"ca rol"@example.org',
        "Carol <carol@example.org>",
        "carol@example.org,bob@example.org",
        "carol@example.org bob@example.org",
        "carol@example.org\r\nBcc: bob@example.org",
        "carol@bob@example.org",
        "ca\x00rol@example.org",
        "ca\u202erol@example.org",
        "carol@exam\u200bple.org",
        "carol@ex ample.org",
        "carol@" + "a" * 64 + ".org",
        "c" * 65 + "@example.org",
        "\ud800@example.org",
    ],
)
def test_what_is_not_one_plain_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        canonical_email(text)


def test_no_foreign_letter_turns_into_another_persons_address() -> None:
    # The letters that some case mapping or compatibility form turns into plain ASCII; the Kelvin sign is a K in NFC itself.
    import unicodedata

    looks = [
        chr(code)
        for code in range(0x80, 0x30000)
        if chr(code) != "\u212a"
        and any(
            form.isascii() and form.isalpha()
            for form in (chr(code).lower(), chr(code).upper(), unicodedata.normalize("NFKC", chr(code)))
        )
    ]
    assert "\u017f" in looks  # ſ, whose capital is S
    for letter in looks:
        try:
            assert not canonical_email(f"a{letter}b@example.org").isascii(), f"U+{ord(letter):04X}"
        except ValueError:
            continue


@pytest.mark.parametrize(
    "text", ["a" * 100_000, "@" * 100_000, "a." * 50_000 + "@b.cd", "a@" + "b." * 50_000, "é" * 100_000]
)
def test_ds_07_long_texts_are_refused_before_they_are_parsed(text: str) -> None:
    with pytest.raises(ValueError, match="longer than any e-mail address"):
        canonical_email(text)


@given(st.from_regex(r"[A-Za-z0-9.+_é-]{1,20}@[A-Za-zé]{1,10}\.(org|NET)", fullmatch=True))
def test_the_canonical_form_is_its_own_canonical_form(text: str) -> None:
    try:
        canonical = canonical_email(text)
    except ValueError:
        return
    assert canonical_email(canonical) == canonical
