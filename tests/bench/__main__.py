"""``make bench``: our provider beside what the machine can do at best, and beside a peer, in one run.

Ratios are what counts: everything that is compared was measured in turns (ours, peer, ours, peer …), and of each the
median is taken. CPU time is asked of the kernel, so that other work on the machine disturbs it less than the rates.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import requests

from idp.accounts.identity import read_address
from idp.accounts.lifecycle import create_account
from idp.logs import configure
from idp.redis_store import RedisStore
from tests.backends import RealRedis, running_redis
from tests.bench import company_answers, company_sign_ins, hostile_company, limits, peer, sign_ins
from tests.bench.measuring import cpu, descendants, memory, watched
from tests.bench.ours import Ours, running_ours
from tests.bench.peer import Peer, running_peer
from tests.bench.tables import markdown
from tests.bench.wrk import Load, Refreshes, Requests, play, raw
from tests.journey import PASSWORD
from tests.needs import program

Work = Requests | Refreshes
MOST = {"RS": 4000, "ES": 7000}  # codes a second that are prepared for each worker: more than any of us redeems
TOKENS = 3000
WARM = 1  # seconds of the same load before what counts: ours compiles templates in it, and the peer its JavaScript
TOGETHER = 64


def ours_and_peers(
    ours: Ours, other: Peer, seconds: float
) -> Iterator[tuple[str, Callable[[], Work], Callable[[], Work] | None]]:
    """Every endpoint: its name, our work, the peer's."""
    others = other.works()
    for name, work in ours.works().items():
        yield name, lambda work=work: work, (lambda name=name: others[name]) if name in others else None
    for client_id in ("RS", "ES"):
        count = int(MOST[client_id] * seconds)
        yield (
            f"token code {client_id}",
            lambda client_id=client_id, count=count: ours.codes(client_id, count),
            lambda client_id=client_id, count=count: other.codes(client_id, count),
        )
        yield (
            f"token refresh {client_id}",
            lambda client_id=client_id: ours.refreshes(client_id, TOKENS),
            lambda client_id=client_id: other.refreshes(client_id, TOKENS),
        )
    yield (
        "token refresh, no ID token",
        lambda: ours.refreshes("RS", TOKENS, "&scope=email"),
        lambda: other.refreshes("RS", TOKENS, "&scope=email"),
    )


def median(loads: list[Load]) -> Load:
    return Load(*(statistics.median(values) for values in zip(*(asdict(load).values() for load in loads), strict=True)))


def endpoints(folder: Path, redis: RealRedis, options: argparse.Namespace) -> dict[str, Any]:
    """One worker, the peer, and the limits of the machine, in turns."""
    seconds, rounds = options.seconds, options.rounds
    found: dict[str, dict[str, Any]] = {}
    floor: dict[str, list[Any]] = {}
    signers = limits.signers()
    with (
        running_peer() as other,
        running_ours(folder, redis=redis.environ) as ours,
        limits.running_empty("plain") as plain,
        limits.running_empty("flask") as flask,
    ):
        for number in range(rounds):
            for name, empty in (("empty answer", plain), ("empty Flask", flask)):
                work = Requests(empty.host, [raw(empty.host, "/")])
                if number == 0:
                    play(work, seconds=WARM, processes=())
                floor.setdefault(name, []).append(play(work, seconds=seconds, processes=empty.workers))
            for client_id, sign in signers.items():
                floor.setdefault(f"signature {client_id}", []).append(limits.cpu_of(sign))
            floor.setdefault("round trip, TCP", []).append(trip_on_tcp(redis))
            for name, mine, theirs in ours_and_peers(ours, other, seconds):
                if options.only and not any(word in name for word in options.only):
                    continue
                row = found.setdefault(name, {"ours": [], "peer": []})
                if number == 0:
                    for make in filter(None, (mine, theirs)):
                        play(make(), seconds=WARM, processes=())
                stores = [redis_process(redis)]
                row["ours"].append(play(mine(), seconds=seconds, processes=ours.workers, stores=stores))
                if theirs is not None:
                    row["peer"].append(play(theirs(), seconds=seconds, processes=other.workers))
                print(f"  {name}: {row['ours'][-1]}", file=sys.stderr)
        peer_memory = memory(other.process.pid)
    return {
        "limits": {
            name: asdict(median(values)) if isinstance(values[0], Load) else statistics.median(values)
            for name, values in floor.items()
        },
        "endpoints": {
            name: {side: asdict(median(loads)) if loads else None for side, loads in row.items()}
            for name, row in found.items()
        },
        "peer_memory": asdict(peer_memory),
    }


def redis_process(redis: RealRedis) -> int:
    assert redis._process is not None
    return redis._process.pid


def trip_on_tcp(redis: RealRedis) -> float:
    with socket.create_connection(("127.0.0.1", redis.port)) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.sendall(f"AUTH {redis.password}\r\n".encode())
        wire.recv(64)
        return limits.round_trip(wire, b"GET nothing\r\n")


def two_workers(folder: Path, redis: RealRedis, options: argparse.Namespace) -> dict[str, Any]:
    """The same with two workers, for the endpoints where a second one matters most; and what a worker takes of memory."""
    found = {}
    with running_ours(folder, workers=2, redis=redis.environ) as ours:
        works = ours.works()
        count = int(2 * MOST["RS"] * options.seconds)
        for name, make in (
            ("discovery", lambda: works["discovery"]),
            ("authorize", lambda: works["authorize"]),
            ("userinfo", lambda: works["userinfo"]),
            ("token code RS", lambda: ours.codes("RS", count)),
            ("token refresh RS", lambda: ours.refreshes("RS", TOKENS)),
        ):
            found[name] = asdict(
                median([play(make(), seconds=options.seconds, processes=ours.workers) for _ in range(options.rounds)])
            )
        sizes = [asdict(memory(worker)) for worker in ours.workers]
    return {"endpoints": found, "memory": sizes}


def durable(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The embedded server: what it costs that every write is on disk before it is answered."""
    found: dict[str, dict[str, list[Load]]] = {}
    with running_ours(folder) as ours:
        command = Path(f"/proc/{ours.stores[0]}/comm").read_text().strip()
        works = ours.works()
        for _ in range(options.rounds):
            for policy in ("always", "everysec"):
                for name, make in (
                    ("userinfo", lambda: works["userinfo"]),
                    ("authorize", lambda: works["authorize"]),
                    ("token code ES", lambda: ours.codes("ES", int(MOST["ES"] * options.seconds))),
                    ("token refresh ES", lambda: ours.refreshes("ES", TOKENS)),
                ):
                    ours.parts.store.command("CONFIG", "SET", "appendfsync", "everysec")  # while it is prepared
                    work = make()
                    ours.parts.store.command("CONFIG", "SET", "appendfsync", policy)
                    load = play(work, seconds=options.seconds, processes=ours.workers, stores=ours.stores)
                    found.setdefault(name, {}).setdefault(policy, []).append(load)
        address = ours.parts.store._address.connection_kwargs["path"]
        trips = {}
        for policy in ("always", "everysec"):
            ours.parts.store.command("CONFIG", "SET", "appendfsync", policy)
            with socket.socket(socket.AF_UNIX) as wire:
                wire.connect(address)
                trips[f"read, {policy}"] = limits.round_trip(wire, b"GET nothing\r\n")
                trips[f"write, {policy}"] = limits.round_trip(wire, b"SET bench something EX 60\r\n")
    return {
        "server": command,
        "round_trips": trips,
        "endpoints": {
            name: {policy: asdict(median(loads)) for policy, loads in row.items()} for name, row in found.items()
        },
    }


def passwords(folder: Path, redis: RealRedis, workers: int, options: argparse.Namespace) -> dict[str, Any]:
    """TOGETHER people sign in at once, again and again; others go on asking meanwhile."""
    with running_ours(folder, workers=workers, redis=redis.environ) as ours:
        hashed = ours.parts.hasher.hash(PASSWORD)
        with ours.parts.database.transaction() as db:
            for number in range(TOGETHER):
                create_account(
                    db,
                    read_address(sign_ins.email(number)),
                    claims={"name": f"Person {number}"},
                    verified=True,
                    password_hash=hashed,
                    actor="operator:bench",
                    now=ours.parts.clock(),
                    random=ours.parts.random,
                )
        token = ours.issue("RS", 1)[0].access_token
        raw_rates = {pool: [limits.hashes_per_second(pool)] for pool in (1, 2)}
        base = [memory(worker).rss for worker in ours.workers]
        seconds = max(8, 3 * options.seconds)
        alone = ask_meanwhile(ours, token, 4)
        command = [sys.executable, "-m", "tests.bench.sign_ins", ours.host, str(TOGETHER), str(seconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as crowd:
            assert crowd.stdout
            crowd.stdout.readline()  # warm
            before = cpu(ours.workers)
            peak = max(memory(worker).rss for worker in ours.workers)
            with watched(lambda: max(memory(worker).rss for worker in ours.workers)) as sizes:
                waits = ask_meanwhile(ours, token, seconds - 1)
            used = cpu(ours.workers) - before
            told = json.loads(crowd.stdout.read())
        for pool in (1, 2):
            raw_rates[pool].append(limits.hashes_per_second(pool))
    return {
        "raw_per_second": {pool: statistics.mean(rates) for pool, rates in raw_rates.items()},
        **told,
        "cpu_ms_each": used * 1000 / max(1, told["per_second"] * seconds),
        "alone_p99_ms": statistics.quantiles(alone, n=100)[98],
        "others_p50_ms": statistics.median(waits),
        "others_p99_ms": statistics.quantiles(waits, n=100)[98],
        "memory_base": max(base),
        "memory_peak": max(peak, *sizes),
    }


def ask_meanwhile(ours: Ours, token: str, seconds: float) -> list[float]:
    """Milliseconds that /userinfo and /jwks take, asked in turn, forty times a second."""
    http = requests.Session()
    http.trust_env = False
    waits = []
    over = time.perf_counter() + seconds
    due = time.perf_counter()
    while due < over:
        path, headers = ("/jwks", {}) if len(waits) % 2 else ("/userinfo", {"Authorization": f"Bearer {token}"})
        start = time.perf_counter()
        answer = http.get(f"http://{ours.host}{path}", headers=headers, timeout=30)
        waits.append((time.perf_counter() - start) * 1000)
        assert answer.status_code == 200
        due = max(due + 0.025, time.perf_counter())
        time.sleep(max(0.0, due - time.perf_counter()))
    return waits


def starting(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds until the provider is ready, with its keys and data there; and for ``idp --help``."""
    starts, helps = [], []
    with running_ours(folder) as ours:
        provider = ours.provider
        for _ in range(options.rounds):
            provider.stop()
            begun = time.perf_counter()
            provider.start()
            assert provider.process is not None
            everything = [provider.process.pid, *descendants(provider.process.pid)]
            starts.append((time.perf_counter() - begun, cpu(everything)))
        worker = memory(ours.workers[0])
    idp = Path(sys.executable).with_name("idp")
    for _ in range(2 * options.rounds + 1):
        begun = time.perf_counter()
        before = os.times()
        subprocess.run([str(idp), "--help"], capture_output=True, check=True)
        after = os.times()
        helps.append(
            (
                time.perf_counter() - begun,
                after.children_user + after.children_system - before.children_user - before.children_system,
            )
        )
    return {
        "start": statistics.median(wall for wall, _ in starts),
        "start_cpu": statistics.median(used for _, used in starts),
        "help": statistics.median(wall for wall, _ in helps),
        "help_cpu": statistics.median(used for _, used in helps),
        "worker": asdict(worker),
    }


def companies(options: argparse.Namespace) -> dict[str, Any]:
    """Companies: their answers beside pysaml2, one of them and a thousand, and one that is flooded."""
    return {
        "answers": company_answers.measure(options.rounds, options.seconds),
        "sizes": company_sign_ins.measure(options.rounds),
        "flooded": hostile_company.measure(options.rounds),
    }


def about() -> dict[str, Any]:
    redis = subprocess.run([program("redis-server"), "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "redis": redis.split("sha")[0].strip(),
        "peer": peer.versions(),
    }


def main() -> None:
    reader = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    reader.add_argument("--seconds", type=int, default=3, help="of each load (default: 3)")
    reader.add_argument("--rounds", type=int, default=3, help="of everything that is compared (default: 3)")
    reader.add_argument(
        "--parts", nargs="*", default=["endpoints", "two", "durable", "passwords", "starting", "companies"]
    )
    reader.add_argument("--only", nargs="*", help="words in the names of the endpoints to measure")
    reader.add_argument("--json", type=Path, help="where the numbers go, too")
    options = reader.parse_args()
    configure("WARNING")
    numbers: dict[str, Any] = {"about": about()}
    with (
        tempfile.TemporaryDirectory(prefix="idp-bench-") as temporary,
        running_redis(Path(temporary, "redis")) as redis,
    ):
        folder = Path(temporary)
        with RedisStore(redis.url) as store:
            store.command("CONFIG", "SET", "appendfsync", "everysec")  # as Redis comes
        for part, measure in {
            "endpoints": lambda: endpoints(folder / "one", redis, options),
            "two": lambda: two_workers(folder / "two", redis, options),
            "durable": lambda: durable(folder / "embedded", options),
            "passwords": lambda: {n: passwords(folder / f"passwords-{n}", redis, n, options) for n in (1, 2)},
            "starting": lambda: starting(folder / "starting", options),
            "companies": lambda: companies(options),
        }.items():
            if part in options.parts:
                print(part, file=sys.stderr)
                numbers[part] = measure()
                if options.json:
                    options.json.write_text(json.dumps(numbers, indent=1))
    print(markdown(numbers))


if __name__ == "__main__":
    main()
