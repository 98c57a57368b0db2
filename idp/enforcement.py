"""What a company closes to its people beside its own sign-in, and what follows: break-glass sign-ins are told, and others
are told the right door.

Whoever offers a way in beside the companies' asks ``own_door`` before it looks at anything, with the same work for every
address, and once more when it lets somebody in: then the company's row is held, so that a session is seen by whoever requires
SSO in the same moment.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, literal, select
from sqlalchemy.orm import Session

from idp import audit
from idp.companies import BINDING
from idp.mail import DAY, queue_mail
from idp.members import administrators
from idp.models import Company, CompanyDomain, Email, Member, OutboxMail
from idp.sealing import Sealer

SIGN_IN = "/login"


@dataclass(frozen=True, slots=True)
class ClosedBy:
    """A company that closes a door to its people."""

    company_id: str
    name: str


@dataclass(frozen=True, slots=True)
class OwnDoor:
    """How a door stands to one person.

    :ivar closed_by: the company that closes it; None: it is open.
    :ivar break_glass: this person may pass all the same.
    :ivar for_address: the company that closes it to the address as such, whoever has it; the same for every address of a
        domain.
    """

    closed_by: ClosedBy | None = None
    break_glass: bool = False
    for_address: ClosedBy | None = None

    @property
    def opens(self) -> bool:
        """Whether this person may come in here."""
        return self.closed_by is None or self.break_glass


def own_door(db: Session, canonical: str, account_id: str | None, door: str, *, hold: bool = False) -> OwnDoor:
    """How a door of ours stands to an address and, if it is known, its account: every address of a person counts.

    A company that requires SSO closes every door, else those that are not among its ``doors``; also while the proof of its
    domain is lost. Break-glass people may use their password all the same. One statement, whatever there is.

    :param canonical: the address, in its canonical form.
    :param door: ``password`` or ``social``.
    :param hold: what was found stays so until the transaction ends.
    """
    typed = canonical.rpartition("@")[2]
    others = select(Email.domain).where(Email.account_id == (account_id or ""))
    reached = (
        select(Company.id, Company.name, Company.sso, Company.doors, CompanyDomain.held, Member.break_glass)
        .join_from(CompanyDomain, Company, CompanyDomain.company_id == Company.id)
        .outerjoin(Member, and_(Member.company_id == Company.id, Member.account_id == (account_id or "")))
        .where(CompanyDomain.held.in_(select(literal(typed)).union(others)), CompanyDomain.status.in_(BINDING))
    )
    closing = [
        row
        for row in db.execute(reached.with_for_update(read=True, of=Company) if hold else reached)
        if row.sso == "required" or door not in row.doors
    ]
    if not closing:
        return OwnDoor()
    passing = {row.id for row in closing if row.break_glass and door == "password"}
    first = min(closing, key=lambda row: (row.id in passing, row.held != typed, row.held))
    address = next((ClosedBy(row.id, row.name) for row in closing if row.held == typed), None)
    return OwnDoor(ClosedBy(first.id, first.name), break_glass=first.id in passing, for_address=address)


def note_break_glass(
    db: Session, company: ClosedBy, account_id: str, *, address: str, sealer: Sealer, now: float
) -> None:
    """A break-glass person has signed in with their password although SSO is required: audited, and mailed to all
    administrators of the company. Their number is bounded by the throttle: such a sign-in costs a try although it succeeds.

    :param address: the network address that they came from.
    """
    actor = f"person:{account_id}"
    audit.record(
        db,
        audit.Event.company_break_glass_used,
        now=now,
        actor=actor,
        account_id=account_id,
        company=company.company_id,
        address=address,
    )
    person = db.scalar(select(Email.address).where(Email.account_id == account_id, Email.primary))
    for one in administrators(db, company.company_id):
        queue_mail(
            db,
            name="break_glass",
            recipient=one.address,
            language=one.language,
            now=now,
            sealer=sealer,
            always=True,
            company=company.name,
            person=person or "",
            address=address,
            at=int(now),
        )


def queue_right_door(
    db: Session, company: ClosedBy, canonical: str, *, language: str, sealer: Sealer, now: float
) -> None:
    """The mail "Acme signs you in", for every wrong-password answer under enforcement; at most one a day for an address.

    It is queued for every address of the company's domains alike, and sent only to those that an account has: whoever
    typed the address learns nothing from the answer or its time. For a domain whose proof is lost there is none: its company's
    door is not found from there, and the company's contacts are told.

    :param canonical: the address that was typed, in its canonical form.
    """
    lost = select(CompanyDomain.id).where(
        CompanyDomain.held == canonical.rpartition("@")[2], CompanyDomain.status == "lost"
    )
    if db.scalar(lost) is not None:
        return
    lately = select(OutboxMail.id).where(
        OutboxMail.recipient == canonical, OutboxMail.created_at > now - DAY, OutboxMail.name == "right_door"
    )
    if db.scalar(lately.limit(1)) is None:
        queue_mail(
            db,
            name="right_door",
            recipient=canonical,
            language=language,
            now=now,
            sealer=sealer,
            secrets={"link": SIGN_IN},
            if_known=True,
            company=company.name,
        )
