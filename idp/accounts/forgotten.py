"""A forgotten password: which mail an address gets, and the link in it that sets another one. A working.

Every address gets a mail, whoever has an account here, for the same work: what to do stands in the mailbox alone. The link is for
one account as it stands when it is asked for; only the newest one counts, for half an hour, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session as Transaction

from idp.accounts.lifecycle import set_password, wipe_unproven
from idp.accounts.linking import verify_address
from idp.accounts.mailed_links import RESET, find_newest_link, make_link, take_link
from idp.accounts.ways import Named, provider_named
from idp.enforcement import OwnDoor, own_door
from idp.mail import check_recipient, queue_mail
from idp.masking import mask_email
from idp.models import Account, Company, Email, Invitation, Link, Member, Password
from idp.redis_store import token_hash
from idp.sealing import Sealer

PATH = "/reset"
LIFETIME = 30 * 60  # seconds


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody has forgotten the password of an address.

    :ivar address: canonical.
    :ivar language: of a mail to somebody, by what they have chosen (None: nothing is known of it).
    :ivar journey: what the link has to bring back: the receipt and the pending login (``receipt``, ``p``).
    """

    address: str
    language: Callable[[str | None], str]
    journey: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Means:
    """What a mail with a link is made with.

    :ivar providers: the social providers that there are, by key.
    :ivar now: seconds since 1970.
    """

    providers: Mapping[str, Named]
    sealer: Sealer
    now: float
    random: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Reset:
    """A link that still counts: whose password it sets.

    :ivar address: of the account, as the person writes it.
    :ivar by_recovery: the mail went to the recovery address, so it proves nothing about the other one.
    :ivar journey: see ``Asked``.
    """

    account_id: str
    address: str
    by_recovery: bool
    journey: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Queued:
    """The mail to the address that was asked for. ``name`` says what its owner has here: it is never shown."""

    name: str
    recipient: str


def answer_forgotten(db: Transaction, asked: Asked, means: Means) -> Queued:
    """Queue the mail that says how its owner gets in: with a link, where a password is what opens the account. The same
    statements for every address.

    Whoever calls it bounds how many there can be: none is dropped here, since a stranger could else use up the owner's.
    """
    known = find_person(db, Email.canonical == asked.address)
    account_id = known.id if known is not None else ""
    own = own_door(db, asked.address, account_id, "password")
    social = own_door(db, asked.address, account_id, "social")
    doors = set(db.scalars(select(Link.door).where(Link.account_id == account_id)))
    providers = sorted(provider_named(door, means.providers) for door in doors & means.providers.keys())
    name, values = _mail(known, own, providers if social.opens else [], by_company="company" in doors)
    by_recovery = name == "reset_password" and known is not None and _recovers(known)
    # Made for everybody, and kept by nobody who is not sent it.
    secret = make_link(
        db,
        purpose=RESET,
        account_id=account_id if name == "reset_password" else None,
        facts={"state": _state(known), "by_recovery": by_recovery, **asked.journey},
        lifetime=LIFETIME,
        now=means.now,
        random=means.random,
    )
    recipient = check_recipient(known.address if known is not None else asked.address)
    language = asked.language(known.locale if known is not None else None)
    links = {"reset_password": f"{PATH}?t={secret}", "no_account": "/login"}
    if by_recovery and known is not None:
        _queue(db, means, "reset_password", known.recovery_email, language, links["reset_password"], values)
        name, values = "reset_at_recovery", {"recovery": mask_email(known.recovery_email)}
    _queue(db, means, name, recipient, language, links.get(name, "/login"), values)
    return Queued(name, recipient)


def find_reset(db: Transaction, secret: str, now: float, *, hold: bool = False) -> Reset | None:
    """The account whose password a link sets; None when the link is over: used, too old, not the newest, or the account is no
    longer as it was.

    ``hold``: what was found stays so until the transaction ends.
    """
    link = find_newest_link(db, secret, RESET, now)
    if link is None:
        return None
    if hold:
        db.get_one(Account, link.account_id, with_for_update=True, populate_existing=True)
    known = find_person(db, Email.account_id == link.account_id)
    if known is None or _state(known) != link.facts["state"]:
        return None
    if not own_door(db, known.canonical, known.id, "password", hold=hold).opens:
        return None
    journey = {name: link.facts[name] for name in ("receipt", "p")}
    return Reset(known.id, known.address, link.facts["by_recovery"], journey)


def reset_password(db: Transaction, secret: str, password_hash: str, *, now: float) -> Reset | None:
    """Use a link: its account has the new password, and everything that is open in it ends. Of several that try, one does it.

    Whoever opens the link has the mailbox: an address that nobody had proved is proved by it, and what its maker had set is gone.

    :returns: None when the link is over; nothing has been done then.
    """
    reset = find_reset(db, secret, now, hold=True)
    # The account is held first and the link taken then, in the order of all who end an account's links.
    if reset is None or take_link(db, secret, RESET, now) is None:
        return None
    account_id = reset.account_id
    if not reset.by_recovery:
        canonical = db.scalars(select(Email.canonical).where(Email.account_id == account_id, Email.primary)).one()
        wipe_unproven(db, account_id, canonical, now=now)
        verify_address(db, account_id, canonical, now=now)
    set_password(db, db.get_one(Account, account_id), password_hash, actor=f"person:{account_id}", now=now)
    return reset


def state_of(db: Transaction, account_id: str) -> str:
    """What an account is like, so far as a link to get into it rests on that; two that are equal are the same to it."""
    return _state(find_person(db, Email.account_id == account_id))


def find_person(db: Transaction, which: Any) -> Row[*tuple[Any, ...]] | None:
    """What the mail to an address, and the link in it, depend on. One statement, whoever has it."""
    return db.execute(
        select(
            Account.id,
            Account.state,
            Account.locale,
            Account.recovery_email,
            Account.recovery_verified_at,
            Email.address,
            Email.canonical,
            Email.verified_at,
            Password.hash,
            Password.changed_at,
            Member.prepared,
            Company.name.label("company"),
            (Invitation.account_id.is_not(None) & Invitation.accepted_at.is_(None)).label("invited"),
        )
        .join_from(Account, Email)
        .outerjoin(Password, Password.account_id == Account.id)
        .outerjoin(Member, Member.account_id == Account.id)
        .outerjoin(Company, Company.id == Member.company_id)
        .outerjoin(Invitation, Invitation.account_id == Account.id)
        .where(which)
    ).first()


def _mail(
    known: Row[*tuple[Any, ...]] | None, own: OwnDoor, providers: list[str], *, by_company: bool
) -> tuple[str, dict[str, str]]:
    """Which mail it is, and its values."""
    closed_by = own.closed_by.name if own.closed_by is not None else ""
    if known is not None and known.state != "active":
        return "account_suspended", {}
    if not own.opens:
        return "reset_elsewhere", _ways(employer=closed_by, providers=providers)
    if known is None:
        return "no_account", {}
    employer = known.company or ""
    waits = known.invited or known.prepared  # for somebody who has never been here
    if known.hash is None and waits:
        return "reset_elsewhere", _ways(employer=employer, invited=known.invited)
    # What is linked to an account whose address nobody has proved need not be its owner's.
    opened = providers or (employer and by_company)
    if known.hash is None and opened and known.verified_at is not None:
        return "reset_elsewhere", _ways(employer=employer if by_company else "", providers=providers)
    return "reset_password", {"person": known.address}


def _ways(*, employer: str, providers: list[str] | None = None, invited: bool = False) -> dict[str, str]:
    return {"employer": employer, "providers": ", ".join(providers or ()), "invited": "yes" if invited else ""}


def _recovers(known: Row[*tuple[Any, ...]]) -> bool:
    """Whether the mail goes to the recovery address. Never for who has not proved their own: they could set any."""
    return known.recovery_verified_at is not None and known.verified_at is not None


def _state(known: Row[*tuple[Any, ...]] | None) -> str:
    """What an account is like, so far as a link rests on it. A sign-in that only hashes the password anew ends the link too."""
    if known is None:
        return ""
    return token_hash(
        "\n".join(
            map(
                str,
                (
                    known.state,
                    known.canonical,
                    known.verified_at,
                    known.hash,
                    known.changed_at,
                    known.recovery_email,
                    known.recovery_verified_at,
                ),
            )
        )
    )


def _queue(
    db: Transaction, means: Means, name: str, recipient: str, language: str, link: str, values: Mapping[str, Any]
) -> None:
    queue_mail(
        db,
        name=name,
        recipient=recipient,
        language=language,
        now=means.now,
        sealer=means.sealer,
        secrets={"link": link},
        always=True,
        **values,
    )
