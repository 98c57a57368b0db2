"""Which passwords a person may have (PW-18), whatever they are written in, and how long it takes to say so (DS-14)."""

from __future__ import annotations

import random
import string
import time
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from idp.accounts.breach_list import SHIPPED, BreachList
from idp.accounts.password_rules import (
    GUESSES,
    JUDGED,
    WORD_LISTS,
    Good,
    Weak,
    about_account,
    common_passwords,
    judge,
    shortest_for,
)
from idp.accounts.passwords import PasswordHasher
from idp.languages import Languages
from idp.models import Company
from idp.parts import Parts
from idp.reasons import REASONS
from tests.company_records import add_company, add_person
from tests.journey import add_carol

ABOUT = ("jean.dupont@acme.example", "Jean Lefèvre-Dupont", "Acme Logistique SARL", "login.example")


@pytest.fixture(scope="module")
def breached() -> Iterator[BreachList]:
    shipped = BreachList(SHIPPED)
    yield shipped
    shipped.close()


def reason(password: str, breached: BreachList, shortest: int = 8) -> str:
    verdict = judge(password, about=ABOUT, shortest=shortest, breached=breached)
    return verdict.reason if isinstance(verdict, Weak) else ""


# --- PW-18 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "kx7#qZ2p",  # eight by chance
        "le vélo mange la lune",
        "ключ от старого дома",
        "ä b\u3000ñ 🙂 !xyq",
        "日本語のパスワードです",
        "a sentence without capitals or digits",
        "7193 5820 4466 0912",
        " leading and trailing ",
        "nul\0inside the thing",
        "no rule " * 128,  # 1024
        "jean dupont mange des pommes vertes au grenier",  # about the person, and long enough to be theirs alone
    ],
)
def test_pw_18_what_is_hard_to_guess_is_taken_whatever_it_is_made_of(password: str, breached: BreachList) -> None:
    assert reason(password, breached) == ""


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", "password_short"),
        ("1234567", "password_short"),
        ("x7#qZ2p", "password_short"),
        ("🙂" * 7, "password_short"),  # characters count, not bytes
        ("ﬃ" + "x" * 4, "password_short"),  # as it is hashed: ffixxxx
        ("x" * 1025, "password_too_long"),
        ("\ufdfa" * 1024, "password_too_long"),
        ("password", "password_breached"),
        ("qwertyuiop", "password_breached"),
        ("football1", "password_breached"),
        ("ｐａｓｓｗｏｒｄ", "password_breached"),  # the same once it is normalised
        ("jean.dupont", "password_about_you"),
        ("JEAN.DUPONT", "password_about_you"),
        ("tnopud.naej", "password_about_you"),
        ("Lefèvre1", "password_about_you"),
        ("lefevre75!", "password_about_you"),  # as a keyboard without accents writes it
        ("Acme2026!", "password_about_you"),
        ("@cmeL0gistique", "password_about_you"),
        ("logistique12", "password_about_you"),
        ("login.example", "password_about_you"),
        ("acmeacmeacmeacme", "password_about_you"),
        ("Jean2026!", "password_about_you"),  # however common the name is
        ("Password1!", "password_guessable"),
        ("P@ssw0rd2026", "password_guessable"),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", "password_guessable"),
        ("a" * 1024, "password_guessable"),
        ("abcdefghijklmnop", "password_guessable"),
        ("abcabcabcabcabcabcabc", "password_guessable"),
        ("19841984", "password_guessable"),
        ("14.07.1789", "password_guessable"),
        ("Webinar2026", "password_guessable"),
        ("gotowebinar!", "password_guessable"),
        ("\0" * 12, "password_guessable"),
        (" " * 12, "password_guessable"),
        # French and German, which zxcvbn does not know.
        ("Bonjour2026!", "password_guessable"),
        ("motdepasse1", "password_guessable"),
        ("azertyuiop1", "password_guessable"),
        ("Septembre24", "password_guessable"),
        ("Éléphant24", "password_guessable"),
        ("elephant24", "password_guessable"),
        ("jetaime13!", "password_guessable"),
        ("marseillee", "password_guessable"),
        ("Passwort123", "password_guessable"),
        ("Frühling2026", "password_guessable"),
        ("fruhling2026", "password_guessable"),
    ],
)
def test_pw_18_what_others_try_first_is_refused(password: str, why: str, breached: BreachList) -> None:
    assert reason(password, breached) == why


def test_pw_18_none_of_the_three_thousand_most_used_is_taken(breached: BreachList) -> None:
    top = list(common_passwords())[:3000]
    assert {reason(password, breached) for password in top} <= {"password_short", "password_breached"}
    assert "" not in {reason(password + "1", breached) for password in top[:300]}


def test_pw_18_a_company_may_ask_for_fifteen_characters(breached: BreachList) -> None:
    assert reason("kx7#qZ2p-Rw9x!", breached, shortest=15) == "password_short"
    assert reason("kx7#qZ2p-Rw9x!u", breached, shortest=15) == ""


def test_pw_18_nearly_every_eight_characters_by_chance_are_taken(breached: BreachList) -> None:
    chance = random.Random(7)
    letters = string.ascii_letters + string.digits + "!#$%&*+-./:;=?@_~"
    made = ["".join(chance.choice(letters) for _ in range(8)) for _ in range(500)]
    assert sum(reason(password, breached) == "" for password in made) > 470
    made = ["".join(chance.choice(letters) for _ in range(12)) for _ in range(300)]
    assert all(reason(password, breached) == "" for password in made)
    assert GUESSES == 10**8


def test_pw_18_every_refusal_says_what_is_wrong_and_what_would_be_better(breached: BreachList) -> None:
    languages = Languages()
    seen = set()
    for password in (
        "short",
        "password",
        "Acme2026!",
        "Password1!",
        "azertyuiop1",
        "abcabcabcabc",
        "abcdefghij",
        "14.07.1789",
    ):
        verdict = judge(password, about=ABOUT, breached=breached)
        assert isinstance(verdict, Weak)
        assert verdict.reason in REASONS
        assert verdict.advice[-1] == "new_password.advice.words"
        assert len(set(verdict.advice)) == len(verdict.advice) <= 5
        seen |= set(verdict.advice)
        for language in languages.supported:
            for advice in verdict.advice:
                assert languages.text(language, advice)
    kinds = ("words", "elsewhere", "common", "repeat", "sequence", "date")
    assert seen >= {f"new_password.advice.{kind}" for kind in kinds}


# --- PW-05 -----------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=150)
@given(st.text(min_size=8, max_size=60))
def test_pw_05_what_is_taken_can_be_hashed_and_how_it_was_composed_changes_nothing(password: str) -> None:
    breached = BreachList(SHIPPED)
    verdicts = {
        judge(unicodedata.normalize(form, password), about=ABOUT, breached=breached)
        for form in ("NFC", "NFD", "NFKC", "NFKD")
    }
    breached.close()
    assert len(verdicts) == 1
    if verdicts == {Good()}:
        PasswordHasher(1, 1, memory_kib=64, passes=1).hash(password)


def test_pw_05_a_long_password_is_judged_by_its_whole(breached: BreachList) -> None:
    weak = "a" * JUDGED
    assert reason(weak + "kx7#qZ2p", breached) == ""  # good behind a dull beginning
    assert reason("kx7#qZ2p" + weak, breached) == ""
    assert reason(weak * 3, breached) == "password_guessable"


def test_ds_14_nothing_that_is_typed_keeps_the_judge_busy(breached: BreachList) -> None:
    """zxcvbn itself takes five seconds for the first of these, and longer for longer ones."""
    signs = "4@8({[<369!1|0$5+7%2"
    chance = random.Random(3)
    hostile = [
        (signs * 52)[:1024],
        "1|1!4@6987" * 100,
        "".join(chance.choice(signs) for _ in range(20)) * 2,
        "".join(chance.choice(string.digits) for _ in range(1024)),
        "ab" * 512,
        "abaababaabaab" * 78,
        "11121991" * 128,
        "\u0130" * 1024,
        "ﬃ" * 300,
        "password" * 128,
    ]
    for password in hostile:
        began = time.thread_time()
        judge(password, about=ABOUT, breached=breached)
        assert time.thread_time() - began < 1.5, password[:20]


def test_what_is_known_of_one_person_is_never_used_for_another(breached: BreachList) -> None:
    """zxcvbn keeps the words about a person where all threads see them; here many are judged at once."""

    def judged(number: int) -> tuple[str, str]:
        own, other = f"quizzaciously{number}@a.example", f"quizzaciously{(number + 1) % 8}"
        first, second = (
            getattr(judge(name, about=(own,), breached=breached), "reason", "")
            for name in (own.partition("@")[0], f"zx{other}wk")
        )
        return first, second

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(judged, [number % 8 for number in range(200)])) == {("password_about_you", "")}


# --- words ------------------------------------------------------------------------------------------------------------------


def test_there_are_words_for_every_language_of_ours() -> None:
    languages = {path.stem for path in WORD_LISTS.glob("*.txt")}
    assert languages >= set(Languages().supported)
    for path in WORD_LISTS.glob("*.txt"):
        words = path.read_text(encoding="utf-8").splitlines()
        assert len(set(words)) == len(words)
        assert all(word and word == word.strip().lower() for word in words)


# --- who is asked for how many ------------------------------------------------------------------------------------------------


def ask_for(parts: Parts, company_id: str, characters: int | None) -> None:
    with parts.database.transaction() as db:
        db.execute(update(Company).where(Company.id == company_id).values(shortest_password=characters))


def shortest(parts: Parts, who: str) -> int:
    with parts.database.reading() as db:
        return shortest_for(db, who)


def test_a_company_decides_for_its_members_and_for_its_domains(parts: Parts) -> None:
    acme = add_company(parts, "Acme", "acme.example", "acme-group.example")
    other = add_company(parts, "Other", "other.example")
    member = add_person(parts, acme, "alice@elsewhere.example")
    colleague = add_carol(parts, "bob@acme-group.example")
    stranger = add_carol(parts, "carol@example.org")
    people = (member, colleague, "acme.example", "acme-group.example", stranger, "example.org", "sub.acme.example")
    assert [shortest(parts, who) for who in people] == [8] * 7
    ask_for(parts, acme, 15)
    ask_for(parts, other, 64)
    assert [shortest(parts, who) for who in people] == [15] * 4 + [8] * 3
    both = add_person(parts, other, "dora@acme.example")
    assert shortest(parts, both) == 64  # the longest that counts
    ask_for(parts, acme, None)
    assert [shortest(parts, who) for who in people] == [8] * 7


def test_what_others_know_of_a_person_is_their_addresses_names_and_company(parts: Parts) -> None:
    acme = add_company(parts, "Acme Logistique")
    alice = add_person(parts, acme, "alice@elsewhere.example")
    with parts.database.reading() as db:
        assert set(about_account(db, alice)) == {"alice@elsewhere.example", "Carol Example", "Acme Logistique"}
