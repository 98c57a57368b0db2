"""The admin center as ``idp serve`` runs it: beside the provider, on its own port, started again when it dies, refused when nobody could
sign in there."""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from idp.client_record import hash_secret
from tests import canaries
from tests.backends import free_port
from tests.cli.test_serve_command import refusal
from tests.registrations import CLIENTS, REFERENCES
from tests.running import running_provider

SECRET = canaries.register("admin-center-secret-not-to-be-found-anywhere", "client secret")


def registration(origin: str) -> str:
    return f"""
  admin-center:
    name: Admin Center
    type: web
    redirect_uris: [{origin}/callback]
    post_logout_redirect_uris: [{origin}/signed-out]
    backchannel_logout_uri: {origin}/backchannel-logout
    secrets:
      - hash: {hash_secret(SECRET)}
"""


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def ask(url: str) -> tuple[int, str]:
    """The status and where it leads; 0 while nobody answers."""
    try:
        with urllib.request.build_opener(_Stay).open(url, timeout=5) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers.get("Location", "")
    except OSError:
        return 0, ""


def wait_for(url: str) -> tuple[int, str]:
    for _ in range(300):
        found = ask(url)
        if found[0]:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


def process_at(port: int) -> int:
    """The worker that answers at a port of this machine."""
    wanted = f"{port:04X}"
    inodes = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{wanted}") and line.split()[3] == "0A"
    }
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                links = [os.readlink(one) for one in (process / "fd").iterdir()]
            except OSError:
                continue
            if any(f"socket:[{inode}]" in links for inode in inodes):
                found.append(int(process.name))
    return min(found)  # the one that listens; its worker has the socket too


def test_it_answers_beside_the_provider_and_comes_back_when_it_was_killed(tmp_path: Path, made_once: Path) -> None:
    port = free_port()
    origin = f"http://localhost:{port}"
    settings = {"IDP_ADMIN_CENTER": origin, "IDP_ADMIN_LISTEN": f"127.0.0.1:{port}"}
    with running_provider(
        tmp_path,
        clients=CLIENTS + registration(origin),
        references={**REFERENCES, "ADMIN_CENTER_SECRET": SECRET},
        settings=settings,
        keys=made_once / "keys",
    ) as provider:
        here = f"http://127.0.0.1:{port}"
        assert wait_for(f"{here}/health/ready")[0] == 200
        status, leads = ask(f"{here}/companies/x")
        assert (status, leads) == (303, "/sign-in?back=%2Fcompanies%2Fx")
        assert ask(f"{here}/sign-in")[1].startswith(f"{provider.issuer}/authorize?")
        assert ask(f"{here}/token")[0] == 404  # the machine endpoints are the provider's
        os.kill(process_at(port), signal.SIGKILL)
        time.sleep(0.5)
        assert ask(f"http://127.0.0.1:{provider.port}/health/ready")[0] == 200
        assert wait_for(f"{here}/health/ready")[0] == 200


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"IDP_ADMIN_CENTER": "http://localhost:8001/x"}, "IDP_ADMIN_CENTER: must be an origin"),
        ({"IDP_ADMIN_CENTER": "https://admin.example"}, "IDP_ADMIN_CENTER must be https as IDP_ISSUER is"),
        ({"IDP_ADMIN_CENTER": "http://localhost:18001"}, "nobody could sign in there"),
        ({"IDP_ADMIN_LISTEN": "nowhere"}, "IDP_ADMIN_LISTEN"),
    ],
)
def test_one_that_nobody_could_use_is_refused_in_one_message(
    tmp_path: Path, settings: dict[str, str], says: str
) -> None:
    listen = {} if "IDP_ADMIN_LISTEN" in settings else {"IDP_ADMIN_LISTEN": f"127.0.0.1:{free_port()}"}
    assert says in refusal(tmp_path, **listen, **settings)
