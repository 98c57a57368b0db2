"""The ways by which a person signs in: listed, taken away by them, and a link undone from the mail that announced it. A working.

Accounts are never merged, so taking a link away leaves two whole identities: the account as it was, with the same ``sub``, and
the person at the provider, who is somebody new here at the next sign-in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from sqlalchemy import exists, select
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.accounts.identity import OWN_DOORS, passkey_way
from idp.accounts.lifecycle import end_everything, primary_email
from idp.enforcement import own_door
from idp.mail import queue_mail
from idp.models import Account, Company, Connection, Link, MailedLink, Member, Passkey, Password, Revocation
from idp.redis_store import token_hash
from idp.sealing import Sealer


@dataclass(frozen=True, slots=True)
class Way:
    """One way to sign in to an account.

    :ivar door: ``password``, ``passkey``, ``company`` or the key of a social provider.
    :ivar name: of a link that the person may take away; "" for the others. It says nothing about the link.
    :ivar who: what the provider called the person when it was linked, the name of the company, or what the person calls the
        passkey; "" where there is none.
    :ivar since: seconds since 1970; None: of a password, which says nothing of it here.
    :ivar by: how the account was proved then (``Link.proof``); "" where that is not the question.
    :ivar opens: whether it opens the account as things stand: the door is there, and no company has closed it.
    """

    door: str
    name: str = ""
    who: str = ""
    since: int | None = None
    by: str = ""
    opens: bool = True


@dataclass(frozen=True, slots=True)
class Unlinked:
    """The link is gone, and whoever came by its door is signed out."""

    door: str


@dataclass(frozen=True, slots=True)
class LastWay:
    """Nothing else would open the account."""


@dataclass(frozen=True, slots=True)
class NoSuchLink:
    """It was taken away already, or never was this person's."""


class Named(Protocol):
    """A provider as far as pages need it."""

    @property
    def name(self) -> str: ...


def provider_named(door: str, providers: Mapping[str, Named]) -> str:
    """What people call a social provider, also one that is configured no more; "" for the doors that have words of their own."""
    if door in providers:
        return providers[door].name
    return "" if door in OWN_DOORS else door


def ways_in(db: Transaction, account_id: str, providers: Collection[str]) -> list[Way]:
    """The ways into an account, the password first. ``providers``: the keys of the social providers that there are."""
    ways = []
    by_password = own_door(db, "", account_id, "password").opens  # and so by a passkey
    if db.scalar(select(exists().where(Password.account_id == account_id))):
        ways.append(Way("password", opens=by_password))
    passkeys = select(Passkey).where(Passkey.account_id == account_id).order_by(Passkey.id)
    for passkey in db.scalars(passkeys):
        ways.append(Way("passkey", who=passkey.name, since=passkey.created_at, opens=by_password))
    ways += _company_ways(db, account_id)
    social = own_door(db, "", account_id, "social").opens
    links = select(Link).where(Link.account_id == account_id, Link.door != "company").order_by(Link.created_at, Link.id)
    for link in db.scalars(links):
        ways.append(
            Way(
                link.door,
                name=_name(link),
                who=link.email or "",
                since=link.created_at,
                by=str(link.proof.get("by", "")),
                opens=social and link.door in providers,
            )
        )
    return ways


def unlink(
    db: Transaction, account_id: str, name: str, providers: Collection[str], *, now: float, actor: str | None = None
) -> Unlinked | LastWay | NoSuchLink:
    """Take away a link of a person's own, unless nothing else opens the account. ``actor``: who does it, if it is not the person.

    The account's row is held: of two that take the last two away at once, one is told that it is the last, and a sign-in by the
    link comes before, and is ended, or finds the link no more.
    """
    db.get_one(Account, account_id, with_for_update=True, populate_existing=True)
    link = next((one for one in _links(db, account_id) if _name(one) == name), None)
    if link is None:
        return NoSuchLink()
    if not any(way.opens and way.name != name for way in ways_in(db, account_id, providers)):
        return LastWay()
    door = link.door
    _remove(db, link, by="person" if actor is None else "support", now=now, actor=actor)
    db.add(Revocation(kind="door", account_id=account_id, client_id=door, created_at=int(now)))
    return Unlinked(door)


def tell_unlinked(
    db: Transaction, account_id: str, provider: str, *, by_support: bool, language: str, sealer: Sealer, now: float
) -> None:
    """Mail to the owner of an account that a link of theirs was taken away. ``provider``: what it is called, "" for their company's;
    ``language``: of the mail, unless the person has chosen one."""
    account = db.get_one(Account, account_id)
    queue_mail(
        db,
        name="unlinked",
        recipient=primary_email(account).canonical,
        language=account.locale or language,
        now=now,
        sealer=sealer,
        secrets={"link": "/me"},
        always=True,  # there are no more of them than links, and each of those cost a proof
        provider=provider,
        by_support="yes" if by_support else "",
        at=int(now),
    )


def is_last(db: Transaction, passkey: Passkey, providers: Collection[str]) -> bool:
    """Whether nothing but this passkey opens its account."""
    opening = [way.door for way in ways_in(db, passkey.account_id, providers) if way.opens]
    return opening == ["passkey"]


def remove_passkey(db: Transaction, passkey: Passkey, *, now: float) -> None:
    """Take a passkey away; its sessions end. The caller holds the account's row, and has asked ``is_last``."""
    way = passkey_way(passkey.credential_id)
    db.delete(passkey)
    db.flush()
    db.add(Revocation(kind="door", account_id=passkey.account_id, client_id=way, created_at=int(now)))


def find_undoable(db: Transaction, mailed: MailedLink) -> Link | None:
    """The link that a mail (purpose ``linking.UNDO``) has announced; None when it is gone already."""
    return db.scalar(
        select(Link).where(
            Link.account_id == mailed.account_id,
            Link.issuer == mailed.facts["issuer"],
            Link.subject == mailed.facts["subject"],
        )
    )


def undo(db: Transaction, mailed: MailedLink, *, now: float) -> bool:
    """Take back the link that a mail has announced, also if it is the last way in, and end all that is open: whoever made the
    link may be signed in.

    :returns: False when it is gone already; nothing has been done then.
    """
    account_id = mailed.account_id or ""
    db.get_one(Account, account_id, with_for_update=True)
    link = find_undoable(db, mailed)
    if link is None:
        return False
    _remove(db, link, by="mail", now=now)
    event = audit.Event.person_disowned_sign_in
    end_everything(db, account_id, event=event, actor=f"person:{account_id}", now=now)
    return True


def _remove(
    db: Transaction, link: Link, *, by: Literal["person", "mail", "support"], now: float, actor: str | None = None
) -> None:
    audit.record(
        db,
        audit.Event.person_unlinked,
        now=now,
        actor=actor or f"person:{link.account_id}",
        account_id=link.account_id,
        door=link.door,
        by=by,
    )
    db.delete(link)
    db.flush()


def _links(db: Transaction, account_id: str) -> list[Link]:
    return list(db.scalars(select(Link).where(Link.account_id == account_id, Link.door != "company")))


def _company_ways(db: Transaction, account_id: str) -> list[Way]:
    """A company's own sign-in, which is the company's to take away: open to its members while a connection of it is live."""
    live = exists().where(Connection.company_id == Company.id, Connection.state == "live")
    companies = select(Company.name, live).join_from(Member, Company).where(Member.account_id == account_id)
    return [Way("company", who=name, opens=is_live) for name, is_live in db.execute(companies)]


def _name(link: Link) -> str:
    # No number: one that is given out again would take away another link from a page that has stood open.
    return token_hash(f"{link.issuer} {link.subject}")[:32]
