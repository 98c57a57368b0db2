"""Settings: environment variables ``IDP_…`` (or ``IDP_…_FILE``), read once into one frozen, typed object.

Nothing else in the program reads the environment. An unknown or wrong name stops the start with the full list.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
from collections.abc import Mapping
from email.utils import getaddresses
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from idp.errors import OperatorError
from idp.files import usable
from idp.uris import BadUri, check_uri, is_host_name, is_loopback, normal_origin

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


_LISTEN = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")
# As SQLAlchemy reads it, where a password may hold what elsewhere ends a host.
_POSTGRESQL = re.compile(
    r"postgresql\+psycopg://([^:/@]*(:[^@]*)?@)?(\[[^]/?]+\]|[^][:/?@]+)?(:[0-9]{1,5})?(/[^?]*)?(\?.*)?"
)


def _is_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme == "unix":
        return not parts.netloc.rpartition("@")[2] and parts.path.startswith("/")
    # Options after a ? would be taken from here to the client unchecked, one that switches TLS checks off among them.
    return (
        parts.scheme in ("redis", "rediss")
        and bool(parts.hostname)
        and port != 0
        and re.fullmatch(r"(/[0-9]*)?", parts.path) is not None
        and not parts.query
        and not parts.fragment
    )


def _taken_apart(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def _words(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


class Config(BaseModel):
    """All settings. Durations are seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(
        description="The base of every URL that we print, and the `iss` of every token. Permanent: choose it once. https, except on loopback. No path."
    )
    data: Path = Field(Path("data"), description="Folder of the embedded database and the embedded Valkey.")
    keys: Path = Field(
        Path("keys"), description="Folder of the signing keys and of the secrets that must last. Files in it are 0600."
    )
    clients: Path | None = Field(
        None,
        description="The relying parties. Default: `clients.yaml` in the working folder, else the shipped examples.",
    )
    providers: Path | None = Field(
        None,
        description="The social providers. Default: `providers.yaml` in the working folder, else none.",
    )
    database_url: str = Field(
        "",
        description="SQL database, e.g. `postgresql+psycopg://user:password@host/idp`. Empty: embedded SQLite in IDP_DATA.",
    )
    redis_url: str = Field(
        "",
        description="Redis, e.g. `rediss://:password@host:6379/0`. Empty: an embedded Valkey in IDP_DATA, started and stopped with the provider.",
    )
    redis_ca: Path | None = Field(
        None, description="Certificate authority of a `rediss://` server that is not in the system's trust store."
    )
    listen: str = Field("127.0.0.1:8000", description="Address and port to listen on.")
    admin_center: str = Field(
        "",
        description="The base of the admin center's addresses, an origin of its own, e.g. `https://admin.example.com`. Empty: there is no admin center. clients.yaml needs the client `admin-center`, with its secret from `${ADMIN_CENTER_SECRET}`.",
    )
    admin_listen: str = Field("127.0.0.1:8001", description="Address and port on which the admin center listens.")
    workers: int = Field(1, ge=1, le=64, description="Worker processes.")
    threads: int = Field(
        80,
        ge=2,
        le=256,
        description="Most threads per worker. Waiting sign-ins hold one each; hashing itself is bounded by IDP_HASHING.",
    )
    hashing: int = Field(2, ge=1, le=64, description="Passwords hashed at the same time per worker; each takes 19 MiB.")
    tls_certificate: Path | None = Field(None, description="PEM chain, to serve TLS without a proxy in front.")
    tls_key: Path | None = Field(None, description="PEM key (PKCS#8) for IDP_TLS_CERTIFICATE.")
    trusted_proxies: Annotated[tuple[Network, ...], BeforeValidator(_words)] = Field(
        (), description="Networks whose X-Forwarded-For counts, e.g. `10.0.0.0/8`."
    )
    allowed_networks: Annotated[tuple[Network, ...], BeforeValidator(_words)] = Field(
        (),
        description="Private networks that outgoing calls may reach, e.g. `10.1.2.0/24`. Loopback and http only while the issuer itself is on loopback.",
    )
    dns_server: str = Field(
        "",
        description="Name server that is asked for the records of companies' domains, as `address:port`. Empty: the system's own.",
    )
    templates: Path | None = Field(
        None, description="Folder with your own templates; a file there replaces ours of the same name."
    )
    smtp: str = Field("", description="Mail server as `host:port`. Empty: mail waits in the outbox.")
    smtp_user: str = Field("", description="Name to log in with at the mail server.")
    smtp_password: str = Field("", repr=False, description="Password to log in with at the mail server.")
    smtp_starttls: bool = Field(True, description="Demand STARTTLS from the mail server.")
    mail_from: str = Field("", description="Sender of our mails. Default: `no-reply@` and the issuer's host.")
    support: str = Field(
        "",
        description="How people reach your support: an e-mail address or an https page. Shown beside the receipt code.",
    )
    terms_url: str = Field(
        "",
        description="Page with your terms of service, which a person accepts before an account is made for them. With IDP_PRIVACY_URL and IDP_TERMS_VERSION.",
    )
    privacy_url: str = Field("", description="Page with your privacy policy.")
    terms_version: str = Field(
        "",
        max_length=64,
        description="Which version of the terms people accept today, e.g. `2026-11`; it is kept with their account.",
    )
    breach_list: Path | None = Field(
        None,
        description="Passwords that are known from breaches, as `idp passwords build-breach-list` writes them. Default: the small list that comes with the provider.",
    )
    new_device_code: bool = Field(
        False,
        description="Ask whoever signs in with a password and no second factor in a new browser for a code that is mailed to them.",
    )
    session_idle: int = Field(8 * 3600, ge=60, description="A session without use ends after this.")
    session_lifetime: int = Field(24 * 3600, ge=60, description="A session ends after this however much it is used.")
    session_kept: int = Field(
        30 * 86400, ge=60, description="The same with “keep me signed in”; idle time does not end such a session."
    )
    jwks_max_age: int = Field(
        3600, ge=1, description="How long relying parties may cache /jwks. Rotation waits at least this long."
    )
    audit_webhook: str = Field(
        "",
        description="An https address to which the worker posts every audit event, as JSON lines. With IDP_AUDIT_WEBHOOK_SECRET.",
    )
    audit_webhook_secret: str = Field(
        "",
        repr=False,
        description="What signs the posts to IDP_AUDIT_WEBHOOK (HMAC-SHA256), at least 32 characters.",
    )
    audit_syslog: str = Field(
        "",
        description="Syslog server (RFC 5424 over TCP) to which the worker sends every audit event, as `host:port`.",
    )
    metrics_token: str = Field("", repr=False, description="Bearer token for /metrics. Empty: /metrics is off.")
    log_level: str = Field(
        "INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="How much is logged, as JSON lines to standard error.",
    )

    @field_validator("issuer")
    @classmethod
    def _issuer_is_an_origin_in_normal_form(cls, value: str) -> str:
        normal = normal_origin(value)
        if normal is None:
            raise ValueError(
                "must be scheme, host and, if it is not 443, port, such as https://login.example.com: no path, and as host "
                "a DNS name (on loopback also an address)"
            )
        if value != normal:
            raise ValueError(f"must be written in its normal form: {normal}")
        if value.startswith("http://") and not is_loopback(urlsplit(value).hostname or ""):
            raise ValueError("must be https (http is only for localhost)")
        return value

    @field_validator("admin_center")
    @classmethod
    def _admin_center_is_an_origin_in_normal_form(cls, value: str) -> str:
        if value and value != normal_origin(value):
            raise ValueError("must be an origin in its normal form, such as https://admin.example.com: no path")
        return value

    @field_validator("data", "keys", "templates")
    @classmethod
    def _folder_is_no_file(cls, value: Path | None) -> Path | None:
        if value is not None and os.path.exists(value) and not os.path.isdir(value):
            raise ValueError(f"must be a folder, and {value} is none")
        return value

    @field_validator("templates")
    @classmethod
    def _templates_are_there(cls, value: Path | None) -> Path | None:
        if value is not None and not os.path.isdir(value):
            raise ValueError(f"there is no folder {value}")
        return value

    @field_validator("redis_ca", "tls_certificate", "tls_key", "breach_list")
    @classmethod
    def _file_can_be_read(cls, value: Path | None) -> Path | None:
        if value is not None and not (os.path.isfile(value) and os.access(value, os.R_OK)):
            raise ValueError(f"there is no file {value} that this user may read")
        return value

    # What is wrong with the next two stays out of the messages: it may be the password.

    @field_validator("database_url")
    @classmethod
    def _database_is_postgresql(cls, value: str) -> str:
        if value and not _POSTGRESQL.fullmatch(value):
            raise ValueError("must be like postgresql+psycopg://user:password@host:5432/idp")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_is_redis(cls, value: str) -> str:
        if value and not _is_redis(value):
            raise ValueError("must be like redis://:password@host:6379/0, or rediss://… for TLS")
        return value

    @field_validator("listen", "admin_listen")
    @classmethod
    def _listen_is_address_and_port(cls, value: str) -> str:
        found = _LISTEN.fullmatch(value)
        if found is None or not 0 < int(found[1]) < 65536:
            raise ValueError("must be like 127.0.0.1:8000 or [::]:8000")
        return value

    @field_validator("support")
    @classmethod
    def _support_is_an_address_or_a_page(cls, value: str) -> str:
        name, _, host = value.partition("@")
        if value and not (re.fullmatch(r"[A-Za-z0-9.!#$*+=^_|~-]+", name) and is_host_name(host.lower())):
            try:
                check_uri(value, loopback=False)
            except BadUri as error:
                raise ValueError(f"must be an e-mail address or an https page; as a page it {error}") from None
        return value

    @field_validator("terms_url", "privacy_url")
    @classmethod
    def _page_is_an_https_page(cls, value: str) -> str:
        if value:
            try:
                check_uri(value, loopback=False)
            except BadUri as error:
                raise ValueError(f"must be an https page; it {error}") from None
        return value

    @field_validator("terms_version")
    @classmethod
    def _terms_version_is_one_word(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Za-z0-9._-]+", value):
            raise ValueError("must be a short word such as 2026-11")
        return value

    @field_validator("audit_webhook_secret")
    @classmethod
    def _webhook_secret_is_long(cls, value: str) -> str:
        if value and len(value) < 32:
            raise ValueError("must be at least 32 characters, such as `openssl rand -hex 32` makes")
        return value

    @field_validator("smtp", "audit_syslog")
    @classmethod
    def _server_is_host_and_port(cls, value: str) -> str:
        if value and not re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}", value):
            raise ValueError("must be host:port, such as smtp.example.com:587")
        return value

    @field_validator("dns_server")
    @classmethod
    def _dns_server_is_address_and_port(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        try:
            number = int(port) if port.isdecimal() and port.isascii() else 0
            ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
            plain = 0 < number < 65536 and host.startswith("[") == (":" in host)
        except ValueError:
            plain = False
        if value and not plain:
            raise ValueError("must be an address and a port, such as 192.0.2.53:53 or [2001:db8::53]:53")
        return value

    @field_validator("mail_from")
    @classmethod
    def _mail_from_is_one_address(cls, value: str) -> str:
        found = getaddresses([value]) if value.isprintable() else []
        if value and not (len(found) == 1 and re.fullmatch(r"[!-?A-~]+@[!-?A-~]+", found[0][1])):
            raise ValueError("must be an e-mail address, or a name and one: Example <no-reply@example.com>")
        return value

    @model_validator(mode="after")
    def _pairs_are_complete(self) -> Config:
        if self.smtp_user and not self.smtp_starttls:
            raise ValueError("IDP_SMTP_USER needs IDP_SMTP_STARTTLS, or the password would travel in clear")
        if self.admin_center and self.admin_center.partition(":")[0] != self.issuer.partition(":")[0]:
            raise ValueError("IDP_ADMIN_CENTER must be https as IDP_ISSUER is, or both http on loopback")
        if self.admin_center == self.issuer:
            raise ValueError("IDP_ADMIN_CENTER must be another origin than IDP_ISSUER")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("IDP_TLS_CERTIFICATE and IDP_TLS_KEY go together")
        if len({bool(self.terms_url), bool(self.privacy_url), bool(self.terms_version)}) > 1:
            raise ValueError("IDP_TERMS_URL, IDP_PRIVACY_URL and IDP_TERMS_VERSION go together")
        if bool(self.audit_webhook) != bool(self.audit_webhook_secret):
            raise ValueError("IDP_AUDIT_WEBHOOK and IDP_AUDIT_WEBHOOK_SECRET go together")
        if self.audit_webhook:
            try:
                check_uri(self.audit_webhook, loopback=self.on_loopback)
            except BadUri as error:
                raise ValueError(f"IDP_AUDIT_WEBHOOK must be an https address; it {error}") from None
        if self.redis_ca is not None and not self.redis_url.startswith("rediss://"):
            raise ValueError("IDP_REDIS_CA goes with an IDP_REDIS_URL that starts with rediss://")
        return self

    @property
    def secure(self) -> bool:
        """Whether the browser reaches us over TLS, so that cookies are Secure and carry the __Host- prefix."""
        return self.issuer.startswith("https://")

    @property
    def on_loopback(self) -> bool:
        """Whether the issuer itself lives on this machine: only then may http and loopback be called."""
        return is_loopback(urlsplit(self.issuer).hostname or "")

    @property
    def address(self) -> tuple[str, int]:
        """Where to listen: an address or name without brackets, and a port."""
        return _taken_apart(self.listen)

    @property
    def admin_address(self) -> tuple[str, int]:
        """The same for the admin center."""
        return _taken_apart(self.admin_listen)

    @property
    def host(self) -> str:
        """The issuer's host name, without port."""
        return urlsplit(self.issuer).hostname or ""


def read_config(environ: Mapping[str, str] | None = None) -> Config:
    """Read the settings from ``environ`` (default: the process's own).

    :raises OperatorError: with one line per unknown, missing or wrong setting.
    """
    source = os.environ if environ is None else environ
    values: dict[str, str] = {}
    problems: list[str] = []
    for name, value in source.items():
        if not name.startswith("IDP_"):
            continue
        key = name.removeprefix("IDP_").lower()
        if key.endswith("_file") and key.removesuffix("_file") in Config.model_fields:
            key = key.removesuffix("_file")
            try:
                value = Path(value).read_text(encoding="utf-8").rstrip("\n")
            except (OSError, UnicodeDecodeError) as error:
                problems.append(
                    f"{name}: cannot be read ({error.__class__.__name__}). Give the path of a readable text file."
                )
                continue
        if key in values:
            problems.append(f"{name}: given twice, directly and as a file. Keep one.")
        values[key] = value
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        problems += [
            _say(row["loc"], row["type"], row["msg"]) for row in error.errors(include_input=False, include_url=False)
        ]
    if problems:
        raise OperatorError("Settings:\n  " + "\n  ".join(sorted(problems)) + "\nAll settings: docs/settings.md")
    return config


def _say(where: tuple[int | str, ...], kind: str, message: str) -> str:
    name = "IDP_" + str(where[0]).upper() if where else "IDP_…"
    if kind == "missing":
        return f"{name}: missing. {Config.model_fields[str(where[0])].description}"
    if kind == "extra_forbidden":
        return f"{name}: no such setting."
    return f"{name}: {message.removeprefix('Value error, ')}."


def read_references() -> dict[str, str]:
    """What ``${NAME}`` in clients.yaml and providers.yaml may refer to: the environment without our own settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("IDP_")}


def share_metrics(folder: Path) -> None:
    """Let all processes started from here add up their numbers in ``folder``, emptied first: see ``metrics.py``.

    prometheus-client takes this only from the environment, and looks there when it is first imported.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with usable(folder, "IDP_DATA"):
        folder.mkdir(parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
