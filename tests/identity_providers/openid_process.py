"""oidc-provider (npm) as a running OpenID provider; its program is ``openid_provider.mjs``."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import canaries
from tests.backends import ending_with_us
from tests.needs import program

SCRIPT = Path(__file__).with_name("openid_provider.mjs")


@dataclass
class OpenidProvider:
    """A running one. Whoever types a name at it is that person, and has the address name@example.org."""

    port: int
    secret: str
    process: subprocess.Popen[str]

    @property
    def issuer(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def providers_yaml(self) -> str:
        """The entry by which we know it; the secret is the environment's NODE_SECRET."""
        return f"""\
providers:
  node:
    protocol: openid_connect
    name: Node ID
    issuer: {self.issuer}
    client_id: we-at-node
    client_secret: ${{NODE_SECRET}}
    email_verified: by_claim
"""

    def know(self, redirect_uri: str) -> None:
        """Register us, once."""
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps({"redirectUri": redirect_uri}), file=self.process.stdin, flush=True)
        assert json.loads(self.process.stdout.readline()) == "ready"


@contextmanager
def running_openid_provider(folder: Path) -> Iterator[OpenidProvider]:
    folder.mkdir(parents=True)
    secret = canaries.register(secrets.token_hex(16), "client secret at a provider")
    # What is called node may be a program that starts it, which would end without it.
    node = subprocess.check_output([program("node"), "-p", "process.execPath"], text=True).strip()
    with (folder / "openid_provider.log").open("w") as log:
        process = subprocess.Popen(
            [*ending_with_us("TERM"), node, str(SCRIPT)],
            env={**os.environ, "CLIENT_SECRET": secret},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout
        yield OpenidProvider(json.loads(process.stdout.readline())["port"], secret, process)
    finally:
        process.terminate()
        process.wait(20)
        for pipe in (process.stdin, process.stdout):
            assert pipe
            pipe.close()
