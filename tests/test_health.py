"""Health tells the truth, to anybody, and nothing more; numbers go to whoever knows the token."""

from __future__ import annotations

import dataclasses
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from idp.app import create_app
from idp.clients import Clients
from idp.config import Config
from idp.database import Database
from idp.key_ring import KeyRing
from idp.keys import create_keys
from idp.metrics import exposition
from idp.parts import Parts
from idp.redis_store import RedisStore
from tests import canaries
from tests.registrations import REFERENCES

TOKEN = canaries.register("a-token-for-prometheus-alone", "metrics token")
ALL_WELL = {"redis": "ok", "sql": "ok", "migrations": "ok", "keys": "ok", "clients": "ok"}


def browser(parts: Parts, **replaced: object) -> FlaskClient:
    """A browser at a provider with some of its parts replaced by broken ones."""
    return create_app(dataclasses.replace(parts, **replaced)).test_client()  # type: ignore[arg-type]


@pytest.fixture
def dead_redis(tmp_path: Path) -> RedisStore:
    return RedisStore(f"unix://{tmp_path}/nobody.sock")


@pytest.fixture
def dead_sql(tmp_path: Path) -> Iterator[Database]:
    url = "postgresql+psycopg://idp:s3cret-of-sql@127.0.0.1:1/idp"
    database = Database(Config(issuer="https://login.example", data=tmp_path / "dead", database_url=url))
    yield database
    database.close()


@pytest.fixture
def measured(parts: Parts) -> Parts:
    return dataclasses.replace(parts, config=parts.config.model_copy(update={"metrics_token": TOKEN}))


def test_a_process_that_answers_is_live_whatever_is_broken_around_it(
    parts: Parts, dead_redis: RedisStore, dead_sql: Database
) -> None:
    answer = browser(parts, store=dead_redis, database=dead_sql).get("/health/live")
    assert (answer.status_code, answer.json) == (200, {"status": "live"})


def test_a_provider_with_everything_is_ready(parts: Parts) -> None:
    answer = browser(parts).get("/health/ready")
    assert (answer.status_code, answer.json) == (200, {"status": "ready", "parts": ALL_WELL})
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers


def test_without_redis_it_is_not_ready(parts: Parts, dead_redis: RedisStore) -> None:
    answer = browser(parts, store=dead_redis).get("/health/ready")
    assert (answer.status_code, answer.json) == (503, {"status": "not ready", "parts": ALL_WELL | {"redis": "down"}})
    assert int(answer.headers["Retry-After"]) > 0


def test_without_sql_it_is_not_ready(parts: Parts, dead_sql: Database) -> None:
    answer = browser(parts, database=dead_sql).get("/health/ready")
    assert answer.status_code == 503
    assert answer.json == {"status": "not ready", "parts": ALL_WELL | {"sql": "down", "migrations": "down"}}


def test_while_another_process_keeps_sqlite_locked_it_is_not_ready(parts: Parts) -> None:
    page = browser(parts)
    with closing(sqlite3.connect(parts.config.data / "idp.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = page.get("/health/ready")
    assert (answer.status_code, answer.json) == (503, {"status": "not ready", "parts": ALL_WELL | {"sql": "down"}})
    assert page.get("/health/ready").status_code == 200


def test_with_old_tables_it_is_not_ready(parts: Parts, tmp_path: Path) -> None:
    database = Database(Config(issuer="https://login.example", data=tmp_path / "new"))
    answer = browser(parts, database=database).get("/health/ready")
    assert answer.status_code == 503
    assert answer.json == {"status": "not ready", "parts": ALL_WELL | {"migrations": "behind"}}
    database.close()


def test_without_a_key_that_a_client_needs_it_is_not_ready(parts: Parts, tmp_path: Path) -> None:
    create_keys(tmp_path / "few", ("RS256",), 0)
    answer = browser(parts, keys=KeyRing(tmp_path / "few", 60)).get("/health/ready")
    assert (answer.status_code, answer.json) == (503, {"status": "not ready", "parts": ALL_WELL | {"keys": "down"}})


def test_with_a_broken_ring_the_keys_in_memory_go_on_and_it_says_so(parts: Parts) -> None:
    (parts.config.keys / "ring.json").write_text("{")
    answer = browser(parts).get("/health/ready")
    assert (answer.status_code, answer.json) == (200, {"status": "ready", "parts": ALL_WELL | {"keys": "kept"}})


def test_with_a_broken_clients_yaml_the_last_good_one_goes_on_and_it_says_so(parts: Parts) -> None:
    assert parts.config.clients is not None
    time = [0.0]
    clients = Clients(parts.config.clients, REFERENCES, loopback=False, clock=lambda: time[0])
    parts.config.clients.write_text("clients: [\n")
    time[0] += 2
    answer = browser(parts, clients=clients).get("/health/ready")
    assert (answer.status_code, answer.json) == (200, {"status": "ready", "parts": ALL_WELL | {"clients": "kept"}})


def test_hd_07_health_leaks_nothing(parts: Parts, dead_redis: RedisStore, dead_sql: Database) -> None:
    answer = browser(parts, store=dead_redis, database=dead_sql).get("/health/ready")
    words = set(re.findall(r"[\w.-]+", answer.text))
    assert words == {"status", "not", "ready", "parts", "down", "ok", *ALL_WELL}


def test_hd_07_without_the_setting_there_are_no_metrics(parts: Parts) -> None:
    assert browser(parts).get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer é"]
)
def test_hd_07_metrics_need_the_token(given: str | None, measured: Parts) -> None:
    answer = browser(measured).get("/metrics", headers={} if given is None else {"Authorization": given})
    assert answer.status_code == 401
    assert answer.text == ""
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_hd_07_the_token_counts_only_in_the_header(measured: Parts) -> None:
    assert browser(measured).get(f"/metrics?token={TOKEN}").status_code == 401


def numbers(page: FlaskClient) -> str:
    answer = page.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    return answer.text


def test_metrics_tell_requests_failures_and_readiness(measured: Parts) -> None:
    page = browser(measured)
    page.get("/health/live")
    page.get("/no/such/page?secret=1")
    page.get("/authorize?client_id=nobody")
    measured.attempts.flush()
    text = numbers(page)
    assert 'idp_request_seconds_count{endpoint="/health/live",status="200"}' in text
    assert 'idp_request_seconds_count{endpoint="none",status="404"}' in text
    assert 'idp_failed_steps_total{reason="client_unknown"}' in text
    for part in ALL_WELL:
        assert f'idp_ready{{of="{part}"}} 1.0' in text
    assert 'idp_receipts_waiting{of="stream"}' in text
    assert "secret=1" not in text and "/no/such" not in text


def test_metrics_are_told_while_redis_is_down(measured: Parts, dead_redis: RedisStore) -> None:
    text = numbers(browser(measured, store=dead_redis))
    assert 'idp_ready{of="redis"} 0.0' in text and 'idp_ready{of="sql"} 1.0' in text


def test_a_path_never_becomes_a_label(measured: Parts) -> None:
    page = browser(measured)
    for number in range(50):
        page.get(f"/static/{number}.css")
        page.get(f"/{number}")
    labels = set(re.findall(r'endpoint="([^"]*)"', exposition([]).decode()))
    assert not any(character.isdigit() for label in labels for character in label)


SEVERAL = """
import os, sys
from pathlib import Path
from idp.config import share_metrics
share_metrics(Path(sys.argv[1]))
from idp.metrics import count_failure, count_request, exposition
for _ in range(2):
    if os.fork() == 0:
        count_failure("throttled")
        count_request("/token", 200, 0.01)
        os._exit(0)
    os.wait()
print(exposition([]).decode())
"""


def test_numbers_of_several_processes_are_added_up(tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").write_bytes(b"of an earlier run")
    command = [sys.executable, "-W", "error", "-c", SEVERAL, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert 'idp_failed_steps_total{reason="throttled"} 2.0' in ran.stdout, ran.stderr
    assert 'idp_request_seconds_count{endpoint="/token",status="200"} 2.0' in ran.stdout
