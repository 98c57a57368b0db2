"""``/me``: a person's own page, with their sessions and products; and the link "this was not me" of the new-device mail."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Blueprint, Response, g, request

from idp import audit, opened_links
from idp.accounts import devices
from idp.accounts.company_sign_out import go_to_company
from idp.accounts.consents import consents_of
from idp.accounts.lifecycle import apply_revocations, end_everything, withdraw_consent
from idp.accounts.mailed_links import find_link, take_link
from idp.accounts.remembered import forget
from idp.accounts.sessions import Session, end_sessions, queue_logout_notices, sessions_of
from idp.accounts.used_products import UsedProduct, used_products
from idp.accounts.visitor import visitor
from idp.accounts.ways import provider_named, ways_in
from idp.attempts import Step
from idp.errors import PageError, Unavailable
from idp.models import Account
from idp.parts import parts
from idp.redirects import go
from idp.rendering import render_page

bp = Blueprint("profile", __name__)

NOTICES = ("saved", "ended", "withdrawn", "linked", "unlinked", "password_changed")
ADMIN_CENTER = "admin-center"  # its client_id
ADMINISTERS = {"administrator", "read_only"}  # roles that it opens to
LINK_SECONDS = 600  # that the secret of an opened link stays in the browser


@bp.get("/me")
def show_me() -> Response:
    """Name, e-mail, language, ways to sign in, sessions, products."""
    session = visitor()
    if session is None:
        return go("/login")
    here = parts()
    notice = request.args.get("notice")
    admin_center = _admin_center(session)
    return render_page(
        "accounts/profile.html",
        language=session.locale,
        name=session.person.get("name"),
        email=session.email,
        company=session.person.get("company", {}).get("name"),
        admin_center=admin_center,
        zone=session.person.get("zoneinfo"),
        sessions=[
            {
                "key": one.id,
                "agent": one.agent,
                "address": one.address,
                "last_seen": one.last_seen,
                "current": one.key == session.key,
                "by_company": one.company is not None,
            }
            for one in sorted(
                sessions_of(here.store, session.account_id, here.clock()), key=lambda one: one.key != session.key
            )
        ],
        products=[one for one in used_products(session) if admin_center is None or one.client_id != ADMIN_CENTER],
        **_ways(session),
        notice=notice if notice in NOTICES else None,
    )


@bp.post("/me/sessions/end")
def end_one() -> Response:
    """End another session of the same person."""
    session = visitor()
    if session is None:
        return go("/login")
    here = parts()
    wanted = request.form.get("session", "")
    chosen = [one for one in sessions_of(here.store, session.account_id, here.clock()) if one.id == wanted]
    _end(chosen)
    return go("/me", notice="ended")


@bp.post("/me/products/withdraw")
def withdraw() -> Response:
    """Take back what a third-party product was allowed: what it was given ends, and it has to ask again."""
    session = visitor()
    if session is None:
        return go("/login")
    here, who = parts(), session.account_id
    client_id = request.form.get("client_id", "")
    with here.database.transaction() as db:
        allowed = client_id in consents_of(db, who)
        if allowed:
            withdraw_consent(db, db.get_one(Account, who), client_id, actor=f"person:{who}", now=here.clock())
    if not allowed:  # pressed twice, or nothing of theirs
        return go("/me")
    _apply()
    return go("/me", notice="withdrawn")


@bp.post("/me/sign-out")
def sign_out() -> Response:
    """End the session of this browser."""
    session = visitor()
    if session is not None:
        _end([session])
    return _signed_out(session)


@bp.post("/me/sign-out-everywhere")
def sign_out_everywhere() -> Response:
    """End all sessions of the person, this one too, and everything that products were given."""
    session = visitor()
    if session is not None:
        here, who = parts(), session.account_id
        event = audit.Event.person_signed_out_everywhere
        with here.database.transaction() as db:
            end_everything(db, who, event=event, actor=f"person:{who}", now=here.clock())
        _apply()
        _receipt(who)
    return _signed_out(session)


@bp.get("/me/not-me")
def ask_not_me() -> Response:
    """What the mailed link leads to. Opening it changes nothing: mail scanners open links as well.

    The secret moves from the URL into a cookie at once, so that it stays in no history and no log.
    """
    moved = opened_links.move_secret(devices.NOT_ME_PATH, seconds=LINK_SECONDS)
    if moved is not None:
        return moved
    here = parts()
    with here.database.reading() as db:
        link = find_link(db, opened_links.secret(), devices.NOT_ME, here.clock())
        if link is None:
            raise PageError("link_over")
        return render_page(
            "accounts/not_me.html",
            done=False,
            agent=link.facts["agent"],
            address=link.facts["address"],
            at=link.created_at,
            fields=(),
        )


@bp.post("/me/not-me")
def take_not_me() -> Response:
    """The owner says that the sign-in was not theirs: all sessions and grants end, and the device is a stranger again."""
    here = parts()
    with here.database.transaction() as db:
        link = take_link(db, opened_links.secret(), devices.NOT_ME, here.clock())
        if link is None or link.account_id is None:
            raise PageError("link_over")
        account_id = link.account_id
        devices.forget_device(db, account_id, link.facts["device"])
        event = audit.Event.person_disowned_sign_in
        end_everything(db, account_id, event=event, actor=f"person:{account_id}", now=here.clock())
    _apply()
    _receipt(account_id)
    response = render_page("accounts/not_me.html", done=True)
    opened_links.forget(response)
    return response


def _admin_center(session: Session) -> UsedProduct | None:
    """The admin center, for whom it opens to; None for all others, and where there is none."""
    here = parts()
    client = here.clients.find(ADMIN_CENTER)
    if client is None or not ADMINISTERS & set(session.person.get("company", {}).get("roles", ())):
        return None
    uri = client.beginning(here.config.issuer) or client.client_uri
    return UsedProduct(client.client_id, client.name, uri, 0, None) if uri else None


def _ways(session: Session) -> dict[str, Any]:
    """The ways to sign in that there are, and the providers that can be added."""
    here = parts()
    with here.database.reading() as db:
        ways = ways_in(db, session.account_id, here.providers)
    linked = {way.door for way in ways}
    return {
        "ways": [{"way": way, "provider": provider_named(way.door, here.providers)} for way in ways],
        "addable": [(key, one.name) for key, one in here.providers.items() if key not in linked],
    }


def _end(chosen: list[Session]) -> None:
    here = parts()
    now = here.clock()
    with here.database.transaction() as db:
        # First written down who must hear of it, then ended: what fails in between can be done again.
        queue_logout_notices(db, here.store, chosen, here.clients, now)
        for session in chosen:
            who = session.account_id
            audit.record(db, audit.Event.person_signed_out, now=now, actor=f"person:{who}", account_id=who)
    end_sessions(here.store, chosen)
    for session in chosen:
        _receipt(session.account_id)


def _apply() -> None:
    here = parts()
    # Without Redis no session works; the worker brings it what changed when it is back.
    with suppress(Unavailable):
        apply_revocations(here.database, here.store, here.clients, here.clock())


def _receipt(account_id: str) -> None:
    attempts = parts().attempts
    g.receipt = attempts.start()
    attempts.step(g.receipt, Step.signed_out, account_id=account_id)


def _signed_out(session: Session | None) -> Response:
    if session is not None and session.company is not None:
        response = go_to_company(session.company, back="/logout")
    else:
        language = session.locale if session is not None else None
        response = render_page("oidc/logged_out.html", language=language, client=None)
    forget(response)
    return response
