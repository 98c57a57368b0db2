"""``idp serve``: what it refuses before it answers anybody, in one message."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from idp.audit import Event, record
from idp.config import read_config
from idp.database import Database
from tests.backends import free_port
from tests.registrations import CLIENTS, REFERENCES
from tests.running import running_provider


def refusal(folder: Path, **settings: str) -> str:
    """What a provider says that must not start in ``folder``."""
    (folder / "clients.yaml").write_text(CLIENTS, encoding="utf-8")
    port = free_port()
    environ = {"PATH": os.environ["PATH"], "IDP_ISSUER": f"http://localhost:{port}", "IDP_LISTEN": f"127.0.0.1:{port}"}
    with subprocess.Popen(
        [sys.executable, "-m", "idp", "serve"],
        cwd=folder,
        env={**environ, **REFERENCES, **settings},
        stderr=subprocess.PIPE,
        text=True,
    ) as provider:
        try:
            said = provider.communicate(timeout=30)[1]
        finally:
            provider.kill()
    assert provider.returncode == 1, said
    assert said.count("idp: ") == 1 and "Traceback" not in said
    return said


@pytest.mark.parametrize("event", [Event.keys_created, Event.person_signed_in])
@pytest.mark.parametrize("folder_is_there", [True, False])
def test_keys_that_a_used_database_had_are_never_made_anew_silently(
    tmp_path: Path, event: Event, folder_is_there: bool
) -> None:
    config = read_config({"IDP_ISSUER": "http://localhost:8000", "IDP_DATA": str(tmp_path / "data")})
    with closing(Database(config)) as database:
        database.upgrade()
        with database.transaction() as db:
            record(db, event, now=0, actor="system")
    if folder_is_there:
        (tmp_path / "keys").mkdir(mode=0o700)
    said = refusal(tmp_path)
    assert f"{tmp_path / 'keys'}: no keys there" in said and "restore keys/ from the backup" in said
    assert (tmp_path / "keys").exists() == folder_is_there
    assert not folder_is_there or list((tmp_path / "keys").iterdir()) == []


@pytest.mark.parametrize("lost", ["ring.json", "secrets.json"])
def test_half_of_the_keys_is_no_first_start(made_once: Path, tmp_path: Path, lost: str) -> None:
    shutil.copytree(made_once / "keys", tmp_path / "keys")
    (tmp_path / "keys" / lost).unlink()
    assert lost in (said := refusal(tmp_path)) and "from the backup" in said
    assert not (tmp_path / "keys" / lost).exists()


def test_a_first_start_makes_keys_and_a_second_without_them_is_refused(tmp_path: Path) -> None:
    with running_provider(tmp_path) as provider:
        provider.add_person("carol@example.org")
        assert provider.get("/jwks").json()["keys"]
        provider.stop(signal.SIGTERM)
        shutil.rmtree(tmp_path / "keys")
        assert "no keys there" in refusal(tmp_path)
        assert "sign from now on" in provider.idp("keys", "replace-lost")
        provider.start()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("IDP_REDIS_URL", "http://x", "IDP_REDIS_URL: must be like redis://"),
        ("IDP_DATABASE_URL", "mysql://x", "IDP_DATABASE_URL: must be like postgresql"),
        ("IDP_LISTEN", "x", "IDP_LISTEN: must be like"),
        ("IDP_DATA", "/proc/x", "/proc/x: cannot be used (No such file or directory). IDP_DATA must name a folder"),
        ("IDP_KEYS", "/proc/x", "/proc/x: cannot be used (No such file or directory). IDP_KEYS must name a folder"),
    ],
)
def test_a_setting_that_cannot_work_is_one_message_before_any_process_starts(
    tmp_path: Path, name: str, value: str, says: str
) -> None:
    assert says in refusal(tmp_path, **{name: value})
