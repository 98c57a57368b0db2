"""``idp people``: the accounts."""

from __future__ import annotations

import base64
import json
import secrets
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from idp.cli.inviting import INACTIVE_AFTER, said
from idp.cli.taking_effect import bring_to_redis
from idp.errors import OperatorError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session as Transaction

    from idp.accounts.invitations import State
    from idp.accounts.people_search import Found
    from idp.accounts.seats import Role
    from idp.config import Config
    from idp.database import Database
    from idp.models import Account

AS_JSON = click.option("--json", "as_json", is_flag=True, help="For machines.")
MADE = 20  # characters, at least, of a password that is made here
PASSWORD_FILE = click.option("--password-file", type=click.Path(path_type=Path), help="Holds the password.")
PASSWORD_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@click.group("people")
def people_command() -> None:
    """Accounts: add, invite, resend, show, set, set-password, seat, suspend, reactivate, withdraw-consent, list."""


@people_command.command()
@click.argument("email")
@click.option("--name", help="The person's full name.")
@PASSWORD_FILE
@PASSWORD_STDIN
@AS_JSON
def add(email: str, name: str | None, password_file: Path | None, password_stdin: bool, as_json: bool) -> None:
    """Make an account for EMAIL. Without a given password one is made, and shown this once.

    The address counts as unverified until it is proved: `idp people set EMAIL email_verified=true` says that it is.
    """
    from idp import audit
    from idp.accounts.lifecycle import AddressHeld, AddressTaken, create_account
    from idp.accounts.password_rules import shortest_for
    from idp.accounts.standard_claims import WrongClaim

    given = _given_password(password_file, password_stdin)
    address = _address(email)
    with _database() as (config, database):
        with database.reading() as db:
            shortest = shortest_for(db, address.domain)
        about = (address.written, name or "")
        password, hashed = _new_password(given, config, about=about, shortest=shortest)
        try:
            with database.transaction() as db:
                account = create_account(
                    db,
                    address,
                    claims={"name": name} if name else {},
                    verified=False,
                    password_hash=hashed,
                    actor=audit.operator(),
                    now=time.time(),
                    random=secrets.token_bytes,
                )
                row = _row(account)
        except WrongClaim as error:
            raise OperatorError(str(error)) from None
        except AddressHeld:
            raise OperatorError(
                f"{address.written} was another account's less than seven days ago, and that one may take it back until then."
            ) from None
        except AddressTaken:
            raise OperatorError(
                f"{address.written} has an account already: idp people show {address.written}"
            ) from None
    if given is None:
        row["password"] = password
    if as_json:
        click.echo(json.dumps(row, indent=2))
        return
    click.echo(f"{address.written} has an account now.")
    if given is None:
        click.echo(f"Password: {password}\nIt is shown only this once.")


@people_command.command()
@click.argument("email")
@click.option("--name", help="The person's full name.")
@click.option("--language", help="Of the mail, as in en or fr.")
@click.option("--company", help="The company that they belong to from now on: its id, name or domain.")
@click.option(
    "--role", type=click.Choice(["administrator", "read_only", "member"]), help="In the company: member, if not said."
)
def invite(email: str, name: str | None, language: str | None, company: str | None, role: str | None) -> None:
    """Make an account for EMAIL and mail its owner a link, with which they choose how they sign in.

    The link is good for a week and for one use. With --company this is `idp companies members invite --vouch`: you answer for
    the address, whatever its domain.
    """
    from idp.cli.inviting import invite_person

    if role is not None and company is None:
        raise OperatorError("A role is one in a company: --company.")
    invite_person(email, name=name, language=language, company=company, role=role or "member", vouched=True)


@people_command.command()
@click.argument("email")
def resend(email: str) -> None:
    """Mail EMAIL's person the invitation once more. The link of the mail before is over."""
    from idp.cli.inviting import resend_invitation

    resend_invitation(email, company=None)


@people_command.command()
@click.argument("email")
@AS_JSON
def show(email: str, as_json: bool) -> None:
    """Show the account of EMAIL: its state and what products may learn of the person."""
    with _database() as (_, database), database.reading() as db:
        row = _row(_find(db, email))
    if as_json:
        click.echo(json.dumps(row, indent=2))
        return
    claims = row.pop("claims")
    for name, value in (row | claims).items():
        if name.endswith("_at"):
            value = datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        click.echo(f"{name:22} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")


@people_command.command(name="set")
@click.argument("email")
@click.argument("changes", metavar="KEY=VALUE...", nargs=-1, required=True)
def set_claims(email: str, changes: tuple[str, ...]) -> None:
    """Write standard claims of EMAIL's person; KEY= removes one.

    \b
    idp people set carol@example.org name="Carol Doe" birthdate=1990-05-17 zoneinfo=Europe/Paris
    idp people set carol@example.org phone_number=+33123456789 phone_number_verified=true
    idp people set carol@example.org 'address={"locality": "Paris", "country": "FR"}'
    """
    from idp import audit
    from idp.accounts.lifecycle import AddressTaken, change_claims
    from idp.accounts.standard_claims import WrongClaim

    wanted: dict[str, Any] = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or name in wanted:
            raise OperatorError(f"{change!r}: must be KEY=VALUE, each KEY once.")
        wanted[name] = _value(name, text)
    with _database() as (config, database):
        try:
            with database.transaction() as db:
                change_claims(db, _find(db, email), wanted, actor=audit.operator(), now=time.time())
        except WrongClaim as error:
            raise OperatorError(str(error)) from None
        except AddressTaken:
            raise OperatorError(f"{wanted['email']} belongs to another account.") from None
        click.echo("Written.")
        bring_to_redis(config, database)


@people_command.command()
@click.argument("email")
@PASSWORD_FILE
@PASSWORD_STDIN
@AS_JSON
def set_password(email: str, password_file: Path | None, password_stdin: bool, as_json: bool) -> None:
    """Give EMAIL's person another password; their sessions and what products were given end at once, and a mail
    tells them.

    Without a given password one is made, and shown this once. Be sure that it is the person who asks.
    """
    from idp import audit
    from idp.accounts import lifecycle
    from idp.accounts.changed_password import tell_changed_password
    from idp.accounts.password_rules import about_account, shortest_for
    from idp.keys import read_lasting_secrets
    from idp.sealing import Sealer

    given = _given_password(password_file, password_stdin)
    with _database() as (config, database):
        with database.reading() as db:
            account_id = _find(db, email).id
            about, shortest = about_account(db, account_id), shortest_for(db, account_id)
        password, hashed = _new_password(given, config, about=about, shortest=shortest)
        now = time.time()
        with database.transaction() as db:
            account = _find(db, email)
            lifecycle.set_password(db, account, hashed, actor=audit.operator(), now=now)
            tell_changed_password(
                db,
                account,
                agent="",
                address="",
                language=(account.locale or "en").partition("-")[0],
                sealer=Sealer(read_lasting_secrets(config.keys).derive("mail"), secrets.token_bytes),
                now=now,
            )
            row = _row(account)
        if given is None:
            row["password"] = password
        if as_json:
            click.echo(json.dumps(row, indent=2))
        else:
            click.echo(f"{email} has another password now.")
            if given is None:
                click.echo(f"Password: {password}\nIt is shown only this once.")
        bring_to_redis(config, database)


@people_command.command()
@click.argument("email")
def suspend(email: str) -> None:
    """Let EMAIL's person sign in no more; their sessions and what products were given end at once."""
    from idp import audit
    from idp.accounts import lifecycle

    with _database() as (config, database):
        with database.transaction() as db:
            lifecycle.suspend(db, _find(db, email), actor=audit.operator(), now=time.time())
        click.echo(f"{email} is suspended.")
        bring_to_redis(config, database)


@people_command.command()
@click.argument("email")
def reactivate(email: str) -> None:
    """Take a suspension back."""
    from idp import audit
    from idp.accounts import lifecycle

    with _database() as (_, database), database.transaction() as db:
        lifecycle.reactivate(db, _find(db, email), actor=audit.operator(), now=time.time())
    click.echo(f"{email} may sign in.")


@people_command.command()
@click.argument("email")
@click.argument("client_id")
def withdraw_consent(email: str, client_id: str) -> None:
    """Take back what EMAIL's person has allowed the product CLIENT_ID; what it was given ends at once."""
    from idp import audit
    from idp.accounts import lifecycle

    with _database() as (config, database):
        with database.transaction() as db:
            account = _find(db, email)
            if not lifecycle.withdraw_consent(db, account, client_id, actor=audit.operator(), now=time.time()):
                raise OperatorError(f"{email} has allowed {client_id!r} nothing.")
        click.echo(f"{client_id} has to ask again.")
        bring_to_redis(config, database)


@people_command.command()
@click.argument("email")
@click.option("--product", "client_id", required=True, metavar="CLIENT", help="The product's client id.")
@click.option("--role", type=click.Choice(["organizer", "attendee"]), help="What the person is in the product.")
@click.option("--remove", is_flag=True, help="Take the seat away.")
def seat(email: str, client_id: str, role: Role | None, remove: bool) -> None:
    """Say what EMAIL's person is in a product, which hears of it within five seconds by the claim `seat`.

    Whoever becomes an organizer signs in anew before the product is told.

    \b
    idp people seat carol@example.org --product webinars --role organizer
    idp people seat carol@example.org --product webinars --remove
    """
    from idp import audit
    from idp.accounts.seats import grant_seat, remove_seat

    if (role is None) != remove:
        raise OperatorError("Say what is meant: --role organizer, --role attendee, or --remove.")
    with _database() as (config, database):
        if role is not None:
            _check_product(config, client_id)
        with database.transaction() as db:
            account_id, actor, now = _find(db, email).id, audit.operator(), time.time()
            if role is not None:
                changed = grant_seat(db, account_id, client_id, role, actor=actor, now=now)
            elif not remove_seat(db, account_id, client_id, actor=actor, now=now):
                raise OperatorError(f"{email} has no seat in {client_id!r}.")
        if role is None:
            click.echo(f"{email} has no seat in {client_id} any more.")
        else:
            click.echo(f"{email} is {role} in {client_id}{' now' if changed else ' already'}.")
        bring_to_redis(config, database)


@people_command.command(name="list")
@click.option("--search", default="", metavar="TEXT", help="The beginning of an address, a name or a domain (@…).")
@click.option("--company", help="Only its people: its id, name or domain.")
@click.option(
    "--state", type=click.Choice(["invited", "active", "inactive", "suspended", "closed"]), help="Only these."
)
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many.")
@click.option("--after", metavar="PLACE", help="Go on from where the list before ended.")
@INACTIVE_AFTER
@AS_JSON
def list_people(
    search: str,
    company: str | None,
    state: State | None,
    limit: int,
    after: str | None,
    inactive_after: int,
    as_json: bool,
) -> None:
    """List accounts with what has become of them: invite sent (how many times), active, inactive, suspended, closed.

    Capitals and accents do not count in a search, and of a name each word is a beginning.

    \b
    idp people list --search carol
    idp people list --search @example.org --state suspended
    """
    from idp.accounts.people_search import Wanted, WrongPlace, search_people
    from idp.cli.company_arguments import find_company

    with _database() as (_, database), database.reading() as db:
        company_id = find_company(db, company).id if company is not None else None
        wanted = Wanted(search, company_id, state, inactive_after)
        try:
            page = search_people(db, wanted, limit=limit, now=time.time(), after=after)
        except WrongPlace:
            raise OperatorError("--after takes what a list before has said.") from None
    if as_json:
        people = [{"email": one.address, "id": one.account_id} | _listed(one) for one in page.people]
        click.echo(json.dumps({"people": people, "after": page.after}, indent=2))
        return
    for one in page.people:
        note = ", ".join(text for text in (one.name, one.company) if text)
        click.echo(f"{said(one.standing.state, one.standing.sent):21} {one.address}{note and f'  {note}'}")
    if page.after is not None:
        click.echo(f"There may be more: --after {page.after}")
    elif not page.people:
        click.echo("Nobody." if wanted != Wanted(inactive_after=inactive_after) else "Nobody yet: idp people add EMAIL")


def _listed(one: Found) -> dict[str, Any]:
    return {"name": one.name, "company": one.company_id} | asdict(one.standing)


@contextmanager
def _database() -> Iterator[tuple[Config, Database]]:
    from idp.cli.made_database import made_database
    from idp.config import read_config

    config = read_config()
    with made_database(config) as database:
        yield config, database


def _check_product(config: Config, client_id: str) -> None:
    from idp.clients import Clients
    from idp.config import read_references
    from idp.parts import clients_path

    clients = Clients(clients_path(config), read_references(), loopback=config.on_loopback)
    client = clients.find(client_id)
    if client is None:
        raise OperatorError(f"{client_id[:100]!r} is no product: idp clients list")
    if "seat" not in client.scopes:
        click.echo(f"{client_id} is not told of it yet: add seat to its scopes in clients.yaml.", err=True)


def _find(db: Transaction, email: str) -> Account:
    from idp.accounts.lifecycle import find_account

    account = find_account(db, _address(email).canonical)
    if account is None:
        raise OperatorError(f"Nobody has the address {email!r}.")
    return account


def _address(text: str) -> Any:
    from idp.accounts.identity import read_address

    try:
        return read_address(text)
    except ValueError as error:
        raise OperatorError(f"{text[:100]!r}: {error}") from None


def _new_password(given: str | None, config: Config, *, about: Collection[str], shortest: int) -> tuple[str, str]:
    """The given password, judged, or one made here; and its hash."""
    from idp.accounts.breach_list import SHIPPED, BreachList
    from idp.accounts.password_rules import Weak, judge
    from idp.accounts.passwords import PasswordHasher
    from idp.languages import Languages
    from idp.reasons import REASONS

    made = base64.urlsafe_b64encode(secrets.token_bytes(max(MADE, shortest))).decode()[: max(MADE, shortest)]
    password = made if given is None else given
    breached = BreachList(config.breach_list or SHIPPED)
    verdict = judge(password, about=(*about, config.host), shortest=shortest, breached=breached)
    breached.close()
    if isinstance(verdict, Weak):
        says, reason = Languages().translator("en"), REASONS[verdict.reason]
        length = "" if reason.code == "password_too_long" else f" At least {shortest} characters."
        raise OperatorError(f"{says(reason.says)} {says(reason.next)}{length}")
    return password, PasswordHasher(1, 1).hash(password)


def _given_password(file: Path | None, stdin: bool) -> str | None:
    if file is not None and stdin:
        raise OperatorError("Give the password once: --password-file or --password-stdin.")
    if file is None and not stdin:
        return None
    try:
        # Bytes: a terminal's encoding has no say in what the person types later into a page.
        given = file.read_bytes() if file is not None else sys.stdin.buffer.read()
        return given.decode("utf-8").rstrip("\r\n")
    except OSError as error:
        raise OperatorError(f"{file or 'standard input'}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise OperatorError("The password is not text in UTF-8.") from None


def _value(name: str, text: str) -> Any:
    """A claim as typed at the command line: text, true or false, or for the address an object in JSON."""
    from idp.accounts.standard_claims import BOOLEANS

    if text == "":
        return None
    if name in BOOLEANS:
        return {"true": True, "false": False}.get(text, text)
    if name == "address":
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _row(account: Account) -> dict[str, Any]:
    from idp.accounts.lifecycle import primary_email, snapshot

    return {
        "id": account.id,
        "sub": account.sub,
        "email": primary_email(account).address,
        "state": account.state,
        "has_password": account.password is not None,
        "created_at": account.created_at,
        "claims": snapshot(account),
    }
