"""Promises of ``idp audit``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update
from structlog.testing import capture_logs

from idp import audit
from idp.audit_chain import seal
from idp.cli.audit_command import audit_command
from idp.companies import create_company
from idp.config import Config
from idp.database import Database
from idp.errors import OperatorError
from idp.keys import read_lasting_secrets
from idp.models import AuditEvent
from tests import canaries

NOW = 1_800_000_000

Run = Callable[..., Result]


@pytest.fixture
def database(config: Config) -> Iterator[Database]:
    built = Database(config)
    with built.transaction() as db:
        create_company(db, "Acme", actor="operator:test", now=NOW, random=canaries.random)
        audit.record(db, audit.Event.keys_rotated, now=NOW + 60, actor="operator:test", kid="k1")
    yield built
    built.close()


@pytest.fixture
def run(config: Config, database: Database) -> Run:
    def command(*arguments: str) -> Result:
        settings = {"IDP_ISSUER": config.issuer, "IDP_DATA": str(config.data), "IDP_KEYS": str(config.keys)}
        result = CliRunner().invoke(audit_command, arguments, env=settings)
        if isinstance(result.exception, OperatorError):
            raise result.exception
        canaries.show(result.output, "idp audit")
        return result

    return command


def test_the_newest_come_first_and_only_those_that_were_asked_for(run: Run) -> None:
    lines = run("list").output.splitlines()
    assert [line.split()[1] for line in lines] == ["keys.rotated", "company.created"]
    assert lines[0].startswith("2027-01-15T08:01:00Z  keys.rotated")
    assert len(run("list", "--company", "Acme").output.splitlines()) == 1
    assert len(run("list", "--event", "keys.rotated").output.splitlines()) == 1
    assert run("list", "--until", "2027-01-15").output == ""
    assert json.loads(run("list", "--json", "--limit", "1").output)["facts"] == {"kid": "k1"}


def test_an_event_that_does_not_exist_is_refused(run: Run) -> None:
    with pytest.raises(OperatorError, match="no kind of event"):
        run("list", "--event", "person.flew")


def test_it_is_taken_along_as_lines_or_as_a_table(run: Run) -> None:
    assert len([json.loads(line) for line in run("export").output.splitlines()]) == 2
    assert run("export", "--format", "csv").output.splitlines()[0].startswith("sequence,at,event")


def test_the_chain_is_walked_and_what_was_changed_is_named(config: Config, database: Database, run: Run) -> None:
    key = read_lasting_secrets(config.keys).derive("audit")
    with capture_logs() as said:
        seal(database, key)
    head = f"{said[-1]['sequence']}:{said[-1]['digest']}"
    assert run("verify").output.strip() == f"Whole: 2 events. Head: {head}"
    assert run("verify", "--head", head).exit_code == 0
    with pytest.raises(OperatorError, match="number 7 had another digest"):
        run("verify", "--head", f"7:{'0' * 64}")
    with pytest.raises(OperatorError, match="is no head"):
        run("verify", "--head", "seven")
    with database.transaction() as db:
        db.execute(update(AuditEvent).where(AuditEvent.id == 2).values(actor="operator:nobody"))
    with pytest.raises(OperatorError, match="row 2 of audit_events, number 2, is not as it was sealed"):
        run("verify")
