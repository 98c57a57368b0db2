"""Set-up links: somebody of a company's IT, without an account, sets up the company's own sign-in, and can do nothing else. A working.

A link is of one company and good for a week, as long as whoever has made it may still set up that company's sign-in; SQL knows its secret
as a hash. Whoever has made it, and whoever uses it, stands in the audit.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session as Transaction

from idp import audit
from idp.admin.staff import Right, find_actor_of
from idp.models import SetUpLink
from idp.redis_store import token_hash

LIFETIME = 7 * 86400  # seconds
PATH = "/set-up"
MOST = 20  # links of one company that work at the same time


def make(
    db: Transaction, company_id: str, *, actor: str, now: float, random: Callable[[int], bytes]
) -> tuple[str, SetUpLink]:
    """Make a link; return its path with the secret, which is shown once, and its row."""
    secret = base64.urlsafe_b64encode(random(32)).decode().rstrip("=")
    for one in links_of(db, company_id, now)[MOST - 1 :]:
        one.revoked_at = int(now)
    link = SetUpLink(
        id=random(8).hex(),
        company_id=company_id,
        secret_hash=token_hash(secret),
        made_by=actor,
        created_at=int(now),
        expires_at=int(now) + LIFETIME,
    )
    db.add(link)
    db.flush()
    audit.record(db, audit.Event.setup_link_made, now=now, actor=actor, company=company_id, link=link.id)
    return f"{PATH}?t={secret}", link


def links_of(db: Transaction, company_id: str, now: float) -> list[SetUpLink]:
    """The links of a company that work, the newest first."""
    query = select(SetUpLink).where(
        SetUpLink.company_id == company_id, SetUpLink.expires_at > int(now), SetUpLink.revoked_at.is_(None)
    )
    made = db.scalars(query.order_by(SetUpLink.created_at.desc(), SetUpLink.id)).all()
    still = {maker: _may_still(db, maker, company_id) for maker in {one.made_by for one in made}}
    return [one for one in made if still[one.made_by]]


def find(db: Transaction, secret: str, now: float) -> SetUpLink | None:
    """The link of a secret; None when it does not work (any more)."""
    link = db.scalar(select(SetUpLink).where(SetUpLink.secret_hash == token_hash(secret)))
    if link is None or link.expires_at <= now or link.revoked_at is not None:
        return None
    return link if _may_still(db, link.made_by, link.company_id) else None


def note_opened(db: Transaction, link: SetUpLink, *, now: float) -> None:
    """Somebody begins to work with a link."""
    link.opened_at = int(now)
    audit.record(
        db, audit.Event.setup_link_opened, now=now, actor=f"link:{link.id}", company=link.company_id, link=link.id
    )


def revoke(db: Transaction, company_id: str, link_id: str, *, actor: str, now: float) -> bool:
    """Let a link work no more, at once. False: the company has no such link that works."""
    found = next((one for one in links_of(db, company_id, now) if one.id == link_id), None)
    if found is None:
        return False
    found.revoked_at = int(now)
    audit.record(db, audit.Event.setup_link_revoked, now=now, actor=actor, company=company_id, link=link_id)
    return True


def _may_still(db: Transaction, maker: str, company_id: str) -> bool:
    """Whether who has made a link, as the audit names them, could still do with their own account what it lets others do."""
    if not maker.startswith("person:"):
        return True  # a command at the server
    one = find_actor_of(db, maker.removeprefix("person:"))
    return one is not None and one.may(Right.change_sign_in, company_id)
