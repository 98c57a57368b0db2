"""docs/operators/backup.md, word by word: its commands run on folders of a test instead of the server's."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from idp.cli.made_database import made_database
from idp.config import Config
from idp.database import Database
from idp.keys import create_keys

PAGE = Path(__file__).parents[1] / "docs" / "operators" / "backup.md"


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """A server's folders, with state, keys, clients and settings."""
    for folder in ("root", "var/lib/idp", "etc/idp"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "var/lib/idp/clients.yaml").write_text("clients: # first\n")
    (tmp_path / "etc/idp/idp.env").write_text("IDP_ISSUER=https://login.example\n")
    create_keys(tmp_path / "var/lib/idp/keys", ["RS256"], time.time())
    config = config_of(tmp_path)
    with closing(Database(config)) as database:
        database.upgrade()
    return tmp_path


def config_of(server: Path) -> Config:
    return Config(issuer="https://login.example", data=server / "var/lib/idp/data", keys=server / "var/lib/idp/keys")


def run(heading: str, server: Path) -> list[str]:
    """Run the block of commands below a heading; return the calls of idp and systemctl, which are only noted."""
    found = re.search(rf"## {heading}\n.*?```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    script = re.sub(r"(?<![\w/])/(?=(root|var/lib|etc)/)", f"{server}/", found[1])
    script = script.replace("--owner idp --group idp ", "")  # there is no such user here
    noted = server / "calls"
    noted.write_text("")
    notes = "".join(f'{name}() {{ echo {name} "$@" >> {noted}; }}\n' for name in ("idp", "systemctl", "chown"))
    done = subprocess.run(["sh", "-euc", notes + script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return noted.read_text().splitlines()


def backups(server: Path) -> list[Path]:
    return sorted((server / "root/idp-backup").iterdir())


def last_century(server: Path) -> None:
    """Let the only backup be an old one, instead of waiting for the next second."""
    (only,) = backups(server)
    only.rename(only.parent / "1999-12-31T23-59-59Z")


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(file.relative_to(folder)): (file.stat().st_mode, file.read_bytes())
        for file in folder.rglob("*")
        if file.is_file()
    }


def attempts(server: Path) -> list[str]:
    with closing(sqlite3.connect(server / "var/lib/idp/data/idp.sqlite")) as connection:
        return [row[0] for row in connection.execute("SELECT code FROM attempts ORDER BY code")]


def add_attempt(server: Path, code: str) -> None:
    with closing(sqlite3.connect(server / "var/lib/idp/data/idp.sqlite")) as connection, connection:
        connection.execute(
            "INSERT INTO attempts (code, started_at, last_at, outcome) VALUES (?, 1, 1, 'done')", (code,)
        )


@pytest.mark.needs("sqlite")
def test_a_backup_can_be_taken_again_and_the_newest_brings_back_everything(server: Path) -> None:
    add_attempt(server, "AAAA-AAAA")
    run("Backing up", server)
    last_century(server)
    add_attempt(server, "BBBB-BBBB")
    (server / "var/lib/idp/clients.yaml").write_text("clients: # second\n")
    run("Backing up", server)
    assert len(backups(server)) == 2
    assert {path.stat().st_mode & 0o777 for path in backups(server)} == {0o700}
    state, settings = contents(server / "var/lib/idp/keys"), contents(server / "etc")
    # Everything is lost, and what is there instead must not stay.
    for folder in ("var/lib/idp", "etc/idp"):
        shutil.rmtree(server / folder)
    (server / "var/lib/idp/keys").mkdir(parents=True)
    (server / "var/lib/idp/keys/stranger").touch()
    calls = run("Restoring", server)
    assert contents(server / "var/lib/idp/keys") == state
    assert contents(server / "etc") == settings
    assert (server / "var/lib/idp/clients.yaml").read_text() == "clients: # second\n"
    assert attempts(server) == ["AAAA-AAAA", "BBBB-BBBB"]
    with made_database(config_of(server)) as database:
        database.ping()
    assert [call for call in calls if not call.startswith("chown")] == [
        "systemctl stop idp",
        "idp database upgrade",
        "systemctl start idp",
        "idp keys list",
    ]
    assert f"chown -R root:idp {server}/etc/idp" in calls
