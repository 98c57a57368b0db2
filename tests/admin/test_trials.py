"""The secret of a test trip: an hour, one browser."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from idp.admin.trials import LIFETIME, bind_trial, find_trial, make_trial
from idp.parts import Parts
from tests import canaries


def test_it_leads_to_its_connection_for_an_hour(parts: Parts) -> None:
    now = parts.clock()
    secret = make_trial(parts.store, "acme", now=now, random=canaries.random)
    assert find_trial(parts.store, secret, "one", now + LIFETIME - 1) == "acme"
    assert find_trial(parts.store, secret, "one", now + LIFETIME) is None
    assert find_trial(parts.store, "somebody's guess", "one", now) is None


def test_looking_binds_nothing_and_the_first_press_binds_it_to_that_browser(parts: Parts) -> None:
    now = parts.clock()
    secret = make_trial(parts.store, "acme", now=now, random=canaries.random)
    assert find_trial(parts.store, secret, "a program that looks at links", now) == "acme"
    assert bind_trial(parts.store, secret, "one", now) == "acme"
    assert bind_trial(parts.store, secret, "another", now) is None
    assert find_trial(parts.store, secret, "another", now) is None
    assert bind_trial(parts.store, secret, "one", now) == "acme"  # it may go again


def test_of_many_that_come_at_once_one_gets_it(parts: Parts) -> None:
    now = parts.clock()
    secret = make_trial(parts.store, "acme", now=now, random=canaries.random)
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda number: bind_trial(parts.store, secret, f"browser {number}", now), range(8)))
    assert (outcomes.count("acme"), outcomes.count(None)) == (1, 7)


def test_redis_holds_no_secret_and_a_guess_leaves_nothing_there(parts: Parts) -> None:
    now = parts.clock()
    secret = make_trial(parts.store, "acme", now=now, random=canaries.random)
    bind_trial(parts.store, secret, "the cookie of a browser", now)
    keys = parts.store.command("KEYS", "trial:*")
    values = [parts.store.command("GET", key) for key in keys]
    assert len(keys) == 2
    assert secret not in repr((keys, values))
    assert "the cookie" not in repr(values)
    assert bind_trial(parts.store, "a guess", "one", now) is None
    assert parts.store.command("KEYS", "trial:*") == keys
