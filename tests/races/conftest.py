"""A provider with four workers, on the embedded pair and on PostgreSQL and Redis, for requests that race."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from tests.backends import running_postgres, running_redis
from tests.party import Party, add_people
from tests.running import Provider, running_provider
from tests.visitor import Visitor

BACKENDS = ("embedded", pytest.param("servers", marks=pytest.mark.needs("postgresql", "redis")))

_people = count(1)


@pytest.fixture(scope="session", params=BACKENDS)
def provider(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, made_once: Path
) -> Iterator[Provider]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("races")
        stores = {}
        if request.param == "servers":
            postgres = stack.enter_context(running_postgres())
            redis = stack.enter_context(running_redis(folder / "redis"))
            stores = {"IDP_DATABASE_URL": postgres.new_database(), **redis.environ}
        settings = {"IDP_WORKERS": "4", "IDP_TRUSTED_PROXIES": "127.0.0.1/32"}
        yield stack.enter_context(
            running_provider(folder / "idp", stores=stores, settings=settings, keys=made_once / "keys")
        )


@pytest.fixture
def party(provider: Provider) -> Party:
    return Party(provider)


@pytest.fixture
def email(provider: Provider) -> str:
    """A person of this test alone."""
    address = f"carol{next(_people)}@example.org"
    add_people(provider, address)
    return address


@pytest.fixture
def visitor(provider: Provider, party: Party, email: str) -> Visitor:
    """That person, signed in."""
    browser = Visitor(provider)
    browser.sign_in(party.url(), email)
    return browser
