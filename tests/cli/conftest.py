"""The commands, run on the database and the Redis of a test's own parts."""

from __future__ import annotations

from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner, Result

from idp.config import Config
from idp.embedded_server import EmbeddedServer
from idp.parts import Parts
from tests import canaries

Idp = Callable[..., Result]


@pytest.fixture
def run_on_parts(config: Config, parts: Parts, embedded: EmbeddedServer) -> Callable[[click.Command], Idp]:
    """Makes a command run on what ``parts`` uses: words in, ``given`` is what is typed, other names are settings."""
    environ = {
        "IDP_ISSUER": config.issuer,
        "IDP_DATA": str(config.data),
        "IDP_KEYS": str(config.keys),
        "IDP_CLIENTS": str(config.clients),
        "IDP_REDIS_URL": embedded.url,
    }

    def ready(command: click.Command) -> Idp:
        def run(*words: str, given: str | bytes = "", **changes: str) -> Result:
            result = CliRunner().invoke(command, words, env=environ | changes, input=given)
            canaries.show(result.output, f"idp {command.name}")
            return result

        return run

    return ready
