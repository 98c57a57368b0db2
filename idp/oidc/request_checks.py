"""Is this authorization request in order? One visible table of checks, in the order in which they must be made.

Until ``client_is_known`` and ``redirect_uri_is_registered`` have passed, an error is a page; from then on it goes to the
registered redirect URI, with ``state`` (RFC 6749 section 4.1.2.1, base-libraries P-02). Nothing here reads or writes a
store, and no library parses a byte before these checks have passed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from idp.accounts.identity import read_address
from idp.client_record import Client
from idp.clients import Clients
from idp.errors import OAuthError

MAX_QUERY = 8192  # bytes of a query or form
MAX_FIELDS = 60
MAX_STATE = 1024  # characters of state and of nonce: they are stored (DS-05)
MAX_CLAIMS = 4096
MAX_HINT = 4096

SCOPES = ("openid", "profile", "email", "address", "phone", "company", "seat", "offline_access")
PROMPTS = ("none", "login", "consent", "select_account")
RESPONSE_MODES = ("query", "form_post")

# Parameters that we know. Any other is ignored, as OpenID Connect Core 3.1.2.1 demands.
KNOWN = frozenset(
    {
        *("client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce"),
        *("code_challenge", "code_challenge_method", "prompt", "max_age", "acr_values", "claims", "display"),
        *("login_hint", "id_token_hint", "ui_locales", "claims_locales", "request", "request_uri", "registration"),
        *("idp_hint", "domain_hint"),  # ours: which company's people the product sends (docs/relying-parties)
    }
)

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_SECONDS = re.compile(r"[0-9]{1,9}\Z")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*\Z")
_CONNECTION = re.compile(r"[a-z0-9]{1,16}\Z")
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]*\Z")


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """An authorization request in which everything has been checked. Lists are tuples, absent things are None or ()."""

    client: Client
    redirect_uri: str
    response_mode: str = "query"
    scopes: tuple[str, ...] = ()
    state: str | None = None
    nonce: str | None = None
    code_challenge: str | None = None
    prompt: tuple[str, ...] = ()
    max_age: int | None = None
    acr_values: tuple[str, ...] = ()
    essential_acr: tuple[str, ...] = ()
    login_hint: str = ""
    id_token_hint: str = ""
    idp_hint: str = ""  # the id of a company's connection
    domain_hint: str = ""  # an e-mail domain, in ASCII form
    ui_locales: str = ""
    claims: dict[str, dict[str, Any]] = field(default_factory=dict)  # {"userinfo": {...}, "id_token": {...}}

    @property
    def names_person(self) -> bool:
        """Whether it wants one certain person (OpenID Connect Core 3.1.2.1 id_token_hint, 5.5.1 sub)."""
        return bool(self.id_token_hint) or any(place.get("sub") is not None for place in self.claims.values())


class RequestRefused(OAuthError):
    """The request is wrong. ``may_redirect`` tells whether the relying party is told, at ``redirect_uri``."""

    redirect_uri = ""
    response_mode = "query"
    state: str | None = None
    client: Client | None = None


@dataclass(slots=True)
class _Draft:
    """What the checks have established so far."""

    given: Mapping[str, str]
    repeated: frozenset[str]
    clients: Clients
    client: Client | None = None
    redirect_uri: str = ""
    response_mode: str = "query"
    values: dict[str, Any] = field(default_factory=dict)

    def known_client(self) -> Client:
        assert self.client is not None  # client_is_known has run before every check that asks
        return self.client


def check_request(raw: str, clients: Clients) -> CheckedRequest:
    """Check an authorization request given as its query string or form body.

    :raises RequestRefused: with where the error may be shown.
    """
    given, repeated = _parse(raw)
    draft = _Draft(given, repeated, clients)
    try:
        for check in CHECKS:
            check(draft)
    except OAuthError as error:
        raise _refused(error, draft) from None
    return CheckedRequest(
        client=draft.known_client(), redirect_uri=draft.redirect_uri, response_mode=draft.response_mode, **draft.values
    )


def _parse(raw: str) -> tuple[dict[str, str], frozenset[str]]:
    try:
        if len(raw) > MAX_QUERY:
            raise ValueError
        pairs = parse_qsl(raw, keep_blank_values=True, max_num_fields=MAX_FIELDS, encoding="utf-8", errors="strict")
    except ValueError:
        raise RequestRefused(
            "invalid_request", "The request is too large or not readable as a form.", reason="request_unreadable"
        ) from None
    given: dict[str, str] = {}
    repeated: set[str] = set()
    for name, value in pairs:
        if name not in KNOWN:
            continue
        if name in given:
            repeated.add(name)
        elif value:  # an empty value counts as absent (RFC 6749 section 3.1)
            given[name] = value
    return given, frozenset(repeated)


def _refused(error: OAuthError, draft: _Draft) -> RequestRefused:
    refused = RequestRefused(
        error.error,
        error.public,
        reason=error.reason,
        parameter=error.parameter,
        detail=error.detail,
        may_redirect=bool(draft.redirect_uri),
    )
    refused.client = draft.client
    refused.redirect_uri = draft.redirect_uri
    refused.response_mode = draft.response_mode
    state = draft.given.get("state")
    if state is not None and "state" not in draft.repeated and _fits(state, MAX_STATE):
        refused.state = state
    return refused


def _wrong(parameter: str, public: str, *, error: str = "invalid_request", reason: str) -> OAuthError:
    return OAuthError(error, public, reason=reason, parameter=parameter)


def _fits(value: str, limit: int) -> bool:
    return len(value) <= limit and bool(_PRINTABLE.match(value))


def client_is_known(draft: _Draft) -> None:
    client_id = draft.given.get("client_id", "")
    client = draft.clients.find(client_id) if "client_id" not in draft.repeated and len(client_id) <= 128 else None
    if client is None or not client.enabled:
        raise _wrong(
            "client_id", "The client_id is missing or not registered.", error="invalid_client", reason="client_unknown"
        )
    draft.client = client


def redirect_uri_is_registered(draft: _Draft) -> None:
    redirect_uri = draft.given.get("redirect_uri", "")
    # Byte for byte: no prefix, no other case, no added query (RFC 9700 section 2.1).
    if "redirect_uri" in draft.repeated or not draft.known_client().accepts_redirect(redirect_uri):
        raise _wrong(
            "redirect_uri",
            "The redirect_uri is missing or not registered for this client.",
            reason="redirect_uri_unregistered",
        )
    draft.redirect_uri = redirect_uri


def response_mode_is_allowed(draft: _Draft) -> None:
    mode = draft.given.get("response_mode", "query")
    if (
        "response_mode" in draft.repeated
        or mode not in RESPONSE_MODES
        or mode not in draft.known_client().response_modes
    ):
        raise _wrong(
            "response_mode", "This response_mode is not allowed for this client.", reason="response_mode_unsupported"
        )
    draft.response_mode = mode


def nothing_is_repeated(draft: _Draft) -> None:
    if draft.repeated:
        name = min(draft.repeated)  # a known name, never the sender's text
        raise _wrong(name, f"The parameter {name} is given more than once.", reason="parameter_repeated")


def request_objects_are_not_used(draft: _Draft) -> None:
    for name in ("request", "request_uri", "registration"):
        if name in draft.given:
            raise _wrong(
                name,
                f"The parameter {name} is not supported.",
                error=f"{name}_not_supported",
                reason="request_object_unsupported",
            )


def response_type_is_code(draft: _Draft) -> None:
    response_type = draft.given.get("response_type")
    if response_type is None:
        raise _wrong("response_type", "The response_type is missing.", reason="response_type_missing")
    if response_type != "code":
        raise _wrong(
            "response_type",
            "Only the response_type code is supported.",
            error="unsupported_response_type",
            reason="response_type_unsupported",
        )


def state_and_nonce_fit(draft: _Draft) -> None:
    for name in ("state", "nonce"):
        value = draft.given.get(name)
        if value is not None and not _fits(value, MAX_STATE):
            raise _wrong(name, f"The {name} is too long or holds control characters.", reason="parameter_too_long")
        draft.values[name] = value


def scope_has_openid(draft: _Draft) -> None:
    scope = draft.given.get("scope", "")
    wanted = scope.split(" ") if _SCOPE.match(scope) else []
    if "openid" not in wanted:
        raise _wrong(
            "scope",
            "The scope must be names with single spaces between them, one of them openid.",
            error="invalid_scope",
            reason="scope_without_openid",
        )
    # Scopes that we do not know, or that this client may not have, are not granted (P-05); the token response says so.
    allowed = draft.known_client().scopes
    draft.values["scopes"] = tuple(known for known in SCOPES if known in wanted and known in allowed)


def pkce_is_s256(draft: _Draft) -> None:
    challenge = draft.given.get("code_challenge")
    method = draft.given.get("code_challenge_method")
    if challenge is None and method is None and draft.known_client().pkce == "optional":
        return
    if challenge is None:
        raise _wrong("code_challenge", "The code_challenge is missing (PKCE is required).", reason="pkce_missing")
    if method != "S256":
        raise _wrong(
            "code_challenge_method", "The code_challenge_method must be S256.", reason="pkce_method_unsupported"
        )
    if not _CHALLENGE.match(challenge):
        raise _wrong(
            "code_challenge", "The code_challenge is not a SHA-256 hash in base64url.", reason="pkce_malformed"
        )
    draft.values["code_challenge"] = challenge


def prompt_makes_sense(draft: _Draft) -> None:
    prompt = tuple(draft.given.get("prompt", "").split())
    if any(word not in PROMPTS for word in prompt) or ("none" in prompt and len(prompt) > 1):
        raise _wrong("prompt", "The prompt holds an unknown value, or none beside another.", reason="prompt_wrong")
    draft.values["prompt"] = prompt


def max_age_is_seconds(draft: _Draft) -> None:
    value = draft.given.get("max_age")
    if value is not None and not _SECONDS.match(value):
        raise _wrong("max_age", "The max_age must be a whole number of seconds.", reason="max_age_wrong")
    draft.values["max_age"] = int(value) if value is not None else draft.known_client().default_max_age


def claims_are_readable(draft: _Draft) -> None:
    value = draft.given.get("claims")
    if value is None:
        return
    try:
        claims = _read_claims(value)
    except (ValueError, RecursionError):
        raise _wrong("claims", "The claims parameter is not a claims request in JSON.", reason="claims_wrong") from None
    draft.values["claims"] = claims
    acr = claims.get("id_token", {}).get("acr")
    if isinstance(acr, dict) and acr.get("essential"):
        wanted = acr.get("values") or [acr.get("value")]
        draft.values["essential_acr"] = tuple(value for value in wanted if isinstance(value, str))


def _read_claims(value: str) -> dict[str, dict[str, Any]]:
    """Read a claims request (OpenID Connect Core 5.5); ValueError if it is none."""
    if len(value) > MAX_CLAIMS:
        raise ValueError
    claims = json.loads(value, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    if not isinstance(claims, dict):
        raise ValueError
    read: dict[str, dict[str, Any]] = {}
    for place in ("userinfo", "id_token"):
        wanted = claims.get(place)
        if wanted is None:
            continue
        if not isinstance(wanted, dict):
            raise ValueError
        for name, wish in wanted.items():
            if not isinstance(wish, dict | None) or not _fits(name, 128):
                raise ValueError
            if wish is not None and not isinstance(wish.get("values", []), list):
                raise ValueError
        read[place] = wanted
    return read


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError
    return read


def hints_are_noted(draft: _Draft) -> None:
    given = draft.given
    hint = given.get("id_token_hint", "")
    login_hint = given.get("login_hint", "")
    draft.values["id_token_hint"] = hint if len(hint) <= MAX_HINT else ""
    draft.values["login_hint"] = login_hint if _fits(login_hint, 320) else ""
    connection = given.get("idp_hint", "")
    draft.values["idp_hint"] = connection if _CONNECTION.match(connection) else ""
    draft.values["domain_hint"] = _domain(given.get("domain_hint", ""))
    draft.values["ui_locales"] = given.get("ui_locales", "")[:128]
    wanted = given.get("acr_values", "").split()
    draft.values["acr_values"] = tuple(wanted[:10]) or draft.known_client().default_acr_values


def _domain(text: str) -> str:
    """An e-mail domain in its ASCII form; "" for what is none."""
    if not text:
        return ""
    try:
        return read_address(f"a@{text}").domain
    except ValueError:
        return ""


CHECKS = (  # the order is security
    client_is_known,  # until these two have passed,
    redirect_uri_is_registered,  # an error is shown here and never redirected
    response_mode_is_allowed,
    nothing_is_repeated,
    request_objects_are_not_used,
    response_type_is_code,
    state_and_nonce_fit,
    scope_has_openid,
    pkce_is_s256,
    prompt_makes_sense,
    max_age_is_seconds,
    claims_are_readable,
    hints_are_noted,
)
