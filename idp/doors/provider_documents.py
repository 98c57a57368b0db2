"""What providers publish: their keys, and for those known by their issuer alone where they stand. Kept for an hour."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from idp.doors.providers import Provider, WrongAnswer
from idp.fetch import TOTAL_SECONDS, Fetcher, FetchError

KEPT_SECONDS = 3600
# An ID token may name any key: how soon after the last time keys are read again because of one that is not known.
AGAIN_SECONDS = 60
LARGEST = 256 * 1024
MOST_KEYS = 100

Jwk = Mapping[str, Any]
Taken = TypeVar("Taken")


@dataclass(frozen=True, slots=True)
class _Kept:
    document: Mapping[str, Any]
    read_at: float


class ProviderDocuments:
    """For one process. Threads that find a document too old at the same time each read it anew.

    :ivar fetcher: how providers are called.
    """

    def __init__(self, fetcher: Fetcher, clock: Callable[[], float] = time.monotonic) -> None:
        self.fetcher = fetcher
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    def describe(self, provider: Provider, ends: float) -> Provider:
        """The provider with its endpoints, read by discovery where they are not known (OpenID Connect Discovery 4).

        :param ends: when an answer comes too late, of time.monotonic.
        :raises FetchError: it does not answer.
        :raises WrongAnswer: it answers with something else.
        """
        if provider.authorization_endpoint:
            return provider
        where = provider.issuer.rstrip("/") + "/.well-known/openid-configuration"
        return self._read(where, ends, KEPT_SECONDS, partial(self._endpoints, provider))

    def _endpoints(self, provider: Provider, told: Mapping[str, Any]) -> Provider:
        if told.get("issuer") != provider.issuer:
            raise WrongAnswer("discovery: issuer is another")
        methods = told.get("token_endpoint_auth_methods_supported")
        posts = isinstance(methods, list) and "client_secret_post" in methods
        userinfo = told.get("userinfo_endpoint")
        return replace(
            provider,
            authorization_endpoint=self._address(told, "authorization_endpoint"),
            token_endpoint=self._address(told, "token_endpoint"),
            userinfo_endpoint=None if userinfo is None else self._address(told, "userinfo_endpoint"),
            jwks_uri=self._address(told, "jwks_uri"),
            client_authentication="client_secret_post" if posts else "client_secret_basic",
            iss_parameter=told.get("authorization_response_iss_parameter_supported") is True,
        )

    def keys(self, provider: Provider, kid: str | None, ends: float) -> list[Jwk]:
        """The provider's keys (RFC 7517 section 5), read anew for a ``kid`` that is not among them.

        :raises FetchError: it does not answer.
        :raises WrongAnswer: it answers with something else, or has no keys.
        """
        if provider.jwks_uri is None:
            raise WrongAnswer("no keys are published")
        found = self._read(provider.jwks_uri, ends, KEPT_SECONDS, _keys)
        if kid is not None and not any(key.get("kid") == kid for key in found):
            found = self._read(provider.jwks_uri, ends, AGAIN_SECONDS, _keys)
        return found

    def _read(self, url: str, ends: float, kept_seconds: float, take: Callable[[Mapping[str, Any]], Taken]) -> Taken:
        """What ``take`` makes of a document. One that it refuses is not kept: an odd answer closes no door for an hour."""
        kept = self._kept.get(url)
        if kept is not None and self._clock() < kept.read_at + kept_seconds:
            return take(kept.document)
        seconds = max(0.01, min(TOTAL_SECONDS, ends - time.monotonic()))
        answer = self.fetcher.send("GET", url, {"Accept": "application/json"}, None, limit=LARGEST, seconds=seconds)
        if answer.status != 200:
            raise FetchError("outgoing_failed", detail=f"status {answer.status}")
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise WrongAnswer("not a JSON object")
        taken = take(document)
        self._kept[url] = _Kept(document, self._clock())
        return taken

    def _address(self, told: Mapping[str, Any], name: str) -> str:
        value = told.get(name)
        if not isinstance(value, str):
            raise WrongAnswer(f"discovery: no {name}")
        self.fetcher.check(value)
        return value


def _keys(document: Mapping[str, Any]) -> list[Jwk]:
    keys = document.get("keys")
    if not isinstance(keys, list):
        raise WrongAnswer("keys: no list")
    return [key for key in keys[:MOST_KEYS] if isinstance(key, dict)]
