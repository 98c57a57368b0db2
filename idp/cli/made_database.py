"""The SQL database as commands use it: one that is there, with the tables that this program needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from idp.config import Config
from idp.database import Database
from idp.errors import OperatorError


@contextmanager
def made_database(config: Config) -> Iterator[Database]:
    """Open the database, and close it at the end. In a wrong folder nothing is made.

    :raises OperatorError: when it is not there, or its tables are not up to date.
    :raises Unavailable: when it does not answer.
    """
    must_be_made(config)
    with closing(Database(config)) as database:
        if not database.is_current():
            raise OperatorError("The tables are not up to date. Run: idp database upgrade")
        yield database


def must_be_made(config: Config) -> None:
    """Only return when the database is a server, or its file is there.

    :raises OperatorError: otherwise, with what to do.
    """
    if config.database_url:
        return
    file = config.data / "idp.sqlite"
    try:
        file.stat()
    except OSError as error:
        raise OperatorError(
            f"{file}: {error.strerror}. Does IDP_DATA name the right folder? To make a new database: idp database upgrade"
        ) from None
