"""``idp companies try`` and ``idp companies attempts``: whether a connection works, and what went wrong when it did not."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from idp.cli.company_arguments import AS_JSON, CONNECTION, find_connection, opened, read_file, utc
from idp.errors import OperatorError

if TYPE_CHECKING:
    from idp.admin.dry_run import Report
    from idp.config import Config
    from idp.connections import SamlConnection
    from idp.database import Database
    from idp.receipts import CompanyAttempt

DECISIONS = {
    "found": "an account that this identity opens already",
    "prepared": "the account that the company has prepared",
    "new": "a new account is made",
    "prove_first": "an account has this address: it must be proved first",
    "refused": "nobody may come in",
}


@click.command(name="try")
@CONNECTION
@click.option(
    "--response", type=click.Path(path_type=Path), help="A captured SAML response: base64 as it was posted, or XML."
)
@click.option("--as-of", metavar="TIME", help="Look at it as of then: 2026-11-22T10:30:00Z. Default: now.")
@AS_JSON
def try_connection(connection: str, response: Path | None, as_of: str | None, as_json: bool) -> None:
    """Try CONNECTION without signing anybody in: a draft too, and nothing is written.

    Without --response an address is printed, to be opened in a browser within an hour: a test trip to the identity provider
    and back. When every check passes there, the connection counts as tested and may go live.

    With --response a captured answer takes the way of a sign-in: every check with what was expected and received, the
    attributes, what would become of the account, and the claims that each product would be told. No signing key is touched.
    Whether we have sent the request that it answers is not looked at. Exit code 1 when a sign-in would fail.
    """
    from idp.admin.dry_run import encoded_response

    with opened() as (config, database):
        with database.reading() as db:
            found = find_connection(db, config, connection)
        if response is None:
            if as_of is not None:
                raise OperatorError("--as-of goes with --response.")
            _print_address(config, found, as_json)
            return
        now = time.time() if as_of is None else _time(as_of)
        report = _dry_run(config, database, found, encoded_response(read_file(response)), now)
    if as_json:
        click.echo(json.dumps(asdict(report) | {"ok": report.ok, "reason": report.reason}, indent=2))
    else:
        _print_report(report, found)
    if not report.ok:
        raise SystemExit(1)


@click.command()
@CONNECTION
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100), help="How many, newest first.")
@click.option("--failed", is_flag=True, help="Only those that failed.")
@AS_JSON
def attempts(connection: str, limit: int, failed: bool, as_json: bool) -> None:
    """Show the last attempts through CONNECTION as the company's own IT may see them: what failed, expected and received."""
    from idp.cli.attempts_command import reading_receipts
    from idp.receipts import company_attempts

    with opened() as (config, database):
        with database.reading() as db:
            found = find_connection(db, config, connection)
        with reading_receipts() as db:
            rows = [one for one in company_attempts(db, found.id, limit) if one.outcome == "failed" or not failed]
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    for row in rows:
        _print_attempt(row, found)
    if not rows:
        click.echo("None has failed." if failed else "None.")


def _print_address(config: Config, found: SamlConnection, as_json: bool) -> None:
    from idp.admin.trials import LIFETIME, make_trial
    from idp.redis_store import connect

    now = time.time()
    with connect(config) as store:
        secret = make_trial(store, found.id, now=now, random=secrets.token_bytes)
    address = f"{config.issuer}/login/company/try?p={secret}"
    if as_json:
        click.echo(json.dumps({"address": address, "expires_at": int(now) + LIFETIME}, indent=2))
        return
    click.echo(f"Open this in a browser, and sign in at {found.name} as somebody whom it lets use us:\n\n  {address}\n")
    click.echo("It works for an hour, and only in the browser that uses it first. Nobody is signed in here by it.")


def _dry_run(config: Config, database: Database, found: SamlConnection, encoded: bytes, now: float) -> Report:
    from idp import logs
    from idp.admin.dry_run import as_if_sent, dry_run
    from idp.clients import Clients
    from idp.config import read_references
    from idp.keys import read_lasting_secrets
    from idp.parts import clients_path

    logs.configure("ERROR")  # what clients.yaml may lack is not this command's subject
    clients = Clients(clients_path(config), read_references(), loopback=config.on_loopback)
    return dry_run(
        encoded,
        found,
        as_if_sent(found, now),
        database=database,
        clients=[client for client in clients.all().values() if client.enabled],
        issuer=config.issuer,
        subjects_secret=read_lasting_secrets(config.keys).subjects_secret,
        now=now,
        random=secrets.token_bytes,
    )


def _time(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise OperatorError(f"{text[:40]!r}: write the time like 2026-11-22T10:30:00Z.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _print_report(report: Report, found: SamlConnection) -> None:
    click.echo(f"{found.name} ({found.state}), as of {utc(int(report.at))}\n")
    for check in report.checks:
        if check.ok:
            click.echo(f"  ok      {check.name:22} {check.received}")
        else:
            click.echo(f"  FAILED  {check.name:22} {check.reason}")
            _print_difference(check.expected, check.received, found, check.reason, " " * 10)
    if report.name_id:
        click.echo(f"\nNameID     {report.name_id}\n           {report.name_id_format}")
    if report.attributes:
        click.echo()
    for attribute in report.attributes:
        use = f"  → {attribute.used_for}" if attribute.used_for else ""
        click.echo(f"Attribute  {attribute.name} = {', '.join(attribute.values)}{use}")
    if report.outcome is not None:
        reason = f" ({report.outcome.reason})" if report.outcome.reason else ""
        proofs = f" (by {' or '.join(report.outcome.proofs)})" if report.outcome.proofs else ""
        click.echo(f"\nAccount    {DECISIONS[report.outcome.decision]}{reason}{proofs}")
        _explain(report.outcome.reason, found, " " * 11)
    for told in report.told:
        click.echo(f"\n{told.client_id} ({told.name})")
        click.echo(f"  ID token  {json.dumps(dict(told.id_token), ensure_ascii=False)}")
        click.echo(f"  userinfo  {json.dumps(dict(told.userinfo), ensure_ascii=False)}")
    click.echo(
        f"\n{'A sign-in would succeed.' if report.ok else 'A sign-in would fail: ' + report.reason} Nothing was written."
    )


def _print_attempt(row: CompanyAttempt, found: SamlConnection) -> None:
    click.echo(f"{row.code}  {utc(row.started_at)}  {row.outcome} {row.reason or ''}".rstrip())
    for step in row.steps:
        if step.reason:
            click.echo(f"    {step.facts.get('check', step.name)}: {step.reason}")
            _print_difference(
                step.facts.get("expected"), step.facts.get("received"), found, step.reason, " " * 6
            )  # fmt: skip


def _print_difference(expected: Any, received: Any, found: SamlConnection, reason: str, margin: str) -> None:
    if expected is not None:
        click.echo(f"{margin}expected  {expected}")
    if received is not None:
        click.echo(f"{margin}received  {received}")
    _explain(reason, found, margin)


def _explain(reason: str, found: SamlConnection, margin: str) -> None:
    from idp.doors.saml_menus import menu_for
    from idp.languages import Languages
    from idp.reasons import REASONS

    known = REASONS.get(reason)
    if known is None:
        return
    words = Languages()
    click.echo(f"{margin}{words.text('en', known.says)} {words.text('en', known.next)}")
    if menu := menu_for(reason, found.vendor, email_is_name_id="email" not in found.attributes):
        click.echo(f"{margin}there: {menu}")
