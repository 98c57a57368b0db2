"""clients.yaml as nodes: few rules, every value with its place."""

from __future__ import annotations

import pytest

from idp.clients_file import Refused, parse


def test_only_true_false_null_and_whole_numbers_are_more_than_text() -> None:
    values = {
        "true": True, "false": False, "null": None, "": None, "0": 0, "60": 60, "-5": -5,
        "yes": "yes", "no": "no", "on": "on", "True": "True", "~": "~", "010": "010", "0x10": "0x10", "1_000": "1_000",
        "1.5": "1.5", "1e3": "1e3", ".inf": ".inf", "2026-11-22": "2026-11-22", "12:30": "12:30", "=": "=", "<<": "<<",
        "'60'": "60", '"true"': "true", "''": "", "9" * 30: "9" * 30,
    }  # fmt: skip
    for written, meant in values.items():
        found = parse(f"a: {written}\n").plain()["a"]
        assert (found, type(found)) == (meant, type(meant)), written


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "empty"),
        ("# only a comment\n", 1, "empty"),
        ("a: 1\nb: 2\na: 3\n", 3, "`a` stands on line 1 already"),
        ("x: {a: 1, a: 2}\n", 1, "already"),
        ("a: &x 1\n", 1, "anchors"),
        ("a: &x 1\nb: *x\n", 1, "anchors"),
        ("a:\n  - *x\n", 2, "anchors"),
        ("&x a: 1\n", 1, "key must be plain"),
        ("a: !!python/object/apply:os.system [id]\n", 1, "tags"),
        ("a: !!str 1\n", 1, "tags"),
        ("? [a]\n: 1\n", 1, "key must be plain"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: [1\nb: 2\n", 2, "not YAML"),
        ("a:\n\t- 1\n", 2, "not YAML"),
        ("a: b: c\n", 1, "not YAML"),
        ("a: \x00\n", 1, "not YAML"),
        ("a: " + "[" * 100_000, 1, "too deeply"),
        ("a:\n" + "".join(f"{' ' * depth}a:\n" for depth in range(1, 50)), 10, "too deeply"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_with_its_line(text: str, line: int, says: str) -> None:
    with pytest.raises(Refused, match=says) as refused:
        parse(text)
    assert refused.value.line == line
    assert refused.value.remedy


def test_a_billion_laughs_are_not_told() -> None:
    text = "a: &a [x, x]\n" + "".join(f"{n}: &{n} [*{m}, *{m}]\n" for m, n in zip("abcdefgh", "bcdefghi", strict=True))
    with pytest.raises(Refused, match="anchors"):
        parse(text)


def test_every_value_knows_its_place() -> None:
    root = parse(
        "a:\n  # comment\n  b:\n    - one\n    - two\n  # after\n  c: [x,\n      y]\n\n  d: |\n    text\n    more\n# end\n"
    )
    a = root.value["a"]
    b, c, d = a.value["b"], a.value["c"], a.value["d"]
    assert (a.key_line, a.line, a.column, a.last_line) == (0, 2, 2, 11)
    assert (b.key_line, b.line, b.column, b.last_line, b.flow) == (2, 3, 4, 4, False)
    assert (c.key_line, c.last_line, c.flow) == (6, 7, True)
    assert (d.key_line, d.last_line) == (9, 11)
    assert a.plain() == {"b": ("one", "two"), "c": ("x", "y"), "d": "text\nmore\n"}
