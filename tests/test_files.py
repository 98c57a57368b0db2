"""Files are replaced as a whole, by one process at a time, and private ones are private."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from idp.errors import OperatorError
from idp.files import only_one, read_private, replace, stamp, usable


def test_a_replaced_file_has_the_new_content_its_mode_and_no_rest_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace(path, b"one")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"one", 0o600)
    replace(path, b"two", 0o640)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"two", 0o640)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_keeps_its_owner_when_root_replaces_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace(path, b"one")
    if os.geteuid() == 0:
        os.chown(path, 12345, 23456)
    before = path.stat()
    replace(path, b"two")
    assert (path.stat().st_uid, path.stat().st_gid) == (before.st_uid, before.st_gid)


def test_what_a_killed_process_left_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "file"
    (tmp_path / f".file.{os.getpid()}.new").write_bytes(b"half")
    replace(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OperatorError, match=r"cannot be written .* Nothing was changed"):
        replace(tmp_path / "file", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_stamp_changes_with_every_replacement(tmp_path: Path) -> None:
    path = tmp_path / "file"
    seen = set()
    for _ in range(20):
        replace(path, b"same")
        seen.add(stamp(path))
    assert len(seen) == 20


def test_private_files_are_refused_when_others_may_reach_them(tmp_path: Path) -> None:
    path = tmp_path / "file"
    tmp_path.chmod(0o700)
    replace(path, b"secret")
    assert read_private(path) == b"secret"
    tmp_path.chmod(0o710)
    with pytest.raises(OperatorError, match="chmod 700"):
        read_private(path)
    tmp_path.chmod(0o700)
    path.chmod(0o604)
    with pytest.raises(OperatorError, match="chmod 600"):
        read_private(path)


def test_a_folder_is_held_by_one_process_until_it_is_done_or_dead(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from idp.files import only_one\n"
        "with only_one(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        for end in ("done", "dead"):
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
                assert holder.stdin and holder.stdout and holder.stdout.readline() == b"in\n"
                with pytest.raises(BlockingIOError):
                    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if end == "dead":
                    holder.kill()
                holder.stdin.close()
            with only_one(tmp_path):
                pass
    finally:
        os.close(folder)


def test_a_stamp_changes_when_others_may_read(tmp_path: Path) -> None:
    (path := tmp_path / "file").touch(mode=0o600)
    before = stamp(path)
    path.chmod(0o644)
    assert stamp(path) != before


def test_a_folder_that_cannot_be_used_is_told_with_the_setting_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OperatorError, match=f"{tmp_path}/file/x: cannot be used .Not a directory.. IDP_DATA must name"),
        usable(tmp_path / "file" / "x", "IDP_DATA"),
    ):
        (tmp_path / "file" / "x").mkdir()
