"""The net under the whole suite catches what it should, and nothing else."""

from __future__ import annotations

import base64
import html
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from tests import canaries

SECRET = 'pÄss word/+&"<42>'


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        quote(SECRET, safe=""),
        json.dumps(SECRET),
        html.escape(SECRET),
        base64.b64encode(f"client:{SECRET}".encode()).decode(),
        base64.b64encode(f"client1:{SECRET}x".encode()).decode(),
        base64.b64encode(f"client12:{SECRET}xy".encode()).decode(),
    ],
)
def test_a_secret_is_found_however_it_is_written(written: str, tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text(f"first line\nbefore {written} after\n", encoding="utf-8")
    (found,) = canaries.find({SECRET: "password"}, tmp_path)
    assert found.startswith("server.log:2: password: ")


def test_a_finding_does_not_repeat_the_secret(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text("token=abcdefghijkl for carol", encoding="utf-8")
    assert canaries.find({"abcdefghijkl": "token"}, tmp_path) == ["server.log:1: token: token=[…] for carol"]


def test_harmless_output_is_not_suspected(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text("abcdefghijk, a hash of the token, and 12345678", encoding="utf-8")
    assert canaries.find({"abcdefghijkl": "token"}, tmp_path) == []


def test_a_word_that_would_be_found_by_chance_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        canaries.register("hunter2", "password")


LEAKY = """
import logging
import sys
from idp import logs
from tests import canaries

def test_of_a_command_that_turns_the_logs_elsewhere():
    logs.configure("ERROR", sys.stderr)

SECRET = "canary-in-the-coal-mine"

def test_all_is_well():
    canaries.register(SECRET, "password")
    logging.getLogger("any").debug("got %s", SECRET)
    canaries.show("<p>" + SECRET, "error page")
    (canaries.folder() / "server.log").write_text(SECRET, encoding="utf-8")
    canaries.register_answer({"Set-Cookie": "idp_session=in-a-cookie; Path=/"}, '{"access_token": "a.token.of.ours"}')
    canaries.register_answer({"Location": "https://product.example/?code=a.code.of.ours"}, "")
    canaries.show("in-a-cookie", "cookies")
    canaries.show("a.token.of.ours", "tokens")
    canaries.show("a.code.of.ours", "codes")
"""


def test_every_leak_fails_the_run_and_is_named(tmp_path: Path) -> None:
    ran = _run(tmp_path, LEAKY)
    assert ran.returncode == 1
    for place in ("this-process.log:1: password", "error-page.txt:1: password", "server.log:1: password"):
        assert place in ran.stdout
    for place in ("cookies.txt:1: cookie", "tokens.txt:1: access_token", "codes.txt:1: code"):
        assert place in ran.stdout


CLEAN = """
import logging
from tests import canaries

def test_all_is_well():
    canaries.register("canary-in-the-coal-mine", "password")
    canaries.register_answer({"Set-Cookie": "idp_session=; Max-Age=0"}, "<p>no token</p>")
    logging.getLogger("any").debug("got %s", "a password")
"""


def test_a_run_without_a_leak_passes(tmp_path: Path) -> None:
    ran = _run(tmp_path, CLEAN)
    assert ran.returncode == 0, ran.stdout


def _run(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_program.py").write_text(program, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "tests.canaries", "-p", "no:cacheprovider"]
    command += ["--rootdir", str(folder), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
