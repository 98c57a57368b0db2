"""Reading the audit: pages without gaps or doubles, only what is wanted, and files that harm no spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import pytest

from idp import audit
from idp.audit_export import written
from idp.audit_trail import Wanted, newest, place, walk
from idp.config import Config
from idp.database import Database

NOW = 1_800_000_000
ADA, BOB = "a" * 32, "b" * 32
ACME, OTHER = "1" * 32, "2" * 32


@pytest.fixture
def database(config: Config) -> Iterator[Database]:
    built = Database(config)
    yield built
    built.close()


def add(
    database: Database,
    event: audit.Event = audit.Event.person_changed,
    *,
    at: int = NOW,
    actor: str = "operator:test",
    person: str | None = ADA,
    **facts: str,
) -> None:
    with database.transaction() as db:
        audit.record(db, event, now=at, actor=actor, account_id=person, **facts)


def ids(database: Database, wanted: Wanted) -> list[int]:
    with database.reading() as db:
        return [row.id for row in newest(db, wanted)]


def test_pages_follow_each_other_without_gap_or_double(database: Database) -> None:
    for number in range(23):
        add(database, at=NOW + number // 5)  # several in one second
    seen: list[int] = []
    before = None
    with database.reading() as db:
        while rows := newest(db, Wanted(), before=before, limit=5):
            seen += [row.id for row in rows]
            before = place(rows[-1])
    assert seen == sorted(range(1, 24), reverse=True)


def test_only_what_is_wanted(database: Database) -> None:
    add(database, company=ACME)
    add(database, audit.Event.company_renamed, person=None, company=ACME, at=NOW + 10)
    add(database, company=OTHER, at=NOW + 20)
    add(database, actor=f"person:{ADA}", person=BOB, at=NOW + 30)
    assert ids(database, Wanted()) == [4, 3, 2, 1]
    assert ids(database, Wanted(company_id=ACME)) == [2, 1]
    assert ids(database, Wanted(company_id=ACME, event="company.renamed")) == [2]
    assert ids(database, Wanted(event="person.changed")) == [4, 3, 1]
    assert ids(database, Wanted(account_id=ADA)) == [4, 3, 1]  # what happened to her, and what she did
    assert ids(database, Wanted(account_id=BOB)) == [4]
    assert ids(database, Wanted(since=NOW + 10, until=NOW + 30)) == [3, 2]


def test_ad_11_a_spreadsheet_computes_nothing_of_ours(database: Database) -> None:
    add(database, actor='=HYPERLINK("http://evil.example")', name="@x")
    add(database, actor="-1+1|cmd")
    add(database, actor='operator:a,"b"\'\tc')
    rows = list(csv.reader(io.StringIO("".join(written(walk(database, Wanted()), "csv")))))
    assert rows[0] == ["sequence", "at", "event", "actor", "account_id", "company_id", "facts", "digest"]
    assert len(rows) == 4
    for row in rows:
        assert not any(cell.lstrip().startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    assert rows[3][3] == '\'=HYPERLINK("http://evil.example")'


def test_json_lines_can_be_read_one_by_one(database: Database) -> None:
    add(database, name="Zoë\u2028", company=ACME)
    [line] = "".join(written(walk(database, Wanted()), "json")).splitlines()
    read = json.loads(line)
    assert read["event"] == "person.changed" and read["company_id"] == ACME and read["at"].endswith("Z")


def test_every_question_is_one_range_of_an_index(database: Database) -> None:
    """10⁷ rows cost the same: SQLite looks each up in the order of the page and sorts nothing."""
    from sqlalchemy import text

    questions = ["1=1", "company_id='a'", "event='a'", "company_id='a' AND event='a'", "account_id='a'", "actor='a'"]
    with database.reading() as db:
        for question in questions:
            query = (
                f"SELECT * FROM audit_events WHERE {question} AND (at, id) < (5, 5) ORDER BY at DESC, id DESC LIMIT 5"
            )
            plan = " ".join(str(step[3]) for step in db.execute(text(f"EXPLAIN QUERY PLAN {query}")))
            assert "USING INDEX ix_audit_events" in plan, plan
            assert "TEMP B-TREE" not in plan, (question, plan)
