"""A company's settings: its name and whom to write to, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from werkzeug.test import TestResponse

from idp.models import Company
from idp.parts import Parts
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


def text(page: TestResponse) -> str:
    return page.get_data(as_text=True)


def write(browser: Administrator, company: str, **fields: str) -> TestResponse:
    at = f"/companies/{company}/settings"
    return browser.submit(browser.get(at), at, **fields)


def of(parts: Parts, company: str) -> tuple[str, list[str]]:
    with parts.database.reading() as db:
        row = db.get_one(Company, company)
        return row.name, row.contacts


def test_name_and_contacts_are_written(ada: Administrator, parts: Parts, company: str) -> None:
    page = write(ada, company, name="Acme  International", contacts="it@acme.example\r\nops@acme.example\r\n")
    assert 'role="status"' in text(page)
    assert of(parts, company) == ("Acme International", ["it@acme.example", "ops@acme.example"])


@pytest.mark.parametrize(
    ("name", "contacts"),
    [
        ("", "it@acme.example"),
        ("x" * 500, ""),
        ("New\u202e", ""),
        ("New", "nonsense"),
        ("New", "a@x.example a@x.example"),
        ("New", "a@x.example,b@x.example"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(
    ada: Administrator, parts: Parts, company: str, name: str, contacts: str
) -> None:
    page = write(ada, company, name=name, contacts=contacts)
    assert page.status_code == 409 and 'role="alert"' in text(page)
    assert of(parts, company) == ("Acme", [])


def test_who_may_only_look_changes_nothing(administrator: At, parts: Parts, company: str) -> None:
    add_person(parts, "rosa@acme.example", company=company, role="read_only")
    rosa = administrator("rosa@acme.example")
    page = rosa.sign_in(f"/companies/{company}/settings")
    assert "disabled" in text(page)
    answer = rosa.open("POST", f"/companies/{company}/settings", data={"csrf": rosa.token(page), "name": "Evil"})
    assert answer.status_code == 403 and of(parts, company)[0] == "Acme"
