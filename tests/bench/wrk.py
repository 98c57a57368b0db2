"""Load: wrk with one thread plays prepared requests; the processes under load are asked for the CPU that they used."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measuring import cpu
from tests.needs import program

SCRIPT = Path(__file__).parent / "load.lua"


@dataclass(frozen=True)
class Requests:
    """Raw requests to ``host`` (name and port). ``again``: they may be sent again from the start when all were sent."""

    host: str
    raw: Sequence[bytes]
    again: bool = True


@dataclass(frozen=True)
class Refreshes:
    """Refresh tokens to be traded, and their successors after them. ``more`` is appended to each form."""

    host: str
    authorization: str
    tokens: Sequence[str]
    more: str = ""


@dataclass(frozen=True)
class Load:
    """One run. Rates are per second, ``cpu`` and ``store_cpu`` µs per request, ``p50`` and ``p99`` ms."""

    rate: float
    cpu: float
    store_cpu: float
    p50: float
    p99: float


def raw(
    host: str, path: str, *, headers: Mapping[str, str] | None = None, form: str | None = None, method: str = ""
) -> bytes:
    """One HTTP/1.1 request as bytes."""
    lines = {"Host": host, **(headers or {})}
    if form is not None:
        lines |= {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(form))}
    method = method or ("GET" if form is None else "POST")
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n{form or ''}".encode()


def play(
    work: Requests | Refreshes,
    *,
    seconds: float,
    processes: Iterable[int],
    stores: Iterable[int] = (),
    connections: int = 16,
) -> Load:
    """Send ``work`` over ``connections`` for ``seconds`` (whole ones: wrk knows no others).

    :raises RuntimeError: when anything was refused, or when there was too little work.
    """
    watched, beside = list(processes), list(stores)
    with tempfile.TemporaryDirectory(prefix="idp-bench-") as folder:
        prepared, result = Path(folder, "requests"), Path(folder, "result")
        environ = dict(os.environ) | {"BENCH_REQUESTS": str(prepared), "BENCH_RESULT": str(result)}
        if isinstance(work, Refreshes):
            environ["BENCH_REFRESH"] = "1"
            prepared.write_text("\n".join([work.host, work.authorization, work.more, *work.tokens]))
        else:
            if work.again:
                environ["BENCH_AGAIN"] = "1"
            prepared.write_bytes(b"".join(b"%d\n%s" % (len(one), one) for one in work.raw))
        command = [program("wrk"), "-t1", f"-c{connections}", f"-d{int(seconds)}s", "-s", str(SCRIPT)]
        before = cpu(watched), cpu(beside)
        subprocess.run([*command, f"http://{work.host}/"], env=environ, check=True, capture_output=True)
        used = cpu(watched) - before[0], cpu(beside) - before[1]
        seen = json.loads(result.read_text())
    if seen["refused"] or seen["broken"] or not seen["requests"]:
        raise RuntimeError(f"the load met errors, or ran out of work: {seen}")
    count = seen["requests"]
    return Load(
        rate=count / seen["microseconds"] * 1e6,
        cpu=used[0] / count * 1e6,
        store_cpu=used[1] / count * 1e6,
        p50=seen["p50"] / 1000,
        p99=seen["p99"] / 1000,
    )
