"""Cells that a spreadsheet shows and never computes."""

from __future__ import annotations

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def harmless(value: str) -> str:
    """A value as a cell of a CSV file: one that a spreadsheet would take for a formula gets an apostrophe before it (AD-11)."""
    return f"'{value}" if value.lstrip(" ").startswith(FORMULAS) else value
