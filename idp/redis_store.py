"""The only home of Redis: the client, and the functions that run in the server.

Every step of a journey is one round trip: ``call`` runs one of our functions (``redis_functions/*.lua``), which reads,
checks and writes at once, so that whatever may happen once happens once. A Redis that does not answer within two
seconds is ``Unavailable``; the next call tries anew, so nothing here needs a restart.

Nothing is sent twice: a command whose answer was lost may have been executed, and a code that is redeemed twice ends
its grant.
"""

from __future__ import annotations

import hashlib
import os
import select
import socket
import ssl
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self

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
from idp.embedded_server import PATIENCE, SOCKET, EmbeddedServer, FolderTaken, address_of, answers, socket_path
from idp.errors import Unavailable

TIMEOUT = 2.0  # seconds to connect, and to wait for an answer


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
        return RedisStore(embedded_url or address_of(config.data, SOCKET))
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
        if answers(socket_path(config.data, SOCKET)):
            return open_store(config)
        try:
            server = EmbeddedServer.start(config.data, socket_name=f"command-{os.getpid()}.sock", patience=0)
            return RedisStore(server.url, server=server)
        except FolderTaken:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)
