"""The way of a request from the HTTP server into the provider.

granian calls us for each request on the one thread of a worker's event loop (RSGI). What needs nothing but our own store is
answered there at once: threads that hand over to each other cost two or three times as much (docs/speed.md). Everything
else, all pages above all, goes through WSGI in a pool of threads, where it may wait for SQL, for a password to be hashed or
for somebody else's server. Bodies are read before that, so a slow sender holds no thread.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from io import BytesIO
from time import monotonic
from typing import TYPE_CHECKING, Any

from granian.rsgi import ProtocolClosed, ProtocolError  # type: ignore[attr-defined]  # its own names for them

from idp.machine import MAX_BODY, Answer, Request, read_request

if TYPE_CHECKING:
    from granian._granian import RSGIHTTPProtocol as HTTPProtocol
    from granian.rsgi import Scope

    from idp.app import Application

LARGEST_BODY = 640 * 1024  # bytes that are held of a body; every page has a lower limit of its own
PATIENCE = 60.0  # seconds in which a body must have come
SLOW = 0.25  # seconds: an answer that takes longer shows that the store is in trouble; a usual one takes a thousandth
SPARED = 5.0  # seconds for which the loop then answers nothing itself

_BODILESS = ("GET", "HEAD", "OPTIONS")

_Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Front:
    """An application of ours as an RSGI application, with ``threads`` threads beside the loop. ``endpoints``: whether it has the machine
    endpoints, which the admin center has not; ``patience``: see PATIENCE."""

    def __init__(self, app: Application, threads: int, *, endpoints: bool = True, patience: float = PATIENCE) -> None:
        self._app = app
        self._endpoints = app.parts.endpoints
        self._has_endpoints = endpoints
        self._trusted_proxies = app.parts.config.trusted_proxies
        self._pool = ThreadPoolExecutor(threads, "answering")
        self._patience = patience
        self._spared_until = 0.0

    def __rsgi_del__(self, _loop: asyncio.AbstractEventLoop) -> None:
        """The worker was told to stop, and has answered everybody."""
        self._pool.shutdown()
        self._app.parts.close()

    async def __call__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request."""
        method, path, headers = scope.method, scope.path, _headers(scope)
        request = None
        if self._has_endpoints and self._endpoints.serves(path):
            remote = _host_and_port(scope.client)[0]
            request = read_request(method, path, scope.query_string, headers, remote, self._trusted_proxies)
        body = b""
        if method not in _BODILESS:
            limit = LARGEST_BODY if request is None or path == "/authorize" else MAX_BODY
            try:
                body = await self._body(scope, protocol, headers, limit)
            except TimeoutError:
                protocol.response_empty(408, [])
                return
            except (ProtocolClosed, ProtocolError):  # the sender has gone, or the end cannot be made out
                protocol.response_empty(400, [])
                return
            if request is not None and request.refused is None:
                request.take(body)
        answer = None
        everything: _Wsgi = self._app.wsgi_app
        if request is not None and monotonic() >= self._spared_until and self._endpoints.is_quick(request):
            answer = self._answer_here(request)
            everything = self._app.pages  # if it is for a page after all
        if answer is None:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._pool, _through_wsgi, everything, scope, headers, body)
        protocol.response_bytes(answer.status, answer.headers, answer.body)

    def _answer_here(self, request: Request) -> Answer | None:
        started = monotonic()
        answer = self._endpoints.answer(request)
        if (now := monotonic()) - started > SLOW:
            self._spared_until = now + SPARED
        return answer

    async def _body(self, scope: Scope, protocol: HTTPProtocol, headers: dict[str, str], limit: int) -> bytes:
        """The body; nothing of one that is announced as larger than ``limit``; else at most a chunk more than ``limit``."""
        length = headers.get("content-length")  # granian has made sure that it is one number, and that no more comes
        if length is not None:
            if int(length) > limit:
                return b""
            async with asyncio.timeout(self._patience):
                return await protocol()
        if scope.http_version != "2" and "transfer-encoding" not in headers:
            return b""
        body = bytearray()
        ends = 0
        async with asyncio.timeout(self._patience):
            async for chunk in protocol:
                body += chunk
                ends += not chunk
                if len(body) > limit:
                    break
        if ends > 1 and scope.http_version != "2":
            # granian gives an empty chunk for the end, and another one for what it could not read. (Over HTTP/2 empty
            # chunks may also be sent, and one that breaks off has nobody left to read the answer.)
            raise ProtocolError
        return bytes(body)


def _headers(scope: Scope) -> dict[str, str]:
    """The headers; of a repeated one the values joined, so that whoever reads it sees that it was."""
    headers: dict[str, str] = {}
    for name, value in scope.headers.items():
        if name in headers:
            headers[name] += ("; " if name == "cookie" else ",") + value
        else:
            headers[name] = value
    if scope.http_version == "2" and scope.authority is not None:  # there it is no header, though one may be sent, too
        named = headers.setdefault("host", scope.authority)
        if named != scope.authority:
            headers["host"] = f"{scope.authority},{named}"
    return headers


def _through_wsgi(application: _Wsgi, scope: Scope, headers: dict[str, str], body: bytes) -> Answer:
    """Ask a WSGI application (PEP 3333) that writes nothing before it returns."""
    status, answered = "", []

    def start_response(line: str, given: list[tuple[str, str]], _error: object = None) -> None:
        nonlocal status, answered
        status, answered = line, given

    chunks = application(_environ(scope, headers, body), start_response)
    try:
        content = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    return Answer(int(status[:3]), answered, content)


def _environ(scope: Scope, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    environ: dict[str, Any] = {_wsgi_name(name): value for name, value in headers.items() if "_" not in name}
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    if scope.method in _BODILESS:
        environ.pop("CONTENT_LENGTH", None)
    elif body:  # else nothing was sent, or too much was announced
        environ["CONTENT_LENGTH"] = str(len(body))
    name, port = _host_and_port(scope.server)
    return environ | {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "REMOTE_ADDR": _host_and_port(scope.client)[0],
        "SERVER_NAME": name,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "HTTP_HOST": headers.get("host", ""),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


@lru_cache(maxsize=256)
def _wsgi_name(header: str) -> str:
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"


def _host_and_port(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), port
