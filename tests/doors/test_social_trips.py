"""A state counts once, within its time, for its provider and in its browser."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest

from idp.doors.social_trips import LIFETIME, PARKED, Trip, Used, fetch, make_secret, may_post, park, remember, take
from idp.parts import Parts
from tests.conftest import Clock

BROWSER = "b" * 43
POSTER = "p" * 43


@pytest.fixture
def state(parts: Parts) -> str:
    return make_secret(parts.random)


@pytest.fixture
def trip(parts: Parts) -> Trip:
    return Trip(
        provider="alpha",
        purpose="login",
        receipt="K7QX-2M4P",
        nonce=make_secret(parts.random),
        verifier=make_secret(parts.random),
        sent_at=int(parts.clock()),
        pending="handle",
        silent=True,
        fresh=False,
    )


def test_a_trip_comes_back_as_it_left_and_once(parts: Parts, state: str, trip: Trip) -> None:
    remember(parts.store, state, trip, browser=BROWSER)
    assert take(parts.store, state, provider="alpha", browser=BROWSER, now=parts.clock()) == trip
    assert take(parts.store, state, provider="alpha", browser=BROWSER, now=parts.clock()) == Used(trip)


def test_of_many_at_once_one_gets_it(parts: Parts, state: str, trip: Trip) -> None:
    remember(parts.store, state, trip, browser=BROWSER)
    with ThreadPoolExecutor(8) as pool:
        got = list(
            pool.map(
                lambda _: take(parts.store, state, provider="alpha", browser=BROWSER, now=parts.clock()), range(16)
            )
        )
    assert got.count(trip) == 1 and got.count(Used(trip)) == 15


def test_it_is_over_after_a_quarter_of_an_hour(parts: Parts, clock: Clock, state: str, trip: Trip) -> None:
    remember(parts.store, state, trip, browser=BROWSER)
    clock.advance(LIFETIME - 1)
    assert may_post(parts.store, state, provider="alpha", poster="", now=clock()) == "foreign"
    clock.advance(1)
    assert may_post(parts.store, state, provider="alpha", poster="", now=clock()) == "unknown"
    assert take(parts.store, state, provider="alpha", browser=BROWSER, now=clock()) == "unknown"


@pytest.mark.parametrize(
    ("provider", "browser", "outcome"),
    [("beta", BROWSER, "elsewhere"), ("alpha", "x" * 43, "foreign"), ("beta", "x" * 43, "elsewhere")],
)
def test_who_is_another_uses_nothing_up(
    parts: Parts, state: str, trip: Trip, provider: str, browser: str, outcome: str
) -> None:
    remember(parts.store, state, trip, browser=BROWSER)
    assert take(parts.store, state, provider=provider, browser=browser, now=parts.clock()) == outcome
    assert take(parts.store, state, provider="alpha", browser=BROWSER, now=parts.clock()) == trip


@pytest.mark.parametrize("state", ["", "a", "a" * 42, "a" * 44, "a" * 42 + "/", "a" * 42 + "\n", "ä" * 43, "*" * 43])
def test_what_is_no_state_of_ours_is_unknown(parts: Parts, state: str) -> None:
    assert take(parts.store, state, provider="alpha", browser=BROWSER, now=parts.clock()) == "unknown"
    assert may_post(parts.store, state, provider="alpha", poster=POSTER, now=parts.clock()) == "unknown"
    assert fetch(parts.store, "alpha", state, parts.clock()) is None


def test_a_post_needs_the_cookie_of_the_browser_that_left(parts: Parts, state: str, trip: Trip) -> None:
    remember(parts.store, state, trip, browser=BROWSER, poster=POSTER)

    def outcome(provider: str, poster: str) -> object:
        return may_post(parts.store, state, provider=provider, poster=poster, now=parts.clock())

    assert outcome("alpha", "") == "foreign"
    assert outcome("alpha", "q" * 43) == "foreign"
    assert outcome("beta", POSTER) == "elsewhere"
    assert outcome("alpha", POSTER) == trip
    assert outcome("alpha", POSTER) == trip  # it stays, for the GET that follows
    remember(parts.store, state, dataclasses.replace(trip, provider="beta"), browser=BROWSER)
    assert outcome("beta", "") == "foreign"  # never for one that was not meant to be posted to


def test_what_was_posted_waits_a_minute_and_is_fetched_once(parts: Parts, clock: Clock) -> None:
    posted = {"code": "c1", "state": "s1", "user": '{"name":{"firstName":"Zoë"}}'}
    handle = park(parts.store, "alpha", posted, now=clock(), random=parts.random)
    assert fetch(parts.store, "alpha", handle, clock()) == posted
    assert fetch(parts.store, "alpha", handle, clock()) is None
    handle = park(parts.store, "alpha", posted, now=clock(), random=parts.random)
    clock.advance(PARKED)
    assert fetch(parts.store, "alpha", handle, clock()) is None
    handle = park(parts.store, "alpha", posted, now=clock(), random=parts.random)
    assert fetch(parts.store, "beta", handle, clock()) is None


def test_neither_state_nor_cookies_stand_in_redis_in_clear(parts: Parts, state: str, trip: Trip) -> None:
    remember(parts.store, state, trip, browser=BROWSER, poster=POSTER)
    (key,) = parts.store.command("KEYS", "social:*")
    record = parts.store.command("HGETALL", key)
    assert not [secret for secret in (state, BROWSER, POSTER) if secret in str([key, record])]
    assert 0 < parts.store.command("TTL", key) <= LIFETIME + 60
