"""The list of passwords known from breaches: what is on it is found, hardly anything else is, and no other file counts as one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idp.accounts.breach_list import (
    BLOCK,
    PER_BLOCK,
    SHIPPED,
    BreachList,
    hash_files,
    key_of,
    read_hashes,
    write_list,
)
from idp.accounts.password_rules import common_passwords
from idp.errors import OperatorError


def sha1(password: str) -> str:
    return hashlib.sha1(password.encode()).hexdigest().upper()


def keys_in(path: Path, at_least: int = 1) -> list[int]:
    return list(read_hashes(hash_files(path), at_least, lambda _: None))


@pytest.mark.parametrize("size", [1, 2, PER_BLOCK - 1, PER_BLOCK, PER_BLOCK + 1, 3 * PER_BLOCK, 20_000])
def test_what_is_on_the_list_is_found_and_hardly_anything_else(tmp_path: Path, size: int) -> None:
    passwords = [f"stolen {number}" for number in range(size)]
    assert write_list(sorted(map(key_of, passwords)), tmp_path / "list") == size
    known = BreachList(tmp_path / "list")
    assert known.size == size
    assert all(map(known.holds, passwords))
    assert sum(known.holds(f"my own {number}") for number in range(20_000)) <= 5  # one of 65 000 at most is expected
    known.close()
    assert (tmp_path / "list").stat().st_size == 24 + -(-size // PER_BLOCK) * BLOCK


@settings(deadline=None, max_examples=200)
@given(keys=st.sets(st.integers(0, 2**64 - 1) | st.integers(0, 300) | st.integers(2**64 - 300, 2**64 - 1), min_size=1))
def test_every_key_is_found_however_they_lie(tmp_path_factory: pytest.TempPathFactory, keys: set[int]) -> None:
    path = tmp_path_factory.mktemp("list") / "list"
    write_list(sorted(keys), path)
    known = BreachList(path)
    assert all(known._holds(key) for key in keys)
    assert not any(known._holds(key) for key in (min(keys) - 1,) if key >= 0)
    known.close()


def test_the_shipped_list_is_what_the_command_makes_today(tmp_path: Path) -> None:
    write_list(sorted(map(key_of, common_passwords())), tmp_path / "list")
    assert (tmp_path / "list").read_bytes() == SHIPPED.read_bytes()


def test_a_password_that_was_given_twice_counts_once(tmp_path: Path) -> None:
    assert write_list([1, 1, 2], tmp_path / "list") == 2


def test_the_public_list_is_read_as_one_file_or_as_many(tmp_path: Path) -> None:
    hashes = sorted(sha1(f"stolen {number}") for number in range(3000))
    one = tmp_path / "pwnedpasswords.txt"
    one.write_text("".join(f"{digits}:{number % 9 + 1}\r\n" for number, digits in enumerate(hashes)), encoding="ascii")
    bare = tmp_path / "bare.txt"
    bare.write_text("\n".join(hashes).lower(), encoding="ascii")  # neither counts nor a line's end at the end
    many = tmp_path / "many"
    many.mkdir()
    for first in {digits[:5] for digits in hashes}:
        rest = [digits[5:] for digits in hashes if digits[:5] == first]
        (many / f"{first}.txt").write_text("\r\n".join(f"{digits}:1" for digits in rest), encoding="ascii")
    (many / "README.md").write_text("not one of them", encoding="ascii")
    expected = [int(digits[:16], 16) for digits in hashes]
    assert keys_in(one) == keys_in(bare) == keys_in(many) == expected
    assert keys_in(one, at_least=9) == expected[8::9]
    write_list(keys_in(many), tmp_path / "list")
    known = BreachList(tmp_path / "list")
    assert known.holds("stolen 17")
    known.close()


def test_padding_of_the_public_list_is_no_password(tmp_path: Path) -> None:
    """Ranges may be padded with made-up hashes, which were seen 0 times."""
    padded = tmp_path / "00000.txt"
    padded.write_text(f"{'A' * 35}:0\r\n{'B' * 35}:3\r\n", encoding="ascii")
    assert keys_in(padded) == [0xBBBBBBBBBBB]


@pytest.mark.parametrize(
    "content",
    [
        "A" * 32 + ":3\n",  # NTLM
        "password\n",
        f"{'A' * 40}\n\n{'B' * 40}\n",
        f"{'A' * 40}:3:4\n",
        f"{'G' * 40}:3\n",
        f"{'A' * 41}\n",
        f"{'A' * 35}:3\n",  # of a range, and the file does not say of which
        "\x00\xff" * 50,
    ],
)
def test_what_is_no_list_of_hashes_is_refused_and_not_repeated(tmp_path: Path, content: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(OperatorError, match="no list of SHA-1 hashes") as refused:
        keys_in(path)
    assert "AAAA" not in str(refused.value)
    assert "password" not in str(refused.value)


def test_a_list_in_another_order_is_refused_and_leaves_the_old_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "list"
    write_list([1, 2, 3], path)
    before = path.read_bytes()
    with pytest.raises(OperatorError, match="ordered by hash"):
        write_list([3, 2], path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"x", SHIPPED.read_bytes()[:-1], b"\0" * 24, b"idp breached 1\r\n"])
def test_a_file_that_is_no_whole_list_stops_the_start(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "list"
    path.write_bytes(content)
    with pytest.raises(OperatorError, match="breached passwords"):
        BreachList(path)
    with pytest.raises(OperatorError, match="cannot be read"):
        BreachList(tmp_path / "none")
    with pytest.raises(OperatorError, match="cannot be read"):
        BreachList(tmp_path)
