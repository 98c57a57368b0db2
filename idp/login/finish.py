"""Every door ends here: from an Identity to an open session, and back to what the person came for. A companion."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never
from urllib.parse import urlencode

from flask import Response, request
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as Transaction

from idp import audit, cookies
from idp.accounts import devices
from idp.accounts.changed_factor import Change, tell_changed_factor, tell_used_code
from idp.accounts.consents import consents_of
from idp.accounts.fresh_proof import still_lives
from idp.accounts.identity import Identity, passkey_mark
from idp.accounts.lifecycle import AddressTaken, snapshot
from idp.accounts.linking import (
    Decision,
    Found,
    New,
    Proof,
    ProveFirst,
    Refused,
    decide,
    find_email_owner,
    find_linked,
)
from idp.accounts.passkeys import NotBelieved
from idp.accounts.recovery_codes import codes_left
from idp.accounts.remembered import note_door, remember
from idp.accounts.second_factors import (
    REMEMBERED,
    AskSecond,
    MailCode,
    NewFactor,
    NewPasskey,
    Ready,
    Second,
    SetUpSecond,
    add_second,
    decide_second,
    look_at_factors,
    prefers_two,
)
from idp.accounts.sessions import (
    Session,
    confirm_session,
    end_sessions,
    forget_session,
    open_session,
    queue_logout_notices,
)
from idp.accounts.totp import NewTotp, totp_mark
from idp.accounts.visitor import visitor
from idp.attempts import Step
from idp.company_policy import policy_of_company
from idp.enforcement import note_break_glass, own_door
from idp.errors import PageError
from idp.login import pending as pendings
from idp.login.arrival import Arrival, Newcomer, newcomer, read_newcomer, write_newcomer
from idp.login.company_account import Proved, check_stands, decision_about, settle
from idp.login.half_way import Half, RightPassword
from idp.login.journey import find_pending, lead_to_provider, needs_organizer, provider_name, show
from idp.login.mailed_code import send_code
from idp.login.pending import Pending
from idp.login.social_account import Accepted, Closed, Linking, link_newcomer, look_at
from idp.login.social_account import settle as settle_newcomer
from idp.models import Account, Member
from idp.parts import parts
from idp.redirects import go, leave
from idp.rendering import choose_language
from idp.visiting import peer

# Where something more is asked for.
SECOND = "/login/second"
SET_UP = "/login/second/set-up"
MAILED = "/login/second/mail"


def finish(
    pending: Pending,
    identity: Identity,
    *,
    kept: bool,
    arrival: Arrival | None = None,
    proved: Proved | None = None,
    switching: bool = False,
    who: Newcomer | None = None,
    accepted: Accepted | None = None,
    password: RightPassword | None = None,
    mailbox: bool = False,
) -> Response:
    """Open a session for who came through a door, and go on with the journey.

    ``kept``: the person asked to be kept signed in on this browser. ``arrival``: what more a company's door knows of the
    identity; ``proved``: the account that this person has just proved to be theirs; ``switching``: who was signed in here as
    somebody else agrees. ``who``: what more is known meanwhile of somebody who came through a social door; ``accepted``: that they
    want an account. ``password``: what this sign-in rests on; ``mailbox``: they have just shown that a mail to them reaches them.

    While somebody proves an account for a newcomer by going through another door, the newcomer is linked to it here.

    :raises PageError: this identity may not sign in.
    """
    if arrival is not None and proved is None and not switching and _is_somebody_else(arrival):
        return _ask_to_switch(pending, arrival)
    if identity.is_social and who is None:
        who = newcomer(identity)
    waiting = _waiting(pending, identity)
    if waiting is not None:
        find_pending(pending.handle, proving="")  # one try: whatever comes of it, the next sign-in is an ordinary one
    half = Half(identity, kept, arrival, proved, who, accepted, waiting, mailbox=mailbox)
    if (
        password is not None
    ):  # it may be changed before the account is held: whoever knew the old one gets nothing any more
        half = replace(half, account_id=password.account_id, mark=password.mark)
    return go_in(pending, half)


def go_in(
    pending: Pending,
    half: Half,
    shown: Second | NewFactor | None = None,
    *,
    remembering: bool = False,
    before: Callable[[str], Response] | None = None,
) -> Response:
    """Open a session for who came through a door, as soon as nothing more is asked of them (``decide_second``); else lead to where
    it is asked, with nothing done.

    :param shown: the second factor that they have shown since; ``remembering``: this browser is not to be asked again for a while.
    :param before: makes a page that stands before the next one, from that one's address.
    :raises PageError: they may not sign in, or no more.
    """
    here = parts()
    device = cookies.find(cookies.DEVICE) or base64.urlsafe_b64encode(here.random(32)).rstrip(b"=").decode()
    enter = partial(_enter, pending, half, shown, device=device, remembering=remembering)
    try:
        entered = enter()
    except (AddressTaken, IntegrityError):  # the same newcomer twice at once, and the other request was faster
        entered = enter()
    if isinstance(entered, Asked):
        return _ask_more(pending, entered)
    if not isinstance(entered, tuple):
        if half.who is not None:
            return lead_newcomer(pending, half.who, entered)
        assert half.arrival is not None and isinstance(entered, ProveFirst)  # the other doors say nothing else
        return _ask_for_proof(pending, entered, half.arrival)
    session, cookie = entered
    here.attempts.step(
        pending.receipt,
        Step.session_opened,
        outcome="done",
        connection_id=half.arrival.session.connection if half.arrival else None,
        account_id=session.account_id,
        amr=" ".join(session.amr),
    )
    response = _go_on(pending, session)
    if before is not None:
        response = before(response.location)
    _keep(response, session, cookie)
    cookies.put(response, cookies.DEVICE, device, max_age=cookies.YEAR)
    note_door(response, half.identity.door)
    return response


def step_up(
    pending: Pending, session: Session, shown: Second | NewFactor, *, before: Callable[[str], Response] | None = None
) -> Response:
    """Whoever is signed in has shown a second factor: their session is one of two from now on, and the journey goes on.

    When they came through a door stays as it was: that is how old the first proof is.

    :raises PageError: the session has ended meanwhile, or the account has another factor by now than the one that was set up.
    """
    here = parts()
    with ExitStack() as undo:
        with here.database.transaction() as db:
            account = db.get_one(Account, session.account_id, with_for_update=True)
            held = look_at_factors(db, account.id, device=None, now=here.clock())
            if (
                account.state != "active"
                or not still_lives(db, session)
                or (not isinstance(shown, Second) and held.any)
            ):
                raise PageError("second_over", status=403)
            second = _second(db, account, shown)
            ready = add_second(session.amr, second.methods)
            opened, cookie = open_session(
                here.store,
                here.config,
                account_id=account.id,
                sub=account.sub,
                person=snapshot(account),
                consents=consents_of(db, account.id),
                amr=ready.methods,
                acr=ready.acr,
                kept=session.kept,
                agent=session.agent,
                address=peer(),
                previous=session,
                now=here.clock(),
                random=here.random,
                company=session.company,
                door=session.door,
                idle=session.idle or None,
                ends=session.expires,
                auth_time=session.auth_time,
                undated=session.undated,
            )
            undo.callback(forget_session, here.store, opened)
        undo.pop_all()
    confirm_session(here.store, opened, session, here.clock())
    amr = " ".join(opened.amr)
    here.attempts.step(pending.receipt, Step.session_opened, outcome="done", account_id=opened.account_id, amr=amr)
    response = _go_on(pending, opened, grown=session)
    if before is not None:
        response = before(response.location)
    _keep(response, opened, cookie)
    return response


def lead_newcomer(pending: Pending, who: Newcomer, missing: Decision | Closed) -> Response:
    """To the page where somebody who came through a social door goes on, as things stand now.

    :raises PageError: they may not come in.
    """
    if pending.silent:
        raise PageError("login_required", status=403)
    here = parts()
    reason = ""
    match missing:
        case Closed(company, by_address):
            return show_closed(pending, company, who.address or who.identity.email or "", by_address=by_address)
        case Refused(reason):
            raise PageError(reason, status=403)
        case Found():  # meanwhile, in another tab: the provider says once more who is there
            return ask_again(pending.handle, who.identity.door)
        case _ if pending.invited:
            account_id, path, step = "", "/invite/social", Step.terms_asked
        case ProveFirst(account_id):
            path, step = ("/login/link", Step.link_asked) if account_id else ("/login/address", Step.address_asked)
        case New() if needs_organizer(pending):
            account_id, path, step, reason = "", "/help/why-sign-in", Step.account_decision, "organizer_needed"
        case New():
            account_id, path, step = "", "/login/welcome", Step.terms_asked
        case _:
            assert_never(missing)
    find_pending(pending.handle, newcomer=write_newcomer(who), arrival="", proving="")
    here.attempts.step(
        pending.receipt, step, reason=reason or None, door=who.identity.door, account_id=account_id or None
    )
    return go(path, p=pending.handle)


def ask_again(handle: str, door: str) -> Response:
    """Let a social provider say once more who is there; to the first step if there is no such door any more."""
    registered = parts().providers.get(door)
    if registered is None:
        return go("/login", p=handle)
    return lead_to_provider(f"/login/social/{door}?{urlencode({'p': handle})}", registered.name)


def show_closed(pending: Pending, company: str, address: str, *, by_address: bool) -> Response:
    """The page for people whom their company signs in itself: it leads there."""
    parts().attempts.step(pending.receipt, Step.account_decision, reason="company_sso_required")
    if by_address:  # by which their company's door is found; any other would lead elsewhere
        find_pending(pending.handle, email=address)
    return show(
        "login/social_closed.html", pending, 403, company=company, by_address=by_address, receipt=pending.receipt
    )


def linking(door: str) -> Linking:
    """What it needs to link somebody who came through a social door."""
    here = parts()
    return Linking(provider_name(door), choose_language(), here.sealer, here.clock(), here.random)


def _waiting(pending: Pending, identity: Identity) -> Newcomer | None:
    """The newcomer for whom this sign-in is to prove an account; nobody proves that by coming once more."""
    if not (pending.newcomer and pending.proving):
        return None
    who = read_newcomer(pending.newcomer)
    same = (who.identity.issuer, who.identity.subject) == (identity.issuer, identity.subject)
    return None if same else who


def _keep(response: Response, session: Session, cookie: str) -> None:
    cookies.put(response, cookies.SESSION, cookie, max_age=session.expires - session.created if session.kept else None)
    if session.kept:
        remember(response, session.email)


@dataclass(frozen=True, slots=True)
class Asked:
    """Something more is asked of who came through a door; ``half`` knows whose account it is."""

    more: AskSecond | SetUpSecond | MailCode
    half: Half


def _enter(
    pending: Pending, half: Half, shown: Second | NewFactor | None, *, device: str, remembering: bool
) -> tuple[Session, str] | Asked | ProveFirst | New | Closed:
    here = parts()
    previous = visitor()
    with ExitStack() as undo:
        with here.database.transaction() as db:
            account = _account(pending, half, db)
            if half.waiting is not None:
                _link_waiting(db, pending, half.waiting, account, half.identity)
            if not isinstance(account, Account):
                return account
            gate = _gate(db, pending, half, shown, account, device)
            if isinstance(gate, Asked):
                db.rollback()  # an account is neither made nor linked by half a sign-in
                return gate
            if shown is not None:
                gate = add_second(half.identity.methods, _second(db, account, shown).methods)
            stranger = [previous] if previous is not None and previous.account_id != account.id else []
            queue_logout_notices(db, here.store, stranger, here.clients, here.clock())
            session, cookie = _open(db, account, half, gate, previous, device=device, remembering=remembering)
            undo.callback(forget_session, here.store, session)
        undo.pop_all()  # committed: from here on the person has signed in
    end_sessions(here.store, stranger)
    confirm_session(here.store, session, None if stranger else previous, here.clock())
    return session, cookie


def _gate(
    db: Transaction, pending: Pending, half: Half, shown: Second | NewFactor | None, account: Account, device: str
) -> Ready | Asked:
    """Every door passes here, after the account is known and held, and before a session is opened.

    :raises PageError: ``second_over``: it is another account, or has another password, than when something more was asked.
    """
    here = parts()
    held = look_at_factors(db, account.id, device=device, now=here.clock())
    if half.account_id and (half.account_id, half.mark) != (account.id, held.mark):
        raise PageError("second_over", status=403)
    gate = decide_second(
        half.identity,
        held,
        wanted=prefers_two(pending.acr_values),
        vouched=half.vouched,
        shown=shown,
        mailbox=half.mailbox,
        ask_new_browsers=here.config.new_device_code,
    )
    if isinstance(gate, Ready):
        return gate
    return Asked(gate, replace(half, account_id=account.id, mark=held.mark))


def _second(db: Transaction, account: Account, shown: Second | NewFactor) -> Second:
    """A new factor becomes the account's in the moment in which it opens something.

    :raises PageError: a new passkey is not believed.
    """
    here = parts()
    match shown:
        case Second():
            if shown.code:
                _tell_used_code(db, account)
            return shown
        case NewTotp():
            totp = here.totps.add(db, account.id, shown, here.clock())
            if shown.codes:
                here.recovery_codes.keep(db, account.id, shown.codes, here.clock())
            change = Change("totp", added=True, mark=totp_mark(totp), agent=_agent(), address=peer())
            proved = Second(("otp",))
        case NewPasskey():
            added = here.passkeys.add(db, account, shown.answer, shown.bound, name=shown.name, now=here.clock())
            if isinstance(added, NotBelieved):
                raise PageError(added.reason, detail=added.detail)
            mark = passkey_mark(added.credential_id)
            change = Change("passkey", added=True, name=added.name, mark=mark, agent=_agent(), address=peer())
            proved = Second(("swk" if added.synced else "hwk", "user"))
        case _:
            assert_never(shown)
    language = choose_language(account.locale)
    tell_changed_factor(
        db, account, change, language=language, sealer=here.sealer, now=here.clock(), random=here.random
    )
    return proved


def _tell_used_code(db: Transaction, account: Account) -> None:
    here = parts()
    tell_used_code(
        db,
        account,
        left=codes_left(db, account.id),
        agent=_agent(),
        address=peer(),
        language=choose_language(account.locale),
        sealer=here.sealer,
        now=here.clock(),
        random=here.random,
    )


def _agent() -> str:
    return devices.describe_agent(request.headers.get("User-Agent", ""))


def _ask_more(pending: Pending, asked: Asked) -> Response:
    if pending.silent:
        raise PageError("login_required", status=403)
    half = asked.half
    find_pending(pending.handle, half=half.written())
    match asked.more:
        case AskSecond():
            path, step = SECOND, Step.second_asked
        case SetUpSecond():
            path, step = SET_UP, Step.second_set_up_asked
        case MailCode():
            path, step = MAILED, Step.code_asked
            send_code(pending, half.account_id)
        case _:
            assert_never(asked.more)
    whose = half.account_id
    parts().attempts.step(pending.receipt, step, account_id=whose, door=half.identity.door, proved=whose)
    return go(path, p=pending.handle)


def _proof_by(identity: Identity) -> Proof:
    match identity.door:
        case "password":
            return "password"
        case "passkey":
            return "passkey"
        case "company":
            return "company"
        case _:
            return "social"


def _link_waiting(
    db: Transaction,
    pending: Pending,
    waiting: Newcomer,
    account: Account | ProveFirst | New | Closed,
    identity: Identity,
) -> None:
    """Link the newcomer to the account that this door has opened, if it is the one that was to be proved.

    :raises PageError: ``link_other_account``: it is another one; nothing that this sign-in has done stays.
    """
    here = parts()
    wanted = look_at(db, waiting, own_issuer=here.config.issuer)
    by = _proof_by(identity)
    match wanted:
        case Found(account_id) if isinstance(account, Account) and account.id == account_id:
            return  # in another tab
        case ProveFirst(account_id, proofs) if (
            isinstance(account, Account)
            and account.id == account_id
            and ("password" if by == "passkey" else by) in proofs
        ):
            closed = link_newcomer(db, account_id, waiting, by, linking(waiting.identity.door))
            if closed is not None:
                raise PageError("company_sso_required", status=403)
            here.attempts.step(pending.receipt, Step.linked, door=waiting.identity.door, account_id=account_id)
        case _:
            raise PageError("link_other_account", status=403)


def _account(pending: Pending, half: Half, db: Transaction) -> Account | ProveFirst | New | Closed:
    here = parts()
    own_issuer = here.config.issuer
    identity, arrival, who, proved = half.identity, half.arrival, half.who, half.proved
    if arrival is not None:
        check_stands(db, arrival)
        settled = settle(db, arrival, proved, own_issuer=own_issuer, now=here.clock(), random=here.random)
        what = "ProveFirst" if isinstance(settled, ProveFirst) else "Found"
        here.attempts.step(pending.receipt, Step.account_decision, received=what)
        if isinstance(settled, Account) and db.get_one(Member, settled.id).role == "administrator":
            # Who could mend the connection has come through it: now the other doors may be closed.
            here.connections.note_administrator_signed_in(db, arrival.session.connection, now=here.clock())
        return settled
    if who is not None:
        outcome = settle_newcomer(db, who, proved, half.accepted, own_issuer=own_issuer, linking=linking(identity.door))
        if pending.invited and isinstance(outcome, Account):  # not the one that they were invited to
            raise PageError("link_other_account", status=403)
        what = "Found" if isinstance(outcome, Account) else type(outcome).__name__
        here.attempts.step(pending.receipt, Step.account_decision, door=identity.door, received=what)
        return outcome
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
        case New() | ProveFirst():  # our own door brings nobody without an account
            raise PageError("account_unknown", status=403)
        case _:
            assert_never(decision)


def _pass_own_door(db: Transaction, identity: Identity, account_id: str) -> None:
    here = parts()
    # A passkey is closed, and passes for emergencies, as the password is.
    door = own_door(db, identity.email or "", account_id, "password", hold=True)
    if door.closed_by is None:
        return
    if not door.break_glass:  # closed to this door, or meanwhile
        raise PageError("company_sso_required", status=403)
    note_break_glass(db, door.closed_by, account_id, address=peer(), sealer=here.sealer, now=here.clock())


def _open(
    db: Transaction,
    account: Account,
    half: Half,
    ready: Ready,
    previous: Session | None,
    *,
    device: str,
    remembering: bool,
) -> tuple[Session, str]:
    here = parts()
    now = here.clock()
    identity, arrival = half.identity, half.arrival
    agent = _agent()
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
        remembered_until=int(now) + REMEMBERED if remembering else None,
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
        amr=ready.methods,
        acr=ready.acr,
        kept=half.kept,
        agent=agent,
        address=peer(),
        previous=previous,
        now=now,
        random=here.random,
        company=arrival.session if arrival else None,
        door=identity.way,
        idle=policy.session_idle if policy else None,
        lifetime=policy.session_lifetime if policy else None,
        ends=arrival.ends if arrival else None,
        auth_time=identity.at,
        undated=identity.undated,
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


def _ask_for_proof(pending: Pending, first: ProveFirst, arrival: Arrival) -> Response:
    if pending.silent:
        raise PageError("login_required", status=403)
    find_pending(pending.handle, arrival=arrival.written(), newcomer="", proving="")
    parts().attempts.step(
        pending.receipt,
        Step.link_asked,
        connection_id=arrival.session.connection,
        account_id=first.account_id,
    )
    return go("/login/link", p=pending.handle)


def _go_on(pending: Pending, session: Session, *, grown: Session | None = None) -> Response:
    here = parts()
    if pending.purpose == "authorize":
        # A session of before that has become a stronger one is no fresher for it.
        if grown is None or pending.session == grown.key:
            find_pending(pending.handle, session=session.key)
        return go("/authorize/resume", p=pending.handle)
    pendings.take(here.store, pending.handle, cookies.browser(), here.clock())
    client = here.clients.find(pending.client_id) if pending.purpose == "product" else None
    beginning = client.beginning(here.config.issuer) if client is not None else None
    if beginning is not None:
        # The product begins anew, with a request of its own: nothing is handed over unasked.
        return leave(beginning)
    return go(pending.request or "/me")
