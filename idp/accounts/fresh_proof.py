"""Before an act that a stranger at an open browser must not do, the person proves once more who they are. A companion."""

from __future__ import annotations

from flask import Response
from sqlalchemy import and_, exists, or_, select
from sqlalchemy.orm import Session as Transaction

from idp.accounts.identity import TWO_FACTORS
from idp.accounts.second_factors import look_at_factors
from idp.accounts.sessions import Session
from idp.accounts.visitor import visitor
from idp.models import Revocation
from idp.parts import parts
from idp.redirects import go

FRESH = 15 * 60  # seconds for which a sign-in counts as proof


def prove_anew(session: Session, path: str, *, second: bool = False) -> Response | None:
    """None when the sign-in is recent enough; else the way to sign in once more, which comes back to ``path`` (``/me…``).

    ``second``: it must also have been with a second factor, whatever is remembered of this browser.

    A form that was filled in meanwhile is shown again empty: whatever was typed into it by somebody who cannot prove who they
    are is worth nothing.
    """
    if parts().clock() - session.proved_at <= FRESH and (not second or session.acr == TWO_FACTORS):
        return None
    return go("/login", again=path, second="yes") if second else go("/login", again=path)


def prove_twice(session: Session, path: str) -> Response | None:
    """The same before an act that adds or takes away factors: where a second one guards the account, it must have been shown."""
    here = parts()
    with here.database.reading() as db:
        held = look_at_factors(db, session.account_id, device=None, now=here.clock())
    return prove_anew(session, path, second=held.any and (held.totp or held.demanded))


def still_lives(db: Transaction, session: Session) -> bool:
    """Whether a session has not been ended since the request came: whoever was thrown out leaves no way in. The caller holds its
    account's row, so that who ends it either comes later, or has said so in SQL, and then in Redis."""
    ends = or_(
        Revocation.kind == "account",
        and_(Revocation.kind == "others", Revocation.client_id != session.id),
        and_(Revocation.kind == "door", Revocation.client_id == session.door),
    )
    ending = exists().where(Revocation.account_id == session.account_id, ends, Revocation.done_at.is_(None))
    if db.scalar(select(ending)):
        return False
    now = visitor()
    return now is not None and now.key == session.key
