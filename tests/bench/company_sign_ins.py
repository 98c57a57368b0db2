"""Sign-ins through one company and through a thousand, three domains each, in turns: ``python -m tests.bench.company_sign_ins``.

Measured is the CPU of the worker, and how long a whole sign-in takes, from the product's request to the code.
"""

from __future__ import annotations

import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from idp.parts import build
from tests.bench.measuring import cpu
from tests.many_companies import add_companies, add_template, people_sign_in
from tests.registrations import REFERENCES
from tests.running import Provider, running_provider

SIZES = (1, 1_000)


def measure(rounds: int = 3, people: int = 100) -> dict[int, dict[str, float]]:
    """Number of companies → p50 in ms, and CPU in ms of the worker for each sign-in: of people who were here before."""
    settings = {"IDP_TRUSTED_PROXIES": "127.0.0.0/8", "IDP_LOG_LEVEL": "WARNING"}
    found: dict[int, dict[str, list[float]]] = {size: {"p50": [], "cpu": []} for size in SIZES}
    with tempfile.TemporaryDirectory(prefix="idp-bench-") as folder, ExitStack() as stack:
        providers: dict[int, Provider] = {}
        for size in SIZES:
            provider = stack.enter_context(running_provider(Path(folder, str(size)), settings=settings))
            parts = build(provider.config, REFERENCES)
            add_companies(parts, add_template(parts), range(size))
            parts.close()
            providers[size] = provider
        for turn in range(rounds + 1):
            for size, provider in providers.items():
                workers = provider.family().workers
                before = cpu(workers)
                took = people_sign_in(provider, range(people), lambda number, size=size: number * 7 % size)
                if turn:  # in the first everybody is somebody new
                    found[size]["p50"].append(statistics.median(took) * 1000)
                    found[size]["cpu"].append((cpu(workers) - before) * 1000 / people)
    return {size: {name: statistics.median(values) for name, values in row.items()} for size, row in found.items()}


def table(found: dict[int, dict[str, float]]) -> str:
    rows = [f"| {size:,} | {one['p50']:,.0f} | {one['cpu']:,.1f} |" for size, one in found.items()]
    return "\n".join(("| companies | sign-in p50, ms | CPU of the worker, ms |", "|---|---|---|", *rows))


if __name__ == "__main__":
    print(table(measure()))
