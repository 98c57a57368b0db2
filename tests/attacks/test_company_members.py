"""attacks.md AD-06: whoever leaves a company, or loses a role in it, has lost it everywhere within five seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from idp.accounts.lifecycle import apply_revocations
from idp.companies import remove_company, rename
from idp.members import add_member, remove_member, set_role
from idp.parts import Parts
from tests.company_records import add_company, add_person
from tests.journey import Walker, claims_of

ALL = "openid email company offline_access"
WHO: dict[str, Any] = {"actor": "operator:test"}


@contextmanager
def revocations_at_their_pace(parts: Parts) -> Iterator[None]:
    """The worker's job of this name, every second as there."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(1.0):
            apply_revocations(parts.database, parts.store, parts.clients, parts.clock())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def seconds_until(happened: Any) -> float:
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < 20
    return time.monotonic() - began


def signed_in(walker: Walker, email: str) -> dict[str, Any]:
    walker.sign_in(walker.az(scope=ALL), email)
    return walker.tokens(scope=ALL)


def active(walker: Walker, token: str) -> bool:
    return bool(walker.post("/introspect", {"token": token}, walker.basic()).get_json()["active"])


def test_ad_06_whoever_is_removed_has_lost_everything_within_five_seconds(parts: Parts, walker: Walker) -> None:
    acme = add_company(parts)
    alice = add_person(parts, acme, "alice@acme.example", "read_only")
    tokens = signed_in(walker, "alice@acme.example")
    told = walker.userinfo(tokens["access_token"]).get_json()
    assert told["company"] == {"id": acme, "name": "Acme", "roles": ["read_only"]}
    with revocations_at_their_pace(parts):
        with parts.database.transaction() as db:
            remove_member(db, acme, alice, **WHO, now=parts.clock())
        assert seconds_until(lambda: walker.userinfo(tokens["access_token"]).status_code == 401) < 5
        assert not active(walker, tokens["access_token"])
        assert not active(walker, tokens["refresh_token"])
        assert walker.refresh(tokens["refresh_token"]).get_json()["error"] == "invalid_grant"
        assert walker.get("/me").status_code == 303  # to the sign-in: the session is over
    # The account stays, and knows of no company any more.
    again = signed_in(walker, "alice@acme.example")
    assert "company" not in walker.userinfo(again["access_token"]).get_json()


def test_ad_06_a_role_that_is_taken_is_gone_within_five_seconds_and_stays_gone(parts: Parts, walker: Walker) -> None:
    acme = add_company(parts)
    add_person(parts, acme, "dora@acme.example", "administrator")
    sven = add_person(parts, acme, "sven@acme.example", "administrator")
    tokens = signed_in(walker, "sven@acme.example")

    def roles(access_token: str) -> list[str]:
        found: list[str] = walker.userinfo(access_token).get_json()["company"]["roles"]
        return found

    assert roles(tokens["access_token"]) == ["administrator"]
    with revocations_at_their_pace(parts):
        with parts.database.transaction() as db:
            set_role(db, acme, sven, "member", **WHO, now=parts.clock())
        assert seconds_until(lambda: roles(tokens["access_token"]) == ["member"]) < 5
    # Neither a refresh nor a new code from the old session brings it back.
    assert roles(walker.refresh(tokens["refresh_token"]).get_json()["access_token"]) == ["member"]
    assert roles(walker.tokens(scope=ALL)["access_token"]) == ["member"]


def test_ad_06_whoever_moves_takes_nothing_along(parts: Parts, walker: Walker) -> None:
    acme, bolt = add_company(parts, "Acme"), add_company(parts, "Bolt")
    eve = add_person(parts, acme, "eve@acme.example", "read_only")
    tokens = signed_in(walker, "eve@acme.example")
    with parts.database.transaction() as db:
        remove_member(db, acme, eve, **WHO, now=parts.clock())
        add_member(db, bolt, eve, "member", **WHO, now=parts.clock(), vouched=True)
    apply_revocations(parts.database, parts.store, parts.clients, parts.clock())
    assert walker.userinfo(tokens["access_token"]).status_code == 401
    again = signed_in(walker, "eve@acme.example")
    assert walker.userinfo(again["access_token"]).get_json()["company"] == {
        "id": bolt,
        "name": "Bolt",
        "roles": ["member"],
    }


def test_ad_06_a_company_that_goes_signs_its_people_out(parts: Parts, walker: Walker) -> None:
    acme = add_company(parts)
    add_person(parts, acme, "alice@acme.example")
    tokens = signed_in(walker, "alice@acme.example")
    with parts.database.transaction() as db:
        rename(db, acme, "Acme Ltd", **WHO, now=parts.clock())
    apply_revocations(parts.database, parts.store, parts.clients, parts.clock())
    assert walker.userinfo(tokens["access_token"]).get_json()["company"]["name"] == "Acme Ltd"
    with parts.database.transaction() as db:
        remove_company(db, acme, **WHO, now=parts.clock())
    apply_revocations(parts.database, parts.store, parts.clients, parts.clock())
    assert walker.userinfo(tokens["access_token"]).status_code == 401


def test_the_company_leaves_by_its_scope_alone_and_never_in_the_id_token_unasked(parts: Parts, walker: Walker) -> None:
    add_person(parts, add_company(parts), "alice@acme.example")
    walker.sign_in(walker.az(scope="openid profile email"), "alice@acme.example")
    bare = walker.tokens(scope="openid profile email")
    assert "company" not in walker.userinfo(bare["access_token"]).get_json()
    full = walker.tokens(scope=ALL)
    assert set(claims_of(full["id_token"])) == set(claims_of(bare["id_token"]))
    assert set(claims_of(full["id_token"])) <= {
        *("iss", "sub", "aud", "exp", "iat", "auth_time", "acr", "amr", "sid", "at_hash", "nonce")
    }
    asked = walker.tokens(scope="openid", claims='{"id_token": {"company": null}}')
    assert claims_of(asked["id_token"])["company"]["name"] == "Acme"
