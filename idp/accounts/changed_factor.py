"""A passkey or another factor that was added or taken away is told to the account's owner by mail: if it was somebody else, the
link in it takes it back and signs everybody out. A working.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.accounts.identity import passkey_mark
from idp.accounts.lifecycle import end_everything, primary_email
from idp.accounts.mailed_links import make_link
from idp.accounts.second_factors import settle_without
from idp.accounts.totp import totp_mark
from idp.mail import DAY, queue_mail
from idp.models import Account, MailedLink, Passkey, RecoveryCode, Totp
from idp.sealing import Sealer

NOT_MINE = "not_my_factor"  # purpose of the link in the mail, answered by the page disowned_factor.py
NOT_MINE_PATH = "/me/factors/not-me"
UNDONE_WITHIN = 30 * DAY

Factor = Literal["passkey", "totp", "recovery_codes"]  # the words for them: mail.factor.<name>


@dataclass(frozen=True, slots=True)
class Change:
    """What was done, and from where.

    :ivar name: what the person calls it; "" where they call it nothing.
    :ivar mark: which one, where there are several (``passkey_mark``), or one after the other (``totp_mark``).
    :ivar agent: the browser (``devices.describe_agent``).
    :ivar address: the network address.
    """

    factor: Factor
    added: bool
    name: str = ""
    mark: str = ""
    agent: str = ""
    address: str = ""


def tell_changed_factor(
    db: Transaction,
    account: Account,
    change: Change,
    *,
    language: str,
    sealer: Sealer,
    now: float,
    random: Callable[[int], bytes],
) -> None:
    """Audit the change, and queue the mail "factor_added" or "factor_removed" to the account's address, in its transaction.

    The mail is never dropped: whoever calls this bounds how often that can be.

    :param language: of the mail, unless the person has chosen one.
    """
    event = audit.Event.person_factor_added if change.added else audit.Event.person_factor_removed
    who = f"person:{account.id}"
    audit.record(db, event, now=now, actor=who, account_id=account.id, factor=change.factor, by="person")
    facts = {"factor": change.factor, "added": change.added, "name": change.name, "mark": change.mark}
    facts |= {"agent": change.agent, "address": change.address}
    secret = make_link(
        db,
        purpose=NOT_MINE,
        account_id=account.id,
        facts=facts,
        lifetime=UNDONE_WITHIN,
        now=now,
        random=random,
    )
    queue_mail(
        db,
        name="factor_added" if change.added else "factor_removed",
        recipient=primary_email(account).address,
        language=account.locale or language,
        now=now,
        sealer=sealer,
        secrets={"link": f"{NOT_MINE_PATH}?t={secret}"},
        always=True,
        factor=change.factor,
        called=change.name,
        agent=change.agent,
        address=change.address,
        at=int(now),
    )


def tell_used_code(
    db: Transaction,
    account: Account,
    *,
    left: int,
    agent: str,
    address: str,
    language: str,
    sealer: Sealer,
    now: float,
    random: Callable[[int], bytes],
) -> None:
    """Queue the mail "recovery_code_used" to the account's address, in the transaction of the sign-in.

    :param left: codes that can still be used. ``agent``, ``address``: as in ``Change``.
    """
    facts = {"factor": "recovery_codes", "added": False, "used": True, "name": "", "mark": ""}
    facts |= {"agent": agent, "address": address}
    lifetime = UNDONE_WITHIN
    secret = make_link(
        db, purpose=NOT_MINE, account_id=account.id, facts=facts, lifetime=lifetime, now=now, random=random
    )
    queue_mail(
        db,
        name="recovery_code_used",
        recipient=primary_email(account).address,
        language=account.locale or language,
        now=now,
        sealer=sealer,
        secrets={"link": f"{NOT_MINE_PATH}?t={secret}"},
        always=True,  # there are ten codes
        left=str(left),  # a number would be a time
        agent=agent,
        address=address,
        at=int(now),
    )


def take_back(db: Transaction, mailed: MailedLink, *, now: float) -> None:
    """The owner says that it was not them: what was added is taken out, and everybody is signed out. What was removed is not put
    back: nobody knows any more what it was. Whoever has used one recovery code has the others."""
    account_id = mailed.account_id or ""
    db.get_one(Account, account_id, with_for_update=True)
    factor = mailed.facts["factor"]
    if (mailed.facts["added"] or mailed.facts.get("used")) and _remove(db, account_id, factor, mailed.facts):
        event = audit.Event.person_factor_removed
        audit.record(db, event, now=now, actor=f"person:{account_id}", account_id=account_id, factor=factor, by="mail")
    event = audit.Event.person_disowned_factor
    end_everything(db, account_id, event=event, actor=f"person:{account_id}", now=now)


def _remove(db: Transaction, account_id: str, factor: str, facts: dict[str, Any]) -> bool:
    match factor:
        case "passkey":
            theirs = db.scalars(select(Passkey).where(Passkey.account_id == account_id))
            found = next((one for one in theirs if passkey_mark(one.credential_id) == facts["mark"]), None)
            if found is not None:
                db.delete(found)
                db.flush()
                settle_without(db, account_id)
            return found is not None
        case "totp":
            totp = db.get(Totp, account_id)
            if totp is None or totp_mark(totp) != facts["mark"]:  # another one by now, of which another mail tells
                return False
            db.delete(totp)
            db.flush()
            settle_without(db, account_id)
            return True
        case _:
            codes = db.scalars(select(RecoveryCode.id).where(RecoveryCode.account_id == account_id)).all()
            db.execute(delete(RecoveryCode).where(RecoveryCode.id.in_(codes)))
            return bool(codes)
