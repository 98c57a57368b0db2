"""What follows when a company requires its own sign-in: break-glass sign-ins are told, and others are told the right door."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from idp import audit
from idp.companies import Policy, administrators
from idp.mail import DAY, queue_mail
from idp.models import CompanyDomain, Email, OutboxMail
from idp.sealing import Sealer

SIGN_IN = "/login"


def note_break_glass(db: Session, policy: Policy, account_id: str, *, address: str, sealer: Sealer, now: float) -> None:
    """A break-glass person has signed in with their password although SSO is required: audited, and mailed to all
    administrators of the company.

    :param address: the network address that they came from.
    """
    actor = f"person:{account_id}"
    audit.record(
        db,
        audit.Event.company_break_glass_used,
        now=now,
        actor=actor,
        account_id=account_id,
        company=policy.company_id,
        address=address,
    )
    person = db.scalar(select(Email.address).where(Email.account_id == account_id, Email.primary))
    for one in administrators(db, policy.company_id):
        queue_mail(
            db,
            name="break_glass",
            recipient=one.address,
            language=one.language,
            now=now,
            sealer=sealer,
            company=policy.name,
            person=person or "",
            address=address,
            at=int(now),
        )


def queue_right_door(db: Session, policy: Policy, canonical: str, *, language: str, sealer: Sealer, now: float) -> None:
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
            company=policy.name,
        )
