"""The wheel alone, in an empty environment, is a working provider."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

from tests.backends import free_port, wait_until
from tests.needs import program

ROOT = Path(__file__).parents[1]
PIP = ["-m", "pip", "--disable-pip-version-check", "--quiet"]

# Building and installing ask a package index, unless pip's cache has it all.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution, as a release is, from a copy of the tree."""
    folder = tmp_path_factory.mktemp("build")
    tree = folder / "tree"
    left = shutil.ignore_patterns(
        ".*", "__pycache__", "*.egg-info", "data", "keys", "node_modules", "screenshots", "tests"
    )
    shutil.copytree(ROOT, tree, symlinks=True, ignore=left)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", folder, tree], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that holds the wheel and what it asks for, nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    done = subprocess.run([folder / "bin/python", *PIP, "install", wheel], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "bin"


def test_the_wheel_carries_every_file_of_idp_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        carried = {name for name in archive.namelist() if ".dist-info/" not in name}
    here = {
        str((Path(folder) / name).relative_to(ROOT))
        for folder, _, names in os.walk(ROOT / "idp", followlinks=True)
        for name in names
        if "__pycache__" not in folder
    }
    assert carried == here
    for example in (
        "idp/clients.yaml",
        "idp/templates/layout.html",
        "idp/static/pages.css",
        "idp/migrations/env.py",
        "idp/word_lists/breached.bin",
    ):
        assert example in carried


def test_the_command_is_there(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [installed / "idp", "--help"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PATH": str(installed)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "serve" in done.stdout


def test_it_serves_from_an_empty_folder_with_only_the_issuer_set(installed: Path, tmp_path: Path) -> None:
    """Beside the issuer the test only moves the port. PATH has no Redis, so the server inside the wheel must do."""
    port = free_port()
    issuer = f"http://localhost:{port}"
    environment = {"PATH": str(installed), "IDP_ISSUER": issuer, "IDP_LISTEN": f"127.0.0.1:{port}"}
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(
            [program("setpriv"), "--pdeathsig", "TERM", installed / "idp", "serve"],
            cwd=tmp_path,
            env=environment,
            stderr=log,
        )
    answer: dict[str, str] = {}

    def discovered() -> bool:
        assert running.poll() is None, (tmp_path / "log").read_text()[-3000:]
        try:
            with urllib.request.urlopen(f"{issuer}/.well-known/openid-configuration", timeout=10) as response:
                answer.update(json.load(response))
        except urllib.error.URLError:
            return False
        return True

    try:
        wait_until(discovered, "discovery is served")
        assert answer["issuer"] == issuer
        with urllib.request.urlopen(answer["jwks_uri"], timeout=10) as response:
            assert json.load(response)["keys"]
        with urllib.request.urlopen(f"{issuer}/static/pages.css", timeout=10) as response:
            assert response.headers["Content-Type"].startswith("text/css")
    finally:
        running.terminate()
        running.wait(30)
    assert (tmp_path / "keys").stat().st_mode & 0o077 == 0


def test_hd_08_the_lock_installs_and_a_tampered_package_does_not(installed: Path, tmp_path: Path) -> None:
    lock = (ROOT / "deploy/requirements.txt").read_text(encoding="utf-8")
    install = [
        installed / "python", *PIP, "install", "--dry-run", "--ignore-installed", "--no-deps", "--require-hashes",
        "--only-binary", ":all:", "--requirement",
    ]  # fmt: skip
    good = subprocess.run([*install, ROOT / "deploy/requirements.txt"], capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr[-2000:]

    tampered = tmp_path / "tampered.txt"
    tampered.write_text(
        f"{next(line for line in lock.splitlines() if line.startswith('click=='))}\n  --hash=sha256:{'0' * 64}\n"
    )
    bad = subprocess.run([*install, tampered], capture_output=True, text=True, check=False)
    assert bad.returncode != 0
    assert "DO NOT MATCH THE HASHES" in bad.stderr
