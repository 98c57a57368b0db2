"""A changed password is told to its owner by mail: if it was somebody else, they know what to do. A working."""

from __future__ import annotations

from sqlalchemy.orm import Session as Transaction

from idp.accounts.lifecycle import primary_email
from idp.mail import queue_mail
from idp.models import Account
from idp.sealing import Sealer

MEND_PATH = "/forgot"  # where another one is set by whoever has the mailbox


def tell_changed_password(
    db: Transaction, account: Account, *, agent: str, address: str, language: str, sealer: Sealer, now: float
) -> None:
    """Queue the mail "password_changed" to the account's address, in the transaction of the change.

    It is never dropped: whoever calls it bounds how often that can be.

    :param agent: the browser it was done in (``devices.describe_agent``), or "" if it was the operators' doing.
    :param address: the network address it was done from, or "".
    """
    queue_mail(
        db,
        name="password_changed",
        recipient=primary_email(account).address,
        language=language,
        now=now,
        sealer=sealer,
        secrets={"link": MEND_PATH},
        always=True,
        agent=agent,
        address=address,
        at=int(now),
    )
