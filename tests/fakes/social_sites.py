"""The stand-ins of ``deploy/demo/stand_ins.py`` for tests: served by a thread of ours, so that tests decide who is signed in where.

with social_sites("http://localhost:8000") as sites:
    sites.google.everybody = sites.google.find("bob@example.net").subject  # every browser is Bob there
    sites.google.consent = "allow"  # or deny; ask shows the page
    sites.google.change(subject, email="other@example.net", verified=False)
    sites.google.mood = "slow"  # down, broken
    sites.google.lies.claims = {"iss": "https://evil.example"}; sites.google.lies.alg = "none"
    sites.google.lies.answer = {"iss": …}  # of the authorization response
    sites.providers_yaml, sites.environment  # for the provider that is tried
"""

from __future__ import annotations

import secrets
import ssl
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from werkzeug.serving import make_server

from tests import canaries

sys.path.append(str(Path(__file__).parents[2] / "deploy/demo"))

from serving import Quiet
from stand_in_site import Lies, Person, Site
from stand_ins import SITES, make_sites, make_stand_ins, providers_yaml, secret_name

__all__ = ["HOSTS", "Lies", "Person", "Site", "SocialSites", "social_sites"]

# Names of their own, as the real ones have; a browser finds them by its host_rules ("MAP *.test 127.0.0.1").
HOSTS = {
    "google": "accounts.google.test",
    "facebook": "www.facebook.test",
    "linkedin": "www.linkedin.test",
    "microsoft": "login.microsoftonline.test",
    "apple": "appleid.apple.test",
    "github": "github.test",
}


@dataclass
class SocialSites:
    """All of them, running; each is an attribute by its key (see :class:`Site` for what can be set)."""

    by_key: dict[str, Site]
    environment: Mapping[str, str] = field(repr=False)
    port: int

    def __getattr__(self, key: str) -> Site:
        try:
            return self.by_key[key]
        except KeyError:
            raise AttributeError(key) from None

    @property
    def providers_yaml(self) -> str:
        """The file that leads a provider there; its references are in ``environment``."""
        return providers_yaml(self.by_key)

    def forget(self) -> None:
        """As in the beginning, but for people who were added or changed."""
        for site in self.by_key.values():
            site.forget()


def make_secrets() -> dict[str, str]:
    """Our secret at each provider, by the name of its environment variable; Apple's is a key in PEM."""
    made = {secret_name(kind.key): secrets.token_urlsafe(24) for kind in SITES}
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    made[secret_name("apple")] = pem
    for secret in made.values():
        canaries.register(secret, "client secret at a provider")
    return made


@contextmanager
def social_sites(issuer: str, *, tls: ssl.SSLContext | None = None, **clock: Any) -> Iterator[SocialSites]:
    """The stand-ins on a port of their own.

    :param issuer: of the provider that is registered there.
    :param tls: with a certificate for ``HOSTS``: then browsers find each under its name, and programs by http on loopback.
    """
    started: list[Any] = []

    def late(environ: Any, start_response: Any) -> Any:
        return started[0](environ, start_response)

    def listen(context: ssl.SSLContext | None) -> Any:
        return make_server("127.0.0.1", 0, late, threaded=True, request_handler=Quiet, ssl_context=context)

    servers = [listen(None), *([listen(tls)] if tls else [])]
    port = servers[-1].port
    below = {kind.key: f"http://localhost:{servers[0].port}/{kind.key}" for kind in SITES}
    named = {key: f"https://{HOSTS[key]}:{port}" for key in below} if tls else below
    environment = make_secrets()
    sites = make_sites(named, issuer, environment, below)
    for site in sites.values():
        site.clock = clock.get("clock", site.clock)
    started.append(make_stand_ins(sites.values(), {f"{HOSTS[key]}:{port}": key for key in sites}))
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
    for server, thread in zip(servers, threads, strict=True):
        server.daemon_threads = True
        thread.start()
    try:
        yield SocialSites(sites, environment, port)
    finally:
        for site in sites.values():
            site.woken.set()
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join(10)
            server.server_close()
