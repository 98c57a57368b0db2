"""A relying party over the network, towards a provider that runs in processes of its own; and many requests at once."""

from __future__ import annotations

import base64
import http.client
import secrets
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit

import requests

from idp.accounts.identity import read_address
from idp.accounts.lifecycle import create_account
from idp.accounts.passwords import PasswordHasher
from idp.database import Database
from tests import canaries
from tests.backends import wait_until
from tests.journey import PASSWORD, challenge_of
from tests.registrations import SECRET
from tests.running import Provider

REDIRECT_URI = "https://rp1.example/cb"


@dataclass(frozen=True)
class Reply:
    """What came back over a socket."""

    status: int
    headers: dict[str, str]
    text: str


@dataclass(frozen=True)
class Party:
    """A confidential client at one provider, C1 if nothing else is said. Every URL of it has the same PKCE verifier, so that any code can be redeemed."""

    provider: Provider
    client_id: str = "C1"
    secret: str = SECRET
    redirect_uri: str = REDIRECT_URI
    scope: str = "openid email offline_access"
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def basic(self) -> dict[str, str]:
        """Client authentication by HTTP Basic (RFC 6749 section 2.3.1)."""
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.secret)}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def url(self, **changes: str) -> str:
        asked = {
            "client_id": self.client_id,
            "response_type": "code",
            "scope": self.scope,
            "redirect_uri": self.redirect_uri,
            "state": "s1",
            "nonce": "n1",
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
        }
        return "/authorize?" + urlencode(asked | changes)

    def code_form(self, code: str) -> dict[str, str]:
        return {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
        }

    @staticmethod
    def refresh_form(token: str) -> dict[str, str]:
        return {"grant_type": "refresh_token", "refresh_token": token}

    def post(self, path: str, form: Mapping[str, str]) -> requests.Response:
        """A form, with our client authentication."""
        address = self.provider.address + path
        response = requests.post(address, data=form, headers=self.basic, timeout=30)
        canaries.register_answer(response.headers, response.text)
        return response

    def redeem(self, code: str) -> requests.Response:
        return self.post("/token", self.code_form(code))

    def refresh(self, token: str) -> requests.Response:
        return self.post("/token", self.refresh_form(token))

    def userinfo(self, access_token: str) -> requests.Response:
        return self.provider.get("/userinfo", headers={"Authorization": f"Bearer {access_token}"})

    def is_active(self, token: str) -> bool:
        return bool(self.post("/introspect", {"token": token}).json()["active"])


def answer_of(location: str) -> dict[str, str]:
    """The authorization response in an address that a browser was sent to."""
    assert location.startswith("https://"), location
    canaries.register_answer({"Location": location}, "")
    return dict(parse_qsl(urlsplit(location).query))


def add_people(provider: Provider, *emails: str) -> list[str]:
    """Accounts with PASSWORD, written beside the running provider; return their ids."""
    import time

    config = provider.config
    password_hash = PasswordHasher(1, 1).hash(PASSWORD)
    database = Database(config)
    made = []
    with database.transaction() as db:
        for email in emails:
            account = create_account(
                db,
                read_address(email),
                claims={"name": "Carol Example"},
                verified=True,
                password_hash=password_hash,
                actor="operator:test",
                now=time.time(),
                random=secrets.token_bytes,
            )
            made.append(account.id)
    database.close()
    return made


def form_request(provider: Provider, path: str, form: Mapping[str, str], **headers: str) -> bytes:
    """A POST in bytes."""
    body = urlencode(form)
    lines = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(body)), **headers}
    return _head(provider, "POST", path, lines) + body.encode()


def page_request(provider: Provider, path: str, **headers: str) -> bytes:
    """A GET in bytes."""
    return _head(provider, "GET", path, headers)


def _head(provider: Provider, method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = {"Host": urlsplit(provider.issuer).netloc, "Connection": "close", **headers}
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{text}\r\n".encode()


def at_once(provider: Provider, wanted: Sequence[bytes], then: Callable[[], object] = lambda: None) -> list[Reply]:
    """Send requests so that they are complete in the same moment, and wait for all answers.

    Each has its connection, which a worker has accepted and on which all but the last byte has arrived. Every worker
    has some of them: connections to a worker that has none are made anew. ``then`` runs right after the last byte.
    """
    with ExitStack() as stack:
        while True:
            sockets = [
                stack.enter_context(socket.create_connection(("127.0.0.1", provider.port), timeout=60)) for _ in wanted
            ]
            for line, request in zip(sockets, wanted, strict=True):
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                line.sendall(request[:-1])
            ports = {line.getsockname()[1] for line in sockets}
            wait_until(lambda here=ports: sum(_accepted(provider, here).values()) == len(here), "all are accepted")  # type: ignore[misc] # a default is bound at once
            workers = provider.family().workers
            if len(wanted) < 4 * len(workers) or set(_accepted(provider, ports)) == set(workers):
                break
            stack.pop_all().close()
        for line, request in zip(sockets, wanted, strict=True):
            line.sendall(request[-1:])
        then()
        return [_read(line) for line in sockets]


def _read(line: socket.socket) -> Reply:
    response = http.client.HTTPResponse(line)
    response.begin()
    # Of a header that is given twice, as Set-Cookie is, all values.
    headers = {name: response.getheader(name, "") for name, _ in response.getheaders()}
    reply = Reply(response.status, headers, response.read().decode())
    canaries.register_answer(reply.headers, reply.text)
    return reply


def _accepted(provider: Provider, ports: set[int]) -> Counter[int]:
    """How many connections from these ports each worker holds."""
    inodes = {}
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, _, _, _, _, _, inode, *_ = row.split()
        if int(local[-4:], 16) == provider.port and int(remote[-4:], 16) in ports:
            inodes[f"socket:[{inode}]"] = True
    held: Counter[int] = Counter()
    for pid in provider.family().workers:
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            try:
                held[pid] += str(handle.readlink()) in inodes
            except FileNotFoundError:
                continue
    return +held


def cookies_of(http_session: requests.Session) -> dict[str, str]:
    """The Cookie header of a visitor's browser."""
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in http_session.cookies.items())}


def fields_of(reply: Reply) -> dict[str, Any]:
    import json

    return dict(json.loads(reply.text))
