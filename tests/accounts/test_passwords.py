"""Passwords: nothing cut off, the same work for everybody, bounded memory."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Event, Thread, get_native_id

import pytest
from argon2 import extract_parameters

from idp.accounts.lifecycle import suspend
from idp.accounts.passwords import (
    LESS_URGENT,
    MEMORY_KIB,
    PASSES,
    Credentials,
    PasswordHasher,
    Verdict,
    check_password,
    find_credentials,
    store_rehash,
)
from idp.errors import PageError, Unavailable
from idp.models import Account, Password
from idp.parts import Parts
from tests.journey import PASSWORD, add_carol


@pytest.fixture
def hasher() -> PasswordHasher:
    return PasswordHasher(2, 8, memory_kib=64, passes=1)


class Counting(PasswordHasher):
    """Counts what it verifies, and against which parameters."""

    def __init__(self) -> None:
        super().__init__(2, 8, memory_kib=64, passes=1)
        self.work: list[object] = []

    def verify(self, stored: str | None, password: str) -> Verdict:
        self.work.append(extract_parameters(stored or self._nobody))
        return super().verify(stored, password)


@contextmanager
def occupied(hasher: PasswordHasher, threads: int) -> Iterator[None]:
    """Keep the threads that hash busy."""
    begun, over = Barrier(threads + 1), Event()

    def hash_for_long() -> None:
        begun.wait()
        over.wait()

    people = [Thread(target=hasher._in_turn, args=(hash_for_long,)) for _ in range(threads)]
    for person in people:
        person.start()
    begun.wait()
    try:
        yield
    finally:
        over.set()
        for person in people:
            person.join()


def test_the_right_password_is_right_and_others_are_wrong(hasher: PasswordHasher) -> None:
    stored = hasher.hash("correct horse")
    assert hasher.verify(stored, "correct horse") == Verdict(ok=True, needs_rehash=False)
    for wrong in ("", "Correct horse", "correct horse ", "correct  horse"):
        assert not hasher.verify(stored, wrong).ok


def test_every_hash_is_argon2id_with_its_own_salt(hasher: PasswordHasher) -> None:
    assert hasher.hash("correct horse") != hasher.hash("correct horse")
    real = PasswordHasher(1, 1).hash("correct horse")
    assert real.startswith(f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1$")
    assert (MEMORY_KIB, PASSES) >= (19 * 1024, 2)  # OWASP's least for argon2id


@pytest.mark.parametrize(
    ("password", "other"),
    [
        ("x" * 72 + "a", "x" * 72 + "b"),
        ("x" * 71 + "é" + "a", "x" * 71 + "é" + "b"),
        ("x" * 1023 + "a", "x" * 1023 + "b"),
        ("before\x00after", "before\x00other"),
        ("before\x00after", "before"),
        ("x" * 64, "x" * 63),
        ("x" * 128, "x" * 127),
        ("\x00", "\x00\x00"),
    ],
)
def test_pw_05_nothing_of_a_password_is_cut_off(hasher: PasswordHasher, password: str, other: str) -> None:
    stored = hasher.hash(password)
    assert hasher.verify(stored, password).ok
    assert not hasher.verify(stored, other).ok


@pytest.mark.parametrize(
    "password", ["Ångström-Café", "ﬁnance-2026", "１２３４５６７８", "a\u00a0b c\u3000d", "가각힣"]
)
def test_pw_05_a_password_does_not_depend_on_how_its_letters_were_composed(
    hasher: PasswordHasher, password: str
) -> None:
    stored = hasher.hash(password)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert hasher.verify(stored, unicodedata.normalize(form, password)).ok


@pytest.mark.parametrize("password", ["x" * 1025, "x" * 1_000_000, "\ufdfa" * 1024])
def test_pw_05_what_is_too_long_is_refused_before_it_is_hashed(hasher: PasswordHasher, password: str) -> None:
    stored = hasher.hash("correct horse")
    with occupied(hasher, 2):  # whoever hashes now would wait for ever
        for refuse in (
            lambda: hasher.verify(stored, password),
            lambda: hasher.verify(None, password),
            lambda: hasher.hash(password),
        ):
            with pytest.raises(PageError) as caught:
                refuse()
            assert (caught.value.reason, caught.value.status) == ("password_too_long", 400)


def test_the_longest_password_is_accepted(hasher: PasswordHasher) -> None:
    assert hasher.verify(hasher.hash("\U0001f600" * 1024), "\U0001f600" * 1024).ok


def test_a_lone_surrogate_is_a_wrong_password_and_no_error(hasher: PasswordHasher) -> None:
    assert not hasher.verify(hasher.hash("correct horse"), "\ud800").ok


def test_a_damaged_hash_lets_nobody_in(hasher: PasswordHasher) -> None:
    for damaged in ("", "x", "$argon2id$", "$argon2id$v=19$m=64,t=1,p=1$AAAA$", "$2b$12$abcdefghijklmnopqrstuv"):
        assert not hasher.verify(damaged, "").ok


def test_nobody_has_no_password_that_fits_and_costs_what_a_real_one_costs(hasher: PasswordHasher) -> None:
    assert extract_parameters(hasher._nobody) == extract_parameters(hasher.hash("correct horse"))
    for password in ("", "correct horse", "\x00" * 32):
        assert hasher.verify(None, password) == Verdict(ok=False)


def test_one_more_than_may_wait_is_told_to_come_back(hasher: PasswordHasher) -> None:
    small = PasswordHasher(1, 2, memory_kib=64, passes=1)
    stored = small.hash("correct horse")
    waiting = Thread(target=small.verify, args=(stored, "correct horse"))
    with occupied(small, 1):
        waiting.start()
        while small._line.acquire(blocking=False):  # until the other one stands in line
            small._line.release()
        with pytest.raises(Unavailable) as caught:
            small.verify(stored, "correct horse")
        assert (caught.value.reason, caught.value.status) == ("hashing_busy", 503)
    waiting.join()
    assert small.verify(stored, "correct horse").ok


def test_hashing_has_threads_of_its_own_which_are_less_urgent() -> None:
    small = PasswordHasher(2, 60, memory_kib=64, passes=1)
    with ThreadPoolExecutor(16) as people:
        hashed_in = set(people.map(lambda _: small._in_turn(get_native_id), range(200)))
    assert len(hashed_in) <= 2
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    assert {os.getpriority(os.PRIO_PROCESS, thread) for thread in hashed_in} == {min(19, mine + LESS_URGENT)}


def test_unknown_suspended_and_passwordless_accounts_cost_the_same_and_stay_out(parts: Parts) -> None:
    add_carol(parts)
    add_carol(parts, "bob@example.org", None)
    suspended = add_carol(parts, "sue@example.org")
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, suspended), actor="operator:test", now=parts.clock())
    hasher = Counting()
    answers = {}
    for email in ("carol@example.org", "bob@example.org", "sue@example.org", "nobody@example.org"):
        with parts.database.reading() as db:
            credentials = find_credentials(db, email)
        for password in (PASSWORD, "wrong password"):
            checked = check_password(credentials, password, hasher)
            answers[email, password == PASSWORD] = (checked.account_id is not None, checked.reason)
    assert answers == {
        ("carol@example.org", True): (True, ""),
        ("carol@example.org", False): (False, "password_wrong"),
        ("bob@example.org", True): (False, "password_missing"),
        ("bob@example.org", False): (False, "password_missing"),
        ("sue@example.org", True): (False, "account_suspended"),
        ("sue@example.org", False): (False, "password_wrong"),
        ("nobody@example.org", True): (False, "account_unknown"),
        ("nobody@example.org", False): (False, "account_unknown"),
    }
    assert len(hasher.work) == 8
    assert len(set(map(str, hasher.work))) == 1


def test_ij_04_what_is_typed_as_an_address_finds_only_that_address(parts: Parts) -> None:
    add_carol(parts)
    with parts.database.reading() as db:
        for text in ("%", "carol@%", "' OR ''='", "carol@example.org\n", ""):
            assert find_credentials(db, text) == Credentials()


def test_a_hash_with_older_parameters_is_renewed_at_sign_in(parts: Parts) -> None:
    carol = add_carol(parts)
    stronger = PasswordHasher(1, 1, memory_kib=128, passes=1)
    with parts.database.reading() as db:
        credentials = find_credentials(db, "carol@example.org")
    assert check_password(credentials, "wrong password", stronger).rehashed is None
    checked = check_password(credentials, PASSWORD, stronger)
    assert checked.account_id == carol
    assert checked.rehashed is not None
    with parts.database.transaction() as db:
        store_rehash(db, credentials, checked.rehashed)
    with parts.database.reading() as db:
        credentials = find_credentials(db, "carol@example.org")
    assert credentials.hash == checked.rehashed
    assert check_password(credentials, PASSWORD, stronger) == type(checked)(carol)


def test_a_renewed_hash_never_overwrites_a_password_that_was_changed_meanwhile(parts: Parts) -> None:
    carol = add_carol(parts)
    with parts.database.reading() as db:
        credentials = find_credentials(db, "carol@example.org")
    with parts.database.transaction() as db:
        db.get_one(Password, carol).hash = "changed"
    with parts.database.transaction() as db:
        store_rehash(db, credentials, "renewed")
    with parts.database.reading() as db:
        assert db.get_one(Password, carol).hash == "changed"
