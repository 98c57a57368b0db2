"""``/sign-up`` and ``/verify``: somebody wants an account, proves their address by a mail, and chooses a password.

The first page answers every address alike: what to do stands in the mail that every address gets. The account is made by the form
behind the link in it, which changes nothing by being opened.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, request

from idp import cookies, opened_links, throttle
from idp.accounts.forgotten import Asked, Means
from idp.accounts.identity import read_address
from idp.accounts.lifecycle import AddressTaken
from idp.accounts.password_rules import Weak, judge, shortest_for
from idp.accounts.remembered import remembered
from idp.accounts.signing_up import LIFETIME, PATH, Chosen, Verified, answer_sign_up, find_verified, make_account
from idp.attempts import Step
from idp.errors import PageError
from idp.login.asked_mails import note_asked
from idp.login.finish import finish, show_closed
from idp.login.journey import find_if_any, find_pending, needs_organizer, park, resume, show
from idp.login.password_check import identity_by_password
from idp.login.pending import Pending
from idp.login.social_account import Closed, closed_to
from idp.parts import parts
from idp.redirects import go
from idp.rendering import choose_language, render_page
from idp.visiting import peer

bp = Blueprint("sign_up", __name__)

LONGEST_NAME = 200


@bp.get("/sign-up")
def ask_address() -> Response:
    """Ask for the address of the account. Whoever comes by themselves begins a journey that ends at their own pages."""
    handle = request.args.get("p", "")
    if not handle:
        g.receipt = parts().attempts.start()
        return go("/sign-up", p=park("me", email=remembered()))
    pending = find_pending(handle)
    if needs_organizer(pending):
        return go("/help/why-sign-in", p=handle)
    return _page(pending, pending.email)


@bp.post("/sign-up")
def take_address() -> Response:
    """Mail to the address what its owner can do. A company that signs its people in itself is told by the domain alone."""
    here = parts()
    pending = find_pending(request.form.get("p", ""))
    typed = request.form.get("username", "").strip()[:320]
    try:
        address = read_address(typed)
    except ValueError:
        return _page(pending, typed, problem="login.email_malformed", status=400)
    find_pending(pending.handle, email=typed)
    now = here.clock()
    wait = throttle.take_proof_mail(here.store, email=address.canonical, network=peer(), now=now)
    if wait:
        here.attempts.step(pending.receipt, Step.throttled, reason="throttled", email=address.canonical, wait=wait)
        response = _page(pending, typed, wait=wait, status=429)
        response.headers["Retry-After"] = str(wait)
        return response
    asked = Asked(
        address.canonical,
        language=lambda known: choose_language(known or pending.ui_locales),
        journey={"receipt": pending.receipt, "p": pending.handle},
    )
    with here.database.transaction() as db:
        closed = closed_to(db, address.canonical)
        if closed is None:
            queued = answer_sign_up(db, asked, address.written, Means(here.providers, here.sealer, now, here.random))
    if closed is not None:
        return _closed(pending, closed, typed)
    note_asked(here.store, cookies.browser(), address=typed, name=queued.name, recipient=queued.recipient, now=now)
    here.attempts.step(pending.receipt, Step.sign_up_asked, email=address.canonical, address=peer())
    return show("login/sign_up_sent.html", pending, email=typed)


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
        verified = find_verified(db, opened_links.secret(), here.clock())
        shortest = shortest_for(db, verified.address.domain) if verified is not None else 0
    return _form(verified, shortest) if verified is not None else _over()


@bp.post(PATH)
def take_password() -> Response:
    """Make the account and sign in. Whatever else stands in the form, it is the link that says whose address it is."""
    here = parts()
    now = here.clock()
    password, name = request.form.get("password", ""), request.form.get("name", "").strip()[:LONGEST_NAME]
    with here.database.transaction() as db:
        verified = find_verified(db, opened_links.secret(), now)
        if verified is None:
            return _over()
        closed = closed_to(db, verified.address.canonical)
        shortest = shortest_for(db, verified.address.domain)
    pending = resume(verified.journey["p"], email=verified.address.written)
    if closed is not None:
        return _closed(pending, closed, verified.address.written)
    terms = here.config.terms_version
    if terms and (request.form.get("terms") != "yes" or request.form.get("version") != terms):
        return _form(verified, shortest, name=name, problem="welcome.terms_missing")
    about = (verified.address.written, name, here.config.host)
    verdict = judge(password, about=about, shortest=shortest, breached=here.breach_list)
    if isinstance(verdict, Weak):
        return _form(verified, shortest, name=name, weak=verdict)
    chosen = Chosen(here.hasher.hash(password), name, terms)
    try:
        with here.database.transaction() as db:
            made = make_account(db, opened_links.secret(), chosen, now=here.clock(), random=here.random)
            identity = identity_by_password(made[0].id, verified.address.canonical) if made is not None else None
    except AddressTaken:
        identity = None
    if identity is None:
        return _over()
    here.attempts.step(pending.receipt, Step.signed_up, account_id=identity.subject, address=peer())
    # The link in the mail has shown as much as a mailed code could.
    response = finish(pending, identity, kept=pending.keep, mailbox=True)
    opened_links.forget(response)
    return response


def _closed(pending: Pending, closed: Closed, address: str) -> Response:
    return show_closed(pending, closed.company, address, by_address=True)


def _over() -> Response:
    """The link counts no more: another one can be had at once, or the account is there already. The same whatever has ended it."""
    attempts = parts().attempts
    g.receipt = attempts.start()
    attempts.step(g.receipt, Step.page_failed, reason="verify_over")
    return render_page("login/verify_over.html", 400, reason="verify_over", receipt=g.receipt)


def _form(
    verified: Verified, shortest: int, *, name: str = "", weak: Weak | None = None, problem: str | None = None
) -> Response:
    config = parts().config
    pending = find_if_any(verified.journey["p"])
    client = parts().clients.find(pending.client_id) if pending is not None else None
    return render_page(
        "login/verify.html",
        400 if weak is not None or problem else 200,
        language=pending.ui_locales if pending is not None else None,
        # In the browser that has asked, the form ends at the product.
        form_targets=client.redirect_uris if client is not None else (),
        username=verified.address.written,
        name=name,
        shortest=shortest,
        weak=weak,
        problem=problem,
        wait=None,
        terms_url=config.terms_url,
        privacy_url=config.privacy_url,
        version=config.terms_version,
    )


def _page(pending: Pending, username: str, *, status: int = 200, **values: Any) -> Response:
    told = {"problem": None, "wait": None} | values
    receipt = pending.receipt if values else None
    return show("login/sign_up.html", pending, status, username=username, receipt=receipt, **told)
