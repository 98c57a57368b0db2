"""Who must show something more before the journey goes on: somebody who has come through a door and is not signed in yet, or
whoever is signed in and is to do more for a product. A companion of the pages that ask for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from flask import Response

from idp import cookies, throttle
from idp.accounts.fresh_proof import FRESH
from idp.accounts.identity import TWO_FACTORS
from idp.accounts.second_factors import (
    AskSecond,
    Gate,
    Held,
    MailCode,
    NewFactor,
    Ready,
    Second,
    SetUpSecond,
    decide_second,
    look_at_factors,
    prefers_two,
)
from idp.accounts.sessions import Session
from idp.accounts.visitor import visitor
from idp.attempts import Step
from idp.errors import PageError
from idp.login.finish import MAILED, SECOND, SET_UP, go_in, step_up
from idp.login.half_way import Half, read_half
from idp.login.journey import find_pending
from idp.login.mailed_code import is_mailed, send_code
from idp.login.pending import Pending
from idp.parts import parts
from idp.redirects import go
from idp.visiting import peer


@dataclass(frozen=True, slots=True)
class Waiting:
    """``half`` or ``session`` says who it is: a sign-in that is half done comes first."""

    pending: Pending
    account_id: str
    half: Half | None = None
    session: Session | None = None

    @property
    def bound(self) -> str:
        """To what a page's secrets are bound: this very sign-in, and this person."""
        return f"second {self.pending.handle} {self.account_id}"


def who_waits(handle: str) -> Waiting | None:
    """Who must show something more in this pending login; None when nobody does.

    :raises PageError: ``pending_unknown``, ``pending_foreign_browser``.
    """
    pending = find_pending(handle)
    if pending.half:
        half = read_half(pending.half)
        return Waiting(pending, half.account_id, half=half)
    session = visitor() if pending.purpose == "authorize" else None
    return Waiting(pending, session.account_id, session=session) if session is not None else None


def held_by(waiting: Waiting) -> Held:
    """What second factors their account has."""
    here = parts()
    with here.database.reading() as db:
        return look_at_factors(db, waiting.account_id, device=cookies.find(cookies.DEVICE), now=here.clock())


def still_asked(waiting: Waiting, held: Held) -> Gate:
    """What is asked of them now, with what the account has by now."""
    pending, half = waiting.pending, waiting.half
    if half is not None:
        return decide_second(
            half.identity,
            held,
            wanted=prefers_two(pending.acr_values),
            vouched=half.vouched,
            mailbox=half.mailbox,
            ask_new_browsers=parts().config.new_device_code,
        )
    assert waiting.session is not None
    if waiting.session.acr == TWO_FACTORS:
        return Ready(waiting.session.amr, TWO_FACTORS)
    if held.any:
        return AskSecond()
    if not pending.demands_two:
        return Ready(waiting.session.amr, waiting.session.acr)
    # Else two factors would be as good as one: whoever knows the password would set up the other one themselves.
    guessable = waiting.session.door == "password" and pending.mailbox != waiting.account_id
    return MailCode() if guessable else SetUpSecond()


def is_old(waiting: Waiting) -> bool:
    """Whether somebody is signed in who has not proved lately who they are: whoever sits there need not be who signed in."""
    return waiting.session is not None and parts().clock() - waiting.session.proved_at > FRESH


def lead(waiting: Waiting, more: Gate) -> Response:
    """To where they are asked for it; to the beginning, or back to the product, if they are asked for nothing any more."""
    handle = waiting.pending.handle
    match more:
        case AskSecond():
            return go(SECOND, p=handle)
        case SetUpSecond():
            return go(SET_UP, p=handle)
        case MailCode() if is_old(waiting):
            return go("/login", p=handle)
        case MailCode():
            if waiting.session is not None and not is_mailed(waiting.pending):
                send_code(waiting.pending, waiting.account_id)
                parts().attempts.step(waiting.pending.receipt, Step.code_asked, account_id=waiting.account_id)
            return go(MAILED, p=handle)
        case Ready() if waiting.half is not None:
            find_pending(handle, half="")
            return go("/login", p=handle)
        case Ready():
            return go_without(waiting)
        case _:
            assert_never(more)


def go_without(waiting: Waiting) -> Response:
    """Whoever is signed in shows nothing more: what the product has asked for decides what comes of it."""
    find_pending(waiting.pending.handle, second="yes")
    return go("/authorize/resume", p=waiting.pending.handle)


def take_try(waiting: Waiting, held: Held) -> throttle.Ticket:
    """Ask for leave to look at what they show: five times in one sign-in, and not too often for one account.

    :raises PageError: ``second_over``: that was the fifth time; who is half signed in begins anew.
    """
    here, pending = parts(), waiting.pending
    now = here.clock()
    device = cookies.find(cookies.DEVICE) if held.known else None
    ticket = throttle.take_second(here.store, account_id=waiting.account_id, network=peer(), device=device, now=now)
    if ticket.wait:
        here.attempts.step(pending.receipt, Step.throttled, reason="throttled", wait=ticket.wait)
    elif not throttle.take_second_try(here.store, handle=pending.handle, now=now):
        find_pending(pending.handle, half="")
        here.attempts.step(pending.receipt, Step.second_checked, reason="second_over", account_id=waiting.account_id)
        raise PageError("second_over", status=403)
    return ticket


def go_on(
    waiting: Waiting,
    shown: Second | NewFactor | None = None,
    *,
    remembering: bool = False,
    mailbox: bool = False,
    before: Callable[[str], Response] | None = None,
) -> Response:
    """The journey goes on with what they have shown: a second factor, or (``mailbox``) the code that was mailed.

    :param before: see ``go_in``.
    :raises PageError: they may not come in, or no more.
    """
    if waiting.session is not None and shown is not None:
        return step_up(waiting.pending, waiting.session, shown, before=before)
    if waiting.session is not None:
        find_pending(waiting.pending.handle, mailbox=waiting.account_id)
        return go(SET_UP, p=waiting.pending.handle)
    assert waiting.half is not None
    find_pending(waiting.pending.handle, half="")  # one try to finish: what is wrong then begins anew
    half = replace(waiting.half, mailbox=waiting.half.mailbox or mailbox)
    return go_in(waiting.pending, half, shown, remembering=remembering, before=before)
