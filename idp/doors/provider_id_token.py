"""The ID token of a social provider: signed by one of its keys, and meant for us (OpenID Connect Core 3.1.3.7)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

from idp.doors.provider_documents import Jwk, ProviderDocuments
from idp.doors.providers import CONSUMERS, Provider, Registered
from idp.doors.social_errors import SocialError, problems
from idp.jws import BadSignature, read_jws

SKEW_SECONDS = 120  # how far a provider's clock may be from ours
# Public keys only: what a provider publishes must never be able to sign (RFC 8725 section 3.1).
_ALGORITHMS = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"}
_PUBLIC_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y")}
_SHORTEST_MODULUS = 342  # characters of base64url: 2048 bits
_GUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TENANT = "{tenantid}"


def check_issuer(provider: Provider, iss: str | None, *, may_be_absent: bool = False) -> None:
    """Check the ``iss`` parameter of an answer (RFC 9207 section 2.4).

    :param may_be_absent: whether it is no fault that a provider which says that it names itself does not.
    :raises SocialError: ``social_issuer_wrong``.
    """
    if iss is None and provider.iss_parameter and not may_be_absent:
        raise SocialError("social_issuer_wrong", detail="the answer does not name its issuer")
    if iss is not None and not _is_issuer(provider, iss):
        raise SocialError("social_issuer_wrong", detail="the answer names another issuer")


def verify_id_token(id_token: Any, provider: Provider, documents: ProviderDocuments, ends: float) -> dict[str, Any]:
    """The claims of an ID token that one of the provider's own keys has signed.

    :param ends: until when its keys may be fetched, of ``time.monotonic``.
    :raises SocialError: ``social_id_token_wrong``, ``social_signature_wrong``; what fetching its keys raises.
    """
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    if not isinstance(id_token, str):
        raise SocialError("social_id_token_wrong", detail="there is none")
    try:
        jws = read_jws(id_token)
        claims = jws.claims()
    except BadSignature as error:
        raise SocialError("social_id_token_wrong", detail=error.detail) from None
    alg, kid = jws.header.get("alg"), jws.header.get("kid")
    if not isinstance(alg, str) or alg not in _ALGORITHMS or not (kid is None or isinstance(kid, str)):
        raise SocialError("social_signature_wrong", detail="alg is none that we accept, or kid is no text")
    with problems("keys"):
        keys = documents.keys(provider, kid, ends)
    for jwk in keys:
        if kid in (None, jwk.get("kid")) and _fits(jwk, alg, claims, provider):
            members = {"kty", *_PUBLIC_MEMBERS[jwk["kty"]]}
            try:
                jwt.decode(id_token, import_key({name: jwk[name] for name in members}), algorithms=[alg])
            except (JoseError, ValueError, TypeError, KeyError):
                continue
            return claims
    raise SocialError("social_signature_wrong", detail="no key of the provider has signed it")


def check_claims(
    claims: Mapping[str, Any], registered: Registered, provider: Provider, nonce: str | None, now: float
) -> str:
    """Every claim that says for whom, when and by whom the token was made; return the issuer as the login key has it.

    :param nonce: what was sent, None where the provider returns none.
    :param now: seconds since 1970.
    :raises SocialError: the first claim that is not as it must be.
    """
    if not _is_issuer(provider, claims.get("iss")):
        raise SocialError("social_issuer_wrong", detail="iss of the ID token")
    issuer = provider.issuer
    if _TENANT in issuer:
        issuer = _check_tenant(claims, registered, issuer)
    audiences = claims.get("aud")
    audiences = [audiences] if isinstance(audiences, str) else audiences
    if not isinstance(audiences, list) or registered.client_id not in audiences:
        raise SocialError("social_audience_wrong", detail="aud is not our client_id")
    if (len(audiences) > 1 or "azp" in claims) and claims.get("azp") != registered.client_id:
        raise SocialError("social_audience_wrong", detail="azp is not our client_id")
    expires, issued, begins = (_seconds(claims, name) for name in ("exp", "iat", "nbf"))
    if expires is None or expires + SKEW_SECONDS <= now:
        raise SocialError("social_time_wrong", detail="exp is missing or over")
    if issued is None or issued > now + SKEW_SECONDS:
        raise SocialError("social_time_wrong", detail="iat is missing or to come")
    if begins is not None and begins > now + SKEW_SECONDS:
        raise SocialError("social_time_wrong", detail="nbf is to come")
    if nonce is not None:
        given = claims.get("nonce")
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
            raise SocialError("social_nonce_wrong", detail="nonce is missing or another")
    return issuer


def check_at_hash(claims: Mapping[str, Any], tokens: Mapping[str, Any]) -> None:
    """Half of the access token's hash, where the ID token says it (OpenID Connect Core 3.1.3.6).

    :raises SocialError: ``social_id_token_wrong``.
    """
    if "at_hash" not in claims:
        return
    alg = read_jws(tokens["id_token"]).header["alg"]
    digest = hashlib.new(f"sha{alg[2:]}", tokens["access_token"].encode("ascii")).digest()
    half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode("ascii")
    if claims["at_hash"] != half:
        raise SocialError("social_id_token_wrong", detail="at_hash is of another access token")


def _is_issuer(provider: Provider, iss: Any) -> bool:
    if not isinstance(iss, str):
        return False
    if _TENANT in provider.issuer:
        before, _, after = provider.issuer.partition(_TENANT)
        return re.fullmatch(re.escape(before) + _GUID + re.escape(after), iss) is not None
    return iss == provider.issuer or (provider.bare_issuer and iss == provider.issuer.partition("://")[2])


def _fits(jwk: Jwk, alg: str, claims: Mapping[str, Any], provider: Provider) -> bool:
    kty = "EC" if alg.startswith("ES") else "RSA"
    if jwk.get("kty") != kty or jwk.get("use", "sig") != "sig" or jwk.get("alg", alg) != alg:
        return False
    if kty == "RSA" and len(str(jwk.get("n"))) < _SHORTEST_MODULUS:
        return False
    # Microsoft says of each key for which tenants it counts.
    issuer = jwk.get("issuer")
    tenant = str(claims.get("tid"))
    return _TENANT not in provider.issuer or issuer is None or str(issuer).replace(_TENANT, tenant) == claims.get("iss")


def _check_tenant(claims: Mapping[str, Any], registered: Registered, issuer: str) -> str:
    """Microsoft's: the issuer is that of the tenant which ``tid`` names, and the entry allows that one."""
    tenant = claims.get("tid")
    if not isinstance(tenant, str) or claims.get("iss") != issuer.replace(_TENANT, tenant):
        raise SocialError("social_issuer_wrong", detail="tid is not that of iss")
    allowed = {"common": True, "organizations": tenant != CONSUMERS, "consumers": tenant == CONSUMERS}
    if not allowed.get(registered.tenant, tenant == registered.tenant):
        raise SocialError("social_tenant_forbidden", detail="tid is another tenant than the entry allows")
    return issuer.replace(_TENANT, tenant)


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
