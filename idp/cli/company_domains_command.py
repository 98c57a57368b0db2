"""``idp companies domains``: the proof that an e-mail domain is a company's own."""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any

import click

from idp.cli.company_arguments import AS_JSON, COMPANY, find_company, opened, utc

if TYPE_CHECKING:
    from idp.models import CompanyDomain


@click.group()
def domains() -> None:
    """The e-mail domains of a company: add, check, list, release."""


@domains.command()
@COMPANY
@click.argument("domain")
@AS_JSON
def add(company: str, domain: str, as_json: bool) -> None:
    """Claim DOMAIN for COMPANY, and show the record or the file that proves it. An expired claim gets a new code."""
    from idp import audit
    from idp.domain_proof import claim

    with opened() as (_, database), database.transaction() as db:
        found = find_company(db, company)
        row = _row(claim(db, found.id, domain, actor=audit.operator(), now=time.time(), random=secrets.token_bytes))
    if as_json:
        click.echo(json.dumps(row, indent=2))
        return
    if row["status"] in ("verified", "lost"):
        click.echo(f"{row['domain']} is {row['status']}. Look again: idp companies domains check {company} {domain}")
        return
    click.echo(f"Prove {row['domain']} in one of two ways, until {utc(row['code_expires_at'])}:\n")
    _print_proof(row)
    click.echo(f"\nThen: idp companies domains check {company} {row['domain']}")


@domains.command()
@COMPANY
@click.argument("domain")
@AS_JSON
def check(company: str, domain: str, as_json: bool) -> None:
    """Look for the proof of DOMAIN now: shows what was found, and why it is not enough. Exit code 1 when it is not."""
    from idp import audit
    from idp.dns_lookup import txt_lookup
    from idp.domain_proof import check as check_domain
    from idp.domain_proof import claims, read_domain
    from idp.fetch import Fetcher
    from idp.keys import read_lasting_secrets
    from idp.languages import Languages
    from idp.reasons import REASONS
    from idp.sealing import Sealer

    with opened() as (config, database):
        with database.reading() as db:
            company_id = find_company(db, company).id
        proof = check_domain(
            database,
            company_id,
            domain,
            txt_lookup(config.dns_server),
            Fetcher(config).get,
            sealer=Sealer(read_lasting_secrets(config.keys).derive("mail"), secrets.token_bytes),
            actor=audit.operator(),
            now=time.time(),
        )
        with database.reading() as db:
            [row] = [_row(one) for one in claims(db, company_id) if one.domain == read_domain(domain)]
    if as_json:
        told = {"ok": proof.ok, "method": proof.method, "reasons": list(proof.reasons), "found": list(proof.found)}
        click.echo(json.dumps(row | told, indent=2))
    else:
        click.echo("Found:")
        for line in proof.found:
            click.echo(f"  {line}")
        if proof.ok:
            click.echo(f"{row['domain']} is verified ({proof.method}).")
        else:
            words = Languages()
            for code in proof.reasons:
                reason = REASONS[code]
                click.echo(f"{code}: {words.text('en', reason.says)} {words.text('en', reason.next)}")
            click.echo(f"{row['domain']} is {row['status']}. What is looked for:\n")
            _print_proof(row)
    if not proof.ok:
        raise SystemExit(1)


@domains.command(name="list")
@COMPANY
@AS_JSON
def list_domains(company: str, as_json: bool) -> None:
    """List COMPANY's domains: pending, verified, expired (claim it again), lost (the proof has gone), released."""
    from idp.domain_proof import claims

    with opened() as (_, database), database.reading() as db:
        rows = [_row(one) for one in claims(db, find_company(db, company).id)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        notes = {
            "pending": f"code good until {utc(row['code_expires_at'])}",
            "verified": f"by {row['method']}"
            + (f", not found since {utc(row['missed_since'])}" if row["missed_since"] else ""),
            "released": f"closed until {utc(row['free_at'])}" if row["free_at"] else "",
            "lost": f"held until {utc(row['free_at'])}" if row["free_at"] else "",
        }
        click.echo(f"{row['status']:9} {row['domain']}  {notes.get(row['status'], '')}".rstrip())
    if not rows:
        click.echo(f"None yet: idp companies domains add {company} DOMAIN")


@domains.command()
@COMPANY
@click.argument("domain")
def release(company: str, domain: str) -> None:
    """Give DOMAIN back: its people are sent to COMPANY no more. Verified, it stays closed to others for a cooling-off time."""
    from idp import audit
    from idp.domain_proof import release as release_domain

    with opened() as (_, database), database.transaction() as db:
        found = find_company(db, company)
        release_domain(db, found.id, domain, actor=audit.operator(), now=time.time())
        click.echo(f"{domain} is not {found.name}'s any more.")


def _row(claimed: CompanyDomain) -> dict[str, Any]:
    from idp.domain_evidence import FILE
    from idp.domain_proof import record_of

    names = (
        "domain",
        "status",
        "method",
        "found",
        "code_expires_at",
        "checked_at",
        "verified_at",
        "missed_since",
        "free_at",
    )
    return {name: getattr(claimed, name) for name in names} | {
        "record": record_of(claimed),
        "file": f"https://{claimed.domain}{FILE}",
    }


def _print_proof(row: dict[str, Any]) -> None:
    click.echo(f"  a TXT record at {row['domain']}\n    {row['record']}")
    click.echo(f"  or a file at {row['file']}\n  that holds only\n    {row['record']}")
