"""Turns: of what is asked under one name only so much is done at the same time, so that one name does not crowd out others.

Whoever waits sleeps and takes nothing but a thread; when too many wait for one name, the next is sent away.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class _Room:
    doors: threading.Semaphore
    people: int = 0


class Turns:
    """For one process. ``at_once``: as many of one name have their turn together; ``most``: as many have it or wait for it."""

    def __init__(self, at_once: int, most: int) -> None:
        self._at_once = at_once
        self._most = most
        self._rooms: dict[str, _Room] = {}
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, name: str) -> Iterator[bool]:
        """Wait for a turn and have it while the block runs; False at once, without a turn, when too many wait already."""
        with self._lock:
            room = self._rooms.setdefault(name, _Room(threading.Semaphore(self._at_once)))
            full = room.people >= self._most
            room.people += not full
        if full:
            yield False
            return
        try:
            with room.doors:
                yield True
        finally:
            with self._lock:
                room.people -= 1
                if not room.people:
                    del self._rooms[name]
