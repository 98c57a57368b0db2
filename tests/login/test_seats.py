"""Journey S8: an attendee becomes an organizer, over HTTP. One product is told, after a sign-in of its own, and no other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from idp.accounts.lifecycle import apply_revocations
from idp.accounts.seats import Role, grant_seat, remove_seat
from idp.parts import Parts
from tests.journey import Walker, add_carol, claims_of

if TYPE_CHECKING:
    from tests.conftest import Clock

SEAT = "openid seat offline_access"
IN_ID_TOKEN = json.dumps({"id_token": {"seat": None}})


@pytest.fixture
def carol(parts: Parts) -> str:
    return add_carol(parts)


def seat(parts: Parts, account_id: str, role: Role | None, client_id: str = "C1") -> None:
    with parts.database.transaction() as db:
        if role is None:
            remove_seat(db, account_id, client_id, actor="operator:test", now=parts.clock())
        else:
            grant_seat(db, account_id, client_id, role, actor="operator:test", now=parts.clock())
    while apply_revocations(parts.database, parts.store, parts.clients, parts.clock()):
        pass


def told(walker: Walker, tokens: dict[str, Any]) -> tuple[Any, Any]:
    """What ID token and userinfo say of the seat."""
    userinfo = walker.userinfo(tokens["access_token"]).get_json()
    assert "seats" not in userinfo
    return claims_of(tokens["id_token"]).get("seat"), userinfo.get("seat")


def test_s8_an_attendee_becomes_an_organizer_and_proves_it_once(
    walker: Walker, parts: Parts, carol: str, clock: Clock
) -> None:
    seat(parts, carol, "attendee")
    granted = int(clock())
    clock.advance(60)
    before = walker.tokens(scope=SEAT, claims=IN_ID_TOKEN)
    attendee = {"role": "attendee", "granted_at": granted}
    assert told(walker, before) == (attendee, attendee)

    clock.advance(60)
    seat(parts, carol, "organizer")
    organizer = {"role": "organizer", "granted_at": int(clock())}
    clock.advance(1)
    # What rests on the old sign-in is not told: neither by the old token nor by a refreshed one.
    assert walker.userinfo(before["access_token"]).get_json().get("seat") is None
    refreshed = walker.refresh(before["refresh_token"]).get_json()
    assert told(walker, refreshed) == (None, None)
    assert walker.answer_of(walker.az(scope=SEAT, prompt="none"))["error"] == "login_required"
    # A request that does not ask for it goes through as ever.
    assert "code" in walker.answer_of(walker.az(scope="openid"))

    # The sign-in page, once; then the product knows.
    page = walker.follow(walker.az(scope=SEAT, claims=IN_ID_TOKEN))
    assert page.status_code == 200
    tokens = walker.tk(walker.answer_of(walker.sign_in(page))["code"]).get_json()
    assert told(walker, tokens) == (organizer, organizer)
    assert told(walker, walker.refresh(tokens["refresh_token"]).get_json()) == (organizer, organizer)
    assert "code" in walker.answer_of(walker.az(scope=SEAT, prompt="none"))

    # Taken away: at once, without a sign-in.
    seat(parts, carol, None)
    assert walker.userinfo(tokens["access_token"]).get_json().get("seat") is None


def test_a_request_by_claims_alone_asks_for_the_sign_in_too(
    walker: Walker, parts: Parts, carol: str, clock: Clock
) -> None:
    walker.code()
    clock.advance(5)
    seat(parts, carol, "organizer")

    assert walker.answer_of(walker.az(prompt="none", claims=IN_ID_TOKEN))["error"] == "login_required"
    assert "code" in walker.answer_of(walker.az(prompt="none", claims=json.dumps({"id_token": {"email": None}})))


def test_another_products_seat_is_nobodys_business(walker: Walker, parts: Parts, carol: str, clock: Clock) -> None:
    walker.code()
    clock.advance(5)
    seat(parts, carol, "organizer", client_id="ES")
    tokens = walker.tokens(scope=SEAT, claims=IN_ID_TOKEN, prompt="none")

    assert told(walker, tokens) == (None, None)


def test_the_door_is_asked_afresh_even_if_the_request_was_parked_before(
    walker: Walker, parts: Parts, carol: str, clock: Clock
) -> None:
    walker.code()
    page = walker.follow(walker.az(scope=SEAT, prompt="consent"))
    clock.advance(5)
    seat(parts, carol, "organizer")
    page = walker.follow(walker.submit(page, "/consent", decision="allow"))

    assert 'id="username"' in page.get_data(as_text=True) or 'id="password"' in page.get_data(as_text=True)
    page = walker.sign_in(page)
    assert 'action="/consent"' in page.get_data(as_text=True)  # this sign-in is another: asked anew, once
    answer = walker.answer_of(walker.follow(walker.submit(page, "/consent", decision="allow")))
    assert "code" in answer
