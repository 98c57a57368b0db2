"""Which claims about a person go where, and what our authentication classes are called.

A claim leaves only if its name is in ``PERSON_CLAIMS`` and it was asked for by scope (pyop's ``scope2claims``) or by the
claims parameter; whatever else a record may hold stays inside, and nothing about a person can replace a security claim
(P-06, P-07).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any

from oic.oic import scope2claims

from idp.accounts.identity import ONE_FACTOR, TWO_FACTORS
from idp.accounts.seats import seat_claim
from idp.client_record import Client
from idp.oidc.request_checks import SCOPES

ACR_VALUES = (ONE_FACTOR, TWO_FACTORS)

# The members of our ID token (design.md section 5); nonce only if one was sent.
ID_TOKEN_CLAIMS = ("iss", "sub", "aud", "exp", "iat", "auth_time", "acr", "amr", "sid", "at_hash", "nonce")
# Scopes of ours beside those of OpenID Connect Core 5.4. company: {"id", "name", "roles"} of the company that the person
# belongs to.
# seat: {"role", "granted_at"} of the person in this very product.
OWN_SCOPES = {"company": ["company"], "seat": ["seat"]}
PERSON_CLAIMS = frozenset(scope2claims(SCOPES, OWN_SCOPES)) - {"sub"}

Wishes = dict[str, dict[str, None]]


def wishes(claims: Mapping[str, Mapping[str, Any]], client: Client, scopes: Iterable[str]) -> Wishes:
    """What of a claims request (OpenID Connect Core 5.5) is granted: names of claims per place.

    A first-party client may ask for any claim of the scopes that it is allowed; a third-party one only for claims of the
    scopes that the person has just granted, since nothing else stood on the consent page.
    """
    if not claims:
        return {}
    allowed = PERSON_CLAIMS & set(scope2claims(client.scopes if client.first_party else scopes, OWN_SCOPES))
    granted = {place: dict.fromkeys(sorted(allowed & set(claims.get(place, ())))) for place in ("userinfo", "id_token")}
    return {place: names for place, names in granted.items() if names}


def person_claims(
    client: Client, person: Mapping[str, Any], scopes: Iterable[str], wished: Mapping[str, Any], *, proved_at: int
) -> dict[str, Any]:
    """The claims about a person that ``scopes`` and ``wished`` names ask for and that we know.

    ``proved_at``: when the person proved who they are (seconds since 1970; 0: nobody knows); not all may be told on the ground of an
    old proof.
    """
    asked = PERSON_CLAIMS & {*scope2claims(scopes, OWN_SCOPES), *wished}
    known = {**person, "seat": seat_claim(person, client.client_id, proved_at)}
    return {name: value for name, value in known.items() if name in asked and value not in (None, "", {})}


def tells_seat(scopes: Iterable[str], wished: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether what is granted (``wishes``: names per place) tells a product of its seat."""
    return "seat" in scopes or any("seat" in names for names in wished.values())


def id_token_claims(
    client: Client,
    *,
    issuer: str,
    sub: str,
    auth_time: int,
    proved_at: int,
    acr: str,
    amr: Iterable[str],
    person: Mapping[str, Any],
    wished: Mapping[str, Any],
    now: float,
) -> dict[str, Any]:
    """The one standardized ID token (design.md section 5) but for ``sid``, ``at_hash`` and ``nonce``, which belong to a
    session, a token and a request. ``wished``: names of claims about the person that were asked for in it.

    ``amr`` may be empty. Claims about the person come first, so none replaces ours. Times are seconds since 1970.
    """
    return person_claims(client, person, (), wished, proved_at=proved_at) | {
        "iss": issuer,
        "sub": sub,
        "aud": client.client_id,
        "exp": int(now) + client.id_token_lifetime,
        "iat": int(now),
        "auth_time": auth_time,
        "acr": acr,
        # absent where a company has not said how its people prove themselves
        **({"amr": list(amr)} if amr else {}),
    }


def subject(client: Client, account_id: str, public_sub: str, secret: bytes) -> str:
    """The subject identifier of a person towards a client (OpenID Connect Core 8).

    Public: the same for all, random and permanent. Pairwise: an HMAC over the client's sector, which is fixed in its
    registration, so that two sectors cannot compare theirs (P-23). ``secret`` is permanent.
    """
    if client.subject_type == "public":
        return public_sub
    sector = client.sector.encode()
    digest = hmac.digest(secret, len(sector).to_bytes(4, "big") + sector + account_id.encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def token_half_hash(token: str, alg: str) -> str:
    """``at_hash`` (OpenID Connect Core 3.1.3.6): the left half of the hash that belongs to the signature algorithm."""
    digest = hashlib.new("sha512" if alg == "EdDSA" else "sha256", token.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
