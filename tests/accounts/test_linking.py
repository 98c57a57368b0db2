"""Whose account an identity opens."""

from __future__ import annotations

import pytest

from idp.accounts.identity import Identity
from idp.accounts.linking import Decision, Found, Known, New, ProveFirst, Refused, decide, find_email_owner, find_linked
from idp.models import Account, Link
from idp.parts import Parts
from tests.journey import add_carol

OWN = "https://login.example"
ACTIVE = Known("a1", "active")
SUSPENDED = Known("a1", "suspended")


def arrives(
    issuer: str = "https://accounts.google.example", subject: str = "g-1", *, verified: bool = True
) -> Identity:
    return Identity("social:google", issuer, subject, "carol@example.org", verified, "Carol", (), 1_800_000_000)


@pytest.mark.parametrize(
    ("linked", "owner", "decision"),
    [
        (ACTIVE, None, Found("a1")),
        (ACTIVE, Known("a2", "active"), Found("a1")),  # the link decides, not the address
        (SUSPENDED, None, Refused("account_suspended")),
        (None, ACTIVE, ProveFirst("a1")),
        (None, SUSPENDED, Refused("account_suspended")),
        (None, None, New()),
    ],
)
def test_the_link_opens_an_account_and_an_address_never_does(
    linked: Known | None, owner: Known | None, decision: Decision
) -> None:
    for verified in (True, False):
        assert decide(arrives(verified=verified), linked, owner, own_issuer=OWN) == decision


def test_the_standard_door_makes_no_accounts() -> None:
    assert decide(arrives(OWN, "a1"), None, ACTIVE, own_issuer=OWN) == Refused("account_unknown")


def test_an_account_is_found_by_issuer_and_subject_together(parts: Parts) -> None:
    carol = add_carol(parts)
    google = arrives()
    with parts.database.transaction() as db:
        db.add(Link(account_id=carol, issuer=google.issuer, subject=google.subject, created_at=0))
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
