"""``/companies/<company_id>/settings``: what a company is called and looks like, its language and time zone, and who is written to about its
sign-in. ``/logos/<name>``: its logo, on this origin alone."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Blueprint, Response, abort, request

from idp.accounts.lifecycle import apply_revocations
from idp.accounts.standard_claims import time_zones, zones_by_region
from idp.admin.access import actor, admin_page, needs, open_to_all
from idp.admin.staff import Right
from idp.companies import CompanyRefused, find_company, rename
from idp.company_policy import set_policy
from idp.company_settings import LARGEST_LOGO, draw, find_logo, set_logo, set_settings
from idp.errors import Unavailable
from idp.parts import parts
from idp.redirects import go
from idp.rendering import choose_language

bp = Blueprint("settings_page", __name__)

LONGEST = 4000  # characters of the contacts
FIELDS = ("name", "contacts", "language", "time_zone", "colour")


@bp.get("/companies/<company_id>/settings")
@needs(Right.see_company)
def show_settings(company_id: str) -> Response:
    """The settings, in a form for whoever may change them."""
    return _page(company_id, saved=request.args.get("notice") == "saved")


@bp.post("/companies/<company_id>/settings")
@needs(Right.change_settings)
def take_settings(company_id: str) -> Response:
    """Write what was filled in, whole or not at all."""
    here, now, who = parts(), parts().clock(), actor().who
    typed = {name: request.form.get(name, "")[:LONGEST] for name in FIELDS}
    sent = request.files.get("logo")
    image = sent.read(LARGEST_LOGO + 1) if sent is not None else b""
    try:
        drawn = draw(image) if image else None
        with here.database.transaction() as db:
            company = find_company(db, company_id)
            if company is not None and typed["name"] != company.name:
                rename(db, company_id, typed["name"], actor=who, now=now)
            contacts = typed["contacts"].split()
            set_policy(db, company_id, {"contacts": contacts}, config=here.config, actor=who, now=now)
            set_settings(
                db,
                company_id,
                language=typed["language"],
                time_zone=typed["time_zone"],
                colour=typed["colour"],
                languages=here.languages.supported,
                zones=time_zones(),
                actor=who,
                now=now,
            )
            if drawn is not None or request.form.get("no_logo") == "yes":
                set_logo(db, company_id, drawn, actor=who, now=now)
    except CompanyRefused as refused:
        return _page(company_id, refused=refused, typed=typed)
    with suppress(Unavailable):  # the worker brings it to Redis when that is back
        apply_revocations(here.database, here.store, here.clients, here.clock())
    return go(f"/companies/{company_id}/settings", notice="saved")


@bp.get("/logos/<name>")
@open_to_all
def logo(name: str) -> Response:
    """A company's logo, as we have drawn it. Its name is of its content, so whoever has it may keep it."""
    with parts().database.reading() as db:
        content = find_logo(db, name)
    if content is None:
        abort(404)
    answer = Response(content, content_type="image/png")
    answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return answer


def _page(
    company_id: str, *, saved: bool = False, refused: CompanyRefused | None = None, typed: dict[str, Any] | None = None
) -> Response:
    with parts().database.reading() as db:
        company = find_company(db, company_id)
        assert company is not None  # the guard has found it
        now = {
            "name": company.name,
            "contacts": "\n".join(company.contacts),
            "language": company.language or "",
            "time_zone": company.time_zone or "",
            "colour": company.colour or "",
        }
    return admin_page(
        "admin/settings.html",
        refused.status if refused is not None else 200,
        place="settings",
        company=(company.id, company.name),
        typed=typed or now,
        zones=zones_by_region(choose_language(actor().locale)),
        saved=saved,
        problem=refused.reason if refused is not None else None,
    )
