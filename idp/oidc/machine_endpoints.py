"""The one list of machine endpoints (see ``machine.py``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from idp.attempts import Attempts
from idp.client_record import Client
from idp.clients import Clients
from idp.config import Config
from idp.fetch import Fetcher
from idp.machine import Answer, Endpoints, Request, Route
from idp.metrics import count_request
from idp.oidc.client_auth import ClientAuthentication
from idp.oidc.discovery import Discovery
from idp.oidc.introspection import IntrospectionEndpoint
from idp.oidc.provider import Provider
from idp.oidc.revocation import RevocationEndpoint
from idp.oidc.token import TokenEndpoint
from idp.oidc.userinfo import UserinfoEndpoint
from idp.redis_store import RedisStore

ASSERTION = b"client_assertion"  # signed with keys that may have to be fetched from the client


def machine_endpoints(
    config: Config,
    provider: Provider,
    store: RedisStore,
    attempts: Attempts,
    fetcher: Fetcher,
    *,
    ui_locales: Iterable[str],
    clock: Callable[[], float],
    authorize: Callable[[Request], Answer | None],
) -> Endpoints:
    """Build the endpoints of one provider.

    ``authorize`` is the short way of /authorize, ``ui_locales`` the languages of our pages, ``clock`` tells seconds since
    1970.
    """
    known = ClientAuthentication(config.issuer, provider.clients, store, fetcher)
    discovery = Discovery(config, provider.keys, ui_locales)
    token = TokenEndpoint(provider, known, attempts, clock)
    userinfo = UserinfoEndpoint(provider, clock)
    introspection = IntrospectionEndpoint(provider, known, clock)
    revocation = RevocationEndpoint(provider, known, clock)
    document = Route(discovery.configuration, ("GET", "HEAD"), cors="any")
    return Endpoints(
        {
            "/.well-known/openid-configuration": document,
            "/.well-known/oauth-authorization-server": document,
            "/jwks": Route(discovery.jwks, ("GET", "HEAD"), cors="any"),
            "/token": Route(token.answer, ("POST",), cors="registered", challenge="Basic", slow_field=ASSERTION),
            "/userinfo": Route(userinfo.answer, ("GET", "POST"), cors="registered", challenge="Bearer"),
            "/introspect": Route(introspection.answer, ("POST",), challenge="Basic", slow_field=ASSERTION),
            "/revoke": Route(revocation.answer, ("POST",), cors="registered", challenge="Basic", slow_field=ASSERTION),
        },
        authorize=authorize,
        origin_is_registered=Origins(provider.clients).is_registered,
        attempts=attempts,
        issuer=config.issuer,
        count=count_request if config.metrics_token else None,
    )


class Origins:
    """The origins from which a script may call: those of redirect URIs of enabled clients (design.md section 3)."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._seen: Mapping[str, Client] = {}
        self._origins: frozenset[str] = frozenset()

    def is_registered(self, origin: str) -> bool:
        """Whether ``origin``, exactly as the browser sent it, is one of them."""
        clients = self._clients.all()
        if clients is not self._seen:  # the file was read anew
            enabled = (client for client in clients.values() if client.enabled)
            self._origins = frozenset[str]().union(*(client.redirect_origins for client in enabled))
            self._seen = clients
        return origin in self._origins
