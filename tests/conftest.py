"""What tests share: a clock that stands still, real parts, an application, and a browser on foot.

Nothing here replaces code of ours: time, randomness and addresses come in as arguments, servers are real.
"""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask

from idp.accounts.passwords import PasswordHasher
from idp.app import create_app
from idp.config import Config
from idp.database import Database
from idp.embedded_server import EmbeddedServer
from idp.keys import create_keys
from idp.parts import Parts, build
from tests import canaries
from tests.journey import Walker
from tests.registrations import CLIENTS, REFERENCES

if TYPE_CHECKING:
    from tests.saml_parties import Customer

pytest_plugins = ("tests.canaries", "tests.needs")

ISSUER = "https://login.example"


class Clock:
    """Stands still until a test moves it. Starts at today, because Redis cleans up by its own clock."""

    def __init__(self) -> None:
        self.now = float(int(time.time()))

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One embedded Valkey for all tests of this process."""
    with EmbeddedServer.start(tmp_path_factory.mktemp("state")) as server:
        yield server


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys and an empty database, made once and copied for each test."""
    folder = tmp_path_factory.mktemp("made")
    create_keys(folder / "keys", ("RS256", "ES256", "PS256", "EdDSA"), time.time())
    database = Database(Config(issuer=ISSUER, data=folder))
    database.upgrade()
    database.close()
    db = sqlite3.connect(folder / "idp.sqlite")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return folder


@pytest.fixture
def config(tmp_path: Path, made_once: Path) -> Config:
    """Settings of a provider at https://login.example with tests/registrations.py as its clients."""
    shutil.copytree(made_once / "keys", tmp_path / "keys")
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    shutil.copy(made_once / "idp.sqlite", data)
    (tmp_path / "clients.yaml").write_text(CLIENTS, encoding="utf-8")
    return Config(
        issuer=ISSUER,
        data=data,
        keys=tmp_path / "keys",
        clients=tmp_path / "clients.yaml",
        support="help@login.example",
    )


@pytest.fixture
def parts(config: Config, embedded: EmbeddedServer, clock: Clock) -> Iterator[Parts]:
    """Real parts on an empty Valkey and an empty SQLite. Only the hashing is cheaper than in real life."""
    built = build(config, REFERENCES, redis_url=embedded.url, clock=clock, random=canaries.random)
    built.store.command("FLUSHDB")
    built = dataclasses.replace(built, hasher=PasswordHasher(2, 60, memory_kib=64, passes=1))
    yield built
    canaries.show_database(built.database)
    built.close()


@pytest.fixture
def app(parts: Parts) -> Flask:
    return create_app(parts)


@pytest.fixture
def walker(app: Flask, parts: Parts) -> Walker:
    """A person at a browser without a screen, at the relying party C1."""
    return Walker(app, parts)


@pytest.fixture
def acme(parts: Parts) -> Customer:
    """A company that signs the people of acme.example in; it calls a code from a device two factors."""
    from tests.company_walker import MFA
    from tests.fakes.company_idp import CompanyIdp
    from tests.saml_parties import add_customer

    contexts = {MFA: {"acr": "2", "amr": ["otp", "mfa"]}}
    return add_customer(
        parts.database, parts.connections, CompanyIdp(), now=parts.clock(), random=parts.random, contexts=contexts
    )


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """What a worker reports holds what was logged, hostile text too: half characters could not be sent."""
    return _sendable((yield))


def _sendable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {name: _sendable(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_sendable(one) for one in value)
    return value
