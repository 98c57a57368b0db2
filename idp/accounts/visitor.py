"""Who is at the browser: the open session behind the session cookie. A companion of every page."""

from __future__ import annotations

from sqlalchemy import and_, exists, or_, select
from sqlalchemy.orm import Session as Transaction

from idp import cookies
from idp.accounts.sessions import Session, find_session
from idp.models import Revocation
from idp.parts import parts


def visitor() -> Session | None:
    """The open session of the request that is being answered. One Redis round trip; none without a cookie."""
    cookie = cookies.find(cookies.SESSION)
    if cookie is None:
        return None
    here = parts()
    return find_session(here.store, cookie, here.clock())


def lives(db: Transaction, session: Session) -> bool:
    """Whether ``session`` is still the visitor's, and nothing in SQL says that it must end.

    The caller holds its account's row: who ends it either comes later and sees what the caller did, or has said so in SQL, and then
    in Redis.
    """
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
