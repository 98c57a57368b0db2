"""Passwords that are known from breaches: looked up without network, in a file that is read where it lies (mmap).

Such a list says "yes" to everything in it, and to one of 65 000 other passwords. It takes three bytes for each password: blocks
of 128, each with the first of its keys and what the others are more than that. A key is the first eight bytes of a
password's SHA-1, which is what the public list (Have I Been Pwned's Pwned
Passwords) gives. NIST SP 800-63B, section 3.1.1.2, asks for the comparison.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from idp.errors import OperatorError

SHIPPED = Path(__file__).parents[1] / "word_lists" / "breached.bin"

MAGIC = b"idp breached 1\r\n"
_HEADER = struct.Struct(">16sQ")  # what it is, how many passwords
_FIRST = struct.Struct(">QB")  # a block's first key, and how many bits of the differences are left out
PER_BLOCK = 128
WIDTH = 3  # bytes of a difference
FOLDER_FILES = 16**5  # of the public list, one for each first five digits
START = 16  # of the differences in a block
BLOCK = START + PER_BLOCK * WIDTH

_FIRST_DIGITS = re.compile(r"[0-9A-Fa-f]{5}")
_WHOLE = re.compile(rb"^([0-9A-Fa-f]{16})[0-9A-Fa-f]{24}(?::([0-9]{1,12}))?\r?$", re.M)
_REST = re.compile(rb"^([0-9A-Fa-f]{11})[0-9A-Fa-f]{24}(?::([0-9]{1,12}))?\r?$", re.M)


class BreachList:
    """A built list, open for as long as the process lives. ``size``: how many passwords are in it.

    :raises OperatorError: the file cannot be read or is no such list.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # ValueError: empty
            raise OperatorError(f"{path}: the list of breached passwords cannot be read ({error}).") from None
        if len(whole) < _HEADER.size or (len(whole) - _HEADER.size) % BLOCK or whole[: len(MAGIC)] != MAGIC:
            whole.close()
            raise OperatorError(
                f"{path}: is no whole list of breached passwords. Build one: idp passwords build-breach-list"
            )
        self._whole = whole
        self._blocks = range((len(whole) - _HEADER.size) // BLOCK)
        self.size: int = _HEADER.unpack_from(whole)[1]

    def holds(self, password: str) -> bool:
        """Whether this very password, in the given composition of its letters, is on the list."""
        return self._holds(key_of(password))

    def _holds(self, key: int) -> bool:
        block = bisect_right(self._blocks, key, key=self._first) - 1
        if block < 0:
            return False
        start = _HEADER.size + block * BLOCK
        first, left_out = _FIRST.unpack_from(self._whole, start)
        more = (key - first) >> left_out
        if more >> (8 * WIDTH):
            return False
        wanted, start = more.to_bytes(WIDTH, "big"), start + START

        def difference(index: int) -> bytes:
            return self._whole[start + index * WIDTH : start + (index + 1) * WIDTH]

        index = bisect_left(range(PER_BLOCK), wanted, key=difference)
        return index < PER_BLOCK and difference(index) == wanted

    def _first(self, block: int) -> int:
        return int(_FIRST.unpack_from(self._whole, _HEADER.size + block * BLOCK)[0])

    def close(self) -> None:
        """Let go of the file."""
        self._whole.close()


def key_of(password: str) -> int:
    """The first 64 bits of the password's SHA-1."""
    digest = hashlib.sha1(password.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big")


def hash_files(source: Path) -> list[Path]:
    """The files of the public list in ascending order: one with all hashes, or a folder with one for each first five digits.

    :raises OperatorError: there are none.
    """
    if not source.is_dir():
        return [source]
    files = sorted(
        (path for path in source.iterdir() if _FIRST_DIGITS.fullmatch(path.stem)), key=lambda path: path.stem.upper()
    )
    if not files:
        raise OperatorError(
            f"{source}: holds no files named by the first five digits of their hashes, 00000.txt to FFFFF.txt."
        )
    return files


def read_hashes(files: Iterable[Path], at_least: int, done: Callable[[int], object]) -> Iterator[int]:
    """The keys of the public list: SHA-1 in hexadecimal on each line, then often a colon and how often it was seen.

    In a file that is named by their first five digits the lines may leave these out.

    :param at_least: skip what was seen less often than this.
    :param done: is told how many bytes more were read.
    :raises OperatorError: a file cannot be read or holds something else.
    """
    for path in files:
        first = path.stem if _FIRST_DIGITS.fullmatch(path.stem) else ""
        try:
            with path.open("rb") as file:
                while some := file.read(1 << 20):
                    some += file.readline()
                    yield from _keys(path, some, first, at_least)
                    done(len(some))
        except OSError as error:
            raise OperatorError(f"{path}: cannot be read ({error.strerror}).") from None


def _keys(path: Path, some: bytes, first: str, at_least: int) -> Iterator[int]:
    lines = some.count(b"\n") + (not some.endswith(b"\n"))
    found, above = _WHOLE.findall(some), 0
    if first and len(found) != lines:
        found, above = _REST.findall(some), int(first, 16) << 44
    if len(found) != lines:
        raise OperatorError(
            f"{path}: is no list of SHA-1 hashes: each line is 40 hexadecimal digits, a colon and a number."
        )
    for digits, seen in found:
        if not seen or int(seen) >= at_least:
            yield above | int(digits, 16)


def write_list(keys: Iterable[int], path: Path) -> int:
    """Write a list of ``keys``, which come in ascending order, and return how many there were. ``path`` appears when it is whole.

    Needs no more memory for a thousand million than for one.

    :raises OperatorError: the keys are not in order, or the file cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    size = 0
    try:
        with unfinished.open("wb") as file:
            file.write(_HEADER.pack(MAGIC, 0))
            waiting: list[int] = []
            last = -1
            for key in keys:
                if key <= last:
                    if key == last:
                        continue
                    raise OperatorError("The hashes are not in ascending order: take the list that is ordered by hash.")
                last = key
                waiting.append(key)
                if len(waiting) == PER_BLOCK:
                    file.write(_block(waiting))
                    size += PER_BLOCK
                    waiting = []
            if waiting:
                file.write(_block(waiting))
                size += len(waiting)
            file.seek(0)
            file.write(_HEADER.pack(MAGIC, size))
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        raise OperatorError(f"{path}: cannot be written ({error.strerror}).") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return size


def _block(keys: list[int]) -> bytes:
    first = keys[0]
    left_out = max(0, (keys[-1] - first).bit_length() - 8 * WIDTH)
    full = keys + keys[-1:] * (PER_BLOCK - len(keys))
    differences = b"".join(((key - first) >> left_out).to_bytes(WIDTH, "big") for key in full)
    return _FIRST.pack(first, left_out).ljust(START, b"\0") + differences
