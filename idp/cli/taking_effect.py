"""What a command has written into SQL, brought to what Redis holds, at once; and refusals as an operator reads them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from idp.errors import IdpError, OperatorError, Unavailable

if TYPE_CHECKING:
    from idp.config import Config
    from idp.database import Database


def bring_to_redis(config: Config, database: Database) -> None:
    """Let what was just written take effect at once, whether or not a provider is running.

    It stands even when that cannot be done, so this is said and no error.
    """
    from idp import logs
    from idp.accounts.lifecycle import apply_revocations
    from idp.clients import Clients
    from idp.config import read_references
    from idp.parts import clients_path
    from idp.redis_store import connect

    logs.configure("ERROR")  # what clients.yaml may lack is not this command's subject
    try:
        clients = Clients(clients_path(config), read_references(), loopback=config.on_loopback)
        with connect(config) as store:
            while apply_revocations(database, store, clients, time.time()):
                pass  # a bounded number at a time
    except (OperatorError, Unavailable) as error:
        down = isinstance(error, Unavailable) and error.reason == "redis_down"
        click.echo(
            "This stands, but open sessions do not know it yet: a provider that runs tells them within seconds, or the next "
            f"one as it starts. Not done here, because: {'Redis does not answer.' if down else error}",
            err=True,
        )


@contextmanager
def told() -> Iterator[None]:
    """A refusal with a reason of the table, as its English sentences and what exactly was wrong.

    :raises OperatorError: instead of it.
    """
    from idp.languages import Languages
    from idp.reasons import REASONS

    try:
        yield
    except (OperatorError, Unavailable):
        raise
    except IdpError as error:
        reason = REASONS.get(error.reason)
        if reason is None:
            raise
        words = Languages()
        says = f"{words.text('en', reason.says)} {words.text('en', reason.next)}"
        raise OperatorError(f"{says}\n({error.reason}{f': {error.detail}' if error.detail else ''})") from None
