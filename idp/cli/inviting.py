"""Inviting people, and what has become of them, for the commands about people and about companies."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import click

from idp.cli.company_arguments import find_company, find_person, opened, read_email
from idp.cli.taking_effect import bring_to_redis
from idp.errors import OperatorError

if TYPE_CHECKING:
    from idp.accounts.invitations import Host
    from idp.config import Config

INACTIVE_AFTER = click.option(
    "--inactive-after",
    type=click.IntRange(1, 3650),
    default=90,
    show_default=True,
    metavar="DAYS",
    help="Without a sign-in for so long, somebody is inactive.",
)


def invite_person(
    email: str, *, name: str | None, language: str | None, company: str | None, role: str, vouched: bool
) -> None:
    """Make the account and queue the mail.

    :raises OperatorError: it cannot be.
    """
    from idp.accounts.invitations import Guest, invite
    from idp.accounts.lifecycle import AddressHeld, AddressTaken
    from idp.accounts.standard_claims import WrongClaim

    address = read_email(email)
    claims = {key: value for key, value in (("name", name), ("locale", language)) if value}
    with opened() as (config, database):
        try:
            with database.transaction() as db:
                company_id = find_company(db, company).id if company is not None else None
                invite(db, Guest(address, claims, company_id, role, vouched=vouched), _host(config))
        except WrongClaim as error:
            raise OperatorError(str(error)) from None
        except AddressHeld:
            raise OperatorError(
                f"{address.written} was another account's less than seven days ago, and that one may take it back until then."
            ) from None
        except AddressTaken:
            raise OperatorError(f"{address.written} has just been given to another account.") from None
        click.echo(f"The invitation to {address.written} is on its way.")
        bring_to_redis(config, database)


def resend_invitation(email: str, *, company: str | None) -> None:
    """Queue the mail once more.

    :raises OperatorError: nobody waits for it.
    """
    from idp.accounts.invitations import send_again

    with opened() as (config, database):
        with database.transaction() as db:
            company_id = find_company(db, company).id if company is not None else None
            sent = send_again(db, find_person(db, email).id, _host(config), company_id=company_id)
        click.echo(f"The invitation to {email} is on its way once more ({said('invited', sent)}).")


def said(state: str, sent: int) -> str:
    """What has become of an account, in words. ``sent``: how many times it was invited by mail."""
    if state != "invited":
        return state
    return f"invite sent {'once' if sent == 1 else f'{sent} times'}"


def _host(config: Config) -> Host:
    from idp import audit
    from idp.accounts.invitations import Host
    from idp.keys import read_lasting_secrets
    from idp.sealing import Sealer

    sealer = Sealer(read_lasting_secrets(config.keys).derive("mail"), secrets.token_bytes)
    return Host(audit.operator(), sealer, time.time(), secrets.token_bytes)
