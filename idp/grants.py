"""What a session has given to products: codes, access tokens and refresh tokens, all of one grant in one Redis record.

Every secret is ``<grant id>.<32 random bytes>`` in base64url; Redis holds only SHA-256 hashes. Each step is one round trip
and one atomic function (``redis_functions/grants.lua``). No step reads SQL: what the endpoints need of the person
travels in the grant and is rewritten when it changes. Decisions are values: ``Issued`` or ``Refusal``.

Everywhere: ``now`` is seconds since 1970, ``random`` gives that many unpredictable bytes, ``secret`` is 32 permanent bytes
that authenticate refresh tokens.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from idp.client_record import Client
from idp.errors import PageError
from idp.redis_store import RedisStore, token_hash

GRACE = 10  # seconds in which a refresh token that was just rotated gives the same successor again

_TOKEN = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 section 4.1
_MAC = 12  # last bytes of a refresh token's secret: prove that we made it, so that only a real old one ends the grant


@dataclass(frozen=True, slots=True)
class Authentication:
    """Who is signed in, as one product may know it: ``sub`` and ``sid`` are this product's own.

    ``session`` is the session's id, ``session_expires`` its absolute end, ``auth_time`` when the person proved who they
    are (all times: seconds since 1970), ``person`` the standard claims that we know of them.
    """

    account_id: str
    session: str
    session_expires: int
    sid: str
    sub: str
    auth_time: int
    amr: tuple[str, ...]
    acr: str
    person: Mapping[str, Any]
    undated: bool = False  # auth_time is only when a provider said who they are
    session_record: str = ""  # the session's key in Redis, whose claims win if they have changed meanwhile


@dataclass(frozen=True, slots=True)
class Grant:
    """What a grant says. ``claims`` is the claims request (OpenID Connect Core 5.5), ``scope`` what was granted; the rest is as in
    ``Authentication``."""

    gid: str
    client_id: str
    account_id: str
    sub: str
    sid: str
    scope: tuple[str, ...]
    auth_time: int
    amr: tuple[str, ...]
    acr: str
    nonce: str | None
    claims: Mapping[str, Any]
    receipt: str
    person: Mapping[str, Any]
    undated: bool = False

    @property
    def proved_at(self) -> int:
        """When the person proved who they are (seconds since 1970); 0: nobody knows."""
        return 0 if self.undated else self.auth_time


@dataclass(frozen=True, slots=True)
class Issued:
    """Tokens for a product. ``expires_in`` is seconds; ``refresh_token`` is None where the grant has none."""

    grant: Grant
    scope: tuple[str, ...]
    access_token: str = field(repr=False)
    expires_in: int
    refresh_token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there are no tokens: a code of the reasons table, and the receipt and account of the grant where it is known."""

    reason: str
    receipt: str = ""
    account_id: str = ""


@dataclass(frozen=True, slots=True)
class Access:
    """A token that is alive: the scope, issue time and end that it has, and whether it is a refresh token."""

    grant: Grant
    scope: tuple[str, ...]
    issued: int
    expires: int
    refresh: bool


@dataclass(frozen=True, slots=True)
class Used:
    """A product that was used in a session, and the names that the session and its person have there."""

    client_id: str
    sid: str
    sub: str


def open_grant(
    store: RedisStore,
    client: Client,
    authentication: Authentication,
    *,
    scope: Iterable[str],
    redirect_uri: str,
    challenge: str | None,
    nonce: str | None,
    claims: Mapping[str, Any],
    receipt: str,
    now: float,
    random: Callable[[int], bytes],
) -> str:
    """Open a grant and return its authorization code. One round trip.

    :raises PageError: the session was ended meanwhile (``session_expired``); nothing is left of the grant.
    """
    gid = _base64url(random(16))
    code = f"{gid}.{_base64url(random(32))}"
    granted = tuple(scope)
    offline = "offline_access" in granted and "refresh_token" in client.grant_types
    expires = int(now) + client.code_lifetime
    ends = expires + client.access_token_lifetime + (client.refresh_token_lifetime if offline else 0)
    if not offline:  # nothing of it outlives the session, and the product is told so
        ends = min(ends, authentication.session_expires)
        expires = min(expires, ends)
    facts = {
        "client_id": client.client_id,
        "account_id": authentication.account_id,
        "sub": authentication.sub,
        "sid": authentication.sid,
        "scope": granted,
        "auth_time": authentication.auth_time,
        "amr": authentication.amr,
        "acr": authentication.acr,
        "nonce": nonce,
        "claims": claims,
        "receipt": receipt,
        **({"undated": True} if authentication.undated else {}),
    }
    given = f"grant {gid}", ends
    used = f"product {client.client_id} {authentication.sid} {authentication.sub}", authentication.session_expires
    with store.batch() as batch:
        # The indexes first: a grant that nobody can find could not be ended.
        batch.call("idp_grant_index", _account_key(authentication.account_id), int(now), *given)
        batch.call("idp_grant_index", _session_key(authentication.session), int(now), *given, *used)
        batch.call(
            "idp_grant_open",
            _key(gid),
            token_hash(code),
            expires,
            int(now),
            ends,
            client.client_id,
            redirect_uri,
            challenge or "",
            "1" if offline else "",
            " ".join(granted),
            _JSON.encode(facts),
            _JSON.encode(dict(authentication.person)),
        )
        # Read after the grant is there: whoever changes claims writes them into sessions first and into grants then.
        if authentication.session_record:
            batch.command("HGET", authentication.session_record, "person")
    if not batch.results[1]:
        end_grant(store, gid)
        raise PageError("session_expired")
    now_known = batch.results[3] if authentication.session_record else None
    if now_known and json.loads(now_known) != dict(authentication.person):
        store.call("idp_grant_person", _key(gid), now_known)
    return code


def redeem_code(
    store: RedisStore,
    code: str,
    client: Client,
    *,
    redirect_uri: str,
    verifier: str | None,
    now: float,
    random: Callable[[int], bytes],
    secret: bytes,
) -> Issued | Refusal:
    """Redeem a code for tokens, exactly once (RFC 6749 section 4.1.3, RFC 7636 section 4.6).

    A code that is shown wrongly, by whichever client, is spent; one that is shown twice ends everything that it gave.
    """
    gid = _gid(code)
    if gid is None:
        return Refusal("code_unknown")
    access = _new_access(gid, random)
    refresh = _new_refresh(gid, random, secret) if "refresh_token" in client.grant_types else ""
    answer = store.call(
        "idp_grant_redeem",
        _key(gid),
        token_hash(code),
        now,
        client.client_id,
        redirect_uri,
        _challenge(verifier),
        token_hash(access),
        int(now) + client.access_token_lifetime,
        token_hash(refresh) if refresh else "",
        int(now) + client.refresh_token_lifetime,
    )
    if answer[0] != "redeemed":
        return _refusal(answer)
    grant = _grant(gid, answer[1], answer[2])
    return Issued(grant, grant.scope, access, answer[3] - int(now), refresh if answer[4] else None)


def rotate_refresh(
    store: RedisStore,
    token: str,
    client: Client,
    *,
    scope: Iterable[str],
    now: float,
    random: Callable[[int], bytes],
    secret: bytes,
) -> Issued | Refusal:
    """Trade a refresh token for new tokens (RFC 6749 section 6). An empty ``scope`` means all that was granted.

    The token shown is spent. Within ``GRACE`` seconds it gives the same successor once more, because the first answer may
    have been lost; later it proves theft, and the grant ends (RFC 9700 section 4.14.2).
    """
    gid = _gid(token)
    if gid is None or not _is_refresh(token, secret):
        return Refusal("refresh_unknown")
    access, successor = _new_access(gid, random), _new_refresh(gid, random, secret)
    sealed = _seal(successor, token, random)
    answer = store.call(
        "idp_grant_refresh",
        _key(gid),
        token_hash(token),
        now,
        client.client_id,
        token_hash(successor),
        sealed,
        int(now) + GRACE,
        token_hash(access),
        int(now) + client.access_token_lifetime,
        " ".join(scope),
        time.time(),  # how late the server comes to it is a matter of the wire, whatever time it is for the caller
    )
    if answer[0] != "refreshed":
        return _refusal(answer)
    grant = _grant(gid, answer[1], answer[2])
    if answer[5] != sealed:  # within the grace: the successor that was made before
        successor = _unseal(answer[5], token)
    return Issued(grant, tuple(answer[4].split()), access, answer[3] - int(now), successor)


def read_access(store: RedisStore, token: str, now: float) -> Access | None:
    """The access token's grant, if it is alive."""
    gid = _gid(token)
    if gid is None:
        return None
    return _access(gid, store.call("idp_grant_access", _key(gid), token_hash(token), now), refresh=False)


def read_token(store: RedisStore, token: str, now: float, secret: bytes) -> Access | None:
    """The grant of an access token or of a grant's current refresh token, if it is alive."""
    gid = _gid(token)
    if gid is None or not _is_refresh(token, secret):
        return read_access(store, token, now)
    return _access(gid, store.call("idp_grant_refresh_read", _key(gid), token_hash(token), now), refresh=True)


def revoke_token(store: RedisStore, token: str, client_id: str, secret: bytes) -> None:
    """A client gives one of its own tokens back (RFC 7009): an access token ends alone, a refresh token ends the grant."""
    gid = _gid(token)
    if gid is not None:
        store.call("idp_grant_revoke", _key(gid), client_id, "" if _is_refresh(token, secret) else token_hash(token))


def end_grant(store: RedisStore, gid: str) -> None:
    """End one grant: none of its secrets works any more."""
    store.call("idp_grant_end", _key(gid), "")


def end_session_grants(store: RedisStore, session: str) -> None:
    """The session is over: end what it gave, but not what was granted offline. Two round trips.

    ``session`` is its id. From now on no grant can be opened in it.
    """
    members = store.call("idp_grant_index_end", _session_key(session))
    with store.batch() as batch:
        for gid in _gids(members):
            batch.call("idp_grant_end_with_session", _key(gid))


def end_account_grants(store: RedisStore, account_id: str, client_id: str | None = None) -> None:
    """End all grants of a person, or those of one product; offline ones too (suspension, withdrawn consent, theft)."""
    members = store.command("ZRANGE", _account_key(account_id), 0, -1)
    with store.batch() as batch:
        for gid in _gids(members):
            batch.call("idp_grant_end", _key(gid), client_id or "")


def rewrite_person(store: RedisStore, account_id: str, person: Mapping[str, Any]) -> None:
    """The person's standard claims changed: from now on /userinfo and ID tokens say the new ones, in existing grants too."""
    members = store.command("ZRANGE", _account_key(account_id), 0, -1)
    with store.batch() as batch:
        for gid in _gids(members):
            batch.call("idp_grant_person", _key(gid), _JSON.encode(dict(person)))


def grants_of_session(store: RedisStore, session: str, now: float) -> list[Used]:
    """The products that were used in a session (its id), each once. One round trip."""
    members = store.command("ZRANGE", _session_key(session), f"({now}", "+inf", "BYSCORE")
    return [Used(*member.split(" ", 3)[1:]) for member in members if member.startswith("product ")]


_JSON = json.JSONEncoder(separators=(",", ":"))  # made once: json.dumps with arguments makes a new one every time


def _new_access(gid: str, random: Callable[[int], bytes]) -> str:
    return f"{gid}.{_base64url(random(32))}"


def _new_refresh(gid: str, random: Callable[[int], bytes], secret: bytes) -> str:
    chance = random(32 - _MAC)
    return f"{gid}.{_base64url(chance + _mac(gid, chance, secret))}"


def _is_refresh(token: str, secret: bytes) -> bool:
    gid, _, text = token.partition(".")
    made = base64.urlsafe_b64decode(text + "=")
    return hmac.compare_digest(made[-_MAC:], _mac(gid, made[:-_MAC], secret))


def _mac(gid: str, chance: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, gid.encode() + chance, "sha256")[:_MAC]


def _seal(successor: str, shown: str, random: Callable[[int], bytes]) -> str:
    nonce = random(12)
    return base64.b64encode(nonce + AESGCM(_sealing_key(shown)).encrypt(nonce, successor.encode(), None)).decode()


def _unseal(sealed: str, shown: str) -> str:
    data = base64.b64decode(sealed)
    return AESGCM(_sealing_key(shown)).decrypt(data[:12], data[12:], None).decode()


def _sealing_key(shown: str) -> bytes:
    # Only who still has the token that was shown can open it: reading Redis is not enough.
    return HKDF(SHA256(), 32, None, b"idp refresh successor").derive(shown.encode())


def _challenge(verifier: str | None) -> str:
    """What the code_challenge must have been: "" without a verifier, and equal to none for a malformed one."""
    if verifier is None:
        return ""
    if not _VERIFIER.fullmatch(verifier):
        return "malformed"
    return _base64url(hashlib.sha256(verifier.encode()).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _gid(token: str) -> str | None:
    match = _TOKEN.fullmatch(token)
    return match[1] if match else None


def _key(gid: str) -> str:
    return f"grant:{{{gid}}}"


def _session_key(session: str) -> str:
    return f"session-grants:{{{session}}}"


def _account_key(account_id: str) -> str:
    return f"account-grants:{{{account_id}}}"


def _gids(members: Iterable[str]) -> list[str]:
    return [member.removeprefix("grant ") for member in members if member.startswith("grant ")]


def _access(gid: str, answer: list[str], *, refresh: bool) -> Access | None:
    if not answer:
        return None
    facts, person, expires, issued, scope = answer
    return Access(_grant(gid, facts, person), tuple(scope.split()), int(issued), int(expires), refresh)


def _refusal(answer: list[str]) -> Refusal:
    facts = json.loads(answer[1]) if len(answer) > 1 else {}
    return Refusal(answer[0], facts.get("receipt", ""), facts.get("account_id", ""))


def _grant(gid: str, facts: str, person: str) -> Grant:
    values = json.loads(facts)
    values["scope"] = tuple(values["scope"])
    values["amr"] = tuple(values["amr"])
    return Grant(gid=gid, person=json.loads(person), **values)
