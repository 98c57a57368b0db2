"""``/help/no-mail``: why a mail has not come, and what became of those that were asked for in this browser.

What it says of them is about the mailbox's own mail server. Whoever an address belongs to, or whether to anybody, makes no difference.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from idp import cookies
from idp.accounts.visitor import visitor
from idp.login.asked_mails import asked_mails
from idp.login.journey import find_if_any
from idp.mail import sender_of
from idp.parts import parts
from idp.rendering import render_page

bp = Blueprint("no_mail", __name__)


@bp.get("/help/no-mail")
def explain() -> Response:
    """Say it; with a sign-in that is under way (``p``) its product's face, and the way back to it."""
    here = parts()
    pending = find_if_any(request.args.get("p", ""))
    session = visitor()
    browser = cookies.find(cookies.BROWSER)
    with here.database.reading() as db:
        asked = asked_mails(here.store, db, browser, here.clock()) if browser is not None else []
    return render_page(
        "login/no_mail.html",
        language=(pending.ui_locales if pending is not None else "") or (session.locale if session else None),
        p=pending.handle if pending is not None else "",
        client=here.clients.find(pending.client_id) if pending is not None else None,
        asked=asked,
        sender=sender_of(here.config).addr_spec,
    )
