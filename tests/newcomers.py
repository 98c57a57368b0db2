"""A door for tests: whoever is named there comes through a social provider, without one. Everything behind it is real."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import asdict
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flask import Blueprint, Flask, Response, request
from werkzeug.test import TestResponse

from idp.accounts.identity import Identity
from idp.app import create_app
from idp.doors.providers import PROVIDERS, Registered
from idp.login.finish import finish
from idp.login.journey import find_pending
from idp.models import Email, Link, OutboxMail
from idp.parts import Parts
from tests import canaries
from tests.journey import Walker

GOOGLE, FACEBOOK = "https://accounts.google.example", "https://facebook.example"

bp = Blueprint("newcomers", __name__)


@bp.get("/test/arrive")
def arrive_here() -> Response:
    """Come back from a provider as the identity in the query."""
    fields = json.loads(request.args["who"])
    identity = Identity(**fields | {"methods": tuple(fields["methods"])})
    pending = find_pending(request.args["p"])
    return finish(pending, identity, kept=pending.keep)


def with_newcomers(parts: Parts) -> Flask:
    """The application of a provider that is registered at three others, with the door for tests."""
    providers = {key: Registered(PROVIDERS[key], "us", "secret") for key in ("google", "facebook", "github")}
    application = create_app(dataclasses.replace(parts, providers=providers))
    application.register_blueprint(bp)
    return application


def google(subject: str = "g-1", email: str | None = "carol@example.org", **facts: Any) -> Identity:
    """Who comes from Google; the address is believed."""
    more = {"email_verified": email is not None, "name": "Carol Example"} | facts
    return Identity("google", GOOGLE, subject, email, methods=(), at=1_800_000_000, **more)


def facebook(subject: str = "f-1", email: str | None = "carol@example.org", **facts: Any) -> Identity:
    """Who comes from Facebook, whose addresses are never believed."""
    more = {"email_verified": False, "name": "Carol Example"} | facts
    return Identity("facebook", FACEBOOK, subject, email, methods=(), at=1_800_000_000, **more)


def handle_in(page: TestResponse) -> str:
    """The pending login that a page is a step of."""
    found = re.search(r'name="p" value="([^"]*)"', page.get_data(as_text=True))
    if found:
        return unescape(found[1])
    return parse_qs(urlsplit(page.request.full_path).query)["p"][0]


def begin(walker: Walker) -> str:
    """Ask to sign in at C1; the handle of it."""
    return handle_in(walker.follow(walker.az()))


def come(walker: Walker, identity: Identity, handle: str = "") -> TestResponse:
    """Come back from a provider, redirects of ours followed."""
    who = {"p": handle or begin(walker), "who": json.dumps(asdict(identity))}
    return walker.follow(walker.get("/test/arrive", query_string=who))


def text(page: TestResponse) -> str:
    """What a page holds."""
    return page.get_data(as_text=True)


def opened(walker: Walker, page: TestResponse) -> bool:
    """Whether the journey has ended at the product with a code."""
    return page.status_code == 303 and "code" in walker.answer_of(page)


def is_signed_in(walker: Walker) -> bool:
    """Whether this browser has a session."""
    return walker.get("/me").status_code == 200


def links(parts: Parts) -> list[tuple[str, str, str]]:
    """Every link: door, subject, how it was proved."""
    with parts.database.reading() as db:
        return [(one.door, one.subject, one.proof.get("by", "")) for one in db.query(Link).order_by(Link.id)]


def mails(parts: Parts) -> list[tuple[str, str]]:
    """Name and recipient of every mail."""
    with parts.database.reading() as db:
        return [(mail.name, mail.recipient) for mail in db.query(OutboxMail).order_by(OutboxMail.id)]


def mailed(parts: Parts, name: str) -> str:
    """The path in the last mail of a name."""
    with parts.database.reading() as db:
        mail = db.query(OutboxMail).filter_by(name=name).order_by(OutboxMail.id.desc()).first()
        assert mail is not None, mails(parts)
        link = parts.sealer.open(mail.values["sealed"], f"{name} {mail.recipient}")["link"]
    return canaries.register(link.partition("=")[2], "link in a mail") and link


def unverify(parts: Parts, account_id: str) -> None:
    """Nobody has proved the account's address."""
    with parts.database.transaction() as db:
        db.query(Email).filter_by(account_id=account_id).one().verified_at = None
