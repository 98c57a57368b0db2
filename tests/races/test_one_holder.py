"""A domain has one holder, and so has the whole of what is below it, however many prove it in the same moment."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import select

from idp.companies import create_company, policy_of_domain
from idp.config import Config
from idp.database import Database
from idp.domain_proof import claim
from idp.models import CompanyDomain
from tests.backends import running_postgres

PROCESSES = 6
ROUNDS = 12
NOW = 1_800_000_000

# Each is a process of its own: for each line of claims that it reads, it proves them.
PROVER = """
import json, secrets, sys
from idp.companies import CompanyRefused
from idp.config import Config
from idp.database import Database
from idp.domain_proof import Proof, note
from idp.sealing import Sealer
database = Database(Config.model_validate_json(sys.argv[1]))
database.ping()
print("ready", flush=True)
for line in sys.stdin:
    number, code = json.loads(line)
    try:
        with database.transaction() as db:
            note(db, number, code, Proof("dns", (), ()), sealer=Sealer(bytes(32), secrets.token_bytes), actor="x", now=1800000000)
    except CompanyRefused as refused:
        print(refused.reason, flush=True)
    else:
        print("verified", flush=True)
"""


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def config(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    with ExitStack() as stack:
        url = ""
        if request.param == "postgresql":
            url = stack.enter_context(running_postgres()).new_database()
        yield Config(issuer="https://login.example", data=tmp_path_factory.mktemp("data"), database_url=url)


@pytest.fixture(scope="module")
def database(config: Config) -> Iterator[Database]:
    built = Database(config)
    built.upgrade()
    yield built
    built.close()


@pytest.fixture(scope="module")
def provers(config: Config, database: Database) -> Iterator[list[subprocess.Popen[str]]]:
    with ExitStack() as stack:
        started = []
        for _ in range(PROCESSES):
            command = [sys.executable, "-c", PROVER, config.model_dump_json(exclude_defaults=True)]
            prover = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
            )
            stack.enter_context(prover)  # waits for it
            stack.callback(prover.kill)
            started.append(prover)
        for prover in started:
            assert prover.stdout is not None and prover.stdout.readline() == "ready\n"
        yield started


def race(database: Database, provers: list[subprocess.Popen[str]], domains: list[str]) -> list[str]:
    """Let as many companies as there are processes prove one domain each, and return what became of each."""
    wanted = []
    with database.transaction() as db:
        for number, domain in enumerate(domains):
            company = create_company(db, f"Company {number}", actor="x", now=NOW, random=secrets.token_bytes)
            row = claim(db, company.id, domain, actor="x", now=NOW, random=secrets.token_bytes)
            wanted.append(json.dumps([row.id, row.code]) + "\n")
    for prover, line in zip(provers, wanted, strict=True):
        assert prover.stdin is not None
        prover.stdin.write(line)
    for prover in provers:
        assert prover.stdin is not None
        prover.stdin.flush()
    return [prover.stdout.readline().strip() for prover in provers if prover.stdout is not None]


def holders(database: Database, under: str) -> list[str]:
    with database.reading() as db:
        return [
            held
            for held in db.scalars(select(CompanyDomain.held))
            if held and (held == under or held.endswith("." + under))
        ]


def test_sa_35_of_six_companies_that_prove_one_domain_at_once_one_has_it(
    database: Database, provers: list[subprocess.Popen[str]]
) -> None:
    for number in range(ROUNDS):
        domain = f"same{number}.example"
        outcomes = race(database, provers, [domain] * PROCESSES)
        assert Counter(outcomes) == {"verified": 1, "domain_taken": PROCESSES - 1}
        assert holders(database, domain) == [domain]
        with database.reading() as db:
            assert policy_of_domain(db, domain) is not None


def test_sa_35_a_domain_and_one_below_it_never_have_two_holders(
    database: Database, provers: list[subprocess.Popen[str]]
) -> None:
    for number in range(ROUNDS):
        top = f"tree{number}.example"
        # None of them stands in the way of itself: only the domain above overlaps with those below.
        outcomes = race(database, provers, [top, f"a.{top}", top, f"a.b.{top}", top, f"a.{top}"])
        held = sorted(holders(database, top))
        assert held == [top] or top not in held, (outcomes, held)
        assert set(held) <= {top, f"a.{top}", f"a.b.{top}"}
        assert outcomes.count("verified") == len(held)


def test_sa_35_names_that_only_look_alike_do_not_stand_in_each_others_way(
    database: Database, provers: list[subprocess.Popen[str]]
) -> None:
    alike = ["al.example", "al-ike.example", "alike.example", "al.ike.test.example", "xal.example", "al0.example"]
    assert race(database, provers, alike) == ["verified"] * PROCESSES
