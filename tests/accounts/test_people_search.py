"""People are found by the beginning of an address, a name or a domain, on both databases."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator

import pytest
from sqlalchemy import delete, select

from idp.accounts.lifecycle import change_claims, find_account, suspend
from idp.accounts.people_search import MOST_LOOKED_AT, PARCEL, Page, Wanted, WrongPlace, search_people
from idp.companies import create_company
from idp.database import Database
from idp.members import add_member, remove_member
from idp.models import Account, Company, SearchTerm
from idp.parts import Parts
from tests.backends import running_postgres
from tests.guests import invited
from tests.journey import add_carol


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with running_postgres() as server:
        yield server.new_database()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def anywhere(request: pytest.FixtureRequest, parts: Parts) -> Iterator[Parts]:
    if request.param == "sqlite":
        yield parts
        return
    url = request.getfixturevalue("postgres_url")
    database = Database(parts.config.model_copy(update={"database_url": url}))
    database.upgrade()
    yield dataclasses.replace(parts, database=database)
    with database.transaction() as db:
        db.execute(delete(Account))
        db.execute(delete(Company))
    database.close()


def add(parts: Parts, email: str, name: str = "") -> str:
    account_id = add_carol(parts, email)
    change(parts, email, name=name or None)
    return account_id


def change(parts: Parts, address: str, **claims: str | None) -> None:
    with parts.database.transaction() as db:
        account = find_account(db, address)
        assert account is not None
        change_claims(db, account, claims, actor="system", now=parts.clock())


def page(parts: Parts, wanted: Wanted, *, limit: int = 100, after: str | None = None) -> Page:
    with parts.database.reading() as db:
        return search_people(db, wanted, limit=limit, now=parts.clock(), after=after)


def found(parts: Parts, text: str = "", **filters: str) -> list[str]:
    whole = page(parts, Wanted(text, **filters))  # type: ignore[arg-type]  # a state is a literal
    assert whole.after is None
    return [one.address for one in whole.people]


def test_by_address_then_by_name_then_by_domain_and_everybody_once(anywhere: Parts) -> None:
    add(anywhere, "zoe@example.org", "Carol Zoe")
    add(anywhere, "carol@example.org", "Carol Doe")
    add(anywhere, "bob@carol.example", "Bob Carolus")
    add(anywhere, "dan@carol.example")
    add(anywhere, "eve@example.org", "Eve")
    both = ["carol@example.org", "zoe@example.org", "bob@carol.example", "dan@carol.example"]
    assert found(anywhere, "carol") == both
    assert found(anywhere, "carol ") == both
    assert found(anywhere, "doe") == ["carol@example.org"]
    assert found(anywhere, "@carol.ex") == ["bob@carol.example", "dan@carol.example"]
    assert found(anywhere, "@carol.example") == ["bob@carol.example", "dan@carol.example"]
    assert found(anywhere, "carol@example.org") == ["carol@example.org"]
    assert found(anywhere, "arol") == []


def test_capitals_and_accents_do_not_count(anywhere: Parts) -> None:
    add(anywhere, "jürgen@example.org", "Jürgen Groß")
    for text in ("JÜRGEN@", "jurgen", "Ju\u0308rgen g", "GROSS", "groß"):
        assert found(anywhere, text) == ["jürgen@example.org"], text


def test_what_is_a_pattern_elsewhere_is_text_here(anywhere: Parts) -> None:
    for email in ("a_b@example.org", "axb@example.org", "a%b@example.org"):
        add(anywhere, email)
    assert found(anywhere, "a_b") == ["a_b@example.org"]
    assert found(anywhere, "a%") == ["a%b@example.org"]
    assert (
        found(anywhere, "%") == found(anywhere, "_") == found(anywhere, "a' OR 1=1 --") == found(anywhere, "\\") == []
    )
    assert len(found(anywhere, "\x00\ud800")) == 3, "nothing that counts: everybody"


def test_what_changes_is_found_anew(anywhere: Parts) -> None:
    add(anywhere, "carol@example.org", "Carol Doe")
    change(anywhere, "carol@example.org", email="kate@example.net", name="Kate Roe")
    assert found(anywhere, "carol") == found(anywhere, "doe") == found(anywhere, "@example.org") == []
    assert found(anywhere, "kate") == found(anywhere, "roe") == found(anywhere, "@example.net") == ["kate@example.net"]
    change(anywhere, "kate@example.net", name=None)
    assert found(anywhere, "roe") == []
    with anywhere.database.transaction() as db:
        db.execute(delete(Account))
    assert found(anywhere) == []
    with anywhere.database.reading() as db:
        assert db.scalars(select(SearchTerm)).all() == []


def test_the_people_of_a_company(anywhere: Parts) -> None:
    with anywhere.database.transaction() as db:
        company = create_company(db, "Acme", actor="system", now=anywhere.clock(), random=anywhere.random)
    ours, other = add(anywhere, "ann@example.org", "Ann"), add(anywhere, "alf@example.org", "Alf")
    with anywhere.database.transaction() as db:
        for account_id in (ours, other):
            add_member(db, company.id, account_id, "member", actor="system", now=0, vouched=True)
    add(anywhere, "amy@example.org", "Amy")
    change(anywhere, "ann@example.org", name="Ann Other")
    assert found(anywhere, company_id=company.id) == ["alf@example.org", "ann@example.org"]
    assert found(anywhere, "oth", company_id=company.id) == ["ann@example.org"]
    [one] = page(anywhere, Wanted("ann")).people
    assert (one.account_id, one.name, one.company_id, one.company) == (ours, "Ann Other", company.id, "Acme")
    with anywhere.database.transaction() as db:
        add_member(db, company.id, found_id(anywhere, "amy"), "administrator", actor="system", now=0, vouched=True)
        remove_member(db, company.id, other, actor="system", now=0)
    assert found(anywhere, company_id=company.id) == ["amy@example.org", "ann@example.org"]
    with anywhere.database.transaction() as db:
        db.delete(db.get_one(Company, company.id))
    assert found(anywhere, company_id=company.id) == []
    assert found(anywhere, "a") == ["alf@example.org", "amy@example.org", "ann@example.org"]


def found_id(parts: Parts, text: str) -> str:
    [one] = page(parts, Wanted(text)).people
    return one.account_id


def test_by_what_has_become_of_them(anywhere: Parts) -> None:
    add(anywhere, "ann@example.org")
    add(anywhere, "bob@example.org")
    invited(anywhere, "kim@example.org")
    with anywhere.database.transaction() as db:
        bob = find_account(db, "bob@example.org")
        assert bob is not None
        suspend(db, bob, actor="system", now=anywhere.clock())
    assert found(anywhere, state="suspended") == ["bob@example.org"]
    assert found(anywhere, "@example.org", state="invited") == ["kim@example.org"]
    assert found(anywhere, state="active") == ["ann@example.org"]
    assert found(anywhere, state="closed") == []
    assert [one.address for one in page(anywhere, Wanted(state="inactive", inactive_after=-1)).people] == [
        "ann@example.org"
    ]


@pytest.mark.parametrize("text", ["", "pat", "@example.org"])
def test_pages_together_are_the_whole_and_nobody_is_there_twice(anywhere: Parts, text: str) -> None:
    for number in range(7):
        add(anywhere, f"p{number}@example.org", "Pat Patson")
    add(anywhere, "pat@example.org", "Pat")
    whole, several, after = found(anywhere, text), [], None
    while True:
        one = page(anywhere, Wanted(text), limit=3, after=after)
        several += [person.address for person in one.people]
        after = one.after
        if after is None:
            break
        assert len(one.people) == 3
    assert several == whole and len(set(whole)) == 8


def test_a_page_goes_no_further_than_so_many(parts: Parts) -> None:
    """Nobody of ten thousand is closed: it is said after a part of them, and where to go on."""
    with parts.database.transaction() as db:
        rows = [
            {"id": f"{n:032x}", "sub": f"s{n}", "state": "active", "profile": {}} for n in range(MOST_LOOKED_AT + 9)
        ]
        db.execute(Account.__table__.insert(), [row | {"created_at": 0, "updated_at": 0} for row in rows])
        db.execute(
            SearchTerm.__table__.insert(),
            [{"account_id": f"{n:032x}", "kind": "address", "term": f"p{n:06}@x"} for n in range(MOST_LOOKED_AT + 9)],
        )
    first = page(parts, Wanted(state="closed"))
    assert first.people == [] and first.after is not None
    assert page(parts, Wanted(state="closed"), after=first.after) == Page()
    assert MOST_LOOKED_AT % PARCEL == 0


@pytest.mark.parametrize(
    "place",
    ["", "x", "é", base64.b64encode(b"[1]").decode(), base64.b64encode(b'["other", "a", "b"]').decode(), "W" * 9000],
)
def test_a_place_that_no_page_has_said_is_refused(parts: Parts, place: str) -> None:
    with pytest.raises(WrongPlace):
        page(parts, Wanted(), after=place)


def test_a_place_with_strange_text_is_only_another_place(anywhere: Parts) -> None:
    add(anywhere, "carol@example.org")
    text = json.dumps(["address", "b\x00\ud800", ["x"]])
    assert page(anywhere, Wanted(), after=base64.urlsafe_b64encode(text.encode()).decode()).people != []
