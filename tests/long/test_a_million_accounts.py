"""Growth: among a million people everything that somebody does is the same work as among a thousand; and many sign-ins leave
nothing behind. ``make test-long``. Nothing is timed: what the times are says docs/speed.md.
"""

from __future__ import annotations

import re
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest

from idp.accounts.people_search import MOST_LOOKED_AT, PARCEL, Wanted, search_people
from idp.parts import Parts
from tests.conftest import Clock
from tests.many_people import KINDS, TABLES, add_many_people, emptied_afterwards
from tests.people_ways import Ways, ways_at
from tests.running import Provider, running_provider
from tests.visitor import Visitor

THOUSAND, MILLION = 1_000, 1_000_000
SIGN_INS = 10_000  # an hour of one core, most of it argon2id
WHOLE = re.compile(rf"(?:\bSCAN|Seq Scan on) (?:{'|'.join(TABLES)})\b")


@pytest.fixture(params=KINDS)
def ways(request: pytest.FixtureRequest, parts: Parts) -> Iterator[Ways]:
    with emptied_afterwards(parts, request.param) as large:
        yield ways_at(large)


@pytest.mark.long
def test_whatever_people_do_is_the_same_work_among_a_million(ways: Ways, clock: Clock) -> None:
    add_many_people(ways.parts, 0, THOUSAND)
    among_a_thousand = {
        name: work for _ in range(2) for name, work in _work(ways, plans=False).items()
    }  # the first fills the caches
    add_many_people(ways.parts, THOUSAND, MILLION)
    clock.now = time.time()  # it took minutes, and Redis forgets by its own clock
    for name, work in _work(ways, plans=True).items():
        assert work == among_a_thousand[name], name


def _work(ways: Ways, *, plans: bool) -> dict[str, list[str]]:
    """The statements of each way; with ``plans``, none of them may read a whole table."""
    found = {}
    for name, way in ways.all().items():
        way()
        found[name] = ways.asked
        assert 1 <= len(ways.asked) <= 100, name
        for statement, values in ways.statements if plans else ():
            if statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
                plan = ways.plan_of(statement, values)
                assert not WHOLE.search(plan), (name, statement, plan)
    return found


@pytest.mark.long
def test_a_search_for_what_nobody_is_has_an_end(ways: Ways) -> None:
    add_many_people(ways.parts, 0, 10 * MOST_LOOKED_AT)
    ways.begin()
    with ways.watching(), ways.parts.database.reading() as db:
        page = search_people(db, Wanted("p", state="closed"), limit=10, now=ways.parts.clock())
    assert page.people == [] and page.after is not None
    assert len(ways.statements) == 3 * MOST_LOOKED_AT / PARCEL


@pytest.mark.long
def test_memory_is_flat_over_many_sign_ins(tmp_path: Path, made_once: Path) -> None:
    """What the processes of a running provider hold after the first fifth of the sign-ins is what they hold at the end."""
    with running_provider(tmp_path / "idp", keys=made_once / "keys") as provider:
        provider.add_person("carol@example.org")
        url = _request(provider)
        with ThreadPoolExecutor(4) as people:
            list(people.map(lambda _: Visitor(provider).sign_in(url), range(SIGN_INS // 5)))
            early = _resident(provider)
            list(people.map(lambda _: Visitor(provider).sign_in(url), range(SIGN_INS - SIGN_INS // 5)))
        assert _resident(provider) - early < 20 * 2**20


def _request(provider: Provider) -> str:
    query = {"client_id": "C1", "response_type": "code", "scope": "openid", "redirect_uri": "https://rp1.example/cb"}
    return f"{provider.issuer}/authorize?{urlencode(query)}"


def _resident(provider: Provider) -> int:
    """Bytes of memory that the provider's processes hold, its Valkey not counted."""
    assert provider.process is not None
    group = [provider.process.pid]
    for pid in group:
        group += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    pages = 0
    for pid in group:
        if "server" not in Path(f"/proc/{pid}/comm").read_text():
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()
