"""``idp keys``: see the signing keys and move them on. The runbook is docs/operators/rotate-keys.md."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from idp.cli.operator_audit import record_acts
from idp.config import Config, read_config, read_references
from idp.keys import ALGORITHMS, KeyRecord, Rotation, TooEarly, prune, read_ring, replace_lost, revoke, rotate

if TYPE_CHECKING:
    from idp.clients import Reading

LONGEST_ID_TOKEN = 86_400  # what clients.yaml allows at most


@click.group("keys")
def keys_command() -> None:
    """Signing keys: list, rotate, prune, revoke, replace-lost."""


@keys_command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def list_keys(as_json: bool) -> None:
    """List all keys with their states, and what is allowed next."""
    config, now = read_config(), time.time()
    records = sorted(
        read_ring(config.keys), key=lambda key: (ALGORITHMS.index(key.alg), _ORDER[key.state], -key.created_at)
    )
    if as_json:
        click.echo(json.dumps({"keys": [_row(key, config, now) for key in records]}, indent=2))
        return
    for key in records:
        click.echo(f"{key.alg:6} {key.kid:24} {key.state:8} since {_time(_since(key))}   {_outlook(key, config, now)}")


@keys_command.command(name="rotate")
@click.option("--alg", type=click.Choice(ALGORITHMS), help="Only this algorithm; makes its first keys if it has none.")
@click.option("--emergency", is_flag=True, help="Do not wait until relying parties can know the next key.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def rotate_keys(alg: str | None, emergency: bool, as_json: bool) -> None:
    """Let the next key sign; retire the old one; publish a new next one.

    Refuses, with exit code 1, while the next key is not public for longer than relying parties may cache /jwks.
    """
    config, now = read_config(), time.time()
    done = rotate(
        config.keys,
        [alg] if alg else [],
        now,
        jwks_max_age=config.jwks_max_age,
        longest_token=_longest_id_token(config),
        emergency=emergency,
    )
    if isinstance(done, TooEarly):
        if as_json:
            click.echo(
                json.dumps({"rotated": False, "kid": done.kid, "ready_at": _iso(done.ready_at), "wait": done.wait})
            )
        else:
            click.echo(
                f"Nothing was changed. {done.kid} is not public for long enough: relying parties may still work with a\n"
                f"/jwks that lacks it. Wait {_duration(done.wait)}, until {_time(done.ready_at)}, and run this again.\n"
                "(--emergency does not wait, and some sign-ins then fail until relying parties fetch /jwks again.)"
            )
        raise SystemExit(1)
    record_acts(config, *_acts(done))
    if as_json:
        click.echo(json.dumps(_as_json(done), indent=2))
    else:
        _tell(done, config, now)


@keys_command.command(name="prune")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def prune_keys(as_json: bool) -> None:
    """Take retired keys out of /jwks once the last token that they signed has expired."""
    config, now = read_config(), time.time()
    pruned = prune(config.keys, now)
    if pruned:
        record_acts(config, ("keys_pruned", {"kids": " ".join(pruned)}))
    waiting = [key for key in read_ring(config.keys) if key.state == "retired"]
    if as_json:
        click.echo(json.dumps({"pruned": pruned, "waiting": [_row(key, config, now) for key in waiting]}, indent=2))
        return
    for kid in pruned:
        click.echo(f"{kid} is gone.")
    for key in waiting:
        click.echo(
            f"{key.kid} stays public until {_time(key.public_until or 0)}: tokens that it signed are still valid."
        )
    if not pruned and not waiting:
        click.echo("Nothing to prune.")


@keys_command.command(name="revoke")
@click.argument("kid")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def revoke_key(kid: str, as_json: bool) -> None:
    """Take a stolen key out of use at once and for ever: nothing that it signed counts any more."""
    config, now = read_config(), time.time()
    done = revoke(config.keys, kid, now)
    record_acts(
        config,
        ("keys_revoked", {"alg": done.alg, "kid": done.kid, "was": done.was, "signing": done.signing or ""}),
    )
    if as_json:
        values = {"kid": done.kid, "alg": done.alg, "was": done.was, "signing": done.signing, "next": done.next}
        click.echo(json.dumps(values, indent=2))
        return
    last = _time(now + config.jwks_max_age)
    click.echo(f"{done.kid} is revoked. It is out of /jwks, and we accept nothing that it signed.")
    click.echo(
        f"Relying parties that cached /jwks may accept it until {last}; only they can drop it sooner: tell them."
    )
    if done.signing:
        click.echo(
            f"{done.signing} signs from now on. Where it is not known yet, sign-ins fail until that relying party fetches\n"
            f"/jwks again, at the latest at {last}."
        )
    click.echo(
        "Sessions, access and refresh tokens go on: no key signs them. What to do next: docs/operators/rotate-keys.md"
    )


@keys_command.command(name="replace-lost")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def replace_lost_keys(as_json: bool) -> None:
    """Make anew what the keys folder has lost, when no backup has it. What is there stays.

    A new ring.json: products fail to sign people in until they fetch /jwks again. A new secrets.json: every person is a
    stranger to every product with pairwise subjects, for ever.
    """
    config = read_config()
    done = replace_lost(config.keys, _read_clients(config).algorithms, time.time())
    record_acts(config, *(("keys_created", {"alg": alg}) for alg in done.algorithms))
    if as_json:
        click.echo(
            json.dumps({"keys": str(config.keys), "algorithms": done.algorithms, "secrets": done.secrets}, indent=2)
        )
        return
    if done.algorithms:
        click.echo(f"{config.keys}: new keys for {', '.join(done.algorithms)} sign from now on.")
    if done.secrets:
        click.echo(f"{config.keys}: new secrets. Restart the provider, if it runs: it holds the old ones.")
    if not done.algorithms and not done.secrets:
        click.echo(f"{config.keys}: nothing is lost.")


_ORDER = {"signing": 0, "next": 1, "retired": 2, "gone": 3}


def _read_clients(config: Config) -> Reading:
    from idp.clients import read_file
    from idp.parts import clients_path

    return read_file(clients_path(config), read_references(), loopback=config.on_loopback)


def _longest_id_token(config: Config) -> int:
    reading = _read_clients(config)
    if reading.errors:
        # A provider goes on with the last good file, which we do not know here: assume the longest that any may have.
        return LONGEST_ID_TOKEN
    return max(client.id_token_lifetime for client in reading.clients.values())


def _acts(done: Rotation) -> list[tuple[str, dict[str, str | int | bool]]]:
    acts: list[tuple[str, dict[str, str | int | bool]]] = []
    for swap in done.swaps:
        if swap.retired is None:
            acts.append(("keys_created", {"alg": swap.alg, "signing": swap.signing}))
        else:
            facts = {"alg": swap.alg, "signing": swap.signing, "retired": swap.retired}
            acts.append(("keys_rotated", {**facts, "emergency": swap.signing in done.hurried}))
    if done.pruned:
        acts.append(("keys_pruned", {"kids": " ".join(done.pruned)}))
    return acts


def _tell(done: Rotation, config: Config, now: float) -> None:
    for swap in done.swaps:
        if swap.retired is None:
            click.echo(
                f"{swap.alg}: {swap.signing} signs; {swap.next} is published and comes next. These are the first keys."
            )
            continue
        click.echo(f"{swap.alg}: {swap.signing} signs; {swap.next} is published and comes next.")
        click.echo(
            f"{'':{len(swap.alg)}}  {swap.retired} is retired and stays public until {_time(swap.public_until or 0)}."
        )
    for kid in done.pruned:
        click.echo(f"{kid} is gone.")
    if done.hurried:
        click.echo(
            f"\nIn a hurry: {', '.join(done.hurried)} was not public for {_duration(config.jwks_max_age)}. Sign-ins fail at each\n"
            "relying party that cached /jwks before and does not fetch it again when it meets an unknown kid, at the latest\n"
            f"until {_time(now + config.jwks_max_age)}. The retired key still counts: if it was stolen, run idp keys revoke."
        )
    if any(swap.retired for swap in done.swaps):
        click.echo(f"The next rotation is possible from {_time(now + config.jwks_max_age)} on.")


def _as_json(done: Rotation) -> dict[str, Any]:
    return {
        "rotated": True,
        "keys": [
            {
                "alg": swap.alg,
                "signing": swap.signing,
                "retired": swap.retired,
                "public_until": _iso(swap.public_until),
                "next": swap.next,
            }
            for swap in done.swaps
        ],
        "pruned": done.pruned,
        "hurried": done.hurried,
    }


def _row(key: KeyRecord, config: Config, now: float) -> dict[str, Any]:
    ready_at = key.ready_at(config.jwks_max_age) if key.state == "next" else None
    return {
        "kid": key.kid,
        "alg": key.alg,
        "state": key.state,
        "revoked": key.revoked,
        "created_at": _iso(key.created_at),
        "signing_at": _iso(key.signing_at),
        "retired_at": _iso(key.retired_at),
        "public_until": _iso(key.public_until),
        "gone_at": _iso(key.gone_at),
        "ready_at": _iso(ready_at),
        "ready": ready_at is not None and ready_at <= now,
    }


def _since(key: KeyRecord) -> int:
    return {"next": key.created_at, "signing": key.signing_at, "retired": key.retired_at, "gone": key.gone_at}[
        key.state
    ] or 0


def _outlook(key: KeyRecord, config: Config, now: float) -> str:
    if key.state == "signing":
        return "signs"
    if key.state == "gone":
        return "revoked" if key.revoked else ""
    if key.state == "next":
        wait = key.ready_at(config.jwks_max_age) - now
        if wait > 0:
            return f"may sign in {_duration(wait)}, from {_time(now + wait)} on"
        return "may sign now: idp keys rotate"
    until = key.public_until or 0
    if until > now:
        return f"public until {_time(until)}, in {_duration(until - now)}"
    return "no longer needed: idp keys prune"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _iso(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(seconds: float) -> str:
    seconds = int(-(-seconds // 1))
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{-(-seconds // size)} {name}s"
    return f"{seconds} second{'' if seconds == 1 else 's'}"
