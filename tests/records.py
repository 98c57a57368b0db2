"""Records of one client in the format of clients.yaml, what they are read as, and what is said about them."""

from __future__ import annotations

from idp.client_record import Client, hash_secret
from idp.clients import read_content
from tests import canaries

NOW = 1_800_000_000
SECRET = canaries.register("correct-horse-battery-staple-in-a-file", "client secret")
HASH = hash_secret(SECRET)

WEB = f"""\
clients:
  C1:
    name: One
    type: web
    redirect_uris:
      - https://rp1.example/cb
    secrets:
      - hash: {HASH}
"""
SPA = WEB.partition("    secrets:")[0].replace("type: web", "type: spa")
NATIVE = SPA.replace("type: spa", "type: native")


def said(text: str, *, loopback: bool = False, **environ: str) -> list[str]:
    reading = read_content(text.encode(), "clients.yaml", environ, loopback=loopback)
    return [f"{'warning ' if problem.warning else ''}{problem}" for problem in reading.problems]


def only(text: str, *, loopback: bool = False, **environ: str) -> Client:
    reading = read_content(text.encode(), "clients.yaml", environ, loopback=loopback)
    assert reading.problems == []
    [client] = reading.clients.values()
    return client


def wrong(line: str, *, base: str = WEB) -> str:
    """The base file with one more line of settings in its client, which is line 9 (web) or 7 (public)."""
    return f"{base}    {line}\n"
