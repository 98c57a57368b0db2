"""What the commands about companies are given: a company by its id, name or domain, a person by their address, a connection."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from idp.cli.taking_effect import told
from idp.errors import OperatorError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session as Transaction

    from idp.accounts.identity import Address
    from idp.config import Config
    from idp.connections import Connections, SamlConnection
    from idp.database import Database
    from idp.models import Account, Company

AS_JSON = click.option("--json", "as_json", is_flag=True, help="For machines.")
COMPANY = click.argument("company")
CONNECTION = click.argument("connection")
YES = click.option("--yes", is_flag=True, help="Do not ask.")


@contextmanager
def opened() -> Iterator[tuple[Config, Database]]:
    """The settings and the database. What is refused inside is told as an operator reads it.

    :raises OperatorError: see ``told`` and ``made_database``.
    """
    from idp.cli.made_database import made_database
    from idp.config import read_config

    config = read_config()
    with told(), made_database(config) as database:
        yield config, database


def find_company(db: Transaction, word: str) -> Company:
    """The company that ``word`` names: its id, its exact name, or one of its domains.

    :raises OperatorError: none or several.
    """
    from sqlalchemy import or_, select

    from idp.companies import CompanyRefused
    from idp.domain_proof import read_domain
    from idp.models import Company, CompanyDomain

    try:
        domain = read_domain(word)
    except CompanyRefused:  # it is an id or a name
        domain = ""
    claimed = select(CompanyDomain.company_id).where(CompanyDomain.domain == domain)
    named = select(Company).where(or_(Company.id == word, Company.name == word, Company.id.in_(claimed)))
    found = db.scalars(named.order_by(Company.name, Company.id)).all()
    if not found:
        raise OperatorError(f"No company has the id, the name or the domain {word[:100]!r}. See: idp companies list")
    if len(found) > 1:
        several = "\n".join(f"{company.id}  {company.name}" for company in found)
        raise OperatorError(f"Several companies answer to {word[:100]!r}. Give the id of one:\n{several}")
    return found[0]


def connections_of(config: Config) -> Connections:
    """The connections, with our keys of them, which ``keys/`` opens."""
    from idp.connections import Connections
    from idp.keys import read_lasting_secrets
    from idp.sealing import Sealer

    secret = read_lasting_secrets(config.keys).derive("connections")
    return Connections(config.issuer, Sealer(secret, secrets.token_bytes))


def find_connection(db: Transaction, config: Config, word: str) -> SamlConnection:
    """The connection that ``word`` names: its id, or its name.

    :raises OperatorError: none or several.
    """
    from sqlalchemy import or_, select

    from idp.models import Company, Connection

    named = select(Connection, Company.name).join(Company, Company.id == Connection.company_id)
    rows = db.execute(named.where(or_(Connection.id == word, Connection.name == word)).order_by(Connection.id)).all()
    if len(rows) > 1:
        several = "\n".join(f"{connection.id}  {connection.name} of {company}" for connection, company in rows)
        raise OperatorError(f"Several connections are called {word[:100]!r}. Give the id of one:\n{several}")
    found = connections_of(config).load(db, rows[0][0].id) if rows else None
    if found is None:
        raise OperatorError(
            f"No connection has the id or name {word[:100]!r}. See: idp companies connections list COMPANY"
        )
    return found


def read_email(text: str) -> Address:
    """:raises OperatorError: not an e-mail address."""
    from idp.accounts.identity import read_address

    try:
        return read_address(text)
    except ValueError as error:
        raise OperatorError(f"{text[:100]!r}: {error}") from None


def find_person(db: Transaction, email: str) -> Account:
    """The account of an address.

    :raises OperatorError: nobody has it.
    """
    from idp.accounts.lifecycle import find_account

    account = find_account(db, read_email(email).canonical)
    if account is None:
        raise OperatorError(f"Nobody has the address {email[:320]!r}.")
    return account


def read_file(path: Path) -> bytes:
    """The content of a file that the command line names; ``-`` is standard input.

    :raises OperatorError: it cannot be read.
    """
    if str(path) == "-":
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror}") from None


def sure(question: str, yes: bool) -> None:
    """Ask, unless ``yes``; anything but a yes ends the command."""
    if not yes:
        click.confirm(question, abort=True)


def print_row(row: Mapping[str, Any]) -> None:
    """Values with their names, one a line; times (``…_at``) in UTC, nothing for what is not there."""
    for name, value in row.items():
        if value is None or value == []:
            continue
        if name.endswith("_at"):
            value = utc(value)
        click.echo(f"{name:22} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")


def utc(seconds: int) -> str:
    """A time (seconds since 1970) to read."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
