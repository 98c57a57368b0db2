"""``/me/profile``: what a person is called, their language and their time zone: for our pages and mails, and as claims for products.

What a company or a social provider told was written when the account was made, and is the person's own since: no later sign-in changes it.
"""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, Response, request

from idp import cookies
from idp.accounts.lifecycle import apply_revocations, change_claims
from idp.accounts.sessions import Session
from idp.accounts.standard_claims import LONGEST_TEXT, WrongClaim, check_claim, time_zones, zones_by_region
from idp.accounts.visitor import visitor
from idp.errors import PageError, Unavailable
from idp.models import Account
from idp.parts import parts
from idp.redirects import go
from idp.rendering import choose_language, render_page

bp = Blueprint("own_profile", __name__)

PATH = "/me/profile"
NAMES = ("name", "given_name", "family_name")


@bp.get(PATH)
def show_profile() -> Response:
    """The names, the language and the time zone, in a form."""
    session = visitor()
    if session is None:
        return go("/login")
    with parts().database.reading() as db:
        account = db.get_one(Account, session.account_id)
        told = {name: str(account.profile.get(name, "")) for name in (*NAMES, "zoneinfo")}
    return _page(session, told, saved=request.args.get("notice") == "saved")


@bp.post(PATH)
def take_profile() -> Response:
    """Write what was filled in; a name that is left empty is told to nobody any more."""
    session = visitor()
    if session is None:
        return go("/login")
    here = parts()
    told = {name: " ".join(request.form.get(name, "").split()) for name in NAMES}
    told["zoneinfo"] = request.form.get("zoneinfo", "")
    language = request.form.get("locale", "")
    if language not in here.languages.supported or told["zoneinfo"] not in ("", *time_zones()):
        raise PageError("request_unreadable", parameter="locale, zoneinfo")
    wrong = [name for name in NAMES if told[name] and not _can_be(name, told[name])]
    if wrong:
        return _page(session, told, language=language, wrong=wrong, status=400)
    with here.database.transaction() as db:
        account = db.get_one(Account, session.account_id, with_for_update=True)
        claims = {name: value or None for name, value in told.items()}
        # A locale with its country, which an operator may have written, stays while its language does.
        if (account.locale or "").partition("-")[0] != language:
            claims["locale"] = language
        change_claims(db, account, claims, actor=f"person:{account.id}", now=here.clock())
    with suppress(Unavailable):  # the worker brings it to Redis when that is back
        apply_revocations(here.database, here.store, here.clients, here.clock())
    response = go(PATH, notice="saved")
    cookies.put(response, cookies.LANGUAGE, language, max_age=cookies.YEAR)
    return response


def _page(
    session: Session,
    told: dict[str, str],
    *,
    language: str | None = None,
    wrong: list[str] | None = None,
    saved: bool = False,
    status: int = 200,
) -> Response:
    return render_page(
        "accounts/own_profile.html",
        status,
        language=session.locale,
        told=told,
        chosen=language or choose_language(session.locale),
        zones=zones_by_region(choose_language(session.locale)),
        wrong=wrong or [],
        company=session.person.get("company", {}).get("name"),
        saved=saved,
        longest=LONGEST_TEXT,
    )


def _can_be(name: str, value: str) -> bool:
    try:
        check_claim(name, value)
    except WrongClaim:
        return False
    return True
