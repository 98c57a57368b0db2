"""Rows of comma-separated values (RFC 4180) that no spreadsheet takes for formulas. A working."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

# What a spreadsheet takes for the beginning of a formula (AD-11).
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def csv_row(cells: Iterable[str]) -> str:
    """One row; a cell that would be taken for a formula begins with an apostrophe."""
    written = io.StringIO()
    csv.writer(written).writerow(f"'{cell}" if cell.startswith(_FORMULAS) else cell for cell in cells)
    return written.getvalue()
