"""The pending login: an authorization request that waits for its person, in Redis for a quarter of an hour.

What the relying party asked for never changes once it is parked. Pages carry only the handle, and the handle works only
in the browser that started (its cookie's hash is in the record), so a link of somebody else's sign-in leads nowhere.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

from idp.errors import PageError
from idp.redis_store import RedisStore, token_hash

LIFETIME = 15 * 60  # seconds that a person has to sign in


@dataclass(frozen=True, slots=True)
class Pending:
    """A parked request. ``request`` is the query string as it was checked, or for purpose ``me`` the page of theirs that comes next."""

    handle: str
    purpose: str  # authorize (back to the relying party), logout, me (to the person's own pages), product (begun at one's door)
    request: str
    client_id: str
    receipt: str
    created: int
    email: str = ""  # what was typed in the first step
    keep: bool = False  # whether the person wants to be kept signed in
    session: str = ""  # key of the session that was opened for this request
    scopes: tuple[str, ...] = ()  # what the request asks for, checked
    asked: str = ""  # key of the session that was shown the consent page
    consent: str = ""  # what it answered: allowed, denied, or nothing yet
    ui_locales: str = ""  # what the relying party knows of the person's languages
    connection: str = ""  # the company's connection that the relying party names (idp_hint)
    domain: str = ""  # the e-mail domain that it names (domain_hint), in ASCII form
    fresh: bool = False  # it wants the person to prove themselves now (prompt=login, max_age)
    max_age: int | None = None  # seconds
    acr_values: tuple[str, ...] = ()  # the strengths of sign-in that it would like
    demands_two: bool = False  # and it accepts nothing but two factors (an essential acr)
    silent: bool = False  # nobody may be asked anything (prompt=none)
    failed: str = (
        ""  # why a door led nowhere: the company's connection, or social:<key>, and a code of the reasons table
    )
    arrival: str = ""  # who has come through a company's door and must still prove the old account (login/arrival.py)
    newcomer: str = ""  # who has come through a social door and has no account that it opens yet (login/arrival.py)
    proving: bool = (
        False  # that person goes through another door now, to prove the account that the newcomer is to open
    )
    invited: bool = False  # the person goes to a social provider from an invitation, which waits for what comes back
    asked_silently: bool = (
        False  # the social provider of this browser was asked without showing anything, whatever it said; or may not be
    )
    half: str = ""  # who has come through a door and must still show something more (login/half_way.py)
    second: bool = False  # whoever is signed in was asked for a second factor, and has none or shows none
    mailbox: str = ""  # id of the account whose mailbox was proved in it, by a code that was mailed
    hint: str = ""  # the address that the product named or the person typed: what other sites may be told


def park(
    store: RedisStore,
    *,
    purpose: str,
    browser: str,
    receipt: str,
    now: float,
    random: Callable[[int], bytes],
    request: str = "",
    client_id: str = "",
    email: str = "",
    ui_locales: str = "",
    scopes: tuple[str, ...] = (),
    connection: str = "",
    domain: str = "",
    fresh: bool = False,
    max_age: int | None = None,
    acr_values: tuple[str, ...] = (),
    demands_two: bool = False,
    silent: bool = False,
    asked_silently: bool = False,
    hint: str = "",
) -> str:
    """Park a request for the browser whose cookie is ``browser``; return its handle. One round trip."""
    handle = base64.urlsafe_b64encode(random(18)).decode()
    expires = int(now) + LIFETIME
    fields: dict[str, str | int] = {
        "purpose": purpose,
        "request": request,
        "client_id": client_id,
        "receipt": receipt,
        "created": int(now),
        "expires": expires,
        "browser": token_hash(browser),
        "email": email,
        "ui_locales": ui_locales,
        "scopes": " ".join(scopes),
        "connection": connection,
        "domain": domain,
        "fresh": int(fresh),
        "max_age": "" if max_age is None else max_age,
        "acr_values": " ".join(acr_values),
        "demands_two": int(demands_two),
        "silent": int(silent),
        "asked_silently": "yes" if asked_silently else "",
        "hint": hint,
    }
    flat = [part for pair in fields.items() for part in pair]
    store.call("idp_pending_park", _key(handle), expires, *flat)
    return handle


def find(store: RedisStore, handle: str, browser: str, now: float, **notes: str) -> Pending:
    """Find the pending login and, in the same round trip, note ``email``, ``keep``, ``session``, ``asked``, ``consent``, ``failed``,
    ``arrival``, ``newcomer``, ``proving``, ``invited``, ``asked_silently``, ``half``, ``second``, ``mailbox`` or ``hint``.

    :raises PageError: it is unknown or over (``pending_unknown``), or it began in another browser
        (``pending_foreign_browser``).
    """
    flat = [part for pair in notes.items() for part in pair]
    return _pending(handle, store.call("idp_pending_find", _key(handle), token_hash(browser), now, *flat))


def take(store: RedisStore, handle: str, browser: str, now: float) -> Pending:
    """Find and delete: of several that try, exactly one gets it; the others see ``pending_unknown``."""
    return _pending(handle, store.call("idp_pending_take", _key(handle), token_hash(browser), now))


def _key(handle: str) -> str:
    return f"pending:{{{token_hash(handle)}}}"


def _pending(handle: str, answer: list[object]) -> Pending:
    match answer:
        case ["found", list(record)]:
            fields = dict(zip(record[::2], record[1::2], strict=True))
        case ["foreign"]:
            raise PageError("pending_foreign_browser")
        case _:
            raise PageError("pending_unknown")
    return Pending(
        handle=handle,
        purpose=fields["purpose"],
        request=fields["request"],
        client_id=fields["client_id"],
        receipt=fields["receipt"],
        created=int(fields["created"]),
        email=fields["email"],
        keep=fields.get("keep") == "yes",
        session=fields.get("session", ""),
        scopes=tuple(fields["scopes"].split()),
        asked=fields.get("asked", ""),
        consent=fields.get("consent", ""),
        ui_locales=fields["ui_locales"],
        connection=fields["connection"],
        domain=fields["domain"],
        fresh=fields["fresh"] == "1",
        max_age=int(fields["max_age"]) if fields["max_age"] else None,
        acr_values=tuple(fields["acr_values"].split()),
        demands_two=fields.get("demands_two") == "1",
        silent=fields["silent"] == "1",
        failed=fields.get("failed", ""),
        arrival=fields.get("arrival", ""),
        newcomer=fields.get("newcomer", ""),
        proving=fields.get("proving") == "yes",
        invited=fields.get("invited") == "yes",
        asked_silently=fields.get("asked_silently") == "yes",
        half=fields.get("half", ""),
        second=fields.get("second") == "yes",
        mailbox=fields.get("mailbox", ""),
        hint=fields.get("hint", ""),
    )
