"""From the numbers of a run to a page: every target with what it was measured by, and whether it is met."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.bench import company_answers, company_sign_ins, hostile_company

# Endpoint → how many times less CPU than the peer it must take.
AGAINST_PEER = {
    "token code RS": 1.6,
    "token refresh RS": 1.6,
    "token code ES": 2.0,
    "token refresh ES": 2.0,
    "token refresh, no ID token": 3.0,
    "userinfo": 2.7,
    "introspect": 2.4,
    "discovery": 5.0,
    "jwks": 3.5,
    "authorize": 3.0,
}
OF_RAW_SIGNATURE = 0.55


def markdown(numbers: dict[str, Any]) -> str:
    """All tables of what was measured."""
    about = numbers["about"]
    machine = f"{about['cores']} cores, load {about['load']:.1f} at the start"
    parts = [" · ".join((about["at"], machine, f"Python {about['python']}", about["redis"], about["peer"]))]
    if "endpoints" in numbers:
        parts += [_limits(numbers["endpoints"]["limits"]), _endpoints(numbers["endpoints"])]
    if "two" in numbers:
        parts.append(_two(numbers))
    if "durable" in numbers:
        parts.append(_durable(numbers["durable"]))
    if "passwords" in numbers:
        parts.append(_passwords(numbers["passwords"]))
    if "companies" in numbers:
        found = numbers["companies"]
        parts.append(company_answers.table(found["answers"]))
        parts.append(company_sign_ins.table(found["sizes"]))
        parts.append(hostile_company.table(found["flooded"]))
    parts.append(_targets(numbers))
    return "\n\n".join(parts)


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    names = list(head)
    lines = [names, ["---"] * len(names), *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _limits(found: dict[str, Any]) -> str:
    rows = []
    for name, value in found.items():
        rows.append((name, f"{value['cpu'] if isinstance(value, dict) else value:,.0f}"))
    return _table(("limit of the machine", "µs (CPU; a round trip: passed)"), rows)


def _endpoints(found: dict[str, Any]) -> str:
    rows = []
    for name, row in found["endpoints"].items():
        ours, peer = row["ours"], row["peer"]
        rows.append(
            (
                name,
                f"{ours['rate']:,.0f}",
                f"{ours['cpu']:,.0f}",
                f"{ours['store_cpu']:,.0f}",
                f"{peer['rate']:,.0f}" if peer else "–",
                f"{peer['cpu']:,.0f}" if peer else "–",
                f"{ours['rate'] / peer['rate']:.2f}" if peer else "–",
                f"{peer['cpu'] / ours['cpu']:.2f}" if peer else "–",
            )
        )
    head = ("endpoint", "per second", "CPU µs", "Redis µs", "peer per second", "peer CPU µs", "× by rate", "× by CPU")
    return _table(head, rows)


def _two(numbers: dict[str, Any]) -> str:
    ones = numbers.get("endpoints", {}).get("endpoints", {})
    rows = []
    for name, two in numbers["two"]["endpoints"].items():
        one = ones.get(name, {}).get("ours")
        rows.append(
            (
                name,
                f"{two['rate']:,.0f}",
                f"{two['cpu']:,.0f}",
                f"{two['rate'] / one['rate']:.2f}" if one else "–",
                f"{two['cpu'] / one['cpu']:.2f}" if one else "–",
            )
        )
    return _table(("two workers", "per second", "CPU µs", "rate × one worker", "CPU × one worker"), rows)


def _durable(found: dict[str, Any]) -> str:
    rows = []
    for name, row in found["endpoints"].items():
        always, lazy = row["always"], row["everysec"]
        rows.append(
            (
                name,
                f"{always['rate']:,.0f}",
                f"{lazy['rate']:,.0f}",
                f"{always['rate'] / lazy['rate']:.2f}",
                f"{always['p50']:.1f} / {lazy['p50']:.1f}",
                f"{always['cpu']:,.0f} / {lazy['cpu']:,.0f}",
                f"{always['store_cpu']:,.0f} / {lazy['store_cpu']:,.0f}",
            )
        )
    head = (f"embedded ({found['server']})", "fsync always, per second", "every second", "ratio", "p50 ms", "CPU µs")
    trips = ", ".join(f"{name}: {value:,.0f}" for name, value in found["round_trips"].items())
    return _table((*head, "server µs"), rows) + f"\n\nBare round trips on the unix socket, µs: {trips}."


def _passwords(found: dict[str, Any]) -> str:
    names = {
        "per_second": "sign-ins per second",
        "busy": "told to come back",
        "cpu_ms_each": "CPU ms each, all workers",
        "alone_p99_ms": "others before that, p99 ms",
        "others_p50_ms": "others meanwhile, p50 ms",
        "others_p99_ms": "others meanwhile, p99 ms",
        "memory_base": "memory before, MB",
        "memory_peak": "memory meanwhile, MB",
    }
    rows: list[tuple[object, ...]] = [
        (label, *(f"{run[name]:,.1f}" for run in found.values())) for name, label in names.items()
    ]
    for pool in (1, 2):
        rows.append(
            (f"raw argon2id, {pool} threads", *(f"{run['raw_per_second'][pool]:,.1f}" for run in found.values()))
        )
    return _table(("64 people at once", *(f"{workers} workers" for workers in found)), rows)


def _targets(numbers: dict[str, Any]) -> str:
    rows: list[tuple[str, str, str, bool]] = []
    if "endpoints" in numbers:
        found, floor = numbers["endpoints"]["endpoints"], numbers["endpoints"]["limits"]
        for name, times in AGAINST_PEER.items():
            if name in found:
                ratio = found[name]["peer"]["cpu"] / found[name]["ours"]["cpu"]
                rows.append((name, f"{ratio:.2f} × the peer", f"≥ {times} ×", ratio >= times))
        for name in ("token code RS", "token refresh RS"):
            if name in found:
                share = floor["signature RS"] / found[name]["ours"]["cpu"]
                rows.append((name, f"{share:.2f} of the raw signature", f"≥ {OF_RAW_SIGNATURE}", share >= 0.55))
        if "login page" in found:
            ratio = found["login page"]["ours"]["cpu"] / floor["empty Flask"]["cpu"]
            rows.append(("login page", f"{ratio:.2f} × an empty Flask request", "≤ 3 ×", ratio <= 3))
    if "companies" in numbers:
        mine, theirs = numbers["companies"]["answers"]["Response signed"]
        wanted = company_answers.TARGET
        rows.append(
            ("answer of a company", f"{theirs / mine:.0f} × the peer", f"≥ {wanted} ×", theirs / mine >= wanted)
        )
    if "two" in numbers:
        first, *further = sorted(numbers["two"]["memory"], key=lambda size: -size["rss"])
        rows.append(("memory, a worker", f"{first['rss']:.0f} MB", "≤ 130 MB", first["rss"] <= 130))
        own = max(size["own"] for size in (first, *further))
        rows.append(("memory, each further worker's own", f"{own:.0f} MB", "≤ 45 MB", own <= 45))
    if "passwords" in numbers:
        one = numbers["passwords"][1]
        share = one["per_second"] / one["raw_per_second"][2]
        rows.append(("password sign-in", f"{share:.2f} of raw argon2id", "≥ 0.90", share >= 0.9))
        rows.append(("others meanwhile, p99", f"{one['others_p99_ms']:.1f} ms", "≤ 15 ms", one["others_p99_ms"] <= 15))
        grown = one["memory_peak"] - one["memory_base"]
        rows.append(("memory meanwhile", f"base + {grown:.0f} MB", "≤ base + 38 MB", grown <= 38))
    if "starting" in numbers:
        start = numbers["starting"]
        used = f"{start['start']:.2f} s ({start['start_cpu']:.2f} s of CPU)"
        rows.append(("start, warm", used, "≤ 5 s", start["start"] <= 5))
        used = f"{start['help']:.2f} s ({start['help_cpu']:.2f} s of CPU)"
        rows.append(("idp --help", used, "≤ 0.3 s", start["help"] <= 0.3))
    return _table(
        ("target", "measured", "wanted", "met"),
        ((name, value, wanted, "yes" if met else "**no**") for name, value, wanted, met in rows),
    )
