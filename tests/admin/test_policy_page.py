"""A company's policies: seen by whoever may, changed after a look at whom it concerns, and told to them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from idp.admin.policy_notices import tell_next
from idp.company_policy import Policy, policy_of_company
from idp.models import AuditEvent, Company, OutboxMail
from idp.parts import Parts
from tests.administrator import Administrator, add_company, add_person
from tests.conftest import Clock

At = Callable[[str], Administrator]


@pytest.fixture
def company(parts: Parts) -> str:
    made = add_company(parts)
    add_person(parts, "ada@acme.example", company=made, role="administrator")
    add_person(parts, "bob@acme.example", company=made)
    return made


@pytest.fixture
def ada(administrator: At, company: str) -> Administrator:
    browser = administrator("ada@acme.example")
    browser.sign_in()
    return browser


def policy(parts: Parts, company: str) -> Policy:
    with parts.database.reading() as db:
        return policy_of_company(db, company)


def told(parts: Parts) -> list[str]:
    while tell_next(parts.database, parts.sealer, parts.clock()):
        pass
    with parts.database.reading() as db:
        mails = select(OutboxMail.recipient).where(OutboxMail.name == "policy_changed")
        return list(db.scalars(mails.order_by(OutboxMail.recipient)))


def wish(browser: Administrator, company: str, **fields: object) -> str:
    page = browser.get(f"/companies/{company}/policies")
    typed = {"doors": ["password", "social"], "jit": "", **fields}
    return browser.submit(page, f"/companies/{company}/policies", **typed).get_data(as_text=True)


def test_whom_it_concerns_is_shown_before_anything_is_saved(ada: Administrator, parts: Parts, company: str) -> None:
    shown = wish(ada, company, second_factor_from="2020-01-01")
    assert 'id="policies-preview-page"' in shown
    assert "bob@acme.example" in shown and 'id="effect-second_factor"' in shown
    assert policy(parts, company).second_factor_from is None
    assert told(parts) == []


def test_what_was_seen_is_saved_and_those_concerned_are_told(ada: Administrator, parts: Parts, company: str) -> None:
    address = f"/companies/{company}/policies"
    fields = {
        "doors": ["password", "social"],
        "second_factor_from": "2020-01-01",
        "shortest_password": "15",
        "session_idle": "30",
    }
    page = ada.submit(ada.submit(ada.get(address), address, **fields), address)
    assert "notice" in page.request.query_string.decode()
    now = policy(parts, company)
    assert (now.second_factor_from, now.shortest_password, now.session_idle) == (1577836800, 15, 1800)
    assert now.doors == ("password", "social")
    assert told(parts) == ["ada@acme.example", "bob@acme.example"]
    with parts.database.reading() as db:
        event = db.scalars(select(AuditEvent).where(AuditEvent.event == "company.policy_changed")).one()
        assert event.actor.startswith("person:") and "second_factor_from" in event.facts
    assert told(parts) == ["ada@acme.example", "bob@acme.example"]  # once


def test_people_of_the_domain_and_of_another_company(ada: Administrator, parts: Parts, company: str) -> None:
    other = add_company(parts, "Other")
    add_person(parts, "eve@other.example", company=other)
    assert "eve@other.example" not in wish(ada, company, second_factor_from="2020-01-01")


def test_many_are_told_in_parcels(ada: Administrator, parts: Parts, company: str) -> None:
    for number in range(3):
        add_person(parts, f"p{number}@acme.example", company=company)
    address = f"/companies/{company}/policies"
    ada.submit(
        ada.submit(ada.get(address), address, doors=["password", "social"], second_factor_from="2020-01-01"), address
    )
    for _ in range(3):  # two, two, and the last one
        assert tell_next(parts.database, parts.sealer, parts.clock(), parcel=2)
    assert not tell_next(parts.database, parts.sealer, parts.clock(), parcel=2)
    assert len(told(parts)) == 5


@pytest.mark.parametrize(
    "fields",
    [
        {"second_factor_from": "soon"},
        {"second_factor_from": "0000-00-00"},
        {"session_idle": "-5"},
        {"session_idle": "9" * 400},
        {"shortest_password": "7\x00"},
    ],
)
def test_what_means_nothing_is_said_and_what_was_typed_stays(
    ada: Administrator, parts: Parts, company: str, fields: dict[str, str]
) -> None:
    shown = wish(ada, company, **fields)
    assert 'id="policies-page"' in shown and 'role="alert"' in shown
    assert policy(parts, company).second_factor_from is None


def test_without_passwords_somebody_must_be_able_to_come_in(ada: Administrator, parts: Parts, company: str) -> None:
    address = f"/companies/{company}/policies"
    page = ada.submit(ada.submit(ada.get(address), address, doors=["social"]), address)
    assert page.status_code == 409 and 'role="alert"' in page.get_data(as_text=True)
    assert policy(parts, company).doors == ("password", "social")


def test_ad_02_nothing_else_can_be_written(ada: Administrator, parts: Parts, company: str) -> None:
    address = f"/companies/{company}/policies"
    more = {
        "sso": "required",
        "name": "Evil",
        "company_id": "x",
        "tenant_id": "B",
        "role": "global",
        "is_admin": "true",
    }
    ada.submit(ada.submit(ada.get(address), address, doors=["password", "social"], **more), address, **more)
    with parts.database.reading() as db:
        row = db.get_one(Company, company)
        assert (row.sso, row.name) == ("optional", "Acme")


def test_whoever_signed_in_a_while_ago_proves_it_anew(
    ada: Administrator, parts: Parts, company: str, clock: Clock
) -> None:
    page = ada.get(f"/companies/{company}/policies")
    clock.advance(16 * 60)
    asked = ada.submit(page, f"/companies/{company}/policies", doors=["password"], confirm="yes")
    assert asked.status_code == 403 and 'id="prove-anew-page"' in asked.get_data(as_text=True)
    again = ada.get(f"/sign-in?fresh=yes&back=/companies/{company}/policies")
    assert 'id="password"' in again.get_data(as_text=True)
    assert policy(parts, company).doors == ("password", "social")


def test_who_may_only_look_sees_it_and_changes_nothing(administrator: At, parts: Parts, company: str) -> None:
    add_person(parts, "rosa@acme.example", company=company, role="read_only")
    rosa = administrator("rosa@acme.example")
    page = rosa.sign_in(f"/companies/{company}/policies")
    assert "disabled" in page.get_data(as_text=True)
    answer = rosa.open("POST", f"/companies/{company}/policies", data={"csrf": rosa.token(page), "confirm": "yes"})
    assert answer.status_code == 403
    assert policy(parts, company).doors == ("password", "social")


def test_another_company_has_no_such_page(administrator: At, parts: Parts, company: str) -> None:
    other = add_company(parts, "Other")
    add_person(parts, "eve@other.example", company=other, role="administrator")
    eve = administrator("eve@other.example")
    eve.sign_in()
    assert eve.get(f"/companies/{company}/policies").status_code == 404
