"""What happens to accounts when somebody comes through a social provider: opened, linked, made. A working.

Whether it may happen is decided in ``linking.decide``; here it is carried out, in the caller's transaction. A newcomer never
becomes a member of a company by it, and no company's closed door is passed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from sqlalchemy.orm import Session as Transaction

from idp.accounts.identity import read_address
from idp.accounts.lifecycle import AddressHeld, accept_terms, create_account, wipe_unproven
from idp.accounts.linking import (
    Decision,
    Found,
    New,
    Proof,
    ProveFirst,
    Refused,
    decide,
    find_email_owner,
    find_linked,
    link,
    link_social,
    verify_address,
)
from idp.accounts.standard_claims import told_name
from idp.enforcement import own_door
from idp.errors import PageError
from idp.login.arrival import Newcomer
from idp.login.company_account import Proved
from idp.models import Account
from idp.sealing import Sealer


@dataclass(frozen=True, slots=True)
class Closed:
    """A company signs its people in itself. ``by_address``: whoever has the newcomer's address, so their company's door can be
    found by it."""

    company: str
    by_address: bool


@dataclass(frozen=True, slots=True)
class Accepted:
    """A newcomer wants an account. ``version``: of the terms that they accept; "" where there are none."""

    version: str


@dataclass(frozen=True, slots=True)
class Linking:
    """What a link needs beside its two ends: what the provider is called, the mail's language, and the means.

    :ivar now: seconds since 1970.
    """

    provider: str
    language: str
    sealer: Sealer
    now: float
    random: Callable[[int], bytes]


def settle(
    db: Transaction,
    who: Newcomer,
    proved: Proved | None,
    accepted: Accepted | None,
    *,
    own_issuer: str,
    linking: Linking,
) -> Account | ProveFirst | New | Closed:
    """Find or make the account of who comes, and hold its row; or say what is missing.

    :raises PageError: they may not come in.
    :raises AddressTaken: somebody was faster, and the transaction is over: ask again in another one; likewise
        IntegrityError.
    """
    decision = look_at(db, who, own_issuer=own_issuer)
    match decision:
        case Closed():
            return decision
        case Refused(reason):
            raise PageError(reason, status=403)
        case Found(account_id):
            pass
        case ProveFirst(account_id, proofs):
            if proved is None or not account_id or proved.account_id != account_id or proved.by not in proofs:
                return decision
            closed = link_newcomer(db, account_id, who, proved.by, linking)
            if closed is not None:
                return closed
        case New():
            if accepted is None:
                return decision
            account_id = _create(db, who, accepted, linking)
        case _:
            assert_never(decision)
    return db.get_one(Account, account_id)


def look_at(db: Transaction, who: Newcomer, *, own_issuer: str) -> Decision | Closed:
    """The decision about who comes, as things stand now; what it rests on is held.

    Before an account is proved, only what their own addresses tell is told: never what else the account belongs to.
    """
    linked = find_linked(db, who.identity, own_issuer=own_issuer)
    owner = find_email_owner(db, who.address) if linked is None and who.address else None
    if owner is not None:  # made or linked by this identity between the two looks, perhaps: now its row is held
        linked = find_linked(db, who.identity, own_issuer=own_issuer)
    decision = decide(who.identity, linked, owner, own_issuer=own_issuer, address_proved=bool(who.address))
    if isinstance(decision, Refused):
        return decision
    return _closed(db, who, decision.account_id if isinstance(decision, Found) else None) or decision


def closed_to(db: Transaction, address: str) -> Closed | None:
    """The company that signs in everybody with an address (canonical), whoever has it."""
    door = own_door(db, address, None, "social", hold=True)
    return None if door.closed_by is None else Closed(door.closed_by.name, by_address=True)


def link_newcomer(db: Transaction, account_id: str, who: Newcomer, by: Proof, linking: Linking) -> Closed | None:
    """Link who comes to an account that they have proved to be theirs; or say which company does not let them in here.

    :raises IntegrityError: see ``linking.link``.
    """
    closed = _closed(db, who, account_id)
    if closed is not None:
        return closed
    if by == "mail":
        wipe_unproven(db, account_id, who.address, now=linking.now)
    link_social(
        db,
        account_id,
        who.identity,
        proof=_proof(who, by),
        provider=linking.provider,
        language=linking.language,
        sealer=linking.sealer,
        now=linking.now,
        random=linking.random,
    )
    verify_address(db, account_id, who.address, now=linking.now)
    return None


def _closed(db: Transaction, who: Newcomer, account_id: str | None) -> Closed | None:
    for address in dict.fromkeys((who.address, who.identity.email or "")):
        door = own_door(db, address, account_id, "social", hold=True)
        if not door.opens and door.closed_by is not None:
            return Closed(door.closed_by.name, by_address=door.for_address is not None)
    return None


def _proof(who: Newcomer, by: Proof | str) -> dict[str, str]:
    return {"by": by, "address": who.address, "address_by": who.known_by}


def _create(db: Transaction, who: Newcomer, accepted: Accepted, linking: Linking) -> str:
    try:
        account = create_account(
            db,
            read_address(who.address),
            claims=told_name(who.identity.name),
            verified=True,
            password_hash=None,
            actor=f"provider:{who.identity.door}",
            now=linking.now,
            random=linking.random,
        )
    except AddressHeld:  # it is theirs now, so they may be told
        raise PageError("address_held", status=403) from None
    accept_terms(db, account, accepted.version, now=linking.now)
    link(db, account.id, who.identity, proof=_proof(who, who.known_by), now=linking.now)
    return account.id
