"""The audit as a file: CSV for spreadsheets, JSON lines for machines, made row by row. A working."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Iterator
from typing import Literal, get_args

from idp.audit_trail import line, said
from idp.models import AuditEvent
from idp.spreadsheet import harmless

Form = Literal["csv", "json"]
FORMS: tuple[Form, ...] = get_args(Form)
CONTENT_TYPES: dict[Form, str] = {"csv": "text/csv; charset=utf-8", "json": "application/x-ndjson"}
COLUMNS = ("sequence", "at", "event", "actor", "account_id", "company_id", "facts", "digest")


def written(rows: Iterable[AuditEvent], form: Form, *, ours: Collection[str] | None = None) -> Iterator[str]:
    """The file, piece by piece. ``ours``: see ``audit_trail.said``."""
    return _csv(rows, ours) if form == "csv" else (f"{line(row, ours=ours)}\n" for row in rows)


def _csv(rows: Iterable[AuditEvent], ours: Collection[str] | None) -> Iterator[str]:
    yield _line(COLUMNS)
    for row in rows:
        values = said(row, ours=ours) | {"facts": json.dumps(row.facts, ensure_ascii=False, sort_keys=True)}
        yield _line(harmless("" if values[name] is None else str(values[name])) for name in COLUMNS)


def _line(values: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue()
