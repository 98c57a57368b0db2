"""What a spreadsheet must not compute."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.spreadsheet import harmless

STARTS = "=+-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("=1+1", "'=1+1"),
        ("  @x", "'  @x"),
        ("\tx", "'\tx"),
        ("\N{FULLWIDTH EQUALS SIGN}1", "'\N{FULLWIDTH EQUALS SIGN}1"),
        ("Bob;=1+1", "Bob;'=1+1"),
        ("Bob\n =1+1", "Bob\n' =1+1"),
        ("Jean-Paul; the -x", "Jean-Paul; the -x"),
        ("", ""),
    ],
)
def test_ad_11_a_cell_is_text(written: str, kept: str) -> None:
    assert harmless(written) == kept


@given(st.text("=+-@; \t\r\n\"',ab\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"))
def test_ad_11_it_is_also_where_lines_are_cut_at_semicolons(written: str) -> None:
    """As a French spreadsheet does, which takes our commas for letters."""
    file = io.StringIO(newline="")
    csv.writer(file).writerow(["x", harmless(written), "y"])
    for delimiter in ",;":
        for row in csv.reader(io.StringIO(file.getvalue(), newline=""), delimiter=delimiter):
            assert not any(cell.lstrip(" ").startswith(tuple(STARTS)) for cell in row)
