"""People whom a new policy of their company concerns are told by mail: by the worker, parcel by parcel, however many they are."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session as Transaction

from idp.admin.policy_preview import TOLD, Kind, concerned
from idp.database import Database
from idp.mail import queue_mail
from idp.models import Account, Company, Email, PolicyNotice
from idp.sealing import Sealer

PARCEL = 200  # mails in one transaction


def note(db: Transaction, company_id: str, kinds: Collection[Kind], *, now: float) -> None:
    """Have those told whom these changes concern; of another change of the same kind that is under way they hear no more."""
    for kind in TOLD:
        if kind not in kinds:
            continue
        waiting = db.scalar(
            select(PolicyNotice).where(PolicyNotice.company_id == company_id, PolicyNotice.kind == kind)
        )
        if waiting is not None:
            waiting.after, waiting.created_at = "", int(now)
        else:
            db.add(PolicyNotice(company_id=company_id, kind=kind, after="", created_at=int(now)))


def tell_next(database: Database, sealer: Sealer, now: float, *, parcel: int = PARCEL) -> bool:
    """Queue the mails of one parcel; return whether there may be more. Who meanwhile has what is asked for is not written to."""
    with database.transaction() as db:
        notice = db.scalars(
            select(PolicyNotice).order_by(PolicyNotice.id).limit(1).with_for_update(skip_locked=True)
        ).first()
        if notice is None:
            return False
        company = db.get_one(Company, notice.company_id)
        kind: Kind = next(one for one in TOLD if one == notice.kind)
        still = {
            "second_factor": company.second_factor_from is not None,
            "password": "password" not in company.doors,
            "social": "social" not in company.doors,
        }
        which = (*concerned(company.id, kind), Account.id > notice.after)
        query = select(Account.id, Account.locale, Email.address).join(
            Email, (Email.account_id == Account.id) & Email.primary
        )
        found = db.execute(query.where(*which).order_by(Account.id).limit(parcel)).all() if still[kind] else []
        for _, locale, address in found:
            queue_mail(
                db,
                name="policy_changed",
                recipient=address,
                language=(locale or "en").replace("_", "-").partition("-")[0].lower(),
                now=now,
                sealer=sealer,
                company=company.name,
                about=kind,
                at=company.second_factor_from or 0,
                soon="" if (company.second_factor_from or 0) <= now else "yes",
            )
        if len(found) < parcel:
            db.delete(notice)
        else:
            notice.after = found[-1].id
        return True
