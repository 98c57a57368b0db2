"""A relying party as it is registered: what its record may say, and the questions that a request asks of it.

Whatever stands in a :class:`Client` has been checked, also that its parts fit together. Names are those of OpenID Connect
Registration where it has one.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlencode, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from idp.jws import load_public_jwk
from idp.uris import BadUri, check_uri, is_host_name

Algorithm = Literal["RS256", "ES256", "PS256", "EdDSA"]
Scope = Literal["openid", "profile", "email", "address", "phone", "company", "seat", "offline_access"]


def hash_secret(secret: str) -> str:
    """How a client secret is kept: it is random, so one fast hash is enough (RFC 6749 section 10.10)."""
    return "sha256:" + hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _refuse(message: str, remedy: str, field: str = "") -> PydanticCustomError:
    return PydanticCustomError("refused", "{message}", {"message": message, "remedy": remedy, "field": field})


def _own_uri(value: str, info: ValidationInfo) -> str:
    """A redirect URI: what it may be depends on the client's type."""
    native = info.data.get("type") == "native"
    return _checked(value, info, native=native)


def _web_uri(value: str, info: ValidationInfo) -> str:
    return _checked(value, info, native=False)


def _checked(value: str, info: ValidationInfo, *, native: bool) -> str:
    try:
        return check_uri(value, loopback=bool(info.context and info.context.get("loopback")), native=native)
    except BadUri as bad:
        raise _refuse(bad.message, bad.remedy) from None


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise _refuse("lists something twice", "keep one of them")
    return values


def _some(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise _refuse("is empty", "list at least one")
    return values


def _host_name(value: str) -> str:
    if not is_host_name(value):
        raise _refuse("is no host name", "write a DNS name in lower case, such as example.com")
    return value


def _public_keys(value: dict[str, Any]) -> dict[str, Any]:
    keys = value.get("keys")
    if set(value) != {"keys"} or not isinstance(keys, tuple) or not 1 <= len(keys) <= 20:
        raise _refuse("is no JWK Set", "write keys: and below it a list of 1 to 20 public keys")
    for key in keys:
        if not isinstance(key, dict) or not all(isinstance(member, str) for member in key.values()):
            raise _refuse(
                "holds a key whose members are not all text", "write kty, n, e … as text; leave out key_ops and x5c"
            )
        if key.get("use", "sig") != "sig":
            raise _refuse("holds a key that is not for signatures", "list only keys with use: sig")
        try:
            load_public_jwk(key)
        except ValueError as error:
            raise _refuse(
                f"holds a key that cannot be used: {error}", "list public keys of RSA ≥ 2048 bits, P-256 or Ed25519"
            ) from None
    return value


Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f\u2028\u2029]+$")]
OwnUri = Annotated[str, AfterValidator(_own_uri)]
WebUri = Annotated[str, AfterValidator(_web_uri)]


class Secret(BaseModel):
    """One secret of a client. ``expires`` (epoch seconds) is set while it makes room for the next one."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    hash: str = Field(pattern="^sha256:[0-9a-f]{64}$", repr=False)
    expires: float | None = None
    reference: str | None = None  # the environment variable it came from

    def is_valid(self, now: float) -> bool:
        return self.expires is None or now < self.expires


class Client(BaseModel):
    """A relying party. Names are those of OpenID Connect Registration where it has one. Durations are seconds."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    client_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$")
    name: Text
    type: Literal["web", "spa", "native"]
    first_party: bool = True  # skips consent
    enabled: bool = True
    redirect_uris: Annotated[tuple[OwnUri, ...], Field(max_length=50), AfterValidator(_some), AfterValidator(_unique)]
    post_logout_redirect_uris: Annotated[tuple[OwnUri, ...], Field(max_length=50), AfterValidator(_unique)] = ()
    token_endpoint_auth_method: Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]
    secrets: Annotated[tuple[Secret, ...], Field(max_length=4)] = ()
    jwks: Annotated[dict[str, Any], AfterValidator(_public_keys)] | None = None
    jwks_uri: WebUri | None = None
    scopes: Annotated[tuple[Scope, ...], AfterValidator(_unique)] = ("openid", "profile", "email", "offline_access")
    grant_types: Annotated[tuple[Literal["authorization_code", "refresh_token"], ...], AfterValidator(_unique)] = (
        "authorization_code",
        "refresh_token",
    )
    response_modes: Annotated[
        tuple[Literal["query", "form_post"], ...], AfterValidator(_some), AfterValidator(_unique)
    ] = ("query", "form_post")
    pkce: Literal["required", "optional"] = "required"
    id_token_signed_response_alg: Algorithm = "RS256"  # noqa: S105 (an algorithm, no secret)
    userinfo_signed_response_alg: Algorithm | None = None
    subject_type: Literal["public", "pairwise"] = "public"
    sector_identifier: Annotated[str, AfterValidator(_host_name)] | None = None
    backchannel_logout_uri: WebUri | None = None
    backchannel_logout_session_required: bool = False
    logo_uri: WebUri | None = None
    policy_uri: WebUri | None = None
    tos_uri: WebUri | None = None
    client_uri: WebUri | None = None
    initiate_login_uri: WebUri | None = None
    needs: Literal["organizer"] | None = None  # whom it is for: others are told why, and no account is made for it
    code_lifetime: Annotated[int, Field(ge=10, le=600)] = 60
    access_token_lifetime: Annotated[int, Field(ge=60, le=86400)] = 3600
    refresh_token_lifetime: Annotated[int, Field(ge=3600, le=366 * 86400)] = (
        30 * 86400
    )  # from the sign-in on, however often used
    id_token_lifetime: Annotated[int, Field(ge=60, le=86400)] = 3600
    default_max_age: Annotated[int, Field(ge=0, le=366 * 86400)] | None = None
    default_acr_values: Annotated[tuple[Text, ...], AfterValidator(_unique)] = ()
    contacts: tuple[Text, ...] = ()
    profile: Literal["openid"] = "openid"
    introspects: Annotated[tuple[str, ...], AfterValidator(_unique)] = ()  # client ids whose tokens it may look at

    @model_validator(mode="before")
    @classmethod
    def _method_follows_type(cls, data: Any) -> Any:
        if isinstance(data, dict) and "token_endpoint_auth_method" not in data:
            return {
                **data,
                "token_endpoint_auth_method": "client_secret_basic" if data.get("type") == "web" else "none",
            }
        return data

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Client:
        if self.type != "web" and not self.is_public:
            raise _refuse(
                f"is not possible for `type: {self.type}`: whoever has the product has its secret",
                "remove it; PKCE protects this client",
                "token_endpoint_auth_method",
            )
        if self.type == "web" and self.is_public:
            raise _refuse(
                "is `none`, but a web product can keep a secret",
                "remove the line, or write `type: spa` when it runs in the browser alone",
                "token_endpoint_auth_method",
            )
        if self.is_public and self.pkce == "optional":
            raise _refuse("is `optional`, but this client has no secret", "remove the line: PKCE is required", "pkce")
        self._check_credentials()
        if "openid" not in self.scopes:
            raise _refuse("lacks openid", "add openid to the list", "scopes")
        if "authorization_code" not in self.grant_types:
            raise _refuse("lacks authorization_code", "add authorization_code to the list", "grant_types")
        if self.subject_type == "pairwise" and self.sector_identifier is None and len(self._hosts) != 1:
            raise _refuse(
                "is needed: pairwise subjects belong to one host name, and the redirect URIs have none or several",
                "add sector_identifier: with a host name of yours, and never change it",
                "sector_identifier",
            )
        if self.sector_identifier is not None and self.subject_type == "public":
            raise _refuse("has no effect", "remove it, or write `subject_type: pairwise`", "sector_identifier")
        return self

    def _check_credentials(self) -> None:
        method = self.token_endpoint_auth_method
        if method in ("client_secret_basic", "client_secret_post"):
            if not self.secrets:
                raise _refuse("are missing", f"run: idp clients rotate-secret {self.client_id}", "secrets")
        elif self.secrets:
            raise _refuse(f"have no effect with `{method}`", "remove them", "secrets")
        if method == "private_key_jwt":
            if (self.jwks is None) == (self.jwks_uri is None):
                raise _refuse("and jwks: exactly one is needed for private_key_jwt", "keep one", "jwks_uri")
        elif self.jwks is not None or self.jwks_uri is not None:
            field = "jwks" if self.jwks is not None else "jwks_uri"
            raise _refuse("has no effect", "remove it, or write `token_endpoint_auth_method: private_key_jwt`", field)

    @functools.cached_property
    def is_public(self) -> bool:
        """Whether it cannot keep a secret, so that PKCE alone protects its codes."""
        return self.token_endpoint_auth_method == "none"  # noqa: S105 (a method, no secret)

    @functools.cached_property
    def redirect_origins(self) -> frozenset[str]:
        """The origins that may call /token, /userinfo and /revoke from a browser (CORS)."""
        parts = [urlsplit(uri) for uri in self.redirect_uris]
        return frozenset(f"{part.scheme}://{part.netloc}" for part in parts if part.scheme in ("https", "http"))

    @functools.cached_property
    def sector(self) -> str:
        """What pairwise subjects are made for (OpenID Connect Core section 8.1); empty for public ones."""
        if self.subject_type == "public":
            return ""
        return self.sector_identifier or next(iter(self._hosts))

    @functools.cached_property
    def _hosts(self) -> frozenset[str]:
        return frozenset(urlsplit(uri).hostname or "" for uri in self.redirect_uris) - {""}

    @functools.cached_property
    def algorithms(self) -> frozenset[str]:
        """The algorithms in which this client wants things signed."""
        return frozenset({self.id_token_signed_response_alg, self.userinfo_signed_response_alg or "RS256"})

    def beginning(self, issuer: str) -> str | None:
        """Where a sign-in at the product begins that ``issuer`` asks for (OpenID Connect Core section 4); None: it names no such place."""
        uri = self.initiate_login_uri
        return f"{uri}{'&' if '?' in uri else '?'}{urlencode({'iss': issuer})}" if uri else None

    def accepts_redirect(self, uri: str) -> bool:
        """Whether ``uri`` is registered, byte for byte. A native product's loopback port is free (RFC 8252 section 7.3)."""
        if uri in self.redirect_uris:
            return True
        if self.type != "native" or not (found := _LOOPBACK_PORT.match(uri)) or int(found[2]) > 65535:
            return False
        return any(_without_port(uri) == _without_port(own) for own in self.redirect_uris if own.startswith("http://"))

    def secret_matches(self, secret: str, now: float) -> bool:
        """Whether ``secret`` is one of this client's valid secrets. Takes as long whichever it is."""
        presented = hash_secret(secret)
        matches = [hmac.compare_digest(presented, own.hash) and own.is_valid(now) for own in self.secrets]
        return any(matches)

    def may_introspect(self, client_id: str) -> bool:
        """Whether this client may see tokens of ``client_id``: its own, and those of products that it serves."""
        return client_id == self.client_id or client_id in self.introspects


_LOOPBACK_PORT = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\])):([1-9][0-9]{0,4})(?=[/?]|\Z)")


def _without_port(uri: str) -> str:
    return _LOOPBACK_PORT.sub(r"\1", uri)
