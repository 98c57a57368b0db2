"""The audit on pages: a company sees its own part, and nobody changes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from werkzeug.test import TestResponse

from idp import audit
from idp.accounts.consents import remember_consent
from idp.accounts.lifecycle import reactivate, suspend, withdraw_consent
from idp.companies import rename
from idp.company_policy import relax_sso, set_policy
from idp.members import remove_member
from idp.models import Account, AuditEvent, Company
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


def test_a_company_sees_its_own_part_alone(ada: Administrator, parts: Parts, company: str) -> None:
    other = add_company(parts, "Other & Sons")
    add_person(parts, "eve@other.example", company=other)
    shown = text(ada.get(f"/companies/{company}/audit"))
    assert "company.created" in shown and "ada@acme.example" in shown
    assert "Other" not in shown and "eve@other.example" not in shown


def test_it_is_filtered_and_leads_on(ada: Administrator, parts: Parts, company: str) -> None:
    at = f"/companies/{company}/audit"
    with parts.database.transaction() as db:
        for number in range(60):
            name = f"Name {number:02}"
            audit.record(
                db, audit.Event.company_renamed, now=parts.clock() + number, actor="system", company=company, name=name
            )
    first = ada.submit(ada.get(at), at, event="company.renamed")
    assert (
        "Name 59" in text(first)
        and "Name 05" not in text(first)
        and "company.created" not in text(first).split("</select>")[1]
    )
    older = ada.submit(first, at, event="company.renamed", before=_before(first))
    assert "Name 05" in text(older) and "Name 59" not in text(older)
    assert "Name" not in text(ada.submit(ada.get(at), at, person="nobody@acme.example")).split("</form>")[1]


def _before(page: TestResponse) -> str:
    import re

    found = re.search(r'name="before" value="([^"]*)"', text(page))
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    "fields", [{"before": "x"}, {"before": "9" * 50}, {"since": "soon"}, {"event": "' OR 1=1"}, {"person": "\x00"}]
)
def test_ad_10_odd_questions_are_answered_plainly(ada: Administrator, company: str, fields: dict[str, str]) -> None:
    at = f"/companies/{company}/audit"
    assert 'id="audit-page"' in text(ada.submit(ada.get(at), at, **fields))


def test_it_is_taken_along_and_that_is_noted(ada: Administrator, parts: Parts, company: str) -> None:
    at = f"/companies/{company}/audit"
    with parts.database.transaction() as db:
        audit.record(db, audit.Event.company_renamed, now=parts.clock(), actor="=cmd", company=company, name="x")
    table = ada.submit(ada.get(at), f"{at}/export", format="csv")
    assert table.content_type.startswith("text/csv") and "'=cmd" in text(table)
    lines = text(ada.submit(ada.get(at), f"{at}/export", format="json")).splitlines()
    assert all(line.startswith("{") for line in lines) and any("audit.exported" in line for line in lines)


def test_operators_see_all_and_support_nothing(administrator: At, parts: Parts, company: str) -> None:
    add_person(parts, "olga@example.org", staff="operator_read_only")
    add_person(parts, "sue@example.org", staff="support")
    olga = administrator("olga@example.org")
    assert "company.created" in text(olga.sign_in("/operator/audit"))
    sue = administrator("sue@example.org")
    sue.sign_in("/support")
    assert sue.get("/operator/audit").status_code == 403
    assert sue.get(f"/companies/{company}/audit").status_code == 404


def test_what_happened_stands_there_in_words(ada: Administrator, parts: Parts, company: str) -> None:
    at = f"/companies/{company}/audit"
    for language in parts.languages.supported:
        shown = text(ada.get(at, headers={"Accept-Language": language}))
        assert parts.languages.text(language, "audit.company.created").split("’")[0] in shown


def test_a_company_reads_no_address_of_somebody_who_is_not_its_own(
    ada: Administrator, administrator: At, parts: Parts, company: str
) -> None:
    """Who has left may have another address by now, and another company; who works at the provider is not the company's business."""
    bob = add_person(parts, "bob@acme.example", company=company)
    sue = add_person(parts, "sue@provider.example", staff="support")
    now = parts.clock()
    with parts.database.transaction() as db:
        audit.record(
            db, audit.Event.support_looked, now=now, actor=f"person:{sue}", account_id=bob, receipt="K7QX-2M4P"
        )
        audit.record(db, audit.Event.company_renamed, now=now, actor="operator:root", company=company, name="Acme")
        audit.record(db, audit.Event.company_renamed, now=now, actor=f"person:{bob}", company=company, name="Acme")
    at = f"/companies/{company}/audit"
    assert "bob@acme.example" in text(ada.get(at))
    with parts.database.transaction() as db:
        remove_member(db, company, bob, actor="operator:test", now=now)
    shown = text(ada.get(at))
    assert "bob@acme.example" not in shown and "sue@provider.example" not in shown and "operator:root" not in shown
    assert sue not in text(ada.submit(ada.get(at), f"{at}/export", format="json"))
    row = shown.split(parts.languages.text("en", "audit.support.looked"), 1)[1].split("</li>")[0]
    assert parts.languages.text("en", "audit.by.provider") in row
    add_person(parts, "olga@example.org", staff="operator_read_only")
    olga = administrator("olga@example.org")
    assert "sue@provider.example" in text(olga.sign_in("/operator/audit"))


def test_a_change_says_what_was_before(ada: Administrator, parts: Parts, company: str) -> None:
    with parts.database.transaction() as db:
        changes = {"jit": True, "doors": ["social"], "shortest_password": 15}
        db.get_one(Company, company).sso = "optional"
        set_policy(
            db, company, changes | {"doors": ["password"]}, config=parts.config, actor="system", now=parts.clock()
        )
        event = db.query(AuditEvent).filter_by(event="company.policy_changed").one()
        assert event.facts == {
            "company": company,
            "doors": "password",
            "was_doors": "password social",
            "jit": True,
            "was_jit": False,
            "shortest_password": 15,
            "was_shortest_password": "",
        }
    shown = text(ada.get(f"/companies/{company}/audit"))
    assert "jit: False → True" in shown and "doors: password social → password" in shown
    assert "shortest_password: – → 15" in shown


def test_who_is_written_to_stands_there_masked(ada: Administrator, parts: Parts, company: str) -> None:
    """The audit outlives people, and nothing is taken out of it."""
    with parts.database.transaction() as db:
        for contacts in (["carol@acme.example"], ["it-desk@acme.example", "carol@acme.example"]):
            set_policy(db, company, {"contacts": contacts}, config=parts.config, actor="system", now=parts.clock())
    shown = text(ada.get(f"/companies/{company}/audit"))
    assert "carol@" not in shown and "it-desk@" not in shown
    assert "contacts: c•••l@acme.example → i•••k@acme.example c•••l@acme.example" in shown


def test_acts_on_an_account_and_on_sign_in_say_what_was_before(parts: Parts, company: str) -> None:
    bob = add_person(parts, "bob@acme.example", company=company, role="read_only")
    now, by = parts.clock(), "operator:test"
    with parts.database.transaction() as db:
        account = db.get_one(Account, bob)
        suspend(db, account, actor=by, now=now, reason="left")
        reactivate(db, account, actor=by, now=now)
        remember_consent(db, bob, "sample", ["openid"], now)
        remember_consent(db, bob, "sample", ["email"], now)
        withdraw_consent(db, account, "sample", actor=by, now=now)
        relax_sso(db, company, actor=by, now=now)
        remove_member(db, company, bob, actor=by, now=now)
        rows = db.query(AuditEvent).order_by(AuditEvent.id)
        told = [(row.event, row.facts["was"]) for row in rows if "was" in row.facts]
    assert told == [
        ("person.suspended", "active"),
        ("person.reactivated", "suspended"),
        ("person.consent_given", ""),
        ("person.consent_given", "openid"),
        ("person.consent_withdrawn", "email openid"),
        ("company.sso_relaxed", "optional"),
        ("company.member_removed", "read_only"),
    ]


def test_nothing_is_noted_where_nothing_changed(parts: Parts, company: str) -> None:
    with parts.database.transaction() as db:
        set_policy(db, company, {"jit": False}, config=parts.config, actor="system", now=parts.clock())
        assert db.query(AuditEvent).filter_by(event="company.policy_changed").count() == 0


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_company_does_not_learn_who_works_at_the_provider(
    ada: Administrator, administrator: At, parts: Parts, company: str, form: str
) -> None:
    with parts.database.transaction() as db:
        rename(db, company, "Acme Two", actor="operator:mallory", now=parts.clock())
    at = f"/companies/{company}/audit"
    own = ada.open("POST", f"{at}/export", data={"csrf": ada.token(ada.get(at)), "format": form})
    assert "Acme Two" in text(own) and "provider" in text(own) and "mallory" not in text(own)
    assert "mallory" not in text(ada.get(at))
    add_person(parts, "olga@example.org", staff="operator")
    olga = administrator("olga@example.org")
    olga.sign_in()
    whole = olga.open(
        "POST", "/operator/audit/export", data={"csrf": olga.token(olga.get("/operator/audit")), "format": form}
    )
    assert "operator:mallory" in text(whole)


def test_times_and_days_are_the_companys(ada: Administrator, parts: Parts, company: str) -> None:
    at, midnight = f"/companies/{company}/audit", int(datetime(2026, 3, 29, 22, 30, tzinfo=UTC).timestamp())
    with parts.database.transaction() as db:
        db.get_one(Company, company).time_zone = "Europe/Paris"
        for more, name in ((0, "Late"), (-23 * 3600, "Short day"), (-24 * 3600, "Day before")):
            audit.record(
                db, audit.Event.company_renamed, now=midnight + more, actor="system", company=company, name=name
            )
    shown = text(ada.submit(ada.get(at), at, since="2026-03-29", until="2026-03-29")).split("</form>", 2)[-1]
    assert "Short day" in shown and "2026-03-29 00:30:00" in shown  # 23:30 UTC of the day before
    assert "Late" not in shown and "Day before" not in shown  # 00:30 of the day after; and the day has 23 hours
    assert "Europe/Paris" in text(ada.get(at))
