"""``idp companies connections``: a company's identity providers — made, shown, changed, and on their way to being used."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from idp.cli.company_arguments import (
    AS_JSON,
    COMPANY,
    CONNECTION,
    YES,
    connections_of,
    find_company,
    find_connection,
    opened,
    print_row,
    read_file,
    sure,
    utc,
)
from idp.cli.company_certificates_command import certificates
from idp.cli.company_changes_command import changes
from idp.cli.company_description import describe, described, name_id_format_of
from idp.errors import OperatorError

if TYPE_CHECKING:
    from idp.connections import SamlConnection

VENDORS = ("entra", "okta", "google", "adfs", "onelogin", "ping", "jumpcloud", "keycloak", "shibboleth", "other")
ATTRIBUTES = ("email", "name", "given_name", "family_name")


@click.group()
def connections() -> None:
    """The identity providers of companies.

    \b
    make and see   add, list, show, metadata, set, replace, remove
    use            go-live, back-to-draft (try it first: idp companies try)
    trust          certificates, roll-key
    kept aside     changes: what metadata says that a person must decide

    CONNECTION is a connection's id, or its name if no other has it.
    """


connections.add_command(certificates)
connections.add_command(changes)


@connections.command()
@COMPANY
@click.option("--name", help="What people choose by, if the company has several. Default: the vendor's name.")
@click.option(
    "--vendor", type=click.Choice(VENDORS), default="other", show_default=True, help="Fills in what it usually sends."
)
@described
@click.option("--name-id-format", metavar="FORMAT", help="email, persistent, unspecified, or a whole URN.")
@click.option(
    "--email-attribute", help="The exact attribute name of the e-mail address. Default: the vendor's, or the NameID."
)
@AS_JSON
def add(
    company: str,
    name: str | None,
    vendor: str,
    name_id_format: str | None,
    email_attribute: str | None,
    as_json: bool,
    **source: Any,
) -> None:
    """Connect an identity provider to COMPANY, as a draft: nobody is sent to it until it has been tried and is live.

    \b
    idp companies connections add acme.example --vendor okta --metadata-url https://acme.okta.com/app/…/sso/saml/metadata
    idp companies connections add acme.example --vendor adfs --metadata-file FederationMetadata.xml
    idp companies connections add acme.example --entity-id https://idp.acme.example \\
        --sign-on-url https://idp.acme.example/sso --certificate idp.pem --email-attribute mail
    """
    from idp import audit
    from idp.doors.saml_presets import PRESETS

    preset, now = PRESETS[vendor], time.time()
    attributes = dict(preset.attributes)
    if email_attribute is not None:
        attributes["email"] = email_attribute
    wanted = name_id_format_of(name_id_format) or (preset.name_id_format if vendor != "other" else None)
    with opened() as (config, database):
        description, document, kind = describe(config, now, wanted, email_attribute, **source)
        with database.transaction() as db:
            found = find_company(db, company)
            added = connections_of(config).add(
                db,
                found.id,
                description,
                name=name or preset.name,
                vendor=vendor,
                name_id_format=wanted,
                attributes=attributes,
                hint=preset.hint,
                metadata_url=source["metadata_url"],
                metadata_certificate=_pem_of(source["metadata_certificate"]),
                document=document,
                source=kind,
                actor=audit.operator(),
                now=now,
                random=secrets.token_bytes,
            )
    if as_json:
        click.echo(json.dumps(_row(added), indent=2))
        return
    click.echo(f"{added.name} is connected as a draft, with the id {added.id}. Enter there:\n")
    _print_ours(added)
    click.echo(f"\nThen try it: idp companies try {added.id}")


@connections.command(name="list")
@COMPANY
@AS_JSON
def list_connections(company: str, as_json: bool) -> None:
    """List COMPANY's connections."""
    with opened() as (config, database), database.reading() as db:
        rows: list[dict[str, Any]] = [
            {"id": one.id, "name": one.name, "vendor": one.vendor, "state": one.state, "entity_id": one.idp_entity_id}
            | {"tested_at": one.tested_at, "metadata_problem": one.metadata_problem}
            for one in connections_of(config).of_company(db, find_company(db, company).id)
        ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        problem = f"  metadata: {row['metadata_problem']}" if row["metadata_problem"] else ""
        click.echo(f"{row['id']}  {row['state']:6} {row['name']}  {row['entity_id']}{problem}")
    if not rows:
        click.echo(f"None yet: idp companies connections add {company} …")


@connections.command()
@CONNECTION
@AS_JSON
def show(connection: str, as_json: bool) -> None:
    """Show CONNECTION: what its identity provider is to be given, and what is known of it."""
    from idp.models import Connection

    with opened() as (config, database), database.reading() as db:
        found = find_connection(db, config, connection)
        row = db.get_one(Connection, found.id)
        times = ("metadata_url", "metadata_read_at", "metadata_due_at", "metadata_problem", "tested_at",
                 "administrator_signed_in_at", "created_at")  # fmt: skip
        shown = _row(found) | {name: getattr(row, name) for name in times}
        aside = len(connections_of(config).kept_aside(db, found.id))
    if as_json:
        click.echo(json.dumps(shown | {"kept_aside": aside}, indent=2))
        return
    click.echo("To be entered at the identity provider:\n")
    _print_ours(found)
    click.echo("\nWhat is known of it:\n")
    print_row({name: value for name, value in shown.items() if name not in ("ours", "certificates", "keys")})
    for certificate in found.certificates:
        click.echo(f"certificate            {_until(certificate)}")
    if aside:
        click.echo(f"\nMetadata waits for a decision: idp companies connections changes list {found.id}")


@connections.command()
@CONNECTION
def metadata(connection: str) -> None:
    """Print our SAML metadata for CONNECTION, as its identity provider can read it."""
    from idp.doors.saml import sp_metadata

    with opened() as (config, database), database.reading() as db:
        found = find_connection(db, config, connection)
    click.echo(sp_metadata(found).decode())


@connections.command(name="set")
@CONNECTION
@click.argument("values", metavar="KEY=VALUE...", nargs=-1, required=True)
def set_values(connection: str, values: tuple[str, ...]) -> None:
    """Change how CONNECTION is read. A tested one is a draft again afterwards, a live one stays live.

    \b
    name="Acme Okta"            what people choose by
    vendor=okta                 whose menus are named in explanations
    name_id_format=persistent   email, persistent, unspecified, or a whole URN
    email=mail                  exact attribute names; email= means that the NameID is the address
    name_attribute= given_name= family_name=
    hint=login_hint             how the typed address is passed on: subject, login_hint, username, none
    metadata_url=https://…      read again on schedule; metadata_url= ends that
    metadata_certificate=       metadata needs no signature any more (to demand one: replace --metadata-certificate)
    contexts={"urn:…":{"acr":"2","amr":["mfa"]}}   what a proof at the company counts for, as JSON
    """
    from idp import audit

    with opened() as (config, database), database.transaction() as db:
        found = find_connection(db, config, connection)
        settings = _settings(found, values)
        changed = connections_of(config).change(db, found.id, **settings, actor=audit.operator(), now=time.time())
        click.echo(f"Written. {changed.name} is {changed.state}.")


@connections.command()
@CONNECTION
@described
def replace(connection: str, **source: Any) -> None:
    """Describe CONNECTION's identity provider anew: addresses and all certificates, by metadata or by hand."""
    from idp import audit

    now = time.time()
    with opened() as (config, database):
        with database.reading() as db:
            found = find_connection(db, config, connection)
        description, document, kind = describe(
            config, now, found.name_id_format, found.attributes.get("email"), **source
        )  # fmt: skip
        settings = {"metadata_url": source["metadata_url"]} if source["metadata_url"] else {}
        if source["metadata_certificate"] is not None:
            settings["metadata_certificate"] = _pem_of(source["metadata_certificate"])
        with database.transaction() as db:
            changed = connections_of(config).change(
                db, found.id, description=description, document=document, source=kind, actor=audit.operator(), now=now,
                **settings,
            )  # fmt: skip
        click.echo(f"Written. {changed.name} is {changed.state}.")


@connections.command()
@CONNECTION
@YES
def remove(connection: str, yes: bool) -> None:
    """Take CONNECTION away. The accounts of who came through it stay."""
    from idp import audit

    with opened() as (config, database):
        with database.reading() as db:
            found = find_connection(db, config, connection)
        sure(f"Take {found.name} ({found.idp_entity_id}) away?", yes)
        with database.transaction() as db:
            connections_of(config).remove(db, found.id, actor=audit.operator(), now=time.time())
        click.echo(f"{found.name} is gone.")


@connections.command()
@CONNECTION
def go_live(connection: str) -> None:
    """Send the people of the company's domains to CONNECTION from now on. It must have been tried: idp companies try."""
    from idp import audit

    with opened() as (config, database), database.transaction() as db:
        found = find_connection(db, config, connection)
        connections_of(config).go_live(db, found.id, actor=audit.operator(), now=time.time())
        click.echo(f"{found.name} is live. Back: idp companies connections back-to-draft {found.id}")


@connections.command()
@CONNECTION
def back_to_draft(connection: str) -> None:
    """Send nobody to CONNECTION any more; it must be tried again before it can go live."""
    from idp import audit

    with opened() as (config, database), database.transaction() as db:
        found = find_connection(db, config, connection)
        connections_of(config).back_to_draft(db, found.id, actor=audit.operator(), now=time.time())
        click.echo(f"{found.name} is a draft: nobody is sent to it.")


@connections.command()
@CONNECTION
def roll_key(connection: str) -> None:
    """Go one step on with our own key pair towards CONNECTION: publish a next one; the second time, sign with it.

    Between the two its IT reads our metadata again. The old one still opens what is encrypted for it, until the step after.
    """
    from idp import audit

    with opened() as (config, database), database.transaction() as db:
        found = find_connection(db, config, connection)
        rolled = connections_of(config).roll_key(
            db, found.id, actor=audit.operator(), now=time.time(), random=secrets.token_bytes
        )
        if any(key.state == "next" for key in rolled.keys):
            click.echo(f"The next key is published in {rolled.entity_id}. When it was read there, run this again.")
        else:
            click.echo("The next key signs now. The old one still opens what is encrypted for it.")


def _settings(connection: SamlConnection, values: tuple[str, ...]) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    attributes = dict(connection.attributes)
    seen = set()
    for change in values:
        key, equals, text = change.partition("=")
        if not equals or key in seen:
            raise OperatorError(f"{change[:100]!r}: must be KEY=VALUE, each KEY once.")
        seen.add(key)
        if (meaning := "name" if key == "name_attribute" else key) in ATTRIBUTES and key != "name":
            attributes[meaning] = text
            wanted["attributes"] = attributes
        elif key in ("name", "vendor", "hint"):
            wanted[key] = text
        elif key == "name_id_format":
            wanted[key] = name_id_format_of(text)
        elif key == "metadata_url" or (key == "metadata_certificate" and not text):
            wanted[key] = text or None
        elif key == "contexts":
            try:
                wanted[key] = json.loads(text or "{}")
            except (ValueError, RecursionError):
                raise OperatorError("contexts: must be a JSON object.") from None
        else:
            raise OperatorError(f"{key[:100]!r} cannot be set. See: idp companies connections set --help")
    if "attributes" in wanted:
        wanted["attributes"] = {meaning: name for meaning, name in attributes.items() if name}
    return wanted


def _pem_of(file: Path | None) -> str | None:
    from idp.certificates import read_certificates, to_pem

    return "".join(map(to_pem, read_certificates(read_file(file)))) if file is not None else None


def _row(found: SamlConnection) -> dict[str, Any]:
    from idp.certificates import begins, ends, fingerprint

    names = ("id", "company_id", "name", "vendor", "state", "idp_entity_id", "sso_url", "sso_binding", "slo_url",
             "slo_binding", "slo_response_url", "name_id_format", "hint")  # fmt: skip
    return {name: getattr(found, name) for name in names} | {
        "attributes": dict(found.attributes),
        "contexts": dict(found.contexts),
        "ours": {"entity_id": found.entity_id, "acs": found.acs, "slo": found.slo},
        "certificates": [
            {"fingerprint": fingerprint(one), "not_before": begins(one), "not_after": ends(one)}
            for one in found.certificates
        ],
        "keys": [
            {"state": key.state, "fingerprint": fingerprint(key.certificate), "not_after": ends(key.certificate)}
            for key in found.keys
        ],
    }


def _print_ours(found: SamlConnection) -> None:
    from idp.certificates import to_pem

    click.echo(f"Entity ID (audience)   {found.entity_id}")
    click.echo(f"ACS (reply) address    {found.acs}   (by POST)")
    click.echo(f"Sign-out address       {found.slo}")
    click.echo(f"NameID format          {found.name_id_format}")
    if found.attributes:
        click.echo(f"Attributes             {', '.join(f'{name} ({use})' for use, name in found.attributes.items())}")
    click.echo(f"Metadata               {found.entity_id}")
    click.echo(f"Our certificate\n{to_pem(found.keys[0].certificate).strip()}")


def _until(certificate: Any) -> str:
    from idp.certificates import ends, fingerprint

    return f"{fingerprint(certificate)}  until {utc(ends(certificate))}"
