"""What this machine can do at best: a signature, a round trip, a password hash, and an empty answer of the same server."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import argon2.low_level
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from idp.accounts.passwords import LANES, MEMORY_KIB, PASSES
from tests.backends import free_port, wait_until
from tests.bench.measuring import descendants, listeners

SIGNED = b"x" * 600  # about what the head and body of an ID token are


def signers() -> dict[str, Callable[[], bytes]]:
    """One raw signature each, by ``cryptography``."""
    rsa_key = rsa.generate_private_key(65537, 2048)
    curve_key = ec.generate_private_key(ec.SECP256R1())
    return {
        "RS": lambda: rsa_key.sign(SIGNED, padding.PKCS1v15(), SHA256()),
        "ES": lambda: curve_key.sign(SIGNED, ec.ECDSA(SHA256())),
    }


def cpu_of(work: Callable[[], object], seconds: float = 0.7) -> float:
    """µs of this thread's CPU for doing ``work`` once."""
    count, start = 0, time.thread_time()
    while (used := time.thread_time() - start) < seconds:
        for _ in range(20):
            work()
        count += 20
    return used / count * 1e6


def round_trip(connection: socket.socket, command: bytes, seconds: float = 0.7) -> float:
    """µs from sending a command to its answer, on a bare socket."""
    count, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        for _ in range(20):
            connection.sendall(command)
            connection.recv(4096)
        count += 20
    return passed / count * 1e6


def hashes_per_second(pool: int, seconds: float = 3.0) -> float:
    """How many argon2id hashes with our parameters ``pool`` threads make per second."""

    def hash_until(deadline: float) -> int:
        count = 0
        while time.perf_counter() < deadline:
            argon2.low_level.hash_secret_raw(
                b"correct horse battery staple", b"0123456789abcdef", PASSES, MEMORY_KIB, LANES, 32, argon2.Type.ID
            )
            count += 1
        return count

    start = time.perf_counter()
    with ThreadPoolExecutor(pool) as threads:
        made = sum(threads.map(hash_until, [start + seconds] * pool))
    return made / (time.perf_counter() - start)


@dataclass
class Empty:
    """A server that answers with nothing."""

    host: str
    workers: list[int]


@contextmanager
def running_empty(kind: str) -> Iterator[Empty]:
    """An empty application, ``plain`` or ``flask``, on the server of ``idp serve`` with its settings."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "tests.bench.empty_server", kind, str(port)]) as process:
        try:
            wait_until(lambda: _listens(port), f"the empty {kind} application answers")
            yield Empty(f"127.0.0.1:{port}", listeners(descendants(process.pid), port))
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as probe:
            probe.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return probe.recv(12) == b"HTTP/1.1 200"
    except OSError:
        return False
