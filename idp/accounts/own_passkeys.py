"""``/me/passkeys``: a person adds passkeys, names them and takes them away.

Whoever has not lately signed in does so first, with a second factor where one guards the account. Making one needs script; all else does not.
"""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, Response, g, request
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as Transaction
from werkzeug.exceptions import TooManyRequests

from idp import throttle
from idp.accounts.changed_factor import Change, tell_changed_factor
from idp.accounts.devices import describe_agent
from idp.accounts.fresh_proof import prove_twice, still_lives
from idp.accounts.identity import passkey_mark, passkey_way
from idp.accounts.lifecycle import apply_revocations
from idp.accounts.passkeys import NotBelieved, passkeys_of, read_name
from idp.accounts.second_factors import look_at_factors, settle_without
from idp.accounts.sessions import Session
from idp.accounts.visitor import visitor
from idp.accounts.ways import is_last, remove_passkey
from idp.attempts import Step
from idp.enforcement import own_door
from idp.errors import Unavailable
from idp.models import Account, Passkey
from idp.parts import parts
from idp.redirects import go
from idp.rendering import choose_language, render_page
from idp.visiting import peer

bp = Blueprint("own_passkeys", __name__)

PATH = "/me/passkeys"
REMOVE = "/me/passkeys/remove"
NOTICES = ("added", "named", "removed")


@bp.get(PATH)
def show_passkeys() -> Response:
    """What there is, and a form that makes another; or which company signs the person in instead."""
    session = visitor()
    if session is None:
        return go("/login")
    return prove_twice(session, PATH) or _page(session)


@bp.post(PATH)
def add_passkey() -> Response:
    """Add what the browser has made."""
    session = visitor()
    if session is None:
        return go("/login")
    anew = prove_twice(session, PATH)
    if anew is not None:
        return anew
    here, who = parts(), session.account_id
    wait = throttle.take_addition(here.store, account_id=who, now=here.clock())
    if wait:
        raise TooManyRequests(retry_after=wait)
    try:
        added = _add(session)
    except IntegrityError:  # somebody else adds the same in this moment, and was faster
        added = NotBelieved("passkey_known")
    g.receipt = here.attempts.start()
    if isinstance(added, NotBelieved):
        here.attempts.step(
            g.receipt, Step.factor_added, reason=added.reason, door="passkey", account_id=who, detail=added.detail
        )
        return _page(session, added.reason)
    here.attempts.step(g.receipt, Step.factor_added, door="passkey", account_id=who, detail="passkey")
    return go(PATH, notice="added")


@bp.post("/me/passkeys/name")
def name_passkey() -> Response:
    """Let a passkey be called otherwise."""
    session = visitor()
    if session is None:
        return go("/login")
    anew = prove_twice(session, PATH)
    if anew is not None:
        return anew
    name = read_name(request.form.get("name", ""))
    with parts().database.transaction() as db:
        passkey = _find(db, session, request.form.get("passkey", ""))
        if passkey is None or not name:
            return go(PATH)
        passkey.name = name
    return go(PATH, notice="named")


@bp.get(REMOVE)
def ask_to_remove() -> Response:
    """Ask once more before a passkey is taken away."""
    session = visitor()
    if session is None:
        return go("/login")
    return prove_twice(session, PATH) or _ask(session, request.args.get("passkey", ""))


@bp.post(REMOVE)
def remove() -> Response:
    """Take a passkey away, unless nothing else opens the account, or proves what must be: whoever came by it is signed out."""
    session = visitor()
    if session is None:
        return go("/login")
    anew = prove_twice(session, PATH)
    if anew is not None:
        return anew
    here, who, mark = parts(), session.account_id, request.form.get("passkey", "")
    now = here.clock()
    with here.database.transaction() as db:
        account = db.get_one(Account, who, with_for_update=True, populate_existing=True)
        passkey = _find(db, session, mark)
        if passkey is None or not still_lives(db, session):  # pressed twice, or thrown out meanwhile
            return go(PATH)
        stays = _why_it_stays(db, passkey)
        if not stays:
            remove_passkey(db, passkey, now=now)
            settle_without(db, who)
            _tell(db, account, passkey, added=False)
    if stays:
        return _ask(session, mark)
    # Without Redis no session works; the worker brings it what changed when it is back.
    with suppress(Unavailable):
        apply_revocations(here.database, here.store, here.clients, here.clock())
    g.receipt = here.attempts.start()
    here.attempts.step(g.receipt, Step.factor_removed, door="passkey", account_id=who, detail="passkey")
    return go(PATH, notice="removed")


def _why_it_stays(db: Transaction, passkey: Passkey) -> str:
    """``way``: nothing else opens the account; ``factor``: a company demands a second factor, and there is no other; "": it may go."""
    here = parts()
    if is_last(db, passkey, here.providers):
        return "way"
    held = look_at_factors(db, passkey.account_id, device=None, now=here.clock())
    alone = not held.totp and len(passkeys_of(db, passkey.account_id)) == 1
    return "factor" if held.demanded and alone else ""


def _add(session: Session) -> Passkey | NotBelieved:
    here = parts()
    agent = describe_agent(request.headers.get("User-Agent", ""))
    with here.database.transaction() as db:
        account = db.get_one(Account, session.account_id, with_for_update=True, populate_existing=True)
        if not still_lives(db, session):
            return NotBelieved("session_expired")
        if not own_door(db, "", account.id, "password").opens:
            return NotBelieved("company_sso_required")
        name = read_name(request.form.get("name", "")) or read_name(agent)
        answer = request.form.get("answer", "")
        added = here.passkeys.add(db, account, answer, _purpose(session), name=name, now=here.clock())
        if isinstance(added, Passkey):
            _tell(db, account, added, added=True)
    return added


def _tell(db: Transaction, account: Account, passkey: Passkey, *, added: bool) -> None:
    here = parts()
    change = Change(
        "passkey",
        added=added,
        name=passkey.name,
        mark=passkey_mark(passkey.credential_id),
        agent=describe_agent(request.headers.get("User-Agent", "")),
        address=peer(),
    )
    language = choose_language(account.locale)
    tell_changed_factor(
        db, account, change, language=language, sealer=here.sealer, now=here.clock(), random=here.random
    )


def _find(db: Transaction, session: Session, mark: str) -> Passkey | None:
    theirs = passkeys_of(db, session.account_id)
    return next((one for one in theirs if passkey_mark(one.credential_id) == mark), None)


def _purpose(session: Session) -> str:
    return f"add {session.key}"


def _page(session: Session, reason: str | None = None) -> Response:
    here = parts()
    notice = request.args.get("notice")
    with here.database.reading() as db:
        account = db.get_one(Account, session.account_id)
        closed_by = own_door(db, "", account.id, "password")
        theirs = passkeys_of(db, account.id)
        options = here.passkeys.options_to_add(db, account, _purpose(session), here.clock())
        return render_page(
            "accounts/own_passkeys.html",
            400 if reason else 200,
            language=session.locale,
            passkeys=[
                {
                    "mark": passkey_mark(one.credential_id),
                    "name": one.name,
                    "synced": one.synced,
                    "since": one.created_at,
                    "used": one.last_used_at,
                }
                for one in theirs
            ],
            employer=closed_by.closed_by.name if closed_by.closed_by and not closed_by.opens else None,
            options=options,
            suggested=describe_agent(request.headers.get("User-Agent", "")),
            reason=reason,
            receipt=g.receipt if reason else None,
            notice=notice if notice in NOTICES and not reason else None,
        )


def _ask(session: Session, mark: str) -> Response:
    with parts().database.reading() as db:
        passkey = _find(db, session, mark)
        if passkey is None:
            return go(PATH)
        stays = _why_it_stays(db, passkey)
        return render_page(
            "accounts/remove_passkey.html",
            403 if stays else 200,
            language=session.locale,
            name=passkey.name,
            mark=mark,
            stays=stays,
            here=session.door == passkey_way(passkey.credential_id),
        )
