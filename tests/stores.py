"""What both stores hold, to be compared before and after."""

from __future__ import annotations

import hashlib

from sqlalchemy import select

from idp.database import Database
from idp.models import Table
from idp.redis_store import RedisStore


def contents_of(database: Database, store: RedisStore) -> dict[str, str]:
    """Everything: what each table holds by ``table <name>``, what each key of Redis holds by its name."""
    found = {}
    with database.reading() as db:
        for table in Table.metadata.sorted_tables:
            found[f"table {table.name}"] = repr(sorted(repr(row) for row in db.execute(select(table))))
    for key in store.command("KEYS", "*"):
        found[key] = f"{store.command('TYPE', key)} {store.command('OBJECT', 'ENCODING', key)} {_content(store, key)}"
    return found


def hash_of(database: Database, store: RedisStore) -> str:
    """A hash of everything that both stores hold."""
    return hashlib.sha256(repr(sorted(contents_of(database, store).items())).encode()).hexdigest()


def _content(store: RedisStore, key: str) -> str:
    read = {"string": ("GET", key), "hash": ("HGETALL", key), "set": ("SMEMBERS", key), "stream": ("XRANGE", key, "-", "+"),
            "zset": ("ZRANGE", key, 0, -1), "list": ("LRANGE", key, 0, -1)}  # fmt: skip
    return repr(store.command(*read[store.command("TYPE", key)]))
