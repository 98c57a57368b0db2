"""The company's door: there, back, and what stands in between."""

from __future__ import annotations

import pytest

from idp.models import Account, Link, Member
from idp.parts import Parts
from tests.company_walker import sign_in
from tests.fakes.company_idp import CompanyIdp
from tests.journey import Walker, claims_of
from tests.saml_parties import Customer, add_customer


@pytest.fixture
def acme(parts: Parts) -> Customer:
    return add_customer(parts.database, parts.connections, CompanyIdp(), now=parts.clock(), random=parts.random)


def html(page: object) -> str:
    return page.get_data(as_text=True)  # type: ignore[attr-defined] # a werkzeug response


def test_s4_alice_signs_in_through_her_company(walker: Walker, acme: Customer, parts: Parts) -> None:
    done = sign_in(walker, acme)
    tokens = walker.tk(walker.answer_of(done)["code"]).get_json()
    claims = claims_of(tokens["id_token"])
    assert claims["acr"] == "1"
    assert "amr" not in claims
    with parts.database.reading() as db:
        account = db.query(Account).one()
        member = db.get_one(Member, account.id)
        assert (member.company_id, member.role) == (acme.company_id, "member")
        [linked] = db.query(Link)
        assert linked.issuer == f"company:{acme.connection.id}:{acme.idp.entity_id}"
        assert linked.proof["by"] == "company"
        assert account.emails[0].verified_at is not None
    # the second time it is the same person
    again = Walker(walker.app, parts)
    assert "code" in again.answer_of(sign_in(again, acme))
    with parts.database.reading() as db:
        assert db.query(Account).count() == 1
