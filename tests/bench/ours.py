"""Our provider as it runs for an operator, and what a load on it needs: sessions, codes and tokens, made by our own code."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from idp import grants
from idp.accounts.sessions import Session
from idp.client_record import Client, hash_secret
from idp.config import read_config
from idp.grants import Authentication, Issued
from idp.parts import Parts, build
from tests.bench.measuring import descendants, listeners
from tests.bench.wrk import Refreshes, Requests, raw
from tests.journey import PASSWORD, add_carol, challenge_of
from tests.people import open_for
from tests.running import Provider, running_provider

SECRET = "the-secret-of-both-clients-of-the-bench"
VERIFIER = "a-verifier-of-the-bench-that-is-long-enough-for-pkce"
REDIRECT_URI = "https://rp.example/cb"
SCOPE = "openid profile email offline_access"

CLIENTS = f"""
clients:
  RS:
    name: Signed by RSA
    type: web
    redirect_uris: [{REDIRECT_URI}]
    secrets: [{{hash: {hash_secret(SECRET)}}}]
    code_lifetime: 600
  ES:
    name: Signed by an elliptic curve
    type: web
    redirect_uris: [{REDIRECT_URI}]
    secrets: [{{hash: {hash_secret(SECRET)}}}]
    code_lifetime: 600
    id_token_signed_response_alg: ES256
"""
BASIC = {
    client_id: "Basic " + base64.b64encode(f"{client_id}:{SECRET}".encode()).decode() for client_id in ("RS", "ES")
}


@dataclass
class Ours:
    """A running provider, and the same parts as it has, in this process."""

    provider: Provider
    parts: Parts
    session: Session
    cookie: str

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.provider.port}"

    @property
    def workers(self) -> list[int]:
        """The processes that answer."""
        assert self.provider.process is not None
        return listeners(descendants(self.provider.process.pid), self.provider.port)

    @property
    def stores(self) -> list[int]:
        """The embedded server, if there is one; not the child that it has while it rewrites its file."""
        assert self.provider.process is not None
        family = descendants(self.provider.process.pid)
        names = [Path(f"/proc/{process}/comm").read_text() for process in family]
        servers = [
            process
            for process, name in zip(family, names, strict=True)
            if name.startswith(("redis-server", "valkey-server"))
        ]
        return servers[:1]

    def works(self) -> dict[str, Requests | Refreshes]:
        """What is sent again and again, by the name of its measurement; codes and refresh tokens come anew each time."""
        authorization = {"Cookie": f"idp_session={self.cookie}"}
        access = [self.issue("RS", 1)[0].access_token for _ in range(20)]
        return {
            "discovery": self._same(raw(self.host, "/.well-known/openid-configuration")),
            "jwks": self._same(raw(self.host, "/jwks")),
            "login page": self._same(*(self._login_page() for _ in range(20))),
            "authorize": self._same(raw(self.host, self._authorize("RS"), headers=authorization)),
            "userinfo": self._same(
                *(raw(self.host, "/userinfo", headers={"Authorization": f"Bearer {token}"}) for token in access)
            ),
            "introspect": self._same(
                *(
                    raw(self.host, "/introspect", headers={"Authorization": BASIC["RS"]}, form=f"token={token}")
                    for token in access
                )
            ),
        }

    def codes(self, client_id: str, count: int) -> Requests:
        forms = [
            urlencode(
                {
                    "grant_type": "authorization_code",
                    "code": self._code(client_id),
                    "redirect_uri": REDIRECT_URI,
                    "code_verifier": VERIFIER,
                }
            )
            for _ in range(count)
        ]
        headers = {"Authorization": BASIC[client_id]}
        return Requests(
            self.host, [raw(self.host, "/token", headers=headers, form=form) for form in forms], again=False
        )

    def refreshes(self, client_id: str, count: int, more: str = "") -> Refreshes:
        tokens = [issued.refresh_token or "" for issued in self.issue(client_id, count)]
        return Refreshes(self.host, BASIC[client_id], tokens, more)

    def issue(self, client_id: str, count: int) -> list[Issued]:
        """Tokens of ``count`` grants."""
        client = self._client(client_id)
        made = []
        for _ in range(count):
            issued = grants.redeem_code(
                self.parts.store,
                self._code(client_id),
                client,
                redirect_uri=REDIRECT_URI,
                verifier=VERIFIER,
                now=self.parts.clock(),
                random=self.parts.random,
                secret=self.parts.keys.derive("refresh tokens"),
            )
            assert isinstance(issued, Issued)
            made.append(issued)
        return made

    def _code(self, client_id: str) -> str:
        session = self.session
        return grants.open_grant(
            self.parts.store,
            self._client(client_id),
            Authentication(
                account_id=session.account_id,
                # As many sessions as grants: thousands in one would make its index the thing that is measured.
                session=self.parts.random(16).hex(),
                session_expires=session.expires,
                sid=session.sid(client_id),
                sub=session.sub,
                auth_time=session.auth_time,
                amr=session.amr,
                acr=session.acr,
                person=session.person,
            ),
            scope=SCOPE.split(),
            redirect_uri=REDIRECT_URI,
            challenge=challenge_of(VERIFIER),
            nonce="n-0S6_WzA2Mj",
            claims={},
            receipt=self.parts.attempts.start(),
            now=self.parts.clock(),
            random=self.parts.random,
        )

    def _client(self, client_id: str) -> Client:
        client = self.parts.clients.find(client_id)
        assert client is not None
        return client

    def _authorize(self, client_id: str) -> str:
        return "/authorize?" + authorization_request(client_id)

    def _login_page(self) -> bytes:
        sent = self.provider.get(self._authorize("RS"), allow_redirects=False)
        assert sent.status_code == 303, sent.text
        cookie = re.match(r"idp_browser=[^;]+", sent.headers["Set-Cookie"])
        assert cookie
        headers = {"Cookie": cookie[0], "Accept-Language": "en-GB,en;q=0.9,fr;q=0.5"}
        return raw(self.host, sent.headers["Location"], headers=headers)

    def _same(self, *requests: bytes) -> Requests:
        return Requests(self.host, requests)


def authorization_request(client_id: str) -> str:
    """The query of an authorization request; ours and the peer's alike."""
    return urlencode(
        {
            "client_id": client_id,
            "response_type": "code",
            "scope": "openid profile email",
            "redirect_uri": REDIRECT_URI,
            "state": "af0ifjsldkj",
            "nonce": "n-0S6_WzA2Mj",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
        }
    )


@contextmanager
def running_ours(folder: Path, *, workers: int = 1, redis: dict[str, str] | None = None) -> Iterator[Ours]:
    """Start the provider with SQLite and the Redis of ``redis`` (settings; none: the embedded server)."""
    settings = {"IDP_WORKERS": str(workers), "IDP_LOG_LEVEL": "INFO", "IDP_TRUSTED_PROXIES": "127.0.0.0/8"}
    with running_provider(folder, clients=CLIENTS, stores=redis, settings=settings) as provider:
        here = {name: value for name, value in provider.environ.items() if name.startswith("IDP_")}
        here |= {"IDP_DATA": str(folder / "data"), "IDP_KEYS": str(folder / "keys")}
        here |= {"IDP_CLIENTS": str(folder / "clients.yaml")}
        parts = build(read_config(here), {})
        try:
            account_id = add_carol(parts, "carol@example.org", PASSWORD)
            session, cookie = open_for(parts, account_id, kept=True)
            yield Ours(provider, parts, session, cookie)
        finally:
            parts.close()
