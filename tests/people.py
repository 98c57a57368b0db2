"""People of tests, below the pages: sessions that are open and what they have given to products."""

from __future__ import annotations

from typing import Any

from idp import grants
from idp.accounts.lifecycle import snapshot
from idp.accounts.sessions import Session, confirm_session, open_session
from idp.grants import Authentication, Issued, Refusal
from idp.models import Account
from idp.parts import Parts
from tests.journey import challenge_of

VERIFIER = "v" * 43


def open_for(parts: Parts, account_id: str, *, confirmed: bool = True, **changes: Any) -> tuple[Session, str]:
    """Open a session as a sign-in does; return it and its cookie. Not ``confirmed``: the sign-in is not committed yet."""
    with parts.database.reading() as db:
        account = db.get_one(Account, account_id)
        wanted: dict[str, Any] = {
            "account_id": account_id,
            "sub": account.sub,
            "person": snapshot(account),
            "consents": {},
            "amr": ("pwd",),
            "acr": "1",
            "kept": False,
            "agent": "Firefox · Linux",
            "address": "192.0.2.7",
            "previous": None,
            "now": parts.clock(),
            "random": parts.random,
        }
    session, cookie = open_session(parts.store, parts.config, **(wanted | changes))
    if confirmed:
        confirm_session(parts.store, session, None, parts.clock())
    return session, cookie


def give(parts: Parts, session: Session, client_id: str = "C1", *, offline: bool = False) -> Issued:
    """Give a product tokens in a session."""
    client = parts.clients.find(client_id)
    assert client is not None
    authentication = Authentication(
        account_id=session.account_id,
        session=session.id,
        session_expires=session.expires,
        sid=session.sid(client_id),
        sub=session.sub,
        auth_time=session.auth_time,
        amr=session.amr,
        acr=session.acr,
        person=session.person,
    )
    code = grants.open_grant(
        parts.store,
        client,
        authentication,
        scope=("openid", "offline_access") if offline else ("openid",),
        redirect_uri=client.redirect_uris[0],
        challenge=challenge_of(VERIFIER),
        nonce=None,
        claims={},
        receipt="",
        now=parts.clock(),
        random=parts.random,
    )
    issued = grants.redeem_code(
        parts.store,
        code,
        client,
        redirect_uri=client.redirect_uris[0],
        verifier=VERIFIER,
        now=parts.clock(),
        random=parts.random,
        secret=SECRET,
    )
    assert isinstance(issued, Issued)
    return issued


def access_is_alive(parts: Parts, issued: Issued) -> bool:
    return grants.read_access(parts.store, issued.access_token, parts.clock()) is not None


def refresh_is_alive(parts: Parts, issued: Issued, client_id: str = "C1") -> bool:
    """Trades the refresh token."""
    client = parts.clients.find(client_id)
    assert client is not None
    assert issued.refresh_token is not None
    answer = grants.rotate_refresh(
        parts.store,
        issued.refresh_token,
        client,
        scope=(),
        now=parts.clock(),
        random=parts.random,
        secret=SECRET,
    )
    return not isinstance(answer, Refusal)


SECRET = b"s" * 32
