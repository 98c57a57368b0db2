"""``idp companies``: companies that sign their people in by themselves. How to: docs/operators/companies.md."""

from __future__ import annotations

import json
import secrets
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from idp.cli.company_arguments import AS_JSON, COMPANY, YES, find_company, opened, print_row, sure
from idp.cli.company_connections_command import connections
from idp.cli.company_domains_command import domains
from idp.cli.company_members_command import members
from idp.cli.company_trying_command import attempts, try_connection
from idp.cli.taking_effect import bring_to_redis
from idp.errors import OperatorError

if TYPE_CHECKING:
    from idp.models import Company

LISTS = ("doors", "contacts")
NUMBERS = ("session_idle", "session_lifetime", "shortest_password")


@click.group("companies")
def companies_command() -> None:
    """Companies with their own sign-in: policies, domains, members, connections, trying and watching them.

    COMPANY is a company's id, its exact name, or one of its domains.
    """


companies_command.add_command(domains)
companies_command.add_command(members)
companies_command.add_command(connections)
companies_command.add_command(try_connection)
companies_command.add_command(attempts)


@companies_command.command()
@click.argument("name")
@AS_JSON
def add(name: str, as_json: bool) -> None:
    """Make a company called NAME. Nothing changes for anybody until it has a domain and a live connection."""
    from idp import audit
    from idp.companies import create_company

    with opened() as (_, database), database.transaction() as db:
        company = create_company(db, name, actor=audit.operator(), now=time.time(), random=secrets.token_bytes)
        row = {"id": company.id, "name": company.name}
    if as_json:
        click.echo(json.dumps(row, indent=2))
        return
    click.echo(f"{row['name']} is there, with the id {row['id']}.")
    click.echo(f"Next, prove a domain of its addresses: idp companies domains add {row['id']} DOMAIN")


@companies_command.command(name="list")
@AS_JSON
def list_companies(as_json: bool) -> None:
    """List all companies with their domains."""
    from sqlalchemy import select

    from idp.models import Company, CompanyDomain

    with opened() as (_, database), database.reading() as db:
        proved: dict[str, list[str]] = {}
        verified = select(CompanyDomain.company_id, CompanyDomain.domain).where(CompanyDomain.status == "verified")
        for company_id, domain in db.execute(verified.order_by(CompanyDomain.domain)):
            proved.setdefault(str(company_id), []).append(domain)
        rows = [
            {"id": company.id, "name": company.name, "sso": company.sso, "domains": proved.get(company.id, [])}
            for company in db.scalars(select(Company).order_by(Company.name, Company.id))
        ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['id']}  SSO {row['sso']:9} {row['name']}  {' '.join(row['domains'])}".rstrip())
    if not rows:
        click.echo("None yet: idp companies add NAME")


@companies_command.command()
@COMPANY
@AS_JSON
def show(company: str, as_json: bool) -> None:
    """Show COMPANY: its policies, domains, connections, and how many members it has in which role."""
    from sqlalchemy import func, select

    from idp.models import CompanyDomain, Connection, Member

    with opened() as (_, database), database.reading() as db:
        found = find_company(db, company)
        domains_of = select(CompanyDomain).where(CompanyDomain.company_id == found.id).order_by(CompanyDomain.domain)
        connections_of = select(Connection).where(Connection.company_id == found.id).order_by(Connection.name)
        roles = (
            select(Member.role, func.count().label("number")).where(Member.company_id == found.id).group_by(Member.role)
        )
        row = _policies(found) | {
            "domains": [{"domain": one.domain, "status": one.status} for one in db.scalars(domains_of)],
            "connections": [{"id": one.id, "name": one.name, "state": one.state} for one in db.scalars(connections_of)],
            "members": {one.role: one.number for one in db.execute(roles)},
        }
    if as_json:
        click.echo(json.dumps(row, indent=2))
        return
    shown = dict(row)
    shown["domains"] = ", ".join(f"{one['domain']} ({one['status']})" for one in row["domains"]) or "none"
    shown["connections"] = (
        ", ".join(f"{one['id']} {one['name']} ({one['state']})" for one in row["connections"]) or "none"
    )
    shown["members"] = ", ".join(f"{number} {role}" for role, number in row["members"].items()) or "none"
    print_row(shown)


@companies_command.command(name="set")
@COMPANY
@click.argument("changes", metavar="KEY=VALUE...", nargs=-1, required=True)
def set_policies(company: str, changes: tuple[str, ...]) -> None:
    """Change what COMPANY decides about its people; KEY= takes a value back to the provider's own.

    \b
    name="Acme Inc"             what people read on the sign-in page, and products in the scope company
    jit=true                    the first sign-in through the company makes an account
    doors=password,social       allowed beside the company's own while SSO is optional
    session_idle=1800           seconds without use after which its people sign in again
    session_lifetime=36000      seconds after which they do in any case
    shortest_password=15        characters that a new password of its people has at least
    second_factor_from=2027-01-31  day (UTC) from when on they need a second factor, except through the company's own door
    contacts=it@acme.example    who hears of certificates, metadata and domains (by comma; none: the administrators)

    Requiring SSO has a command of its own: idp companies require-sso
    """
    from idp import audit
    from idp.companies import rename
    from idp.company_policy import set_policy

    wanted: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or key in wanted:
            raise OperatorError(f"{change[:100]!r}: must be KEY=VALUE, each KEY once.")
        wanted[key] = _value(key, text)
    with opened() as (config, database):
        now, actor = time.time(), audit.operator()
        with database.transaction() as db:
            found = find_company(db, company)
            if (name := wanted.pop("name", None)) is not None:
                rename(db, found.id, name, actor=actor, now=now)
            if wanted:
                set_policy(db, found.id, wanted, config=config, actor=actor, now=now)
        click.echo("Written.")
        bring_to_redis(config, database)


@companies_command.command()
@COMPANY
@YES
def remove(company: str, yes: bool) -> None:
    """Take COMPANY away with its connections and roles. Its people are signed out; their accounts stay.

    Its domains stay closed to everybody for a cooling-off time.
    """
    from idp import audit
    from idp.companies import remove_company

    with opened() as (config, database):
        with database.reading() as db:
            found = find_company(db, company)
            company_id, name = found.id, found.name
        sure(f"Take {name} away, with its connections and its members' roles?", yes)
        with database.transaction() as db:
            remove_company(db, company_id, actor=audit.operator(), now=time.time())
        click.echo(f"{name} is gone.")
        bring_to_redis(config, database)


@companies_command.command()
@COMPANY
@click.option(
    "--end-sessions", is_flag=True, help="End what its people have open now: each comes back through the company."
)
def require_sso(company: str, end_sessions: bool) -> None:
    """Close every other door for the addresses of COMPANY's domains, except for break-glass people.

    Refused until an administrator of the company has signed in through a live connection, and at least one break-glass person
    is named (idp companies members break-glass).
    """
    from idp import audit, company_policy

    with opened() as (config, database):
        with database.transaction() as db:
            found = find_company(db, company)
            company_policy.require_sso(db, found.id, end_sessions=end_sessions, actor=audit.operator(), now=time.time())
            name = found.name
        click.echo(f"{name} requires SSO. Back: idp companies relax-sso {company}")
        bring_to_redis(config, database)


@companies_command.command()
@COMPANY
def relax_sso(company: str) -> None:
    """Open the other doors again, as far as COMPANY's policy (doors) allows them."""
    from idp import audit, company_policy

    with opened() as (_, database), database.transaction() as db:
        found = find_company(db, company)
        company_policy.relax_sso(db, found.id, actor=audit.operator(), now=time.time())
        click.echo(f"SSO is optional for {found.name}.")


def _policies(company: Company) -> dict[str, Any]:
    return {
        "id": company.id,
        "name": company.name,
        "sso": company.sso,
        "jit": company.jit,
        "doors": company.doors,
        "session_idle": company.session_idle,
        "session_lifetime": company.session_lifetime,
        "shortest_password": company.shortest_password,
        "second_factor_from": company.second_factor_from,
        "contacts": company.contacts,
        "created_at": company.created_at,
    }


def _value(key: str, text: str) -> Any:
    """A policy as typed: ``idp.companies.set_policy`` says what is wrong with it."""
    if key == "jit":
        return {"true": True, "false": False}.get(text, text)
    if key in LISTS:
        return [part.strip() for part in text.split(",")] if text else []
    if key == "second_factor_from":
        return _day(text)
    if key in NUMBERS:
        return None if text == "" else int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text
    return text


def _day(text: str) -> Any:
    """The first second of a day (UTC) that is written as ISO 8601 has it."""
    try:
        return int(datetime.fromisoformat(f"{text}T00:00:00+00:00").timestamp()) if text else None
    except ValueError:
        return text
