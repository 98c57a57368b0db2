"""Promises of turns.py: few at once under one name, nobody held up by another name, and nothing kept of who has gone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from idp.turns import Turns


def test_only_so_many_of_one_name_have_their_turn_together() -> None:
    turns, inside, most = Turns(2, 50), [0], [0]
    lock = threading.Lock()

    def work(_: int) -> bool:
        with turns.turn("acme") as mine:
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            with lock:
                inside[0] -= 1
            return mine

    with ThreadPoolExecutor(20) as people:
        assert all(people.map(work, range(2_000)))
    assert most[0] <= 2


def test_another_name_waits_for_nobody_and_who_is_too_many_is_sent_away() -> None:
    turns, over, started = Turns(1, 3), threading.Event(), threading.Barrier(4)

    def stay() -> bool:
        started.wait(10)
        with turns.turn("acme") as mine:
            over.wait(10)
            return mine

    with ThreadPoolExecutor(3) as people:
        waiting = [people.submit(stay) for _ in range(3)]
        started.wait(10)
        while turns._rooms.get("acme") is None or turns._rooms["acme"].people < 3:
            pass
        with turns.turn("acme") as mine:
            assert not mine
        with turns.turn("globex") as mine:
            assert mine
        over.set()
        assert [one.result(10) for one in waiting] == [True] * 3
    assert turns._rooms == {}


def test_a_turn_ends_with_whatever_ends_its_block() -> None:
    turns = Turns(1, 1)
    with pytest.raises(ZeroDivisionError), turns.turn("acme"):
        raise ZeroDivisionError
    with turns.turn("acme") as mine:
        assert mine
