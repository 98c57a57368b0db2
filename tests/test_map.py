"""docs/map.md is complete and true, and the only page that says where files are; docs/security.md names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def on_the_map() -> list[str]:
    rows = [line for line in (DOCS / "map.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [name for row in rows for name in re.findall(r"`([^`\s]+)`", row.split("|")[2])]


def test_every_file_on_the_map_exists() -> None:
    assert [name for name in on_the_map() if not (ROOT / name).is_file()] == []


def test_every_file_of_the_provider_is_on_the_map_once() -> None:
    here = {
        str(path.relative_to(ROOT))
        for pattern in ("*.py", "*.lua")
        for path in (ROOT / "idp").rglob(pattern)
        if path.name != "__init__.py"
    }
    named = on_the_map()
    assert here - set(named) == set()
    assert sorted(name for name in set(named) if named.count(name) > 1) == []


def test_no_other_page_says_where_files_of_the_provider_are() -> None:
    pages = [page for page in DOCS.rglob("*.md") if page.name != "map.md"]
    found = [
        (page.name, path) for page in pages for path in re.findall(r"\bidp/[\w/]+\.(?:py|lua)\b", page.read_text())
    ]
    assert found == []


def test_every_test_that_the_security_page_names_exists() -> None:
    existing = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    text = (DOCS / "security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 30
    assert named - existing == set()


def test_every_threat_on_the_security_page_names_a_test() -> None:
    rows = [line for line in (DOCS / "security.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    threats = [row for row in rows if not set(row) <= set("| -") and not row.startswith("| threat")]
    assert [row for row in threats if "`test_" not in row] == []


def test_every_case_about_companies_has_its_line_with_tests_that_are_named_after_it() -> None:
    """S-02 to S-30 are all findings in the SAML library; of the attacks, every one that a test is named after."""
    tests = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    attacks = {f"SA-{number}" for name in tests for number in re.findall(r"(?<=_sa_)(\d\d)(?=_)", name)}
    assert len(attacks) >= 34
    text = (DOCS / "security.md").read_text(encoding="utf-8")
    lines = dict(re.findall(r"^- (SA?-\d\d): (.*)$", text, re.MULTILINE))
    findings = {f"S-{number:02}" for number in range(2, 31)}
    assert attacks | findings == lines.keys()
    for case, named in lines.items():
        assert f"_{case.lower().replace('-', '_')}_" in named, case
