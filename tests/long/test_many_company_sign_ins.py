"""SA-42: a hundred thousand people of a thousand companies sign in, and the provider holds no more than before. ``make test-long``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from idp.parts import build
from tests.holdings import Holding, holding
from tests.many_companies import add_companies, add_template, people_sign_in
from tests.registrations import REFERENCES
from tests.running import running_provider

COMPANIES = 1_000
SIGN_INS = 100_000
PARCELS = 20


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_sa_42_memory_and_files_are_flat_over_a_hundred_thousand_company_sign_ins(
    tmp_path: Path, made_once: Path
) -> None:
    """Everybody is somebody new; the second half holds no more than the first did."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    settings = {"IDP_WORKERS": "2", "IDP_LOG_LEVEL": "WARNING", "IDP_TRUSTED_PROXIES": "127.0.0.0/8"}
    settings["TMPDIR"] = str(temporary)
    with running_provider(tmp_path / "idp", keys=made_once / "keys", settings=settings) as provider:
        parts = build(provider.config, REFERENCES)
        try:
            template = add_template(parts)
            for start in range(0, COMPANIES, 100):
                add_companies(parts, template, range(start, start + 100))
        finally:
            parts.close()
        seen = in_parcels(
            lambda numbers: people_sign_in(provider, numbers, lambda number: number % COMPANIES),
            lambda: holding(provider, temporary),
            SIGN_INS,
            PARCELS,
        )
    first, second = seen[: PARCELS // 2], seen[PARCELS // 2 :]
    assert max(one.memory for one in second) <= max(one.memory for one in first) + 10
    assert max(one.files for one in second) <= max(one.files for one in first)
    assert max(one.temporary for one in second) <= max(one.temporary for one in first)
    assert max(one.zombies for one in seen) == 0


def in_parcels(
    work: Callable[[range], object], look: Callable[[], Holding], number: int, parcels: int
) -> list[Holding]:
    """Do ``work`` for ``number`` people in ``parcels``; what was held after each."""
    seen, size = [], number // parcels
    for start in range(0, number, size):
        begun = time.monotonic()
        work(range(start, start + size))
        seen.append(look())
        print(f"{start + size:,} sign-ins: {seen[-1]}, {size / (time.monotonic() - begun):.0f} per second", flush=True)
    return seen
