"""``idp doctor``: is what runs here what it should be? How to: docs/operators/doctor.md."""

from __future__ import annotations

import json
import random as chances
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from idp.config import Config, read_config, read_references

if TYPE_CHECKING:
    from idp.admin.enumeration import Difference, Form, Place
    from idp.parts import Parts


@click.group("doctor")
def doctor_command() -> None:
    """Look for what should not be: enumeration."""


@doctor_command.command()
@click.option("--without-times", is_flag=True, help="Compare what is answered, but not how long it takes.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def enumeration(without_times: bool, as_json: bool) -> None:
    """Find out whether any public form tells who has an account here. Exit code 1 when one does.

    Takes the clients, providers, templates and settings that run here, but people and companies of its own in a database that it
    throws away: nobody is written to, and nothing that lasts is touched.
    """
    from idp.admin.enumeration import compare_answers, compare_times, comparisons, uncovered

    with _place(read_config()) as (place, forms, rules):
        found: list[Difference] = []
        forgotten = uncovered(rules)
        plan = list(comparisons(forms))
        tests = sum(len(kinds) - 1 for _, _, kinds in plan)
        shuffle = chances.SystemRandom().shuffle
        with click.progressbar(plan, label="Looking", hidden=as_json) as bar:
            for form, domain, kinds in bar:
                found += compare_answers(place, form, domain, kinds)
                if not without_times:
                    found += compare_times(place, form, domain, kinds, tests=tests, shuffle=shuffle)
    if as_json:
        click.echo(json.dumps({"differences": [asdict(one) for one in found], "uncovered": forgotten}, indent=2))
    else:
        for one in found:
            click.echo(f"{one.form}: {_says(one)}")
        for path in forgotten:
            click.echo(f"{path}: nobody has said whether this form takes an address (idp/admin/enumeration.py)")
        click.echo(f"{len(forms)} forms, {tests} comparisons, {len(found)} differences.")
    if found or forgotten:
        raise SystemExit(1)


def _says(one: Difference) -> str:
    if one.what == "reached":
        return f"{one.told} ({one.domain})"
    language = f" ({one.language})" if one.language else ""
    return f"{one.kind} is told from {one.against} at {one.domain} by {one.what}{language}: {one.told}"


@contextmanager
def _place(live: Config) -> Iterator[tuple[Place, tuple[Form, ...], list[str]]]:
    """What runs here, with people of its own; the forms to try, and the paths of all forms that there are."""
    from idp.admin.enumeration import FORMS, Place
    from idp.admin.probe_people import ProbePeople, make_companies
    from idp.app import create_app
    from idp.clients import Clients
    from idp.cookies import BROWSER, cookie_name
    from idp.database import Database
    from idp.embedded_server import EmbeddedServer
    from idp.keys import create_keys
    from idp.logs import configure
    from idp.parts import build, clients_path

    configure("ERROR")
    with tempfile.TemporaryDirectory(prefix="idp-doctor-") as folder:
        away = {
            "data": Path(folder) / "data",
            "keys": Path(folder) / "keys",
            "database_url": "",
            "redis_url": "",
            "smtp": "",
        }
        config = live.model_copy(update=away)
        clients = Clients(clients_path(config), read_references(), loopback=config.on_loopback)
        create_keys(config.keys, clients.algorithms(), time.time())
        with closing(Database(config)) as database:
            database.upgrade()
        with (
            EmbeddedServer.start(config.data) as server,
            closing(build(config, read_references(), redis_url=server.url)) as parts,
        ):
            with parts.database.transaction() as db:
                make_companies(db, parts.connections, now=parts.clock(), random=parts.random)
            people = ProbePeople(
                parts.database,
                parts.store,
                parts.hasher.hash(secrets.token_urlsafe()),
                secrets.token_bytes,
                parts.clock,
            )
            app = create_app(parts)
            place = Place(
                app,
                config.issuer,
                cookie_name(BROWSER, secure=config.secure),
                people.make,
                partial(_greet, parts),
            )
            forms = tuple(form for form in FORMS if parts.providers or not form.newcomer)
            rules = [rule.rule for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())]
            yield place, forms, rules


def _greet(parts: Parts, browser: str, handle: str) -> None:
    """Let the sign-in be one that a social provider has just sent somebody to, of whom it knows no address."""
    from idp.accounts.identity import Identity
    from idp.login import pending
    from idp.login.arrival import Newcomer, write_newcomer

    now = parts.clock()
    somebody = Identity(
        next(iter(parts.providers)),
        "https://social.example.org",
        parts.random(8).hex(),
        None,
        email_verified=False,
        name=None,
        methods=(),
        at=int(now),
    )
    pending.find(parts.store, handle, browser, now, newcomer=write_newcomer(Newcomer(somebody)))
