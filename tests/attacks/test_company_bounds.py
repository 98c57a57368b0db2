"""Beyond the catalogue: what a company, its identity provider or somebody who has left it could still reach of others."""

from __future__ import annotations

import pytest
from werkzeug.test import TestResponse

from idp.companies import require_sso
from idp.models import CompanyDomain, Email, Member, OutboxMail, Revocation
from idp.parts import Parts
from tests.company_walker import leave, post, reason_of, request_at, sign_in, text
from tests.fakes.company_idp import CompanyIdp
from tests.journey import PASSWORD, Walker, add_carol
from tests.saml_parties import Customer, add_customer, belong, decide_for

ALICE = "alice@acme.example"


@pytest.fixture
def globex(parts: Parts) -> Customer:
    idp = CompanyIdp("https://idp.globex.example/", name="Globex")
    return add_customer(
        parts.database, parts.connections, idp, "globex.example", name="Globex", now=parts.clock(), random=parts.random
    )


def by_password(walker: Walker, email: str) -> TestResponse:
    page = walker.follow(walker.submit(walker.follow(walker.az()), "/login", username="", door="company"))
    page = walker.follow(walker.submit(page, "/login/company", username=email, door="own"))
    return walker.follow(walker.submit(page, "/login/password", username=email, password=PASSWORD))


def is_signed_in(walker: Walker) -> bool:
    return walker.get("/me").status_code == 200


def mails(parts: Parts) -> list[tuple[str, str]]:
    with parts.database.reading() as db:
        return [(mail.name, mail.recipient) for mail in db.query(OutboxMail).order_by(OutboxMail.id)]


def lose(parts: Parts, domain: str) -> None:
    """Its proof was missing for a week."""
    with parts.database.transaction() as db:
        row = db.query(CompanyDomain).filter_by(held=domain).one()
        row.status, row.free_at = "lost", int(parts.clock()) + 30 * 86400


# --- passwords stay closed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decided", [{"sso": "required"}, {"doors": ["social"]}])
def test_a_domain_whose_proof_is_lost_opens_no_password_again(
    walker: Walker, acme: Customer, parts: Parts, decided: dict[str, object]
) -> None:
    """Or whoever can make a TXT record disappear for a week makes every old password count again."""
    decide_for(parts.database, acme, **decided)
    add_carol(parts, ALICE)
    glass = add_carol(parts, "glass@acme.example")
    belong(parts.database, acme, glass, now=parts.clock())
    with parts.database.transaction() as db:
        db.get_one(Member, glass).break_glass = True
    lose(parts, "acme.example")
    started = walker.submit(walker.follow(walker.az()), "/login", username=ALICE)
    assert "/login/password" in started.location  # nobody is led to the company any more
    page = by_password(walker, ALICE)
    assert page.status_code == 400
    assert reason_of(page, parts) == "company_sso_required"
    assert not is_signed_in(walker)
    assert mails(parts) == []  # there is no right door to tell of
    assert "code" in walker.answer_of(by_password(Walker(walker.app, parts), "glass@acme.example"))


def test_a_domain_that_was_given_back_binds_nobody(walker: Walker, acme: Customer, parts: Parts) -> None:
    decide_for(parts.database, acme, sso="required")
    add_carol(parts, ALICE)
    with parts.database.transaction() as db:
        db.query(CompanyDomain).filter_by(held="acme.example").one().status = "released"
    assert "code" in walker.answer_of(by_password(walker, ALICE))


def test_requiring_sso_ends_sessions_in_a_lost_domain_too(acme: Customer, parts: Parts) -> None:
    boss, alice = add_carol(parts, "boss@acme.example"), add_carol(parts, ALICE)
    belong(parts.database, acme, boss, "administrator", now=parts.clock())
    lose(parts, "acme.example")
    with parts.database.transaction() as db:
        db.get_one(Member, boss).break_glass = True
        parts.connections.note_administrator_signed_in(db, acme.connection.id, now=parts.clock())
        require_sso(db, acme.company_id, end_sessions=True, actor="operator:test", now=parts.clock())
    with parts.database.reading() as db:
        assert {row.account_id for row in db.query(Revocation).filter_by(kind="account")} == {alice}


def test_break_glass_of_one_company_opens_nothing_that_another_has_closed(
    walker: Walker, acme: Customer, globex: Customer, parts: Parts
) -> None:
    for company in (acme, globex):
        decide_for(parts.database, company, sso="required")
    alice = add_carol(parts, ALICE)
    belong(parts.database, acme, alice, now=parts.clock())
    with parts.database.transaction() as db:
        db.get_one(Member, alice).break_glass = True
        other = "alice@globex.example"
        db.add(Email(account_id=alice, address=other, canonical=other, domain="globex.example", primary=False))
    assert by_password(walker, ALICE).status_code == 400
    assert by_password(walker, other).status_code == 400
    assert not is_signed_in(walker)
