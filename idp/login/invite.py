"""``/invite``: somebody was invited to an account that was made for them, and takes it.

By a password, a passkey, a social provider, or by their company's own sign-in: whatever the company's policy leaves open. Opening the
link in the mail changes nothing, because mail scanners open links too; only a form of its page does, or the company that says
who is there.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, g, request
from sqlalchemy.exc import IntegrityError

from idp import opened_links
from idp.accounts.devices import describe_agent
from idp.accounts.invitations import PATH, Invited, find_invited, set_first_password, take_invitation
from idp.accounts.lifecycle import apply_revocations
from idp.accounts.mailed_links import INVITE, whose_link
from idp.accounts.passkeys import NotBelieved, read_name
from idp.accounts.password_rules import Weak, about_account, judge, shortest_for
from idp.accounts.passwords import mark_of
from idp.accounts.standard_claims import told_name
from idp.attempts import Step
from idp.company_settings import brand_of
from idp.errors import PageError, Unavailable
from idp.login.arrival import Newcomer, read_newcomer
from idp.login.finish import ask_again, go_in, linking, show_closed
from idp.login.half_way import Half
from idp.login.journey import find_pending, park, provider_name, show, social_doors
from idp.login.password_check import identity_by_password
from idp.login.pending import Pending
from idp.login.social_account import link_newcomer
from idp.models import Account, Passkey
from idp.parts import parts
from idp.redirects import go
from idp.redis_store import token_hash
from idp.rendering import render_page

bp = Blueprint("invite", __name__)

SOCIAL = f"{PATH}/social"
PASSKEY = f"{PATH}/passkey"
KEPT = 3600  # seconds for which the browser keeps the secret of the link: whoever takes longer opens the mail once more


@bp.get(PATH)
def open_invitation() -> Response:
    """What the mailed link leads to: the ways to take the account. The secret moves from the URL into a cookie at once, so that it
    stays in no history and no log."""
    moved = opened_links.move_secret(PATH, seconds=KEPT, over="invite_over")
    if moved is not None:
        return moved
    return _page(_invited())


@bp.post(PATH)
def accept() -> Response:
    """Take the account with the password that was chosen; or go where it is opened instead."""
    invited = _invited()
    g.receipt = parts().attempts.start()
    door = request.form.get("door", "")
    if not door:
        return _with_password(invited)
    if door == "company" and invited.employer:
        pending = find_pending(park("me", email=invited.address))
        return go("/login/company", p=pending.handle)
    if door not in parts().providers or not invited.by_social:
        raise PageError("page_unknown", status=404)
    pending = find_pending(park("me", email=invited.address), invited="yes")
    return ask_again(pending.handle, door)


@bp.get(PASSKEY)
def offer_passkey() -> Response:
    """The page that has the browser make a passkey; without script, or where it knows none, it leads back to the password."""
    invited = _invited()
    return _passkey_page(invited) if invited.by_password else go(PATH)


@bp.post(PASSKEY)
def accept_with_passkey() -> Response:
    """Take the account with the passkey that the browser has made, and have it shown once: then it is sure that it works."""
    here, now = parts(), parts().clock()
    invited = _invited()
    g.receipt = here.attempts.start()
    if not invited.by_password:
        return go(PATH)
    if not _accepts_terms():
        return _passkey_page(invited, problem="welcome.terms_missing")
    added: Passkey | NotBelieved | None = None
    try:
        with here.database.transaction() as db:
            taken = take_invitation(db, opened_links.secret(), here.config.terms_version, now=now)
            if taken is not None and taken.by_password:
                account = db.get_one(Account, taken.account_id, with_for_update=True, populate_existing=True)
                name = read_name(describe_agent(request.headers.get("User-Agent", "")))
                answer = request.form.get("answer", "")
                added = here.passkeys.add(db, account, answer, _purpose(), name=name, now=now)
            if not isinstance(added, Passkey):
                db.rollback()
    except IntegrityError:  # somebody else adds the same in this moment, and was faster
        added = NotBelieved("passkey_known")
    if added is None or taken is None:
        raise PageError("invite_over")
    if isinstance(added, NotBelieved):
        here.attempts.step(g.receipt, Step.page_failed, reason=added.reason, detail=added.detail)
        return _passkey_page(invited, problem=f"reason.{added.reason}.says")
    _note_accepted(taken, "passkey")
    return _without_secret(go("/login/passkey", p=park("me", email=taken.address)))


@bp.get(SOCIAL)
def ask_about_social() -> Response:
    """Somebody is back from a social provider: is it by this that they want to sign in from now on?"""
    pending, who = _back(request.args.get("p", ""))
    return _social_page(pending, who, _invited())


@bp.post(SOCIAL)
def accept_social() -> Response:
    """Take the account, link the identity to it, and ask the provider once more who is there."""
    here = parts()
    pending, who = _back(request.form.get("p", ""))
    invited = _invited()
    if request.form.get("who") != _mark(who):  # in another tab somebody else has come meanwhile
        return go(SOCIAL, p=pending.handle)
    if not _accepts_terms():
        return _social_page(pending, who, invited, problem="welcome.terms_missing")
    who = replace(who, address=invited.canonical, known_by="mail")
    try:
        with here.database.transaction() as db:
            taken = take_invitation(db, opened_links.secret(), here.config.terms_version, now=here.clock())
            closed = link_newcomer(db, invited.account_id, who, "mail", linking(who.identity.door)) if taken else None
            if closed is not None:
                db.rollback()
    except IntegrityError:  # the identity leads to an account already, since a moment ago
        raise PageError("link_other_account", status=403) from None
    if taken is None:
        raise PageError("invite_over")
    if closed is not None:
        return show_closed(pending, closed.company, invited.address, by_address=closed.by_address)
    find_pending(pending.handle, invited="", newcomer="")
    _note_accepted(taken, who.identity.door)
    return _without_secret(ask_again(pending.handle, who.identity.door))


def _with_password(invited: Invited) -> Response:
    here = parts()
    if not invited.by_password:
        return _page(invited)
    password = request.form.get("password", "")
    with here.database.reading() as db:
        about = (*about_account(db, invited.account_id), here.config.host)
        shortest = shortest_for(db, invited.account_id)
    verdict = judge(password, about=about, shortest=shortest, breached=here.breach_list)
    if isinstance(verdict, Weak):
        return _page(invited, weak=verdict)
    if not _accepts_terms():
        return _page(invited, problem="welcome.terms_missing")
    hashed = here.hasher.hash(password)
    with here.database.transaction() as db:
        taken = take_invitation(db, opened_links.secret(), here.config.terms_version, now=here.clock())
        if taken is not None and taken.by_password:
            set_first_password(db, taken.account_id, hashed, now=here.clock())
        else:
            db.rollback()
    if taken is None or not taken.by_password:
        raise PageError("invite_over")
    _note_accepted(taken, "password")
    identity = identity_by_password(taken.account_id, taken.canonical)
    pending = find_pending(park("me", email=taken.address))
    # They have just read a mail of ours: that is as much as a mailed code could prove.
    half = Half(identity, kept=False, account_id=taken.account_id, mark=mark_of(hashed), mailbox=True)
    return _without_secret(go_in(pending, half))


def _purpose() -> str:
    """To what a new passkey is bound: the link that this browser has opened."""
    return f"invite {token_hash(opened_links.secret())}"


def _note_accepted(taken: Invited, door: str) -> None:
    here = parts()
    here.attempts.step(g.receipt, Step.invitation_accepted, door=door, account_id=taken.account_id)
    # Whoever sat in the account before. Without Redis no session works; the worker brings it what changed when it is back.
    with suppress(Unavailable):
        apply_revocations(here.database, here.store, here.clients, here.clock())


def _invited() -> Invited:
    """Whose invitation this browser has opened.

    :raises PageError: ``invite_over``; the same whatever has ended it.
    """
    here = parts()
    with here.database.reading() as db:
        invited = find_invited(db, opened_links.secret(), here.clock())
        whose = whose_link(db, opened_links.secret(), INVITE) if invited is None else None
    if invited is None:
        g.receipt = here.attempts.start()
        here.attempts.step(g.receipt, Step.page_failed, reason="invite_over", account_id=whose)
        raise PageError("invite_over")
    return invited


def _back(handle: str) -> tuple[Pending, Newcomer]:
    pending = find_pending(handle)
    if not (pending.invited and pending.newcomer):
        raise PageError("pending_unknown")
    return pending, read_newcomer(pending.newcomer)


def _accepts_terms() -> bool:
    version = parts().config.terms_version
    return not version or (request.form.get("terms") == "yes" and request.form.get("version") == version)


def _without_secret(response: Response) -> Response:
    opened_links.forget(response)
    return response


def _mark(who: Newcomer) -> str:
    """For whom the page was shown: nobody else is linked by it."""
    return token_hash("\n".join((who.identity.issuer, who.identity.subject)))


def _terms(problem: str | None) -> dict[str, Any]:
    """What ``login/terms.html`` shows."""
    config = parts().config
    return {
        "version": config.terms_version,
        "terms_url": config.terms_url,
        "privacy_url": config.privacy_url,
        "problem": problem,
        "wait": None,
        "receipt": None,
    }


def _look(invited: Invited) -> dict[str, Any]:
    """What ``brand.html`` shows: whoever is here has opened the company's own mail."""
    here = parts()
    with here.database.reading() as db:
        brand = brand_of(db, invited.company_id) if invited.company_id else None
    if brand is not None and not here.config.admin_center:  # nobody serves its logo
        brand = replace(brand, logo="")
    return {"brand": brand, "logos": here.config.admin_center if brand is not None and brand.logo else ""}


def _page(invited: Invited, *, weak: Weak | None = None, problem: str | None = None) -> Response:
    here = parts()
    with here.database.reading() as db:
        shortest = shortest_for(db, invited.account_id)
    return render_page(
        "login/invite.html",
        400 if weak or problem else 200,
        language=invited.locale,
        email=invited.address,
        company=invited.company,
        **_look(invited),
        employer=invited.employer,
        closed_by=invited.closed_by,
        by_password=invited.by_password,
        social=social_doors() if invited.by_social else (),
        shortest=shortest,
        weak=weak,
        client=None,
        **_terms(problem),
    )


def _passkey_page(invited: Invited, *, problem: str | None = None) -> Response:
    here = parts()
    with here.database.reading() as db:
        account = db.get_one(Account, invited.account_id)
        options = here.passkeys.options_to_add(db, account, _purpose(), here.clock())
    return render_page(
        "login/invite_passkey.html",
        400 if problem else 200,
        language=invited.locale,
        email=invited.address,
        options=options,
        client=None,
        **_look(invited),
        **_terms(problem),
    )


def _social_page(pending: Pending, who: Newcomer, invited: Invited, *, problem: str | None = None) -> Response:
    return show(
        "login/invite_social.html",
        pending,
        400 if problem else 200,
        locale=invited.locale,
        email=invited.address,
        provider=provider_name(who.identity.door),
        account=who.identity.email or told_name(who.identity.name).get("name") or "",
        who=_mark(who),
        **_look(invited),
        **_terms(problem),
    )
