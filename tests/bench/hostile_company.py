"""People of one company sign in while another company's address is flooded, and while it is not, in turns of one run.

``python -m tests.bench.hostile_company``: the milliseconds of a whole sign-in, from the product's request to the code.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from idp.logs import configure
from idp.parts import build
from tests.bench.measuring import memory
from tests.hostile_company import NETWORKS, flooded, honest_people
from tests.many_companies import add_companies, add_template
from tests.registrations import REFERENCES
from tests.running import running_provider

FLOODS = {"nobody else there": 0, "a flood from one network": 1, "a flood from ten thousand networks": NETWORKS}


def measure(rounds: int = 3, people: int = 60, at_once: int = 4) -> dict[str, dict[str, float]]:
    """What is going on → p50 and p99 in ms, and the most megabytes that the worker held after a sign-in."""
    settings = {"IDP_TRUSTED_PROXIES": "127.0.0.0/8", "IDP_LOG_LEVEL": "WARNING"}
    took: dict[str, list[float]] = {name: [] for name in FLOODS}
    held: dict[str, list[float]] = {name: [] for name in FLOODS}
    with (
        tempfile.TemporaryDirectory(prefix="idp-bench-") as folder,
        running_provider(Path(folder, "idp"), settings=settings) as provider,
    ):
        parts = build(provider.config, REFERENCES)
        add_companies(parts, add_template(parts), range(2))
        parts.close()
        honest_people(provider, people, at_once)  # everybody has an account from here on
        [worker] = provider.family().workers
        for _ in range(rounds):
            for name, networks in FLOODS.items():
                sizes = held[name]
                with flooded(provider, networks) if networks else nullcontext():
                    took[name] += honest_people(
                        provider, people, at_once, lambda sizes=sizes: sizes.append(memory(worker).rss)
                    )
                print(f"  {name}: {statistics.median(took[name]):.3f} s", file=sys.stderr)
    return {
        name: {
            "p50": statistics.median(several) * 1000,
            "p99": statistics.quantiles(several, n=100)[98] * 1000,
            "memory": max(held[name]),
        }
        for name, several in took.items()
    }


def table(found: dict[str, dict[str, float]]) -> str:
    rows = [f"| {name} | {one['p50']:,.0f} | {one['p99']:,.0f} | {one['memory']:,.0f} |" for name, one in found.items()]
    return "\n".join(("| meanwhile | sign-in p50, ms | p99, ms | worker, MB |", "|---|---|---|---|", *rows))


if __name__ == "__main__":
    configure("WARNING")
    print(table(measure()))
