"""A provider with an admin center."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from idp.config import Config
from idp.parts import Parts
from tests.administrator import ORIGIN, REGISTRATION, Administrator, admin_center
from tests.registrations import CLIENTS


@pytest.fixture
def config(config: Config) -> Config:
    """The settings of all tests, with an admin center."""
    assert config.clients is not None
    config.clients.write_text(CLIENTS + REGISTRATION, encoding="utf-8")
    return config.model_copy(update={"admin_center": ORIGIN})


@pytest.fixture
def center(parts: Parts) -> Flask:
    return admin_center(parts)


@pytest.fixture
def administrator(app: Flask, center: Flask, parts: Parts) -> Callable[[str], Administrator]:
    """A browser of somebody, by their address."""
    return lambda email: Administrator(app, center, parts, email)
