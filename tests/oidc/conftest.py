"""The provider's machine endpoints for the tests of this folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from idp.embedded_server import EmbeddedServer
from tests.oidc.product import Product, running_product

if TYPE_CHECKING:
    from tests.conftest import Clock


@pytest.fixture
def product(tmp_path: Path, made_once: Path, embedded: EmbeddedServer, clock: Clock) -> Iterator[Product]:
    """A product and its provider, on an empty Valkey."""
    with running_product(tmp_path, made_once / "keys", embedded.url, clock) as running:
        yield running


@pytest.fixture(scope="module")
def shared_product(
    tmp_path_factory: pytest.TempPathFactory, made_once: Path, embedded: EmbeddedServer
) -> Iterator[Product]:
    """One product for the many examples of a property: nothing of one example may disturb another."""
    with running_product(tmp_path_factory.mktemp("shared"), made_once / "keys", embedded.url, time.time) as running:
        yield running
