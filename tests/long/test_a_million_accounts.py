"""Growth: with a million accounts a sign-in does the same work as with one. ``make test-long``."""

from __future__ import annotations

import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest
from sqlalchemy import delete, event, insert, text

from idp.accounts.passwords import find_credentials
from idp.models import Account, Email
from idp.parts import Parts
from tests.journey import Walker, add_carol
from tests.running import Provider, running_provider
from tests.visitor import Visitor

MILLION = 1_000_000
SIGN_INS = 10_000  # an hour of one core, most of it argon2id
PARCEL = 10_000


def add_people(parts: Parts, number: int) -> None:
    """``number`` accounts without passwords, in parcels."""
    now = int(parts.clock())
    for start in range(0, number, PARCEL):
        ids = range(start, start + PARCEL)
        with parts.database.transaction() as db:
            db.execute(
                insert(Account),
                [
                    {
                        "id": f"{n:032x}",
                        "sub": f"sub-{n}",
                        "state": "active",
                        "profile": {},
                        "created_at": now,
                        "updated_at": now,
                    }
                    for n in ids
                ],
            )
            db.execute(
                insert(Email),
                [
                    {
                        "account_id": f"{n:032x}",
                        "address": f"p{n}@example.net",
                        "canonical": f"p{n}@example.net",
                        "domain": "example.net",
                        "primary": True,
                    }
                    for n in ids
                ],
            )


@pytest.mark.long
def test_a_sign_in_among_a_million_people_does_the_same_work(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    walker.code()  # the first device of all: from the second on, carol is told of each
    statements: list[str] = []
    event.listen(parts.database._engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    alone = _statements_of_a_sign_in(Walker(walker.app, parts), parts, statements)
    add_people(parts, MILLION)
    assert _statements_of_a_sign_in(Walker(walker.app, parts), parts, statements) == alone
    with parts.database.reading() as db:
        assert find_credentials(db, "p777777@example.net").account_id == f"{777777:032x}"
        for statement in alone:
            if statement.lstrip().upper().startswith("SELECT"):
                plan = db.execute(text("EXPLAIN QUERY PLAN " + statement.replace("?", "'x'"))).all()
                assert not any(str(row[3]).startswith("SCAN") for row in plan), (statement, plan)
    with parts.database.transaction() as db:
        db.execute(delete(Account).where(Account.sub.startswith("sub-")))  # no need to look for canaries in these


def _statements_of_a_sign_in(walker: Walker, parts: Parts, statements: list[str]) -> list[str]:
    statements.clear()
    tokens = walker.tokens(scope="openid email")
    walker.userinfo(tokens["access_token"])
    return list(statements)


@pytest.mark.long
def test_memory_is_flat_over_many_sign_ins(tmp_path: Path, made_once: Path) -> None:
    """What the processes of a running provider hold after the first fifth of the sign-ins is what they hold at the end."""
    with running_provider(tmp_path / "idp", keys=made_once / "keys") as provider:
        provider.add_person("carol@example.org")
        url = _request(provider)
        with ThreadPoolExecutor(4) as people:
            list(people.map(lambda _: Visitor(provider).sign_in(url), range(SIGN_INS // 5)))
            early = _resident(provider)
            list(people.map(lambda _: Visitor(provider).sign_in(url), range(SIGN_INS - SIGN_INS // 5)))
        assert _resident(provider) - early < 20 * 2**20


def _request(provider: Provider) -> str:
    query = {"client_id": "C1", "response_type": "code", "scope": "openid", "redirect_uri": "https://rp1.example/cb"}
    return f"{provider.issuer}/authorize?{urlencode(query)}"


def _resident(provider: Provider) -> int:
    """Bytes of memory that the provider's processes hold, its Valkey not counted."""
    assert provider.process is not None
    group = [provider.process.pid]
    for pid in group:
        group += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    pages = 0
    for pid in group:
        if "server" not in Path(f"/proc/{pid}/comm").read_text():
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()
