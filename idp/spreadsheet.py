"""Cells that a spreadsheet shows and never computes."""

from __future__ import annotations

import re

_STARTS = r"=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n"  # the four of a formula are also written as wide as a Chinese letter

# Where a cell begins: also after what a spreadsheet may cut a line at, whatever stands around it (a French one at semicolons).
_FORMULA = re.compile(rf'(?:\A|(?<=[;\t\r\n]))[ "]*(?=[{_STARTS}])')


def harmless(value: str) -> str:
    """A value as a cell of a CSV file: what a spreadsheet would take for the beginning of a formula gets an apostrophe before it (AD-11)."""
    return _FORMULA.sub(r"'\g<0>", value)
