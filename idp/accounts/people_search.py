"""Looking for people among as many as there are: by the beginning of an address, a name or a domain, page by page. A working.

What a page costs does not depend on how many people there are: it is read along an index, from where the page before ended, and no
further than ``MOST_LOOKED_AT``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from sqlalchemy import Select, and_, exists, or_, select, tuple_
from sqlalchemy.orm import Session as Transaction
from sqlalchemy.orm import aliased

from idp.accounts.invitations import INACTIVE_AFTER, Standing, State, standings
from idp.models import Account, Company, Email, Member, SearchTerm
from idp.search_terms import KINDS, Kind, fold, full_name

MOST_LOOKED_AT = 5000  # entries for one page: a state that hardly anybody is in is looked for in several
PARCEL = 200  # entries that are read at once, at most
LAST = "\U0010ffff"  # no text has this character, and none sorts behind it


class WrongPlace(ValueError):
    """What is to be gone on from is no end of a page."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who is looked for.

    :ivar text: the beginning of an address, of a word of a name, or of a domain; "@" before it: of a domain. "": everybody.
    :ivar company_id: whose people; None: of all and of none.
    :ivar state: what has become of them; None: whatever has.
    :ivar inactive_after: days without a sign-in.
    """

    text: str = ""
    company_id: str | None = None
    state: State | None = None
    inactive_after: int = INACTIVE_AFTER


@dataclass(frozen=True, slots=True)
class Found:
    """Somebody.

    :ivar address: the primary one, as it was written; ``name``: "" if nobody knows it.
    :ivar company_id: the company that they belong to, ``company`` its name; None and "": to none.
    """

    account_id: str
    address: str
    name: str
    company_id: str | None
    company: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the people, in the order of what they were found by: addresses, then names, then domains.

    :ivar after: where the next page goes on; None: this was the last. It holds an address or a name: it goes into no log. A page
        that has one may be shorter than was asked for, or empty.
    """

    people: list[Found] = field(default_factory=list)
    after: str | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    kind: Kind
    term: str
    account_id: str


def search_people(db: Transaction, wanted: Wanted, *, limit: int, now: float, after: str | None = None) -> Page:
    """One page of the people who are ``wanted``, at most ``limit`` of them; ``after``: from the page before.

    :raises WrongPlace: ``after`` is from no page.
    """
    people: list[Found] = []
    looked_at, last = 0, None if after is None else _read_place(after)
    at_once = PARCEL if wanted.state else min(limit + 1, PARCEL)
    for parcel in _parcels(db, wanted, last, at_once):
        known = _people(db, [entry.account_id for entry, again in parcel if not again], wanted, now)
        for entry, again in parcel:
            if len(people) == limit:
                return Page(people, _place(last))
            last = entry
            one = None if again else known.get(entry.account_id)
            if one is not None and wanted.state in (None, one.standing.state):
                people.append(one)
        looked_at += len(parcel)
        if looked_at >= MOST_LOOKED_AT:
            return Page(people, _place(last))
    return Page(people)


def _parcels(db: Transaction, wanted: Wanted, last: _Entry | None, at_once: int) -> Iterator[list[tuple[_Entry, bool]]]:
    """What the text is the beginning of, and whether its person was found before by something else."""
    text, kinds = fold(wanted.text), KINDS
    if text.startswith("@"):
        text, kinds = text[1:], ("domain",)
    elif not text:
        kinds = ("address",)
    for number, kind in enumerate(kinds):
        if last is not None and last.kind in kinds[number + 1 :]:
            continue
        start = (last.term, last.account_id) if last is not None and last.kind == kind else (text, "")
        while True:
            found = _entries(kind, text, kinds[:number], start, wanted.company_id).limit(at_once)
            rows = db.execute(found).all()
            if rows:
                yield [(_Entry(kind, term, account_id), again) for term, account_id, again in rows]
            if len(rows) < at_once:
                break
            start = (rows[-1].term, rows[-1].account_id)


def _entries(
    kind: Kind, text: str, before: Collection[Kind], start: tuple[str, str], company_id: str | None
) -> Select[str, str, bool]:
    here, other = SearchTerm, aliased(SearchTerm)
    again = exists().where(
        other.account_id == here.account_id,
        other.term >= text,
        other.term < text + LAST,
        or_(other.kind.in_(before), and_(other.kind == kind, other.term < here.term)),
    )
    query = select(here.term, here.account_id, again).where(
        here.kind == kind, here.term < text + LAST, tuple_(here.term, here.account_id) > start
    )
    if company_id is not None:
        query = query.where(here.company_id == company_id)
    return query.order_by(here.term, here.account_id)


def _people(db: Transaction, ids: list[str], wanted: Wanted, now: float) -> dict[str, Found]:
    known = standings(db, now=now, among=ids, inactive_after=wanted.inactive_after)
    rows = db.execute(
        select(Account.id, Account.profile, Email.address, Company.id, Company.name)
        .join(Email, and_(Email.account_id == Account.id, Email.primary))
        .outerjoin(Member, Member.account_id == Account.id)
        .outerjoin(Company, Company.id == Member.company_id)
        .where(Account.id.in_(ids))
    )
    return {
        account_id: Found(account_id, address, full_name(profile), company_id, company or "", known[account_id])
        for account_id, profile, address, company_id, company in rows
    }


def _place(entry: _Entry | None) -> str | None:
    if entry is None:
        return None
    text = json.dumps([entry.kind, entry.term, entry.account_id], ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_place(place: str) -> _Entry:
    try:
        kind, term, account_id = json.loads(base64.b64decode(place, altchars=b"-_", validate=True))
    except (ValueError, TypeError, RecursionError) as error:
        raise WrongPlace from error
    if kind not in KINDS:
        raise WrongPlace
    return _Entry(kind, fold(str(term)), fold(str(account_id)))
