"""Whose account an identity opens."""

from __future__ import annotations

from pathlib import Path

import pytest

from idp.accounts.identity import Identity, read_address
from idp.accounts.lifecycle import create_account
from idp.accounts.linking import (
    Decision,
    Found,
    Known,
    New,
    ProveFirst,
    Refused,
    Welcome,
    decide,
    find_email_owner,
    find_linked,
    link,
    verify_address,
)
from idp.models import Account, AuditEvent, Company, Email, Link, Member
from idp.parts import Parts
from tests.journey import add_carol

OWN = "https://login.example"
ACTIVE = Known("a1", "active")
SUSPENDED = Known("a1", "suspended")


def arrives(
    issuer: str = "https://accounts.google.example", subject: str = "g-1", *, verified: bool = True
) -> Identity:
    return Identity("google", issuer, subject, "carol@example.org", verified, "Carol", (), 1_800_000_000)


GOOGLE, OTHER = ("https://accounts.google.example", "g-1"), ("google", "https://accounts.google.example", "g-0")
FACEBOOK = ("facebook", "https://facebook.example", "f-1")
TENANT = ("google", "https://another-tenant.example", "g-1")
ANYBODY = Known("a1", "active")
# The rows of docs/linking.md: does the provider vouch for the address, was it proved by mail, the account that is linked, the
# one that has the address.
ROWS: dict[str, tuple[bool, bool, Known | None, Known | None]] = {
    "the identity leads to an active account, whatever its address says": (False, False, ACTIVE, None),
    "the identity leads to an account, and its address belongs to another one": (
        True,
        False,
        ACTIVE,
        Known("a2", "active"),
    ),
    "the identity leads to a suspended account": (True, False, SUSPENDED, None),
    "unknown, no address is believed, and nobody has the address": (False, False, None, None),
    "unknown, no address is believed, and an account has the address": (False, False, None, ANYBODY),
    "unknown, the address is believed, and nobody has it": (True, False, None, None),
    "unknown, the address was proved by mail, and nobody has it": (False, True, None, None),
    "unknown, the address is believed, and an account has it": (True, False, None, ANYBODY),
    "unknown, the address was proved by mail, and an account has it": (False, True, None, ANYBODY),
    "the same, and the account has no password": (True, False, None, Known("a1", "active", has_password=False)),
    "the same, and the account belongs to a company": (True, False, None, Known("a1", "active", "acme")),
    "the same, and another provider leads to the account": (
        True,
        False,
        None,
        Known("a1", "active", social=(FACEBOOK,)),
    ),
    "the same, and this provider leads to the account for somebody else: the address may have been given away": (
        *(True, False, None),
        Known("a1", "active", social=(FACEBOOK, OTHER)),
    ),
    "the same, and the provider's other tenant leads to it: a domain can move between tenants": (
        *(True, False, None),
        Known("a1", "active", social=(TENANT,)),
    ),
    "the same, and a company has prepared the account for somebody who has not come yet": (
        *(True, False, None),
        Known("a1", "active", "acme", prepared=True, has_password=False),
    ),
    "unknown, the address is believed, and the account that has it is suspended": (True, False, None, SUSPENDED),
}


def the_table() -> dict[str, str]:
    text = (Path(__file__).parents[2] / "docs/linking.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").partition(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {who: what for who, _, what in rows[1:]}


def in_words(decision: Decision) -> str:
    match decision:
        case Found():
            return "found"
        case New():
            return "new"
        case ProveFirst(account_id, proofs):
            assert account_id == ("" if proofs == ("address",) else "a1")
            return "prove first: " + ", ".join(proofs)
        case Refused(reason):
            return f"refused: {reason}"


@pytest.mark.parametrize("row", [*ROWS])
def test_the_table_of_the_docs_holds_row_by_row(row: str) -> None:
    verified, proved, linked, owner = ROWS[row]
    identity = arrives(verified=verified)
    assert identity.is_social
    decision = decide(identity, linked, owner, own_issuer=OWN, address_proved=proved)
    assert in_words(decision) == the_table()[row]
    assert getattr(decision, "account_id", "a1") in ("", "a1")


def test_the_docs_have_these_rows_and_no_others() -> None:
    assert [*the_table()] == [*ROWS]


ACME, GLOBEX = "acme", "globex"
JIT, STRICT = Welcome(ACME, jit=True), Welcome(ACME, jit=False)


def person(company: str | None = None, **facts: object) -> Known:
    return Known("a1", "active", company, **facts)  # type: ignore[arg-type] # keyword table


MEMBER = person(ACME)
PREPARED = person(ACME, prepared=True, has_password=False)
MISSING, ELSEWHERE = Refused("company_member_missing"), Refused("company_member_elsewhere")


@pytest.mark.parametrize(
    ("linked", "owner", "welcome", "decision"),
    [
        # known by its name at the company
        (MEMBER, None, STRICT, Found("a1")),
        (MEMBER, person(GLOBEX), STRICT, Found("a1")),  # the link decides, not the address
        (person(), person(), JIT, Found("a1")),  # was taken out of the company, which lets everybody in whom it sends
        (person(), None, JIT, MISSING),  # and has another address by now: the account is no business of the company's
        (person(), Known("a2", "active", ACME), JIT, MISSING),
        (person(), None, STRICT, MISSING),
        (person(GLOBEX), None, JIT, ELSEWHERE),
        (Known("a1", "suspended", ACME), None, JIT, Refused("account_suspended")),
        # nobody here has the name or the address
        (None, None, JIT, New()),
        (None, None, STRICT, MISSING),
        # the company has made the account, and this is the first time that somebody comes to it
        (None, PREPARED, STRICT, Found("a1", prepared=True)),
        (None, PREPARED, JIT, Found("a1", prepared=True)),
        (None, person(GLOBEX, prepared=True), JIT, ELSEWHERE),
        # an account has the address: it is never enough
        (None, MEMBER, STRICT, ProveFirst("a1")),
        (None, MEMBER, JIT, ProveFirst("a1")),
        (None, person(), JIT, ProveFirst("a1")),
        (None, person(), STRICT, MISSING),
        (None, person(GLOBEX), JIT, ELSEWHERE),
        (None, person(ACME, has_password=False), JIT, ProveFirst("a1", ("mail",))),
        (None, SUSPENDED, JIT, Refused("account_suspended")),
        # SA-37: the company knew somebody else by this address; who has the address now has the mailbox too
        (None, person(ACME, company_subjects=("p:old",)), JIT, ProveFirst("a1", ("password",))),
        (None, person(ACME, company_subjects=("p:old",), has_password=False), JIT, Refused("company_name_id_changed")),
        (None, person(ACME, company_subjects=("p:old",), has_password=False), STRICT, Refused("company_name_id_changed")),
        # the same name by another connection of the company is the same person
        (None, person(ACME, company_subjects=("p:alice",)), STRICT, ProveFirst("a1")),
        (None, person(ACME, company_subjects=("p:alice", "p:old")), STRICT, ProveFirst("a1", ("password",))),
    ],
)  # fmt: skip
def test_who_comes_from_a_company(
    linked: Known | None, owner: Known | None, welcome: Welcome, decision: Decision
) -> None:
    alice = Identity("company", "company:c1:https://idp", "p:alice", "alice@acme.example", True, "Alice", (), 1)
    assert decide(alice, linked, owner, own_issuer=OWN, welcome=welcome) == decision


def test_what_is_known_of_an_account_is_read_with_it(parts: Parts) -> None:
    carol = add_carol(parts)
    with parts.database.transaction() as db:
        db.add(Company(id="c" * 32, name="Acme", created_at=0, updated_at=0))
        db.flush()
        db.add(Member(account_id=carol, company_id="c" * 32, prepared=True, created_at=0))
        for issuer, subject in (("company:c1:x", "p:old"), ("https://accounts.google.example", "g-1")):
            db.add(Link(account_id=carol, issuer=issuer, subject=subject, door="company", created_at=0))
        db.flush()
        # prepared by the company, but somebody was given a password for it since
        known = Known(carol, "active", "c" * 32, prepared=False, has_password=True)
        assert find_linked(db, arrives(), own_issuer=OWN) == known
        owner = find_email_owner(db, "carol@example.org")
        assert owner == Known(carol, "active", "c" * 32, False, True, ("p:old",), (("company", *GOOGLE),))
        stranger = create_account(
            db, read_address("x@acme.example"), claims={}, verified=False, password_hash=None, actor="system", now=0,
            random=parts.random,
        )  # fmt: skip
        assert find_email_owner(db, "x@acme.example") == Known(stranger.id, "active", has_password=False)


def test_a_link_keeps_its_proof_and_an_address_is_verified_once(parts: Parts) -> None:
    carol = add_carol(parts)
    with parts.database.transaction() as db:
        link(db, carol, arrives(), proof={"by": "mail", "company": "c1"}, now=7)
        [kept] = db.query(Link)
        assert (kept.account_id, kept.proof) == (carol, {"by": "mail", "company": "c1", "at": 7})
        assert db.query(AuditEvent).filter_by(event="person.linked").one().facts == {
            "door": "google",
            "by": "mail",
        }
        assert not verify_address(db, carol, "carol@example.org", now=9)
        assert not verify_address(db, carol, "bob@example.org", now=9)
        db.query(Email).one().verified_at = None
        assert verify_address(db, carol, "carol@example.org", now=9)
        assert db.query(Email).one().verified_at == 9


def test_the_standard_door_makes_no_accounts() -> None:
    assert decide(arrives(OWN, "a1"), None, ACTIVE, own_issuer=OWN) == Refused("account_unknown")


def test_an_account_is_found_by_issuer_and_subject_together(parts: Parts) -> None:
    carol = add_carol(parts)
    google = arrives()
    with parts.database.transaction() as db:
        db.add(Link(account_id=carol, issuer=google.issuer, subject=google.subject, door="google", created_at=0))
        db.flush()
        assert find_linked(db, google, own_issuer=OWN) == Known(carol, "active")
        assert find_linked(db, arrives("https://evil.example"), own_issuer=OWN) is None
        assert find_linked(db, arrives(subject="g-2"), own_issuer=OWN) is None


def test_at_the_standard_door_the_subject_is_the_account(parts: Parts) -> None:
    carol = add_carol(parts)
    with parts.database.transaction() as db:
        assert find_linked(db, arrives(OWN, carol), own_issuer=OWN) == Known(carol, "active")
        assert find_linked(db, arrives("https://evil.example", carol), own_issuer=OWN) is None
        db.get_one(Account, carol).state = "suspended"
        db.flush()
        assert find_linked(db, arrives(OWN, carol), own_issuer=OWN) == Known(carol, "suspended")


def test_ij_04_an_address_is_compared_and_never_interpreted(parts: Parts) -> None:
    carol = add_carol(parts)
    with parts.database.reading() as db:
        assert find_email_owner(db, "carol@example.org") == Known(carol, "active")
        for text in (
            "%",
            "carol%",
            "' OR 1=1 --",
            "carol@example.org'--",
            "*",
            "c?rol@example.org",
            "CAROL@example.org",
        ):
            assert find_email_owner(db, text) is None
