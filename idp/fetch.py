"""The only way out by HTTP, for addresses that other people chose: back-channel logout, a client's keys (RG-05, LO-07),
and for those that operators chose: social providers.

The name is resolved once, every address it has must be allowed, and the call goes to that very address under the name's
own certificate: a name that answers differently the second time changes nothing. Redirects are not followed, the proxy
settings of the environment do not count, and one deadline bounds everything from the name to the last byte.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from idp.config import Config, Network
from idp.errors import IdpError
from idp.uris import is_host_name

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Sequence[str]]  # host name and port in, addresses as text out; OSError: no such name

CONNECT_SECONDS = 2.0
TOTAL_SECONDS = 5.0
ADDRESSES_TRIED = 4

# The only part of IPv6 that is given out to the public (IANA's registry of IPv6 address space).
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# What Python's is_global lets pass, in some of its versions, although it is set aside: protocol assignments, 6to4 and
# Teredo (which carry an IPv4 address that nobody has looked at), documentation.
SET_ASIDE = [
    ipaddress.ip_network(network)
    for network in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20")
]


class FetchError(IdpError):
    """The call was refused by our own rules (``outgoing_refused``) or did not succeed (``outgoing_failed``)."""

    status = 502

    @property
    def refused(self) -> bool:
        """Whether our rules forbid the address, so that trying again is of no use."""
        return self.reason == "outgoing_refused"


@dataclass(frozen=True)
class Target:
    """A URL that may be called, taken apart. ``path`` holds the query too."""

    secure: bool
    host: str
    port: int
    path: str


@dataclass(frozen=True)
class Answer:
    """What came back: redirects and errors are answers too. Of its headers only the type of the body is of interest."""

    status: int
    content_type: str
    body: bytes


def check_url(url: str, *, loopback: bool, allowed: Sequence[Network] = ()) -> Target:
    """Check a URL before it is stored and before it is called; names are only resolved when it is called.

    :param loopback: whether our own issuer is on loopback, which alone permits http and loopback addresses.
    :param allowed: private networks that may be reached (IDP_ALLOWED_NETWORKS).
    :raises FetchError: ``outgoing_refused``, with what is wrong in ``detail``.
    """
    if not re.fullmatch(r"[!-~]{1,2048}", url) or "\\" in url:
        raise _refused("a character that no URL has, or longer than 2048")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("not a URL") from None
    if parts.scheme not in (("https", "http") if loopback else ("https",)):
        raise _refused("not https")
    if "@" in parts.netloc or "#" in url:
        raise _refused("a user name or a fragment in the URL")
    if port == 0 or parts.netloc.endswith(":"):
        raise _refused("not a port")
    literal = _literal(host)
    # is_host_name also refuses what some resolver reads as IPv4: 2130706433, 0x7f.1, 017700000001.
    if parts.netloc.startswith("[") != isinstance(literal, ipaddress.IPv6Address) or not (
        literal or is_host_name(host)
    ):
        raise _refused("neither a host name nor an address in its usual form")
    target = Target(
        secure=parts.scheme == "https",
        host=host,
        port=port or (443 if parts.scheme == "https" else 80),
        path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )
    if literal is not None:
        _check_address(literal, target, loopback, allowed)
    return target


def system_resolver(host: str, port: int) -> Sequence[str]:
    """The addresses of a host name, as this machine resolves names."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in found))


class Fetcher:
    """Calls out under the rules above. ``tls`` (default: the system's authorities) says whom to trust."""

    def __init__(self, config: Config, resolver: Resolver = system_resolver, tls: ssl.SSLContext | None = None) -> None:
        self._loopback = config.on_loopback
        self._allowed = config.allowed_networks
        self._resolver = resolver
        self._tls = tls or ssl.create_default_context()

    def check(self, url: str) -> None:
        """Whether a URL may be called, so far as that can be told before its name is resolved.

        :raises FetchError: ``outgoing_refused``.
        """
        check_url(url, loopback=self._loopback, allowed=self._allowed)

    def post(self, url: str, form: Mapping[str, str], seconds: float = TOTAL_SECONDS) -> int:
        """POST a form. Returns the HTTP status, also of a redirect or an error; the answer's body is not read.

        :raises FetchError: refused, or no answer in time.
        """
        body = urlencode(form).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "*/*"}
        return self._call("POST", url, body, headers, limit=0, seconds=seconds).status

    def get(self, url: str, limit: int, seconds: float = TOTAL_SECONDS) -> tuple[int, bytes]:
        """GET what is there: the HTTP status, also of a redirect or an error, and the body's first ``limit`` bytes.

        :raises FetchError: refused, or no answer in time.
        """
        answer = self._call("GET", url, None, {"Accept": "*/*"}, limit=limit, seconds=seconds)
        return answer.status, answer.body

    def send(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None, *, limit: int, seconds: float
    ) -> Answer:
        """One request as a client library has made it (requests_transport.py), answered with at most ``limit`` bytes.

        :raises FetchError: refused, no answer in time, or too long.
        """
        answer = self._call(method, url, body, headers, limit=limit + 1, seconds=seconds)
        if len(answer.body) > limit:
            raise FetchError("outgoing_failed", detail=f"longer than {limit} bytes")
        return answer

    def get_json(self, url: str, limit: int = 64 * 1024, seconds: float = TOTAL_SECONDS) -> Any:
        """GET a JSON document of at most ``limit`` bytes.

        :raises FetchError: refused, no answer in time, a status other than 200, too long, or not JSON.
        """
        answer = self.send("GET", url, {"Accept": "application/json"}, None, limit=limit, seconds=seconds)
        if answer.status != 200:
            raise FetchError("outgoing_failed", detail=f"status {answer.status}")
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError):
            raise FetchError("outgoing_failed", detail="not JSON") from None

    def _call(
        self, method: str, url: str, body: bytes | None, headers: dict[str, str], *, limit: int, seconds: float
    ) -> Answer:
        target = check_url(url, loopback=self._loopback, allowed=self._allowed)
        ends = time.monotonic() + seconds
        addresses = self._resolve(target, seconds)
        connection = _Connection(target, addresses, self._tls, ends)
        watch = threading.Timer(max(0.0, ends - time.monotonic()), connection.cut)
        watch.daemon = True
        watch.start()
        try:
            connection.request(method, target.path, body, {**headers, "User-Agent": "idp", "Connection": "close"})
            with connection.getresponse() as response:
                content = response.read(limit) if limit else b""
        except (OSError, http.client.HTTPException) as error:
            late = connection.was_cut or time.monotonic() >= ends
            # What is not HTTP is not quoted: it may be our own request, with its secrets.
            said = error.__class__.__name__ + (f": {error}" if isinstance(error, OSError) else "")
            detail = "the deadline passed" if late else said
            raise FetchError("outgoing_failed", detail=detail) from error
        finally:
            watch.cancel()
            connection.close()
        if connection.was_cut:  # a cut body reads like one that has ended
            raise FetchError("outgoing_failed", detail="the deadline passed")
        return Answer(response.status, response.getheader("Content-Type") or "", content)

    def _resolve(self, target: Target, seconds: float) -> list[str]:
        """The addresses to try. One that is forbidden forbids all: an honest name has none beside its public ones."""
        literal = _literal(target.host)
        if literal is not None:
            return [str(literal)]
        answers: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._resolver(target.host, target.port))
            except (OSError, UnicodeError) as error:
                answers.put(error)

        # The system's resolver knows no deadline, so it is asked beside us.
        threading.Thread(target=ask, daemon=True, name="resolve").start()
        try:
            answer = answers.get(timeout=seconds)
        except queue.Empty:
            raise FetchError("outgoing_failed", detail="the name was not resolved in time") from None
        if isinstance(answer, Exception) or not answer:
            raise FetchError("outgoing_failed", detail="the name does not resolve")
        for address in answer:
            _check_address(ipaddress.ip_address(address), target, self._loopback, self._allowed)
        return list(answer)[:ADDRESSES_TRIED]


class _Connection(http.client.HTTPConnection):
    """One request to a pinned address. Host header, SNI and certificate are those of the name."""

    def __init__(self, target: Target, addresses: Sequence[str], tls: ssl.SSLContext, ends: float) -> None:
        self.default_port = 443 if target.secure else 80  # otherwise :443 would stand in the Host header
        super().__init__(target.host, target.port)
        self._target = target
        self._addresses = addresses
        self._tls = tls
        self._ends = ends
        # Also when self.sock is None: an answer that ends with its connection takes the socket along to be read.
        self._wire: socket.socket | None = None
        self.was_cut = False

    def connect(self) -> None:
        last: OSError = TimeoutError("no time left")
        for address in self._addresses:
            left = self._ends - time.monotonic()
            if left <= 0 or self.was_cut:
                break
            try:
                plain = socket.create_connection((address, self.port), min(CONNECT_SECONDS, left))
            except OSError as error:
                last = error
                continue
            plain.settimeout(max(0.01, self._ends - time.monotonic()))
            self.sock = self._wire = plain
            if self._target.secure:
                # Known as self.sock before the handshake, so that the deadline can cut that too.
                secure = self._tls.wrap_socket(plain, server_hostname=self.host, do_handshake_on_connect=False)
                self.sock = self._wire = secure
                secure.do_handshake()
            return
        raise last

    def cut(self) -> None:
        """End the call from the watching thread: whatever it waits for ends at once."""
        self.was_cut = True
        with suppress(OSError):
            # The plain socket's method: the one of SSLSocket would take the TLS state away from under the reader.
            if self._wire is not None:
                socket.socket.shutdown(self._wire, socket.SHUT_RDWR)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _check_address(address: Address, target: Target, loopback: bool, allowed: Sequence[Network]) -> None:
    if address.is_loopback:
        if not loopback:
            raise _refused("loopback")
        return
    if not target.secure:
        raise _refused("http outside loopback")
    if address.is_multicast or address.is_unspecified or address.is_link_local:
        raise _refused("multicast, unspecified or link-local address")
    public = address.is_global and not address.is_reserved
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped or address.scope_id:
            raise _refused("IPv4-mapped or scoped address")
        public = public and address in GLOBAL_UNICAST
    if any(address in network for network in SET_ASIDE):
        public = False
    if not public and not any(address in network for network in allowed):
        raise _refused("not a public address, and not in IDP_ALLOWED_NETWORKS")


def _refused(what: str) -> FetchError:
    return FetchError("outgoing_refused", detail=what)
