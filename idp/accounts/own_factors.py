"""``/me/factors``: a person's second factors: the authenticator app, recovery codes, and the browsers that are not asked.

Whoever has not lately signed in does so first, and shows two factors where the account has two.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, g, request
from sqlalchemy import select
from sqlalchemy.orm import Session as Transaction
from werkzeug.exceptions import TooManyRequests

from idp import throttle
from idp.accounts.changed_factor import Change, Factor, tell_changed_factor
from idp.accounts.devices import describe_agent
from idp.accounts.fresh_proof import prove_twice, still_lives
from idp.accounts.second_factors import forget_browsers, look_at_factors, settle_without
from idp.accounts.sessions import Session
from idp.accounts.totp import remove_totp, tidy_code, totp_mark
from idp.accounts.visitor import visitor
from idp.attempts import Step
from idp.models import Account, Device, Passkey, Totp
from idp.parts import parts
from idp.redirects import go
from idp.rendering import choose_language, render_page
from idp.visiting import peer

bp = Blueprint("own_factors", __name__)

PATH = "/me/factors"
APP = "/me/factors/app"
REMOVE = "/me/factors/remove"
NOTICES = ("removed", "forgotten")


@bp.get(PATH)
def show_factors() -> Response:
    """What there is, and what can be added."""
    session = visitor()
    if session is None:
        return go("/login")
    return prove_twice(session, PATH) or _page(session)


@bp.get(APP)
def offer_app() -> Response:
    """Show the secret that an authenticator app takes over."""
    session = visitor()
    if session is None:
        return go("/login")
    return prove_twice(session, PATH) or _offer(session)


@bp.post(APP)
def add_app() -> Response:
    """Take the app's first code; then it is theirs."""
    session = visitor()
    if session is None:
        return go("/login")
    elsewhere = prove_twice(session, PATH)
    if elsewhere is not None:
        return elsewhere
    here, who = parts(), session.account_id
    now = here.clock()
    _take_turn(who)
    new = here.totps.try_offered(_bound(session), tidy_code(request.form.get("code", "")), now)
    if new is None:
        g.receipt = here.attempts.start()
        here.attempts.step(g.receipt, Step.factor_added, reason="second_code_wrong", account_id=who, detail="totp")
        return _offer(session, "second_code_wrong")
    with here.database.transaction() as db:
        account = db.get_one(Account, who, with_for_update=True, populate_existing=True)
        held = look_at_factors(db, who, device=None, now=now)
        if held.totp or not still_lives(db, session):  # pressed twice, or thrown out meanwhile
            return go(PATH)
        if not held.codes:
            new = replace(new, codes=here.recovery_codes.draw())
            here.recovery_codes.keep(db, who, new.codes, now)
        totp = here.totps.add(db, who, new, now)
        _tell(db, account, "totp", added=True, mark=totp_mark(totp))
    _receipt(Step.factor_added, who, "totp")
    # From now on these pages ask for the second factor, which this session was opened without: not at once, please.
    return _show_codes(session, new.codes, back="/me") if new.codes else go("/me", notice="saved")


@bp.get(REMOVE)
def ask_to_remove() -> Response:
    """Ask once more before the app is taken away; or say that a company demands it."""
    session = visitor()
    if session is None:
        return go("/login")
    return prove_twice(session, PATH) or _ask(session)


@bp.post(REMOVE)
def remove() -> Response:
    """Take the app away, unless a company demands a second factor and there is no other."""
    session = visitor()
    if session is None:
        return go("/login")
    elsewhere = prove_twice(session, PATH)
    if elsewhere is not None:
        return elsewhere
    here, who = parts(), session.account_id
    with here.database.transaction() as db:
        account = db.get_one(Account, who, with_for_update=True, populate_existing=True)
        held = look_at_factors(db, who, device=None, now=here.clock())
        last = held.demanded and not held.passkey
        if not held.totp or not still_lives(db, session):  # pressed twice, or thrown out meanwhile
            return go(PATH)
        if not last:
            remove_totp(db, who)
            settle_without(db, who)
            _tell(db, account, "totp", added=False)
    if last:
        return _ask(session)
    _receipt(Step.factor_removed, who, "totp")
    return go(PATH, notice="removed")


@bp.post("/me/factors/codes")
def make_codes() -> Response:
    """Ten recovery codes in the place of those from before."""
    session = visitor()
    if session is None:
        return go("/login")
    elsewhere = prove_twice(session, PATH)
    if elsewhere is not None:
        return elsewhere
    here, who = parts(), session.account_id
    _take_turn(who)
    codes = here.recovery_codes.draw()
    with here.database.transaction() as db:
        account = db.get_one(Account, who, with_for_update=True, populate_existing=True)
        held = look_at_factors(db, who, device=None, now=here.clock())
        if not held.any or not still_lives(db, session):
            return go(PATH)
        here.recovery_codes.keep(db, who, codes, here.clock())
        _tell(db, account, "recovery_codes", added=True)
    _receipt(Step.factor_added, who, "recovery codes")
    return _show_codes(session, codes)


@bp.post("/me/factors/forget")
def forget() -> Response:
    """Ask for the second factor again at one browser, or at all."""
    session = visitor()
    if session is None:
        return go("/login")
    wanted = request.form.get("browser", "")
    here, who = parts(), session.account_id
    with here.database.transaction() as db:
        theirs = db.scalars(select(Device.secret_hash).where(Device.account_id == who)).all()
        named = next((one for one in theirs if one[:32] == wanted), None)
        if named is not None or wanted == "all":
            forget_browsers(db, who, named)
    return go(PATH, notice="forgotten")


def _page(session: Session) -> Response:
    here, who = parts(), session.account_id
    notice = request.args.get("notice")
    now = here.clock()
    with here.database.reading() as db:
        held = look_at_factors(db, who, device=None, now=now)
        totp = db.get(Totp, who)
        passkeys = len(db.scalars(select(Passkey.id).where(Passkey.account_id == who)).all())
        remembered = db.scalars(
            select(Device)
            .where(Device.account_id == who, Device.remembered_until > now)
            .order_by(Device.last_seen_at.desc())
        ).all()
        return render_page(
            "accounts/own_factors.html",
            language=session.locale,
            since=totp.created_at if totp else None,
            passkeys=passkeys,
            codes=held.codes,
            browsers=[
                {"mark": one.secret_hash[:32], "agent": one.label, "last_seen": one.last_seen_at} for one in remembered
            ],
            employer=session.person.get("company", {}).get("name") if held.demanded_from is not None else None,
            demanded_in=max(0, held.demanded_from - int(now)) if held.demanded_from is not None else None,
            notice=notice if notice in NOTICES else None,
        )


def _offer(session: Session, reason: str | None = None) -> Response:
    here = parts()
    with here.database.reading() as db:
        if db.get(Totp, session.account_id) is not None:
            return go(PATH)
    return render_page(
        "accounts/own_app.html",
        400 if reason else 200,
        language=session.locale,
        offered=here.totps.offer(_bound(session), session.email, here.clock()),
        reason=reason,
        wait=None,
        receipt=g.receipt if reason else None,
    )


def _ask(session: Session) -> Response:
    here = parts()
    with here.database.reading() as db:
        held = look_at_factors(db, session.account_id, device=None, now=here.clock())
    if not held.totp:
        return go(PATH)
    reason = "second_demanded" if held.demanded and not held.passkey else None
    if reason:
        g.receipt = here.attempts.start()
        here.attempts.step(
            g.receipt, Step.factor_removed, reason="second_demanded", account_id=session.account_id, detail="totp"
        )
    return render_page(
        "accounts/remove_app.html",
        403 if reason else 200,
        language=session.locale,
        last=not held.passkey,
        reason=reason,
        wait=None,
        receipt=g.receipt if reason else None,
    )


def _show_codes(session: Session, codes: tuple[str, ...], back: str = PATH) -> Response:
    return render_page("accounts/own_codes.html", language=session.locale, codes=codes, back=back)


def _tell(db: Transaction, account: Account, factor: Factor, *, added: bool, mark: str = "") -> None:
    here = parts()
    agent: dict[str, Any] = {"agent": describe_agent(request.headers.get("User-Agent", "")), "address": peer()}
    tell_changed_factor(
        db,
        account,
        Change(factor, added=added, mark=mark, **agent),
        language=choose_language(account.locale),
        sealer=here.sealer,
        now=here.clock(),
        random=here.random,
    )


def _take_turn(account_id: str) -> None:
    wait = throttle.take_addition(parts().store, account_id=account_id, now=parts().clock())
    if wait:
        raise TooManyRequests(retry_after=wait)


def _receipt(step: Step, account_id: str, what: str) -> None:
    attempts = parts().attempts
    g.receipt = attempts.start()
    attempts.step(g.receipt, step, account_id=account_id, detail=what)


def _bound(session: Session) -> str:
    return f"me {session.key}"
