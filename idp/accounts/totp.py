"""Authenticator apps: codes of six digits, another one every thirty seconds (RFC 6238). The only home of pyotp and segno.

A code that is thirty seconds early or late counts too. Each counts once: what was taken, and what is older, is refused.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby

import pyotp
import segno
from sqlalchemy import CursorResult, delete, update
from sqlalchemy.orm import Session as Transaction

from idp.models import Device, Totp
from idp.redis_store import RedisStore, token_hash
from idp.sealing import Sealer

STEP = 30  # seconds
AROUND = 1  # steps before and after the present one that count
CODE = re.compile(r"[0-9]{6}")
SET_UP_WITHIN = 15 * 60  # seconds from the first look at a new secret to the first code: as long as a pending login

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_SECRET = 32  # letters: 160 bits, as the algorithm wants (RFC 4226, section 4, R6)


@dataclass(frozen=True, slots=True)
class NewTotp:
    """An app that has shown its first code, and that is nobody's yet. ``step`` is that code's; ``codes``: recovery codes that come
    with it (``RecoveryCodes.draw``)."""

    secret: str = field(repr=False)
    step: int
    codes: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Offered:
    """A secret as a person takes it over: by the camera or by the keyboard.

    :ivar squares: the dark squares of a QR code of ``size`` times ``size``, as path data of SVG; its light edge is in it.
    :ivar key: the secret in groups of four letters.
    """

    squares: str = field(repr=False)
    size: int
    key: str = field(repr=False)


class Totps:
    """Offers secrets to apps, and looks at their codes."""

    def __init__(self, host: str, store: RedisStore, sealer: Sealer, random: Callable[[int], bytes]) -> None:
        """:param host: our name, as the app shows it beside the address."""
        self._host = host
        self._store = store
        self._sealer = sealer
        self._random = random

    def offer(self, bound: str, address: str, now: float) -> Offered:
        """A new secret for an app; the same again when a page is loaded again. One round trip.

        :param bound: to whom it is offered: a session, or a pending login.
        :param address: the person's, as the app shows it.
        """
        fresh = "".join(_LETTERS[byte % 32] for byte in self._random(_SECRET))
        ends = int(now) + SET_UP_WITHIN
        sealed = self._sealer.seal({"secret": fresh, "ends": str(ends)}, f"offer {bound}")
        key = _offer(bound)
        kept = self._store.command("SET", key, sealed, "NX", "GET", "PXAT", ends * 1000 + 60_000)
        secret = (self._open(kept, bound, now) if kept else fresh) or self._renew(key, sealed, fresh, ends)
        uri = pyotp.TOTP(secret).provisioning_uri(name=address, issuer_name=self._host)
        rows = [list(row) for row in segno.make(uri, error="m", micro=False).matrix_iter(border=4)]
        return Offered(_squares(rows), len(rows), " ".join(secret[at : at + 4] for at in range(0, len(secret), 4)))

    def try_offered(self, bound: str, code: str, now: float) -> NewTotp | None:
        """The app that has taken over what was offered, if this is its code. One round trip."""
        kept = self._store.command("GET", _offer(bound))
        secret = self._open(kept, bound, now) if kept else ""
        step = _step_of(secret, code, now) if secret else None
        return NewTotp(secret, step) if step is not None else None

    def add(self, db: Transaction, account_id: str, new: NewTotp, now: float) -> Totp:
        """Let an app be the account's, whose row the caller holds; one that it had before is no more, and no browser is one that need
        not be asked for it."""
        remove_totp(db, account_id)
        db.execute(update(Device).where(Device.account_id == account_id).values(remembered_until=None))
        sealed = self._sealer.seal({"secret": new.secret}, f"totp {account_id}")
        totp = Totp(account_id=account_id, sealed_secret=sealed, last_step=new.step, created_at=int(now))
        db.add(totp)
        db.flush()
        return totp

    def take(self, db: Transaction, account_id: str, code: str, now: float) -> bool:
        """Whether this is a code of the account's app that counts now; of several that bring the same, one is told so."""
        totp = db.get(Totp, account_id)
        if totp is None:
            return False
        secret = self._sealer.open(totp.sealed_secret, f"totp {account_id}")["secret"]
        step = _step_of(secret, code, now)
        if step is None:
            return False
        use = update(Totp).where(
            Totp.account_id == account_id, Totp.sealed_secret == totp.sealed_secret, Totp.last_step < step
        )
        answer = db.execute(use.values(last_step=step).execution_options(synchronize_session=False))
        assert isinstance(answer, CursorResult)
        return answer.rowcount == 1

    def _open(self, sealed: str, bound: str, now: float) -> str:
        opened = self._sealer.open(sealed, f"offer {bound}")
        return opened["secret"] if int(opened["ends"]) > now else ""

    def _renew(self, key: str, sealed: str, fresh: str, ends: int) -> str:
        self._store.command("SET", key, sealed, "PXAT", ends * 1000 + 60_000)
        return fresh


def remove_totp(db: Transaction, account_id: str) -> bool:
    """Take an account's app away; False when there is none."""
    answer = db.execute(delete(Totp).where(Totp.account_id == account_id))
    assert isinstance(answer, CursorResult)
    return answer.rowcount == 1


def totp_mark(totp: Totp) -> str:
    """What names an app in mails; it says nothing about it."""
    return token_hash(totp.sealed_secret)[:32]


def tidy_code(text: str) -> str:
    """A code as people type it: apps show it in two groups."""
    return "".join(text[:40].split())


def _step_of(secret: str, code: str, now: float) -> int | None:
    """The step whose code this is. Every one that counts is looked at, so the time tells nothing."""
    if not CODE.fullmatch(code):
        return None
    at = pyotp.TOTP(secret)
    present = int(now) // STEP
    found = None
    for step in range(present - AROUND, present + AROUND + 1):
        if hmac.compare_digest(at.generate_otp(step), code):
            found = step
    return found


def _squares(rows: list[list[int]]) -> str:
    drawn = []
    for down, row in enumerate(rows):
        across = 0
        for dark, run in groupby(row):
            length = len(list(run))
            if dark:
                drawn.append(f"M{across} {down}h{length}v1h-{length}z")
            across += length
    return "".join(drawn)


def _offer(bound: str) -> str:
    return f"totp-offer:{{{token_hash(bound)}}}"
