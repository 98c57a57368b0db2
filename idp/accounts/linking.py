"""Whose account an identity opens: one pure function decides, and its answer is a value.

An account is found by (issuer, subject) alone. An e-mail address never opens an account: at most it says whose account
must be proved first. How it was proved stands in the link, so that a link can be judged, and undone, later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import CursorResult, Exists, exists, select, update
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.accounts.identity import Identity
from idp.accounts.mailed_links import make_link
from idp.mail import DAY, queue_mail
from idp.models import Account, Email, Invitation, Link, Member, Passkey, Password
from idp.sealing import Sealer

# How an account was proved to be that of who arrives: by what opens it otherwise, or by reading its mail. ``address``: there
# is no account to prove yet, but that an address is theirs.
Proof = Literal["password", "passkey", "mail", "company", "social", "address"]
# What every social newcomer is asked for alike, whatever the account really has; a passkey counts where a password does.
ANY_WAY: tuple[Proof, ...] = ("password", "mail", "company", "social")

UNDO = "undo_link"  # the purpose of the mailed link that takes a link back
UNDO_PATH = "/me/links/undo"
UNDONE_WITHIN = 30 * DAY


@dataclass(frozen=True, slots=True)
class Known:
    """An account as far as the decision needs it.

    :ivar company_id: the company that the person belongs to; None: to none.
    :ivar prepared: that company made the account, and nobody has used it yet.
    :ivar has_password: whether somebody could prove to be its owner by that.
    :ivar company_subjects: by what names (``Link.subject``) a company's own sign-in has led to it so far.
    :ivar social: by what login keys (door, issuer, subject) social providers' sign-ins have.
    """

    account_id: str
    state: str
    company_id: str | None = None
    prepared: bool = False
    has_password: bool = True
    company_subjects: tuple[str, ...] = ()
    social: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Welcome:
    """What the company whose door was used says about people whom it sends. ``jit``: they may be unknown here."""

    company_id: str
    jit: bool


@dataclass(frozen=True, slots=True)
class Found:
    """``prepared``: nobody has used the account so far; the identity is linked to it now."""

    account_id: str
    prepared: bool = False


@dataclass(frozen=True, slots=True)
class New:
    """Nobody here yet: an account may be made for this identity."""


@dataclass(frozen=True, slots=True)
class ProveFirst:
    """The address belongs to an account: who proves to own that account, in one of these ways, may link the identity to it.

    ``account_id`` is "" as long as no address is known to be theirs: that is to be proved first of all.
    """

    account_id: str
    proofs: tuple[Proof, ...] = ("password", "mail")


@dataclass(frozen=True, slots=True)
class Refused:
    """``reason`` is a code of the reasons table."""

    reason: str


Decision = Found | New | ProveFirst | Refused


def decide(
    identity: Identity,
    linked: Known | None,
    email_owner: Known | None,
    *,
    own_issuer: str,
    welcome: Welcome | None = None,
    address_proved: bool = False,
) -> Decision:
    """Decide from the account that (issuer, subject) leads to and the account that the address belongs to.

    ``welcome``: of the company whose door was used; None at any other door. ``address_proved``: the address that ``email_owner``
    was found by is theirs although the identity does not say so: they have read its mail. docs/linking.md is the table of it.
    """
    if linked is None and identity.issuer == own_issuer:
        return Refused("account_unknown")
    if linked is None and identity.is_social and not (identity.email_verified or address_proved):
        return ProveFirst("", ("address",))
    account = linked or email_owner
    if account is not None and account.state != "active":
        return Refused("account_suspended")
    if welcome is not None and (reason := _unwelcome(account, welcome)):
        return Refused(reason)
    if linked is not None and welcome is not None and linked.company_id is None and not _is_same(linked, email_owner):
        # They have left the company, and taken their account to an address of their own: it is not the company's to open.
        return Refused("company_member_missing")
    if linked is not None:
        return Found(linked.account_id)
    if email_owner is None:
        return New()
    if identity.is_social:
        return ProveFirst(email_owner.account_id, _social_proofs(identity, email_owner))
    if welcome is not None and email_owner.prepared:
        return Found(email_owner.account_id, prepared=True)
    proofs = _proofs(identity, email_owner)
    return ProveFirst(email_owner.account_id, proofs) if proofs else Refused("company_name_id_changed")


def _is_same(linked: Known, email_owner: Known | None) -> bool:
    return email_owner is not None and email_owner.account_id == linked.account_id


def _unwelcome(account: Known | None, welcome: Welcome) -> str:
    belongs_to = account.company_id if account is not None else None
    if belongs_to is None:
        return "" if welcome.jit else "company_member_missing"
    return "" if belongs_to == welcome.company_id else "company_member_elsewhere"


def _proofs(identity: Identity, owner: Known) -> tuple[Proof, ...]:
    # The company knew somebody with this address by another name before. It may be a new colleague who was given the address
    # of one who left (SA-37), and with it the mailbox: then mail proves nothing.
    other_person = any(subject != identity.subject for subject in owner.company_subjects)
    by_password: tuple[Proof, ...] = ("password",) if owner.has_password else ()
    return by_password if other_person else (*by_password, "mail")


def _social_proofs(identity: Identity, owner: Known) -> tuple[Proof, ...]:
    if (
        owner.prepared
    ):  # it waits for whom the company sends, with what the company has given it: only the company knows who
        return ("company",)
    # The provider knows somebody else by this address. It may have been given to another person since, and the mailbox with it.
    # By its door, not its issuer: that of Microsoft names the tenant, and a domain can move to another one.
    here = identity.door, identity.issuer, identity.subject
    recycled = any(known[0] == here[0] and known != here for known in owner.social)
    return tuple(proof for proof in ANY_WAY if proof != "mail" or not recycled)


def find_linked(db: Transaction, identity: Identity, *, own_issuer: str) -> Known | None:
    """Find the account that (issuer, subject) leads to, and hold its row until the transaction ends.

    While it is held nobody can suspend the account, so a session that is opened meanwhile is seen by the suspension that
    follows. At the standard door the subject is the account itself.
    """
    query = _known()
    if identity.issuer == own_issuer:
        row = db.execute(query.where(Account.id == identity.subject).with_for_update(of=Account)).first()
        # Whoever waited may have brought what the account's owner has taken out of it meanwhile (``wipe_unproven``).
        kept = row is not None and db.scalar(select(_brought(identity, row.id)))
        return Known(*row) if row is not None and kept else None
    leads_here = (Link.account_id == Account.id, Link.issuer == identity.issuer, Link.subject == identity.subject)
    row = db.execute(query.join(Link, leads_here[0]).where(*leads_here[1:]).with_for_update(of=Account)).first()
    # Whoever waited for the row has read the link before: meanwhile it may have been taken away, or undone.
    if row is None or not db.scalar(select(exists().where(Account.id == row.id, *leads_here))):
        return None
    return Known(*row)


def _brought(identity: Identity, account_id: str) -> Exists:
    if identity.passkey:
        return exists().where(Passkey.account_id == account_id, Passkey.credential_id == identity.passkey)
    return exists().where(Password.account_id == account_id)


def whose(db: Transaction, identity: Identity, *, address_proved: bool) -> str:
    """The account of somebody who was refused, for whoever helps them; "" when there is none. ``address_proved``: the address is theirs."""
    leads_to = db.scalar(
        select(Link.account_id).where(Link.issuer == identity.issuer, Link.subject == identity.subject)
    )
    if leads_to is None and address_proved and identity.email:
        leads_to = db.scalar(select(Email.account_id).where(Email.canonical == identity.email))
    return leads_to or ""


def find_email_owner(db: Transaction, canonical: str) -> Known | None:
    """Find the account that a canonical address belongs to, and hold its row until the transaction ends."""
    query = _known().join(Email, Email.account_id == Account.id).where(Email.canonical == canonical)
    row = db.execute(query.with_for_update(of=Account)).first()
    if row is None:
        return None
    links = select(Link.door, Link.issuer, Link.subject).where(Link.account_id == row.id).order_by(Link.id)
    keys = db.execute(links).all()
    return replace(
        Known(*row),
        company_subjects=tuple(subject for _, issuer, subject in keys if issuer.startswith("company:")),
        social=tuple((door, issuer, sub) for door, issuer, sub in keys if not issuer.startswith("company:")),
    )


def _known() -> Any:
    has_password = exists().where(Password.account_id == Account.id).correlate(Account)
    has_passkey = exists().where(Passkey.account_id == Account.id).correlate(Account)
    unused = Member.prepared.is_(True) & ~has_password & ~has_passkey  # who was given one meanwhile may have used it
    return (
        select(Account.id, Account.state, Member.company_id, unused, has_password)
        .select_from(Account)
        .outerjoin(Member, Member.account_id == Account.id)
    )


def link(db: Transaction, account_id: str, identity: Identity, *, proof: Mapping[str, Any], now: float) -> Link:
    """Let an identity lead to an account from now on. ``proof``: how it was proved that it is theirs, ``by`` what first.

    :raises IntegrityError: it leads to an account already: another request was faster; the transaction is over.
    """
    made = Link(
        account_id=account_id,
        issuer=identity.issuer,
        subject=identity.subject,
        door=identity.door,
        email=identity.email,
        proof={**proof, "at": int(now)},
        created_at=int(now),
    )
    db.add(made)
    db.flush()
    audit.record(
        db, audit.Event.person_linked, now=now, actor=f"person:{account_id}", account_id=account_id,
        door=identity.door, by=str(proof["by"]),
    )  # fmt: skip
    return made


def link_social(
    db: Transaction,
    account_id: str,
    identity: Identity,
    *,
    proof: Mapping[str, Any],
    provider: str,
    language: str,
    sealer: Sealer,
    now: float,
    random: Callable[[int], bytes],
) -> Link:
    """Link a social identity, and announce it to every verified address of the account (else to its first), with a way back.

    :param provider: what the provider is called.
    :param language: of the mail, unless the person has chosen one.
    :raises IntegrityError: see ``link``.
    """
    made = link(db, account_id, identity, proof=proof, now=now)
    account = db.get_one(Account, account_id)
    verified = [email for email in account.emails if email.verified_at is not None]
    for email in verified or [email for email in account.emails if email.primary]:
        queue_mail(
            db,
            name="linked",
            recipient=email.canonical,
            language=account.locale or language,
            now=now,
            sealer=sealer,
            secrets={"link": make_undo_link(db, made, now=now, random=random)},
            always=True,  # each costs a proof
            provider=provider,
            who=identity.email or "",
            at=int(now),
        )
    return made


def make_undo_link(db: Transaction, made: Link, *, now: float, random: Callable[[int], bytes]) -> str:
    """The path with the secret by which a link can be taken back for 30 days; its ``facts`` name the link by its login key
    (``issuer``, ``subject``), since a row's number may be given out again."""
    secret = make_link(
        db,
        purpose=UNDO,
        account_id=made.account_id,
        facts={"issuer": made.issuer, "subject": made.subject},
        lifetime=UNDONE_WITHIN,
        now=now,
        random=random,
    )
    return f"{UNDO_PATH}?t={secret}"


def verify_address(db: Transaction, account_id: str, canonical: str, *, now: float) -> bool:
    """Note that an address is its account's own; False when it was known before, or is no address of the account."""
    email = db.scalar(select(Email).where(Email.account_id == account_id, Email.canonical == canonical))
    if email is None or email.verified_at is not None:
        return False
    email.verified_at = int(now)
    note_accepted(db, account_id, now=now)
    return True


def note_accepted(db: Transaction, account_id: str, *, now: float) -> None:
    """Whoever was invited to an account (invitations.py) has it from now on, in whatever way: the mailed link is over."""
    waiting = Invitation.account_id == account_id, Invitation.accepted_at.is_(None)
    answer = db.execute(update(Invitation).where(*waiting).values(accepted_at=int(now)))
    assert isinstance(answer, CursorResult)
    if answer.rowcount:
        actor = f"person:{account_id}"
        audit.record(db, audit.Event.person_invitation_accepted, now=now, actor=actor, account_id=account_id)
