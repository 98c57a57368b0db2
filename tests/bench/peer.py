"""The peer: oidc-provider from npm, its state in memory, in one process (``peer.mjs``)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from tests.bench.measuring import descendants
from tests.bench.ours import BASIC, REDIRECT_URI, SECRET, VERIFIER, authorization_request
from tests.bench.wrk import Refreshes, Requests, raw
from tests.needs import program

SCRIPT = Path(__file__).parent / "peer.mjs"
PACKAGE = Path(__file__).parents[1] / "node_modules/oidc-provider/package.json"


@dataclass
class Peer:
    process: subprocess.Popen[str]
    host: str
    cookie: str

    def works(self) -> dict[str, Requests | Refreshes]:
        """As ``Ours.works``."""
        access = self._make("access", "RS", 20)
        authorize = f"/auth?{authorization_request('RS')}"
        userinfo = [raw(self.host, "/me", headers={"Authorization": f"Bearer {token}"}) for token in access]
        introspection = "/token/introspection"
        basic = {"Authorization": BASIC["RS"]}
        return {
            "discovery": Requests(self.host, [raw(self.host, "/.well-known/openid-configuration")]),
            "jwks": Requests(self.host, [raw(self.host, "/jwks")]),
            "authorize": Requests(self.host, [raw(self.host, authorize, headers={"Cookie": self.cookie})]),
            "userinfo": Requests(self.host, userinfo),
            "introspect": Requests(
                self.host, [raw(self.host, introspection, headers=basic, form=f"token={token}") for token in access]
            ),
        }

    def codes(self, client_id: str, count: int) -> Requests:
        form = {"grant_type": "authorization_code", "redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER}
        headers = {"Authorization": BASIC[client_id]}
        return Requests(
            self.host,
            [
                raw(self.host, "/token", headers=headers, form=urlencode({**form, "code": code}))
                for code in self._make("code", client_id, count)
            ],
            again=False,
        )

    def refreshes(self, client_id: str, count: int, more: str = "") -> Refreshes:
        return Refreshes(self.host, BASIC[client_id], self._make("refresh", client_id, count), more)

    @property
    def workers(self) -> list[int]:
        return [
            self.process.pid,
            *descendants(self.process.pid),
        ]  # the node that pip brings is started by a small Python program

    def _make(self, kind: str, client_id: str, count: int) -> list[str]:
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps({"kind": kind, "client": client_id, "count": count}), file=self.process.stdin, flush=True)
        return list(json.loads(self.process.stdout.readline()))


@contextmanager
def running_peer() -> Iterator[Peer]:
    given = json.dumps({"secret": SECRET, "verifier": VERIFIER, "redirectUri": REDIRECT_URI})
    with subprocess.Popen(
        [program("node"), str(SCRIPT), given],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"PATH": os.environ["PATH"], "NODE_ENV": "production"},
    ) as process:
        try:
            assert process.stdout
            told = json.loads(process.stdout.readline())
            yield Peer(process, f"127.0.0.1:{told['port']}", told["cookie"])
        finally:
            process.kill()


def versions() -> str:
    node = subprocess.run([program("node"), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return f"oidc-provider {json.loads(PACKAGE.read_text())['version']} on Node {node}"
