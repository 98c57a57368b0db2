"""Requests and assertions are used up together, once; what was verified waits for its browser for a minute."""

from __future__ import annotations

import dataclasses

import pytest

from idp.accounts.identity import Identity
from idp.accounts.sessions import CompanySession
from idp.doors import saml_requests
from idp.doors.saml_checks import SentRequest
from idp.doors.saml_requests import Answered, Trip
from idp.errors import Unavailable
from idp.login.arrival import Arrival, read_arrival
from idp.parts import Parts
from idp.redis_store import RedisStore
from tests.conftest import Clock

BROWSER = "b" * 43
REQUEST = "_0123456789"


@pytest.fixture
def sent(clock: Clock) -> SentRequest:
    return SentRequest(
        id=REQUEST,
        issued_at=int(clock()),
        connection_id="acme",
        idp_entity_id="https://idp.acme.example/",
        force_authn=True,
        max_age=60,
        contexts=("urn:a", "urn:b"),
        passive=False,
    )


@pytest.fixture(autouse=True)
def remembered(parts: Parts, sent: SentRequest) -> None:
    saml_requests.remember(parts.store, sent, browser=BROWSER, pending="handle", receipt="K7QX-2M4P", purpose="login")


def take(parts: Parts, **changes: object) -> str:
    wanted: dict[str, object] = {
        "connection_id": "acme",
        "request": REQUEST,
        "assertion": "_a1",
        "until": int(parts.clock()) + 60,
        "browser": BROWSER,
        "now": parts.clock(),
    }
    return saml_requests.take(parts.store, **wanted | changes)  # type: ignore[arg-type] # a table of arguments


def test_a_request_is_found_as_it_was_sent_until_it_is_a_quarter_of_an_hour_old(
    parts: Parts, sent: SentRequest, clock: Clock
) -> None:
    expected = Trip(sent, "handle", "K7QX-2M4P", "login")
    for _ in range(2):  # looking does not use it up
        assert saml_requests.find(parts.store, "acme", REQUEST, clock()) == expected
    assert saml_requests.find(parts.store, "acme", REQUEST, clock() + saml_requests.LIFETIME - 1) == expected
    assert saml_requests.find(parts.store, "acme", REQUEST, clock() + saml_requests.LIFETIME) is None


def test_sa_19_another_connection_does_not_know_it(parts: Parts, clock: Clock) -> None:
    assert saml_requests.find(parts.store, "globex", REQUEST, clock()) is None
    assert take(parts, connection_id="globex") == "unknown"
    assert take(parts) == "taken"


def test_sa_16_request_and_assertion_are_used_up_once(parts: Parts, sent: SentRequest, clock: Clock) -> None:
    assert not saml_requests.was_used(parts.store, "acme", "_a1", clock())
    assert take(parts) == "taken"
    assert take(parts) == "unknown"
    assert saml_requests.was_used(parts.store, "acme", "_a1", clock())
    assert not saml_requests.was_used(parts.store, "globex", "_a1", clock())
    # Another request, answered with the same assertion: by whomever, as long as it could count.
    saml_requests.remember(parts.store, sent, browser=BROWSER, pending="h", receipt="r", purpose="login")
    assert take(parts) == "repeated"
    assert take(parts, now=clock() + 60 + saml_requests.ALLOWANCE - 1) == "repeated"
    # It was refused whole: the request still waits for a genuine answer.
    assert take(parts, assertion="_a2") == "taken"


def test_s_12_nothing_that_was_used_counts_again_and_without_redis_nothing_counts(parts: Parts, clock: Clock) -> None:
    assert take(parts) == "taken"
    assert saml_requests.find(parts.store, "acme", REQUEST, clock()) is None
    with RedisStore("redis://127.0.0.1:1/0") as nowhere:
        for ask in (
            lambda: saml_requests.find(nowhere, "acme", REQUEST, clock()),
            lambda: take(dataclasses.replace(parts, store=nowhere)),
            lambda: saml_requests.was_used(nowhere, "acme", "_a1", clock()),
        ):
            with pytest.raises(Unavailable):
                ask()


def test_sa_18_another_browser_uses_up_nothing(parts: Parts) -> None:
    assert take(parts, browser="c" * 43) == "foreign"
    assert take(parts) == "taken"


def test_what_was_verified_is_fetched_once_within_a_minute(parts: Parts, clock: Clock) -> None:
    identity = Identity("company", "company:acme:x", "f:alice", "alice@acme.example", True, "Alice", ("mfa",), 7, "2")
    arrival = Arrival(identity, "c" * 32, CompanySession("acme", "alice", "f", None), 99)
    assert read_arrival(arrival.written()) == arrival
    answered = Answered(
        REQUEST, "handle", "K7QX-2M4P", "login", passive=False, arrival=arrival, assertion="_a1", until=5
    )
    handles = [
        saml_requests.park(parts.store, "acme", one, now=clock(), random=parts.random)
        for one in (answered, answered, Answered(REQUEST, "h", "r", "login", passive=True, reason="saml_status"))
    ]
    assert saml_requests.fetch(parts.store, "globex", handles[0], clock()) is None
    assert saml_requests.fetch(parts.store, "acme", handles[0], clock()) == answered
    assert saml_requests.fetch(parts.store, "acme", handles[0], clock()) is None
    assert saml_requests.fetch(parts.store, "acme", handles[1], clock() + saml_requests.PARKED) is None
    refused = saml_requests.fetch(parts.store, "acme", handles[2], clock())
    assert refused is not None
    assert (refused.arrival, refused.reason, refused.passive) == (None, "saml_status", True)


def test_nothing_stands_in_redis_by_its_name_and_everything_leaves(parts: Parts) -> None:
    take(parts, assertion="_a-secret-assertion")
    saml_requests.park(
        parts.store, "acme", Answered("_r", "h", "r", "login", passive=False), now=parts.clock(), random=parts.random
    )
    keys = parts.store.command("KEYS", "saml:*")
    assert len(keys) == 2
    for key in keys:
        assert key.startswith("saml:{acme}:")
        assert "secret" not in key
        assert parts.store.command("PTTL", key) > 0
