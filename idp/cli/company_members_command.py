"""``idp companies members``: who belongs to a company, in which role."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import asdict

import click

from idp.cli.company_arguments import AS_JSON, COMPANY, find_company, find_person, opened, read_email
from idp.cli.inviting import INACTIVE_AFTER, invite_person, resend_invitation, said
from idp.cli.taking_effect import bring_to_redis
from idp.errors import OperatorError

ROLE = click.Choice(["administrator", "read_only", "member"])  # idp.companies.ROLES, which is not imported for --help


@click.group()
def members() -> None:
    """Who belongs to a company: add, invite, resend, list, role, remove, break-glass."""


@members.command()
@COMPANY
@click.argument("email")
@click.option("--role", type=ROLE, default="member", show_default=True)
@click.option("--name", help="The person's full name, if they have no account yet.")
@click.option(
    "--vouch", is_flag=True, help="The address need not be of the company's domains: you answer for the person."
)
def add(company: str, email: str, role: str, name: str | None, vouch: bool) -> None:
    """Let EMAIL's person belong to COMPANY. Who has no account gets one, and takes it by the first company sign-in."""
    from idp import audit
    from idp.accounts.lifecycle import create_account, find_account
    from idp.accounts.standard_claims import WrongClaim, check_claim
    from idp.members import add_member

    try:
        claims = {"name": check_claim("name", name)} if name else {}
    except WrongClaim as error:
        raise OperatorError(str(error)) from None

    address, now, actor = read_email(email), time.time(), audit.operator()
    with opened() as (config, database):
        with database.transaction() as db:
            found = find_company(db, company)
            account = find_account(db, address.canonical)
            prepared = account is None
            if account is None:
                account = create_account(
                    db, address, claims=claims, verified=False, password_hash=None,
                    actor=actor, now=now, random=secrets.token_bytes,
                )  # fmt: skip
            add_member(db, found.id, account.id, role, actor=actor, now=now, prepared=prepared, vouched=vouch)
            company_name = found.name
        how = ", with an account that waits for the first company sign-in" if prepared else ""
        click.echo(f"{address.written} belongs to {company_name} as {role}{how}.")
        bring_to_redis(config, database)


@members.command()
@COMPANY
@click.argument("email")
@click.option("--role", type=ROLE, default="member", show_default=True)
@click.option("--name", help="The person's full name.")
@click.option("--language", help="Of the mail, as in en or fr.")
@click.option(
    "--vouch", is_flag=True, help="The address need not be of the company's domains: you answer for the person."
)
def invite(company: str, email: str, role: str, name: str | None, language: str | None, vouch: bool) -> None:
    """Make an account for EMAIL that belongs to COMPANY, and mail its owner a link, good for a week and for one use.

    With it they choose a password, a social provider or COMPANY's own sign-in: whatever COMPANY's policy leaves open.
    """
    invite_person(email, name=name, language=language, company=company, role=role, vouched=vouch)


@members.command()
@COMPANY
@click.argument("email")
def resend(company: str, email: str) -> None:
    """Mail EMAIL's person COMPANY's invitation once more, or for the first time, if they were added without one.

    The link of the mail before is over.
    """
    resend_invitation(email, company=company)


@members.command(name="list")
@COMPANY
@INACTIVE_AFTER
@AS_JSON
def list_members(company: str, inactive_after: int, as_json: bool) -> None:
    """List COMPANY's members with what has become of them: invite sent (how many times), active, inactive, suspended, closed."""
    from idp import members as workings
    from idp.accounts.invitations import standings

    with opened() as (_, database), database.reading() as db:
        found = find_company(db, company).id
        people = workings.members(db, found)
        known = standings(db, now=time.time(), company_id=found, inactive_after=inactive_after)
    if as_json:
        rows = [asdict(person) | asdict(known[person.account_id]) for person in people]
        click.echo(json.dumps(rows, indent=2))
        return
    for person in people:
        standing = known[person.account_id]
        notes = [
            said(standing.state, standing.sent),
            *(["break-glass"] if person.break_glass else []),
            *(["prepared"] if person.prepared else []),
        ]
        click.echo(f"{person.role:14} {person.address}  {', '.join(notes)}".rstrip())
    if not people:
        click.echo(f"Nobody yet: idp companies members add {company} EMAIL")


@members.command(name="role")
@COMPANY
@click.argument("email")
@click.argument("role", type=ROLE)
def change_role(company: str, email: str, role: str) -> None:
    """Give EMAIL's person another ROLE in COMPANY. The last administrator keeps theirs."""
    from idp import audit
    from idp.members import set_role

    with opened() as (config, database):
        with database.transaction() as db:
            found, account = find_company(db, company), find_person(db, email)
            set_role(db, found.id, account.id, role, actor=audit.operator(), now=time.time())
        click.echo(f"{email} is {role} now.")
        bring_to_redis(config, database)


@members.command()
@COMPANY
@click.argument("email")
def remove(company: str, email: str) -> None:
    """Let EMAIL's person belong to COMPANY no more: their sessions and what products were given end. The account stays."""
    from idp import audit
    from idp.members import remove_member

    with opened() as (config, database):
        with database.transaction() as db:
            found, account = find_company(db, company), find_person(db, email)
            remove_member(db, found.id, account.id, actor=audit.operator(), now=time.time())
            company_name = found.name
        click.echo(f"{email} belongs to {company_name} no more.")
        bring_to_redis(config, database)


@members.command()
@COMPANY
@click.argument("email")
@click.option("--withdraw", is_flag=True, help="Take it back.")
def break_glass(company: str, email: str, withdraw: bool) -> None:
    """Let EMAIL's person use their password although COMPANY requires SSO: for the day on which its sign-in fails.

    They need a password (idp people set-password). Each such sign-in is audited and mailed to all administrators.
    """
    from idp import audit
    from idp.members import name_break_glass

    with opened() as (_, database), database.transaction() as db:
        found, account = find_company(db, company), find_person(db, email)
        name_break_glass(db, found.id, account.id, named=not withdraw, actor=audit.operator(), now=time.time())
    may = (
        "must sign in through the company like everybody" if withdraw else "may use their password when SSO is required"
    )
    click.echo(f"{email} {may}.")
