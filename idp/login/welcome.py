"""``/login/welcome``: nobody here has come by this identity or this address before. Do they want an account?

It is made once they accept the terms, in the version that they were shown.
"""

from __future__ import annotations

from flask import Blueprint, Response, request
from sqlalchemy.exc import IntegrityError

from idp.accounts.lifecycle import AddressTaken
from idp.accounts.linking import Decision, New
from idp.accounts.standard_claims import told_name
from idp.errors import PageError
from idp.login.arrival import Newcomer, mark_of, read_newcomer
from idp.login.finish import ask_again, finish, lead_newcomer, linking
from idp.login.journey import find_pending, needs_organizer, provider_name, show
from idp.login.pending import Pending
from idp.login.social_account import Accepted, Closed, look_at, settle
from idp.models import Account
from idp.parts import parts
from idp.redirects import go

bp = Blueprint("welcome", __name__)


@bp.get("/login/welcome")
def ask_to_accept() -> Response:
    """Show what the account would be, and the terms."""
    pending = find_pending(request.args.get("p", ""))
    if not pending.newcomer:
        return go("/login", p=pending.handle)
    who = read_newcomer(pending.newcomer)
    decision = _look(who)
    if not isinstance(decision, New) or needs_organizer(pending):
        return lead_newcomer(pending, who, decision)
    return _page(pending, who)


@bp.post("/login/welcome")
def accept() -> Response:
    """Make the account and sign in; or, where the address was proved by a mail, ask the provider once more who is there."""
    pending = find_pending(request.form.get("p", ""))
    if not pending.newcomer:
        raise PageError("pending_unknown")
    who = read_newcomer(pending.newcomer)
    decision = _look(who)
    if not isinstance(decision, New) or needs_organizer(pending):
        return lead_newcomer(pending, who, decision)
    if request.form.get("who") != mark_of(who):  # in another tab somebody else has come meanwhile
        return go("/login/welcome", p=pending.handle)
    version = parts().config.terms_version
    if version and (request.form.get("terms") != "yes" or request.form.get("version") != version):
        return _page(pending, who, problem="welcome.terms_missing", status=400)
    accepted = Accepted(version)
    if who.known_by == "mail":
        return _make(pending, who, accepted)
    return finish(pending, who.identity, kept=pending.keep, who=who, accepted=accepted)


def _make(pending: Pending, who: Newcomer, accepted: Accepted) -> Response:
    """Make the account, and let the provider open it: its answer may be an hour old by now."""
    here, door = parts(), who.identity.door
    try:
        with here.database.transaction() as db:
            outcome = settle(db, who, None, accepted, own_issuer=here.config.issuer, linking=linking(door))
    except (AddressTaken, IntegrityError):  # in another tab: what is to be done now is decided anew
        return go("/login/welcome", p=pending.handle)
    if not isinstance(outcome, Account):  # the address has an account, or a company's closed door, since a moment ago
        return lead_newcomer(pending, who, outcome)
    return ask_again(pending.handle, door)


def _look(who: Newcomer) -> Decision | Closed:
    with parts().database.transaction() as db:
        return look_at(db, who, own_issuer=parts().config.issuer)


def _page(pending: Pending, who: Newcomer, *, problem: str | None = None, status: int = 200) -> Response:
    config = parts().config
    return show(
        "login/welcome.html",
        pending,
        status,
        provider=provider_name(who.identity.door),
        email=who.address,
        who=mark_of(who),
        name=told_name(who.identity.name).get("name"),
        terms_url=config.terms_url,
        privacy_url=config.privacy_url,
        version=config.terms_version,
        problem=problem,
        wait=None,
        receipt=pending.receipt if problem else None,
    )
