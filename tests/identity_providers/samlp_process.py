"""samlp (npm) as a running identity provider; its program is ``samlp_idp.mjs``."""

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
from tests.backends import ending_with_us, free_port
from tests.identity_providers.key_files import write_key_pair
from tests.needs import program

SCRIPT = Path(__file__).with_name("samlp_idp.mjs")


@dataclass
class Samlp:
    """A running one with one person, alice."""

    address: str
    password: str
    process: subprocess.Popen[str]

    @property
    def metadata_url(self) -> str:
        return f"{self.address}/metadata"

    def know(self, entity_id: str, acs: str, slo: str, certificate: str, **switches: bool) -> None:
        """Register the service provider. ``encrypted``, ``signResponse``: how it is answered."""
        assert self.process.stdin
        assert self.process.stdout
        facts = {"entityId": entity_id, "acs": acs, "slo": slo, "certificate": certificate, **switches}
        print(json.dumps(facts), file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "known\n"


@contextmanager
def running_samlp(folder: Path) -> Iterator[Samlp]:
    folder.mkdir(parents=True)
    write_key_pair(folder, "samlp")
    port, password = free_port(), canaries.register(secrets.token_hex(12), "password at a company")
    # What is called node may be a program that starts it, which would end without it.
    node = subprocess.check_output([program("node"), "-p", "process.execPath"], text=True).strip()
    command = [*ending_with_us("TERM"), node, str(SCRIPT), str(port), str(folder), password]
    with (folder / "samlp.log").open("w") as log:
        process = subprocess.Popen(
            command, env=os.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert process.stdout
        assert process.stdout.readline() == "listening\n", (folder / "samlp.log").read_text()
        yield Samlp(f"http://localhost:{port}", password, process)
    finally:
        process.terminate()
        process.wait(20)
        for pipe in (process.stdin, process.stdout):
            assert pipe
            pipe.close()
