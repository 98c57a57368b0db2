"""``idp staff``: who has a role at the provider itself, for the admin center."""

from __future__ import annotations

import json
import time

import click

from idp.cli.company_arguments import AS_JSON, find_person, opened
from idp.errors import OperatorError

ROLE = click.Choice(["support", "operator", "operator_read_only", "none"])  # idp.admin.staff.STAFF_ROLES


@click.group("staff")
def staff_command() -> None:
    """Who works at the provider: list, set. Roles of people in their companies: idp companies members."""


@staff_command.command("set")
@click.argument("email")
@click.argument("role", type=ROLE)
def set_role(email: str, role: str) -> None:
    """Give EMAIL's person ROLE in the admin center: support (opens an attempt by its receipt), operator (everything),
    operator_read_only (sees everything); none takes it away."""
    from idp import audit
    from idp.admin.staff import set_staff

    with opened() as (_config, database):
        with database.transaction() as db:
            account = find_person(db, email)
            if account.state != "active" and role != "none":
                raise OperatorError(f"The account of {email} is {account.state}.")
            wanted = None if role == "none" else role
            set_staff(db, account.id, wanted, actor=audit.operator(), now=time.time())
        click.echo(f"{email} has the role {role}." if role != "none" else f"{email} has no role here any more.")


@staff_command.command("list")
@AS_JSON
def list_staff(as_json: bool) -> None:
    """Everybody with a role at the provider."""
    from idp.admin.staff import staff

    with opened() as (_config, database), database.reading() as db:
        found = [(one.address, one.role) for one in staff(db)]
    if as_json:
        click.echo(json.dumps([{"email": email, "role": role} for email, role in found], ensure_ascii=False, indent=2))
        return
    for email, role in found:
        click.echo(f"{role:20} {email}")
    if not found:
        click.echo("Nobody has a role here. Give one: idp staff set EMAIL operator")
