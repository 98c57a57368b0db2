"""Every door ends here: from an Identity to an open session, and back to what the person came for. A companion."""

from __future__ import annotations

import base64
from contextlib import ExitStack
from functools import partial
from typing import assert_never
from urllib.parse import urlencode

from flask import Response, request
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as Transaction

from idp import audit, cookies
from idp.accounts import devices
from idp.accounts.consents import consents_of
from idp.accounts.identity import Identity
from idp.accounts.lifecycle import AddressTaken, snapshot
from idp.accounts.linking import Found, New, ProveFirst, Refused, decide, find_email_owner, find_linked
from idp.accounts.remembered import remember
from idp.accounts.sessions import Session, end_sessions, forget_session, open_session, queue_logout_notices
from idp.accounts.visitor import visitor
from idp.attempts import Step
from idp.company_policy import policy_of_company
from idp.enforcement import note_break_glass, own_door
from idp.errors import PageError
from idp.login import pending as pendings
from idp.login.arrival import Arrival
from idp.login.company_account import Proved, check_stands, decision_about, settle
from idp.login.journey import find_pending
from idp.login.pending import Pending
from idp.models import Account, Member
from idp.parts import parts
from idp.redirects import go, leave
from idp.rendering import choose_language
from idp.visiting import peer


def finish(
    pending: Pending,
    identity: Identity,
    *,
    kept: bool,
    arrival: Arrival | None = None,
    proved: Proved | None = None,
    switching: bool = False,
) -> Response:
    """Open a session for who came through a door, and go on with the journey.

    ``kept``: the person asked to be kept signed in on this browser. ``arrival``: what more a company's door knows of the
    identity; ``proved``: the account that this person has just proved to be theirs; ``switching``: who was signed in here as
    somebody else agrees.

    :raises PageError: this identity may not sign in.
    """
    here = parts()
    if arrival is not None and proved is None and not switching and _is_somebody_else(arrival):
        return _ask_to_switch(pending, arrival)
    device = cookies.find(cookies.DEVICE) or base64.urlsafe_b64encode(here.random(32)).rstrip(b"=").decode()
    enter = partial(_enter, pending, identity, arrival, proved, kept=kept, device=device)
    try:
        entered = enter()
    except (AddressTaken, IntegrityError):  # the same newcomer twice at once, and the other request was faster
        entered = enter()
    if isinstance(entered, ProveFirst):
        return _ask_for_proof(pending, entered, arrival)
    session, cookie = entered
    here.attempts.step(
        pending.receipt,
        Step.session_opened,
        outcome="done",
        connection_id=arrival.session.connection if arrival else None,
        account_id=session.account_id,
        amr=" ".join(identity.methods),
    )
    response = _go_on(pending, session)
    cookies.put(response, cookies.SESSION, cookie, max_age=session.expires - session.created if kept else None)
    if kept:
        remember(response, session.email)
    cookies.put(response, cookies.DEVICE, device, max_age=cookies.YEAR)
    return response


def _enter(
    pending: Pending,
    identity: Identity,
    arrival: Arrival | None,
    proved: Proved | None,
    *,
    kept: bool,
    device: str,
) -> tuple[Session, str] | ProveFirst:
    here = parts()
    previous = visitor()
    with ExitStack() as undo:
        with here.database.transaction() as db:
            account = _account(db, identity, arrival, proved, pending)
            if isinstance(account, ProveFirst):
                return account
            stranger = [previous] if previous is not None and previous.account_id != account.id else []
            queue_logout_notices(db, here.store, stranger, here.clients, here.clock())
            session, cookie = _open(db, account, identity, arrival, previous, kept=kept, device=device)
            undo.callback(forget_session, here.store, session)
        undo.pop_all()  # committed: from here on the person has signed in
    if stranger:
        end_sessions(here.store, stranger)
    elif previous is not None:
        forget_session(here.store, previous)
    return session, cookie


def _account(
    db: Transaction, identity: Identity, arrival: Arrival | None, proved: Proved | None, pending: Pending
) -> Account | ProveFirst:
    here = parts()
    own_issuer = here.config.issuer
    if arrival is not None:
        check_stands(db, arrival)
        settled = settle(db, arrival, proved, own_issuer=own_issuer, now=here.clock(), random=here.random)
        what = "ProveFirst" if isinstance(settled, ProveFirst) else "Found"
        here.attempts.step(pending.receipt, Step.account_decision, received=what)
        if isinstance(settled, Account) and db.get_one(Member, settled.id).role == "administrator":
            # Who could mend the connection has come through it: now the other doors may be closed.
            here.connections.note_administrator_signed_in(db, arrival.session.connection, now=here.clock())
        return settled
    linked = find_linked(db, identity, own_issuer=own_issuer)
    owner = find_email_owner(db, identity.email) if identity.email and linked is None else None
    decision = decide(identity, linked, owner, own_issuer=own_issuer)
    here.attempts.step(pending.receipt, Step.account_decision, received=type(decision).__name__)
    match decision:
        case Found(account_id):
            _pass_own_door(db, identity, account_id)
            return db.get_one(Account, account_id)
        case Refused(reason):
            raise PageError(reason, status=403)
        case New() | ProveFirst():  # no door without a company that is built yet brings somebody without an account
            raise PageError("account_unknown", status=403)
        case _:
            assert_never(decision)


def _pass_own_door(db: Transaction, identity: Identity, account_id: str) -> None:
    here = parts()
    door = own_door(db, identity.email or "", account_id, identity.door, hold=True)
    if door.closed_by is None:
        return
    if not door.break_glass:  # closed to this door, or meanwhile
        raise PageError("company_sso_required", status=403)
    note_break_glass(db, door.closed_by, account_id, address=peer(), sealer=here.sealer, now=here.clock())


def _open(
    db: Transaction,
    account: Account,
    identity: Identity,
    arrival: Arrival | None,
    previous: Session | None,
    *,
    kept: bool,
    device: str,
) -> tuple[Session, str]:
    here = parts()
    now = here.clock()
    agent = devices.describe_agent(request.headers.get("User-Agent", ""))
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
        **({"connection": arrival.session.connection} if arrival else {}),
    )
    member = db.get(Member, account.id)
    policy = policy_of_company(db, member.company_id) if member else None  # by whatever door they came
    # Opened while the account's row is held: a suspension comes before it, and is seen, or after it, and ends it.
    return open_session(
        here.store,
        here.config,
        account_id=account.id,
        sub=account.sub,
        person=snapshot(account),
        consents=consents_of(db, account.id),
        amr=identity.methods,
        acr=identity.acr,
        kept=kept,
        agent=agent,
        address=peer(),
        previous=previous,
        now=now,
        random=here.random,
        company=arrival.session if arrival else None,
        idle=policy.session_idle if policy else None,
        lifetime=policy.session_lifetime if policy else None,
        ends=arrival.ends if arrival else None,
        auth_time=identity.at,
    )


def _is_somebody_else(arrival: Arrival) -> bool:
    """Whether another person is signed in at this browser than who comes from a company."""
    previous = visitor()
    if previous is None:
        return False
    here = parts()
    with here.database.transaction() as db:
        match decision_about(db, arrival, own_issuer=here.config.issuer):
            case Found(account_id):
                return account_id != previous.account_id
            case New():
                return True
            case _:  # refused, or to be proved by what only its owner has
                return False


def _ask_to_switch(pending: Pending, arrival: Arrival) -> Response:
    if pending.silent:
        raise PageError("login_required", status=403)
    find_pending(pending.handle, arrival=arrival.written())
    parts().attempts.step(pending.receipt, Step.account_decision, received="another person is signed in")
    return go("/login/switch", p=pending.handle)


def _ask_for_proof(pending: Pending, first: ProveFirst, arrival: Arrival | None) -> Response:
    assert arrival is not None  # no other door says so
    if pending.silent:
        raise PageError("login_required", status=403)
    find_pending(pending.handle, arrival=arrival.written())
    parts().attempts.step(
        pending.receipt,
        Step.link_asked,
        connection_id=arrival.session.connection,
        account_id=first.account_id,
    )
    return go("/login/link", p=pending.handle)


def _go_on(pending: Pending, session: Session) -> Response:
    here = parts()
    if pending.purpose == "authorize":
        find_pending(pending.handle, session=session.key)
        return go("/authorize/resume", p=pending.handle)
    pendings.take(here.store, pending.handle, cookies.browser(), here.clock())
    client = here.clients.find(pending.client_id) if pending.purpose == "product" else None
    if client is not None and client.initiate_login_uri:
        # The product begins anew, with a request of its own (OpenID Connect Core 4): nothing is handed over unasked.
        uri = client.initiate_login_uri
        return leave(f"{uri}{'&' if '?' in uri else '?'}{urlencode({'iss': here.config.issuer})}")
    return go("/me")
