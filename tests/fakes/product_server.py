"""A product's HTTPS server that records what it is asked, and answers as a test tells it: also slowly, or never."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import trustme

NAME = "rp.example"


@dataclass(frozen=True)
class Asked:
    """One request."""

    line: str
    headers: dict[str, str]
    body: bytes
    server_name: str | None
    tls: str | None  # the version, as ssl names it


@dataclass
class ProductServer:
    """``answer`` writes the whole answer to a request; ``released`` is set when the test is over, so that it may hang."""

    port: int
    answer: Callable[[Asked, Callable[[bytes], None]], None]
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/", name: str = NAME) -> str:
        return f"https://{name}:{self.port}{path}"


def reply(status: int = 200, body: bytes = b"", **headers: str) -> Callable[[Asked, Callable[[bytes], None]], None]:
    """An answer as it should be."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} said so\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode()
    return lambda _, write: write(head + body)


@contextmanager
def product_server(authority: trustme.CA | None, *names: str, address: str = "127.0.0.1") -> Iterator[ProductServer]:
    """A server on loopback with a certificate for ``names`` (default: rp.example); without ``authority``: plain HTTP."""
    listening = socket.create_server((address, 0))
    server = ProductServer(listening.getsockname()[1], reply())
    tls, asked_for = None, threading.local()
    if authority is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*(names or (NAME,))).configure_cert(tls)

        def note(_: object, name: str, __: object) -> None:
            asked_for.name = name

        tls.sni_callback = note

    def serve(plain: socket.socket) -> None:
        asked_for.name = None
        # A caller that hangs up early, or does not trust us, is what many tests are about.
        with suppress(OSError), plain:
            wire = tls.wrap_socket(plain, server_side=True) if tls else plain
            with wire, wire.makefile("rb") as lines:
                first = lines.readline().decode().strip()
                headers = {}
                while line := lines.readline().strip():
                    name, _, value = line.decode().partition(": ")
                    headers[name.lower()] = value
                body = lines.read(int(headers.get("content-length", 0)))
                version = wire.version() if isinstance(wire, ssl.SSLSocket) else None
                request = Asked(first, headers, body, asked_for.name, version)
                server.asked.append(request)
                server.answer(request, wire.sendall)

    def listen() -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            server.connections += 1
            thread = threading.Thread(target=serve, args=(plain,), daemon=True)
            threads.append(thread)
            thread.start()

    threads: list[threading.Thread] = []
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield server
    finally:
        server.released.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        listener.join()
        for thread in threads:
            thread.join(10)
