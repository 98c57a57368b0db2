"""Passwords: argon2id with bounded memory, and the same work for everybody who tries.

A password is normalised to NFKC before it is hashed (NIST SP 800-63B, section 3.1.1.2), so that it does not depend on the
keyboard or the system that composed its characters. Nothing is cut off: what is too long is refused before any hashing.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import TypeVar

from argon2 import PasswordHasher as Argon2
from argon2 import Type
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select, update
from sqlalchemy.orm import Session as Transaction

from idp.errors import PageError, Unavailable
from idp.models import Account, Email, Password
from idp.redis_store import token_hash

# OWASP's first choice for argon2id: 19 MiB, two passes, one lane. 31 to 94 ms on the machines measured in docs/speed.md.
MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1
LESS_URGENT = 10  # niceness: a hash takes long and can wait a moment, all other answers take little and cannot

Made = TypeVar("Made")

SHORTEST = 8  # ASVS 6.2.1
LONGEST_CHARACTERS = 1024  # more than any password manager makes; a megabyte is refused unhashed
LONGEST_BYTES = 4096  # after NFKC, which can lengthen a text eighteenfold


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the password is right, and whether its hash was made with other parameters than today's."""

    ok: bool
    needs_rehash: bool = False


class PasswordHasher:
    """Hashes and verifies: at most ``pool`` at a time (19 MiB each), at most ``limit`` threads in here altogether.

    Who would be one more is told to come back (``Unavailable("hashing_busy")``), so that the threads that are left keep
    answering everybody else. The hashing has threads of its own: were it done in those that take requests, the memory
    allocator would keep 19 MiB for each of them.
    """

    def __init__(self, pool: int, limit: int, *, memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> None:
        self._argon2 = Argon2(time_cost=passes, memory_cost=memory_kib, parallelism=LANES, type=Type.ID)
        self._pool = ThreadPoolExecutor(pool, "hashing", _yield_to_others)
        self._line = BoundedSemaphore(max(pool, limit))
        # A hash that no password has: verifying against it costs what a real one costs.
        salt, nothing = (b64encode(bytes(size)).decode().rstrip("=") for size in (16, 32))
        self._nobody = f"$argon2id$v=19$m={memory_kib},t={passes},p={LANES}${salt}${nothing}"

    def hash(self, password: str) -> str:
        """Hash a password for storing, with a fresh random salt.

        :raises PageError: ``password_too_long``.
        :raises Unavailable: ``hashing_busy``.
        """
        secret = _normalised(password)
        return self._in_turn(lambda: self._argon2.hash(secret))

    def verify(self, stored: str | None, password: str) -> Verdict:
        """Compare with the stored hash; None (nobody, or no password) costs the same and is never right.

        :raises PageError: ``password_too_long``, for everybody alike.
        :raises Unavailable: ``hashing_busy``.
        """
        secret = _normalised(password)
        try:
            self._in_turn(lambda: self._argon2.verify(stored or self._nobody, secret))
        except (VerificationError, InvalidHashError):
            return Verdict(ok=False)
        if not stored:
            return Verdict(ok=False)
        return Verdict(ok=True, needs_rehash=self._argon2.check_needs_rehash(stored))

    def _in_turn(self, work: Callable[[], Made]) -> Made:
        if not self._line.acquire(blocking=False):
            raise Unavailable("hashing_busy", retry_after=2)
        try:
            return self._pool.submit(work).result()
        finally:
            self._line.release()


def _yield_to_others() -> None:
    if sys.platform == "linux":  # where this is about one thread, not about the process
        os.nice(LESS_URGENT)


def _normalised(password: str) -> bytes:
    if len(password) <= LONGEST_CHARACTERS:
        secret = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
        if len(secret) <= LONGEST_BYTES:
            return secret
    raise PageError("password_too_long", parameter="password")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What stands in SQL for an address. All of it may be missing; nothing that follows may show it."""

    account_id: str | None = None
    state: str = ""
    hash: str | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer to a password: the account, or None and the reason for the receipt (never for the page).

    ``rehashed`` is a new hash to store with ``store_rehash``, because today's parameters differ from those of the old one.
    """

    account_id: str | None
    reason: str = ""
    rehashed: str | None = None


def find_credentials(db: Transaction, canonical: str) -> Credentials:
    """Read what is needed to check a password for a canonical address: one query, whoever it is."""
    row = db.execute(
        select(Account.id, Account.state, Password.hash)
        .join(Email, Email.account_id == Account.id)
        .outerjoin(Password, Password.account_id == Account.id)
        .where(Email.canonical == canonical)
    ).first()
    return Credentials(*row) if row else Credentials()


def check_password(credentials: Credentials, password: str, hasher: PasswordHasher) -> Checked:
    """Check a password with the same work for known, unknown, suspended and password-less accounts.

    Call it outside a transaction: it takes a tenth of a second and may wait for its turn.

    :raises PageError: ``password_too_long``.
    :raises Unavailable: ``hashing_busy``.
    """
    verdict = hasher.verify(credentials.hash, password)
    if credentials.account_id is None:
        return Checked(None, "account_unknown")
    if credentials.hash is None:
        return Checked(None, "password_missing")
    if not verdict.ok:
        return Checked(None, "password_wrong")
    if credentials.state != "active":
        return Checked(None, "account_suspended")
    return Checked(credentials.account_id, rehashed=hasher.hash(password) if verdict.needs_rehash else None)


def store_rehash(db: Transaction, credentials: Credentials, rehashed: str) -> str | None:
    """Store the same password's new hash, unless the hash was changed since ``credentials`` were read.

    :returns: the hash that stands there now: this one, or that of another password, or of the same one in another browser.
    """
    db.execute(
        update(Password)
        .where(Password.account_id == credentials.account_id, Password.hash == credentials.hash)
        .values(hash=rehashed)
    )
    return db.scalar(select(Password.hash).where(Password.account_id == credentials.account_id))


def mark_of(stored: str | None) -> str:
    """What changes with a password (its hash) and says nothing about it."""
    return token_hash(stored or "")[:16]
