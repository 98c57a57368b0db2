"""Inviting one person or a list: looked at line by line first, then sent, and each line says what became of it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts import invitations
from idp.admin.bulk_invitations import LATER, PARCEL, Means, work_next
from idp.admin.invitation_list import MOST, read_list
from idp.admin.invite_pages import LARGEST
from idp.models import Account, BulkInvitation, BulkLine, CompanyDomain, Email, Invitation, Member, OutboxMail
from idp.parts import Parts
from idp.worker import prune
from tests.administrator import Administrator, add_company, add_person
from tests.conftest import Clock

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
    """Have a list read; what is shown of it."""
    at = f"/companies/{company}/people/invite"
    return browser.submit(browser.get(at), at, people=people, role="member", language="fr", **fields)


def send(browser: Administrator, company: str, people: str) -> TestResponse:
    """Have a list read and sent."""
    return press(browser, ask(browser, company, people), "send")


def press(browser: Administrator, page: TestResponse, button: str) -> TestResponse:
    found = re.search(rf'action="([^"]+/{button})"', text(page))
    assert found is not None
    return browser.submit(page, found[1])


def again(browser: Administrator, page: TestResponse) -> TestResponse:
    """The same list as it is now."""
    return browser.get(page.request.path)


def count(page: TestResponse, state: str) -> int:
    found = re.search(rf'id="count-{state}">(\d+)<', text(page))
    return int(found[1]) if found else 0


def work(parts: Parts) -> None:
    """What the worker does, until there is nothing left that is due."""
    while work_next(Means(parts.database, parts.sealer, parts.clock, parts.random)):
        pass


def test_a_list_is_looked_at_and_then_sent(ada: Administrator, parts: Parts, company: str) -> None:
    people = "address,name,role\ngus@acme.example,Gus Guest,administrator\nnonsense\nbea@acme.example\nbea@acme.example,twice\n"
    seen = ask(ada, company, people)
    assert text(seen).count('class="failed"') == 2 and "gus@acme.example" in text(seen)
    assert (count(seen, "waiting"), count(seen, "failed")) == (2, 2)
    with parts.database.reading() as db:
        assert db.query(OutboxMail).count() == 0
    done = press(ada, seen, "send")
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
    assert (count(done, "invited"), count(done, "failed"), count(done, "waiting")) == (2, 2, 0)


def test_what_is_refused_for_one_holds_up_nobody_else(ada: Administrator, parts: Parts, company: str) -> None:
    people = "bob@elsewhere.example\nada@acme.example\ngus@acme.example"
    assert text(send(ada, company, people)).count('class="failed"') == 2  # not of the domain; has an account
    assert text(send(ada, company, people)).count('class="failed"') == 3
    with parts.database.reading() as db:
        assert db.query(Invitation).count() == 1


def test_a_long_list_goes_on_by_itself_and_says_how_far_it_is(ada: Administrator, parts: Parts, company: str) -> None:
    people = "\n".join(f"p{number}@acme.example" for number in range(3 * PARCEL))
    page = send(ada, company, people)
    assert (count(page, "invited"), count(page, "waiting")) == (PARCEL, 2 * PARCEL)
    assert f'<progress max="{3 * PARCEL}" value="{PARCEL}"' in text(page)
    work(parts)
    page = again(ada, page)
    assert (count(page, "invited"), count(page, "waiting")) == (3 * PARCEL, 0)
    assert "<progress" not in text(page)
    with parts.database.reading() as db:
        assert db.query(OutboxMail).count() == 3 * PARCEL
    assert page.request.path in text(ada.get(f"/companies/{company}/people/invite"))  # among the latest lists


def test_a_list_that_is_sent_twice_invites_nobody_twice(ada: Administrator, parts: Parts, company: str) -> None:
    draft = ask(ada, company, "gus@acme.example")
    press(ada, draft, "send")
    press(ada, draft, "send")
    with parts.database.reading() as db:
        assert db.query(OutboxMail).count() == 1


def test_a_worker_that_was_cut_off_is_followed_by_another(
    ada: Administrator, parts: Parts, company: str, clock: Clock
) -> None:
    page = send(ada, company, "\n".join(f"p{number}@acme.example" for number in range(2 * PARCEL)))
    with parts.database.transaction() as db:  # as a worker leaves it that took the list and did not come back
        db.query(BulkInvitation).update({"due_at": int(clock()) + 100})
    work(parts)
    assert count(again(ada, page), "waiting") == PARCEL
    clock.advance(101)
    work(parts)
    assert count(again(ada, page), "waiting") == 0


def test_a_list_is_taken_back(ada: Administrator, parts: Parts, company: str) -> None:
    page = send(ada, company, "\n".join(f"p{number}@acme.example" for number in range(2 * PARCEL)))
    with parts.database.transaction() as db:
        accepted = db.scalars(select(Email.account_id).where(Email.canonical == "p0@acme.example")).one()
        db.get_one(Invitation, accepted).accepted_at = int(parts.clock())
    page = press(ada, page, "undo")
    work(parts)
    page = again(ada, page)
    assert (count(page, "undone"), count(page, "kept"), count(page, "invited")) == (2 * PARCEL - 1, 1, 0)
    assert "Has accepted already" in text(page)
    with parts.database.reading() as db:
        assert db.scalars(select(Email.canonical).where(Email.canonical.like("p%"))).all() == ["p0@acme.example"]
        assert db.query(Invitation).count() == 1
    # And once more, whom it was taken back from can be invited.
    assert count(send(ada, company, "p1@acme.example"), "invited") == 1


def test_taking_back_leaves_what_somebody_has_used(
    ada: Administrator, parts: Parts, company: str, clock: Clock
) -> None:
    """An account that was there before the invitation stays; it belongs to the company no more."""
    add_person(parts, "gus@acme.example")
    with parts.database.transaction() as db:
        db.query(Email).filter_by(canonical="gus@acme.example").one().verified_at = None
    clock.advance(60)
    page = send(ada, company, "gus@acme.example")
    if count(page, "invited"):
        press(ada, page, "undo")
    with parts.database.reading() as db:
        gus = db.query(Email).filter_by(canonical="gus@acme.example").one().account_id
        assert db.get(Member, gus) is None
        assert db.get(Account, gus) is not None


def test_the_link_of_an_invitation_that_was_taken_back_opens_nothing(
    ada: Administrator, parts: Parts, company: str
) -> None:
    page = send(ada, company, "gus@acme.example")
    with parts.database.reading() as db:
        mail = db.query(OutboxMail).one()
        link = parts.sealer.open(mail.values["sealed"], f"invitation {mail.recipient}")["link"]
    press(ada, page, "undo")
    answer = ada.open("GET", f"{parts.config.issuer}{link}")
    assert 'id="error-page"' in text(ada.follow(answer)) or answer.status_code >= 400


def test_who_may_no_longer_invite_has_sent_the_last(
    ada: Administrator, parts: Parts, company: str, administrator: At
) -> None:
    page = send(ada, company, "\n".join(f"p{number}@acme.example" for number in range(2 * PARCEL)))
    with parts.database.transaction() as db:
        db.query(Member).filter_by(role="administrator").update({"role": "member"})
        db.flush()
    work(parts)
    add_person(parts, "olga@example.org", staff="operator")
    olga = administrator("olga@example.org")
    olga.sign_in()
    page = olga.get(page.request.path)
    assert (count(page, "invited"), count(page, "failed")) == (PARCEL, PARCEL)


def test_in_03_more_than_a_day_allows_goes_out_the_next_day(
    ada: Administrator, parts: Parts, company: str, clock: Clock
) -> None:
    with parts.database.transaction() as db:
        at = int(clock())
        for _ in range(invitations.MOST_PER_DAY - 3):
            invitations.audit.record(
                db,
                invitations.audit.Event.person_invited,
                now=at,
                actor="person:x",
                account_id="x",
                company=company,
                sent=1,
            )
    page = again(ada, send(ada, company, "\n".join(f"p{number}@acme.example" for number in range(5))))
    work(parts)
    assert (count(again(ada, page), "invited"), count(again(ada, page), "waiting")) == (3, 2)
    assert "in a day" in text(again(ada, page))
    clock.advance(LATER + 1)
    work(parts)
    assert count(again(ada, page), "waiting") == 2
    clock.advance(86400)
    work(parts)
    ada.sign_in()
    assert count(ada.get(page.request.path), "invited") == 5


def test_the_results_are_a_file_that_computes_nothing(ada: Administrator, company: str) -> None:
    page = send(ada, company, "gus@acme.example,Gus\n=cmd|' /C calc'!A1")
    answer = ada.get(page.request.path + "/results")
    rows = list(csv.reader(io.StringIO(text(answer))))
    assert rows[1] == ["1", "gus@acme.example", "Gus", "member", "invited", ""]
    assert rows[2][1].startswith("'=") and rows[2][4:] == ["failed", "This is not an e-mail address."]


def test_lists_are_forgotten(ada: Administrator, parts: Parts, company: str, clock: Clock) -> None:
    send(ada, company, "gus@acme.example")
    ask(ada, company, "bea@acme.example")
    prune(parts.database, clock() + 86400 + 60)
    with parts.database.reading() as db:
        assert [one.state for one in db.query(BulkInvitation)] == ["done"]
    prune(parts.database, clock() + 31 * 86400)
    with parts.database.reading() as db:
        assert (db.query(BulkInvitation).count(), db.query(BulkLine).count()) == (0, 0)


def test_another_company_has_no_such_list(ada: Administrator, parts: Parts, company: str) -> None:
    page = send(ada, company, "gus@acme.example")
    other = add_company(parts, "Other")
    with parts.database.transaction() as db:
        db.query(BulkInvitation).update({"company_id": other})
    token = ada.token(ada.get(f"/companies/{company}/people/invite"))
    for method, more in (("GET", ""), ("GET", "/results"), ("POST", "/send"), ("POST", "/undo")):
        assert ada.open(method, page.request.path + more, data={"csrf": token}).status_code == 404


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
    page = ask(ada, company, people)
    assert page.status_code in (200, 400) and not count(page, "waiting")
    with parts.database.reading() as db:
        assert db.query(OutboxMail).count() == 0


def test_in_03_nobody_is_invited_above_what_there_is_or_into_another_company(
    ada: Administrator, parts: Parts, company: str
) -> None:
    other = add_company(parts, "Other")
    page = ask(ada, company, "gus@acme.example,<b>Click http://evil.example</b>,operator", company_id=other)
    assert count(page, "waiting") == 0
    with parts.database.reading() as db:
        assert db.query(Invitation).count() == 0
    page = ada.get(f"/companies/{company}/people/invite")
    answer = ada.open(
        "POST",
        f"/companies/{other}/people/invite",
        data={"csrf": ada.token(page), "people": "x@acme.example"},
    )
    assert answer.status_code == 404


def test_in_03_ten_thousand_at_once_are_too_many(ada: Administrator, parts: Parts, company: str) -> None:
    people = "\n".join(f"p{number}@acme.example" for number in range(MOST + 1))
    assert ask(ada, company, people).status_code == 400
    assert (
        len(read_list("\n".join(f"p{n}@acme.example" for n in range(10_000)), role="member", language="en")) == MOST + 1
    )


def test_who_may_only_look_invites_nobody(administrator: At, parts: Parts, company: str) -> None:
    add_person(parts, "rosa@acme.example", company=company, role="read_only")
    rosa = administrator("rosa@acme.example")
    rosa.sign_in()
    assert rosa.get(f"/companies/{company}/people/invite").status_code == 403


def test_who_gives_a_role_by_a_list_proves_who_they_are(
    ada: Administrator, parts: Parts, company: str, clock: Clock
) -> None:
    """As where a role is given on a person's page: an open browser that nobody watches makes no administrators."""
    member, powerful = ask(ada, company, "gus@acme.example"), ask(ada, company, "bea@acme.example,,administrator")
    clock.advance(16 * 60)
    answer = press(ada, powerful, "send")
    assert answer.status_code == 403 and 'id="prove-anew-page"' in text(answer)
    assert powerful.request.path in text(answer)
    with parts.database.reading() as db:
        assert db.query(OutboxMail).count() == 0
    member = ask(ada, company, "gus@acme.example")
    assert count(press(ada, member, "send"), "invited") == 1
