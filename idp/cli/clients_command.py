"""``idp clients``: see and change the relying parties of clients.yaml. How to: docs/operators/add-client.md."""

from __future__ import annotations

import json
import re
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from idp.cli.operator_audit import record_acts
from idp.client_changes import ClientsFile, add_client, rotate_secret
from idp.client_record import Client
from idp.clients import Problem, Reading, read_file
from idp.config import Config, read_config, read_references
from idp.errors import OperatorError
from idp.parts import clients_path

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Overlap(click.ParamType[int]):
    """A duration such as 7d, 12h, 30m or 0."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.match(r"(\d{1,6})([smhd])\Z", value)
        if value != "0" and found is None:
            self.fail("write it like 7d, 12h, 30m, or 0", param, ctx)
        return int(found[1]) * _UNITS[found[2]] if found else 0


@click.group("clients")
def clients_command() -> None:
    """Relying parties: check, list, show, add, rotate-secret."""


@clients_command.command(name="check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def check_clients(file: Path | None, as_json: bool) -> None:
    """Check clients.yaml, or FILE before it takes its place: each problem with line and remedy.

    Exit code 1 when a provider would not take the file. Warnings switch single clients off.
    """
    config = read_config()
    reading = read_file(file or clients_path(config), read_references(), loopback=config.on_loopback)
    problems = [*reading.problems, *_without_keys(reading, config)]
    wrong = any(not problem.warning for problem in problems)
    if as_json:
        rows = [{"line": p.line, "message": p.message, "remedy": p.remedy, "warning": p.warning} for p in problems]
        click.echo(json.dumps({"file": reading.file, "clients": len(reading.clients), "problems": rows}, indent=2))
    else:
        for problem in problems:
            click.echo(f"{'warning: ' if problem.warning else ''}{problem}")
        if not wrong:
            click.echo(f"{reading.file}: {len(reading.clients)} clients, and the file is right.")
    if wrong:
        raise SystemExit(1)


@clients_command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def list_clients(as_json: bool) -> None:
    """List all clients."""
    clients = _read(read_config()).clients.values()
    if as_json:
        click.echo(json.dumps({"clients": [_values(client) for client in clients]}, indent=2))
        return
    for client in clients:
        kind = client.type if client.first_party else f"{client.type}, third-party"
        click.echo(f"{client.client_id:24} {kind:20} {'on ' if client.enabled else 'off'}  {client.name}")


@clients_command.command(name="show")
@click.argument("client_id")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def show_client(client_id: str, as_json: bool) -> None:
    """Show a client with every setting that holds, also those that the file leaves out."""
    client = _read(read_config()).clients.get(client_id)
    if client is None:
        raise OperatorError(f"There is no client {client_id!r}. See: idp clients list")
    values = _values(client)
    if as_json:
        click.echo(json.dumps(values, indent=2))
        return
    for name, value in values.items():
        shown = value if isinstance(value, str) else json.dumps(value)
        if isinstance(value, list):
            shown = "\n".ljust(41).join(item if isinstance(item, str) else json.dumps(item) for item in value) or "none"
        given = "" if name in client.model_fields_set else "  (default)"
        click.echo(f"{name:39} {shown}{given}")


@clients_command.command(name="add")
@click.argument("client_id")
@click.option("--name", required=True, help="What people read on the sign-in page.")
@click.option("--type", "kind", required=True, type=click.Choice(["web", "spa", "native"]), help="Where it runs.")
@click.option(
    "--redirect-uri", "redirect_uris", required=True, multiple=True, help="Where people return to. Repeatable."
)
@click.option("--post-logout-redirect-uri", "after_logout", multiple=True, help="Where they go after signing out.")
@click.option("--third-party", is_flag=True, help="Somebody else's: people are asked for consent.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def add(
    client_id: str,
    name: str,
    kind: str,
    redirect_uris: tuple[str, ...],
    after_logout: tuple[str, ...],
    third_party: bool,
    as_json: bool,
) -> None:
    """Write a new client into clients.yaml. Its secret is shown once, here."""
    config = read_config()
    settings: dict[str, Any] = {"name": name, "type": kind}
    if third_party:
        settings["first_party"] = False
    settings["redirect_uris"] = redirect_uris
    if after_logout:
        settings["post_logout_redirect_uris"] = after_logout
    secret = secrets.token_urlsafe(32) if kind == "web" else None
    file = _own_file(config)
    add_client(file, client_id, settings, secret)
    record_acts(config, ("clients_added", {"client_id": client_id, "type": kind, "first_party": not third_party}))
    if as_json:
        click.echo(json.dumps({"client_id": client_id, "client_secret": secret, "file": str(file.path)}, indent=2))
        return
    click.echo(f"{client_id} is in {file.path}. A running provider takes it within a second.")
    click.echo(f"issuer         {config.issuer}\nclient_id      {client_id}")
    if secret:
        click.echo(f"client_secret  {secret}\nThe secret is shown only now: the file holds its hash.")


@clients_command.command(name="rotate-secret")
@click.argument("client_id")
@click.option("--overlap", type=Overlap(), default="7d", show_default=True, help="How long the old one stays valid.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def rotate_client_secret(client_id: str, overlap: int, as_json: bool) -> None:
    """Give a client a new secret, shown once. Both are valid during the overlap; 0 ends the old one at once."""
    config, now = read_config(), time.time()
    secret = secrets.token_urlsafe(32)
    ends = rotate_secret(_own_file(config), client_id, secret, overlap, now)
    record_acts(config, ("clients_secret_rotated", {"client_id": client_id, "overlap": overlap}))
    until = None if ends is None else datetime.fromtimestamp(ends, UTC)
    if as_json:
        iso = until and until.strftime("%Y-%m-%dT%H:%M:%SZ")
        click.echo(json.dumps({"client_id": client_id, "client_secret": secret, "old_secret_until": iso}, indent=2))
        return
    click.echo(
        f"client_id      {client_id}\nclient_secret  {secret}\nThe secret is shown only now: the file holds its hash."
    )
    if until:
        click.echo(
            f"The old one is valid until {until:%Y-%m-%d %H:%M:%S} UTC. Put the new one into the product before."
        )
    else:
        click.echo("No other secret is valid: the product cannot sign anybody in until it has this one.")


def _read(config: Config) -> Reading:
    """The file, which must be right.

    :raises OperatorError: with every problem, when it is not.
    """
    reading = read_file(clients_path(config), read_references(), loopback=config.on_loopback)
    if reading.errors:
        raise OperatorError("\n".join(str(problem) for problem in reading.errors))
    return reading


def _own_file(config: Config) -> ClientsFile:
    """The file that commands may change: never the shipped examples."""
    path = config.clients if config.clients is not None else Path("clients.yaml")
    return ClientsFile(path, read_references(), config.on_loopback)


def _without_keys(reading: Reading, config: Config) -> list[Problem]:
    from idp.keys import read_ring

    if not (config.keys / "ring.json").exists():
        return []  # the first start makes keys for all that the file asks for
    return reading.without_keys({key.alg for key in read_ring(config.keys) if key.state == "signing"})


def _values(client: Client) -> dict[str, Any]:
    values = client.model_dump(mode="json", exclude={"secrets"})
    values["secrets"] = [
        {"from": f"${{{secret.reference}}}" if secret.reference else "hash", "expires": _iso(secret.expires)}
        for secret in client.secrets
    ]
    return values


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
