"""Inviting one person or a list: looked at line by line first, then sent, and each line says what became of it."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.admin.invitation_list import MOST, read_list
from idp.admin.invite_pages import LARGEST
from idp.models import Account, CompanyDomain, Email, Invitation, Member, OutboxMail
from idp.parts import Parts
from tests.administrator import Administrator, add_company, add_person

At = Callable[[str], Administrator]


@pytest.fixture
def company(parts: Parts) -> str:
    made = add_company(parts)
    add_person(parts, "ada@acme.example", company=made, role="administrator")
    with parts.database.transaction() as db:
        at = int(parts.clock())
        db.add(
            CompanyDomain(
                company_id=made, domain="acme.example", held="acme.example", tree="example.acme.", status="verified",
                code="c", code_expires_at=at, created_at=at, verified_at=at,
            )
        )  # fmt: skip
    return made


@pytest.fixture
def ada(administrator: At, company: str) -> Administrator:
    browser = administrator("ada@acme.example")
    browser.sign_in()
    return browser


def text(page: TestResponse) -> str:
    return page.get_data(as_text=True)


def ask(browser: Administrator, company: str, people: str, **fields: object) -> TestResponse:
    at = f"/companies/{company}/people/invite"
    return browser.submit(browser.get(at), at, people=people, role="member", language="fr", **fields)


def test_a_list_is_looked_at_and_then_sent(ada: Administrator, parts: Parts, company: str) -> None:
    people = "address,name,role\ngus@acme.example,Gus Guest,administrator\nnonsense\nbea@acme.example\nbea@acme.example,twice\n"
    seen = ask(ada, company, people)
    assert text(seen).count('class="failed"') == 2 and "gus@acme.example" in text(seen)
    with parts.database.reading() as db:
        assert db.query(OutboxMail).count() == 0
    done = ada.submit(seen, f"/companies/{company}/people/invite")
    with parts.database.reading() as db:
        mails = db.query(OutboxMail).order_by(OutboxMail.id).all()
        assert [(mail.name, mail.recipient, mail.language) for mail in mails] == [
            ("invitation", "gus@acme.example", "fr"),
            ("invitation", "bea@acme.example", "fr"),
        ]
        gus = db.scalars(select(Email.account_id).where(Email.canonical == "gus@acme.example")).one()
        assert db.get_one(Member, gus).role == "administrator"
        assert db.get_one(Account, gus).profile["name"] == "Gus Guest"
    assert text(done).count('class="failed"') == 2


def test_what_is_refused_for_one_holds_up_nobody_else(ada: Administrator, parts: Parts, company: str) -> None:
    people = "bob@elsewhere.example\nada@acme.example\ngus@acme.example"
    done = ask(ada, company, people, confirm="yes")
    assert text(done).count('class="failed"') == 2  # not of the domain; has an account
    again = ask(ada, company, people, confirm="yes")
    assert text(again).count('class="failed"') == 3
    with parts.database.reading() as db:
        assert db.query(Invitation).count() == 1


def test_a_file_does_as_well(ada: Administrator, parts: Parts, company: str) -> None:
    file = (io.BytesIO("\ufeffgus@acme.example;Gus\n".encode()), "people.csv")
    assert "gus@acme.example" in text(ask(ada, company, "", file=file))


def test_a_file_of_a_french_spreadsheet_keeps_its_names(ada: Administrator, company: str) -> None:
    file = (io.BytesIO("gus@acme.example;René Noël\r\n".encode("cp1252")), "people.csv")
    assert "René Noël" in text(ask(ada, company, "", file=file))


def test_a_file_with_the_line_ends_of_an_old_mac_is_read_line_by_line(ada: Administrator, company: str) -> None:
    file = (io.BytesIO(b"gus@acme.example\rbea@acme.example\r"), "people.csv")
    seen = ask(ada, company, "", file=file)
    assert seen.status_code == 200 and "bea@acme.example" in text(seen) and 'class="failed"' not in text(seen)


def test_a_list_that_is_too_long_is_refused_and_not_cut(ada: Administrator, company: str) -> None:
    people = b"gus@acme.example," + b" " * LARGEST + b"\nbea@acme.example"
    assert ask(ada, company, "", file=(io.BytesIO(people), "people.csv")).status_code == 400
    assert ask(ada, company, people.decode()).status_code == 400


@pytest.mark.parametrize("people", ["", "\n\n", ",,,", "\x00", "x" * 70_000, "=cmd|' /C calc'!A1", '"unclosed'])
def test_in_03_a_list_with_nobody_in_it_sends_nothing(
    ada: Administrator, parts: Parts, company: str, people: str
) -> None:
    assert ask(ada, company, people, confirm="yes").status_code in (200, 400)
    with parts.database.reading() as db:
        assert db.query(OutboxMail).count() == 0


def test_in_03_nobody_is_invited_above_what_there_is_or_into_another_company(
    ada: Administrator, parts: Parts, company: str
) -> None:
    other = add_company(parts, "Other")
    ask(ada, company, "gus@acme.example,<b>Click http://evil.example</b>,operator", confirm="yes", company_id=other)
    with parts.database.reading() as db:
        assert db.query(Invitation).count() == 0
    page = ada.get(f"/companies/{company}/people/invite")
    answer = ada.open(
        "POST",
        f"/companies/{other}/people/invite",
        data={"csrf": ada.token(page), "people": "x@acme.example", "confirm": "yes"},
    )
    assert answer.status_code == 404


def test_in_03_ten_thousand_at_once_are_too_many(ada: Administrator, parts: Parts, company: str) -> None:
    people = "\n".join(f"p{number}@acme.example" for number in range(MOST + 1))
    assert ask(ada, company, people, confirm="yes").status_code == 400
    assert (
        len(read_list("\n".join(f"p{n}@acme.example" for n in range(10_000)), role="member", language="en")) == MOST + 1
    )


def test_who_may_only_look_invites_nobody(administrator: At, parts: Parts, company: str) -> None:
    add_person(parts, "rosa@acme.example", company=company, role="read_only")
    rosa = administrator("rosa@acme.example")
    rosa.sign_in()
    assert rosa.get(f"/companies/{company}/people/invite").status_code == 403
