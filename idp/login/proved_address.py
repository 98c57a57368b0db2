"""``/login/address``: somebody comes from a social provider that names no e-mail address which may be believed. Which is theirs?

The answer and its mail are the same for every address, whoever has an account here. The link in the mail works for one hour,
in the browser that asked for it and for the very identity that came; opening it changes nothing, only the form on its page
does. Then the provider is asked once more who is there.
"""

from __future__ import annotations

from dataclasses import replace

from flask import Blueprint, Response, g, request
from sqlalchemy.exc import IntegrityError

from idp import cookies, opened_links, throttle
from idp.accounts.identity import canonical_email
from idp.accounts.lifecycle import apply_revocations
from idp.accounts.linking import Decision, ProveFirst
from idp.accounts.mailed_links import find_link, make_link, take_link
from idp.attempts import Step
from idp.errors import PageError
from idp.login.arrival import Newcomer, read_newcomer, write_newcomer
from idp.login.finish import ask_again, lead_newcomer, linking, show_closed
from idp.login.journey import find_pending, provider_name, resume, show
from idp.login.pending import Pending
from idp.login.social_account import Closed, closed_to, link_newcomer, look_at
from idp.mail import queue_mail
from idp.models import MailedLink
from idp.parts import parts
from idp.redirects import go
from idp.redis_store import token_hash
from idp.rendering import choose_language, render_page
from idp.visiting import peer

bp = Blueprint("proved_address", __name__)

PURPOSE = "prove_address"
LIFETIME = 3600  # seconds
PATH = "/login/address/mail"


@bp.get("/login/address")
def ask_address() -> Response:
    """Ask for the e-mail address; what the provider says stands there already."""
    pending = find_pending(request.args.get("p", ""))
    if not pending.newcomer:
        return go("/login", p=pending.handle)
    who = read_newcomer(pending.newcomer)
    with parts().database.transaction() as db:
        decision = look_at(db, who, own_issuer=parts().config.issuer)
    if decision != ProveFirst("", ("address",)):
        return lead_newcomer(pending, who, decision)
    return _page(pending, who, who.identity.email or "")


@bp.post("/login/address")
def take_address() -> Response:
    """Mail the proof to the address that was typed."""
    here = parts()
    pending = find_pending(request.form.get("p", ""))
    if not pending.newcomer:
        raise PageError("pending_unknown")
    who = read_newcomer(pending.newcomer)
    typed = request.form.get("username", "").strip()[:320]
    try:
        address = canonical_email(typed)
    except ValueError:
        return _page(pending, who, typed, problem="login.email_malformed", status=400)
    wait = throttle.take_proof_mail(here.store, email=address, network=peer(), now=here.clock())
    if wait:
        here.attempts.step(pending.receipt, Step.throttled, reason="throttled", email=address, wait=wait)
        response = _page(pending, who, typed, wait=wait, status=429)
        response.headers["Retry-After"] = str(wait)
        return response
    with here.database.transaction() as db:
        closed = closed_to(db, address)  # the same for everybody who has an address there
        if closed is None:
            facts = {
                "newcomer": write_newcomer(replace(who, address=address, known_by="mail")),
                "browser": token_hash(cookies.browser()),
                "receipt": pending.receipt,
                "p": pending.handle,
            }
            secret = make_link(
                db,
                purpose=PURPOSE,
                account_id=None,
                facts=facts,
                lifetime=LIFETIME,
                now=here.clock(),
                random=here.random,
            )
            queue_mail(
                db,
                name="prove_address",
                recipient=address,
                language=choose_language(pending.ui_locales),
                now=here.clock(),
                sealer=here.sealer,
                secrets={"link": f"{PATH}?t={secret}"},
                provider=provider_name(who.identity.door),
            )
    if closed is not None:
        return show_closed(pending, closed.company, address, by_address=True)
    return show("login/address_sent.html", pending, email=address)


@bp.get("/login/address/mail")
def open_proof() -> Response:
    """What the mailed link leads to. Opening it changes nothing; the secret moves from the URL into a cookie at once."""
    moved = opened_links.move_secret(PATH, seconds=LIFETIME)
    if moved is not None:
        return moved
    here = parts()
    with here.database.reading() as db:
        who = _mailed(find_link(db, opened_links.secret(), PURPOSE, here.clock()))
    return render_page("login/address_confirm.html", provider=provider_name(who.identity.door), email=who.address)


@bp.post("/login/address/mail")
def take_proof() -> Response:
    """The address is theirs: link its account, if there is one; else ask whether one is wanted."""
    here = parts()
    account_id = ""
    try:
        with here.database.transaction() as db:
            mailed = take_link(db, opened_links.secret(), PURPOSE, here.clock())
            who = _mailed(mailed)
            handle = mailed.facts["p"] if mailed is not None else ""
            missing: Decision | Closed | None = look_at(db, who, own_issuer=here.config.issuer)
            if isinstance(missing, ProveFirst) and "mail" in missing.proofs:
                account_id = missing.account_id
                missing = link_newcomer(db, account_id, who, "mail", linking(who.identity.door))
    except IntegrityError:  # the identity leads to an account already
        raise PageError("link_over") from None
    pending = resume(handle, email=who.address)
    if missing is not None:
        response = lead_newcomer(pending, who, missing)
    else:
        apply_revocations(here.database, here.store, here.clients, here.clock())
        here.attempts.step(pending.receipt, Step.linked, door=who.identity.door, account_id=account_id)
        response = ask_again(pending.handle, who.identity.door)
    opened_links.forget(response)
    return response


def _mailed(mailed: MailedLink | None) -> Newcomer:
    """Who has asked for a proof, if they are at the same browser still.

    A link that somebody else asked for would let their identity into the account of whoever opens it.
    """
    if mailed is None:
        raise PageError("link_over")
    g.receipt = mailed.facts["receipt"]
    if mailed.facts["browser"] != token_hash(cookies.browser()):
        raise PageError("pending_foreign_browser")
    return read_newcomer(mailed.facts["newcomer"])


def _page(
    pending: Pending,
    who: Newcomer,
    username: str,
    *,
    problem: str | None = None,
    wait: int | None = None,
    status: int = 200,
) -> Response:
    return show(
        "login/address.html",
        pending,
        status,
        provider=provider_name(who.identity.door),
        username=username,
        problem=problem,
        wait=wait,
        receipt=pending.receipt if problem or wait else None,
    )
