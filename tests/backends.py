"""Real servers for tests: Redis (plain or TLS) and PostgreSQL, each in its own folder, ended with the block that started it.

A program that is missing is an error here; ``@pytest.mark.needs("redis")`` and ``needs("postgresql")`` say beforehand.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
import trustme

from tests.needs import program

PATIENCE = 90.0  # seconds for a server to answer, on a machine that is busy with other tests


def wait_until(happened: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Return as soon as ``happened``; fail with ``what`` when it does not."""
    deadline = time.monotonic() + patience
    while not happened():
        if time.monotonic() > deadline:
            raise AssertionError(f"in {patience:.0f} s it did not happen that {what}")
        time.sleep(0.005)


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RealRedis:
    """A Redis server on 127.0.0.1 that can be killed and started again, with its data."""

    folder: Path
    port: int
    password: str
    ca: Path | None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"redis{'s' if self.ca else ''}://:{self.password}@localhost:{self.port}/0"

    @property
    def environ(self) -> dict[str, str]:
        """The settings that name this server."""
        return {"IDP_REDIS_URL": self.url} | ({"IDP_REDIS_CA": str(self.ca)} if self.ca else {})

    def start(self) -> None:
        command = [program("redis-server"), "--bind", "127.0.0.1", "--dir", str(self.folder), "--appendonly", "yes"]
        command += ["--appendfsync", "always", "--save", "", "--requirepass", self.password, "--logfile", "server.log"]
        if self.ca:
            command += ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            command += ["--tls-cert-file", "server.pem", "--tls-key-file", "server.key", "--tls-ca-cert-file", "ca.pem"]
        else:
            command += ["--port", str(self.port)]
        self._process = subprocess.Popen([*ending_with_us("KILL"), *command], cwd=self.folder)
        wait_until(self._answers, f"redis-server answers on port {self.port}")

    def kill(self) -> None:
        """As a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Keep the connections and answer nothing, until ``resume``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "server.log").read_text()
        try:
            with self._wire() as wire:
                wire.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\n") < 2:
                    answer += wire.recv(64) or b"\n\n"
                return b"+PONG" in answer
        except OSError:
            return False

    def _wire(self) -> socket.socket:
        plain = socket.create_connection(("localhost", self.port), timeout=2)
        return (
            ssl.create_default_context(cafile=self.ca).wrap_socket(plain, server_hostname="localhost")
            if self.ca
            else plain
        )


@contextmanager
def running_redis(folder: Path, *, tls: bool = False) -> Iterator[RealRedis]:
    """A real Redis in ``folder`` that asks for a password; with ``tls``, a certificate of its own authority."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = None
    if tls:
        issuer = trustme.CA()
        certificate = issuer.issue_cert("localhost")
        authority = folder / "ca.pem"
        issuer.cert_pem.write_to_path(authority)
        certificate.private_key_pem.write_to_path(folder / "server.key")
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(folder / "server.pem", append=True)
    server = RealRedis(folder, free_port(), "r3al-redis-canary", authority)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass
class RealPostgres:
    """A PostgreSQL cluster; ``new_database`` makes an empty database in a fraction of a second."""

    folder: Path
    programs: Path
    port: int
    _numbers: Iterator[int] = field(default_factory=lambda: count(1), repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def new_database(self) -> str:
        """The IDP_DATABASE_URL of a database without tables."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self._address, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://idp@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        settings = (f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off")
        command = [
            str(self.programs / "postgres"),
            "-D",
            "data",
            *(word for setting in settings for word in ("-c", setting)),
        ]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*ending_with_us("INT", "postgres"), *command],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, f"postgres answers on port {self.port}")

    def stop(self) -> None:
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """As a crash would: everything ends at once, and the next start recovers."""
        self._end(signal.SIGQUIT)

    def pause(self) -> None:
        """Freeze all its processes: connections stay, new ones are not even greeted, until ``resume``."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, what: signal.Signals) -> None:
        assert self._process is not None
        below = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in [self._process.pid, *map(int, below)]:
            os.kill(pid, what)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
        try:
            psycopg.connect(self._address, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    @property
    def _address(self) -> str:
        return f"postgresql://idp@127.0.0.1:{self.port}/postgres"


@contextmanager
def running_postgres() -> Iterator[RealPostgres]:
    """A real PostgreSQL in a folder of its own, run as user postgres where we are root (it refuses root)."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    if not found:
        raise FileNotFoundError("PostgreSQL: there is no /usr/lib/postgresql/*/bin")
    folder = Path(
        tempfile.mkdtemp(prefix="idp-postgres-")
    )  # not in pytest's own folders: user postgres cannot enter them
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        words = "-D data -U idp -A trust -E UTF8 --locale=C --no-sync"
        made = subprocess.run(
            [*ending_with_us("INT", "postgres"), str(found[-1] / "initdb"), *words.split()],
            cwd=folder,
            capture_output=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr.decode()
        server = RealPostgres(folder, found[-1], free_port())
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def ending_with_us(how: str, user: str | None = None) -> list[str]:
    """What to put before a command so that it ends when the test run dies in whatever way; as ``user`` where we are root."""
    another = ["--reuid", user, "--regid", user, "--clear-groups"] if user and os.geteuid() == 0 else []
    return [program("setpriv"), "--pdeathsig", how, *another]
