"""``/help``: where everything leads on that has failed: what it means, who can mend it, and how to reach support with the code.

The page says what stands in the reasons table and looks nothing up: whoever has somebody's code learns nothing here.
"""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote

from flask import Blueprint, Response, request

from idp.accounts.visitor import visitor
from idp.errors import Unavailable
from idp.login.journey import find_if_any
from idp.parts import parts
from idp.reasons import REASONS
from idp.receipts import read_code
from idp.rendering import choose_language, render_page

bp = Blueprint("ask_for_help", __name__)


@bp.get("/help")
def show_help() -> Response:
    """Say it. ``receipt``: the code that a page has shown; ``about``: the reason that stood there; ``p``: the sign-in under way."""
    here = parts()
    receipt = read_code(request.args.get("receipt", ""))
    reason = REASONS.get(request.args.get("about", ""))
    if reason is not None and not here.languages.has(reason.says):  # only developers read of it
        reason = None
    pending = session = None
    with suppress(Unavailable):  # help is needed most where nothing works
        pending = find_if_any(request.args.get("p", ""))
        session = visitor()
    locale = (pending.ui_locales if pending is not None else "") or (session.locale if session else None)
    client = here.clients.find(pending.client_id) if pending is not None else None
    return render_page(
        "login/help.html",
        language=locale,
        p=pending.handle if pending is not None else "",
        client=client,
        back=client.client_uri if client is not None else None,
        receipt=receipt,
        reason=reason,
        contact=_contact(receipt, choose_language(locale)),
        signed_in=session is not None,
    )


def _contact(receipt: str | None, language: str) -> str:
    """The address of support; a mail to it begins with the code. "" where there is none."""
    here = parts()
    support = here.config.support
    if "@" not in support or ":" in support:
        return support
    subject = here.languages.text(language, "help.subject", host=here.config.host)
    return f"mailto:{support}?subject={quote(f'{subject} {receipt}' if receipt else subject)}"
