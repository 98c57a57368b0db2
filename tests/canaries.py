"""Canaries: the whole suite runs at DEBUG, and no secret of any test may stand in anything that we put out.

A pytest plugin. Tests and fixtures *register* secrets (passwords, codes, tokens, cookies, client secrets, key
parameters); most of them by themselves, because fixtures take their randomness from ``random`` and show what servers
answer to ``register_answer``. Output is *shown*: every log line of this process by itself, the logs of programs that a
test starts by writing them into ``folder()``, error pages and whatever else with ``show``, tables with
``show_database``. When the session ends, everything shown is searched for everything registered.

PYTEST_DONT_REWRITE: conftest.py uses this module before pytest comes to load it as a plugin.
"""

from __future__ import annotations

import atexit
import base64
import html
import json
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO
from urllib.parse import quote, quote_plus

import pytest
from sqlalchemy import MetaData, select

from idp import logs
from idp.database import Database

SHORTEST = 8  # characters: shorter ones would be found by chance

_registered: dict[str, str] = {}  # secret → kind
_folder = Path(tempfile.mkdtemp(prefix="idp-output-"))
atexit.register(shutil.rmtree, _folder, ignore_errors=True)  # what was shown may hold what was found


def register(secret: str, kind: str) -> str:
    """From now on ``secret`` is a canary. Returns it, to be used where it stands."""
    if len(secret) < SHORTEST:
        raise ValueError(f"too short to be looked for: {kind}")
    _registered.setdefault(secret, kind)
    return secret


def random(size: int) -> bytes:
    """The ``random`` of everything built in tests. 32 bytes and more are a secret (design: codes, tokens, cookies)."""
    made = secrets.token_bytes(size)
    if size >= 32:
        register(base64.urlsafe_b64encode(made).rstrip(b"=").decode(), f"{size} random bytes")
    return made


def register_answer(headers: Mapping[str, str], body: str) -> None:
    """Register what an answer of the provider gives to its caller: cookies, a code, tokens."""
    for cookie in re.findall(r"idp_(?:session|browser|device|mailed_link)=([^;,\s]+)", headers.get("Set-Cookie", "")):
        if len(cookie) >= SHORTEST:  # not the empty one of a deletion
            register(cookie, "cookie")
    for code in re.findall(r"[?&]code=([^&#\s]+)", headers.get("Location", "")):
        register(code, "code")
    for code in re.findall(r'name="code" value="([^"]+)"', body):
        register(code, "code")
    for kind, token in re.findall(r'"(access_token|refresh_token|id_token)"\s*:\s*"([^"]+)"', body):
        register(token, kind)


def folder() -> Path:
    """Where programs that a test starts write their logs, a file each."""
    return _folder


def show(text: str, where: str = "output") -> None:
    """Show output that is in hand, an error page say, to the search at the end."""
    with (folder() / f"{re.sub('[^a-z0-9-]+', '-', where.lower())}.txt").open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def show_database(database: Database) -> None:
    """Show every row of every table: secrets stand in SQL as hashes or sealed, or not at all."""
    with database.reading() as db:
        tables = MetaData()
        tables.reflect(db.connection())
        for table in tables.sorted_tables:
            for row in db.execute(select(table)):
                show(json.dumps(list(row), default=str), f"table {table.name}")


def find(canaries: Mapping[str, str], place: Path) -> list[str]:
    """Where which canary stands in the files of ``place``: one line each, without the secret itself."""
    by_start: dict[str, list[tuple[str, str]]] = {}
    for secret, kind in canaries.items():
        for form in _forms(secret):
            by_start.setdefault(form[:SHORTEST], []).append((form, kind))
    found = []
    for path in sorted(path for path in place.rglob("*") if path.is_file()):
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                for start in range(len(line) - SHORTEST + 1):
                    for form, kind in by_start.get(line[start : start + SHORTEST], ()):
                        if line.startswith(form, start):
                            around = line[max(0, start - 80) : start] + "[…]" + line[start + len(form) :][:40].rstrip()
                            found.append(f"{path.name}:{number}: {kind}: {around}")
    return found


def _forms(secret: str) -> set[str]:
    """How a secret may be written: as it is, in a URL, in JSON, in HTML, in base64 at each of its three offsets."""
    raw = secret.encode()
    forms = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], html.escape(secret)}
    for before in range(3):
        written = base64.b64encode(b"\0" * before + raw)
        forms.add(written[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6].decode())
    return {form for form in forms if len(form) >= SHORTEST}


@pytest.fixture(scope="session", autouse=True)
def canaries() -> Iterator[TextIO]:
    """Logs of this process go to the search at DEBUG; at the very end the search must find nothing."""
    with (folder() / "this-process.log").open("w", encoding="utf-8") as stream:
        logs.configure("DEBUG", stream)
        yield stream
    found = find(_registered, folder())
    if found:
        pytest.fail("secrets in our output:\n" + "\n".join(found), pytrace=False)


@pytest.fixture(autouse=True)
def logs_are_searched(canaries: TextIO) -> Iterator[None]:
    """After a test in which a command turned the logs elsewhere, they come back."""
    yield
    logs.configure("DEBUG", canaries)
