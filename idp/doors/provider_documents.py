"""What providers publish: their keys, and for those known by their issuer alone where they stand. Kept for an hour."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from idp.doors.providers import Provider, Registered
from idp.fetch import Fetcher


class ProviderDocuments:
    """For one process. Threads that find a document too old at the same time each read it anew."""

    def __init__(self, fetcher: Fetcher, clock: Callable[[], float] = time.monotonic) -> None:
        self.fetcher = fetcher
        self._clock = clock

    def describe(self, registered: Registered, ends: float) -> Provider:
        """The provider with its endpoints, read by discovery where they are not known."""
        raise NotImplementedError

    def keys(self, provider: Provider, kid: str | None, ends: float) -> list[Mapping[str, Any]]:
        """The provider's keys, read anew for a ``kid`` that is not among them, at most once a minute."""
        raise NotImplementedError
