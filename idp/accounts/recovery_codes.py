"""Recovery codes: ten, shown once, to be kept on paper for the day on which the other factors are lost. A working.

Ten letters and digits each, about fifty bits. SQL knows them by a MAC whose key stands elsewhere, so that whoever steals the tables
cannot try them out.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable

from sqlalchemy import CursorResult, delete, func, select, update
from sqlalchemy.orm import Session as Transaction

from idp.models import RecoveryCode

MANY = 10
LETTERS = 10

# Nothing that is read for something else: no 0 and O, no 1, I and L.
_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"


class RecoveryCodes:
    """Makes codes, and takes them. ``key``: 32 secret bytes that last."""

    def __init__(self, key: bytes, random: Callable[[int], bytes]) -> None:
        self._key = key
        self._random = random

    def draw(self) -> tuple[str, ...]:
        """Ten new codes as a person reads them (``ABCDE-FGHJK``). They count once they are kept."""
        codes = [self._code() for _ in range(MANY)]
        return tuple(f"{code[: LETTERS // 2]}-{code[LETTERS // 2 :]}" for code in codes)

    def keep(self, db: Transaction, account_id: str, codes: Iterable[str], now: float) -> None:
        """Let codes be the account's. Those from before count no more."""
        remove_codes(db, account_id)
        db.add_all(
            RecoveryCode(account_id=account_id, code_hash=self._mac(account_id, _plain(code)), created_at=int(now))
            for code in codes
        )
        db.flush()

    def take(self, db: Transaction, account_id: str, code: str, now: float) -> bool:
        """Use a code up: of several that bring the same, one is told that it counts."""
        plain = _plain(code)
        if len(plain) != LETTERS:
            return False
        use = update(RecoveryCode).where(
            RecoveryCode.account_id == account_id,
            RecoveryCode.code_hash == self._mac(account_id, plain),
            RecoveryCode.used_at.is_(None),
        )
        answer = db.execute(use.values(used_at=int(now)).execution_options(synchronize_session=False))
        assert isinstance(answer, CursorResult)
        return answer.rowcount == 1

    def _code(self) -> str:
        code = ""
        while len(code) < LETTERS:  # a byte that would favour some letters is left out
            code += "".join(_LETTERS[byte % 31] for byte in self._random(LETTERS) if byte < 248)
        return code[:LETTERS]

    def _mac(self, account_id: str, code: str) -> str:
        return hmac.digest(self._key, f"{account_id} {code}".encode(), "sha256").hex()


def _plain(code: str) -> str:
    return "".join(sign for sign in code[:40].upper() if sign in _LETTERS)


def codes_left(db: Transaction, account_id: str) -> int:
    """How many codes of an account can still be used."""
    unused = select(func.count()).where(RecoveryCode.account_id == account_id, RecoveryCode.used_at.is_(None))
    return db.scalar(unused) or 0


def remove_codes(db: Transaction, account_id: str) -> None:
    """Let no code of an account count any more."""
    db.execute(delete(RecoveryCode).where(RecoveryCode.account_id == account_id))
