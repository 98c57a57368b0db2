"""A browser on foot that has passkeys: what passkeys.js does with the pages."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.models import Attempt, AttemptStep, Passkey
from idp.parts import Parts
from tests.fakes.authenticator import Authenticator
from tests.journey import Walker


def options_in(page: TestResponse) -> str:
    """What a page asks a browser for."""
    found = re.search(r'data-passkey="([^"]*)"', page.get_data(as_text=True))
    assert found, page.get_data(as_text=True)
    return unescape(found[1])


def add(walker: Walker, device: Authenticator, name: str = "", **odd: Any) -> TestResponse:
    """Who is signed in adds a passkey."""
    page = walker.get("/me/passkeys")
    return walker.submit(page, "/me/passkeys", answer=device.make(options_in(page), **odd), name=name)


def signed_in_with(walker: Walker, device: Authenticator, **odd: Any) -> Walker:
    """Carol signs in by her password and adds a passkey."""
    walker.sign_in(walker.get("/me"))
    assert add(walker, device, **odd).location == "/me/passkeys?notice=added"
    return walker


def sign_in(walker: Walker, device: Authenticator, page: TestResponse | None = None, **odd: Any) -> TestResponse:
    """From the first page (of /me, unless another is given) to the answer to the passkey; redirects are not followed."""
    page = walker.follow(page or walker.get("/me"))
    return walker.submit(page, "/login/passkey", answer=device.show(options_in(page), **odd))


def passkeys(parts: Parts) -> list[Passkey]:
    with parts.database.reading() as db:
        return list(db.scalars(select(Passkey).order_by(Passkey.id)))


def reason_of(page: TestResponse, parts: Parts) -> tuple[str | None, str]:
    """Why the attempt of a page failed: the reason, and the detail of its last step."""
    from idp.attempts import drain

    code = re.search(r'id="receipt-code"[^>]*>([^<]+)', page.get_data(as_text=True))
    assert code, page.get_data(as_text=True)
    parts.attempts.flush()
    drain(parts.store, parts.database)
    with parts.database.reading() as db:
        steps = db.scalars(select(AttemptStep).where(AttemptStep.code == code[1]).order_by(AttemptStep.at)).all()
        attempt = db.scalar(select(Attempt).where(Attempt.code == code[1]))
        return (attempt.reason if attempt else None), str(steps[-1].facts.get("detail", ""))
