"""The built objects, typed, in one visible place. ``build`` makes them; pages reach them by ``parts()``."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from flask import current_app

from idp.config import Config

if TYPE_CHECKING:  # the heavy ones are imported when they are built
    from idp.accounts.breach_list import BreachList
    from idp.accounts.passkeys import Passkeys
    from idp.accounts.passwords import PasswordHasher
    from idp.accounts.recovery_codes import RecoveryCodes
    from idp.accounts.totp import Totps
    from idp.attempts import Attempts
    from idp.clients import Clients
    from idp.connections import Connections
    from idp.database import Database
    from idp.doors.provider_documents import ProviderDocuments
    from idp.doors.provider_entries import ProvidersReading
    from idp.doors.providers import Registered
    from idp.fetch import Fetcher
    from idp.key_ring import KeyRing
    from idp.languages import Languages
    from idp.machine import Endpoints
    from idp.oidc.authorization import Authorization
    from idp.oidc.provider import Provider
    from idp.redis_store import RedisStore
    from idp.sealing import Sealer
    from idp.turns import Turns

RESERVED_THREADS = 4  # of each worker: they keep answering while all others wait for a password to be hashed
EXAMINED_AT_ONCE = 2  # responses for one connection, in each worker: a flood for one company leaves room for the others


@dataclass(frozen=True)
class Parts:
    """What pages may use. Times come from ``clock`` (seconds since 1970), secrets from ``random`` (number of bytes)."""

    config: Config
    clock: Callable[[], float]
    random: Callable[[int], bytes]
    database: Database
    store: RedisStore
    keys: KeyRing
    clients: Clients
    languages: Languages
    attempts: Attempts
    hasher: PasswordHasher
    breach_list: BreachList
    passkeys: Passkeys
    totps: Totps
    recovery_codes: RecoveryCodes
    outgoing: Fetcher
    sealer: Sealer  # of mail
    connections: Connections
    responses: Turns  # by connection
    providers: Mapping[str, Registered]  # social ones, by key, in the order of their file
    provider_documents: ProviderDocuments
    provider_turns: Turns  # by key
    provider: Provider
    authorization: Authorization
    endpoints: Endpoints

    def close(self) -> None:
        """Write out what waits in memory and close the connections."""
        self.attempts.close()
        self.breach_list.close()
        self.store.close()
        self.database.close()


def parts() -> Parts:
    """The parts of the application that is answering."""
    return cast(Parts, current_app.extensions["idp"])


def clients_path(config: Config) -> Path:
    """Where the relying parties stand: as configured, else in the working folder, else the shipped examples."""
    if config.clients is not None:
        return config.clients
    here = Path("clients.yaml")
    return here if here.exists() else Path(__file__).parent / "clients.yaml"


def providers_path(config: Config) -> Path | None:
    """Where the social providers stand: as configured, else in the working folder; None when there are none."""
    here = Path("providers.yaml")
    return config.providers or (here if here.exists() else None)


def read_providers(config: Config, references: Mapping[str, str]) -> ProvidersReading | None:
    """What the file of the social providers says; None when there is none."""
    path = providers_path(config)
    if path is None:
        return None
    from idp.doors import provider_entries

    return provider_entries.read_providers(
        path,
        references,
        loopback=config.on_loopback,
        own_issuer=config.issuer,
        allowed=config.allowed_networks,
    )


def build(
    config: Config,
    references: Mapping[str, str],
    *,
    redis_url: str = "",
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = secrets.token_bytes,
    keys_looked_at: float = 0.0,
) -> Parts:
    """Build everything that a provider process needs.

    ``references`` resolves ``${NAME}`` in clients.yaml and providers.yaml; ``redis_url`` is the embedded server's address when this process
    was told it by the one that owns the server. ``keys_looked_at``: as ``look_every`` of ``KeyRing``.
    """
    from idp.accounts.breach_list import SHIPPED, BreachList
    from idp.accounts.passkeys import Passkeys
    from idp.accounts.passwords import PasswordHasher
    from idp.accounts.recovery_codes import RecoveryCodes
    from idp.accounts.totp import Totps
    from idp.attempts import Attempts
    from idp.clients import Clients
    from idp.connections import Connections
    from idp.cookies import SESSION, find_in
    from idp.database import Database
    from idp.doors.provider_documents import ProviderDocuments
    from idp.fetch import Fetcher
    from idp.key_ring import KeyRing
    from idp.languages import Languages
    from idp.oidc.authorization import Authorization
    from idp.oidc.machine_endpoints import machine_endpoints
    from idp.oidc.provider import Provider
    from idp.redis_store import open_store
    from idp.sealing import Sealer
    from idp.turns import Turns

    store = open_store(config, redis_url)
    keys = KeyRing(config.keys, config.jwks_max_age, look_every=keys_looked_at)
    clients = Clients(
        clients_path(config),
        references,
        loopback=config.on_loopback,
        signable=keys.algorithms,
        last_good=config.data / "clients.last-good.yaml",  # a worker may start again while the file is wrong
    )
    attempts = Attempts(store, random, clock)
    outgoing = Fetcher(config)
    provider = Provider(config, store, keys, clients, random)
    languages = Languages()
    authorization = Authorization(
        provider, store, attempts, clock, partial(find_in, kind=SESSION, secure=config.secure)
    )
    return Parts(
        config=config,
        clock=clock,
        random=random,
        database=Database(config),
        store=store,
        keys=keys,
        clients=clients,
        languages=languages,
        attempts=attempts,
        hasher=PasswordHasher(config.hashing, config.threads - RESERVED_THREADS),
        breach_list=BreachList(config.breach_list or SHIPPED),
        passkeys=Passkeys(config.issuer, config.host, store, keys.derive("passkeys"), random),
        totps=Totps(config.host, store, Sealer(keys.derive("totp"), random), random),
        recovery_codes=RecoveryCodes(keys.derive("recovery codes"), random),
        outgoing=outgoing,
        sealer=Sealer(keys.derive("mail"), random),
        connections=Connections(config.issuer, Sealer(keys.derive("connections"), random)),
        responses=Turns(EXAMINED_AT_ONCE, most=max(EXAMINED_AT_ONCE, config.threads // 2)),
        providers=read.take() if (read := read_providers(config, references)) else {},
        provider_documents=ProviderDocuments(outgoing),
        provider_turns=Turns(max(1, config.threads // 4), most=max(1, config.threads // 4)),
        provider=provider,
        authorization=authorization,
        endpoints=machine_endpoints(
            config,
            provider,
            store,
            attempts,
            outgoing,
            ui_locales=languages.supported,
            clock=clock,
            authorize=authorization.answer,
        ),
    )
