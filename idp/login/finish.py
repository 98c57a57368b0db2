"""Every door ends here: from an Identity to an open session, and back to what the person came for. A companion."""

from __future__ import annotations

import base64
from contextlib import ExitStack
from typing import assert_never

from flask import Response, request
from sqlalchemy.orm import Session as Transaction

from idp import audit, cookies
from idp.accounts import devices
from idp.accounts.consents import consents_of
from idp.accounts.identity import ONE_FACTOR, Identity
from idp.accounts.lifecycle import snapshot
from idp.accounts.linking import Found, New, ProveFirst, Refused, decide, find_email_owner, find_linked
from idp.accounts.remembered import remember
from idp.accounts.sessions import Session, end_sessions, forget_session, open_session, queue_logout_notices
from idp.accounts.visitor import visitor
from idp.attempts import Step
from idp.errors import PageError
from idp.login import pending as pendings
from idp.login.journey import find_pending
from idp.login.pending import Pending
from idp.models import Account
from idp.parts import parts
from idp.redirects import go
from idp.rendering import choose_language
from idp.visiting import peer


def finish(pending: Pending, identity: Identity, *, kept: bool) -> Response:
    """Open a session for who came through a door, and go on with the journey.

    ``kept``: the person asked to be kept signed in on this browser.

    :raises PageError: this identity may not sign in.
    """
    here = parts()
    device = cookies.find(cookies.DEVICE) or base64.urlsafe_b64encode(here.random(32)).rstrip(b"=").decode()
    agent = devices.describe_agent(request.headers.get("User-Agent", ""))
    previous = visitor()
    with ExitStack() as undo:
        with here.database.transaction() as db:
            account = _account(db, identity, pending)
            stranger = [previous] if previous is not None and previous.account_id != account.id else []
            queue_logout_notices(db, here.store, stranger, here.clients, here.clock())
            session, cookie = _open(db, account, identity, previous, kept=kept, device=device, agent=agent)
            undo.callback(forget_session, here.store, session)
        undo.pop_all()  # committed: from here on the person has signed in
    if stranger:
        end_sessions(here.store, stranger)
    elif previous is not None:
        forget_session(here.store, previous)
    here.attempts.step(
        pending.receipt, Step.session_opened, outcome="done", account_id=account.id, amr=" ".join(identity.methods)
    )
    response = _go_on(pending, session)
    cookies.put(response, cookies.SESSION, cookie, max_age=session.expires - session.created if kept else None)
    if kept:
        remember(response, session.email)
    cookies.put(response, cookies.DEVICE, device, max_age=cookies.YEAR)
    return response


def _account(db: Transaction, identity: Identity, pending: Pending) -> Account:
    here = parts()
    own_issuer = here.config.issuer
    linked = find_linked(db, identity, own_issuer=own_issuer)
    owner = find_email_owner(db, identity.email) if identity.email and linked is None else None
    decision = decide(identity, linked, owner, own_issuer=own_issuer)
    here.attempts.step(pending.receipt, Step.account_decision, received=type(decision).__name__)
    match decision:
        case Found(account_id):
            return db.get_one(Account, account_id)
        case Refused(reason):
            raise PageError(reason, status=403)
        case New() | ProveFirst():  # no door that is built yet brings somebody without an account
            raise PageError("account_unknown", status=403)
        case _:
            assert_never(decision)


def _open(
    db: Transaction,
    account: Account,
    identity: Identity,
    previous: Session | None,
    *,
    kept: bool,
    device: str,
    agent: str,
) -> tuple[Session, str]:
    here = parts()
    now = here.clock()
    devices.note_sign_in(
        db,
        account,
        cookie=device,
        agent=agent,
        address=peer(),
        language=choose_language(account.locale),
        sealer=here.sealer,
        now=now,
        random=here.random,
    )
    audit.record(
        db,
        audit.Event.person_signed_in,
        now=now,
        actor=f"person:{account.id}",
        account_id=account.id,
        door=identity.door,
    )
    # Opened while the account's row is held: a suspension comes before it, and is seen, or after it, and ends it.
    return open_session(
        here.store,
        here.config,
        account_id=account.id,
        sub=account.sub,
        person=snapshot(account),
        consents=consents_of(db, account.id),
        amr=identity.methods,
        acr=ONE_FACTOR,
        kept=kept,
        agent=agent,
        address=peer(),
        previous=previous,
        now=now,
        random=here.random,
    )


def _go_on(pending: Pending, session: Session) -> Response:
    here = parts()
    if pending.purpose == "authorize":
        find_pending(pending.handle, session=session.key)
        return go("/authorize/resume", p=pending.handle)
    pendings.take(here.store, pending.handle, cookies.browser(), here.clock())
    return go("/me")
