"""``idp attempts``: from a code that somebody reads out to what went wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from idp.attempts import Attempts, Step
from idp.cli.attempts_command import attempts_command
from idp.config import Config
from idp.database import Database
from idp.embedded_server import EmbeddedServer
from idp.errors import OperatorError
from idp.redis_store import open_store
from tests import canaries

NOW = 1_800_000_000.0


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = Config(issuer="http://localhost:8000", data=tmp_path / "data")
    database = Database(config)
    database.upgrade()
    database.close()
    return config


@pytest.fixture
def provider(config: Config) -> Iterator[Attempts]:
    """A provider that runs beside the command, on the same folder."""
    with EmbeddedServer.start(config.data):
        store = open_store(config)
        attempts = Attempts(store, canaries.random, lambda: NOW)
        yield attempts
        attempts.close()
        store.close()


@pytest.fixture
def idp(config: Config) -> Callable[..., Result]:
    run = CliRunner(env={"IDP_ISSUER": config.issuer, "IDP_DATA": str(config.data)})

    def invoke(*arguments: str) -> Result:
        result = run.invoke(attempts_command, arguments)
        canaries.show(result.output, "idp attempts")
        return result

    return invoke


def fail_once(provider: Attempts, reason: str = "password_wrong") -> str:
    code = provider.start()
    provider.step(code, Step.request_received, client_id="gotowebinar")
    provider.step(code, Step.password_checked, reason=reason, door="password", email="carol@example.org")
    provider.flush()
    return code


def test_a_failure_of_this_second_is_shown_by_its_code(provider: Attempts, idp: Callable[..., Result]) -> None:
    code = fail_once(provider)
    shown = idp("show", code.lower().replace("-", " "))
    assert shown.exit_code == 0
    for part in (
        code,
        "2027-01-15 08:00:00 UTC",
        "gotowebinar",
        "failed",
        "password_wrong",
        "the person who signs in",
        "c•••l@example.org",
    ):
        assert part in shown.output
    assert "Check both and try again." in shown.output
    lines = shown.output.splitlines()
    assert lines[-2:] == [
        "08:00:00.000  request_received",
        "08:00:00.000  password_checked   failed: password_wrong  email=c•••l@example.org",
    ]


def test_machines_read_the_same_as_json(provider: Attempts, idp: Callable[..., Result]) -> None:
    code = fail_once(provider)
    assert json.loads(idp("show", code, "--json").stdout) == {
        "code": code,
        "started_at": int(NOW),
        "last_at": int(NOW),
        "client_id": "gotowebinar",
        "door": "password",
        "connection_id": None,
        "account_id": None,
        "outcome": "failed",
        "reason": "password_wrong",
        "steps": [
            {"at": int(NOW) * 1000, "name": "request_received", "reason": None, "facts": {}},
            {
                "at": int(NOW) * 1000,
                "name": "password_checked",
                "reason": "password_wrong",
                "facts": {"email": "c•••l@example.org"},
            },
        ],
    }


def test_the_list_can_hold_only_failures(provider: Attempts, idp: Callable[..., Result]) -> None:
    failed = fail_once(provider)
    fine = provider.start()
    provider.step(fine, Step.code_issued, client_id="gotomeeting")
    provider.flush()
    everything = idp("list").output
    assert failed in everything and fine in everything
    listed = idp("list", "--failed").output
    assert failed in listed and "password_wrong" in listed and fine not in listed
    assert [row["code"] for row in json.loads(idp("list", "--failed", "--json").stdout)] == [failed]
    assert len(json.loads(idp("list", "--limit", "1", "--json").stdout)) == 1


def test_an_empty_list_says_so(provider: Attempts, idp: Callable[..., Result]) -> None:
    assert idp("list").output == "None.\n"
    assert json.loads(idp("list", "--json").stdout) == []


def test_an_unknown_code_and_a_misheard_one_are_told_apart(provider: Attempts, idp: Callable[..., Result]) -> None:
    for code, message in (("K7QX-2M4P", "no such receipt"), ("K7QX-2M4", "is not a receipt code")):
        failed = idp("show", code)
        assert isinstance(failed.exception, OperatorError)
        assert message in str(failed.exception)


def test_it_works_while_no_provider_runs(config: Config, idp: Callable[..., Result]) -> None:
    with EmbeddedServer.start(config.data):
        store = open_store(config)
        attempts = Attempts(store, canaries.random, lambda: NOW)
        code = fail_once(attempts)
        attempts.close()
        store.close()
    assert "password_wrong" in idp("show", code).output


def test_without_redis_it_shows_what_sql_has_and_says_so(
    provider: Attempts, config: Config, idp: Callable[..., Result]
) -> None:
    code = fail_once(provider)
    assert idp("show", code).exit_code == 0
    run = CliRunner(
        env={"IDP_ISSUER": config.issuer, "IDP_DATA": str(config.data), "IDP_REDIS_URL": "redis://127.0.0.1:1/0"}
    )
    shown = run.invoke(attempts_command, ["show", code])
    assert code in shown.stdout
    assert "may be missing" in shown.stderr


def test_ij_01_what_a_visitor_sent_cannot_move_the_operators_cursor(
    provider: Attempts, idp: Callable[..., Result]
) -> None:
    code = provider.start()
    provider.step(
        code, Step.request_refused, reason="client_unknown", client_id="\x1b[2Jadmin\r\n", detail="\x1b]0;x\x07\u202e"
    )
    provider.flush()
    for output in (idp("show", code).output, idp("list").output):
        assert all(line.isprintable() for line in output.splitlines())
