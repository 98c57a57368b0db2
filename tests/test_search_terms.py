"""What people are found by."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.search_terms import LONGEST, fold, full_name, terms_of


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("Carol", "carol"),
        ("  Élodie\t\u00a0 Dupré\n", "elodie dupre"),
        ("MÜLLER", "muller"),
        ("Mu\u0308ller", "muller"),
        ("Straße", "strasse"),
        ("İstanbul", "istanbul"),
        ("a\u200bb\x00c\u202ed", "abcd"),
        ("\ud800", ""),
        ("100%_\\*", "100%_\\*"),
        ("王小明", "王小明"),
        ("x" * 400, "x" * LONGEST),
    ],
)
def test_what_counts_of_a_text(text: str, counts: str) -> None:
    assert fold(text) == counts


@given(st.text(max_size=400))
def test_what_is_folded_stays_and_can_be_stored(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded and len(folded) <= LONGEST
    assert not {unicodedata.category(one)[0] for one in folded} & {"C", "M"}
    folded.encode()


def test_an_address_is_found_in_each_spelling_and_by_its_domain() -> None:
    assert terms_of({}, ["jürgen@xn--mller-kva.example", "Jürgen@müller.example"]) == {
        ("address", "jurgen@xn--mller-kva.example"),
        ("address", "jurgen@muller.example"),
        ("domain", "xn--mller-kva.example jurgen"),
        ("domain", "muller.example jurgen"),
    }


@pytest.mark.parametrize(
    ("profile", "names"),
    [
        ({}, set()),
        ({"name": "Carol"}, {"carol"}),
        ({"name": "Carol van der Berg"}, {"carol van der berg", "van der berg", "der berg", "berg"}),
        ({"given_name": "Carol", "family_name": "Doe"}, {"carol doe", "doe"}),
        ({"name": "Carol", "family_name": "Doe"}, {"carol"}),
        (
            {"name": "a b c d e f g h"},
            {"a b c d e f g h", "b c d e f g h", "c d e f g h", "d e f g h", "e f g h", "f g h"},
        ),
        ({"name": "\u200b"}, set()),
    ],
)
def test_a_name_is_found_by_each_of_its_words(profile: dict[str, str], names: set[str]) -> None:
    assert terms_of(profile, []) == {("name", name) for name in names}


def test_the_name_of_somebody() -> None:
    assert full_name({"given_name": "Carol", "middle_name": "B.", "family_name": "Doe"}) == "Carol B. Doe"
    assert full_name({"nickname": "C"}) == ""
