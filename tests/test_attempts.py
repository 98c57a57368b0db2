"""Receipts: typed steps under a code, masked when written, on their way to SQL through Redis."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from idp import attempts as receipts
from idp.attempts import Attempts, Step, drain, prune_attempts
from idp.config import Config
from idp.database import Database
from idp.embedded_server import EmbeddedServer
from idp.models import Account, Attempt, AttemptStep, ProductUse
from idp.receipts import company_attempts, find_attempt, latest_attempts, read_code, steps_of
from idp.redis_store import RedisStore
from tests import canaries
from tests.backends import RealRedis, running_postgres, running_redis, wait_until

NOW = 1_800_000_000.0
SOURCES = sorted(Path(receipts.__file__).parent.rglob("*.py"))


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(embedded: EmbeddedServer) -> Iterator[RedisStore]:
    with RedisStore(embedded.url) as store:
        store.command("DEL", receipts.STREAM)
        yield store


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[Callable[[], str]]:
    with running_postgres() as server:
        yield server.new_database


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = request.getfixturevalue("postgres_url")() if request.param == "postgresql" else ""
    database = Database(Config(issuer="https://login.example", data=tmp_path, database_url=url))
    database.upgrade()
    yield database
    canaries.show_database(database)
    database.close()


@pytest.fixture
def attempts(store: RedisStore, clock: Clock) -> Iterator[Attempts]:
    attempts = Attempts(store, canaries.random, clock)
    yield attempts
    attempts.close()


def kept(database: Database, code: str) -> tuple[Attempt, list[AttemptStep]]:
    with database.reading() as db:
        attempt, steps = find_attempt(db, code), steps_of(db, code)
        assert attempt is not None
        db.expunge_all()
    return attempt, steps


def in_the_stream(store: RedisStore) -> list[dict[str, Any]]:
    parcels = store.command("XRANGE", receipts.STREAM, "-", "+")
    return [dict(zip(receipts.COLUMNS, step, strict=True)) for _, (_, parcel) in parcels for step in json.loads(parcel)]


def test_a_code_is_forty_bits_in_letters_that_nobody_confuses(store: RedisStore, clock: Clock) -> None:
    attempts = Attempts(store, lambda size: bytes([0, 0x44, 0x32, 0x14, 0xC7][:size]).ljust(size, b"\0"), clock)
    assert attempts.start() == "0123-4567"
    attempts.close()
    assert set("ILOU").isdisjoint(receipts.ALPHABET) and len(set(receipts.ALPHABET)) == 32


def test_codes_differ(attempts: Attempts) -> None:
    codes = {attempts.start() for _ in range(1000)}
    assert len(codes) == 1000
    assert all(read_code(code) == code for code in codes)


@pytest.mark.parametrize("heard", ["K7QX-2M4P", "k7qx-2m4p", "k7qx2m4p", " k7qx 2m4p ", "K7QX2-M4P"])
def test_a_code_is_understood_in_any_case_and_grouping(heard: str) -> None:
    assert read_code(heard) == "K7QX-2M4P"


def test_letters_that_look_like_digits_are_understood() -> None:
    assert read_code("oOiI-lLuU") == "0011-11VV"


@pytest.mark.parametrize(
    "heard", ["", "K7QX-2M4", "K7QX-2M4PX", "K7QX-2M4é", "K7QX-2M4\x00", "ΚΚΚΚ-ΚΚΚΚ", "' OR 1=1", "ß" * 4]
)
def test_what_is_no_code_is_refused(heard: str) -> None:
    assert read_code(heard) is None


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("carol@example.org", "c•••l@example.org"),
        ("Carol.Smith+x@Example.ORG", "C•••x@example.org"),
        ("bob@example.org", "•••@example.org"),
        ("a@example.org", "•••@example.org"),
        ("zoé@münchen.example", "•••@münchen.example"),
        ("correct horse battery staple", "•••"),
        ("pa55w@rd", "•••"),
        ("carol@", "•••"),
        ("@example.org", "•••"),
        ("carol@exam\nple.org", "•••"),
        ("carol@example.org\x00", "•••"),
        ("", "•••"),
    ],
)
def test_an_e_mail_address_is_masked_and_anything_else_goes_whole(address: str, masked: str) -> None:
    assert receipts.mask_email(address) == masked


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::77", "2001:db8:1::/48"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("not an address", "•••"),
    ],
)
def test_a_network_address_is_shortened_to_its_network(address: str, masked: str) -> None:
    assert receipts.mask_address(address) == masked


@pytest.mark.parametrize(
    ("uri", "masked"),
    [
        ("https://product.example/callback", "https://product.example/callback"),
        ("https://user:pass@product.example:8443/cb?token=x#y", "https://product.example:8443/cb?•••"),
        ("com.example.app:/callback", "com.example.app:/callback"),
        ("https://[broken", "•••"),
        ("https://a:999999/", "•••"),
        ("https://a/\u202e\r\nx", "https://a/\\u202ex"),
    ],
)
def test_a_uri_loses_what_it_may_carry(uri: str, masked: str) -> None:
    assert receipts.mask_uri(uri) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("one address (carol@example.org)", "one address (c•••l@example.org)"),
        ("carol@example.org, bob@example.net", "c•••l@example.org, •••@example.net"),
        ("carol@corp.local@", "•••"),
        ("https://login.example/saml/a1/acs", "https://login.example/saml/a1/acs"),
        ("a\r\nb@\u202eexample.org", "•••"),
    ],
)
def test_text_loses_the_addresses_in_it(text: str, masked: str) -> None:
    assert receipts.mask_text(text) == masked


def test_steps_arrive_in_order_with_what_they_tell(
    attempts: Attempts, store: RedisStore, database: Database, clock: Clock
) -> None:
    code = attempts.start()
    attempts.step(code, Step.request_received, client_id="gotowebinar", scope="openid email")
    clock.now += 1.25
    attempts.step(
        code,
        Step.password_checked,
        reason="password_wrong",
        door="password",
        email="carol@example.org",
        address="192.0.2.77",
    )
    clock.now += 60
    attempts.step(code, Step.session_opened, account_id="a" * 32, known_device=True)
    assert attempts.flush()
    assert drain(store, database) == 3
    attempt, steps = kept(database, code)
    assert (attempt.started_at, attempt.last_at) == (int(NOW), int(NOW + 61))
    assert (attempt.client_id, attempt.door, attempt.account_id) == ("gotowebinar", "password", "a" * 32)
    assert [(step.name, step.reason, step.at) for step in steps] == [
        ("request_received", None, int(NOW * 1000)),
        ("password_checked", "password_wrong", int(NOW * 1000) + 1250),
        ("session_opened", None, int(NOW * 1000) + 61250),
    ]
    assert [step.facts for step in steps] == [
        {"scope": "openid email"},
        {"email": "c•••l@example.org", "address": "192.0.2.0/24"},
        {"known_device": True},
    ]


def test_values_are_masked_before_they_leave_the_process(attempts: Attempts, store: RedisStore) -> None:
    attempts.step("K7QX-2M4P", Step.password_checked, email="carol@example.org", address="192.0.2.77")
    attempts.flush()
    parcel = str(store.command("XRANGE", receipts.STREAM, "-", "+"))
    assert "carol" not in parcel and "192.0.2.77" not in parcel


def test_a_fact_that_is_not_on_the_list_is_not_kept(attempts: Attempts, store: RedisStore, database: Database) -> None:
    secret = canaries.register("correct horse battery staple", "password")
    attempts.step("K7QX-2M4P", Step.password_checked, password=secret, email=secret)
    attempts.flush()
    drain(store, database)
    _, (step,) = kept(database, "K7QX-2M4P")
    assert step.facts == {"email": "•••"}


def test_the_code_gives_exactly_the_facts_and_steps_that_there_are() -> None:
    own = {"reason", "outcome", "client_id", "door", "connection_id", "account_id"}
    facts, steps = {"redirect_uri"}, set()  # the one that oidc/authorize.py gives only sometimes
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "step":
                facts |= {keyword.arg for keyword in node.keywords if keyword.arg}
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Step" and path.name != "attempts.py":
                steps.add(node.attr)
    assert facts - own == receipts.FACTS.keys(), "each has its place in FACTS, with how it is masked"
    assert steps == set(Step.__members__)


def test_ij_01_hostile_values_stay_one_harmless_line(attempts: Attempts, store: RedisStore, database: Database) -> None:
    hostile = "\r\nadmin login ok\x1b[2J\u2028\u202e\ud800\x00"
    attempts.step(
        "K7QX-2M4P",
        Step.request_refused,
        client_id=hostile * 40,
        detail=hostile * 40,
        redirect_uri=hostile,
        email=hostile,
    )
    attempts.flush()
    drain(store, database)
    attempt, (step,) = kept(database, "K7QX-2M4P")
    for value in (attempt.client_id, *step.facts.values()):
        assert str(value).isprintable() and len(str(value)) <= 200


@pytest.mark.parametrize(
    ("steps", "outcome", "reason"),
    [
        ([(Step.request_received, None)], "open", None),
        ([(Step.password_checked, "password_wrong")], "failed", "password_wrong"),
        ([(Step.password_checked, "password_wrong"), (Step.password_checked, None)], "failed", "password_wrong"),
        ([(Step.password_checked, "password_wrong"), (Step.code_issued, None)], "done", None),
        ([(Step.code_issued, None), (Step.token_refused, "code_used")], "failed", "code_used"),
        ([(Step.consent_denied, None)], "failed", None),
    ],
)
@pytest.mark.parametrize("apart", [False, True], ids=["in one drain", "in a drain each"])
def test_the_outcome_is_that_of_the_last_step_that_ends(
    steps: list[tuple[Step, str | None]],
    outcome: str,
    reason: str | None,
    apart: bool,
    attempts: Attempts,
    store: RedisStore,
    database: Database,
    clock: Clock,
) -> None:
    for name, why in steps:
        attempts.step("K7QX-2M4P", name, reason=why)
        clock.now += 1
        if apart:
            attempts.flush()
            drain(store, database)
    attempts.flush()
    drain(store, database)
    attempt, kept_steps = kept(database, "K7QX-2M4P")
    assert (attempt.outcome, attempt.reason) == (outcome, reason)
    assert len(kept_steps) == len(steps)


def test_a_parcel_that_is_drained_twice_writes_nothing_twice(
    attempts: Attempts, store: RedisStore, database: Database, clock: Clock
) -> None:
    attempts.step("K7QX-2M4P", Step.password_checked, reason="password_wrong", client_id="gotowebinar")
    attempts.flush()
    ((_, parcel),) = store.command("XRANGE", receipts.STREAM, "-", "+")
    drain(store, database)
    clock.now += 5
    attempts.step("K7QX-2M4P", Step.code_issued)
    attempts.flush()
    drain(store, database)
    store.command("XADD", receipts.STREAM, "*", *parcel)  # as after a crash between the commit and the XDEL
    assert drain(store, database) == 1
    attempt, steps = kept(database, "K7QX-2M4P")
    assert (attempt.outcome, attempt.last_at, attempt.client_id) == ("done", int(NOW) + 5, "gotowebinar")
    assert len(steps) == 2
    assert store.command("XLEN", receipts.STREAM) == 0


def test_a_parcel_that_sql_did_not_take_stays_in_the_stream(
    attempts: Attempts, store: RedisStore, tmp_path: Path
) -> None:
    attempts.step("K7QX-2M4P", Step.request_received)
    attempts.flush()
    database = Database(Config(issuer="https://login.example", data=tmp_path))  # has no tables yet
    with pytest.raises(Exception, match="no such table"):
        drain(store, database)
    assert store.command("XLEN", receipts.STREAM) == 1
    database.upgrade()
    assert drain(store, database) == 1
    database.close()


def test_many_steps_arrive_in_few_parcels(attempts: Attempts, store: RedisStore, tmp_path: Path) -> None:
    for _ in range(2500):
        attempts.step(attempts.start(), Step.request_received)
    attempts.flush()
    assert store.command("XLEN", receipts.STREAM) <= 40
    database = Database(Config(issuer="https://login.example", data=tmp_path))
    database.upgrade()
    assert drain(store, database) == 2500
    with database.reading() as db:
        assert db.scalar(select(func.count()).select_from(Attempt)) == 2500
    database.close()


def test_steps_leave_by_themselves(attempts: Attempts, store: RedisStore) -> None:
    attempts.step("K7QX-2M4P", Step.request_received)
    wait_until(lambda: store.command("XLEN", receipts.STREAM) == 1, "the step is in the stream")


def test_closing_sends_what_waits(store: RedisStore, clock: Clock) -> None:
    attempts = Attempts(store, canaries.random, clock)
    attempts.step("K7QX-2M4P", Step.request_received)
    attempts.close()
    assert store.command("XLEN", receipts.STREAM) == 1


@pytest.fixture
def mortal_redis(tmp_path: Path) -> Iterator[RealRedis]:
    with running_redis(tmp_path / "redis") as server:
        yield server


@pytest.mark.needs("redis")
def test_without_redis_steps_wait_and_go_when_it_is_back(mortal_redis: RealRedis, clock: Clock) -> None:
    store = RedisStore(mortal_redis.url)
    attempts = Attempts(store, canaries.random, clock)
    mortal_redis.kill()
    attempts.step("K7QX-2M4P", Step.request_received)
    assert not attempts.flush()
    attempts.step("K7QX-2M4P", Step.request_refused)
    mortal_redis.start()
    assert attempts.flush()
    assert [step["name"] for step in in_the_stream(store)] == ["request_received", "request_refused"]
    attempts.close()
    store.close()


@pytest.mark.needs("redis")
def test_without_redis_memory_is_bounded_and_the_newest_steps_are_kept(mortal_redis: RealRedis, clock: Clock) -> None:
    store = RedisStore(mortal_redis.url)
    mortal_redis.kill()
    attempts = Attempts(store, canaries.random, clock)
    for number in range(receipts.MOST_WAITING + 500):
        attempts.step("K7QX-2M4P", Step.request_received, wait=number)
    mortal_redis.start()
    attempts.close()
    numbers = [step["facts"]["wait"] for step in in_the_stream(store)]
    assert numbers[-1] == receipts.MOST_WAITING + 499
    assert receipts.MOST_WAITING <= len(numbers) <= receipts.MOST_WAITING + receipts.PARCEL
    store.close()


def test_the_stream_is_bounded(attempts: Attempts, store: RedisStore) -> None:
    with store.batch() as batch:
        for _ in range(receipts.MOST_PARCELS + 1000):
            batch.command("XADD", receipts.STREAM, "*", "steps", "[]")
    attempts.step("K7QX-2M4P", Step.request_received)
    attempts.flush()
    assert store.command("XLEN", receipts.STREAM) <= receipts.MOST_PARCELS + 200


def add_account(database: Database, account_id: str) -> None:
    with database.transaction() as db:
        db.add(Account(id=account_id, sub=account_id, profile={}, created_at=0, updated_at=0))


def product_uses(database: Database) -> list[tuple[Any, ...]]:
    with database.reading() as db:
        return [(use.account_id, use.client_id, use.first_at, use.last_at) for use in db.scalars(select(ProductUse))]


def test_an_issued_code_tells_which_product_was_opened(
    attempts: Attempts, store: RedisStore, database: Database, clock: Clock
) -> None:
    add_account(database, "a" * 32)
    for wait in (0, 10, 20):
        clock.now = NOW + wait
        attempts.step(attempts.start(), Step.code_issued, client_id="gotowebinar", account_id="a" * 32)
        attempts.step(attempts.start(), Step.code_issued, client_id="gotowebinar", account_id="of somebody who is gone")
        attempts.step(attempts.start(), Step.request_received, client_id="gotomeeting", account_id="a" * 32)
        if wait != 10:
            attempts.flush()
            drain(store, database)
    assert product_uses(database) == [("a" * 32, "gotowebinar", int(NOW), int(NOW) + 20)]


def test_the_newest_attempts_come_first_and_only_failed_ones_if_asked(
    attempts: Attempts, store: RedisStore, database: Database, clock: Clock
) -> None:
    for code, reason in (
        ("0000-0001", None),
        ("0000-0002", "throttled"),
        ("0000-0003", None),
        ("0000-0004", "redis_down"),
    ):
        attempts.step(code, Step.request_received, reason=reason)
        clock.now += 1
    attempts.flush()
    drain(store, database)
    with database.reading() as db:
        assert [attempt.code for attempt in latest_attempts(db, 3, failed=False)] == [
            "0000-0004",
            "0000-0003",
            "0000-0002",
        ]
        assert [attempt.code for attempt in latest_attempts(db, 3, failed=True)] == ["0000-0004", "0000-0002"]


def test_a_company_sees_its_own_connection_and_nothing_else_of_the_same_attempt(
    attempts: Attempts, store: RedisStore, database: Database, clock: Clock
) -> None:
    """One person tries the connection of Acme, then, with another address, that of Globex."""
    refused = {
        "check": "audience",
        "expected": "https://a",
        "received": "carol@acme.example",
        "email": "carol@acme.example",
    }
    steps: list[tuple[Step, str | None, str | None, dict[str, str]]] = [
        (Step.request_received, None, None, {}),
        (Step.company_routed, "acme", None, {}),
        (Step.request_sent, "acme", None, {}),
        (Step.response_refused, "acme", "redis_down", refused),
        (Step.page_failed, None, "csrf", {}),
        (Step.company_routed, "globex", None, {}),
        (Step.session_opened, "globex", None, {}),
        (Step.code_issued, None, None, {}),
    ]
    for name, connection, reason, facts in steps:
        clock.now += 1
        attempts.step("K7QX-2M4P", name, reason=reason, connection_id=connection, account_id="a" * 32, **facts)
    attempts.flush()
    drain(store, database)
    with database.reading() as db:
        (acme,), (globex,) = company_attempts(db, "acme"), company_attempts(db, "globex")
        assert company_attempts(db, "nobody") == []
    assert (acme.code, acme.outcome, acme.reason, acme.started_at) == ("K7QX-2M4P", "failed", "redis_down", NOW + 2)
    assert [step.name for step in acme.steps] == ["company_routed", "request_sent", "response_refused"]
    seen = {"check": "audience", "expected": "https://a", "received": "c•••l@acme.example"}
    assert acme.steps[-1].facts == seen
    assert (globex.outcome, globex.reason, len(globex.steps)) == ("done", None, 2)
    attempt, _ = kept(database, "K7QX-2M4P")
    assert attempt.connection_id == "globex"


def test_a_company_sees_its_newest_attempts_first(
    attempts: Attempts, store: RedisStore, database: Database, clock: Clock
) -> None:
    for number in range(120):
        clock.now += 1
        attempts.step(f"0000-{number:04}", Step.company_routed, connection_id="acme")
    attempts.flush()
    drain(store, database)
    with database.reading() as db:
        codes = [attempt.code for attempt in company_attempts(db, "acme")]
        assert codes == [f"0000-{number:04}" for number in range(119, 19, -1)]
        assert [attempt.code for attempt in company_attempts(db, "acme", 2)] == codes[:2]


def test_old_attempts_are_forgotten_a_bounded_number_at_a_time(
    attempts: Attempts, store: RedisStore, database: Database, clock: Clock
) -> None:
    for _ in range(receipts.PRUNED_AT_ONCE + 1):
        attempts.step(attempts.start(), Step.request_received)
    clock.now += 1
    attempts.step("K7QX-2M4P", Step.request_received)
    attempts.flush()
    drain(store, database)
    with database.transaction() as db:
        assert prune_attempts(db, NOW + receipts.KEPT + 1)
        assert not prune_attempts(db, NOW + receipts.KEPT + 1)
    with database.reading() as db:
        assert [attempt.code for attempt in db.scalars(select(Attempt))] == ["K7QX-2M4P"]
        assert [step.code for step in db.scalars(select(AttemptStep))] == ["K7QX-2M4P"]


def test_a_step_costs_its_caller_no_round_trip(clock: Clock, tmp_path: Path) -> None:
    """Redis is not even there."""
    store = RedisStore(f"unix://{tmp_path}/nobody.sock")
    attempts = Attempts(store, canaries.random, clock)
    for _ in range(1000):
        attempts.step("K7QX-2M4P", Step.code_issued, client_id="gotowebinar")
    attempts.close()
