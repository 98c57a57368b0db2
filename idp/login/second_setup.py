"""``/login/second/set-up``: a second factor is demanded, by the person's company or by a product, and there is none yet. Here it is
set up on the way: an app or a passkey, theirs in the moment in which it opens something."""

from __future__ import annotations

from dataclasses import replace

from flask import Blueprint, Response, request

from idp import throttle
from idp.accounts.devices import describe_agent
from idp.accounts.lifecycle import primary_email
from idp.accounts.passkeys import read_name
from idp.accounts.second_factors import Held, NewPasskey, SetUpSecond
from idp.accounts.totp import tidy_code
from idp.attempts import Step
from idp.login.finish import SET_UP
from idp.login.journey import show
from idp.login.who_waits import Waiting, go_on, held_by, is_old, lead, still_asked, take_try, who_waits
from idp.models import Account
from idp.parts import parts
from idp.redirects import go
from idp.visiting import peer

bp = Blueprint("second_setup", __name__)


@bp.get(SET_UP)
def offer_app() -> Response:
    """Show the secret that an authenticator app takes over."""
    found = _look(request.args.get("p", ""))
    return found if isinstance(found, Response) else _page(found[0])


@bp.post(SET_UP)
def take_first_use() -> Response:
    """Take the app's first code, after which recovery codes stand before the next page; or the passkey that the browser has made."""
    found = _look(request.form.get("p", ""))
    if isinstance(found, Response):
        return found
    waiting, held = found
    if "answer" in request.form:
        return _take_passkey(waiting)
    ticket = take_try(waiting, held)
    if ticket.wait:
        return _page(waiting, wait=ticket.wait)
    here, pending = parts(), waiting.pending
    new = here.totps.try_offered(waiting.bound, tidy_code(request.form.get("code", "")), here.clock())
    here.attempts.step(
        pending.receipt,
        Step.second_checked,
        reason=None if new else "second_code_wrong",
        account_id=waiting.account_id,
        address=peer(),
        received="first code",
    )
    if new is None:
        return _page(waiting, "second_code_wrong")
    throttle.give_back(here.store, ticket, here.clock())
    codes = here.recovery_codes.draw()

    def show_codes(location: str) -> Response:
        return show("login/second_codes.html", pending, codes=codes, location=location)

    return go_on(waiting, replace(new, codes=codes), before=show_codes)


def _take_passkey(waiting: Waiting) -> Response:
    here = parts()
    wait = throttle.take_addition(here.store, account_id=waiting.account_id, now=here.clock())
    if wait:
        return _page(waiting, wait=wait)
    here.attempts.step(
        waiting.pending.receipt,
        Step.second_checked,
        account_id=waiting.account_id,
        address=peer(),
        received="a new passkey",
    )
    name = read_name(describe_agent(request.headers.get("User-Agent", "")))
    return go_on(waiting, NewPasskey(request.form["answer"], waiting.bound, name))


def _look(handle: str) -> tuple[Waiting, Held] | Response:
    """Who must set up a factor here, and what they have; or the way to where they go instead."""
    waiting = who_waits(handle)
    if waiting is None:
        return go("/login", p=handle)
    held = held_by(waiting)
    more = still_asked(waiting, held)
    if not isinstance(more, SetUpSecond):
        return lead(waiting, more)
    if is_old(waiting):
        return go("/login", p=handle)
    return waiting, held


def _page(waiting: Waiting, reason: str | None = None, *, wait: int | None = None) -> Response:
    here, pending = parts(), waiting.pending
    with here.database.reading() as db:
        account = db.get_one(Account, waiting.account_id)
        address = primary_email(account).address
        passkey = here.passkeys.options_to_add(db, account, waiting.bound, here.clock())
    offered = here.totps.offer(waiting.bound, address, here.clock())
    response = show(
        "login/second_setup.html",
        pending,
        429 if wait else 400 if reason else 200,
        locale=account.locale,
        offered=offered,
        passkey=passkey,
        signed_in=waiting.session is not None,
        reason=reason,
        wait=wait,
        receipt=pending.receipt if reason or wait else None,
    )
    if wait:
        response.headers["Retry-After"] = str(wait)
    return response
