"""Talking to a social provider: where to send the browser, and whom its answer names.

The requests are Authlib's (RFC 6749, RFC 7636), sent by our Fetcher; ID tokens are verified by joserfc and checked here as
OpenID Connect Core 3.1.3.7 says. Both are imported when somebody comes by this door. Nothing that a provider gives is kept.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

from idp.accounts.identity import Identity, canonical_email
from idp.doors.provider_documents import Jwk, ProviderDocuments
from idp.doors.providers import CONSUMERS, Provider, Registered, Told, WrongAnswer
from idp.errors import IdpError
from idp.fetch import FetchError
from idp.jws import BadSignature, read_jws

if TYPE_CHECKING:
    from authlib.integrations.requests_client import OAuth2Session

WHOLE_SECONDS = 10.0  # from the code to the person
SKEW_SECONDS = 120  # how far a provider's clock may be from ours
# Providers put auth_time, as some put iat, up to five minutes before what they mean.
FRESH_SECONDS = 300
LONGEST_CODE = 4096
LONGEST_USER = 4096  # characters of Apple's user field
LONGEST_NAME = 200

# Public keys only: what a provider publishes must never be able to sign (RFC 8725 section 3.1).
_ALGORITHMS = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"}
_PUBLIC_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y")}
_SHORTEST_MODULUS = 342  # characters of base64url: 2048 bits
_GUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TENANT = "{tenantid}"

_REASONS = {
    # RFC 6749 4.1.2.1 and 5.2; OpenID Connect Core 3.1.2.6
    "access_denied": "social_cancelled",
    "login_required": "social_login_required",
    "interaction_required": "social_login_required",
    "consent_required": "social_login_required",
    "account_selection_required": "social_login_required",
    "server_error": "social_unavailable",
    "temporarily_unavailable": "social_unavailable",
    "invalid_grant": "social_code_over",
    "invalid_request": "social_misconfigured",
    "invalid_client": "social_misconfigured",
    "unauthorized_client": "social_misconfigured",
    "invalid_scope": "social_misconfigured",
    "unsupported_response_type": "social_misconfigured",
    "unsupported_grant_type": "social_misconfigured",
    "request_not_supported": "social_misconfigured",
    "request_uri_not_supported": "social_misconfigured",
    "registration_not_supported": "social_misconfigured",
    # LinkedIn and Apple
    "user_cancelled_login": "social_cancelled",
    "user_cancelled_authorize": "social_cancelled",
    "unauthorized_scope_error": "social_misconfigured",
    "invalid_redirect_uri": "social_misconfigured",
    # Microsoft
    "invalid_resource": "social_misconfigured",
    # GitHub
    "bad_verification_code": "social_code_over",
    "incorrect_client_credentials": "social_misconfigured",
    "redirect_uri_mismatch": "social_misconfigured",
    "application_suspended": "social_misconfigured",
    "unverified_user_email": "social_unproved_there",
    # Facebook's Graph API: error.code and, where it decides, error.error_subcode
    "graph_1": "social_unavailable",
    "graph_2": "social_unavailable",
    "graph_4": "social_unavailable",
    "graph_10": "social_misconfigured",
    "graph_17": "social_unavailable",
    "graph_32": "social_unavailable",
    "graph_100_36007": "social_code_over",
    "graph_100_36008": "social_misconfigured",
    "graph_100_36009": "social_code_over",
    "graph_101": "social_misconfigured",
    "graph_190": "social_code_over",
    "graph_191": "social_misconfigured",
    "graph_200": "social_misconfigured",
    "graph_341": "social_unavailable",
    "graph_613": "social_unavailable",
}


class SocialError(IdpError):
    """A provider's answer that leads to nobody. ``detail`` never holds a code, a token or a secret."""

    status = 400


def authorization_url(
    registered: Registered,
    documents: ProviderDocuments,
    *,
    redirect_uri: str,
    state: str,
    nonce: str,
    verifier: str,
    silent: bool = False,
    fresh: bool = False,
    login_hint: str = "",
    ui_locales: str = "",
) -> str:
    """Where to send the browser. A provider known by its issuer alone may have to be asked first where that is.

    :raises SocialError: it does not tell.
    """
    ends = time.monotonic() + WHOLE_SECONDS
    with _problems("discovery"):
        provider = documents.describe(registered.provider, ends)
    parameters = dict(provider.parameters)
    if silent and provider.silent is not None:
        parameters |= provider.silent
    elif fresh:
        parameters |= provider.fresh
    if provider.nonce:
        parameters["nonce"] = nonce
    if provider.response_mode != "query":
        parameters["response_mode"] = provider.response_mode
    if provider.hints and login_hint:
        parameters["login_hint"] = login_hint
    if provider.locales and ui_locales:
        parameters["ui_locales"] = ui_locales
    with _session(registered, provider, documents, ends, "") as session:
        url, _ = session.create_authorization_url(
            provider.authorization_endpoint,
            state=state,
            code_verifier=verifier if provider.pkce else None,
            redirect_uri=redirect_uri,
            **parameters,
        )
    return str(url)


def redeem(
    registered: Registered,
    documents: ProviderDocuments,
    *,
    code: str,
    iss: str | None,
    redirect_uri: str,
    nonce: str,
    verifier: str,
    sent_at: float,
    fresh: bool = False,
    user_field: str = "",
    now: float,
) -> Identity:
    """Whom a code names: the token request, every check of the ID token, what else the provider says. At most 10 s.

    :param iss: the ``iss`` parameter of the answer (RFC 9207), None when there was none.
    :param sent_at: when the browser was sent to the provider, in seconds since 1970.
    :param fresh: whether the person had to prove anew who they are.
    :param user_field: the ``user`` field of Apple's answer.
    :raises SocialError: it names nobody.
    """
    ends = time.monotonic() + WHOLE_SECONDS
    with _problems("discovery"):
        provider = documents.describe(registered.provider, ends)
    # Before the code goes anywhere: it may be another provider's, which this one must not get to see (RFC 9700 4.4).
    check_issuer(provider, iss)
    if not re.fullmatch(r"[ -~]+", code) or len(code) > LONGEST_CODE:
        raise SocialError("social_answer_wrong", detail="code: not as RFC 6749 says")
    issuer, claims = provider.issuer, {}
    with _session(registered, provider, documents, ends, _client_secret(registered, now)) as session:
        tokens = _fetch_tokens(session, registered, provider, code, redirect_uri, verifier)
        if provider.protocol == "openid_connect":
            claims = _verify(tokens.get("id_token"), provider, documents, ends)
            issuer = _check_claims(claims, registered, provider, nonce if provider.nonce else None, now)
            _check_at_hash(claims, tokens)
        said = _ask_more(session, registered, provider, tokens["access_token"], claims)
    if (
        user_field and provider.response_mode == "form_post"
    ):  # Apple's; elsewhere a member of that name is the provider's own
        said["user"] = _read_user(user_field)
    try:
        told = provider.read(said)
    except WrongAnswer as error:
        raise SocialError("social_answer_wrong", detail=str(error)) from None
    except (
        TypeError,
        KeyError,
        AttributeError,
        ValueError,
    ) as error:  # a reading function that has met what it did not expect
        raise SocialError("social_answer_wrong", detail=f"{type(error).__name__} while it was read") from None
    if fresh and told.at is None and "max_age" in provider.fresh:
        # Who is asked with max_age says it (OpenID Connect Core 2): on the way there somebody has changed the request.
        raise SocialError("social_not_fresh", detail="auth_time is missing")
    if fresh and told.at is not None and told.at < sent_at - FRESH_SECONDS:
        raise SocialError("social_not_fresh", detail="auth_time is before the request")
    return _identify(told, provider, issuer, now, fresh=fresh)


def check_issuer(provider: Provider, iss: str | None, *, may_be_absent: bool = False) -> None:
    """Check the ``iss`` parameter of an answer (RFC 9207 section 2.4).

    :param may_be_absent: whether it is no fault that a provider which says that it names itself does not.
    :raises SocialError: ``social_issuer_wrong``.
    """
    if iss is None and provider.iss_parameter and not may_be_absent:
        raise SocialError("social_issuer_wrong", detail="the answer does not name its issuer")
    if iss is not None and not _is_issuer(provider, iss):
        raise SocialError("social_issuer_wrong", detail="the answer names another issuer")


def read_error(registered: Registered, error: str, description: str = "") -> str:
    """The reason's code for the error that a provider answers with, at any of its endpoints.

    :param description: error_description, or Facebook's error.message; only looked at where a code has two meanings.
    """
    if error == "graph_1" and "client secret" in description.lower():
        return "social_misconfigured"  # Facebook says it with the code of a passing fault
    if error == "invalid_request" and "expired" in description.lower():
        return "social_code_over"  # LinkedIn, of a code
    return _REASONS.get(error, "social_error_unknown")


def _identify(told: Told, provider: Provider, issuer: str, now: float, *, fresh: bool) -> Identity:
    email = None
    if told.email is not None:
        with suppress(ValueError):  # what is no address is as good as none: the person is asked
            email = canonical_email(told.email)
    return Identity(
        door=provider.key,
        issuer=issuer,
        subject=told.subject,
        email=email,
        email_verified=told.email_verified and email is not None,
        name=_clean_name(told.name),
        methods=(),  # nothing was proved here
        at=min(told.at, int(now)) if told.at is not None else int(now),
        undated=told.at is None and not fresh,
    )


def _clean_name(name: str | None) -> str | None:
    """A name that can stand on a page and in a claim: without what steers a terminal or the direction of writing."""
    if name is None:
        return None
    # Joiners (ZWJ, ZWNJ) are part of how names are written; everything else of these kinds only pretends.
    kept = (
        " " if letter.isspace() else letter
        for letter in name[: 4 * LONGEST_NAME]
        if letter in "\u200c\u200d" or letter.isspace() or unicodedata.category(letter)[0] != "C"
    )
    return " ".join(unicodedata.normalize("NFC", "".join(kept)).split())[:LONGEST_NAME].strip() or None


# --- requests ----------------------------------------------------------------------------------------------------------------


@contextmanager
def _session(
    registered: Registered, provider: Provider, documents: ProviderDocuments, ends: float, secret: str
) -> Iterator[OAuth2Session]:
    from authlib.integrations.requests_client import OAuth2Session

    from idp.requests_transport import bind

    with OAuth2Session(
        registered.client_id,
        secret,
        token_endpoint_auth_method="client_secret_post",  # noqa: S106 the name of a method
        scope=" ".join(provider.scopes),
        code_challenge_method="S256",
    ) as session:
        bind(session, documents.fetcher, ends)
        yield session


def _client_secret(registered: Registered, now: float) -> str:
    """The secret; for Apple one that our key signs for the next five minutes (at most six months are allowed)."""
    if registered.provider.client_authentication != "signed_jwt":
        return registered.client_secret
    from joserfc import jwt
    from joserfc.jwk import ECKey

    claims = {
        "iss": registered.team_id,
        "iat": int(now),
        "exp": int(now) + 300,
        "aud": registered.provider.issuer,
        "sub": registered.client_id,
    }
    header = {"alg": "ES256", "kid": registered.key_id}
    return jwt.encode(header, claims, ECKey.import_key(registered.client_secret), algorithms=["ES256"])


def _fetch_tokens(
    session: OAuth2Session, registered: Registered, provider: Provider, code: str, redirect_uri: str, verifier: str
) -> Mapping[str, Any]:
    from authlib.integrations.base_client import OAuthError
    from requests import RequestException
    from requests.exceptions import HTTPError

    parameters: dict[str, Any] = {"code_verifier": verifier} if provider.pkce else {}
    if provider.client_authentication == "client_secret_basic":
        # Form-encoded before they are joined (RFC 6749 section 2.3.1).
        parameters["auth"] = quote_plus(registered.client_id), quote_plus(registered.client_secret)
    with _problems("token"):
        try:
            tokens = session.fetch_token(
                provider.token_endpoint,
                grant_type="authorization_code",
                code=code,
                redirect_uri=redirect_uri,
                allow_redirects=False,
                **parameters,
            )
        except OAuthError as error:
            raise _refusal(registered, "token", error.error, error.description) from None
        except HTTPError as error:
            raise _status("token", error.response.status_code) from None
        # What Authlib stumbles over when the answer is not what it should be.
        except (RequestException, ValueError, TypeError, KeyError, OverflowError, RecursionError):
            raise WrongAnswer("not the JSON object of RFC 6749 section 5.1") from None
        access_token = tokens.get("access_token")
        if not isinstance(access_token, str) or not re.fullmatch(r"[!-~]+", access_token):
            raise WrongAnswer("no access_token")
        if str(tokens.get("token_type", "bearer")).lower() != "bearer":
            raise WrongAnswer("token_type is not Bearer")
        # And nothing about its end: Authlib would refresh it.
        session.token = {"access_token": access_token, "token_type": "Bearer"}
    return dict(tokens)


def _ask_more(
    session: OAuth2Session, registered: Registered, provider: Provider, access_token: str, claims: Mapping[str, Any]
) -> dict[str, Any]:
    """What :attr:`Provider.read` is given."""
    said = dict(claims)
    if provider.userinfo_endpoint is not None:
        url = provider.userinfo_endpoint
        if provider.appsecret_proof:
            proof = hmac.digest(registered.client_secret.encode(), access_token.encode(), "sha256").hex()
            url += ("&" if "?" in url else "?") + urlencode({"appsecret_proof": proof})
        userinfo = _get(session, registered, url, "userinfo")
        if not isinstance(userinfo, dict):
            raise SocialError("social_answer_wrong", detail="userinfo: not a JSON object")
        if provider.protocol == "openid_connect" and userinfo.get("sub") != claims.get("sub"):
            raise SocialError("social_userinfo_other", detail="userinfo: sub is not that of the ID token")
        # An address and whether it is verified come from one place.
        (userinfo if "email" in claims else said).pop("email_verified", None)
        said = {**userinfo, **said}
    if provider.emails_endpoint is not None:
        said["emails"] = _get(session, registered, provider.emails_endpoint, "emails")
    return said


def _get(session: OAuth2Session, registered: Registered, url: str, place: str) -> Any:
    from requests import RequestException

    with _problems(place):
        try:
            response = session.get(url, headers={"Accept": "application/json"}, allow_redirects=False)
        except RequestException:
            raise WrongAnswer("not HTTP") from None
        try:
            answer = response.json()
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict) and "error" in answer:
            raise _refusal(registered, place, answer["error"], answer.get("error_description"))
        if response.status_code != 200:
            raise _status(place, response.status_code)
        if answer is None:
            raise WrongAnswer("not JSON")
        return answer


@contextmanager
def _problems(place: str) -> Iterator[None]:
    """What goes wrong on the way to a provider, as a SocialError that says where."""
    try:
        yield
    except FetchError as error:
        reason = "social_misconfigured" if error.refused else "social_unavailable"
        raise SocialError(reason, detail=f"{place}: {error.detail}") from None
    except WrongAnswer as error:
        raise SocialError("social_answer_wrong", detail=f"{place}: {error}") from None


def _refusal(registered: Registered, place: str, error: Any, description: Any) -> SocialError:
    if isinstance(error, dict):  # Facebook's
        description = error.get("message")
        numbers = [error.get("code"), error.get("error_subcode")]
        known = [str(number) for number in numbers if isinstance(number, int)]
        names = ["graph_" + "_".join(known[:length]) for length in range(len(known), 0, -1)]
        error = next((name for name in names if name in _REASONS), names[0] if names else "")
    text = error if isinstance(error, str) and re.fullmatch(r"[a-z0-9_]{1,64}", error) else "not an error code"
    reason = read_error(registered, text, description if isinstance(description, str) else "")
    return SocialError(reason, detail=f"{place}: {text}")


def _status(place: str, status: int) -> SocialError:
    reason = "social_unavailable" if status >= 500 or status == 429 else "social_answer_wrong"
    if place == "emails" and status in (403, 404):
        reason = "social_misconfigured"  # GitHub, to whom nobody has given leave to read addresses
    return SocialError(reason, detail=f"{place}: status {status}")


def _read_user(field: str) -> Any:
    """Apple's ``user``: a JSON object. What is none is left aside: it holds no more than a name."""
    try:
        return json.loads(field) if len(field) <= LONGEST_USER else None
    except (ValueError, RecursionError):
        return None


# --- the ID token --------------------------------------------------------------------------------------------------------------


def _is_issuer(provider: Provider, iss: Any) -> bool:
    if not isinstance(iss, str):
        return False
    if _TENANT in provider.issuer:
        before, _, after = provider.issuer.partition(_TENANT)
        return re.fullmatch(re.escape(before) + _GUID + re.escape(after), iss) is not None
    return iss == provider.issuer or (provider.bare_issuer and iss == provider.issuer.partition("://")[2])


def _verify(id_token: Any, provider: Provider, documents: ProviderDocuments, ends: float) -> dict[str, Any]:
    """The claims of an ID token that one of the provider's own keys has signed."""
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
    with _problems("keys"):
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


def _check_claims(
    claims: Mapping[str, Any], registered: Registered, provider: Provider, nonce: str | None, now: float
) -> str:
    """Every claim that says for whom, when and by whom the token was made; the issuer as the login key has it."""
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


def _check_tenant(claims: Mapping[str, Any], registered: Registered, issuer: str) -> str:
    """Microsoft's: the issuer is that of the tenant which ``tid`` names, and the entry allows that one."""
    tenant = claims.get("tid")
    if not isinstance(tenant, str) or claims.get("iss") != issuer.replace(_TENANT, tenant):
        raise SocialError("social_issuer_wrong", detail="tid is not that of iss")
    allowed = {"common": True, "organizations": tenant != CONSUMERS, "consumers": tenant == CONSUMERS}
    if not allowed.get(registered.tenant, tenant == registered.tenant):
        raise SocialError("social_tenant_forbidden", detail="tid is another tenant than the entry allows")
    return issuer.replace(_TENANT, tenant)


def _check_at_hash(claims: Mapping[str, Any], tokens: Mapping[str, Any]) -> None:
    """OpenID Connect Core 3.1.3.6: half of the access token's hash, where the token says it."""
    if "at_hash" not in claims:
        return
    alg = read_jws(tokens["id_token"]).header["alg"]
    digest = hashlib.new(f"sha{alg[2:]}", tokens["access_token"].encode("ascii")).digest()
    half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode("ascii")
    if claims["at_hash"] != half:
        raise SocialError("social_id_token_wrong", detail="at_hash is of another access token")


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
