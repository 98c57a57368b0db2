"""The dry run: everything that a sign-in does is shown, and nothing of it stays."""

from __future__ import annotations

from typing import Any

import pytest

from idp.accounts.identity import read_address
from idp.accounts.lifecycle import create_account, find_account, suspend
from idp.admin.dry_run import Report, as_if_sent, dry_run, masked
from idp.doors.saml_checks import Check
from idp.members import add_member
from idp.parts import Parts
from tests.company_walker import sign_in
from tests.fakes.company_idp import CompanyIdp
from tests.journey import Walker, add_carol, claims_of
from tests.saml_parties import Customer, add_customer, answer_for, belong, decide_for
from tests.stores import hash_of
from tests.test_structure import Tree, read_tree

ALICE = "alice@acme.example"
MFA = "urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken"


@pytest.fixture
def acme(parts: Parts) -> Customer:
    return add_customer(
        parts.database,
        parts.connections,
        CompanyIdp(),
        now=parts.clock(),
        random=parts.random,
        attributes={"name": "displayName"},
        contexts={MFA: {"acr": "2", "amr": ["otp", "mfa"]}},
    )


def run(parts: Parts, customer: Customer, **changes: Any) -> Report:
    """A dry run of a response to the request of the tests. ``changes``: fields of the answer."""
    now = parts.clock()
    encoded = customer.idp.response(**{**answer_for(customer.connection), "now": now, **changes})
    return dry_run(
        encoded,
        customer.connection,
        as_if_sent(customer.connection, now),
        database=parts.database,
        clients=[client for client in parts.clients.all().values() if client.enabled],
        issuer=parts.config.issuer,
        subjects_secret=parts.keys.subjects_secret,
        now=now,
        random=parts.random,
    )


def failed(report: Report) -> dict[str, Check]:
    return {check.name: check for check in report.checks if not check.ok}


# --- nothing stays, nothing is signed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", ["new", "prepared", "found", "prove_first", "refused"])
def test_nothing_is_written_whatever_is_decided(decision: str, parts: Parts, acme: Customer, walker: Walker) -> None:
    if decision == "prepared":
        with parts.database.transaction() as db:
            account = create_account(
                db, read_address(ALICE), claims={}, verified=False, password_hash=None, actor="operator:test",
                now=parts.clock(), random=parts.random,
            )  # fmt: skip
            add_member(
                db, acme.company_id, account.id, "member", actor="operator:test", now=parts.clock(), prepared=True
            )
    elif decision == "found":
        sign_in(walker, acme)
    elif decision == "prove_first":
        add_carol(parts, ALICE)
    elif decision == "refused":
        decide_for(parts.database, acme, jit=False)
    parts.attempts.flush()
    before = hash_of(parts.database, parts.store)
    report = run(parts, acme, attributes={"displayName": ["Alice Example"]})
    assert report.outcome is not None
    assert report.outcome.decision == decision
    assert report.ok == (decision != "refused")
    parts.attempts.flush()
    assert hash_of(parts.database, parts.store) == before


def test_the_hash_would_see_a_row_and_a_key(parts: Parts) -> None:
    before = hash_of(parts.database, parts.store)
    parts.store.command("SET", "x", "1")
    with_key = hash_of(parts.database, parts.store)
    add_carol(parts)
    assert len({before, with_key, hash_of(parts.database, parts.store)}) == 3


def reached(tree: Tree, start: str) -> set[str]:
    """Every file that is imported on the way from one, wherever in it the import stands."""
    files = {file.module: file for file in tree.files}
    found, todo = set(), [start]
    while todo:
        module = todo.pop()
        if module not in found:
            found.add(module)
            todo += tree.own_imports(files[module])
    return found


def test_no_signing_key_is_reachable_from_a_dry_run() -> None:
    found = reached(read_tree(), "idp.admin.dry_run")
    assert {"idp.doors.saml_response", "idp.login.company_account", "idp.oidc.claims"} <= found  # the production way
    forbidden = {"idp.keys", "idp.key_ring", "idp.oidc.provider", "idp.oidc.codes_and_tokens", "idp.parts", "idp.app"}
    assert not found & forbidden
    # and the ring is not handed over in another way
    source = next(file for file in read_tree().files if file.module == "idp.admin.dry_run")
    assert not source.names & {"KeyRing", "sign_jwt", "Provider", "store", "RedisStore"}


def test_the_way_to_a_key_would_be_found() -> None:
    assert "idp.keys" in reached(read_tree(), "idp.admin.company_try")


# --- what it shows -----------------------------------------------------------------------------------------------------------


def test_it_tells_each_product_what_a_sign_in_tells_it(parts: Parts, acme: Customer, walker: Walker) -> None:
    """The claims of the dry run beside those of a genuine sign-in of the same person."""
    done = sign_in(walker, acme, attributes={"displayName": ["Alice Example"]}, context=MFA)
    tokens = walker.tk(walker.answer_of(done)["code"]).get_json()
    genuine = claims_of(tokens["id_token"])
    report = run(parts, acme, attributes={"displayName": ["Alice Example"]}, context=MFA)
    [told] = [one for one in report.told if one.client_id == walker.client_id]
    assert told.id_token.keys() | {"nonce"} == genuine.keys() | {"nonce"}
    times = {"iat", "exp", "auth_time"}
    made = {"sid", "at_hash"}
    same = {name: value for name, value in genuine.items() if name not in times | made | {"nonce"}}
    assert {name: told.id_token[name] for name in same} == same
    assert {told.id_token[name] for name in made} == {None}
    userinfo = walker.userinfo(tokens["access_token"]).get_json()
    assert {name: value for name, value in told.userinfo.items() if name in userinfo} == {
        name: value for name, value in userinfo.items() if name in told.userinfo
    }
    assert told.userinfo["sub"] == genuine["sub"]


def test_a_newcomer_has_no_sub_yet(parts: Parts, acme: Customer) -> None:
    report = run(parts, acme, attributes={"displayName": ["Alice Example"]})
    assert report.told
    for told in report.told:
        assert told.id_token["sub"] is None
        assert told.userinfo["sub"] is None
        assert told.id_token["aud"] == told.client_id
    [one] = [told for told in report.told if "email" in told.userinfo][:1]
    assert one.userinfo["email"] == ALICE
    assert one.userinfo["email_verified"] is True
    assert one.userinfo.get("name", "Alice Example") == "Alice Example"


def test_products_with_pairwise_subjects_are_told_their_own(parts: Parts, acme: Customer, walker: Walker) -> None:
    sign_in(walker, acme)
    report = run(parts, acme)
    subs = {told.client_id: told.id_token["sub"] for told in report.told}
    for client in parts.clients.all().values():
        if client.enabled and client.subject_type == "pairwise":
            assert subs[client.client_id] != subs[walker.client_id]


def test_it_shows_every_check_with_expected_and_received(parts: Parts, acme: Customer) -> None:
    report = run(parts, acme, audience="https://another.example", destination="https://login.example/saml/x/acs")
    assert not report.ok
    wrong = failed(report)
    assert wrong.keys() == {"audience", "destination"}
    assert wrong["audience"].expected == acme.connection.entity_id
    assert wrong["audience"].received == "https://another.example"
    assert report.reason == next(check.reason for check in report.checks if not check.ok)
    assert any(check.ok for check in report.checks)
    assert report.outcome is None
    assert report.told == ()


def test_it_maps_the_attributes_also_when_a_check_has_failed(parts: Parts, acme: Customer) -> None:
    report = run(
        parts, acme, audience="https://another.example", attributes={"displayName": ["Alice"], "groups": ["x", "y"]}
    )
    assert [(one.name, one.used_for, one.values) for one in report.attributes] == [
        ("displayName", "name", ("Alice",)),
        ("groups", "", ("x", "y")),
    ]
    assert report.name_id == ALICE


def test_what_nobody_signed_shows_nothing_of_it(parts: Parts, acme: Customer) -> None:
    report = run(parts, acme, sign="none", attributes={"displayName": ["Mallory"]})
    assert report.reason == "saml_unsigned"
    assert (report.name_id, report.attributes, report.outcome, report.told) == ("", (), None, ())


def test_an_address_of_another_company_is_refused_with_the_reason(parts: Parts, acme: Customer) -> None:
    report = run(parts, acme, name_id="alice@globex.example")
    assert failed(report)["email_domain"].reason == "company_domain_foreign"
    assert report.outcome is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("jit off", "company_member_missing"),
        ("suspended", "account_suspended"),
        ("elsewhere", "company_member_elsewhere"),
    ],
)
def test_the_account_decision_is_that_of_a_sign_in(
    change: str, reason: str, parts: Parts, acme: Customer, walker: Walker
) -> None:
    if change == "jit off":
        decide_for(parts.database, acme, jit=False)
    else:
        account_id = add_carol(parts, ALICE)
        if change == "suspended":
            with parts.database.transaction() as db:
                account = find_account(db, ALICE)
                assert account is not None
                suspend(db, account, actor="operator:test", now=parts.clock())
        else:
            globex = add_customer(
                parts.database, parts.connections, CompanyIdp("https://idp.globex.example", name="Globex"),
                "globex.example", name="Globex", now=parts.clock(), random=parts.random,
            )  # fmt: skip
            belong(parts.database, globex, account_id, now=parts.clock())
    report = run(parts, acme)
    assert report.outcome is not None
    assert (report.outcome.decision, report.outcome.reason) == ("refused", reason)
    assert report.held
    assert not report.ok
    assert report.told == ()


def test_as_of_the_time_of_its_capture_an_old_response_is_good(parts: Parts, acme: Customer) -> None:
    captured = parts.clock()
    encoded = acme.idp.response(**answer_for(acme.connection), now=captured, lifetime=3600)

    def look(now: float) -> Report:
        return dry_run(
            encoded, acme.connection, as_if_sent(acme.connection, now), database=parts.database, clients=(),
            issuer=parts.config.issuer, subjects_secret=b"", now=now, random=parts.random,
        )  # fmt: skip

    assert look(captured + 10).ok
    assert look(captured + 590).ok  # as long as the ACS address takes it for a request of that time
    assert failed(look(captured + 610)).keys() == {"issue_instant"}
    late = look(captured + 86400)
    assert not late.ok
    assert "not_on_or_after" in failed(late)


@pytest.mark.parametrize("encoded", ["", "!", "PHg+", "a" * 500_000, "\ud800", "PCFET0NUWVBFIHg+"])
def test_what_is_no_response_is_told_and_breaks_nothing(encoded: str, parts: Parts, acme: Customer) -> None:
    report = dry_run(
        encoded, acme.connection, as_if_sent(acme.connection, parts.clock()), database=parts.database, clients=(),
        issuer=parts.config.issuer, subjects_secret=b"", now=parts.clock(), random=parts.random,
    )  # fmt: skip
    assert not report.ok
    assert report.reason


def test_masked_it_shows_enough_to_know_ones_own_values_again(parts: Parts, acme: Customer) -> None:
    report = masked(run(parts, acme, attributes={"displayName": ["Alice Example"], "mail": [ALICE]}))
    shown = repr((report.name_id, report.attributes, report.told))
    assert "alice" not in shown
    assert "Alice" not in shown
    assert "lice Ex" not in shown
    assert report.name_id == "a•••e@acme.example"
    assert [one.values for one in report.attributes] == [("A•••",), ("a•••e@acme.example",)]
    assert any(told.userinfo.get("email") == "a•••e@acme.example" for told in report.told)
