"""Sessions: that a browser belongs to a person, in Redis, for a day or for a month.

The cookie holds 32 random bytes and nothing else; Redis knows only its hash. What pages and /authorize need of the person
stands in the session, so that a request with a live session reads no SQL.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session as Transaction

from idp import grants
from idp.accounts.identity import canonical_email
from idp.clients import Clients
from idp.config import Config
from idp.identity_provider import NAME_ID_EMAIL
from idp.models import Account, LogoutNotice
from idp.outbox import queue_logout
from idp.redis_store import Batch, RedisStore, token_hash

NOTE_USE_AFTER = 60  # seconds: a busy session is written to at most this often
MOST_SESSIONS = 100  # of one person; the one that would end first makes room

_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class CompanySession:
    """The session at a company's identity provider that one of ours comes from, as single logout names it (SAML 2.0 core 3.7).

    ``connection`` is a connection's id. ``name_id`` and ``name_id_format`` (the whole URN) are as they were asserted;
    ``session_index`` is None where the identity provider gave none.
    """

    connection: str
    name_id: str = field(repr=False)
    name_id_format: str
    session_index: str | None


@dataclass(frozen=True, slots=True)
class Session:
    """An open session. Times are whole seconds since 1970.

    ``key`` changes at every sign-in. ``id`` stays when the same person signs in again in the same browser, so what the
    session has given to products stays with it. ``expires`` is absolute; ``idle`` seconds without use also end it (0: they
    do not). ``person`` holds the standard claims that we know (``lifecycle.snapshot``), ``consents`` the scopes that the
    person has allowed each client. ``company`` is None unless the company's door was used; ``door`` is how it was
    opened (``Identity.way``): ``password``, ``company``, the key of a social provider, or ``passkey:`` and which one.
    """

    key: str = field(repr=False)
    id: str
    account_id: str
    sub: str
    auth_time: int
    amr: tuple[str, ...]
    acr: str
    created: int
    expires: int
    kept: bool
    idle: int
    last_seen: int
    agent: str
    address: str
    person: Mapping[str, Any] = field(repr=False)
    consents: Mapping[str, tuple[str, ...]]
    company: CompanySession | None = None
    door: str = ""
    undated: bool = False

    @property
    def proved_at(self) -> int:
        """When the person proved who they are; 0: nobody knows, so for whoever needs a recent proof it is too old."""
        return 0 if self.undated else self.auth_time

    @property
    def record(self) -> str:
        """Its key in Redis."""
        return _record(self.key)

    @property
    def email(self) -> str:
        """The person's address, as they write it."""
        return str(self.person.get("email", ""))

    @property
    def locale(self) -> str | None:
        """The language that the person has chosen."""
        return self.person.get("locale")

    def sid(self, client_id: str) -> str:
        """The session's name towards one client (OpenID Connect Back-Channel Logout 2.1): two clients cannot compare theirs."""
        digest = hashlib.sha256(f"sid\n{self.id}\n{client_id}".encode()).digest()
        return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")


def open_session(
    store: RedisStore,
    config: Config,
    *,
    account_id: str,
    sub: str,
    person: Mapping[str, Any],
    consents: Mapping[str, Iterable[str]],
    amr: tuple[str, ...],
    acr: str,
    kept: bool,
    agent: str,
    address: str,
    previous: Session | None,
    now: float,
    random: Callable[[int], bytes],
    company: CompanySession | None = None,
    door: str = "",
    idle: int | None = None,
    lifetime: int | None = None,
    ends: int | None = None,
    auth_time: int | None = None,
    undated: bool = False,
) -> tuple[Session, str]:
    """Open a session under a new secret; return it and the cookie's value. Two round trips.

    ``previous`` is the session that this browser held until now. If it is the same person's, what it has given to
    products goes on under the new one. It must end once the sign-in is committed, when the new one is confirmed
    (``confirm_session``): the same person's there, another's with ``end_sessions``.

    The company's policy (``idle`` and ``lifetime``, seconds) and the end that its identity provider has set (``ends``, seconds
    since 1970: SessionNotOnOrAfter, SAML 2.0 core 2.7.2) only shorten what the settings give, whether or not the person asked
    to be kept signed in. ``auth_time``: when the person proved who they are (seconds since 1970), if not just now;
    ``undated``: that is only when a provider said who they are.
    """
    cookie = base64.urlsafe_b64encode(random(32)).decode().rstrip("=")
    same_person = previous is not None and previous.account_id == account_id
    ages = [config.session_kept if kept else config.session_lifetime, *([lifetime] if lifetime else [])]
    rests = [0 if kept else config.session_idle, idle or 0]
    session = Session(
        key=token_hash(cookie),
        id=previous.id if previous is not None and same_person else random(16).hex(),
        account_id=account_id,
        sub=sub,
        auth_time=int(now) if auth_time is None else auth_time,
        amr=amr,
        acr=acr,
        created=int(now),
        expires=min([int(now) + min(ages), *([ends] if ends is not None else [])]),
        kept=kept,
        idle=min(filter(None, rests), default=0),
        last_seen=int(now),
        agent=agent,
        address=address,
        person=person,
        consents={client: tuple(scopes) for client, scopes in consents.items()},
        company=company,
        door=door,
        undated=undated,
    )
    flat = [part for pair in _fields(session).items() for part in pair]
    # Listed before it exists: a session that works can always be found and ended, by its person and by its company.
    with store.batch() as batch:
        for index in _lists(session):
            batch.call("idp_session_list", index, session.key, session.expires, now, MOST_SESSIONS)
        batch.call("idp_session_open", _record(session.key), *flat)
    with store.batch() as closing:
        for crowded_out in {key for keys in batch.results[:-1] for key in keys}:
            closing.command("DEL", _record(crowded_out))
    return session, cookie


def confirm_session(store: RedisStore, session: Session, previous: Session | None, now: float) -> None:
    """Let the cookie of a session that was opened work from now on, and forget ``previous`` alone. One round trip.

    Do this once the sign-in is committed: a session whose sign-in was undone while Redis did not answer, and which Redis opens
    all the same when it goes on, is nobody's, and goes by itself.
    """
    with store.batch() as batch:
        batch.call("idp_session_confirm", _record(session.key), now)
        if previous is not None:
            _forget(batch, previous)


def forget_session(store: RedisStore, session: Session) -> None:
    """End a session alone: what it has given to products goes on. One round trip."""
    with store.batch() as batch:
        _forget(batch, session)


def find_session(store: RedisStore, cookie: str, now: float) -> Session | None:
    """Find the live session of a cookie and note that it is used. One round trip; none for what cannot be a cookie of ours."""
    if not _COOKIE.fullmatch(cookie):
        return None
    key = token_hash(cookie)
    return _session(key, store.call("idp_session_find", _record(key), now, NOTE_USE_AFTER))


def sessions_of(store: RedisStore, account_id: str, now: float) -> list[Session]:
    """All live sessions of a person, the one used last first."""
    found = _listed(store, _list(account_id), now)
    return sorted(found, key=lambda session: session.last_seen, reverse=True)


def sessions_of_company(
    store: RedisStore,
    connection: str,
    *,
    name_id: str,
    name_id_format: str | None,
    session_indexes: Collection[str],
    now: float,
) -> list[Session]:
    """All live sessions that a logout request of a connection's identity provider names (SAML 2.0 core 3.7.1, 3.7.3.1).

    An e-mail NameID may be spelled with other capitals than when it was asserted; any other counts to the letter.
    ``name_id_format`` None fits every format: some identity providers leave it out. Without ``session_indexes`` all sessions
    of the NameID are meant; with them only those that were opened under one of them.
    """
    return [
        session
        for session in _listed(store, _company_list(connection, name_id), now)
        if session.company is not None
        and name_id_format in (None, session.company.name_id_format)
        and (name_id == session.company.name_id or session.company.name_id_format == NAME_ID_EMAIL)
        and (not session_indexes or session.company.session_index in session_indexes)
    ]


def queue_logout_notices(
    db: Transaction, store: RedisStore, sessions: Iterable[Session], clients: Clients, now: float
) -> None:
    """Write down which products must hear that these sessions end (OpenID Connect Back-Channel Logout 1.0, section 2.5).

    Do this in the transaction that records the act, and ``end_sessions`` after it: what fails between the two can be done
    again, and no product stays uninformed. Who is already waiting to hear of a session is not told twice.
    """
    ending = list(sessions)
    if not ending:
        return
    # One after the other: two that end a session in the same moment would both see that nobody waits to hear of it.
    people = select(Account.id).where(Account.id.in_({session.account_id for session in ending}))
    db.execute(people.order_by(Account.id).with_for_update())
    products: set[tuple[str, str, str]] = set()
    for session in ending:
        for used in grants.grants_of_session(store, session.id, now):
            products.add((used.client_id, used.sid, used.sub))
    if products:
        waiting = select(LogoutNotice.client_id, LogoutNotice.sid, LogoutNotice.sub).where(
            LogoutNotice.state == "waiting", LogoutNotice.sid.in_([sid for _, sid, _ in products])
        )
        products -= {(client_id, sid, sub) for client_id, sid, sub in db.execute(waiting)}
    queue_logout(db, products, clients, now)


def end_sessions(store: RedisStore, sessions: Iterable[Session]) -> None:
    """End sessions and what they have given to products, except what was granted offline."""
    for session in sessions:
        with store.batch() as batch:
            _forget(batch, session)
        grants.end_session_grants(store, session.id)


def rewrite_person(store: RedisStore, account_id: str, person: Mapping[str, Any]) -> None:
    """Put a person's changed claims into all their sessions."""
    _set_everywhere(store, account_id, "person", _json(person))


def set_consent(store: RedisStore, account_id: str, client_id: str, scopes: Iterable[str]) -> None:
    """Note in all sessions of a person what they allow a client from now on; nothing: the consent is withdrawn."""
    _set_everywhere(store, account_id, _CONSENT + client_id, " ".join(scopes))


def _set_everywhere(store: RedisStore, account_id: str, name: str, value: str) -> None:
    keys = store.command("ZRANGE", _list(account_id), 0, -1)
    with store.batch() as batch:
        for key in keys:
            batch.call("idp_session_set", _record(key), name, value)


_CONSENT = "consent:"


def _record(key: str) -> str:
    return f"session:{{{key}}}"


def _list(account_id: str) -> str:
    return f"account-sessions:{{{account_id}}}"


def _company_list(connection: str, name_id: str) -> str:
    return f"company-sessions:{{{token_hash(f'{connection} {_one_spelling(name_id)}')}}}"


def _one_spelling(name_id: str) -> str:
    """An e-mail address in its canonical form: identity providers change its capitals between sign-in and logout."""
    try:
        return canonical_email(name_id)
    except ValueError:
        return name_id


def _lists(session: Session) -> list[str]:
    own = [_list(session.account_id)]
    return own + ([_company_list(session.company.connection, session.company.name_id)] if session.company else [])


def _listed(store: RedisStore, index: str, now: float) -> list[Session]:
    keys = store.command("ZRANGE", index, 0, -1)
    with store.batch() as batch:
        for key in keys:
            batch.call("idp_session_find", _record(key), now, 0)
    found = [_session(key, record) for key, record in zip(keys, batch.results, strict=True)]
    with store.batch() as batch:
        for key, session in zip(keys, found, strict=True):
            if session is None:
                batch.command("ZREM", index, key)
    return [session for session in found if session is not None]


def _forget(batch: Batch, session: Session) -> None:
    batch.command("DEL", _record(session.key))
    for index in _lists(session):
        batch.command("ZREM", index, session.key)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _fields(session: Session) -> dict[str, str | int]:
    return {
        "id": session.id,
        "account_id": session.account_id,
        "sub": session.sub,
        "auth_time": session.auth_time,
        "amr": " ".join(session.amr),
        "acr": session.acr,
        "created": session.created,
        "expires": session.expires,
        "kept": int(session.kept),
        "idle": session.idle,
        "last_seen": session.last_seen,
        "agent": session.agent,
        "address": session.address,
        "person": _json(session.person),
        **({"company": _json(asdict(session.company))} if session.company else {}),
        **({"door": session.door} if session.door else {}),
        **({"undated": 1} if session.undated else {}),
        **{_CONSENT + client: " ".join(scopes) for client, scopes in session.consents.items() if scopes},
    }


def _session(key: str, flat: list[str]) -> Session | None:
    if not flat:
        return None
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return Session(
        key=key,
        id=fields["id"],
        account_id=fields["account_id"],
        sub=fields["sub"],
        auth_time=int(fields["auth_time"]),
        amr=tuple(fields["amr"].split()),
        acr=fields["acr"],
        created=int(fields["created"]),
        expires=int(fields["expires"]),
        kept=fields["kept"] == "1",
        idle=int(fields["idle"]),
        last_seen=int(fields["last_seen"]),
        agent=fields["agent"],
        address=fields["address"],
        person=json.loads(fields["person"]),
        consents={
            name.removeprefix(_CONSENT): tuple(scopes.split())
            for name, scopes in fields.items()
            if name.startswith(_CONSENT)
        },
        company=CompanySession(**json.loads(fields["company"])) if "company" in fields else None,
        door=fields.get("door", ""),
        undated="undated" in fields,
    )
