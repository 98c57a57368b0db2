"""Lists of people who are invited one after the other, by the worker, and taken back as one. A working.

A list is read and kept as a draft; nothing is sent before somebody has looked at it. Each person is a transaction of their own, in which
they are invited and their line says so: what is refused for one holds up nobody else, and a worker that is cut off leaves nothing half
done and nobody invited twice. What its sender may no longer do is refused line by line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session as Transaction

from idp.accounts.identity import read_address
from idp.accounts.invitations import Guest, Host, InvitationRefused, invitations_left, invite, withdraw
from idp.accounts.lifecycle import AddressTaken, find_account
from idp.admin.invitation_list import Line
from idp.admin.staff import Right, find_actor_of
from idp.companies import CompanyRefused
from idp.database import Database
from idp.models import BulkInvitation, BulkLine
from idp.sealing import Sealer

PARCEL = 20  # people before the worker looks at another list
LEASE = 120  # seconds after which another worker takes a list over
LATER = 900  # seconds until a company that has sent as many mails as it may in a day is looked at again
NAME = 8  # random bytes in the name of a list

State = Literal["draft", "running", "done", "undoing", "undone"]
STATES: tuple[State, ...] = get_args(State)
# In which state the lines are that there is still something to be done with, by that of the list.
_UNFINISHED = {"running": "waiting", "undoing": "invited"}


@dataclass(frozen=True, slots=True)
class Means:
    """What inviting takes. ``clock``: seconds since 1970; ``random``: so many bytes."""

    database: Database
    sealer: Sealer
    clock: Callable[[], float]
    random: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a list is.

    :ivar counts: how many of its lines are waiting, invited, failed, undone, kept (they had accepted already).
    :ivar held_up: as many mails as one company may send in a day have gone out; the others follow by themselves.
    """

    id: str
    state: State
    created_at: int
    counts: Mapping[str, int]
    held_up: bool

    @property
    def whole(self) -> int:
        """How many lines it has."""
        return sum(self.counts.values())

    @property
    def under_way(self) -> bool:
        """Whether the worker has something to do."""
        return self.state in ("running", "undoing")


def draft(
    db: Transaction,
    company_id: str,
    account_id: str,
    lines: Sequence[Line],
    *,
    language: str,
    now: float,
    random: Callable[[int], bytes],
) -> str:
    """Keep a list that was read, so that it can be looked at; return its name. An earlier draft of the same person goes."""
    mine = BulkInvitation.company_id == company_id, BulkInvitation.account_id == account_id
    db.execute(delete(BulkInvitation).where(*mine, BulkInvitation.state == "draft"))
    name, at = random(NAME).hex(), int(now)
    db.add(
        BulkInvitation(
            id=name,
            company_id=company_id,
            account_id=account_id,
            language=language,
            state="draft",
            due_at=at,
            created_at=at,
        )
    )
    db.flush()
    for line in lines:
        good = line.address is not None
        db.add(
            BulkLine(
                bulk_id=name,
                number=line.number,
                written=line.address.written if line.address is not None else line.text,
                name=line.claims.get("name"),
                role=line.role,
                state="waiting" if good else "failed",
                wrong=line.wrong,
            )
        )
    return name


def find(db: Transaction, company_id: str, name: str, now: float) -> Progress | None:
    """How far a list of a company is; None when it has none of this name."""
    found = db.get(BulkInvitation, name)
    return _progress(db, found, now) if found is not None and found.company_id == company_id else None


def recent(db: Transaction, company_id: str, now: float) -> list[Progress]:
    """The latest lists of a company that were sent, newest first, at most ten."""
    query = select(BulkInvitation).where(BulkInvitation.company_id == company_id, BulkInvitation.state != "draft")
    newest = query.order_by(BulkInvitation.created_at.desc(), BulkInvitation.id).limit(10)
    return [_progress(db, one, now) for one in db.scalars(newest)]


def lines_of(db: Transaction, name: str, *states: str, limit: int | None = None) -> list[BulkLine]:
    """The lines of a list in these states (none named: in all), as they stood in it."""
    query = select(BulkLine).where(BulkLine.bulk_id == name)
    if states:
        query = query.where(BulkLine.state.in_(states))
    return list(db.scalars(query.order_by(BulkLine.number).limit(limit)))


def gives_roles(db: Transaction, name: str) -> bool:
    """Whether somebody on a list would become more than a member."""
    powerful = BulkLine.bulk_id == name, BulkLine.state == "waiting", BulkLine.role != "member"
    return bool(db.scalar(select(exists().where(*powerful))))


def send(db: Transaction, company_id: str, name: str, account_id: str, *, now: float) -> bool:
    """Have a draft sent, in the name of whoever says so; return False when it is none (it was sent already)."""
    draft_of = BulkInvitation.id == name, BulkInvitation.company_id == company_id, BulkInvitation.state == "draft"
    values = {"state": "running", "account_id": account_id, "due_at": int(now), "created_at": int(now)}
    return db.scalar(update(BulkInvitation).where(*draft_of).values(**values).returning(BulkInvitation.id)) is not None


def undo(db: Transaction, company_id: str, name: str, account_id: str, *, now: float) -> bool:
    """Send no more of a list, and take back what nobody has accepted yet; return False when there is nothing to take back."""
    sent = (
        BulkInvitation.id == name,
        BulkInvitation.company_id == company_id,
        BulkInvitation.state.in_(("running", "done")),
    )
    values = {"state": "undoing", "account_id": account_id, "due_at": int(now)}
    if db.scalar(update(BulkInvitation).where(*sent).values(**values).returning(BulkInvitation.id)) is None:
        return False
    waiting = BulkLine.bulk_id == name, BulkLine.state == "waiting"
    db.execute(update(BulkLine).where(*waiting).values(state="undone"))
    return True


def work_next(means: Means, name: str | None = None) -> bool:
    """Do a parcel of one list that is due: of ``name``, or of whichever has waited longest. Return whether there may be more."""
    now = int(means.clock())
    with means.database.transaction() as db:
        due = BulkInvitation.state.in_(("running", "undoing")), BulkInvitation.due_at <= now
        which = select(BulkInvitation).where(*due, *([BulkInvitation.id == name] if name else []))
        found = db.scalars(
            which.order_by(BulkInvitation.due_at, BulkInvitation.id).limit(1).with_for_update(skip_locked=True)
        ).first()
        if found is None:
            return False
        found.due_at = now + LEASE
        bulk_id, state = found.id, found.state
        parcel = PARCEL if state == "undoing" else min(PARCEL, invitations_left(db, found.company_id, now))
        numbers = [line.number for line in lines_of(db, bulk_id, _UNFINISHED[state], limit=parcel)]
    for number in numbers:
        (_invite_line if state == "running" else _take_back)(means, bulk_id, number)
    return _put_back(means, bulk_id, state, held_up=not parcel)


def _invite_line(means: Means, bulk_id: str, number: int) -> None:
    try:
        with means.database.transaction() as db:
            found = _held(db, bulk_id, number, "running")
            if found is None:
                return
            bulk, line = found
            if not invitations_left(db, bulk.company_id, means.clock()):  # another list was faster: this one waits
                return
            claims = {"locale": bulk.language} | ({"name": line.name} if line.name else {})
            guest = Guest(read_address(line.written), claims, bulk.company_id, line.role)
            invite(db, guest, _host(db, bulk, means))
            line.state = "invited"
            return
    except (CompanyRefused, InvitationRefused) as refused:
        wrong = f"reason.{refused.reason}.says"
    except AddressTaken:
        wrong = "reason.invite_known.says"
    _note(means, bulk_id, number, "waiting", "failed", wrong)


def _take_back(means: Means, bulk_id: str, number: int) -> None:
    try:
        with means.database.transaction() as db:
            found = _held(db, bulk_id, number, "undoing")
            if found is None:
                return
            bulk, line = found
            account = find_account(db, read_address(line.written).canonical)
            if account is not None:
                withdraw(db, account.id, bulk.company_id, _host(db, bulk, means))
            line.state = "undone"
            return
    except (CompanyRefused, InvitationRefused) as refused:
        wrong = "invite.kept" if refused.reason == "invite_none" else f"reason.{refused.reason}.says"
    _note(means, bulk_id, number, "invited", "kept", wrong)


def _held(db: Transaction, bulk_id: str, number: int, state: str) -> tuple[BulkInvitation, BulkLine] | None:
    """A list that is in this state and one of its lines, held; None when that has changed, or nothing is to be done with the line."""
    line = db.get(BulkLine, (bulk_id, number), with_for_update=True)
    bulk = db.get(BulkInvitation, bulk_id)
    if bulk is None or line is None or bulk.state != state or line.state != _UNFINISHED[state]:
        return None
    return bulk, line


def _note(means: Means, bulk_id: str, number: int, before: str, state: str, wrong: str) -> None:
    which = BulkLine.bulk_id == bulk_id, BulkLine.number == number, BulkLine.state == before
    with means.database.transaction() as db:
        db.execute(update(BulkLine).where(*which).values(state=state, wrong=wrong))


def _put_back(means: Means, bulk_id: str, state: str, *, held_up: bool) -> bool:
    """The list is free for the next parcel, or done. Return whether there may be more."""
    now = int(means.clock())
    with means.database.transaction() as db:
        bulk = db.get(BulkInvitation, bulk_id, with_for_update=True, populate_existing=True)
        if bulk is None or bulk.state != state:  # undone meanwhile: that is due at once
            return True
        if lines_of(db, bulk_id, _UNFINISHED[state], limit=1):
            bulk.due_at = now + LATER if held_up else now
            return not held_up
        bulk.state, bulk.due_at = "done" if state == "running" else "undone", now
    return True


def _host(db: Transaction, bulk: BulkInvitation, means: Means) -> Host:
    """Whoever has the list sent, with what they may do now."""
    one = find_actor_of(db, bulk.account_id)
    of_provider = one is not None and not one.administers(bulk.company_id) and one.may(Right.change_people)
    own = None if of_provider else bulk.account_id
    return Host(f"person:{bulk.account_id}", means.sealer, means.clock(), means.random, own)


def _progress(db: Transaction, bulk: BulkInvitation, now: float) -> Progress:
    counted = (
        select(BulkLine.state, func.count().label("many")).where(BulkLine.bulk_id == bulk.id).group_by(BulkLine.state)
    )
    found = {row.state: row.many for row in db.execute(counted)}
    counts = {state: found.get(state, 0) for state in ("waiting", "invited", "failed", "undone", "kept")}
    held_up = bulk.state == "running" and bulk.due_at > now + LEASE
    state = next(one for one in STATES if one == bulk.state)
    return Progress(bulk.id, state, bulk.created_at, counts, held_up)
