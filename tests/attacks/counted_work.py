"""Work as a number instead of a time: SQL statements, Redis round trips, password hashes; and answers that can be compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import event
from werkzeug.test import TestResponse

from idp.accounts.passwords import PasswordHasher, Verdict
from idp.parts import Parts


@dataclass
class Work:
    """What was done inside a ``counted`` block."""

    statements: int = 0
    trips: int = 0


@contextmanager
def counted(parts: Parts) -> Iterator[Work]:
    """Count what ``parts`` do. Receipts must be closed before: their thread talks to Redis whenever it likes."""
    work = Work()

    def count(*_: object) -> None:
        work.statements += 1

    engine = parts.database._engine
    event.listen(engine, "before_cursor_execute", count)
    before = _reads(parts)
    try:
        yield work
    finally:
        work.trips = _reads(parts) - before - 1  # the second question is one itself
        event.remove(engine, "before_cursor_execute", count)


def _reads(parts: Parts) -> int:
    """How often the server has read from its connections: once per round trip."""
    said = parts.store.command("INFO", "stats")
    return int(next(line for line in said.splitlines() if line.startswith("total_reads_processed:")).partition(":")[2])


class CountingHasher(PasswordHasher):
    """Counts what it hashes and verifies; cheaper than in real life."""

    def __init__(self) -> None:
        super().__init__(2, 60, memory_kib=64, passes=1)
        self.hashed = 0

    def hash(self, password: str) -> str:
        self.hashed += 1
        return super().hash(password)

    def verify(self, stored: str | None, password: str) -> Verdict:
        verdict = super().verify(stored, password)
        self.hashed += 1  # only what was not refused before
        return verdict


def looked_at(response: TestResponse, email: str) -> tuple[int, list[tuple[str, str]], str]:
    """An answer without what is random in every answer: handles, form tokens, challenges, cookies, receipts."""
    body = response.get_data(as_text=True).replace(email, "…")
    body = re.sub(r'(name="(?:csrf|p)" value=")[^"]*', r"\1", body)
    body = re.sub(r"(challenge&#34;: ?&#34;)[\w-]*", r"\1", body)
    body = re.sub(r'(p(?:%3D|=))[^"&]*|[0-9A-Z]{4}-[0-9A-Z]{4}', r"\1", body)
    headers = [(name, re.sub(r"(p=|idp_\w+=)[\w-]+", r"\1", value)) for name, value in sorted(response.headers.items())]
    return response.status_code, headers, body
