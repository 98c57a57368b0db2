"""``idp passwords``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from idp.accounts.breach_list import SHIPPED, BreachList
from idp.accounts.password_rules import Weak, judge
from idp.cli.config_command import config_command
from idp.cli.passwords_command import passwords_command
from idp.errors import OperatorError
from tests.cli.conftest import Idp

STOLEN = "gr8Horse!battery.Staple"  # which nobody would guess
HASH = hashlib.sha1(STOLEN.encode()).hexdigest().upper()


@pytest.fixture
def idp(run_on_parts: Callable[[click.Command], Idp]) -> Idp:
    return run_on_parts(passwords_command)


def refused(result: Result) -> str:
    assert result.exit_code == 1
    assert isinstance(result.exception, OperatorError), result.exception
    return str(result.exception)


def test_the_public_list_becomes_one_that_refuses_what_is_on_it(
    idp: Idp, run_on_parts: Callable[[click.Command], Idp], tmp_path: Path
) -> None:
    public, target = tmp_path / "pwnedpasswords.txt", tmp_path / "breached.bin"
    public.write_text(f"{'0' * 40}:7\r\n{HASH}:2\r\n{'F' * 40}:9\r\n", encoding="ascii")
    result = idp("build-breach-list", "--from", str(public), str(target))
    assert result.exit_code == 0, result.output
    assert f"{target}: 3 passwords, 424 bytes." in result.stdout
    assert f"IDP_BREACH_LIST={target}" in result.stdout
    assert run_on_parts(config_command)("check", IDP_BREACH_LIST=str(target)).exit_code == 0
    known = BreachList(target)
    assert judge(STOLEN, about=(), breached=known) == Weak(
        "password_breached", ("new_password.advice.elsewhere", "new_password.advice.words")
    )
    known.close()
    rarer = idp("build-breach-list", "--from", str(public), "--at-least", "3", str(target))
    assert "2 passwords" in rarer.stdout


def test_a_folder_that_is_not_whole_is_told(idp: Idp, tmp_path: Path) -> None:
    folder = tmp_path / "ranges"
    folder.mkdir()
    (folder / f"{HASH[:5]}.txt").write_text(f"{HASH[5:]}:2\r\n", encoding="ascii")
    result = idp("build-breach-list", "--from", str(folder), str(tmp_path / "breached.bin"))
    assert result.exit_code == 0
    assert "1 of 1048576 files" in result.stderr
    known = BreachList(tmp_path / "breached.bin")
    assert known.holds(STOLEN)
    known.close()


def test_without_a_source_the_shipped_list_is_made(idp: Idp, tmp_path: Path) -> None:
    assert idp("build-breach-list", str(tmp_path / "small")).exit_code == 0
    assert (tmp_path / "small").read_bytes() == SHIPPED.read_bytes()
    assert "goes with --from" in refused(idp("build-breach-list", "--at-least", "2", str(tmp_path / "other")))


def test_what_cannot_become_a_list_is_said_and_nothing_is_written(idp: Idp, tmp_path: Path) -> None:
    target = tmp_path / "breached.bin"
    empty, wrong = tmp_path / "empty.txt", tmp_path / "wrong.txt"
    empty.write_bytes(b"")
    wrong.write_text("8846F7EAEE8FB117AD06BDD830B7586C:5\n", encoding="ascii")  # NTLM
    folder = tmp_path / "folder"
    folder.mkdir()
    assert "no password" in refused(idp("build-breach-list", "--from", str(empty), str(target)))
    assert "no list of SHA-1 hashes" in refused(idp("build-breach-list", "--from", str(wrong), str(target)))
    assert "00000.txt" in refused(idp("build-breach-list", "--from", str(folder), str(target)))
    assert not target.exists()
    public = tmp_path / "public.txt"
    public.write_text(f"{HASH}:2\n", encoding="ascii")
    assert "cannot be written" in refused(idp("build-breach-list", "--from", str(public), str(tmp_path / "no" / "x")))


def test_a_setting_that_names_no_list_is_found_before_the_start(
    run_on_parts: Callable[[click.Command], Idp], tmp_path: Path
) -> None:
    config = run_on_parts(config_command)
    (tmp_path / "x").write_bytes(b"something else")
    assert "no whole list" in refused(config("check", IDP_BREACH_LIST=str(tmp_path / "x")))
    assert "no file" in refused(config("check", IDP_BREACH_LIST=str(tmp_path / "none")))
