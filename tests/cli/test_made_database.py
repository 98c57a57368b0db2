"""Commands that need the database, where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from idp.cli.idp_command import idp
from idp.config import Config
from idp.database import Database
from idp.errors import OperatorError

COMMANDS = (
    "people list",
    "people show carol@example.org",
    "people add carol@example.org",
    "people suspend carol@example.org",
    "attempts list",
    "attempts show K7QX-2M4P",
    "mail list",
    "mail retry 1",
    "mail retry --all",
    "database status",
    "database status --json",
)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("there", [True, False])
def test_in_a_wrong_folder_a_command_says_so_and_makes_nothing(tmp_path: Path, command: str, there: bool) -> None:
    data = tmp_path / "data"
    if there:
        data.mkdir()
    environ = {"IDP_ISSUER": "https://login.example", "IDP_DATA": str(data)}
    result = CliRunner().invoke(idp, command.split(), env=environ)
    assert isinstance(result.exception, OperatorError), result.exception
    assert str(result.exception) == (
        f"{data}/idp.sqlite: No such file or directory. Does IDP_DATA name the right folder? "
        "To make a new database: idp database upgrade"
    )
    assert [str(path) for path in tmp_path.rglob("*")] == [str(data)] * there


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith("database")])
def test_without_tables_a_command_says_what_to_run(tmp_path: Path, command: str) -> None:
    Database(Config(issuer="https://login.example", data=tmp_path)).close()
    environ = {"IDP_ISSUER": "https://login.example", "IDP_DATA": str(tmp_path)}
    result = CliRunner().invoke(idp, command.split(), env=environ)
    assert isinstance(result.exception, OperatorError), result.exception
    assert str(result.exception) == "The tables are not up to date. Run: idp database upgrade"
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith("idp.sqlite")]  # no Valkey was started
