"""Invitations: an account is made for somebody, who is asked by mail to use it. A working.

Nobody can sign in to it until its address is proved: by the link in the mail that was sent last, which is good for a week and for
one use, or by whatever else proves it. The page that the link leads to is ``login/invite.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.accounts.identity import Address
from idp.accounts.lifecycle import accept_terms, create_account, find_account, primary_email, wipe_unproven
from idp.accounts.linking import note_accepted, verify_address
from idp.accounts.mailed_links import INVITE, end_links, find_newest_link, make_link, take_link
from idp.companies import CompanyRefused, hold_company, owns_domain
from idp.company_policy import policy_of_domain
from idp.company_settings import defaults_of
from idp.enforcement import own_door
from idp.errors import IdpError
from idp.mail import DAY, queue_mail
from idp.members import add_member, administrators, note_arrived, remove_member
from idp.models import (
    Account,
    AuditEvent,
    Company,
    Device,
    Email,
    Invitation,
    Link,
    Member,
    Passkey,
    Password,
    RecoveryCode,
    Totp,
)
from idp.sealing import Sealer

PATH = "/invite"
LIFETIME = 7 * DAY
MOST_PER_DAY = (
    1000  # mails of one company: as many as a company of some size needs, too few for whoever sends unwanted mail
)
INACTIVE_AFTER = 90  # days without a sign-in

State = Literal["invited", "active", "inactive", "suspended", "closed"]


class InvitationRefused(IdpError):
    """Somebody cannot be invited so. Nothing was changed. ``reason`` is a code of the reasons table (``invite_…``)."""

    status = 409


@dataclass(frozen=True, slots=True)
class Guest:
    """Who is to be invited.

    :ivar claims: see ``check_claim``; ``locale`` is the language of the mail.
    :ivar company_id: the company that they belong to from now on, in ``role``; None: to none.
    :ivar vouched: an operator answers for an address that is of none of the company's domains.
    """

    address: Address
    claims: Mapping[str, Any]
    company_id: str | None = None
    role: str = "member"
    vouched: bool = False


@dataclass(frozen=True, slots=True)
class Host:
    """Who invites, and what a mail with a link is made with.

    :ivar actor: as in the audit.
    :ivar account_id: a person, who may invite for the company that they are an administrator of; None: an operator.
    :ivar now: seconds since 1970.
    """

    actor: str
    sealer: Sealer
    now: float
    random: Callable[[int], bytes]
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class Invited:
    """Somebody whose invitation can still be accepted, and how, as things stand.

    :ivar address: as it was written; ``canonical``: in its canonical form.
    :ivar company: the name of the company that they were invited to, ``company_id`` its id; "" if to none.
    :ivar employer: the name of the company that signs in people with their address by its own page; "" if none does.
    :ivar by_password: a password may open their account; ``by_social``: so may a social provider.
    :ivar closed_by: the name of the company because of which no password may; "" if one may.
    """

    account_id: str
    address: str
    canonical: str
    locale: str | None
    company: str
    company_id: str
    employer: str
    by_password: bool
    by_social: bool
    closed_by: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What has become of an account.

    :ivar sent: how many times it was invited by mail.
    :ivar last_sign_in: seconds since 1970, at a browser that the account still knows; None: not known of.
    """

    state: State
    sent: int
    last_sign_in: int | None


def invite(db: Transaction, guest: Guest, host: Host) -> int:
    """Make an account for somebody, or take one whose address nobody has proved, and mail its owner the invitation.

    What is already in such an account goes when the invitation is accepted. For a company only an account is taken that nobody
    has used: it would be theirs from this moment.

    :returns: how many times the invitation has been sent: once.
    :raises InvitationRefused: ``invite_known``: somebody has the account; ``invite_waiting``: they were invited already;
        ``invite_not_allowed``: not by this person; ``invite_too_many``.
    :raises CompanyRefused: see ``add_member``.
    :raises AddressTaken: another request was faster, and the transaction is over; WrongClaim: see ``check_claim``.
    """
    _check_host(db, host, guest.company_id, vouched=guest.vouched)
    if (
        guest.company_id is not None
        and not guest.vouched
        and not owns_domain(db, guest.company_id, guest.address.domain)
    ):
        raise CompanyRefused("company_member_outside")  # before anything is said of who has an account elsewhere
    account = find_account(db, guest.address.canonical)
    if account is None:
        account = create_account(
            db,
            guest.address,
            claims=(defaults_of(db, guest.company_id) if guest.company_id else {}) | dict(guest.claims),
            verified=False,
            password_hash=None,
            actor=host.actor,
            now=host.now,
            random=host.random,
        )
    else:
        db.get_one(Account, account.id, with_for_update=True, populate_existing=True)
        db.refresh(primary_email(account))
        if account.state != "active" or primary_email(account).verified_at is not None:
            raise InvitationRefused("invite_known")
        if db.get(Invitation, account.id, populate_existing=True) is not None:
            raise InvitationRefused("invite_waiting")
    if guest.company_id is not None:
        add_member(
            db,
            guest.company_id,
            account.id,
            guest.role,
            actor=host.actor,
            now=host.now,
            prepared=True,
            vouched=guest.vouched,
        )
    return _send(db, account, _made(db, account.id, guest.company_id, host.now), host)


def send_again(db: Transaction, account_id: str, host: Host, *, company_id: str | None = None) -> int:
    """Mail the invitation once more: the link of the mail before is over. Also to a member whom a company has added without one.

    :param company_id: the company whose invitation it must be; None: of any, which only an operator may say.
    :returns: how many times it has been sent by now.
    :raises InvitationRefused: ``invite_none``: nobody waits for it; ``invite_not_allowed``; ``invite_too_many``.
    """
    _check_host(db, host, company_id)
    account = db.get_one(Account, account_id, with_for_update=True, populate_existing=True)
    invitation = db.get(Invitation, account_id, populate_existing=True)
    member = db.get(Member, account_id, populate_existing=True)
    if invitation is None and member is not None and member.prepared:
        invitation = _made(db, account_id, member.company_id, host.now)
    if invitation is None or invitation.accepted_at is not None or account.state != "active":
        raise InvitationRefused("invite_none")
    if company_id not in (None, invitation.company_id):
        raise InvitationRefused("invite_none")
    if invitation.company_id is not None and (member is None or member.company_id != invitation.company_id):
        raise InvitationRefused("invite_none")  # they were taken out again
    return _send(db, account, invitation, host)


def withdraw(db: Transaction, account_id: str, company_id: str, host: Host) -> None:
    """Take back an invitation that nobody has accepted: its link opens nothing, the person belongs to the company no more, and the
    account that was made for it goes unless somebody has put something into it.

    :raises InvitationRefused: ``invite_none``: nobody waits for it (any more); ``invite_not_allowed``.
    :raises CompanyRefused: see ``remove_member``.
    """
    _check_host(db, host, company_id)
    account = db.get(Account, account_id, with_for_update=True, populate_existing=True)
    invitation = db.get(Invitation, account_id, populate_existing=True)
    member = db.get(Member, account_id, populate_existing=True)
    if (
        account is None
        or invitation is None
        or invitation.company_id != company_id
        or invitation.accepted_at is not None
    ):
        raise InvitationRefused("invite_none")
    if member is None or member.company_id != company_id:
        raise InvitationRefused("invite_none")
    end_links(db, account_id, host.now, purposes=(INVITE,))
    remove_member(db, company_id, account_id, actor=host.actor, now=host.now)
    made_for_it = account.created_at == invitation.created_at and primary_email(account).verified_at is None
    if made_for_it and account.state == "active" and not _is_touched(db, account_id):
        db.delete(account)
    else:
        db.delete(invitation)
    event = audit.Event.person_invitation_withdrawn
    audit.record(db, event, now=host.now, actor=host.actor, account_id=account_id, company=company_id)


def invitations_left(db: Transaction, company_id: str, now: float) -> int:
    """How many more invitations a company may send now: MOST_PER_DAY in any 24 hours."""
    # Counted by what was done: links and accounts of invitations that were taken back are gone.
    sent = select(func.count()).where(
        AuditEvent.company_id == company_id,
        AuditEvent.event == audit.Event.person_invited.value,
        AuditEvent.at > now - DAY,
    )
    return max(0, MOST_PER_DAY - (db.scalar(sent) or 0))


def find_invited(db: Transaction, secret: str, now: float, *, hold: bool = False) -> Invited | None:
    """Whose invitation a link is; None when it is over: accepted, too old, not the newest, or the account is another's by now.

    ``hold``: what was found stays so until the transaction ends.
    """
    link = find_newest_link(db, secret, INVITE, now)
    if link is None:
        return None
    if hold:
        db.get_one(Account, link.account_id, with_for_update=True, populate_existing=True)
    row = db.execute(
        select(
            Account.id,
            Account.state,
            Account.locale,
            Email.address,
            Email.canonical,
            Company.name.label("company"),
            Company.id.label("company_id"),
        )
        .select_from(Invitation)
        .join(Account, Account.id == Invitation.account_id)
        .join(Email, (Email.account_id == Account.id) & Email.primary)
        .outerjoin(Member, (Member.account_id == Account.id) & (Member.company_id == Invitation.company_id))
        .outerjoin(Company, Company.id == Member.company_id)
        .where(
            Invitation.account_id == link.account_id,
            Invitation.accepted_at.is_(None),
            Invitation.company_id.is_(None) | Member.account_id.is_not(None),
        )
    ).first()
    if row is None or row.state != "active" or row.canonical != link.facts["address"]:
        return None
    employer = policy_of_domain(db, row.canonical.rpartition("@")[2])
    password = own_door(db, row.canonical, row.id, "password", hold=hold)
    return Invited(
        row.id,
        row.address,
        row.canonical,
        row.locale,
        row.company or "",
        row.company_id or "",
        employer.name if employer is not None and employer.live else "",
        by_password=password.opens,
        by_social=own_door(db, row.canonical, row.id, "social", hold=hold).opens,
        closed_by=password.closed_by.name if password.closed_by is not None else "",
    )


def take_invitation(db: Transaction, secret: str, version: str, *, now: float) -> Invited | None:
    """Accept an invitation: of several that try, one does it. The address is proved by it, and all that somebody had put into the
    account before is gone.

    The caller gives the account what opens it from now on, in the same transaction.

    :param version: of the terms that the person has accepted; "" where there are none.
    :returns: None when the invitation is over; nothing has been done then.
    """
    invited = find_invited(db, secret, now, hold=True)
    # The account is held first and the link taken then, in the order of all who end an account's links.
    if invited is None or take_link(db, secret, INVITE, now) is None:
        return None
    if _is_touched(db, invited.account_id):  # else there is nothing, and nobody, to be thrown out
        wipe_unproven(db, invited.account_id, invited.canonical, now=now)
    if not verify_address(db, invited.account_id, invited.canonical, now=now):
        note_accepted(db, invited.account_id, now=now)
    note_arrived(db, invited.account_id)
    accept_terms(db, db.get_one(Account, invited.account_id), version, now=now)
    return invited


def set_first_password(db: Transaction, account_id: str, password_hash: str, *, now: float) -> None:
    """Give an account that has just been taken its password. Nothing that is open ends: there is nothing."""
    db.get_one(Account, account_id).password = Password(hash=password_hash, changed_at=int(now))
    audit.record(db, audit.Event.person_password_set, now=now, actor=f"person:{account_id}", account_id=account_id)


def standings(
    db: Transaction,
    *,
    now: float,
    company_id: str | None = None,
    among: Collection[str] | None = None,
    inactive_after: int = INACTIVE_AFTER,
) -> dict[str, Standing]:
    """What has become of each account (by its id), of each member of a company, or of each account ``among`` these.

    ``inactive_after``: days without a sign-in.
    """
    seen = select(func.max(Device.last_seen_at)).where(Device.account_id == Account.id).scalar_subquery()
    query = select(Account.id, Account.state, Account.created_at, Invitation, seen).outerjoin(
        Invitation, Invitation.account_id == Account.id
    )
    if company_id is not None:
        query = query.join(Member, Member.account_id == Account.id).where(Member.company_id == company_id)
    if among is not None:
        query = query.where(Account.id.in_(among))
    found = {}
    for account_id, state, created_at, invitation, last in db.execute(query):
        since = last or max(created_at, (invitation.accepted_at or 0) if invitation else 0)
        if state == "active" and invitation is not None and invitation.accepted_at is None:
            state = "invited"
        elif state == "active" and since <= now - inactive_after * DAY:
            state = "inactive"
        found[account_id] = Standing(state, invitation.sent if invitation else 0, last)
    return found


def _check_host(db: Transaction, host: Host, company_id: str | None, *, vouched: bool = False) -> None:
    """An operator may do everything. A person may invite for the company that they are an administrator of; no role is above theirs."""
    if host.account_id is None:
        return
    ours = {one.account_id for one in administrators(db, company_id)} if company_id is not None else set()
    if vouched or host.account_id not in ours:
        raise InvitationRefused("invite_not_allowed")


def _made(db: Transaction, account_id: str, company_id: str | None, now: float) -> Invitation:
    invitation = Invitation(account_id=account_id, company_id=company_id, sent=0, created_at=int(now))
    db.add(invitation)
    return invitation


def _send(db: Transaction, account: Account, invitation: Invitation, host: Host) -> int:
    now, company = host.now, ""
    if invitation.company_id is not None:
        company = hold_company(db, invitation.company_id).name
        if not invitations_left(db, invitation.company_id, now):
            raise InvitationRefused("invite_too_many")
    address = primary_email(account)
    end_links(db, account.id, now, purposes=(INVITE,))
    secret = make_link(
        db,
        purpose=INVITE,
        account_id=account.id,
        facts={"address": address.canonical},
        lifetime=LIFETIME,
        now=now,
        random=host.random,
    )
    invitation.sent, invitation.last_sent_at = invitation.sent + 1, int(now)
    invitation.expires_at = int(now) + LIFETIME
    queued = queue_mail(
        db,
        name="invitation",
        recipient=address.address,
        language=(account.locale or "en").partition("-")[0],
        now=now,
        sealer=host.sealer,
        secrets={"link": f"{PATH}?t={secret}"},
        company=company,
        ends=invitation.expires_at,
    )
    if not queued:
        raise InvitationRefused("invite_too_many")
    audit.record(
        db,
        audit.Event.person_invited,
        now=now,
        actor=host.actor,
        account_id=account.id,
        sent=invitation.sent,
        **({"company": invitation.company_id} if invitation.company_id else {}),
    )
    return invitation.sent


def _is_touched(db: Transaction, account_id: str) -> bool:
    """Whether somebody has put something into an account, or has ever been signed in to it."""
    tables = (Password, Passkey, Totp, RecoveryCode, Link, Device)
    return any(db.scalar(select(exists().where(table.account_id == account_id))) for table in tables)
