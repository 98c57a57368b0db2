"""``/set-up``: where a set-up link leads. Opening it changes nothing, since programs open links too; pressing the button begins."""

from __future__ import annotations

from flask import Blueprint, Response

from idp import cookies, opened_links
from idp.admin import set_up_links
from idp.admin.access import open_to_all
from idp.companies import find_company
from idp.errors import PageError
from idp.parts import parts
from idp.redirects import go
from idp.rendering import render_page

bp = Blueprint("set_up_page", __name__)

OPENED = 3600  # seconds for which the browser keeps the secret until the button is pressed


@bp.get(set_up_links.PATH)
@open_to_all
def show_link() -> Response:
    """What the link is for. Its secret leaves the address at once."""
    moved = opened_links.move_secret(set_up_links.PATH, seconds=OPENED)
    if moved is not None:
        return moved
    here = parts()
    with here.database.reading() as db:
        link = set_up_links.find(db, opened_links.secret(), here.clock())
        company = find_company(db, link.company_id) if link is not None else None
        if company is None:
            raise PageError("link_over")
        return render_page("admin/set_up.html", company=company.name)


@bp.post(set_up_links.PATH)
@open_to_all
def begin() -> Response:
    """From here on this browser may work on the company's sign-in, until the link ends."""
    here, secret = parts(), opened_links.secret()
    with here.database.transaction() as db:
        link = set_up_links.find(db, secret, here.clock())
        if link is None:
            raise PageError("link_over")
        set_up_links.note_opened(db, link, now=here.clock())
        company_id, seconds = link.company_id, link.expires_at - int(here.clock())
    response = go(f"/companies/{company_id}/sign-in")
    cookies.put(response, cookies.SET_UP, secret, max_age=max(1, seconds))
    opened_links.forget(response)
    return response
