"""What a person is found by: the beginnings of their addresses, of the words of their name, and of their domains. A working.

Capitals, accents and spaces do not count. ``accounts/people_search.py`` reads what stands here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from sqlalchemy import delete, select
from sqlalchemy.orm import Session as Transaction

from idp.models import Account, Member, SearchTerm

Kind = Literal["address", "name", "domain"]
KINDS: tuple[Kind, ...] = get_args(Kind)  # in this order people are found
NAMES = frozenset({"name", "given_name", "middle_name", "family_name"})  # the claims that a name is made of
LONGEST = 320  # characters of a term: the longest address
MOST_WORDS = 6  # of a name by which somebody is found


def fold(text: str) -> str:
    """What counts of a text when people are looked for: no capitals, no accents, no invisible characters, single spaces."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    spaced = "".join(" " if one.isspace() else one for one in plain)
    kept = "".join(one for one in spaced if unicodedata.category(one)[0] not in "CM")
    return " ".join(kept.split())[:LONGEST].rstrip()


def terms_of(profile: Mapping[str, Any], addresses: Iterable[str]) -> set[tuple[Kind, str]]:
    """What somebody is found by.

    :param profile: their standard claims; ``addresses``: theirs, in each spelling by which they are found.
    """
    found: set[tuple[Kind, str]] = set()
    for address in addresses:
        local, _, domain = fold(address).rpartition("@")
        # Of a domain the people stand in the order of their addresses.
        found |= {("address", f"{local}@{domain}"), ("domain", f"{domain} {local}")}
    words = fold(full_name(profile)).split()
    found |= {("name", " ".join(words[at:])) for at in range(min(len(words), MOST_WORDS))}
    return found


def full_name(profile: Mapping[str, Any]) -> str:
    """The name of somebody by their standard claims; "" if they say none."""
    parts = [str(profile[name]) for name in ("given_name", "middle_name", "family_name") if profile.get(name)]
    return str(profile.get("name") or " ".join(parts))


def write_terms(db: Transaction, account: Account) -> None:
    """Let an account be found by what stands in it now."""
    spelled = [text for email in account.emails for text in (email.canonical, email.address)]
    wanted = terms_of(account.profile, spelled)
    rows = db.execute(select(SearchTerm.kind, SearchTerm.term).where(SearchTerm.account_id == account.id))
    there = {(kind, term) for kind, term in rows}
    for kind, term in there - wanted:
        one = (SearchTerm.account_id == account.id, SearchTerm.kind == kind, SearchTerm.term == term)
        db.execute(delete(SearchTerm).where(*one))
    if wanted - there:
        company_id = db.scalar(select(Member.company_id).where(Member.account_id == account.id))
        db.add_all(
            SearchTerm(account_id=account.id, kind=kind, term=term, company_id=company_id)
            for kind, term in sorted(wanted - there)
        )
        db.flush()
