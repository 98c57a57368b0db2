"""``idp database`` as an operator uses it."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from idp.cli.database_command import database_command


def test_upgrade_makes_the_tables_and_status_tells_whether_they_are_up_to_date(tmp_path: Path) -> None:
    run = CliRunner(env={"IDP_ISSUER": "http://localhost:8000", "IDP_DATA": str(tmp_path / "data")})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "idp.sqlite").touch()
    before = run.invoke(database_command, ["status"])
    assert before.exit_code == 1
    assert "Run: idp database upgrade" in before.output
    assert run.invoke(database_command, ["upgrade"]).exit_code == 0
    assert "up to date" in run.invoke(database_command, ["upgrade"]).output
    after = run.invoke(database_command, ["status", "--json"])
    assert after.exit_code == 0
    told = json.loads(after.output)
    assert told == {"kind": "sqlite", "version": told["newest"], "newest": told["newest"], "current": True}
    assert run.invoke(database_command, ["status"]).exit_code == 0
