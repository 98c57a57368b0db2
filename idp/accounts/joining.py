"""What a decision about an arriving identity makes true: the account is made, belongs to the company, and is linked.

Sign-ins and dry runs (``admin/dry_run.py``) do the same here, the one to stay and the other to be rolled back.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from sqlalchemy.orm import Session as Transaction

from idp.accounts.identity import Identity, read_address
from idp.accounts.lifecycle import create_account
from idp.accounts.linking import Found, New, Welcome, link, verify_address
from idp.accounts.standard_claims import WrongClaim, check_claim
from idp.companies import add_member, note_arrived
from idp.models import Account, Member


def join(
    db: Transaction,
    identity: Identity,
    decision: Found | New,
    welcome: Welcome | None,
    *,
    now: float,
    random: Callable[[int], bytes],
) -> Account:
    """The account that an identity opens, as it is from now on. ``welcome``: of the company whose door was used.

    :raises AddressTaken: New, but somebody has got an account with this address in this very moment; the transaction is over.
    :raises CompanyRefused: they cannot belong to the company, see ``add_member``; the transaction is over.
    """
    if isinstance(decision, New):
        account = _make(db, identity, now=now, random=random)
        proof = {"by": "first_sign_in"}
    else:
        account = db.get_one(Account, decision.account_id)
        proof = {"by": "prepared"} if decision.prepared else {}
    if proof:
        link(db, account.id, identity, proof=proof, now=now)
    if isinstance(decision, Found) and decision.prepared:
        verify_address(db, account.id, read_address(identity.email or "").canonical, now=now)
        note_arrived(db, account.id)
    if welcome is not None and db.get(Member, account.id) is None:
        # The company vouches by its own sign-in, and its policy (decide) lets whoever it sends belong to it.
        add_member(db, welcome.company_id, account.id, "member", actor="system", now=now, vouched=True)
    return account


def _make(db: Transaction, identity: Identity, *, now: float, random: Callable[[int], bytes]) -> Account:
    claims = {}
    if identity.name:
        with suppress(WrongClaim):  # a name that is none keeps nobody out
            claims["name"] = check_claim("name", identity.name)
    return create_account(
        db, read_address(identity.email or ""), claims=claims, verified=identity.email_verified, password_hash=None,
        actor="system", now=now, random=random,
    )  # fmt: skip
