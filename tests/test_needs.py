"""What a machine lacks is left out and named; under CI nothing is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = """
import pytest

@pytest.mark.needs("wrk")
def test_with_the_program(): pass

def test_without_it(): pass
"""


@pytest.fixture
def run(tmp_path: Path):
    """Run two tests where no program of PATH is found, one of which needs one."""
    (tmp_path / "test_two.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = needs\n")

    def with_environment(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "tests.needs", "-p", "no:cacheprovider", tmp_path],
            cwd=tmp_path,
            env={"PATH": str(tmp_path), "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return with_environment


def test_a_test_whose_program_is_missing_is_left_out_and_the_run_says_how_to_get_it(run) -> None:
    done = run({})
    assert done.returncode == 0
    assert "1 passed, 1 deselected" in done.stdout
    assert "wrk" in done.stdout.partition("Tests that need ")[2].partition(" did not run")[0]
    assert "sudo apt-get install --no-install-recommends " in done.stdout


def test_under_ci_nothing_may_be_left_out(run) -> None:
    done = run({"CI": "true"})
    assert done.returncode == 4
    assert "CI=true: nothing may be left out" in done.stderr
    assert "passed" not in done.stdout


def test_an_unknown_need_is_a_mistake(run, tmp_path: Path) -> None:
    (tmp_path / "test_two.py").write_text(TESTS.replace('"wrk"', '"a fast car"'))
    assert "does not know ['a fast car']" in run({}).stdout
