"""Signing up: which mail an address gets, and the account that the link in it makes. A working.

No account exists before its address is proved, so nobody can wait in one that they made with somebody else's. Every address gets a mail,
whoever has an account here, for the same work: what to do stands in the mailbox alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session as Transaction

from idp.accounts.forgotten import Asked, Means, Queued, find_person
from idp.accounts.identity import Address, read_address
from idp.accounts.lifecycle import accept_terms, address_is_free, create_account
from idp.accounts.mailed_links import SIGN_UP, find_link, make_link, take_link
from idp.accounts.standard_claims import told_name
from idp.accounts.ways import provider_named
from idp.enforcement import own_door
from idp.mail import check_recipient, queue_mail
from idp.models import Account, Email, Link, MailedLink

PATH = "/verify"
LIFETIME = 24 * 3600  # seconds


@dataclass(frozen=True, slots=True)
class Verified:
    """A link that still counts: the address that whoever opens it has proved.

    :ivar journey: see ``forgotten.Asked``.
    """

    address: Address
    journey: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a person has chosen for their account. ``terms``: the version that they accept; "" where there are none."""

    password_hash: str
    name: str
    terms: str


def answer_sign_up(db: Transaction, asked: Asked, written: str, means: Means) -> Queued:
    """Queue the mail that asks for the proof of an address, or says to its owner how they sign in. The same statements for every
    address; whoever calls it bounds how many there can be.

    :param written: the address as it was typed.
    """
    known = find_person(db, Email.canonical == asked.address)
    account_id = known.id if known is not None else ""
    by_password = own_door(db, asked.address, account_id, "password").opens
    by_social = own_door(db, asked.address, account_id, "social").opens
    doors = set(db.scalars(select(Link.door).where(Link.account_id == account_id)))
    providers = sorted(provider_named(door, means.providers) for door in doors & means.providers.keys())
    # Made for everybody, and kept by nobody who is not sent it.
    secret = make_link(
        db,
        purpose=SIGN_UP,
        account_id=None,
        facts={"address": written, **asked.journey},
        lifetime=LIFETIME,
        now=means.now,
        random=means.random,
    )
    values: dict[str, Any] = {}
    name, link = "verify_address", f"{PATH}?t={secret}"
    if known is not None:
        name, link = "already_here", "/login"
        values = {
            "employer": known.company or "" if "company" in doors or not by_password else "",
            "providers": ", ".join(providers) if by_social else "",
            "password": "yes" if known.hash is not None and by_password else "",
            "invited": "yes" if known.invited else "",
        }
        if known.state != "active":
            name, values = "account_suspended", {}
    recipient = check_recipient(known.address if known is not None else asked.address)
    queue_mail(
        db,
        name=name,
        recipient=recipient,
        language=asked.language(known.locale if known is not None else None),
        now=means.now,
        sealer=means.sealer,
        secrets={"link": link},
        always=True,
        **values,
    )
    return Queued(name, recipient)


def find_verified(db: Transaction, secret: str, now: float) -> Verified | None:
    """The address that a link proves; None when the link is over: used, too old, or the address has an account by now, or
    has been left by one lately."""
    return _verified(db, find_link(db, secret, SIGN_UP, now), now)


def make_account(
    db: Transaction, secret: str, chosen: Chosen, *, now: float, random: Callable[[int], bytes]
) -> tuple[Account, Verified] | None:
    """Use a link: whoever opens it has the mailbox, and gets an account with its address. Of several that try, one does.

    :returns: None when the link is over; nothing has been done then.
    :raises AddressTaken: somebody was faster with the same address; the transaction is then over.
    """
    link = take_link(db, secret, SIGN_UP, now)
    verified = _verified(db, link, now)
    if verified is None:
        return None
    account = create_account(
        db,
        verified.address,
        claims=told_name(chosen.name),
        verified=True,
        password_hash=chosen.password_hash,
        actor="system",
        now=now,
        random=random,
    )
    accept_terms(db, account, chosen.terms, now=now)
    return account, verified


def _verified(db: Transaction, link: MailedLink | None, now: float) -> Verified | None:
    if link is None:
        return None
    address = read_address(link.facts["address"])
    if not address_is_free(db, address.canonical, "", now):
        return None
    return Verified(address, {name: link.facts[name] for name in ("receipt", "p")})
