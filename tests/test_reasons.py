"""Every way to fail has its row in the table, and its sentences in every language."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from idp import reasons
from idp.languages import Languages
from idp.reasons import REASONS

HOUSE = Path(reasons.__file__).parent
SOURCES = {path: path.read_text(encoding="utf-8") for path in HOUSE.rglob("*.py") if path.name != "reasons.py"}
SCRIPTS = {path: path.read_text(encoding="utf-8") for path in (HOUSE / "redis_functions").glob("*.lua")}
CODE = re.compile(r"[a-z]+(_[a-z0-9]+)*")

# Who takes a reason as an argument without its name, and at which place.
PLACES = {
    "PageError": 0,
    "Unavailable": 0,
    "FetchError": 0,
    "_Failed": 0,
    "Refused": 0,
    "Refuse": 1,
    "Checked": 1,
    "SamlRefused": 0,
    "CompanyRefused": 0,
    "ConnectionRefused": 0,
    "CertificateRefused": 0,
    "MetadataRefused": 0,
}
LOGGING = {"debug", "info", "warning", "error"}


def _used(source: str) -> set[str]:
    """The reasons that a file gives literally."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in LOGGING:
                continue
            found += [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
            place = PLACES.get(name, len(node.args))
            found += node.args[place : place + 1]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_REASONS":
            found += getattr(node.value, "values", [])
    return {text for value in found for text in _literals(value) if CODE.fullmatch(text)}


def _literals(value: ast.expr) -> list[str]:
    """What an argument may be: a text, or one of two."""
    if isinstance(value, ast.IfExp):
        return _literals(value.body) + _literals(value.orelse)
    return [value.value] if isinstance(value, ast.Constant) and isinstance(value.value, str) else []


def test_every_reason_that_is_given_stands_in_the_table() -> None:
    missing = {path.name: gone for path, source in SOURCES.items() if (gone := _used(source) - REASONS.keys())}
    assert missing == {}


def test_every_reason_that_redis_gives_stands_in_the_table() -> None:
    grants = SCRIPTS[HOUSE / "redis_functions" / "grants.lua"]
    given = set(re.findall(r"(?:wrong = |return \{)'([a-z_]+)'", grants)) - {"redeemed", "refreshed"}
    assert given
    assert given <= REASONS.keys()


def test_every_row_of_the_table_is_given_somewhere() -> None:
    everything = "\n".join([*SOURCES.values(), *SCRIPTS.values()])
    assert [code for code in REASONS if not re.search(rf"""["']{code}["']""", everything)] == []


def test_a_reason_that_is_not_in_the_table_would_be_noticed() -> None:
    source = """
raise PageError("one")
raise OAuthError("invalid_request", "Sentence.", reason="two" if late else "three")
raise Unavailable("four", detail="five")
return Refuse("access_denied", "six")
log.warning("x", reason="seven")
_REASONS = {404: "eight"}
"""
    assert _used(source) == {"one", "two", "three", "four", "six", "eight"}


def test_codes_are_short_words() -> None:
    for code, reason in REASONS.items():
        assert code == reason.code and CODE.fullmatch(code) and len(code) <= 40
        assert reason.cause.endswith(".")


@pytest.mark.parametrize("language", Languages().supported)
def test_every_reason_has_a_sentence_and_a_next_step(language: str) -> None:
    words = Languages()
    keys = {key for reason in REASONS.values() for key in (reason.says, reason.next)}
    assert {key for key in words.keys(language) if key.startswith("reason.")} == keys
    for key in keys:
        sentence = words.text(language, key)
        assert sentence[0].isupper() and sentence.endswith("."), key
        assert len(sentence) <= 200, key


def test_p_29_english_sentences_may_stand_in_an_error_description() -> None:
    """RFC 6749 section 4.1.2.1: only these characters."""
    words = Languages()
    for reason in REASONS.values():
        assert re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]+", words.text("en", reason.says)), reason.code


def test_what_a_failed_password_says_is_the_same_whatever_the_reason() -> None:
    words = Languages()
    for language in words.supported:
        assert words.text(language, "reason.password_wrong.says") == words.text(
            language, "reason.password_missing.says"
        )
        assert words.text(language, "reason.password_wrong.next") == words.text(
            language, "reason.password_missing.next"
        )
