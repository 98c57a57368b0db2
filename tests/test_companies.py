"""Promises of companies.py, members.py and company_policy.py: who belongs to a company and in which role, what it may decide, and when
SSO can be required."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from idp.accounts.identity import read_address
from idp.accounts.lifecycle import apply_revocations, create_account, snapshot, suspend
from idp.accounts.sessions import find_session
from idp.companies import AT_ONCE, CompanyRefused, create_company, owns_domain, remove_company, rename
from idp.company_policy import policy_of_company, policy_of_domain, relax_sso, require_sso, set_policy
from idp.members import (
    add_member,
    administrators,
    contacts,
    members,
    name_break_glass,
    note_arrived,
    remove_member,
    set_role,
)
from idp.models import Account, CompanyDomain, Email, Link, Member
from idp.parts import Parts
from tests.company_records import (
    add_company,
    add_connection,
    add_person,
    company_row,
    ended,
    events,
    prove,
)
from tests.journey import add_carol
from tests.people import open_for

WHO = {"actor": "operator:test"}


def refused(parts: Parts, what: Any, *given: Any, **named: Any) -> str:
    """The reason why a working refuses; the transaction is over then."""
    with pytest.raises(CompanyRefused) as error, parts.database.transaction() as db:
        what(db, *given, **WHO, now=parts.clock(), **named)
    return error.value.reason


def do(parts: Parts, what: Any, *given: Any, **named: Any) -> None:
    with parts.database.transaction() as db:
        what(db, *given, **WHO, now=parts.clock(), **named)


def roles(parts: Parts, company_id: str) -> dict[str, str]:
    with parts.database.reading() as db:
        return {one.address: one.role for one in members(db, company_id)}


def made(db: Session, parts: Parts, address: str, password_hash: str | None = None) -> Account:
    """An account whose address nobody has verified."""
    return create_account(
        db,
        read_address(address),
        claims={},
        verified=False,
        password_hash=password_hash,
        actor="operator:test",
        now=parts.clock(),
        random=parts.random,
    )


def claims_of(parts: Parts, account_id: str) -> dict[str, Any]:
    with parts.database.reading() as db:
        return snapshot(db.get_one(Account, account_id))


# --- the company and its policy ------------------------------------------------------------------------------------------------


def test_the_policy_is_found_by_a_verified_domain_alone(parts: Parts) -> None:
    acme = add_company(parts, "Acme", "acme.example", "acme.test.example")
    live = add_connection(parts, acme, "Okta")
    other = add_connection(parts, acme, "Entra")
    add_connection(parts, acme, "Draft", state="draft")
    with parts.database.reading() as db:
        policy = policy_of_domain(db, "acme.example")
        assert policy is not None and policy == policy_of_company(db, acme)
        assert (policy.name, policy.sso, policy.doors) == ("Acme", "optional", ("password", "social"))
        assert policy.live == ((other, "Entra"), (live, "Okta"))
        for unproved in ("sub.acme.example", "example", "notacme.example", "", "acme.example."):
            assert policy_of_domain(db, unproved) is None
        assert owns_domain(db, acme, "acme.example")
        assert not owns_domain(db, acme, "sub.acme.example")
        assert not owns_domain(db, "another", "acme.example")


@pytest.mark.parametrize("status", ["pending", "expired", "lost", "released"])
def test_a_domain_that_is_not_verified_leads_nowhere(parts: Parts, status: str) -> None:
    acme = add_company(parts, "Acme", "acme.example")
    with parts.database.transaction() as db:
        db.scalars(select(CompanyDomain)).one().status = status
    with parts.database.reading() as db:
        assert policy_of_domain(db, "acme.example") is None
        assert not owns_domain(db, acme, "acme.example")


def test_a_company_of_nobody_is_refused(parts: Parts) -> None:
    assert refused(parts, rename, "nobody", "X") == "company_unknown"
    with parts.database.reading() as db, pytest.raises(CompanyRefused):
        policy_of_company(db, "nobody")


@pytest.mark.parametrize("name", ["", "  ", "x" * 121, "Ac\x00me", "Ac\u202eme", "Ac\ue000me", "\ud800"])
def test_a_name_that_could_not_be_shown_is_refused(parts: Parts, name: str) -> None:
    with pytest.raises(CompanyRefused) as error, parts.database.transaction() as db:
        create_company(db, name, actor="operator:test", now=0, random=parts.random)
    assert error.value.reason == "company_field_wrong"


def test_names_are_kept_in_one_form(parts: Parts) -> None:
    acme = add_company(parts, "  Socie\u0301te\u0301\t Ge\u0301ne\u0301rale ")
    assert company_row(parts, acme).name == "Société Générale"


def test_a_policy_is_changed_field_by_field(parts: Parts) -> None:
    acme = add_company(parts)
    change = {"jit": True, "session_idle": 900, "session_lifetime": 3600, "contacts": ["It@Acme.example"]}
    do(parts, set_policy, acme, change, config=parts.config)
    do(parts, set_policy, acme, {"doors": ["password"], "session_idle": None}, config=parts.config)
    row = company_row(parts, acme)
    assert (row.jit, row.doors, row.session_idle, row.session_lifetime) == (True, ["password"], None, 3600)
    assert row.contacts == ["it@acme.example"]
    assert events(parts) == ["company.created", "company.policy_changed", "company.policy_changed"]


@pytest.mark.parametrize(
    "changes",
    [
        {"sso": "required"},
        {"id": "0" * 32},
        {"name": "Bank"},
        {"jit": "true"},
        {"jit": 1},
        {"jit": None},
        {"doors": ["password", "password"]},
        {"doors": ["passkey"]},
        {"doors": "password"},
        {"session_idle": 59},
        {"session_idle": -1},
        {"session_idle": 3600.5},
        {"session_idle": "900"},
        {"session_lifetime": True},
        {"contacts": ["not an address"]},
        {"contacts": ["a@acme.example\nBcc: b@evil.example"]},
        {"contacts": ["a@acme.example", "A@acme.example"]},
        {"contacts": [f"a{number}@acme.example" for number in range(11)]},
        {"contacts": [5]},
    ],
    ids=str,
)
def test_ad_02_a_policy_takes_only_its_own_fields_in_their_own_types(parts: Parts, changes: dict[str, Any]) -> None:
    acme = add_company(parts)
    before = vars(company_row(parts, acme)) | {"_sa_instance_state": None}
    # Beside something right, so that nothing of it may stay.
    assert refused(parts, set_policy, acme, {"session_lifetime": 3600} | changes, config=parts.config) == (
        "company_field_wrong"
    )
    assert vars(company_row(parts, acme)) | {"_sa_instance_state": None} == before


def test_a_company_only_shortens_sessions(parts: Parts) -> None:
    acme = add_company(parts)
    for name, longest in (
        ("session_idle", parts.config.session_idle),
        ("session_lifetime", parts.config.session_lifetime),
    ):
        do(parts, set_policy, acme, {name: longest}, config=parts.config)
        assert refused(parts, set_policy, acme, {name: longest + 1}, config=parts.config) == "company_session_too_long"


def test_contacts_are_the_named_ones_in_their_language_else_the_administrators(parts: Parts) -> None:
    acme = add_company(parts)
    add_person(parts, acme, "dora@acme.example", "administrator")
    add_person(parts, acme, "eve@acme.example")
    add_carol(parts, "francoise@acme.example", locale="fr-CA")
    with parts.database.reading() as db:
        assert [one.address for one in contacts(db, acme)] == ["dora@acme.example"]
    do(parts, set_policy, acme, {"contacts": ["francoise@acme.example", "it@acme.example"]}, config=parts.config)
    with parts.database.reading() as db:
        assert [(one.address, one.language) for one in contacts(db, acme)] == [
            ("francoise@acme.example", "fr"),
            ("it@acme.example", "en"),
        ]
        assert contacts(db, "nobody") == []


# --- members -------------------------------------------------------------------------------------------------------------------


def test_a_person_belongs_by_a_verified_address_in_a_verified_domain(parts: Parts) -> None:
    acme = add_company(parts, "Acme", "acme.example")
    do(parts, add_member, acme, add_carol(parts, "alice@acme.example"), "read_only")
    assert roles(parts, acme) == {"alice@acme.example": "read_only"}
    assert refused(parts, add_member, acme, add_carol(parts, "bob@example.net"), "member") == "company_member_outside"
    assert refused(parts, add_member, acme, "f" * 32, "member") == "company_member_unknown"
    assert refused(parts, add_member, "nobody", add_carol(parts, "x@acme.example"), "member") == "company_unknown"


def test_who_only_says_to_have_an_address_of_the_company_waits_in_vain(parts: Parts) -> None:
    """An account made under somebody's work address before its owner comes: it must not get the role that they get."""
    acme = add_company(parts, "Acme", "acme.example")
    with parts.database.transaction() as db:
        account = made(db, parts, "alice@acme.example", "x")
    assert refused(parts, add_member, acme, account.id, "administrator") == "company_member_outside"
    assert refused(parts, add_member, acme, account.id, "member", prepared=True) == "company_member_not_new"
    assert refused(parts, add_member, acme, account.id, "member", prepared=True, vouched=True) == (
        "company_member_not_new"
    )


def test_a_prepared_account_is_one_that_nobody_has_used(parts: Parts) -> None:
    acme = add_company(parts, "Acme", "acme.example")
    with parts.database.transaction() as db:
        fresh, linked = (made(db, parts, f"{name}@acme.example") for name in ("new", "linked"))
        db.add(Link(account_id=linked.id, issuer="https://social.example", subject="1", door="google", created_at=0))
    assert refused(parts, add_member, acme, linked.id, "member", prepared=True) == "company_member_not_new"
    do(parts, add_member, acme, fresh.id, "administrator", prepared=True)
    with parts.database.transaction() as db:
        assert administrators(db, acme) == []  # cannot act yet
        note_arrived(db, fresh.id)
    with parts.database.reading() as db:
        assert [one.address for one in administrators(db, acme)] == ["new@acme.example"]


def test_nobody_belongs_to_two_companies(parts: Parts) -> None:
    acme, bolt = add_company(parts, "Acme"), add_company(parts, "Bolt")
    alice = add_person(parts, acme, "alice@acme.example")
    assert refused(parts, add_member, bolt, alice, "member", vouched=True) == "company_member_elsewhere"
    assert refused(parts, add_member, acme, alice, "administrator", vouched=True) == "company_member_elsewhere"
    assert roles(parts, acme) == {"alice@acme.example": "member"}


def test_s_04_a_company_reaches_no_member_of_another(parts: Parts) -> None:
    acme, bolt = add_company(parts, "Acme"), add_company(parts, "Bolt")
    add_person(parts, acme, "dora@acme.example", "administrator")
    bob = add_person(parts, bolt, "bob@bolt.example", "administrator")
    nobody = add_carol(parts, "carol@example.org")
    for account_id in (bob, nobody, "f" * 32):
        assert refused(parts, set_role, acme, account_id, "member") == "company_member_unknown"
        assert refused(parts, remove_member, acme, account_id) == "company_member_unknown"
        assert refused(parts, name_break_glass, acme, account_id, named=True) == "company_member_unknown"
    assert roles(parts, bolt) == {"bob@bolt.example": "administrator"}
    with parts.database.reading() as db:
        assert not db.get_one(Member, bob).break_glass


@pytest.mark.parametrize("role", ["owner", "Administrator", "", "administrator ", "operator"])
def test_ad_02_there_are_three_roles(parts: Parts, role: str) -> None:
    acme = add_company(parts)
    alice = add_person(parts, acme, "alice@acme.example")
    assert refused(parts, set_role, acme, alice, role) == "company_role_unknown"
    assert refused(parts, add_member, acme, add_carol(parts), role, vouched=True) == "company_role_unknown"


def test_the_last_administrator_who_can_act_stays(parts: Parts) -> None:
    acme = add_company(parts)
    dora = add_person(parts, acme, "dora@acme.example", "administrator")
    sven = add_person(parts, acme, "sven@acme.example", "administrator")
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, sven), actor="operator:test", now=parts.clock())
    assert refused(parts, remove_member, acme, dora) == "company_last_administrator"
    assert refused(parts, set_role, acme, dora, "read_only") == "company_last_administrator"
    do(parts, set_role, acme, dora, "administrator")
    do(parts, remove_member, acme, sven)  # cannot act, so may go
    eve = add_person(parts, acme, "eve@acme.example")
    do(parts, set_role, acme, eve, "administrator")
    do(parts, set_role, acme, dora, "member")
    assert roles(parts, acme) == {"dora@acme.example": "member", "eve@acme.example": "administrator"}


def test_products_hear_of_the_company_its_name_and_the_role(parts: Parts) -> None:
    acme = add_company(parts)
    alice = add_person(parts, acme, "alice@acme.example")
    assert claims_of(parts, alice)["company"] == {"id": acme, "name": "Acme", "roles": ["member"]}
    assert "company" not in claims_of(parts, add_carol(parts))
    session, cookie = open_for(parts, alice)
    do(parts, set_role, acme, alice, "read_only")
    do(parts, rename, acme, "Acme Ltd")
    apply_revocations(parts.database, parts.store, parts.clients, parts.clock())
    seen = find_session(parts.store, cookie, parts.clock())
    assert seen is not None and session.person["company"]["roles"] == ["member"]
    assert seen.person["company"] == {"id": acme, "name": "Acme Ltd", "roles": ["read_only"]}


def test_a_removed_member_is_signed_out_and_keeps_the_account(parts: Parts) -> None:
    acme = add_company(parts)
    alice = add_person(parts, acme, "alice@acme.example")
    _, cookie = open_for(parts, alice)
    do(parts, remove_member, acme, alice)
    apply_revocations(parts.database, parts.store, parts.clients, parts.clock())
    assert find_session(parts.store, cookie, parts.clock()) is None
    with parts.database.reading() as db:
        assert db.get_one(Account, alice).state == "active"
        assert db.get(Member, alice) is None
    assert events(parts)[-1] == "company.member_removed"


# --- requiring SSO -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def acme(parts: Parts) -> str:
    """A company that may require SSO: Dora, who has a password for emergencies, has signed in through it."""
    acme = add_company(parts, "Acme", "acme.example", "acme.test.example")
    dora = add_person(parts, acme, "dora@acme.example", "administrator")
    do(parts, name_break_glass, acme, dora, named=True)
    add_connection(parts, acme)
    return acme


def account_of(parts: Parts, company_id: str, address: str) -> str:
    with parts.database.reading() as db:
        return next(one.account_id for one in members(db, company_id) if one.address == address)


def test_sso_is_not_required_before_an_administrator_came_through_a_live_connection(parts: Parts) -> None:
    acme = add_company(parts, "Acme", "acme.example")
    dora = add_person(parts, acme, "dora@acme.example", "administrator")
    do(parts, name_break_glass, acme, dora, named=True)
    bolt = add_company(parts, "Bolt")
    add_connection(parts, bolt)  # another company's counts for nothing
    add_connection(parts, acme, "Untried", tried=False)
    add_connection(parts, acme, "Draft", state="tested")
    for closing in ((require_sso, acme), (set_policy, acme, {"doors": ["social"]})):
        named = {"end_sessions": True} if closing[0] is require_sso else {"config": parts.config}
        assert refused(parts, *closing, **named) == "company_sso_untried"
    assert company_row(parts, acme).sso == "optional"
    assert ended(parts) == set()


def test_sso_is_not_required_before_somebody_can_come_in_without_it(parts: Parts) -> None:
    acme = add_company(parts, "Acme", "acme.example")
    add_connection(parts, acme)
    add_person(parts, acme, "dora@acme.example", "administrator")
    assert refused(parts, require_sso, acme, end_sessions=False) == "company_no_break_glass"
    bare = add_person(parts, acme, "bare@acme.example", password=None)
    assert refused(parts, name_break_glass, acme, bare, named=True) == "company_break_glass_password"


def test_a_suspended_break_glass_person_helps_nobody(parts: Parts, acme: str) -> None:
    with parts.database.transaction() as db:
        dora = account_of(parts, acme, "dora@acme.example")
        suspend(db, db.get_one(Account, dora), actor="operator:test", now=parts.clock())
    assert refused(parts, require_sso, acme, end_sessions=False) == "company_no_break_glass"


def test_requiring_sso_ends_what_people_of_its_domains_have_open_except_break_glass(parts: Parts, acme: str) -> None:
    member = add_person(parts, acme, "alice@acme.example")
    unlisted = add_carol(parts, "zoe@acme.test.example")  # no member, but an address of the company
    elsewhere = add_person(parts, acme, "guest@example.net")
    stranger = add_carol(parts, "bob@sub.acme.example")
    do(parts, require_sso, acme, end_sessions=True)
    assert company_row(parts, acme).sso == "required"
    assert ended(parts) == {member, unlisted}
    assert not ended(parts) & {elsewhere, stranger}
    assert events(parts)[-1] == "company.sso_required"


def test_requiring_sso_may_keep_what_is_open(parts: Parts, acme: str) -> None:
    add_person(parts, acme, "alice@acme.example")
    do(parts, require_sso, acme, end_sessions=False)
    assert ended(parts) == set()
    do(parts, relax_sso, acme)
    assert company_row(parts, acme).sso == "optional"
    assert events(parts)[-2:] == ["company.sso_required", "company.sso_relaxed"]


def test_more_people_than_one_statement_takes_are_all_ended(parts: Parts, acme: str) -> None:
    ids = [f"{number:032x}" for number in range(2 * AT_ONCE + 1)]
    with parts.database.transaction() as db:
        db.execute(
            insert(Account),
            [
                {"id": one, "sub": one, "state": "active", "profile": {}, "created_at": 0, "updated_at": 0}
                for one in ids
            ],
        )
        db.execute(
            insert(Email),
            [
                {"account_id": one, "address": a, "canonical": a, "domain": "acme.example", "primary": True}
                for one in ids
                for a in [f"{one}@acme.example"]
            ],
        )
    do(parts, require_sso, acme, end_sessions=True)
    assert ended(parts) == set(ids)


def test_the_last_break_glass_person_stays_while_sso_is_required(parts: Parts, acme: str) -> None:
    dora = account_of(parts, acme, "dora@acme.example")
    add_person(parts, acme, "other@acme.example", "administrator")
    do(parts, require_sso, acme, end_sessions=False)
    assert refused(parts, name_break_glass, acme, dora, named=False) == "company_last_break_glass"
    assert refused(parts, remove_member, acme, dora) == "company_last_break_glass"
    with parts.database.reading() as db:
        assert db.get_one(Member, dora).break_glass
    do(parts, relax_sso, acme)
    do(parts, set_policy, acme, {"doors": ["social"]}, config=parts.config)
    assert refused(parts, name_break_glass, acme, dora, named=False) == "company_last_break_glass"
    do(parts, set_policy, acme, {"doors": ["password"]}, config=parts.config)
    do(parts, name_break_glass, acme, dora, named=False)
    with parts.database.reading() as db:
        assert not db.get_one(Member, dora).break_glass


# --- the end --------------------------------------------------------------------------------------------------------------------


def test_a_company_that_goes_leaves_its_people_and_closed_domains(parts: Parts, acme: str) -> None:
    dora = account_of(parts, acme, "dora@acme.example")
    do(parts, remove_company, acme)
    assert ended(parts) == {dora}
    with parts.database.reading() as db:
        assert db.get_one(Account, dora).state == "active"
        assert db.get(Member, dora) is None
        assert policy_of_domain(db, "acme.example") is None
        rows = db.scalars(select(CompanyDomain)).all()
        assert {(row.held, row.status, row.company_id) for row in rows} == {
            ("acme.example", "released", None),
            ("acme.test.example", "released", None),
        }
    bolt = add_company(parts, "Bolt")
    with pytest.raises(CompanyRefused) as error:
        prove(parts, bolt, "acme.example")
    assert error.value.reason == "domain_taken"
