"""Talking to a social provider: where to send the browser, and whom its answer names.

The requests are Authlib's (RFC 6749, RFC 7636), sent by our Fetcher. It and joserfc are imported when somebody comes by this
door. Nothing that a provider gives is kept.
"""

from __future__ import annotations

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
from idp.doors.provider_documents import ProviderDocuments
from idp.doors.provider_id_token import check_at_hash, check_claims, check_issuer, verify_id_token
from idp.doors.providers import Provider, Registered, Told, WrongAnswer
from idp.doors.social_errors import SocialError, problems, refusal, refused_status

if TYPE_CHECKING:
    from authlib.integrations.requests_client import OAuth2Session

WHOLE_SECONDS = 10.0  # from the code to the person
# Providers put auth_time, as some put iat, up to five minutes before what they mean.
FRESH_SECONDS = 300
LONGEST_CODE = 4096
LONGEST_USER = 4096  # characters of Apple's user field
LONGEST_NAME = 200


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
    with problems("discovery"):
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
    with problems("discovery"):
        provider = documents.describe(registered.provider, ends)
    # Before the code goes anywhere: it may be another provider's, which this one must not get to see (RFC 9700 4.4).
    check_issuer(provider, iss)
    if not re.fullmatch(r"[ -~]+", code) or len(code) > LONGEST_CODE:
        raise SocialError("social_answer_wrong", detail="code: not as RFC 6749 says")
    issuer, claims = provider.issuer, {}
    with _session(registered, provider, documents, ends, _client_secret(registered, now)) as session:
        tokens = _fetch_tokens(session, registered, provider, code, redirect_uri, verifier)
        if provider.protocol == "openid_connect":
            claims = verify_id_token(tokens.get("id_token"), provider, documents, ends)
            issuer = check_claims(claims, registered, provider, nonce if provider.nonce else None, now)
            check_at_hash(claims, tokens)
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
    with problems("token"):
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
            raise refusal("token", error.error, error.description) from None
        except HTTPError as error:
            raise refused_status("token", error.response.status_code) from None
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
        userinfo = _get(session, url, "userinfo")
        if not isinstance(userinfo, dict):
            raise SocialError("social_answer_wrong", detail="userinfo: not a JSON object")
        if provider.protocol == "openid_connect" and userinfo.get("sub") != claims.get("sub"):
            raise SocialError("social_userinfo_other", detail="userinfo: sub is not that of the ID token")
        # An address and whether it is verified come from one place.
        (userinfo if "email" in claims else said).pop("email_verified", None)
        said = {**userinfo, **said}
    if provider.emails_endpoint is not None:
        said["emails"] = _get(session, provider.emails_endpoint, "emails")
    return said


def _get(session: OAuth2Session, url: str, place: str) -> Any:
    from requests import RequestException

    with problems(place):
        try:
            response = session.get(url, headers={"Accept": "application/json"}, allow_redirects=False)
        except RequestException:
            raise WrongAnswer("not HTTP") from None
        try:
            answer = response.json()
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict) and "error" in answer:
            raise refusal(place, answer["error"], answer.get("error_description"))
        if response.status_code != 200:
            raise refused_status(place, response.status_code)
        if answer is None:
            raise WrongAnswer("not JSON")
        return answer


def _read_user(field: str) -> Any:
    """Apple's ``user``: a JSON object. What is none is left aside: it holds no more than a name."""
    try:
        return json.loads(field) if len(field) <= LONGEST_USER else None
    except (ValueError, RecursionError):
        return None
