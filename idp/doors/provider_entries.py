"""``providers.yaml``: at which social providers we are registered, checked strictly and read at start.

Secrets never stand in the file: it names environment variables, as clients.yaml does. A provider whose secret is not set is
left out.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import structlog

from idp.clients import Problem
from idp.clients_file import Node, Refused, parse
from idp.config import Network
from idp.doors.providers import (
    PROVIDERS,
    TENANTS,
    Provider,
    Registered,
    read_oauth2,
    read_openid_connect,
    read_openid_connect_by_claim,
)
from idp.errors import OperatorError
from idp.fetch import FetchError, check_url

LARGEST_FILE = 2**20
_log = structlog.get_logger(__name__)
_SEE = "see docs/operators/social.md"
_KEY = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
_TAKEN = {
    "company",
    "mail",
    "passkey",
    "password",
    "social",
}  # what other doors and all of this one together are called
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}\Z")
_MEMBER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\Z")
_SCOPE = re.compile(r"[!#-\[\]-~]{1,128}\Z")  # RFC 6749 section 3.3
_GUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
_ADDRESSES = ("issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "emails_endpoint")
_OPENID_CONNECT = ("protocol", "name", "issuer", "client_id", "client_secret", "scopes", "email_verified")
_OAUTH2 = (
    *("protocol", "name", "issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint"),
    *("client_id", "client_secret", "scopes", "subject", "email", "name_field"),
)


@dataclass(frozen=True)
class ProvidersReading:
    """What the file says: providers by key in its order, and what is wrong, in the order of the lines."""

    providers: dict[str, Registered]
    problems: list[Problem]

    @property
    def errors(self) -> list[Problem]:
        """The problems because of which the file cannot be taken; the others only leave their provider out."""
        return [problem for problem in self.problems if not problem.warning]

    def take(self) -> dict[str, Registered]:
        """The providers, when the file can be taken.

        :raises OperatorError: with every error of the file.
        """
        if self.errors:
            raise OperatorError("\n".join(map(str, self.errors)))
        for warning in self.problems:
            _log.warning("provider_left_out", problem=str(warning))
        return self.providers


def read_providers(
    path: Path,
    references: Mapping[str, str],
    *,
    loopback: bool,
    own_issuer: str = "",
    allowed: Sequence[Network] = (),
    known: Mapping[str, Provider] = PROVIDERS,
) -> ProvidersReading:
    """Read and check the file.

    :param references: where ``${NAME}`` is looked up.
    :param loopback: whether our own issuer is on loopback, which alone permits http and loopback addresses.
    :param own_issuer: no provider may be called so: what it says of its people would be taken for accounts of ours.
    :param allowed: private networks that may be reached.
    :param known: the providers of which an entry needs to say nothing but who we are there.
    """
    file = str(path)
    try:
        entries = _read_entries(path)
    except OSError as error:
        message = f"the file cannot be read ({error.strerror})"
        return ProvidersReading({}, [Problem(file, 1, message, "give a readable file as IDP_PROVIDERS")])
    except Refused as refused:
        return ProvidersReading({}, [Problem(file, refused.line, refused.message, refused.remedy)])
    found: dict[str, Registered] = {}
    problems: list[Problem] = []
    issuers = {_spelled(own_issuer): "IDP_ISSUER"} | {_spelled(one.issuer): key for key, one in known.items()}
    for key, node in entries.items():
        entry = _Entry(key, node, references, loopback, allowed)
        try:
            registered = _read_entry(entry, known)
            other = issuers.setdefault(_spelled(registered.provider.issuer), key)
            if other != key:
                entry.refuse("issuer", f"is that of `{other}`", f"keep one of them; {_SEE}")
        except Refused as refused:
            problems.append(Problem(file, refused.line, f"{key}: {refused.message}", refused.remedy))
            continue
        for name, line in entry.unset:
            message, remedy = f"{key}: is left out, because ${{{name}}} is not set", f"set {name} and start again"
            problems.append(Problem(file, line, message, remedy, warning=True))
        if not entry.unset:
            found[key] = registered
    return ProvidersReading(found, problems)


def _read_entries(path: Path) -> dict[str, Node]:
    content = path.read_bytes()
    if len(content) > LARGEST_FILE:
        raise Refused(1, "the file is larger than 1 MiB", "remove what is not needed")
    try:
        root = parse(content.decode("utf-8"), first="providers")
    except UnicodeDecodeError as error:
        raise Refused(content.count(b"\n", 0, error.start) + 1, "this is not UTF-8", "save the file as UTF-8") from None
    if not isinstance(root.value, dict) or set(root.value) != {"providers"}:
        raise Refused(
            root.line + 1, "there must be `providers:` and nothing beside it", "begin the file with `providers:`"
        )
    entries = root.value["providers"].value
    if not isinstance(entries, dict) or not entries:
        raise Refused(root.line + 1, "no provider is listed", "write one, such as google, indented below it")
    return entries


class _Entry:
    """One entry: its values, each checked where it is taken, with the line of what is wrong."""

    def __init__(
        self, key: str, node: Node, references: Mapping[str, str], loopback: bool, allowed: Sequence[Network]
    ) -> None:
        self.key, self._node = key, node
        self._references, self._loopback, self._allowed = references, loopback, allowed
        self.unset: list[tuple[str, int]] = []  # names of environment variables, with their lines
        self.line = node.key_line + 1

    def refuse(self, name: str, message: str, remedy: str) -> NoReturn:
        """Say what is wrong with one setting.

        :raises Refused: always.
        """
        node = self._node.value.get(name) if isinstance(self._node.value, dict) else None
        raise Refused(self.line if node is None else node.key_line + 1, f"{name}: {message}", remedy)

    def check_names(self, names: Sequence[str]) -> None:
        """Only these settings may be there."""
        if not isinstance(self._node.value, dict):
            raise Refused(self.line, "has no settings", "write `client_id:` … indented below it")
        for name, node in self._node.value.items():
            if name not in names:
                close = difflib.get_close_matches(name, names, 1)
                remedy = f"did you mean `{close[0]}`?" if close else f"remove it; {_SEE}"
                raise Refused(node.key_line + 1, f"`{name}` is unknown", remedy)

    def has(self, name: str) -> bool:
        """Whether the entry says it."""
        return isinstance(self._node.value, dict) and name in self._node.value

    def text(self, name: str, default: str | None = None) -> str:
        """One line of text. A whole number counts as its digits, as some providers number their clients."""
        if not self.has(name):
            if default is None:
                raise Refused(self.line, f"`{name}` is missing", _SEE)
            return default
        value = self._node.value[name].value
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > 2048:
            self.refuse(name, "must be text, on one line", "put it in quotes")
        return str(value)

    def matching(self, name: str, pattern: re.Pattern[str], what: str, default: str | None = None) -> str:
        """Text of one form."""
        value = self.text(name, default)
        if not pattern.match(value):
            self.refuse(name, f"must be {what}", _SEE)
        return value

    def choice(self, name: str, choices: Sequence[str], default: str | None = None) -> str:
        """One of several words."""
        value = self.text(name, default)
        if value not in choices:
            self.refuse(name, f"must be one of {', '.join(choices)}", _SEE)
        return value

    def secret(self, name: str) -> str:
        """What the environment variable holds that is named; empty when it is not set."""
        reference = _REFERENCE.match(self.text(name))
        if reference is None:
            # The value is not repeated: it is likely the secret itself.
            message = "this is not the ${NAME} of an environment variable"
            self.refuse(name, message, "never write a secret here; put it into the environment")
        variable = reference[1]
        if variable.startswith("IDP_"):
            self.refuse(name, f"${{{variable}}} is one of our own settings", "choose another name")
        value = self._references.get(variable, "")
        if not value:
            self.unset.append((variable, self._node.value[name].key_line + 1))
        return value

    def address(self, name: str, default: str | None = None) -> str:
        """A URL that we, or the browser, may call."""
        value = self.text(name, default)
        try:
            plain = re.sub(r"\{tenant(id)?\}", "common", value)
            check_url(plain, loopback=self._loopback, allowed=self._allowed)
        except FetchError as error:
            self.refuse(name, f"cannot be called: {error.detail}", "write an https URL with a host name")
        if name == "issuer" and "?" in value:
            self.refuse(name, "has a query", "write it as the provider's documentation does")
        return value

    def scopes(self, default: tuple[str, ...]) -> tuple[str, ...]:
        """A list of scopes."""
        if not self.has("scopes"):
            return default
        value = self._node.value["scopes"].plain()
        if not isinstance(value, tuple) or not all(isinstance(item, str) and _SCOPE.match(item) for item in value):
            self.refuse("scopes", "must be a list of scopes", "write them as [a, b]")
        return tuple(value)


def _read_entry(entry: _Entry, known: Mapping[str, Provider]) -> Registered:
    if not _KEY.match(entry.key) or entry.key in _TAKEN:
        remedy = "choose a short name of a-z, 0-9 and -, other than " + ", ".join(sorted(_TAKEN))
        raise Refused(entry.line, "cannot be the name of a provider", remedy)
    if entry.key in known:
        return _read_known(entry, known[entry.key])
    if not entry.has("protocol"):
        close = difflib.get_close_matches(entry.key, known, 1)
        remedy = f"did you mean `{close[0]}`?" if close else "write `protocol:` openid_connect or oauth2"
        raise Refused(entry.line, "is none of the providers that we know, and has no `protocol`", remedy)
    if entry.choice("protocol", ("openid_connect", "oauth2")) == "openid_connect":
        return _read_openid_connect(entry)
    return _read_oauth2(entry)


def _read_known(entry: _Entry, provider: Provider) -> Registered:
    """A provider whose addresses are known; each may be replaced, as for GitHub Enterprise and national clouds."""
    signs = provider.client_authentication == "signed_jwt"
    tenants = "{tenant}" in provider.token_endpoint
    addresses = [name for name in _ADDRESSES if getattr(provider, name)]
    who = ("client_id", "team_id", "key_id", "private_key") if signs else ("client_id", "client_secret")
    entry.check_names([*who, *(["tenant"] if tenants else []), *addresses])
    tenant = entry.text("tenant", "common") if tenants else ""
    if tenants and tenant not in TENANTS and not _GUID.fullmatch(tenant):
        entry.refuse("tenant", f"must be {', '.join(TENANTS)} or the id of a tenant, in lower case", _SEE)
    changes: dict[str, Any] = {name: entry.address(name, getattr(provider, name)) for name in addresses}
    for name in addresses:
        if name != "issuer":
            changes[name] = changes[name].replace("{tenant}", tenant)
    return Registered(
        replace(provider, **changes),
        entry.text("client_id"),
        _read_private_key(entry) if signs else entry.secret("client_secret"),
        team_id=entry.text("team_id") if signs else "",
        key_id=entry.text("key_id") if signs else "",
        tenant=tenant,
    )


def _read_private_key(entry: _Entry) -> str:
    r"""Apple's .p8 file, whose line ends an environment may hold as \n."""
    pem = entry.secret("private_key").replace("\\n", "\n")
    if pem:
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key: object = load_pem_private_key(pem.encode(), None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            entry.refuse("private_key", "is not a P-256 key in PEM", "give the content of the .p8 file from Apple")
    return pem


def _read_openid_connect(entry: _Entry) -> Registered:
    """A provider that tells all else itself (OpenID Connect Discovery)."""
    entry.check_names(_OPENID_CONNECT)
    scopes = entry.scopes(("openid", "email", "profile"))
    if "openid" not in scopes:
        entry.refuse("scopes", "lacks openid", "add it")
    trusted = entry.choice("email_verified", ("by_claim", "never"), "never") == "by_claim"
    provider = Provider(
        key=entry.key,
        name=_read_name(entry),
        protocol="openid_connect",
        issuer=entry.address("issuer"),
        read=read_openid_connect_by_claim if trusted else read_openid_connect,
        scopes=scopes,
        silent={"prompt": "none"},
        fresh={"prompt": "login", "max_age": "0"},
        hints=True,
        locales=True,
    )
    return Registered(provider, entry.text("client_id"), entry.secret("client_secret"))


def _read_oauth2(entry: _Entry) -> Registered:
    """A provider that says who somebody is in an answer of its own form."""
    entry.check_names(_OAUTH2)
    what = "the name of a member of the userinfo answer"
    read = read_oauth2(
        entry.matching("subject", _MEMBER, what),
        entry.matching("email", _MEMBER, what, "email"),
        entry.matching("name_field", _MEMBER, what, "name"),
    )
    token_endpoint = entry.address("token_endpoint")
    provider = Provider(
        key=entry.key,
        name=_read_name(entry),
        protocol="oauth2",
        issuer=entry.address("issuer", "/".join(token_endpoint.split("/", 3)[:3])),
        read=read,
        scopes=entry.scopes(()),
        authorization_endpoint=entry.address("authorization_endpoint"),
        token_endpoint=token_endpoint,
        userinfo_endpoint=entry.address("userinfo_endpoint"),
        nonce=False,
    )
    return Registered(provider, entry.text("client_id"), entry.secret("client_secret"))


def _read_name(entry: _Entry) -> str:
    name = entry.text("name").strip()
    if len(name) > 60:
        entry.refuse("name", "is longer than 60 characters", "write what people call the provider")
    return name


def _spelled(issuer: str) -> str:
    """What two spellings of one issuer have in common; one tenant of Microsoft's is Microsoft."""
    return _GUID.sub("{tenantid}", issuer.lower()).rstrip("/")
