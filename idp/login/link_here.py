"""A signed-in person adds a social provider to their ways to sign in. A companion of its door."""

from __future__ import annotations

from flask import Response
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as Transaction

from idp.accounts.fresh_proof import still_lives
from idp.accounts.identity import Identity
from idp.accounts.linking import find_linked, link_social
from idp.accounts.sessions import Session
from idp.enforcement import own_door
from idp.errors import PageError
from idp.login.journey import provider_name
from idp.models import Account
from idp.parts import parts
from idp.redirects import go
from idp.rendering import choose_language


def link_here(session: Session, identity: Identity) -> Response:
    """Link who came back from a provider to the account of ``session``, which asked for it, and tell its addresses.

    :raises PageError: ``link_taken``: it leads to another account, and is never moved; ``company_sso_required``: the
        company of the person, or of the address, closes this door; ``social_link_session``: the session has ended meanwhile.
    """
    try:
        _link(session, identity)
    except IntegrityError:  # the same at once in another tab, which was faster: now it leads somewhere
        _link(session, identity)
    return go("/me", notice="linked")


def _link(session: Session, identity: Identity) -> None:
    here = parts()
    with here.database.transaction() as db:
        db.get_one(Account, session.account_id, with_for_update=True)  # as whoever takes a way away holds it
        _check_lives(db, session)
        linked = find_linked(db, identity, own_issuer=here.config.issuer)
        if linked is not None and linked.account_id != session.account_id:
            raise PageError("link_taken", status=403)
        if linked is not None:
            return
        if not own_door(db, identity.email or "", session.account_id, "social", hold=True).opens:
            raise PageError("company_sso_required", status=403)
        link_social(
            db,
            session.account_id,
            identity,
            proof={"by": "session"},
            provider=provider_name(identity.door),
            language=choose_language(session.locale),
            sealer=here.sealer,
            now=here.clock(),
            random=here.random,
        )


def _check_lives(db: Transaction, session: Session) -> None:
    """While the provider was asked the session may have ended: whoever was thrown out leaves no way in. Its account's row is
    held, so that who ends it either comes later and sees the link, or has said so in SQL, and then in Redis.

    :raises PageError: ``social_link_session``.
    """
    if not still_lives(db, session):
        raise PageError("social_link_session", status=403)
