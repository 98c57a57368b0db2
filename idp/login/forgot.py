"""``/forgot`` and ``/reset``: a password was forgotten, and its owner sets another one by a mailed link.

The page answers every address alike, for the same work: what to do stands in the mail that every address gets. Opening the link in it
changes nothing, only the form on its page does; nobody is signed in by it, so that no second factor is passed by.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Blueprint, Response, g, request

from idp import cookies, opened_links, throttle
from idp.accounts.changed_password import tell_changed_password
from idp.accounts.devices import describe_agent
from idp.accounts.forgotten import LIFETIME, PATH, Asked, Means, Reset, answer_forgotten, find_reset, reset_password
from idp.accounts.identity import canonical_email
from idp.accounts.lifecycle import apply_revocations
from idp.accounts.mailed_links import RESET, whose_link
from idp.accounts.password_rules import Weak, about_account, judge, shortest_for
from idp.accounts.remembered import remembered
from idp.attempts import Step
from idp.errors import PageError, Unavailable
from idp.login.asked_mails import note_asked
from idp.login.journey import find_if_any, find_pending, resume, show, social_doors
from idp.login.pending import Pending
from idp.models import Account
from idp.parts import parts
from idp.redirects import go
from idp.rendering import choose_language, render_page
from idp.visiting import peer

bp = Blueprint("forgot", __name__)


@bp.get("/forgot")
def ask_address() -> Response:
    """Ask whose password it is."""
    pending = find_if_any(request.args.get("p", ""))
    return _page(pending, (pending.email if pending is not None else "") or remembered())


@bp.post("/forgot")
def take_address() -> Response:
    """Mail to the address what its owner can do."""
    here = parts()
    pending = find_if_any(request.form.get("p", ""))
    typed = request.form.get("username", "").strip()[:320]
    try:
        address = canonical_email(typed)
    except ValueError:
        return _page(pending, typed, problem="login.email_malformed", status=400)
    if pending is None:
        g.receipt = here.attempts.start()
    else:
        find_pending(pending.handle, email=typed)  # the doors find it filled in
    now = here.clock()
    wait = throttle.take_reset_mail(here.store, email=address, network=peer(), now=now)
    if wait:
        here.attempts.step(g.receipt, Step.throttled, reason="throttled", email=address, wait=wait)
        response = _page(pending, typed, wait=wait, status=429)
        response.headers["Retry-After"] = str(wait)
        return response
    product = pending.ui_locales if pending is not None else ""
    asked = Asked(
        address,
        language=lambda known: choose_language(known or product),
        journey={"receipt": g.receipt, "p": pending.handle if pending is not None else ""},
    )
    with here.database.transaction() as db:
        queued = answer_forgotten(db, asked, Means(here.providers, here.sealer, now, here.random))
    note_asked(here.store, cookies.browser(), address=typed, name=queued.name, recipient=queued.recipient, now=now)
    here.attempts.step(g.receipt, Step.reset_asked, email=address, address=peer())
    return _show("login/forgot_sent.html", pending, email=typed)


@bp.get(PATH)
def open_link() -> Response:
    """What the mailed link leads to. Opening it changes nothing: mail scanners open links as well.

    The secret moves from the URL into a cookie at once, so that it stays in no history and no log.
    """
    try:
        moved = opened_links.move_secret(PATH, seconds=LIFETIME)
    except PageError:
        return _over()
    if moved is not None:
        return moved
    here = parts()
    with here.database.reading() as db:
        reset = find_reset(db, opened_links.secret(), here.clock())
        shortest = shortest_for(db, reset.account_id) if reset is not None else 0
    return _form(reset, shortest) if reset is not None else _over()


@bp.post(PATH)
def take_password() -> Response:
    """Set the password that was chosen. Whatever else stands in the form, it is the link that says whose it is."""
    here = parts()
    password = request.form.get("password", "")
    with here.database.reading() as db:
        reset = find_reset(db, opened_links.secret(), here.clock())
        if reset is None:
            return _over()
        shortest = shortest_for(db, reset.account_id)
        about = (*about_account(db, reset.account_id), here.config.host)
    g.receipt = reset.journey["receipt"]
    verdict = judge(password, about=about, shortest=shortest, breached=here.breach_list)
    if isinstance(verdict, Weak):
        return _form(reset, shortest, verdict)
    hashed = here.hasher.hash(password)
    with here.database.transaction() as db:
        done = reset_password(db, opened_links.secret(), hashed, now=here.clock())
        if done is not None:
            account = db.get_one(Account, done.account_id)
            tell_changed_password(
                db,
                account,
                agent=describe_agent(request.headers.get("User-Agent", "")),
                address=peer(),
                language=choose_language(account.locale),
                sealer=here.sealer,
                now=here.clock(),
            )
    if done is None:
        return _over()
    # Without Redis no session works; the worker brings it what changed when it is back.
    with suppress(Unavailable):
        apply_revocations(here.database, here.store, here.clients, here.clock())
    pending = resume(reset.journey["p"], email=reset.address)
    here.attempts.step(pending.receipt, Step.password_reset, account_id=reset.account_id, address=peer())
    find_pending(pending.handle, email=reset.address)
    response = go("/login/password", p=pending.handle, notice="reset")
    opened_links.forget(response)
    return response


def _over() -> Response:
    """The link counts no more: another one can be had at once. The same whatever has ended it."""
    here = parts()
    with here.database.reading() as db:
        whose = whose_link(db, opened_links.secret(), RESET)
    g.receipt = here.attempts.start()
    here.attempts.step(g.receipt, Step.page_failed, reason="reset_over", account_id=whose)
    return render_page("login/reset_over.html", 400, reason="reset_over", receipt=g.receipt)


def _form(reset: Reset, shortest: int, weak: Weak | None = None) -> Response:
    return render_page(
        "login/reset.html", 400 if weak is not None else 200, username=reset.address, shortest=shortest, weak=weak
    )


def _page(
    pending: Pending | None,
    username: str,
    *,
    problem: str | None = None,
    wait: int | None = None,
    status: int = 200,
) -> Response:
    receipt = g.get("receipt") if problem or wait else None
    return _show("login/forgot.html", pending, status, username=username, problem=problem, wait=wait, receipt=receipt)


def _show(template: str, pending: Pending | None, status: int = 200, **values: Any) -> Response:
    """A page of somebody who may be in the middle of a sign-in."""
    if pending is not None:
        return show(template, pending, status, **values)
    return render_page(template, status, p="", client=None, social=social_doors(), **values)
