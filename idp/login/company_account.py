"""What happens to accounts when somebody comes from their company: made, taken over, linked, joined. A working.

Whether it may happen is decided in ``linking.decide``; here it is carried out, in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from sqlalchemy import exists, select
from sqlalchemy.orm import Session as Transaction

from idp.accounts.identity import read_address
from idp.accounts.lifecycle import AddressHeld, create_account, wipe_unproven
from idp.accounts.linking import (
    Decision,
    Found,
    New,
    Proof,
    ProveFirst,
    Refused,
    Welcome,
    decide,
    find_email_owner,
    find_linked,
    link,
    verify_address,
)
from idp.accounts.standard_claims import told_name
from idp.company_policy import policy_of_company
from idp.company_settings import defaults_of
from idp.errors import PageError
from idp.login.arrival import Arrival
from idp.members import add_member, note_arrived
from idp.models import Account, CompanyDomain, Connection, Member


@dataclass(frozen=True, slots=True)
class Proved:
    """That who arrives has just proved an account to be theirs, and how."""

    account_id: str
    by: Proof


def settle(
    db: Transaction,
    arrival: Arrival,
    proved: Proved | None,
    *,
    own_issuer: str,
    now: float,
    random: Callable[[int], bytes],
) -> Account | ProveFirst:
    """Find or make the account of who arrives, and hold its row; or say which one must be proved first.

    :raises PageError: they may not come in.
    :raises CompanyRefused: likewise, by what the company has decided meanwhile.
    :raises AddressTaken: somebody was faster, and the transaction is over: ask again in another one; likewise
        IntegrityError.
    """
    decision = decision_about(db, arrival, own_issuer=own_issuer)
    match decision:
        case Refused(reason):
            raise PageError(reason, status=403)
        case ProveFirst(account_id, proofs):
            if proved is None or proved.account_id != account_id or proved.by not in proofs:
                return decision
            link_proved(db, account_id, arrival, proved.by, now)
        case New():
            account_id = _create(db, arrival, now, random)
            _link(db, account_id, arrival, "company", now)
        case Found(account_id, prepared):
            if prepared:
                _link(db, account_id, arrival, "prepared", now)
                note_arrived(db, account_id)
        case _:
            assert_never(decision)
    _join(db, account_id, arrival, now)
    return db.get_one(Account, account_id)


def decision_about(db: Transaction, arrival: Arrival, *, own_issuer: str) -> Decision:
    """The decision about who arrives, as things stand now. The account that it names is held.

    :raises CompanyRefused: ``company_unknown``: the company is gone.
    """
    identity = arrival.identity
    welcome = Welcome(arrival.company_id, policy_of_company(db, arrival.company_id).jit)
    linked = find_linked(db, identity, own_issuer=own_issuer)
    needed = linked is None or linked.company_id is None
    owner = find_email_owner(db, identity.email) if identity.email and needed else None
    return decide(identity, linked, owner, own_issuer=own_issuer, welcome=welcome)


def check_stands(db: Transaction, arrival: Arrival) -> None:
    """Check that what a company's answer rested on when it came still stands: minutes, or a mail, may lie in between.

    :raises PageError: ``connection_not_live``: nobody comes through the connection any more; ``company_domain_foreign``: the
        address's domain is the company's no more.
    """
    domain = (arrival.identity.email or "").rpartition("@")[2]
    proved = exists().where(
        CompanyDomain.held == domain,
        CompanyDomain.status == "verified",
        CompanyDomain.company_id == Connection.company_id,
    )
    stands = select(Connection.state, proved).where(
        Connection.id == arrival.session.connection, Connection.company_id == arrival.company_id
    )
    state, owned = db.execute(stands).one_or_none() or ("removed", False)
    if state != "live":
        raise PageError("connection_not_live", status=403)
    if not owned:
        raise PageError("company_domain_foreign", status=403)


def link_proved(db: Transaction, account_id: str, arrival: Arrival, by: Proof, now: float) -> None:
    """Link who arrives to an account that they have proved to be theirs, and let them belong to the company.

    :raises IntegrityError: see ``linking.link``.
    """
    if by == "mail":
        wipe_unproven(db, account_id, arrival.identity.email or "", now=now)
    _link(db, account_id, arrival, by, now)
    _join(db, account_id, arrival, now)


def _link(db: Transaction, account_id: str, arrival: Arrival, by: str, now: float) -> None:
    proof = {"by": by, "company": arrival.company_id, "connection": arrival.session.connection}
    link(db, account_id, arrival.identity, proof=proof, now=now)
    # The company that has proved the domain says whose address it is.
    verify_address(db, account_id, arrival.identity.email or "", now=now)


def _create(db: Transaction, arrival: Arrival, now: float, random: Callable[[int], bytes]) -> str:
    identity = arrival.identity
    try:
        account = create_account(
            db,
            read_address(identity.email or ""),
            claims=defaults_of(db, arrival.company_id) | told_name(identity.name),
            verified=True,
            password_hash=None,
            actor=f"company:{arrival.company_id}",
            now=now,
            random=random,
        )
    except AddressHeld:  # it is theirs now, so they may be told
        raise PageError("address_held", status=403) from None
    return account.id


def _join(db: Transaction, account_id: str, arrival: Arrival, now: float) -> None:
    if db.get(Member, account_id) is None:  # the company vouches by its sign-in, and its policy lets in whom it sends
        actor = f"company:{arrival.company_id}"
        add_member(db, arrival.company_id, account_id, "member", actor=actor, now=now, vouched=True)
