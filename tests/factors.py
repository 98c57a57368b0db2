"""Second factors of people in tests: an authenticator app, and recovery codes on paper."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyotp
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.totp import STEP, NewTotp
from idp.models import OutboxMail
from idp.parts import Parts
from tests import canaries
from tests.journey import Walker, query_of


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
    codes = tuple(canaries.register(code, "recovery code") for code in parts.recovery_codes.draw())
    with parts.database.transaction() as db:
        parts.recovery_codes.keep(db, account_id, codes, parts.clock())
    return codes


def mailed_code(parts: Parts, email: str = "carol@example.org") -> str:
    """The code in the mail that was queued last for an address."""
    mails = select(OutboxMail).where(OutboxMail.name == "sign_in_code", OutboxMail.recipient == email)
    with parts.database.reading() as db:
        mail = db.scalars(mails.order_by(OutboxMail.id.desc())).first()
        assert mail is not None
        sealed = mail.values["sealed"]
    return parts.sealer.open(sealed, f"sign_in_code {email}")["code"]


def by_password(walker: Walker, email: str = "carol@example.org", **asked: str) -> TestResponse:
    """Give the right password, also where the address leads to a company; to wherever that leads, redirects followed."""
    handle = query_of(walker.az(**asked).location)["p"][0]
    return walker.sign_in(walker.get(f"/login/password?p={handle}"), email)
