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

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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
    workers: int = Field(1, ge=1, le=64, description="Worker processes.")
    threads: int = Field(
        64,
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
    session_idle: int = Field(8 * 3600, ge=60, description="A session without use ends after this.")
    session_lifetime: int = Field(24 * 3600, ge=60, description="A session ends after this however much it is used.")
    session_kept: int = Field(
        30 * 86400, ge=60, description="The same with “keep me signed in”; idle time does not end such a session."
    )
    jwks_max_age: int = Field(
        3600, ge=1, description="How long relying parties may cache /jwks. Rotation waits at least this long."
    )
    metrics_token: str = Field("", repr=False, description="Bearer token for /metrics. Empty: /metrics is off.")
    log_level: str = Field(
        "INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="How much is logged, as JSON lines to standard error.",
    )

    @field_validator("issuer")
    @classmethod
    def _issuer_is_a_plain_origin(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError("must be an https URL such as https://login.example.com")
        if parts.path or parts.query or parts.fragment or parts.username is not None or value != value.strip():
            raise ValueError("must be scheme, host and port only: no path, no slash at the end")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("must be https (http is only for localhost)")
        return value

    @field_validator("smtp")
    @classmethod
    def _smtp_is_host_and_port(cls, value: str) -> str:
        if value and not re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}", value):
            raise ValueError("must be host:port, such as smtp.example.com:587")
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
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("IDP_TLS_CERTIFICATE and IDP_TLS_KEY go together")
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
    def host(self) -> str:
        """The issuer's host name, without port."""
        return urlsplit(self.issuer).hostname or ""


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


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
    """What ``${NAME}`` in clients.yaml may refer to: the environment without our own settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("IDP_")}


def share_metrics(folder: Path) -> None:
    """Let all processes started from here add up their numbers in ``folder``, emptied first: see ``metrics.py``.

    prometheus-client takes this only from the environment, and looks there when it is first imported.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
