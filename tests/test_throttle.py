"""Throttling slows a guesser and never locks an owner out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from idp.parts import Parts
from idp.throttle import (
    ACCOUNT,
    DEVICE,
    NEIGHBOURHOOD,
    NETWORK,
    PAIR,
    PAIR_UNDER_ATTACK,
    RESPONSES,
    Ticket,
    forgive,
    give_back,
    give_response_back,
    networks,
    take_code_mail,
    take_proof_mail,
    take_reset_mail,
    take_response,
    take_sign_in,
)
from tests.conftest import Clock

CAROL = "carol@example.org"
HOME = "192.0.2.7"
DAY = 86400


def take(parts: Parts, email: str = CAROL, network: str = HOME, device: str | None = None) -> Ticket:
    return take_sign_in(parts.store, email=email, network=network, device=device, now=parts.clock())


def tries(parts: Parts, email: str = CAROL, network: str = HOME, device: str | None = None) -> int:
    """How many tries are allowed right now; uses them up."""
    return next(number for number in count() if take(parts, email, network, device).wait)


def attack(parts: Parts, email: str = CAROL) -> None:
    """Guess from many networks until the account is under attack."""
    for number in range(ACCOUNT.tries + 1):
        take(parts, email, f"203.0.{number}.1")


def test_a_network_has_few_tries_on_one_account_and_is_told_how_long_to_wait(parts: Parts, clock: Clock) -> None:
    assert tries(parts) == PAIR.tries
    wait = take(parts).wait
    assert 0 < wait <= PAIR.seconds
    clock.advance(wait - 1)
    assert take(parts).wait == 1
    clock.advance(1)
    assert take(parts).wait == 0
    assert take(parts).wait > 0


def test_who_is_refused_does_not_wait_longer_for_asking_again(parts: Parts) -> None:
    tries(parts)
    assert {take(parts).wait for _ in range(200)} == {int(PAIR.seconds)}


def test_a_right_password_costs_nothing(parts: Parts) -> None:
    for _ in range(NEIGHBOURHOOD.tries + 1):
        ticket = take(parts)
        assert ticket.wait == 0
        give_back(parts.store, ticket, parts.clock())
    assert not parts.store.command("KEYS", "throttle:*")


def test_an_attackers_own_sign_ins_do_not_wash_his_guesses_clean(parts: Parts) -> None:
    guesses = 0
    while not take(parts).wait:
        guesses += 1
        own = take(parts, "mallory@example.org")
        if not own.wait:
            give_back(parts.store, own, parts.clock())
    assert guesses == PAIR.tries


def test_one_network_cannot_try_many_accounts(parts: Parts) -> None:
    allowed = sum(not take(parts, f"person{number}@example.org").wait for number in range(NETWORK.tries * 2))
    assert allowed == NETWORK.tries
    assert take(parts, "somebody.else@example.org", "198.51.100.1").wait == 0


def test_many_addresses_of_one_neighbourhood_do_not_have_as_many_times_the_tries(parts: Parts) -> None:
    allowed = sum(
        not take(parts, f"person{number}@example.org", f"192.0.2.{number % 256}").wait
        for number in range(NEIGHBOURHOOD.tries * 2)
    )
    assert allowed == NEIGHBOURHOOD.tries


def test_pw_03_a_known_device_is_not_reached_by_what_strangers_do(parts: Parts) -> None:
    attack(parts)
    tries(parts)  # the attacker sits in the owner's own network as well
    for number in range(NEIGHBOURHOOD.tries):
        take(parts, f"person{number}@example.org", HOME)
    assert take(parts).wait > 0
    assert take(parts, device="carols-cookie").wait == 0


def test_pw_03_an_owner_at_a_new_device_in_a_quiet_network_is_let_in_during_an_attack(parts: Parts) -> None:
    attack(parts)
    assert tries(parts, network="198.51.100.1") == PAIR_UNDER_ATTACK.tries


def test_pw_03_an_attack_on_one_account_touches_nobody_else(parts: Parts) -> None:
    attack(parts)
    assert tries(parts, "bob@example.org", "198.51.100.1") == PAIR.tries


def test_a_stolen_device_has_few_tries_too(parts: Parts, clock: Clock) -> None:
    assert tries(parts, device="stolen") == DEVICE.tries
    clock.advance(DEVICE.seconds)
    assert tries(parts, device="stolen") == 1
    assert tries(parts, "bob@example.org", device="stolen") == DEVICE.tries


def test_a_botnet_is_slowed_to_few_tries_per_network(parts: Parts, clock: Clock) -> None:
    attack(parts)
    allowed = 0
    for _ in range(24):
        allowed += tries(parts, network="198.51.100.1")
        clock.advance(3600)
        attack(parts)
    assert allowed <= PAIR_UNDER_ATTACK.tries + DAY / PAIR_UNDER_ATTACK.seconds


def test_quiet_time_gives_the_tries_back(parts: Parts, clock: Clock) -> None:
    attack(parts)
    tries(parts)
    clock.advance(DAY)
    assert tries(parts) == PAIR.tries


@pytest.mark.parametrize("spelling", ["carol+1@example.org", "carol+news+2@example.org", "carol+@example.org"])
def test_ds_14_another_spelling_of_the_address_earns_no_new_tries(parts: Parts, spelling: str) -> None:
    tries(parts)
    assert take(parts, spelling).wait > 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:1::1", "2001:db8:1:1:ffff::2", True),
        ("2001:db8:1:1::1", "2001:db8:1:2::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("::ffff:c000:207", "192.0.2.7", True),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("nonsense", "also nonsense", True),
        ("", "192.0.2.7, 198.51.100.1", True),
    ],
)
def test_ds_14_a_visitor_is_the_network_that_one_visitor_holds(one: str, other: str, same: bool) -> None:
    assert (networks(one)[0] == networks(other)[0]) is same


def test_ds_14_every_address_of_an_ipv6_network_takes_from_the_same_bucket(parts: Parts) -> None:
    allowed = sum(not take(parts, network=f"2001:db8:1:1::{number:x}").wait for number in range(1, 50))
    assert allowed == PAIR.tries


def test_ds_14_all_networks_of_an_ipv6_site_together_are_bounded(parts: Parts) -> None:
    allowed = sum(
        not take(parts, f"person{number}@example.org", f"2001:db8:1:{number:x}::1").wait
        for number in range(NEIGHBOURHOOD.tries + 50)
    )
    assert allowed == NEIGHBOURHOOD.tries


def test_ds_14_parallel_tries_are_all_counted(parts: Parts) -> None:
    with ThreadPoolExecutor(16) as pool:
        tickets = list(pool.map(lambda _: take(parts), range(64)))
    assert sum(not ticket.wait for ticket in tickets) == PAIR.tries


def test_ij_04_what_visitors_type_never_becomes_part_of_a_key(parts: Parts) -> None:
    take(parts, "x} {y*?[\r\n\x00:@example.org", "} *")
    keys = parts.store.command("KEYS", "*")
    assert len(keys) == 6
    assert all(key.startswith("throttle:{") and key.endswith("}") and len(key) == 75 for key in keys)


def test_every_bucket_is_gone_when_it_is_full_again(parts: Parts) -> None:
    take(parts)
    assert all(0 < parts.store.command("PTTL", key) <= 601_000 for key in parts.store.command("KEYS", "*"))


def test_a_clock_that_jumped_back_keeps_nobody_out_for_long(parts: Parts, clock: Clock) -> None:
    tries(parts)
    clock.advance(-10 * DAY)
    assert take(parts).wait <= PAIR.tries * PAIR.seconds


def test_responses_of_one_company_from_one_network_are_examined_at_a_bounded_pace(parts: Parts, clock: Clock) -> None:
    """Neither another company's nor those from elsewhere wait, and what signs somebody in costs nothing."""

    def take(connection: str = "acme", network: str = HOME) -> int:
        return take_response(parts.store, connection=connection, network=network, now=clock())

    for _ in range(200):
        assert not take()
        give_response_back(parts.store, connection="acme", network=HOME, now=clock())
    assert next(number for number in count() if take()) == RESPONSES.tries
    assert take("globex") == take(network="198.51.100.9") == 0
    clock.advance(1)
    assert next(number for number in count() if take()) == 1 / RESPONSES.seconds


def test_mails_about_forgotten_passwords_are_counted_apart_for_a_mailbox_and_together_for_a_network(
    parts: Parts,
) -> None:
    """No other mail that strangers cause keeps somebody from asking for this one."""
    for number in range(4):
        take_proof_mail(parts.store, email=CAROL, network=f"203.0.{number}.1", now=parts.clock())
    waits = [
        take_reset_mail(parts.store, email=CAROL, network=f"198.51.{number}.1", now=parts.clock())
        for number in range(4)
    ]
    assert waits == [0, 0, 0, 900]
    one = [
        ask(parts.store, email=f"n{number}@example.org", network=HOME, now=parts.clock())
        for number in range(6)
        for ask in (take_proof_mail, take_reset_mail)
    ]
    assert one == [0] * 10 + [120] * 2


def test_mailed_codes_are_counted_by_account_and_support_lets_them_be_mailed_again(parts: Parts) -> None:
    def ask(number: int) -> int:
        return take_code_mail(parts.store, account_id="carol", network=f"203.0.{number}.1", now=parts.clock())

    for number in range(4):  # strangers
        take_proof_mail(parts.store, email=CAROL, network=f"198.51.{number}.1", now=parts.clock())
    assert [ask(number) for number in range(4)] == [0, 0, 0, 900]
    forgive(parts.store, emails=[CAROL], account_id="carol", now=parts.clock())
    assert ask(5) == 0


def test_proof_mails_are_few_for_one_mailbox_and_one_network(parts: Parts, clock: Clock) -> None:
    def ask(email: str, network: str) -> int:
        return take_proof_mail(parts.store, email=email, network=network, now=clock())

    assert [ask("carol@example.org", "192.0.2.7") for _ in range(3)] == [0, 0, 0]
    assert ask("carol+x@example.org", "198.51.100.7") == 900  # whoever asks, and however it is written
    clock.advance(900)
    assert ask("carol@example.org", "192.0.2.7") == 0
    assert [ask(f"n{number}@example.org", "203.0.113.9") for number in range(11)] == [0] * 10 + [120]
