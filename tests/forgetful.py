"""Somebody who forgets their password: asks for a mail, opens the link in it, chooses another one."""

from __future__ import annotations

from werkzeug.test import TestResponse

from idp.models import OutboxMail
from idp.parts import Parts
from tests import canaries
from tests.journey import Walker

NEW = canaries.register("nine lives of a different cat", "password")


def ask(walker: Walker, email: str = "carol@example.org") -> TestResponse:
    """Ask for the mail, whatever the page answers."""
    return walker.submit(walker.get("/forgot"), "/forgot", username=email)


def mails(parts: Parts) -> list[tuple[str, str]]:
    """Name and recipient of every mail."""
    with parts.database.reading() as db:
        return [(mail.name, mail.recipient) for mail in db.query(OutboxMail).order_by(OutboxMail.id)]


def reset_link(parts: Parts, number: int = -1) -> str:
    """The path in one of the mails with a link, the newest unless said otherwise."""
    with parts.database.reading() as db:
        mail = db.query(OutboxMail).filter_by(name="reset_password").order_by(OutboxMail.id).all()[number]
        link = parts.sealer.open(mail.values["sealed"], f"reset_password {mail.recipient}")["link"]
    canaries.register(link.partition("=")[2], "link in a mail")
    return link


def set_new(walker: Walker, link: str, password: str = NEW, **fields: str) -> TestResponse:
    """Open a link, choose a password; wherever that leads."""
    page = walker.follow(walker.get(link))
    assert 'id="reset-page"' in page.get_data(as_text=True), page.get_data(as_text=True)
    return walker.follow(walker.submit(page, "/reset", password=password, **fields))
