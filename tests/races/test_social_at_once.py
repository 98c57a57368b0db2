"""The same newcomer in the same moment, in several processes, on both databases: one account, one link, no half of either."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from idp.accounts.identity import read_address
from idp.accounts.lifecycle import create_account
from idp.accounts.ways import ways_in
from idp.config import Config
from idp.database import Database
from idp.models import Account, AuditEvent, Link, OutboxMail
from tests.backends import running_postgres

PROCESSES = 5
ROUNDS = 10
NOW = 1_800_000_000

# Each is a process of its own: for each line (what to do, a subject, an address) it comes as that newcomer, twice at most, as
# ``finish`` does when another request was faster.
COMER = """
import secrets, sys
from sqlalchemy.exc import IntegrityError
from idp.accounts.identity import Identity
from idp.accounts.lifecycle import AddressTaken
from idp.accounts.linking import ProveFirst
from idp.accounts.ways import unlink
from idp.config import Config
from idp.database import Database
from idp.login.arrival import newcomer
from idp.login.company_account import Proved
from idp.login.social_account import Accepted, Linking, look_at, settle
from idp.models import Account
from idp.sealing import Sealer
database = Database(Config.model_validate_json(sys.argv[1]))
database.ping()
linking = Linking("Google", "en", Sealer(bytes(32), secrets.token_bytes), 1800000000, secrets.token_bytes)
OWN = "https://login.example"
def come(who, wanted):
    with database.transaction() as db:
        proved = None
        if wanted == "link":
            first = look_at(db, who, own_issuer=OWN)
            proved = Proved(first.account_id, "password") if isinstance(first, ProveFirst) else None
        outcome = settle(db, who, proved, Accepted("v1"), own_issuer=OWN, linking=linking)
        return outcome.id if isinstance(outcome, Account) else type(outcome).__name__
print("ready", flush=True)
for line in sys.stdin:
    wanted, subject, email = line.split()
    if wanted == "unlink":  # subject: the account, email: the name of the link
        with database.transaction() as db:
            outcome = unlink(db, subject, email, ("google", "github"), now=1800000000)
        print(type(outcome).__name__, flush=True)
        continue
    identity = Identity("google", "https://accounts.google.example", subject, email, True, "Carol", (), 1800000000)
    try:
        try:
            print(come(newcomer(identity), wanted), flush=True)
        except (AddressTaken, IntegrityError):
            print(come(newcomer(identity), wanted), flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
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
def comers(config: Config, database: Database) -> Iterator[list[subprocess.Popen[str]]]:
    with ExitStack() as stack:
        started = []
        for _ in range(PROCESSES):
            command = [sys.executable, "-c", COMER, config.model_dump_json(exclude_defaults=True)]
            comer = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
            )
            stack.enter_context(comer)  # waits for it
            stack.callback(comer.kill)
            started.append(comer)
        for comer in started:
            assert comer.stdout is not None and comer.stdout.readline() == "ready\n"
        yield started


def race(comers: list[subprocess.Popen[str]], lines: list[str]) -> list[str]:
    """Let each process come as one line says, at once; what became of each."""
    for comer, line in zip(comers, lines, strict=True):
        assert comer.stdin is not None
        comer.stdin.write(line + "\n")
    for comer in comers:
        assert comer.stdin is not None
        comer.stdin.flush()
    return [comer.stdout.readline().strip() for comer in comers if comer.stdout is not None]


def make_account(db: Session, email: str) -> str:
    account = create_account(
        db,
        read_address(email),
        claims={},
        verified=True,
        password_hash=None,
        actor="operator:test",
        now=NOW,
        random=secrets.token_bytes,
    )
    return account.id


def test_lk_02_one_newcomer_at_once_is_one_account(database: Database, comers: list[subprocess.Popen[str]]) -> None:
    for number in range(ROUNDS):
        outcomes = race(comers, [f"new g-{number} same{number}@example.org"] * PROCESSES)
        assert len(set(outcomes)) == 1, outcomes
        with database.reading() as db:
            links = db.query(Link).filter_by(subject=f"g-{number}").all()
            assert [link.account_id for link in links] == [outcomes[0]]
            made = db.query(AuditEvent).filter_by(event="person.created", account_id=outcomes[0]).count()
            assert made == 1


def test_two_identities_with_one_address_at_once_are_one_account_and_the_others_must_prove(
    database: Database, comers: list[subprocess.Popen[str]]
) -> None:
    for number in range(ROUNDS):
        outcomes = race(comers, [f"new t-{number}-{one} twin{number}@example.org" for one in range(PROCESSES)])
        counted = Counter("ProveFirst" if one == "ProveFirst" else "made" for one in outcomes)
        assert counted == {"made": 1, "ProveFirst": PROCESSES - 1}, outcomes
        with database.reading() as db:
            linked = select(func.count()).select_from(Link).where(Link.subject.startswith(f"t-{number}-"))
            assert db.scalar(linked) == 1


def test_one_identity_is_linked_once_and_announced_once(
    database: Database, comers: list[subprocess.Popen[str]]
) -> None:
    for number in range(ROUNDS):
        email = f"old{number}@example.org"
        with database.transaction() as db:
            account_id = make_account(db, email)
        assert set(race(comers, [f"link l-{number} {email}"] * PROCESSES)) == {account_id}
        with database.reading() as db:
            assert db.query(Link).filter_by(subject=f"l-{number}").count() == 1
            assert db.query(OutboxMail).filter_by(recipient=email, name="linked").count() == 1
            assert db.get(Account, account_id) is not None


def test_of_the_last_two_ways_taken_away_at_once_one_stays(
    database: Database, comers: list[subprocess.Popen[str]]
) -> None:
    for number in range(ROUNDS):
        with database.transaction() as db:
            account_id = make_account(db, f"two{number}@example.org")
            for door in ("google", "github"):
                link = Link(account_id=account_id, issuer=f"https://{door}.example", subject=f"w-{number}", door=door)
                link.created_at = NOW
                db.add(link)
        with database.reading() as db:
            names = [way.name for way in ways_in(db, account_id, ("google", "github"))]
        lines = [f"unlink {account_id} {names[one % 2]}" for one in range(PROCESSES)]
        assert Counter(race(comers, lines))["Unlinked"] == 1
        with database.reading() as db:
            assert db.query(Link).filter_by(account_id=account_id).count() == 1
