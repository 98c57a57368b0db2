"""Acme, the company of ``make run`` (pysaml2's identity provider), as a running program."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tests import canaries
from tests.backends import ending_with_us, free_port, wait_until

PROGRAM = Path(__file__).parents[2] / "deploy/demo/acme.py"


@dataclass
class Acme:
    """A running one with the people of ``make run``."""

    address: str
    folder: Path
    password: str

    @property
    def metadata_url(self) -> str:
        return f"{self.address}/metadata"

    def know(self, metadata_url: str) -> None:
        """Register a service provider."""
        (self.folder / "acme/service_providers").write_text(metadata_url)


@contextmanager
def running_acme(folder: Path) -> Iterator[Acme]:
    port, password = free_port(), canaries.register(secrets.token_hex(12), "password at a company")
    people = ("alice", "bob", "admin")
    (folder / "passwords.json").write_text(json.dumps({f"{name}@acme.example": password for name in people}))
    here = Acme(f"http://localhost:{port}", folder, password)
    command = [*ending_with_us("TERM"), sys.executable, str(PROGRAM), str(folder), here.address]
    log = canaries.folder() / f"acme-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return requests.get(here.metadata_url, timeout=10).status_code == 200
        except requests.ConnectionError:
            return False

    try:
        wait_until(answers, "Acme answers")
        yield here
    finally:
        process.terminate()
        process.wait(20)
