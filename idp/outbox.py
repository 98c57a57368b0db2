"""What waits in SQL to be sent: mail and logout notices. Rows are leased, so that two workers never send the same one.

A lease is a conditional UPDATE; whoever changed the row has it, until the lease ends. The lease is longer than a delivery
can take, and the try is counted when it begins, so that a row which kills its worker is tried a bounded number of times.
If a worker dies between the delivery and its record, the row is sent once more when the lease has ended: at least once,
never lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from sqlalchemy import ColumnElement, CursorResult, and_, or_, select, update
from sqlalchemy.orm import Session, aliased

from idp import audit
from idp.logs import printable
from idp.models import LogoutNotice, OutboxMail

if TYPE_CHECKING:
    from idp.clients import Clients
    from idp.database import Database

Row = TypeVar("Row", OutboxMail, LogoutNotice)

DAY = 86400
CANDIDATES = 10


@dataclass(frozen=True)
class Outcome:
    """How one delivery went. ``failed`` is tried again while tries are left, ``bounced`` and ``given_up`` are final.

    ``answer`` is what the other side said, for operators.
    """

    state: Literal["sent", "bounced", "given_up", "failed"]
    answer: str


@dataclass(frozen=True)
class Outbox(Generic[Row]):
    """The rules of one table. Durations are seconds.

    ``pauses`` stand between the tries, so there is one try more than pauses. A row that nobody could take up for
    ``worth`` is given up. ``apart``: rows with the same value here are sent one after the other, so that one slow
    receiver occupies one sender.
    """

    table: type[Row]
    lease_seconds: int
    pauses: tuple[int, ...]
    worth: int
    apart: str = ""  # the name of a column

    def deliver(self, database: Database, send: Callable[[Row], Outcome], clock: Callable[[], float]) -> bool:
        """Lease one due row, send it, record how it went. Returns whether it is worth coming again at once.

        :raises Unavailable: SQL does not answer.
        """
        row = self.lease(database, clock())
        if row is None:
            return False
        try:
            outcome = send(row)
        except Exception as error:
            # Counted like any other failed try, so that a row which cannot be sent does not stand in front of the rest.
            self.settle(database, row, Outcome("failed", error.__class__.__name__), clock())
            raise
        self.settle(database, row, outcome, clock())
        return outcome.state != "failed"

    def lease(self, database: Database, now: float) -> Row | None:
        """Take the row that is due first, for ``lease_seconds``. The row is detached from the database.

        :raises Unavailable: SQL does not answer.
        """
        table, at = self.table, int(now)
        due = and_(
            table.state == "waiting",
            table.next_try_at <= at,
            table.next_try_at > at - self.worth,
            table.tries <= len(self.pauses),
            or_(table.leased_until.is_(None), table.leased_until <= at),
            *self._receiver_is_free(at),
        )
        with database.reading() as db:
            candidates = db.scalars(select(table.id).where(due).order_by(table.next_try_at).limit(CANDIDATES)).all()
        for number in candidates:
            with database.transaction() as db:
                taken = update(table).where(table.id == number, due)
                if _changed(db, taken.values(leased_until=at + self.lease_seconds, tries=table.tries + 1)):
                    row: Row = db.get_one(table, number)
                    db.expunge(row)
                    return row
        return None

    def settle(self, database: Database, row: Row, outcome: Outcome, now: float) -> None:
        """Record how the delivery of a leased row went. Without effect if the lease was lost to another worker.

        :raises Unavailable: SQL does not answer.
        """
        answer = printable(outcome.answer, 500)
        changes: dict[str, Any] = {"state": outcome.state, "leased_until": None, "last_answer": answer}
        if outcome.state == "failed" and row.tries <= len(self.pauses):
            changes |= {"state": "waiting", "next_try_at": int(now) + self.pauses[row.tries - 1]}
        elif outcome.state == "failed":
            changes["state"] = "given_up"
        elif outcome.state == "sent":
            changes["sent_at"] = int(now)
            if self.table is OutboxMail:
                changes["values"] = {}  # what was in it is nobody's business any more
        ours = (self.table.id == row.id, self.table.leased_until == row.leased_until, self.table.tries == row.tries)
        with database.transaction() as db:
            _changed(db, update(self.table).where(*ours).values(changes))

    def give_up_abandoned(self, database: Database, now: float) -> None:
        """Close rows that no worker will take up again: too old, or its worker died in the last try."""
        table, at = self.table, int(now)
        abandoned = (
            table.state == "waiting",
            or_(table.next_try_at <= at - self.worth, table.tries > len(self.pauses)),
            or_(table.leased_until.is_(None), table.leased_until <= at),
        )
        with database.transaction() as db:
            _changed(db, update(table).where(*abandoned).values(state="given_up", leased_until=None))

    def retry(self, db: Session, numbers: Sequence[int] | None, now: float) -> list[int]:
        """Make rows due now, with all their tries: those given, or (None) all that bounced or were given up.

        Rows that were sent, or are being sent at this moment, stay. Returns the numbers of the changed rows.
        """
        table = self.table
        stuck = table.state.in_(("bounced", "given_up"))
        if numbers is None:
            chosen: ColumnElement[bool] = stuck
        else:
            resting = or_(table.leased_until.is_(None), table.leased_until <= int(now))
            chosen = and_(table.id.in_(numbers), or_(stuck, and_(table.state == "waiting", resting)))
        again = update(table).where(chosen).values(state="waiting", tries=0, next_try_at=int(now), leased_until=None)
        return sorted(db.scalars(again.returning(table.id)).all())

    def _receiver_is_free(self, at: int) -> list[ColumnElement[bool]]:
        if not self.apart:
            return []
        other = aliased(self.table)
        busy = select(getattr(other, self.apart)).where(other.state == "waiting", other.leased_until > at)
        return [getattr(self.table, self.apart).not_in(busy)]


def retry_mails(db: Session, numbers: Sequence[int] | None, *, actor: str, now: float) -> list[int]:
    """``Outbox.retry`` for mail, each noted in the audit. ``actor`` as there."""
    again = MAILS.retry(db, numbers, now)
    for number in again:
        audit.record(db, audit.Event.mail_retried, now=now, actor=actor, mail=number)
    return again


MAILS = Outbox(
    OutboxMail,
    lease_seconds=400,  # longer than the mail server may take: see mail.ANSWER_SECONDS
    pauses=(60, 5 * 60, 15 * 60, 3600, 3 * 3600, 6 * 3600, 12 * 3600),
    worth=3 * DAY,
)

LOGOUT_NOTICES = Outbox(
    LogoutNotice,
    lease_seconds=30,  # one call takes at most fetch.TOTAL_SECONDS
    pauses=(5, 30, 2 * 60, 8 * 60),
    worth=DAY,
    apart="client_id",
)


def queue_logout(db: Session, products: Iterable[tuple[str, str, str]], clients: Clients, now: float) -> None:
    """Note that products must hear of an ended session (OpenID Connect Back-Channel Logout 1.0), in the caller's transaction.

    :param products: ``(client_id, sid, sub)`` of every grant of the session; those without a back-channel address are
        left out.
    """
    for client_id, sid, sub in sorted(set(products)):
        client = clients.find(client_id)
        if client is not None and client.backchannel_logout_uri:
            db.add(LogoutNotice(client_id=client_id, sid=sid, sub=sub, created_at=int(now), next_try_at=int(now)))


def _changed(db: Session, statement: Any) -> bool:
    return cast("CursorResult[Any]", db.execute(statement)).rowcount > 0
