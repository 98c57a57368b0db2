"""Relying parties: ``clients.yaml``, checked strictly, read anew when it changes.

A wrong file never replaces a good one: the last good clients stay, and the problem is logged and shown by readiness and
by ``idp clients check`` with file, line and remedy. Secrets stand in the file as hashes, or as ``${NAME}`` of an
environment variable.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import hmac
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from idp.clients_file import Node, Refused, parse
from idp.errors import OperatorError
from idp.files import Stamp, replace, stamp
from idp.jws import load_public_jwk
from idp.uris import BadUri, check_uri, is_host_name

Algorithm = Literal["RS256", "ES256", "PS256", "EdDSA"]
Scope = Literal["openid", "profile", "email", "address", "phone", "offline_access"]

LARGEST_FILE = 16 * 2**20
# A secret from the environment is not ours: it must not be guessable (128 bits as hex).
SHORTEST_SECRET = 32
_SEE = "see docs/operators/add-client.md"

_log = structlog.get_logger(__name__)


# --- one client -------------------------------------------------------------------------------------------------------


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


# --- the file ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in ``clients.yaml``: where (lines from 1), what, and what to do. A warning only switches its client off."""

    file: str
    line: int
    message: str
    remedy: str
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}. {self.remedy[:1].upper()}{self.remedy[1:]}{'' if self.remedy.endswith('?') else '.'}"


# --- reading ----------------------------------------------------------------------------------------------------------

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}\Z")
# Nothing hashes to this: a client whose secret is not set stays shut even where nobody looks whether it is enabled.
_NO_SECRET = "sha256:" + "0" * 64


@dataclass(frozen=True)
class Reading:
    """What a file says: its clients by client_id, the line of each, and what is wrong, in the order of the lines."""

    file: str
    content: bytes
    clients: dict[str, Client]
    lines: dict[str, int]
    problems: list[Problem]

    @property
    def errors(self) -> list[Problem]:
        """The problems because of which the file cannot be taken."""
        return [problem for problem in self.problems if not problem.warning]

    @property
    def algorithms(self) -> frozenset[str]:
        """All algorithms that some client wants its tokens signed with; always RS256."""
        return frozenset({"RS256"}.union(*(client.algorithms for client in self.clients.values())))

    def without_keys(self, signable: Collection[str]) -> list[Problem]:
        """A problem for each client that wants an algorithm for which no key is there."""
        remedy = "run: idp keys rotate --alg {} (until then a running provider keeps the last good file)"
        return [
            Problem(self.file, self.lines[client_id], f"{client_id}: there is no key for {alg} yet", remedy.format(alg))
            for client_id, client in self.clients.items()
            for alg in sorted(client.algorithms - set(signable))
        ]


def read_file(path: Path, environ: Mapping[str, str], *, loopback: bool) -> Reading:
    """Read and check a whole file.

    :param environ: where ``${NAME}`` is looked up.
    :param loopback: whether the issuer is on loopback, so that clients may be too.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = Problem(
            str(path), 1, f"the file cannot be read ({error.strerror})", "give a readable file as IDP_CLIENTS"
        )
        return Reading(str(path), b"", {}, {}, [problem])
    return read_content(content, str(path), environ, loopback=loopback)


def read_content(content: bytes, file: str, environ: Mapping[str, str], *, loopback: bool) -> Reading:
    """The same for what stands, or would stand, in the file called ``file``."""
    try:
        records = read_records(content)
    except Refused as refused:
        return Reading(file, content, {}, {}, [Problem(file, refused.line, refused.message, refused.remedy)])
    clients: dict[str, Client] = {}
    problems: list[Problem] = []
    for client_id, node in records.items():
        try:
            clients[client_id], unset = _read_client(client_id, node, environ, loopback)
            for other in clients[client_id].introspects:
                if other not in records:
                    line = node.value["introspects"].key_line + 1
                    raise Refused(line, f"introspects: there is no client `{other}`", "correct or remove it")
        except Refused as refused:
            problems.append(Problem(file, refused.line, f"{client_id}: {refused.message}", refused.remedy))
        except ValidationError as error:
            rows = error.errors(include_url=False, include_input=False)
            problems += [Problem(file, *_explain(row, client_id, node)) for row in rows]
        else:
            for name, line in unset:
                message = f"{client_id}: is off, because ${{{name}}} is not set"
                problems.append(Problem(file, line, message, f"set {name} and start again", warning=True))
    lines = {client_id: node.key_line + 1 for client_id, node in records.items()}
    return Reading(file, content, clients, lines, sorted(problems, key=lambda problem: problem.line))


def read_records(content: bytes) -> dict[str, Node]:
    """The blocks below ``clients:``, by client_id.

    :raises Refused: when there are none.
    """
    try:
        if len(content) > LARGEST_FILE:
            raise Refused(1, "the file is larger than 16 MiB", "remove what is not needed")
        root = parse(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Refused(content.count(b"\n", 0, error.start) + 1, "this is not UTF-8", "save the file as UTF-8") from None
    if not isinstance(root.value, dict) or set(root.value) != {"clients"}:
        raise Refused(root.line + 1, "there must be `clients:` and nothing beside it", "begin the file with `clients:`")
    records = root.value["clients"].value
    if not isinstance(records, dict) or not records:
        raise Refused(root.line + 1, "no client is listed", "write a client_id, and its settings indented below it")
    return records


def _read_client(
    client_id: str, node: Node, environ: Mapping[str, str], loopback: bool
) -> tuple[Client, list[tuple[str, int]]]:
    """The client, and (name, line) of each environment variable that it needs and that is not set."""
    if not isinstance(node.value, dict):
        raise Refused(node.key_line + 1, "has no settings", "write `name:`, `type:` … indented below it")
    if "client_id" in node.value:
        line = node.value["client_id"].key_line + 1
        raise Refused(line, "client_id: is said twice", "remove the line: the name of the block is the client_id")
    data = {**node.plain(), "client_id": client_id}
    unset: list[tuple[str, int]] = []
    if isinstance(data.get("secrets"), tuple):
        data["secrets"] = tuple(_read_secret(item, environ, unset) for item in node.value["secrets"].value)
    client = Client.model_validate(data, context={"loopback": loopback})
    if unset and client.enabled:
        return client.model_copy(update={"enabled": False}), unset
    return client, []


def _read_secret(node: Node, environ: Mapping[str, str], unset: list[tuple[str, int]]) -> dict[str, Any]:
    line = node.line + 1
    if isinstance(node.value, dict):
        data: dict[str, Any] = node.plain()
        if unknown := set(data) - {"hash", "expires"}:
            raise Refused(line, f"secrets: `{min(unknown)}` is unknown", "write `hash:` and, if it ends, `expires:`")
        if "expires" in data:
            data["expires"] = read_time(data["expires"], line)
        return data
    reference = _REFERENCE.match(node.value) if isinstance(node.value, str) else None
    if reference is None:
        # The value is not repeated: it is likely the secret itself.
        message = "secrets: this is neither a hash nor the ${NAME} of an environment variable"
        raise Refused(line, message, "never write a secret here; run `idp clients rotate-secret`")
    name = reference[1]
    if name.startswith("IDP_"):
        raise Refused(line, f"secrets: ${{{name}}} is one of our own settings", "choose another name")
    value = environ.get(name, "")
    if not value:
        unset.append((name, line))
        return {"hash": _NO_SECRET, "reference": name}
    if len(value) < SHORTEST_SECRET:
        message = f"secrets: ${{{name}}} is shorter than {SHORTEST_SECRET} characters"
        raise Refused(line, message, "make one with: openssl rand -hex 32")
    return {"hash": hash_secret(value), "reference": name}


def read_time(value: Any, line: int) -> float:
    """An ``expires`` of the file as epoch seconds.

    :raises Refused: when it is no time with its zone.
    """
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        found = None
    if found is None or found.tzinfo is None:
        raise Refused(line, "secrets: `expires` is no time with its zone", "write it like 2026-12-31T23:59:00Z")
    return found.timestamp()


# Pydantic's words for what a record can get wrong, in the words of somebody who edits the file.
_WRONG = {
    "string_type": ("must be text", "put it in quotes"),
    "bool_type": ("must be true or false", "write true or false, without quotes"),
    "int_type": ("must be a whole number", "write digits, without quotes"),
    "tuple_type": ("must be a list", "write each value on its own line after a dash, or as [a, b]"),
    "dict_type": ("must be a block of `key: value`", "write its keys indented below it"),
    "string_pattern_mismatch": ("holds a character that is not allowed, or is empty or too long", _SEE),
}


def _explain(row: Any, client_id: str, node: Node) -> tuple[int, str, str]:
    """One of pydantic's findings as line, message and remedy."""
    context = row.get("ctx", {})
    path = [context["field"]] if context.get("field") else list(row["loc"])
    place, line = node, node.key_line + 1
    for part in path:
        if isinstance(place.value, dict) and part not in place.value:
            break
        if not isinstance(place.value, dict | tuple):
            break
        place = place.value[part]
        line = place.key_line + 1
    name, kind = (str(path[0]) if path else ""), row["type"]
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(name, Client.model_fields, 1)
        return line, f"{client_id}: `{name}` is unknown", f"did you mean `{close[0]}`?" if close else "remove it"
    if kind == "missing":
        return line, f"{client_id}: `{name}` is missing", _SEE
    if kind == "refused":
        message, remedy = context["message"], context["remedy"]
    else:
        message, remedy = _WRONG.get(kind, (row["msg"][:1].lower() + row["msg"][1:], _SEE))
    return line, f"{client_id}: {name}: {message}", remedy


class Clients:
    """The relying parties of this process. Looks at most once a second whether the file was replaced."""

    def __init__(
        self,
        path: Path,
        environ: Mapping[str, str],
        *,
        loopback: bool,
        signable: Callable[[], Collection[str]] | None = None,
        last_good: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the file.

        :param environ: where ``${NAME}`` is looked up.
        :param loopback: whether the issuer is on loopback, so that clients may be too.
        :param signable: tells the algorithms that have a signing key. A file that asks for another one is not taken
            until ``idp keys rotate --alg`` has made it.
        :param last_good: where a copy of the last good file is kept, so that a worker that starts while the file is
            wrong serves the same clients as its siblings.
        :param clock: seconds that only grow.
        :raises OperatorError: with every error of the file, when there is no good copy either.
        """
        self._path, self._environ, self._loopback = path, environ, loopback
        self._signable, self._last_good, self._clock = signable, last_good, clock
        self._reading = threading.Lock()
        self._clients: Mapping[str, Client] = {}
        self._enabled: dict[str, Client] = {}
        self._stamp: Stamp | None = None
        self.problem: str | None = None
        self.warnings: tuple[Problem, ...] = ()
        self._next_look = clock() + 1
        if not self._read_anew() and not self._take_last_good():
            raise OperatorError(self.problem or "")

    def find(self, client_id: str) -> Client | None:
        """The client, unless it is unknown or not enabled."""
        self._look()
        return self._enabled.get(client_id)

    def all(self) -> Mapping[str, Client]:
        """Every client by its id, also those that are not enabled."""
        self._look()
        return self._clients

    def algorithms(self) -> frozenset[str]:
        """All algorithms that some client wants its tokens signed with; always RS256."""
        self._look()
        return self._algorithms

    def _look(self) -> None:
        now = self._clock()
        if now < self._next_look or not self._reading.acquire(blocking=False):
            return
        try:
            self._next_look = now + 1
            # A file that waits for a key is looked at again even though it did not change.
            if self.problem is not None or _find_stamp(self._path) != self._stamp:
                self._read_anew()
        finally:
            self._reading.release()

    def _read_anew(self) -> bool:
        """Whether the file could be taken."""
        before = self.problem
        # Taken before reading: a file that is replaced meanwhile is noticed at the next look.
        self._stamp = _find_stamp(self._path)
        reading = read_file(self._path, self._environ, loopback=self._loopback)
        errors = reading.errors or (reading.without_keys(self._signable()) if self._signable else [])
        self.problem = "\n".join(str(error) for error in errors) or None
        if self.problem is None:
            self._take(reading)
            self._keep_copy(reading.content)
        elif self.problem != before:
            _log.error("clients_not_read", problem=self.problem, kept=len(self._clients))
        return self.problem is None

    def _take(self, reading: Reading) -> None:
        self._clients = MappingProxyType(reading.clients)
        self._enabled = {client_id: client for client_id, client in reading.clients.items() if client.enabled}
        self._algorithms = reading.algorithms
        self.warnings = tuple(reading.problems)
        _log.info("clients_read", file=reading.file, clients=len(self._clients), enabled=len(self._enabled))
        for warning in self.warnings:
            _log.warning("client_off", problem=str(warning))

    def _take_last_good(self) -> bool:
        if self._last_good is None:
            return False
        reading = read_file(self._last_good, self._environ, loopback=self._loopback)
        if reading.errors:
            return False
        self._take(reading)
        return True

    def _keep_copy(self, content: bytes) -> None:
        if self._last_good is None:
            return
        try:
            replace(self._last_good, content)
        except OperatorError as error:
            _log.warning("clients_not_copied", problem=str(error))


def _find_stamp(path: Path) -> Stamp | None:
    try:
        return stamp(path)
    except OSError:
        return None
