"""``idp keys``: what an operator types, reads and gets as exit code."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from idp.cli.idp_command import idp
from idp.cli.keys_command import _duration
from idp.config import Config
from idp.database import Database
from idp.errors import OperatorError
from idp.keys import create_keys, read_ring

HOUR = 3_600
ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A provider that runs for two hours already."""
    (tmp_path / "clients.yaml").write_text(
        "clients:\n  app:\n    name: App\n    type: spa\n    redirect_uris: [https://app.example/cb]\n    id_token_lifetime: 7200\n"
    )
    create_keys(tmp_path / "keys", ["ES256"], time.time() - 2 * HOUR)
    return Config(
        issuer="https://login.example",
        data=tmp_path / "data",
        keys=tmp_path / "keys",
        clients=tmp_path / "clients.yaml",
    )


def run(config: Config, *words: str, code: int = 0, **settings: str) -> Result:
    env = {
        "IDP_ISSUER": config.issuer,
        "IDP_DATA": str(config.data),
        "IDP_KEYS": str(config.keys),
        "IDP_CLIENTS": str(config.clients),
        **settings,
    }
    result = CliRunner(env=env).invoke(idp, ["keys", *words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def as_json(config: Config, *words: str, code: int = 0) -> Any:
    return json.loads(run(config, *words, "--json", code=code).stdout)


def kid_of(config: Config, state: str, alg: str = "RS256") -> str:
    [kid] = [record.kid for record in read_ring(config.keys) if (record.alg, record.state) == (alg, state)]
    return kid


def audited(config: Config) -> list[tuple[str, str, dict[str, Any]]]:
    with closing(sqlite3.connect(config.data / "idp.sqlite")) as db:
        rows = db.execute("SELECT event, actor, facts FROM audit_events ORDER BY id").fetchall()
    return [(event, actor, json.loads(facts)) for event, actor, facts in rows]


def test_the_list_shows_states_times_and_what_is_allowed_next(config: Config) -> None:
    said = run(config, "list").stdout.splitlines()
    assert len(said) == 4
    assert said[0].split()[:3] == ["RS256", kid_of(config, "signing"), "signing"] and said[0].endswith("signs")
    assert (
        said[1].split()[:3] == ["RS256", kid_of(config, "next"), "next"] and "may sign now: idp keys rotate" in said[1]
    )
    assert " UTC" in said[0]
    run(config, "rotate", "--alg", "RS256")
    said = run(config, "list").stdout.splitlines()
    assert "may sign in 61 minutes, from 2" in said[1]
    assert "public until 2" in said[2] and "in 3 hours" in said[2]


def test_the_list_for_machines_has_every_time(config: Config) -> None:
    run(config, "rotate", "--alg", "RS256")
    keys = as_json(config, "list")["keys"]
    assert [(key["alg"], key["state"]) for key in keys] == [
        ("RS256", "signing"), ("RS256", "next"), ("RS256", "retired"), ("ES256", "signing"), ("ES256", "next"),
    ]  # fmt: skip
    signing, waiting, retired = keys[:3]
    assert signing["signing_at"] and signing["retired_at"] is None and signing["ready_at"] is None
    assert waiting["ready_at"] and waiting["ready"] is False and keys[4]["ready"] is True
    assert retired["public_until"] and retired["retired_at"] == signing["signing_at"]
    assert not any(name in json.dumps(keys) for name in ("private", "BEGIN", '"n"'))


def test_a_rotation_tells_what_happened_and_when_the_next_is_possible(config: Config) -> None:
    old, new = kid_of(config, "signing"), kid_of(config, "next")
    said = run(config, "rotate").stdout
    assert f"RS256: {new} signs; {kid_of(config, 'next')} is published and comes next." in said
    assert f"{old} is retired and stays public until " in said
    assert "ES256: " in said and "The next rotation is possible from " in said


def test_a_hurried_rotation_is_refused_with_the_time_to_wait(config: Config) -> None:
    run(config, "rotate")
    before = (config.keys / "ring.json").read_bytes()
    said = run(config, "rotate", code=1).stdout
    assert "Nothing was changed." in said and "Wait 61 minutes, until 2" in said and kid_of(config, "next") in said
    refused = as_json(config, "rotate", code=1)
    assert (
        refused["rotated"] is False and 3_590 <= refused["wait"] <= 3_605 and refused["kid"] == kid_of(config, "next")
    )
    assert (config.keys / "ring.json").read_bytes() == before


def test_one_second_is_no_seconds() -> None:
    said = [_duration(seconds) for seconds in (0.2, 1, 1.5, 119, 120)]
    assert said == ["1 second", "1 second", "2 seconds", "119 seconds", "2 minutes"]


def test_a_longer_jwks_cache_means_a_longer_wait(config: Config) -> None:
    assert "Wait 23 hours" in run(config, "rotate", code=1, IDP_JWKS_MAX_AGE="86400").stdout


def test_an_emergency_says_what_breaks_and_until_when(config: Config) -> None:
    run(config, "rotate", "--alg", "RS256")
    hurried = kid_of(config, "next")
    said = run(config, "rotate", "--alg", "RS256", "--emergency").stdout
    assert f"In a hurry: {hurried} was not public for 60 minutes." in said
    assert "Sign-ins fail" in said and "at the latest\nuntil 2" in said and "idp keys revoke" in said
    assert as_json(config, "rotate", "--alg", "ES256", "--emergency")["hurried"] == []


def test_a_retired_key_stays_as_long_as_the_longest_token_of_any_client(config: Config) -> None:
    run(config, "rotate", "--alg", "RS256")
    [retired] = [record for record in read_ring(config.keys) if record.state == "retired"]
    assert retired.public_until and retired.retired_at
    assert retired.public_until - retired.retired_at == 7_200 + 300
    # While clients.yaml is wrong, nobody knows what lifetimes the running provider has: assume the longest.
    assert config.clients
    config.clients.write_text("oh no")
    run(config, "rotate", "--alg", "ES256")
    [retired] = [record for record in read_ring(config.keys) if (record.alg, record.state) == ("ES256", "retired")]
    assert retired.public_until and retired.retired_at
    assert retired.public_until - retired.retired_at == 86_400 + 300


def test_rotating_a_new_algorithm_makes_its_first_keys(config: Config) -> None:
    said = run(config, "rotate", "--alg", "EdDSA").stdout
    assert f"EdDSA: {kid_of(config, 'signing', 'EdDSA')} signs" in said and "These are the first keys." in said


def test_rotating_makes_no_first_ring_and_no_folder(config: Config) -> None:
    for missing in (config.keys / "ring.json", config.keys / "secrets.json"):
        missing.unlink()
        left = sorted(config.keys.iterdir())
        for words in (("rotate",), ("rotate", "--emergency"), ("rotate", "--alg", "ES256")):
            with pytest.raises(OperatorError, match=r"restore keys/ from the backup.*rotate-keys\.md"):
                run(config, *words)
        assert sorted(config.keys.iterdir()) == left
    config.keys.rmdir()
    with pytest.raises(OperatorError, match=f"{config.keys}: no keys there"):
        run(config, "rotate")
    assert not config.keys.exists()


def test_what_is_lost_is_made_anew_when_asked_by_name(config: Config) -> None:
    with closing(Database(config)) as database:
        database.upgrade()
    assert run(config, "replace-lost").stdout == f"{config.keys}: nothing is lost.\n"
    (config.keys / "ring.json").unlink()
    assert run(config, "replace-lost").stdout == f"{config.keys}: new keys for RS256 sign from now on.\n"
    (config.keys / "secrets.json").unlink()
    assert "new secrets. Restart the provider" in run(config, "replace-lost").stdout
    (config.keys / "ring.json").unlink()
    assert as_json(config, "replace-lost") == {"keys": str(config.keys), "algorithms": ["RS256"], "secrets": False}
    assert [event for event, _, _ in audited(config)] == ["keys.created"] * 2


def test_pruning_takes_what_is_over_and_names_what_must_wait(config: Config) -> None:
    assert run(config, "prune").stdout == "Nothing to prune.\n"
    old = kid_of(config, "signing")
    run(config, "rotate", "--alg", "RS256")
    assert f"{old} stays public until " in run(config, "prune").stdout
    path = config.keys / "ring.json"
    ring = json.loads(path.read_text())
    next(key for key in ring["keys"] if key["kid"] == old)["public_until"] = int(time.time()) - 1
    path.write_text(json.dumps(ring))
    assert "no longer needed: idp keys prune" in run(config, "list").stdout
    assert as_json(config, "prune") == {"pruned": [old], "waiting": []}


def test_ky_05_revoking_says_who_signs_now_what_fails_and_what_goes_on(config: Config) -> None:
    stolen, successor = kid_of(config, "signing"), kid_of(config, "next")
    said = run(config, "revoke", stolen).stdout
    assert f"{stolen} is revoked." in said and f"{successor} signs from now on." in said
    assert "Relying parties that cached /jwks may accept it until 2" in said
    assert "Sessions, access and refresh tokens go on" in said and "docs/operators/rotate-keys.md" in said
    assert "revoked" in run(config, "list").stdout
    with pytest.raises(OperatorError, match="No key in use is called"):
        run(config, "revoke", stolen)


def test_what_was_done_stands_in_the_audit(config: Config) -> None:
    with closing(Database(config)) as database:
        database.upgrade()
    old, new = kid_of(config, "signing"), kid_of(config, "next")
    run(config, "rotate", "--alg", "RS256")
    run(config, "rotate", "--alg", "RS256", "--emergency")
    run(config, "rotate", "--alg", "PS256")
    revoked = run(config, "revoke", old)
    assert revoked.stderr == ""
    events = audited(config)
    assert [event for event, _, _ in events] == ["keys.rotated", "keys.rotated", "keys.created", "keys.revoked"]
    assert events[0][2] == {"alg": "RS256", "signing": new, "retired": old, "emergency": False}
    assert events[1][2]["emergency"] is True
    assert events[3][2]["kid"] == old
    assert all(actor.startswith("operator:") for _, actor, _ in events)


def test_keys_move_while_there_is_no_database_and_say_that_nothing_was_recorded(config: Config) -> None:
    result = run(config, "rotate")
    assert result.stderr == "Not recorded in the audit: there is no database yet.\n"
    assert not config.data.exists()
    with closing(Database(config)):
        pass  # an empty file, as before the first upgrade
    assert "needs `idp database upgrade`" in run(config, "rotate", "--emergency").stderr
    url = "postgresql+psycopg://idp@127.0.0.1:1/idp"
    assert "the database does not answer" in run(config, "rotate", "--emergency", IDP_DATABASE_URL=url).stderr


def test_an_operators_error_is_one_message_and_no_traceback(config: Config) -> None:
    config.keys.chmod(0o755)
    ended = subprocess.run(
        [sys.executable, "-m", "idp", "keys", "list"],
        env={**os.environ, "IDP_ISSUER": config.issuer, "IDP_KEYS": str(config.keys)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.startswith(f"idp: {config.keys}: others on this machine can get at it (mode 0755)")
    assert f"chmod 700 {config.keys}" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize("page", ["rotate-keys.md", "add-client.md"])
def test_every_command_of_the_manual_exists(page: str) -> None:
    manual = (ROOT / "docs" / "operators" / page).read_text()
    commands = re.findall(r"\bidp ((?:keys|clients) [a-z-]+)((?: --[a-z-]+)*)", manual.replace("\\\n   ", ""))
    assert commands
    for words, options in commands:
        helped = CliRunner().invoke(idp, [*words.split(), "--help"])
        assert helped.exit_code == 0, words
        assert all(option in helped.output for option in options.split()), words + options
