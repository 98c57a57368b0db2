"""Companies in the same moment, on both databases: a domain has one holder, with the whole of what is below it; an
administrator and a break-glass person stay; and whoever requires SSO sees each sign-in that came before."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import event, select

from idp.accounts.identity import read_address
from idp.accounts.lifecycle import create_account
from idp.companies import CompanyRefused, create_company, owns_domain
from idp.company_policy import policy_of_company, policy_of_domain, require_sso
from idp.config import Config
from idp.database import Database
from idp.domain_proof import claim
from idp.enforcement import own_door
from idp.members import add_member, administrators, name_break_glass, remove_member, set_role
from idp.models import CompanyDomain, Connection, Member
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
from idp.domain_evidence import Proof
from idp.domain_proof import note
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


# --- people ----------------------------------------------------------------------------------------------------------------------

WHO: dict[str, Any] = {"actor": "x", "now": NOW}


def company_with(database: Database, *addresses: str, break_glass: bool = False) -> tuple[str, list[str]]:
    """A company with administrators, who have passwords, and a live connection that was tried; their ids."""
    with database.transaction() as db:
        company = create_company(db, "Acme", random=secrets.token_bytes, **WHO).id
        db.add(
            Connection(
                id=secrets.token_hex(8), company_id=company, name="Entra", vendor="entra", state="live",
                idp_entity_id="https://idp.example", sso_url="https://idp.example/sso", sso_binding="redirect",
                name_id_format="x", hint="none", administrator_signed_in_at=NOW, created_at=NOW, updated_at=NOW,
            )
        )  # fmt: skip
        people = []
        for address in addresses:
            account = create_account(
                db, read_address(address), claims={}, verified=True, password_hash="x",
                random=secrets.token_bytes, **WHO,
            )  # fmt: skip
            add_member(db, company, account.id, "administrator", vouched=True, **WHO)
            if break_glass:
                name_break_glass(db, company, account.id, named=True, **WHO)
            people.append(account.id)
    return company, people


def at_once(database: Database, *acts: tuple[Any, ...]) -> list[str]:
    """Let each act in a transaction of its own, begun in the same moment; what became of each."""
    ready = Barrier(len(acts))

    def one(act: tuple[Any, ...]) -> str:
        what, given, named = act
        ready.wait()
        try:
            with database.transaction() as db:
                what(db, *given, **named, **WHO)
        except CompanyRefused as refused:
            return refused.reason
        return "done"

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(one, acts))


@pytest.mark.parametrize("act", ["remove", "demote", "one of each"])
def test_administrators_who_dismiss_each_other_at_once_leave_one(database: Database, act: str) -> None:
    for number in range(ROUNDS):
        company, (one, other) = company_with(
            database, f"a{act}{number}@x.example".replace(" ", ""), f"b{act}{number}@x.example".replace(" ", "")
        )
        remove, demote = (remove_member, (), {}), (set_role, ("member",), {})
        first, second = {"remove": (remove, remove), "demote": (demote, demote)}.get(act, (remove, demote))
        outcomes = at_once(
            database,
            (first[0], (company, one, *first[1]), {}),
            (second[0], (company, other, *second[1]), {}),
        )
        assert sorted(outcomes) == ["company_last_administrator", "done"]
        with database.reading() as db:
            assert len(administrators(db, company)) == 1


def test_the_last_break_glass_people_cannot_both_go_at_once(database: Database) -> None:
    for number in range(ROUNDS):
        company, people = company_with(database, f"g{number}@x.example", f"h{number}@x.example", break_glass=True)
        with database.transaction() as db:
            require_sso(db, company, end_sessions=False, **WHO)
        outcomes = at_once(database, *((name_break_glass, (company, one), {"named": False}) for one in people))
        assert sorted(outcomes) == ["company_last_break_glass", "done"]
        with database.reading() as db:
            assert sum(db.get_one(Member, one).break_glass for one in people) == 1


def test_requiring_sso_waits_for_a_sign_in_that_has_looked_at_the_policy(database: Database) -> None:
    company, _ = company_with(database, "w@x.example", break_glass=True)
    with database.transaction() as db:
        db.add(
            CompanyDomain(
                company_id=company, domain="wait.example", held="wait.example", tree="example.wait.", status="verified",
                code="x", code_expires_at=0, found=[], created_at=0,
            )
        )  # fmt: skip

    def require() -> None:
        with database.transaction() as db:
            require_sso(db, company, end_sessions=True, **WHO)

    requiring = Thread(target=require)
    with database.transaction() as db:
        assert own_door(db, "w@wait.example", None, "password", hold=True).opens
        requiring.start()
        requiring.join(0.5)
        assert requiring.is_alive(), "it did not wait for the sign-in"
    requiring.join()
    with database.reading() as db:
        assert not own_door(db, "w@wait.example", None, "password").opens
        assert policy_of_company(db, company).sso == "required"


def test_an_index_leads_to_the_policy_of_a_domain_among_thousands(database: Database) -> None:
    with database.transaction() as db:
        for number in range(1000):
            company = create_company(db, f"C{number}", random=secrets.token_bytes, **WHO)
            for part in "abc":
                name = f"{part}{number}.many.example"
                db.add(
                    CompanyDomain(
                        company_id=company.id, domain=name, held=name, tree=f"example.many.{part}{number}.",
                        status="verified", code="x", code_expires_at=0, found=[], created_at=0,
                    )
                )  # fmt: skip
    explain = "EXPLAIN QUERY PLAN" if database.kind == "sqlite" else "EXPLAIN"
    if database.kind == "postgresql":
        with database.transaction() as db:
            db.connection().exec_driver_sql("ANALYZE")
    statements: list[tuple[str, Any]] = []
    with database.reading() as db:
        engine = db.connection().engine

        def note(_c: object, _d: object, statement: str, given: Any, *_: object) -> None:
            statements.append((statement, given))

        event.listen(engine, "before_cursor_execute", note)
        try:
            found = policy_of_domain(db, "b777.many.example")
            assert found is not None and owns_domain(db, found.company_id, "b777.many.example")
        finally:
            event.remove(engine, "before_cursor_execute", note)
        assert len(statements) == 2
        for statement, given in statements:
            plan = str(db.connection().exec_driver_sql(f"{explain} {statement}", given).fetchall())
            assert "company_domains" in plan
            assert "SCAN company_domains" not in plan and "Seq Scan on company_domains" not in plan, plan
            assert "SCAN companies" not in plan and "Seq Scan on companies" not in plan, plan
