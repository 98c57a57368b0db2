"""The life of an account: made, changed, suspended, taken back; and how that reaches sessions and grants.

SQL is told first, together with the audit record and a Revocation row. ``apply_revocations`` then ends or rewrites what
Redis holds, at once by whoever acted and every second by the worker, until it is done: within five seconds, or as soon
as Redis is back.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Select, delete, exists, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as Transaction
from sqlalchemy.orm import object_session

from idp import audit, grants
from idp.accounts import sessions
from idp.accounts.identity import Address, read_address
from idp.accounts.mailed_links import end_links
from idp.accounts.seats import seats_of
from idp.accounts.second_factors import forget_browsers
from idp.accounts.standard_claims import NAMES, WrongClaim, check_claim
from idp.clients import Clients
from idp.companies import company_claim
from idp.database import Database
from idp.models import (
    Account,
    Consent,
    Device,
    Email,
    EmailChange,
    HeldAddress,
    Link,
    MailedLink,
    Passkey,
    Password,
    RecoveryCode,
    Revocation,
    Totp,
)
from idp.redis_store import RedisStore
from idp.search_terms import NAMES as NAMED_BY
from idp.search_terms import write_terms

AT_ONCE = 100  # revocations that are applied in one go
SESSIONS = ("account", "door", "others")  # kinds of revocations that end sessions


class AddressTaken(Exception):
    """Another account has this address."""


class AddressHeld(AddressTaken):
    """Another account had this address until a few days ago, and may take it back. Trying once more changes nothing."""


def create_account(
    db: Transaction,
    address: Address,
    *,
    claims: Mapping[str, Any],
    verified: bool,
    password_hash: str | None,
    actor: str,
    now: float,
    random: Callable[[int], bytes],
) -> Account:
    """Make an account. ``claims`` are standard claims other than those about the address; ``actor`` as in the audit.

    :raises AddressTaken: also when two claim the address at the same moment; the transaction is then over.
    :raises WrongClaim: see ``check_claim``.
    """
    account = Account(
        id=random(16).hex(),
        sub=base64.urlsafe_b64encode(random(16)).decode().rstrip("="),
        created_at=int(now),
        updated_at=int(now),
        profile={},
        emails=[
            Email(
                address=address.written,
                canonical=address.canonical,
                domain=address.domain,
                primary=True,
                verified_at=int(now) if verified else None,
            )
        ],
    )
    if password_hash is not None:
        account.password = Password(hash=password_hash, changed_at=int(now))
    _write_claims(account, claims)
    db.add(account)
    _flush_address(db, account, now)
    write_terms(db, account)
    audit.record(db, audit.Event.person_created, now=now, actor=actor, account_id=account.id)
    if password_hash is not None:
        audit.record(db, audit.Event.person_password_set, now=now, actor=actor, account_id=account.id)
    return account


def find_account(db: Transaction, canonical: str) -> Account | None:
    """Find an account by the canonical form of one of its addresses."""
    return db.scalar(select(Account).join(Email).where(Email.canonical == canonical))


def address_is_free(db: Transaction, canonical: str, account_id: str, now: float) -> bool:
    """Whether no other account has an address, or holds it because it had it lately."""
    had = exists().where(Email.canonical == canonical, Email.account_id != account_id)
    return not db.scalar(select(had)) and not _held(db, canonical, account_id, now)


def primary_email(account: Account) -> Email:
    """The address that mails go to and that products are told."""
    return next(email for email in account.emails if email.primary)


def snapshot(account: Account) -> dict[str, Any]:
    """The claims that we know of a person, as sessions and grants carry them. Never ``sub`` (P-08)."""
    db = object_session(account)
    if db is None:
        raise ValueError("an account is read in its transaction")
    email = primary_email(account)
    known = {name: account.profile[name] for name in NAMES if name in account.profile}
    if account.locale:
        known["locale"] = account.locale
    if "phone_number" in known:
        known.setdefault("phone_number_verified", False)
    company = company_claim(db, account.id)
    if company is not None:
        known["company"] = company
    seats = seats_of(db, account.id)
    if seats:
        known["seats"] = seats  # of all products: what one is told is picked in oidc/claims.py
    return known | {
        "email": email.address,
        "email_verified": email.verified_at is not None,
        "updated_at": account.updated_at,
    }


def change_claims(db: Transaction, account: Account, changes: Mapping[str, Any], *, actor: str, now: float) -> None:
    """Write standard claims; None removes one. A new address or phone number is unverified unless said otherwise.

    :raises WrongClaim: see ``check_claim``; nothing is changed then.
    :raises AddressTaken: the transaction is then over.
    """
    about_email = {name: value for name, value in changes.items() if name in ("email", "email_verified")}
    _write_claims(account, {name: value for name, value in changes.items() if name not in about_email})
    _write_email(account, about_email, now)
    account.updated_at = int(now)
    _flush_address(db, account, now)
    if "email" in changes or NAMED_BY & changes.keys():
        write_terms(db, account)
    db.add(Revocation(kind="person", account_id=account.id, created_at=int(now)))
    audit.record(
        db, audit.Event.person_changed, now=now, actor=actor, account_id=account.id, claims=" ".join(sorted(changes))
    )


def suspend(db: Transaction, account: Account, *, actor: str, now: float, reason: str = "") -> None:
    """Let nobody sign in to the account any more, and end all that is open. ``reason``: for whoever reads the audit."""
    was, account.state, account.closed_at = account.state, "suspended", None
    event, facts = audit.Event.person_suspended, {"was": was} | ({"reason": reason} if reason else {})
    end_everything(db, account.id, event=event, actor=actor, now=now, **facts)


def reactivate(db: Transaction, account: Account, *, actor: str, now: float) -> None:
    """Take a suspension back, or open what its owner has closed."""
    was, account.state, account.closed_at = account.state, "active", None
    audit.record(db, audit.Event.person_reactivated, now=now, actor=actor, account_id=account.id, was=was)


def set_password(
    db: Transaction, account: Account, password_hash: str, *, actor: str, now: float, keep: str | None = None
) -> None:
    """Give the account another password, or its first, and end all that is open: who knew the old one may hold it.

    ``keep``: as in ``end_everything``.
    """
    if account.password is None:
        account.password = Password(hash=password_hash, changed_at=int(now))
    else:
        account.password.hash, account.password.changed_at = password_hash, int(now)
    end_everything(db, account.id, event=audit.Event.person_password_set, actor=actor, now=now, keep=keep)


def accept_terms(db: Transaction, account: Account, version: str, *, now: float) -> None:
    """A person accepts the terms, in the version that they were shown; "": there are none."""
    if not version:
        return
    was, account.terms_version, account.terms_accepted_at = account.terms_version, version, int(now)
    audit.record(
        db,
        audit.Event.person_terms_accepted,
        now=now,
        actor=f"person:{account.id}",
        account_id=account.id,
        version=version,
        **({"was": was} if was else {}),
    )


def end_everything(
    db: Transaction,
    account_id: str,
    *,
    event: audit.Event,
    actor: str,
    now: float,
    keep: str | None = None,
    **facts: str,
) -> None:
    """End all sessions and all grants of a person, offline ones too; products are told. ``facts``: for the audit.

    ``keep``: the id of the one session that goes on, in which the person has just proved who they are; its grants end too.
    Links that would set a forgotten password, a recovery address or another address end as well: who was thrown out may have asked for them.
    And no browser is one that need not be asked for the second factor: theirs may be.
    """
    end_links(db, account_id, now)
    forget_browsers(db, account_id)
    db.execute(delete(EmailChange).where(EmailChange.account_id == account_id))
    kind = "account" if keep is None else "others"
    db.add(Revocation(kind=kind, account_id=account_id, client_id=keep, created_at=int(now)))
    audit.record(db, event, now=now, actor=actor, account_id=account_id, **facts)


def wipe_unproven(db: Transaction, account_id: str, canonical: str, *, now: float) -> bool:
    """Somebody has proved by its mail that an address is theirs. If nobody had before, whoever made the account need not be
    they: all by which its maker could come back is taken out, and whoever is signed in to it is signed out (pre-hijacking, RC-10).

    The address itself is noted as proved by ``linking.verify_address``, whether anything was wiped or not.

    :param canonical: the address, in its canonical form.
    :returns: whether nobody had proved it, so that it was done.
    """
    verified_at = db.scalar(
        select(Email.verified_at).where(Email.account_id == account_id, Email.canonical == canonical)
    )
    if verified_at is not None:
        return False
    for table in (Password, Passkey, Totp, RecoveryCode, Link, EmailChange, Device, Consent):
        db.execute(delete(table).where(table.account_id == account_id))
    under_way = update(MailedLink).where(MailedLink.account_id == account_id, MailedLink.used_at.is_(None))
    db.execute(under_way.values(used_at=int(now)))
    # Who made the account has accepted the terms in nobody's name but their own.
    nothing = {"recovery_email": None, "recovery_verified_at": None, "terms_version": None, "terms_accepted_at": None}
    db.execute(update(Account).where(Account.id == account_id).values(nothing))
    db.expire_all()
    end_everything(db, account_id, event=audit.Event.person_reclaimed, actor=f"person:{account_id}", now=now)
    return True


def withdraw_consent(db: Transaction, account: Account, client_id: str, *, actor: str, now: float) -> bool:
    """Take back what a person has allowed a product, and end its grants. False if nothing was allowed."""
    consent = db.scalar(select(Consent).where(Consent.account_id == account.id, Consent.client_id == client_id))
    if consent is None:
        return False
    was = " ".join(consent.scopes)
    db.delete(consent)
    db.add(Revocation(kind="consent", account_id=account.id, client_id=client_id, created_at=int(now)))
    event = audit.Event.person_consent_withdrawn
    audit.record(db, event, now=now, actor=actor, account_id=account.id, client=client_id, was=was)
    return True


def apply_revocations(database: Database, store: RedisStore, clients: Clients, now: float) -> int:
    """Bring to Redis what SQL says must end or change there; return how many revocations were done.

    Whatever is interrupted is repeated by the next call.

    :raises Unavailable: Redis or SQL does not answer.
    """
    with database.reading() as db:
        if db.scalar(_waiting().limit(1)) is None:
            return 0  # asked every second: without taking the writers' place
    with database.transaction() as db:
        rows = db.scalars(_waiting().limit(AT_ONCE).with_for_update()).all()
        for row in rows:
            if row.kind in SESSIONS:
                live = _ending(store, row.kind, row.account_id, row.client_id, now)
                sessions.queue_logout_notices(db, store, live, clients, now)
            elif row.kind == "person":
                # Under the account's lock, so that an older state never overwrites a newer one.
                account = db.get(Account, row.account_id, with_for_update=True)
                if account is not None:
                    sessions.rewrite_person(store, account.id, snapshot(account))
                    grants.rewrite_person(store, account.id, snapshot(account))
        todo = [(row.id, row.kind, row.account_id, row.client_id) for row in rows]
    # Ended only after those who must hear of it are written down: see sessions.queue_logout_notices.
    for _, kind, account_id, client_id in todo:
        if kind in SESSIONS:
            sessions.end_sessions(store, _ending(store, kind, account_id, client_id, now))
        if kind in SESSIONS:  # by whatever door what was granted offline came: its session may be long over
            grants.end_account_grants(store, account_id)
        elif kind == "consent":
            sessions.set_consent(store, account_id, str(client_id), ())
            grants.end_account_grants(store, account_id, client_id)
    with database.transaction() as db:
        done = update(Revocation).where(Revocation.id.in_([row[0] for row in todo]))
        db.execute(done.values(done_at=int(now)))
    return len(todo)


def _ending(store: RedisStore, kind: str, account_id: str, which: str | None, now: float) -> list[sessions.Session]:
    found = sessions.sessions_of(store, account_id, now)
    match kind:
        case "door":
            return [one for one in found if one.door == which]
        case "others":
            return [one for one in found if one.id != which]
    return found


def _waiting() -> Select[Revocation]:
    return select(Revocation).where(Revocation.done_at.is_(None)).order_by(Revocation.id)


def _write_claims(account: Account, changes: Mapping[str, Any]) -> None:
    checked = {name: None if value is None else check_claim(name, value) for name, value in changes.items()}
    if "locale" in checked:
        account.locale = checked.pop("locale")
    if "phone_number" in checked:
        checked.setdefault("phone_number_verified", False if checked["phone_number"] else None)
    known = account.profile | checked
    if "phone_number" not in {name for name, value in known.items() if value is not None} and known.get(
        "phone_number_verified"
    ):
        raise WrongClaim("phone_number_verified", "there is no phone_number.")
    account.profile = {name: value for name, value in known.items() if value is not None}


def _write_email(account: Account, changes: Mapping[str, Any], now: float) -> None:
    email = primary_email(account)
    verified = changes.get("email_verified", False if "email" in changes else email.verified_at is not None)
    if not check_claim("email_verified", verified):
        email.verified_at = None
    elif email.verified_at is None or "email" in changes:
        email.verified_at = int(now)
    if "email" in changes:
        if changes["email"] is None:
            raise WrongClaim("email", "cannot be removed: the person signs in with it.")
        text = check_claim("email", changes["email"])
        try:
            address = read_address(text)
        except ValueError as error:
            raise WrongClaim("email", str(error)) from error
        email.address, email.canonical, email.domain = address.written, address.canonical, address.domain


def _flush_address(db: Transaction, account: Account, now: float) -> None:
    try:
        db.flush()
    except IntegrityError as error:
        raise AddressTaken from error
    # Asked after the address was written: whoever frees one holds it in the same transaction.
    if _held(db, primary_email(account).canonical, account.id, now):
        raise AddressHeld


def _held(db: Transaction, canonical: str, account_id: str, now: float) -> bool:
    held = HeldAddress.canonical == canonical, HeldAddress.account_id != account_id, HeldAddress.until > now
    return bool(db.scalar(select(exists().where(*held))))
