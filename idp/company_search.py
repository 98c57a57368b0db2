"""Looking for companies among as many as there are: by the beginning of a word of their name, or by a domain, page by page. A working.

What a page costs does not depend on how many companies there are: it is read along an index, from where the page before ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import Select, and_, delete, exists, or_, select, tuple_
from sqlalchemy.orm import Session as Transaction
from sqlalchemy.orm import aliased

from idp.models import Company, CompanyDomain, CompanyTerm
from idp.search_terms import fold

Kind = Literal["name", "word"]
KINDS: tuple[Kind, ...] = get_args(Kind)  # in this order companies are found
MOST_WORDS = 12  # of a name by which a company is found
LAST = "\U0010ffff"  # no text has this character, and none sorts behind it


class WrongPlace(ValueError):
    """What is to be gone on from is no end of a page."""


@dataclass(frozen=True, slots=True)
class Found:
    """A company: ``domains`` are those that it has proved, in their order; ``sso`` as in its policy."""

    id: str
    name: str
    sso: str
    domains: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the companies, in the order of what they were found by. ``after``: where the next page goes on; None: this was the last."""

    companies: list[Found]
    after: str | None = None


def company_terms(name: str) -> set[tuple[Kind, str]]:
    """What a company of this name is found by."""
    words = fold(name).split()
    whole: set[tuple[Kind, str]] = {("name", " ".join(words))}
    return whole | {("word", " ".join(words[at:])) for at in range(1, min(len(words), MOST_WORDS))}


def write_company_terms(db: Transaction, company_id: str, name: str) -> None:
    """Let a company be found by this name, and by no other."""
    db.execute(delete(CompanyTerm).where(CompanyTerm.company_id == company_id))
    db.add_all(CompanyTerm(company_id=company_id, kind=kind, term=term) for kind, term in company_terms(name))
    db.flush()


def search_companies(db: Transaction, text: str, *, limit: int, after: str | None = None) -> Page:
    """One page of the companies that are looked for, at most ``limit`` of them; ``after``: from the page before.

    :param text: the beginning of a name, or of a word in it; or one of their domains. "": all.
    :raises WrongPlace: ``after`` is from no page.
    """
    wanted = fold(text)
    found: list[tuple[str, str, str]] = []
    if after is None and "." in wanted:
        owner = db.scalar(select(CompanyDomain.company_id).where(CompanyDomain.held == wanted))
        if owner is not None:
            return Page(_companies(db, [owner]))
    for row in _entries(db, wanted, None if after is None else _read_place(after), limit + 1):
        if len(found) == limit:
            return Page(_companies(db, [one[2] for one in found]), json.dumps(found[-1], ensure_ascii=False))
        found.append(row)
    return Page(_companies(db, [one[2] for one in found]))


def _entries(
    db: Transaction, text: str, last: tuple[str, str, str] | None, limit: int
) -> Iterator[tuple[str, str, str]]:
    """(kind, term, company) of what the text is the beginning of, each company once, behind ``last``."""
    for kind in KINDS if text else KINDS[:1]:
        if last is not None and KINDS.index(kind) < KINDS.index(last[0]):
            continue
        start = last[1:] if last is not None and last[0] == kind else (text, "")
        for term, company_id in db.execute(_range(kind, text, start).limit(limit)):
            yield kind, term, company_id


def _range(kind: Kind, text: str, start: Iterable[str]) -> Select[str, str]:
    here, other = CompanyTerm, aliased(CompanyTerm)
    again = exists().where(
        other.company_id == here.company_id,
        other.term >= text,
        other.term < text + LAST,
        or_(other.kind < kind, and_(other.kind == kind, other.term < here.term)),
    )
    chosen = select(here.term, here.company_id).where(
        here.kind == kind, here.term < text + LAST, tuple_(here.term, here.company_id) > tuple(start), ~again
    )
    return chosen.order_by(here.term, here.company_id)


def _companies(db: Transaction, ids: list[str]) -> list[Found]:
    known = {one.id: one for one in db.scalars(select(Company).where(Company.id.in_(ids)))}
    proved: dict[str, list[str]] = {}
    verified = select(CompanyDomain.company_id, CompanyDomain.domain).where(
        CompanyDomain.company_id.in_(ids), CompanyDomain.status == "verified"
    )
    for company_id, domain in db.execute(verified.order_by(CompanyDomain.domain)):
        proved.setdefault(str(company_id), []).append(domain)
    there = (known[company_id] for company_id in ids if company_id in known)
    return [Found(one.id, one.name, one.sso, tuple(proved.get(one.id, ()))) for one in there]


def _read_place(place: str) -> tuple[str, str, str]:
    try:
        kind, term, company_id = json.loads(place)
    except (ValueError, TypeError, RecursionError) as error:
        raise WrongPlace from error
    if kind not in KINDS:
        raise WrongPlace
    return kind, fold(str(term)), fold(str(company_id))
