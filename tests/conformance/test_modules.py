"""No module of the certification plans is without its test, and the page for relying parties lists them all."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.conformance.plans import PLANS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "relying-parties" / "conformance.md"


@pytest.fixture(scope="module")
def collected() -> dict[str, dict[str, set[str]]]:
    """File → module → the first parameters that its test runs with, as pytest finds them."""
    collecting = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", str(HERE)]
    listed = subprocess.run(collecting, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for file, name, parameter in re.findall(r"([\w.]+)::test_(oidcc_\w+)(?:\[(\w+))?", listed):
        found[file][name.replace("_", "-")].add(parameter)
    return found


@pytest.mark.parametrize("plan", PLANS)
def test_every_module_of_a_plan_has_its_test(plan: str, collected: dict[str, dict[str, set[str]]]) -> None:
    file, modules, count = PLANS[plan]
    assert len(modules) == count
    assert set(collected[file]) == set(modules)


def test_there_are_no_other_modules(collected: dict[str, dict[str, set[str]]]) -> None:
    assert set(collected) == {file for file, _, _ in PLANS.values()}


def test_every_basic_module_runs_with_both_response_modes(collected: dict[str, dict[str, set[str]]]) -> None:
    assert {module: modes for module, modes in collected["test_basic_plan.py"].items() if len(modes) != 2} == {}
    assert set().union(*collected["test_basic_plan.py"].values()) == {"default", "form_post"}


def test_the_page_lists_every_module_once_with_its_test() -> None:
    rows = re.findall(
        r"^\| `(oidcc-[\w-]+)` \| `(test_oidcc_\w+)` \| (\w+) \|$", PAGE.read_text(encoding="utf-8"), re.M
    )
    listed = {file: modules for file, modules, _ in PLANS.values()}
    assert rows == [
        (module, f"test_{module.replace('-', '_')}", outcome)
        for modules in listed.values()
        for module, outcome in modules.items()
    ]
