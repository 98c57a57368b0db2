"""Second factors of people in tests: an authenticator app, and recovery codes on paper."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyotp

from idp.accounts.totp import STEP, NewTotp
from idp.parts import Parts
from tests import canaries


@dataclass
class App:
    """An authenticator app on somebody's telephone, whose clock is right."""

    parts: Parts
    secret: str = field(default_factory=lambda: canaries.register(pyotp.random_base32(), "totp secret"))

    def code(self, steps: int = 0) -> str:
        """What it shows now, or ``steps`` times thirty seconds later."""
        return pyotp.TOTP(self.secret).at(int(self.parts.clock()) + steps * STEP)

    def wrong(self) -> str:
        """A code that it shows neither now nor around now."""
        near = {int(self.code(steps)) for steps in range(-2, 3)}
        return next(f"{code:06}" for code in range(100_000, 100_010) if code not in near)


def add_app(parts: Parts, account_id: str) -> App:
    """Let somebody have an authenticator app. No code of it has been used."""
    app = App(parts)
    with parts.database.transaction() as db:
        parts.totps.add(db, account_id, NewTotp(app.secret, 0), parts.clock())
    return app


def add_codes(parts: Parts, account_id: str) -> tuple[str, ...]:
    """Let somebody have recovery codes."""
    with parts.database.transaction() as db:
        codes = parts.recovery_codes.make(db, account_id, parts.clock())
    return tuple(canaries.register(code, "recovery code") for code in codes)
