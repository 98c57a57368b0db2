"""A sign-out that goes on at a company: our session has ended, now the browser tells the identity provider that it came from.

A companion of the pages that end sessions, and of the page that speaks with the company. What waits stands in Redis for a
quarter of an hour under a handle that is also the id of our LogoutRequest, so its answer (SAML 2.0 core 3.7.3) finds it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from flask import Response, g

from idp.accounts.sessions import CompanySession
from idp.parts import parts
from idp.redirects import go, leave
from idp.redis_store import token_hash

LIFETIME = 15 * 60  # seconds in which the company may answer

_ANY_BROWSER = token_hash("")  # the answer comes from another site, without our cookies; what it leads to asks for them


@dataclass(frozen=True, slots=True)
class SignOut:
    """What waits. ``back`` is the path of our own where the sign-out was going; ``receipt`` that of the sign-out."""

    handle: str
    company: CompanySession
    back: str
    receipt: str

    @property
    def request_id(self) -> str:
        """The id of our LogoutRequest."""
        return f"_{self.handle}"


def go_to_company(company: CompanySession, *, back: str) -> Response:
    """Send the browser to sign out at the company as well, and then to ``back``."""
    here = parts()
    handle = here.random(20).hex()
    expires = int(here.clock()) + LIFETIME
    record = {
        "browser": _ANY_BROWSER,
        "expires": expires,
        "company": json.dumps(asdict(company)),
        "back": back,
        "receipt": g.receipt,
    }
    flat = [part for pair in record.items() for part in pair]
    here.store.call("idp_pending_park", _key(handle), expires, *flat)
    return go("/logout/company", l=handle)


def go_on(sign_out: SignOut) -> Response:
    """Send the browser to where the sign-out was going."""
    return leave(sign_out.back)


def find_sign_out(handle: str) -> SignOut | None:
    """What waits under a handle; None: nothing does, or no longer."""
    return _read("idp_pending_find", handle)


def take_sign_out(handle: str) -> SignOut | None:
    """Find and delete: of several that try, one gets it."""
    return _read("idp_pending_take", handle)


def _read(function: str, handle: str) -> SignOut | None:
    here = parts()
    match here.store.call(function, _key(handle), _ANY_BROWSER, here.clock()):
        case ["found", list(record)]:
            fields = dict(zip(record[::2], record[1::2], strict=True))
            company = CompanySession(**json.loads(fields["company"]))
            return SignOut(handle, company, back=fields["back"], receipt=fields["receipt"])
        case _:
            return None


def _key(handle: str) -> str:
    return f"company-sign-out:{{{token_hash(handle)}}}"
