"""The audit record: one vocabulary, written with the act itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from idp import audit
from idp.audit import Event, record
from idp.config import Config
from idp.database import Database
from idp.languages import Languages
from idp.models import AuditEvent

SOURCES = sorted(path for path in Path(audit.__file__).parent.rglob("*.py") if path.name != "audit.py")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(Config(issuer="https://login.example", data=tmp_path))
    database.upgrade()
    yield database
    database.close()


def rows(database: Database) -> list[tuple[object, ...]]:
    with database.reading() as db:
        return [(row.at, row.event, row.actor, row.account_id, row.facts) for row in db.scalars(select(AuditEvent))]


def test_an_event_tells_what_when_by_whom_and_to_whom(database: Database) -> None:
    with database.transaction() as db:
        record(
            db,
            Event.person_signed_in,
            now=1_800_000_000.9,
            actor="person:ab",
            account_id="ab",
            agent="Firefox",
            kept=True,
        )
    facts = {"agent": "Firefox", "kept": True}
    assert rows(database) == [(1_800_000_000, "person.signed_in", "person:ab", "ab", facts)]


def test_an_act_that_fails_leaves_no_record(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction() as db:
        record(db, Event.person_suspended, now=0, actor="system")
        raise RuntimeError
    assert rows(database) == []


def test_ij_01_hostile_facts_stay_one_harmless_line(database: Database) -> None:
    hostile = "\r\nperson.signed_in admin\x1b[2J\u202e\x00\ud800"
    with database.transaction() as db:
        record(db, Event.person_signed_in, now=0, actor=f"person:{hostile * 20}", agent=hostile)
    ((_, _, actor, _, facts),) = rows(database)
    assert isinstance(facts, dict) and isinstance(actor, str)
    assert facts["agent"].isprintable() and actor.isprintable() and len(actor) <= 160


def test_the_operator_is_named() -> None:
    assert re.fullmatch(r"operator:\S+", audit.operator())


def test_events_have_one_grammar_and_a_sentence() -> None:
    words = Languages()
    for event in Event:
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", event.value)
        assert event.name == event.value.replace(".", "_")
        for language in words.supported:
            assert words.text(language, f"audit.{event.value}").endswith(".")


def test_every_event_is_recorded_somewhere() -> None:
    used = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and re.search(r"\bEvent$", ast.unparse(node.value)):
                used.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # cli/operator_audit.py goes by name
                used.add(node.value)
    assert set(Event.__members__) - used == set()
