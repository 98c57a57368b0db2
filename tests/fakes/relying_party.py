"""A relying party on a host of its own, over TLS: enough of one to see a whole journey with a browser.

It keeps what it got in ``seen`` for the test to look at; its pages say who is signed in.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

import requests
import trustme
from flask import Flask, Response, redirect, request
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.journey import challenge_of, claims_of
from tests.running import Provider


@dataclass
class RelyingParty:
    """``host``: its name with port; ``parameters``: what the next authorization request says beyond the usual."""

    client_id: str
    secret: str
    host: str = ""
    provider: Provider | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)
    logout_tokens: list[str] = field(default_factory=list)
    heard_of_logout: threading.Event = field(default_factory=threading.Event)
    _waiting: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"https://{self.host}"

    def app(self) -> Flask:
        app = Flask(__name__, static_folder=None)
        app.add_url_rule("/", view_func=self.home)
        app.add_url_rule("/start", view_func=self.start)
        app.add_url_rule("/cb", view_func=self.callback, methods=["GET", "POST"])
        app.add_url_rule("/bye", view_func=lambda: _page("bye", "Bye"))
        app.add_url_rule("/backchannel", view_func=self.backchannel, methods=["POST"])
        app.add_url_rule("/logout", view_func=self.logout)
        return app

    def home(self) -> Response:
        return _page("home", '<a id="start" href="/start">Sign in</a>')

    def start(self) -> Response:
        assert self.provider is not None
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        self._waiting[state] = (nonce, verifier)
        query = {
            "client_id": self.client_id,
            "response_type": "code",
            "scope": "openid profile email",
            "redirect_uri": f"{self.address}/cb",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
            **self.parameters,
        }
        return redirect(f"{self.provider.issuer}/authorize?{urlencode(query)}", 303)  # type: ignore[return-value] # werkzeug's wider type

    def callback(self) -> Response:
        assert self.provider is not None
        answer = dict(request.form if request.method == "POST" else request.args)
        nonce, verifier = self._waiting.pop(answer["state"])
        assert answer["iss"] == self.provider.issuer
        if "error" in answer:
            self.seen.append(answer)
            return _page("refused", answer["error"])
        tokens = requests.post(
            f"{self.provider.address}/token",
            data={
                "grant_type": "authorization_code",
                "code": answer["code"],
                "redirect_uri": f"{self.address}/cb",
                "code_verifier": verifier,
            },
            auth=(self.client_id, self.secret),
            verify=str(self.provider.ca),
            timeout=10,
        ).json()
        claims = claims_of(tokens["id_token"])
        assert claims["nonce"] == nonce
        self.seen.append({**tokens, "claims": claims})
        return _page("signed-in", json.dumps(claims, indent=1))

    def logout(self) -> Response:
        assert self.provider is not None
        query = {"id_token_hint": self.seen[-1]["id_token"], "post_logout_redirect_uri": f"{self.address}/bye"}
        return redirect(f"{self.provider.issuer}/logout?{urlencode(query)}", 303)  # type: ignore[return-value] # werkzeug's wider type

    def backchannel(self) -> Response:
        self.logout_tokens.append(request.form["logout_token"])
        self.heard_of_logout.set()
        return Response(status=200)


def _page(name: str, html: str) -> Response:
    return Response(f'<!doctype html><html lang="en"><title>{name}</title><main id="{name}"><pre>{html}</pre></main>')


class Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class Site(Protocol):
    """Somebody with pages."""

    host: str

    def app(self) -> Flask: ...


Served = TypeVar("Served", bound=Site)


@contextmanager
def running(party: Served, name: str, authority: trustme.CA) -> Iterator[Served]:
    """Serve ``party`` as ``name`` on a free port of loopback."""
    import ssl

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(tls)
    server = make_server("127.0.0.1", 0, party.app(), threaded=True, request_handler=Quiet, ssl_context=tls)
    party.host = f"{name}:{server.port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield party
    finally:
        server.shutdown()
        server.server_close()
