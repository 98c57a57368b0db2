"""A company's people: found page by page, taken along as a file, seen by whoever may."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from idp.admin.people_pages import AT_ONCE
from idp.models import Account, AuditEvent
from idp.parts import Parts
from idp.search_terms import write_terms
from tests.administrator import Administrator, add_company, add_person

At = Callable[[str], Administrator]


@pytest.fixture
def company(parts: Parts) -> str:
    made = add_company(parts)
    add_person(parts, "ada@acme.example", company=made, role="administrator")
    return made


@pytest.fixture
def ada(administrator: At, company: str) -> Administrator:
    browser = administrator("ada@acme.example")
    browser.sign_in()
    return browser


def text(page: object) -> str:
    return str(page.get_data(as_text=True))  # type: ignore[attr-defined]


def find(browser: Administrator, company: str, **fields: str) -> str:
    address = f"/companies/{company}/people"
    return text(browser.submit(browser.get(address), address, **fields))


def test_people_are_listed_with_what_is_known_of_them(ada: Administrator, parts: Parts, company: str) -> None:
    add_person(parts, "bob@acme.example", company=company, role="read_only")
    shown = text(ada.get(f"/companies/{company}/people"))
    assert "ada@acme.example" in shown and "bob@acme.example" in shown
    assert "Administrator" in shown and "Password" in shown


def test_they_are_found_by_the_beginning_of_an_address_and_by_state(
    ada: Administrator, parts: Parts, company: str
) -> None:
    add_person(parts, "bob@acme.example", company=company)
    found = find(ada, company, q="BO")
    assert "bob@acme.example" in found and 'href="/companies/' in found
    assert f"/people/{'x'}" not in found
    assert "bob@acme.example" not in find(ada, company, state="suspended")


def test_what_is_looked_for_stands_in_no_address(ada: Administrator, company: str) -> None:
    address = f"/companies/{company}/people"
    page = ada.submit(ada.get(address), address, q="ada@acme.example")
    assert page.request.query_string == b""


def test_nobody_of_another_company_is_found(ada: Administrator, parts: Parts, company: str) -> None:
    other = add_company(parts, "Other")
    add_person(parts, "adam@other.example", company=other)
    assert "adam@other.example" not in find(ada, company, q="ada")


def test_page_follows_page_until_all_were_shown(ada: Administrator, parts: Parts, company: str) -> None:
    for number in range(AT_ONCE + 5):
        add_person(parts, f"p{number:03}@acme.example", company=company)
    address = f"/companies/{company}/people"
    first = ada.get(address)
    assert text(first).count('class="badge"') <= AT_ONCE and "p000@" in text(first)
    second = ada.submit(first, address, **_hidden(text(first)))
    assert "p054@" in text(second) and "p000@" not in text(second)


def _hidden(html: str) -> dict[str, str]:
    import re
    from html import unescape

    after = re.search(r'name="after" value="([^"]*)"', html)
    assert after is not None
    return {"after": unescape(after[1]), "q": "", "state": ""}


@pytest.mark.parametrize(
    "fields",
    [
        {"q": "' OR 1=1 --"},
        {"q": "%"},
        {"q": "_" * 5000},
        {"q": "a\x00b"},
        {"q": "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")},
        {"state": "password_hash"},
        {"limit": "1000000000", "sort": "password_hash"},
    ],
)
def test_ad_10_odd_searches_find_nobody_they_should_not(
    ada: Administrator, parts: Parts, company: str, fields: dict[str, str]
) -> None:
    other = add_company(parts, "Other")
    add_person(parts, "adam@other.example", company=other)
    shown = find(ada, company, **fields)
    assert 'id="people-page"' in shown and "adam@other.example" not in shown


def test_ad_10_a_place_that_is_none_is_refused(ada: Administrator, company: str) -> None:
    address = f"/companies/{company}/people"
    for after in ("x", "W10=", "A" * 5000, "eyJhIjoxfQ=="):
        assert ada.submit(ada.get(address), address, after=after).status_code == 400


def test_ad_11_the_file_holds_everybody_and_no_formula(ada: Administrator, parts: Parts, company: str) -> None:
    for number, name in enumerate(("=cmd|'/c calc'!A1", "+1", "-1", "@SUM(A1)", '"quoted", with a comma')):
        account_id = add_person(parts, f"p{number}@acme.example", company=company)
        with parts.database.transaction() as db:
            account = db.get_one(Account, account_id)
            account.profile = {"name": name}
            write_terms(db, account)
    page = ada.submit(ada.get(f"/companies/{company}/people"), f"/companies/{company}/people/export")
    lines = text(page).splitlines()
    assert page.content_type == "text/csv; charset=utf-8" and len(lines) == 7
    assert lines[0].startswith("address,name,role,state")
    assert "p0@acme.example,'=cmd|'/c calc'!A1,member,active" in text(page)
    assert "'+1" in text(page) and "'-1" in text(page) and "'@SUM(A1)" in text(page)
    assert '"""quoted"", with a comma"' in text(page)
    with parts.database.reading() as db:
        assert db.query(AuditEvent).filter_by(event="company.people_exported").count() == 1


def test_another_company_has_no_such_pages(administrator: At, parts: Parts, company: str) -> None:
    other = add_company(parts, "Other")
    add_person(parts, "eve@other.example", company=other, role="administrator")
    eve = administrator("eve@other.example")
    page = eve.sign_in(f"/companies/{other}/people")
    assert eve.get(f"/companies/{company}/people").status_code == 404
    answer = eve.open("POST", f"/companies/{company}/people/export", data={"csrf": eve.token(page)})
    assert answer.status_code == 404
