"""A provider as an operator runs it: ``idp serve`` in a process of its own, on either pair of stores, also over TLS.

Its log, at DEBUG, goes to where the canaries are looked for.
"""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import requests
import trustme

from idp.config import Config, read_config
from tests import canaries
from tests.backends import free_port, wait_until
from tests.journey import PASSWORD
from tests.registrations import CLIENTS, REFERENCES

_number = count(1)


@dataclass(frozen=True)
class Family:
    """The processes below ``idp serve``: those that answer, the background work, the embedded server if there is one."""

    workers: tuple[int, ...]
    background: tuple[int, ...]
    store: tuple[int, ...]

    @property
    def all(self) -> tuple[int, ...]:
        return self.workers + self.background + self.store


@dataclass
class Provider:
    """A running provider. ``ca`` is the file of the authority that signed its certificate, if it serves TLS."""

    folder: Path
    issuer: str
    port: int
    environ: dict[str, str]
    log: Path
    ca: Path | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """Where it listens, for clients that resolve no names of tests."""
        return f"{urlsplit(self.issuer).scheme}://127.0.0.1:{self.port}"

    def start(self, *, wait: bool = True) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "idp", "serve"], cwd=self.folder, env=self.environ, stdout=output, stderr=output
            )
        if wait:
            wait_until(self.is_ready, f"the provider is ready; {self.log}")

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text(errors="replace")[-3000:]
        try:
            return self.get("/health/ready").status_code == 200
        except requests.ConnectionError:
            return False

    def listens(self) -> bool:
        """Whether somebody listens on its port; asked of the kernel, because connecting to a port of one's own can succeed."""
        rows = (row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return any(int(row[1][-4:], 16) == self.port and row[3] == "0A" for row in rows)

    def get(self, path: str, **options: object) -> requests.Response:
        """One request without cookies, past every name: straight to the port."""
        return requests.get(self.address + path, verify=str(self.ca) if self.ca else True, timeout=10, **options)  # type: ignore[arg-type] # passed through

    def idp(self, *arguments: str, given: str | None = None) -> str:
        """Run an ``idp`` command beside it; return what it printed."""
        done = self.run(*arguments, given=given)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def run(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """The same for a command that may refuse."""
        return subprocess.run(
            [sys.executable, "-m", "idp", *arguments],
            cwd=self.folder,
            env=self.environ,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )

    def family(self) -> Family:
        """Who lives now. What leads a session of its own is no worker."""
        assert self.process is not None
        found: dict[str, list[int]] = {"workers": [], "background": [], "store": []}
        for pid in _children(self.process.pid):
            if is_alive(pid):
                leads = os.getsid(pid) == pid
                program = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0", 1)[0]
                kind = "workers" if not leads else "background" if b"python" in program else "store"
                found[kind].append(pid)
        return Family(*(tuple(found[kind]) for kind in ("workers", "background", "store")))

    @property
    def config(self) -> Config:
        """Its settings, for looking at its stores from here."""
        folders = {"IDP_DATA": str(self.folder / "data"), "IDP_KEYS": str(self.folder / "keys")}
        return read_config({**self.environ, **folders, "IDP_CLIENTS": str(self.folder / "clients.yaml")})

    def add_person(self, email: str, name: str = "Carol Example", password: str = PASSWORD) -> None:
        self.idp("people", "add", email, "--name", name, "--password-stdin", given=password)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None


def is_alive(pid: int) -> bool:
    """Whether a process does anything still; one that only waits for its parent to notice its end does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def _children(pid: int) -> list[int]:
    return [int(word) for task in Path(f"/proc/{pid}/task").glob("*/children") for word in task.read_text().split()]


@contextmanager
def running_provider(
    folder: Path,
    *,
    name: str = "localhost",
    tls: trustme.CA | None = None,
    clients: str = CLIENTS,
    references: Mapping[str, str] = REFERENCES,
    stores: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
    keys: Path | None = None,
) -> Iterator[Provider]:
    """Start a provider in ``folder`` and stop it at the end.

    ``name``: the issuer's host (with ``tls`` any name, without it loopback); ``stores``: the settings of a PostgreSQL and a
    Redis, empty for the embedded pair; ``keys``: a folder with keys to copy, which saves making them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    issuer = f"{'https' if tls else 'http'}://{name}:{port}"
    (folder / "clients.yaml").write_text(clients, encoding="utf-8")
    if keys is not None:
        shutil.copytree(keys, folder / "keys")
    environ = {
        "PATH": os.environ.get("PATH", os.defpath),
        "IDP_ISSUER": issuer,
        "IDP_LISTEN": f"127.0.0.1:{port}",
        "IDP_LOG_LEVEL": "DEBUG",
        "IDP_SUPPORT": "help@login.example",
        **references,
        **(stores or {}),
        **(settings or {}),
    }
    ca = None
    if tls is not None:
        ca = folder / "ca.pem"
        tls.cert_pem.write_to_path(ca)
        certificate = tls.issue_cert(name, "127.0.0.1")
        certificate.private_key_pem.write_to_path(folder / "tls.key")
        chain = folder / "tls.pem"
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(chain, append=True)
        _as_pkcs8(folder / "tls.key")
        environ |= {"IDP_TLS_CERTIFICATE": str(chain), "IDP_TLS_KEY": str(folder / "tls.key")}
    log = canaries.folder() / f"provider-{os.getpid()}-{next(_number)}.log"
    provider = Provider(folder, issuer, port, environ, log, ca)
    provider.start()
    try:
        yield provider
    finally:
        provider.stop()


def _as_pkcs8(key: Path) -> None:
    """granian reads keys only in this form."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    private = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def trusting(provider: Provider) -> ssl.SSLContext:
    """A TLS context that trusts the provider's authority."""
    return ssl.create_default_context(cafile=str(provider.ca))
