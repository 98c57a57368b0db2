"""``/operator/mail``: what waits in the outbox, what could not be delivered, and sending it again."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response, request
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session as Transaction

from idp.admin.access import actor, admin_page, needs
from idp.admin.operator_counts import count, moment, written
from idp.admin.staff import Right
from idp.errors import PageError
from idp.masking import mask_email, mask_text
from idp.models import OutboxMail
from idp.outbox import retry_mails
from idp.parts import parts
from idp.redirects import go

bp = Blueprint("mail_pages", __name__)

PATH = "/operator/mail"
STATES = ("waiting", "sent", "bounced", "given_up")
STUCK = ("bounced", "given_up")
MOST_SHOWN = 25  # of a state
AT_ONCE = 1000  # mails that one press sends again


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail that was not delivered as it may be shown: ``recipient`` and what the mail server said are masked."""

    number: int
    name: str
    recipient: str
    state: str
    tries: int
    made: str
    again: str
    answer: str


@bp.get(PATH)
@needs(Right.see_operations)
def show_mail() -> Response:
    """How many are in which state, and the last that failed."""
    notice = request.args.get("notice", "")
    with parts().database.reading() as db:
        counts = {state: written(count(db, OutboxMail, OutboxMail.state == state)) for state in STATES}
        failed = [letter for state in STUCK for letter in _letters(db, OutboxMail.state == state)]
        waiting = _letters(db, OutboxMail.state == "waiting", OutboxMail.tries > 0)
    return admin_page(
        "admin/operator_mail.html",
        place="operator",
        here="mail",
        counts=counts,
        failed=sorted(failed, key=lambda letter: -letter.number),
        waiting=waiting,
        server=bool(parts().config.smtp),
        sent_again=int(notice) if notice.isdecimal() and len(notice) < 6 else None,
    )


@bp.post(f"{PATH}/retry")
@needs(Right.change_operations)
def send_again() -> Response:
    """One mail, or (``mail`` is ``all``) those that were refused or given up, the newest first, so many at once."""
    asked = request.form.get("mail", "")
    if asked != "all" and not (asked.isdecimal() and asked.isascii() and len(asked) < 19):
        raise PageError("request_unreadable", parameter="mail")
    here = parts()
    with here.database.transaction() as db:
        numbers = [int(asked)] if asked != "all" else _stuck(db)
        again = retry_mails(db, numbers, actor=actor().who, now=here.clock()) if numbers else []
    return go(PATH, notice=str(len(again)))


def _stuck(db: Transaction) -> list[int]:
    newest = select(OutboxMail.id).where(OutboxMail.state.in_(STUCK)).order_by(OutboxMail.id.desc())
    return list(db.scalars(newest.limit(AT_ONCE)))


def _letters(db: Transaction, *where: ColumnElement[bool]) -> list[Letter]:
    newest = select(OutboxMail).where(*where).order_by(OutboxMail.next_try_at.desc()).limit(MOST_SHOWN)
    return [
        Letter(
            number=mail.id,
            name=mail.name,
            recipient=mask_email(mail.recipient),
            state=mail.state,
            tries=mail.tries,
            made=moment(mail.created_at),
            again=moment(mail.next_try_at),
            answer=mask_text(mail.last_answer or ""),
        )
        for mail in db.scalars(newest)
    ]
