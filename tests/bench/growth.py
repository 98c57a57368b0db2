"""What people do, and what the admin center shows, among a thousand and among a million people, in turns, on both databases:
``python -m tests.bench.growth`` (``people`` or ``admin``: one of the two).

Measured is the time inside the application, its stores included, with a password hash that costs nothing: what could grow.
"""

from __future__ import annotations

import dataclasses
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from idp.accounts.passwords import PasswordHasher
from idp.config import Config
from idp.database import Database
from idp.embedded_server import EmbeddedServer
from idp.keys import create_keys
from idp.logs import configure
from idp.parts import Parts, build
from tests.admin_ways import AdminWays, add_much
from tests.administrator import ORIGIN, REGISTRATION
from tests.backends import running_postgres
from tests.many_people import add_many_people
from tests.people_ways import Ways, ways_at
from tests.registrations import CLIENTS, REFERENCES

SIZES = (1_000, 1_000_000)
Found = dict[str, dict[int, float]]


def _people(parts: Parts, size: int) -> Ways:
    ways = ways_at(parts)
    add_many_people(parts, 0, size)
    return ways


def _admin(parts: Parts, size: int) -> AdminWays:
    ways = AdminWays(parts)
    add_much(ways, 0, size)
    return ways


WORLDS: dict[str, Callable[[Parts, int], Ways | AdminWays]] = {"people": _people, "admin": _admin}


def measure(world: str, kind: str, sizes: tuple[int, ...] = SIZES, rounds: int = 30) -> Found:
    """For each way, by number of people: the median of its milliseconds. ``world``: of WORLDS; ``kind``: sqlite or postgresql."""
    took: dict[str, dict[int, list[float]]] = {}
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres()) if kind == "postgresql" else None
        providers = {}
        for size in sizes:
            url = postgres.new_database() if postgres else ""
            providers[size] = WORLDS[world](stack.enter_context(_provider(url)), size)
            print(f"  {kind}: {size:,} people", file=sys.stderr)
        for turn in range(rounds + 1):
            for name in next(iter(providers.values())).all():
                for size, ways in sorted(providers.items(), reverse=turn % 2 == 1):
                    ways.all()[name]()
                    if turn:  # in the first templates are compiled and caches filled
                        took.setdefault(name, {}).setdefault(size, []).append(1000 * ways.seconds)
    return {name: {size: statistics.median(one) for size, one in row.items()} for name, row in took.items()}


@contextmanager
def _provider(database_url: str) -> Iterator[Parts]:
    with tempfile.TemporaryDirectory(prefix="idp-bench-") as name:
        folder = Path(name)
        create_keys(folder / "keys", ("RS256", "ES256", "PS256", "EdDSA"), time.time())
        (folder / "clients.yaml").write_text(CLIENTS + REGISTRATION, encoding="utf-8")
        config = Config(
            issuer="https://login.example",
            data=folder / "data",
            keys=folder / "keys",
            clients=folder / "clients.yaml",
            database_url=database_url,
            admin_center=ORIGIN,
        )
        database = Database(config)
        database.upgrade()
        database.close()
        with EmbeddedServer.start(folder / "data") as server:
            parts = build(config, REFERENCES, redis_url=server.url, random=secrets.token_bytes)
            parts.attempts.close()  # its thread would be measured too
            yield dataclasses.replace(parts, hasher=PasswordHasher(2, 60, memory_kib=64, passes=1))
            parts.close()


def table(found: dict[str, Found]) -> str:
    few, many = SIZES
    rows = [
        f"| {name} | "
        + " | ".join(
            f"{one[name][few]:.1f} | {one[name][many]:.1f} | {one[name][many] / one[name][few]:.2f}"
            for one in found.values()
        )
        + " |"
        for name in next(iter(found.values()))
    ]
    heads = " | ".join(f"{kind}, {few:,}: ms | {many:,}: ms | ×" for kind in found)
    return "\n".join((f"| | {heads} |", "|---" * (1 + 3 * len(found)) + "|", *rows))


if __name__ == "__main__":
    configure("ERROR")
    for world in sys.argv[1:] or WORLDS:
        print(table({kind: measure(world, kind) for kind in ("sqlite", "postgresql")}))
