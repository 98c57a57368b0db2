"""Growth: the pages of the admin center are the same work among a million people, ten thousand companies and ten million attempts as
among a thousandth of them. ``make test-long``. Nothing is timed: what the times are says docs/speed.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from idp.accounts.people_search import MOST_LOOKED_AT
from idp.accounts.people_search import PARCEL as LOOKED_AT
from idp.config import Config
from idp.parts import Parts
from tests.admin_ways import AdminWays, add_much
from tests.administrator import ORIGIN, REGISTRATION
from tests.many_people import KINDS, TABLES, emptied_afterwards
from tests.people_ways import plan_of
from tests.registrations import CLIENTS

THOUSAND, MILLION = 1_000, 1_000_000
GROWING = TABLES | {"companies", "company_terms"}
WHOLE = re.compile(rf"(?:\bSCAN|Seq Scan on) (?:{'|'.join(GROWING)})\b(?! USING)")
# Those that look through people until a page is full or enough were looked at: how often they ask depends on who is there.
BOUNDED = dict.fromkeys(
    ("its people, suspended ones", "its people, invited ones"), 3 * MOST_LOOKED_AT // LOOKED_AT + 20
)


@pytest.fixture
def config(config: Config) -> Config:
    assert config.clients is not None
    config.clients.write_text(CLIENTS + REGISTRATION, encoding="utf-8")
    return config.model_copy(update={"admin_center": ORIGIN})


@pytest.fixture(params=KINDS)
def large(request: pytest.FixtureRequest, parts: Parts) -> Iterator[Parts]:
    with emptied_afterwards(parts, request.param) as found:
        yield found


@pytest.mark.long
def test_every_page_is_the_same_work_among_very_many(large: Parts) -> None:
    ways = AdminWays(large)
    add_much(ways, 0, THOUSAND)
    among_few = [_work(ways) for _ in range(2)][-1]  # the first fills the caches
    add_much(ways, THOUSAND, MILLION)
    among_many = _work(ways)
    for name, asked in among_many.items():  # what exactly they ask depends on who is found first
        assert asked <= BOUNDED.get(name, among_few[name]), name
    for name, ask in ways.all().items():
        ask()
        for statement, values in list(ways.statements):
            if statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
                plan = plan_of(large, statement, values)
                assert not WHOLE.search(plan), (name, statement, plan)


def _work(ways: AdminWays) -> dict[str, int]:
    """How many statements each page asks."""
    found = {}
    for name, ask in ways.all().items():
        ask()
        found[name] = len(ways.statements)
    return found
