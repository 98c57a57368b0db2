"""``/help/mail``: which mails come from here, for people who look for one and for those who run their mail servers."""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, Response

from idp.accounts.visitor import visitor
from idp.errors import Unavailable
from idp.mail import sender_of
from idp.parts import parts
from idp.rendering import render_page

bp = Blueprint("mail_help", __name__)


@bp.get("/help/mail")
def show_mails() -> Response:
    """The sender, where links lead, when we write, and what to put on a list of what is let through."""
    here = parts()
    session = None
    with suppress(Unavailable):
        session = visitor()
    sender = sender_of(here.config)
    return render_page(
        "login/mail_help.html",
        language=session.locale if session is not None else None,
        sender=sender.addr_spec,
        domain=sender.domain,
        issuer=here.config.issuer,
    )
