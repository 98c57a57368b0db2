"""SA-01, SA-27: a million variants of genuine answers, none of which says anything that no company said. ``make test-long``."""

from __future__ import annotations

import os
import secrets
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from idp.parts import Parts
from tests.attacks.door_forgeries import attack_door
from tests.attacks.saml_forgeries import Outcome, attack
from tests.journey import Walker
from tests.saml_parties import Customer

MILLION = 1_000_000
PARCEL = 10_000
AT_THE_DOOR = MILLION // 100


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_sa_01_sa_27_of_a_million_forgeries_none_is_believed_and_none_is_an_accident() -> None:
    """Every parcel has a seed of its own; a failure names it."""
    seeds = [secrets.randbits(48) for _ in range(MILLION // PARCEL)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:
        outcomes: list[Outcome] = list(processes.map(attack, seeds, [PARCEL] * len(seeds)))
    found = [
        (seed, one.lies, one.accidents) for seed, one in zip(seeds, outcomes, strict=True) if one.lies or one.accidents
    ]
    assert found == []
    assert sum(one.tried for one in outcomes) == MILLION
    refused: dict[str, int] = {}
    for one in outcomes:
        for reason, number in one.refused.items():
            refused[reason] = refused.get(reason, 0) + number
    print(f"harmless: {sum(one.harmless for one in outcomes)}")
    for reason, number in sorted(refused.items(), key=lambda pair: -pair[1]):
        print(f"{reason}: {number}")
    assert len(refused) >= 10  # the generator reaches the deep checks


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_sa_27_of_ten_thousand_forgeries_at_the_door_none_is_believed_and_none_is_a_5xx(
    walker: Walker, acme: Customer, parts: Parts
) -> None:
    """The whole application: what stands around the checks must not stumble over what they refuse."""
    outcomes = attack_door(walker, acme, parts, secrets.randbits(48), AT_THE_DOOR)
    assert outcomes.total() == AT_THE_DOOR
    for outcome, number in outcomes.most_common():
        print(f"{outcome}: {number}")
