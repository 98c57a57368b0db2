"""KY-03: keys turn while people sign in, and no relying party that caches /jwks as it is told meets a key that it lacks."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from idp.keys import PUBLISHING, Rotation, TooEarly, prune, rotate
from tests.backends import wait_until
from tests.party import Party, add_people, answer_of
from tests.registrations import ODD_SECRET
from tests.running import Provider, running_provider
from tests.visitor import Visitor

ID_TOKEN_LIFETIME = 3600  # seconds: the clients of the tests say nothing else


@dataclass
class RelyingParty:
    """Signs its user in again and again, and verifies each ID token with /jwks as Cache-Control lets it keep it.

    It never asks for keys in between, not even when a token names one that it does not know: that is the strictest cache.
    """

    party: Party
    alg: str
    visitor: Visitor
    verified: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    fetched: int = 0
    tokens: list[str] = field(default_factory=list)
    _keys: Any = None
    _until: float = 0.0

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self.once()
            except Exception as error:  # noqa: BLE001 what ends this thread must reach the test
                self.failures.append(f"{type(error).__name__}: {error}")
                return

    def once(self) -> None:
        code = answer_of(self.visitor.sign_in(self.party.url()))["code"]
        token = self.party.redeem(code).json()["id_token"]
        try:
            verified = jwt.decode(token, self.keys(), algorithms=[self.alg])
        except (JoseError, ValueError) as error:
            self.failures.append(f"{type(error).__name__}: {error}")
            return
        assert verified.claims["iss"] == self.party.provider.issuer
        assert verified.claims["aud"] == self.party.client_id
        self.verified[str(verified.header["kid"])] += 1
        self.tokens.append(token)

    def keys(self) -> Any:
        now = time.monotonic()
        if now >= self._until:
            answer = self.party.provider.get("/jwks")
            found = re.search(r"max-age=(\d+)", answer.headers["Cache-Control"])
            assert found, answer.headers
            self._keys = KeySet.import_key_set(answer.json())
            self._until = time.monotonic() + int(found[1])
            self.fetched += 1
        return self._keys


@contextmanager
def load(provider: Provider) -> Iterator[list[RelyingParty]]:
    add_people(provider, "carol@example.org")
    parties = [(Party(provider), "RS256")] * 2 + [
        (Party(provider, "ES", ODD_SECRET, "https://es.example/cb", "openid"), "ES256")
    ]
    those = []
    for party, alg in parties:
        visitor = Visitor(provider)
        visitor.sign_in(party.url())
        those.append(RelyingParty(party, alg, visitor))
    stop = threading.Event()
    threads = [threading.Thread(target=one.run, args=(stop,)) for one in those]
    for thread in threads:
        thread.start()
    try:
        yield those
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def turn_as_soon_as_allowed(provider: Provider, max_age: int) -> None:
    """What ``idp keys rotate`` does, asked again and again so that it happens in the first moment that is allowed."""
    keys = provider.config.keys

    def turn() -> Rotation | TooEarly:
        return rotate(keys, (), time.time(), jwks_max_age=max_age, longest_token=ID_TOKEN_LIFETIME)

    wait_until(lambda: isinstance(turn(), Rotation), "the next keys may sign")
    hurried = turn()
    assert isinstance(hurried, TooEarly)
    assert max_age < hurried.wait <= max_age + PUBLISHING


def rotation(folder: Path, keys: Path, max_age: int, seconds: float) -> None:
    settings = {"IDP_WORKERS": "2", "IDP_JWKS_MAX_AGE": str(max_age)}
    with running_provider(folder, settings=settings, keys=keys) as provider, load(provider) as those:
        ends = time.monotonic() + seconds

        def everybody_has_verified_more() -> None:
            before = [one.verified.total() for one in those]
            wait_until(
                lambda: all(
                    one.failures or one.verified.total() > so_far for one, so_far in zip(those, before, strict=True)
                ),
                "every relying party goes on verifying",
            )
            assert [failure for one in those for failure in one.failures] == []

        everybody_has_verified_more()
        wait_until(lambda: provider.run("keys", "rotate").returncode == 0, "an operator may rotate")
        everybody_has_verified_more()
        turns = 0
        while time.monotonic() < ends:
            turn_as_soon_as_allowed(provider, max_age)
            turns += 1
            everybody_has_verified_more()
        # Every token of the whole time is still verified by who asks now: retired keys stay public.
        public = KeySet.import_key_set(provider.get("/jwks").json())
        for one in those:
            for token in one.tokens:
                jwt.decode(token, public, algorithms=[one.alg])
        assert json.loads(provider.idp("keys", "prune", "--json"))["pruned"] == []
        # When the last of their tokens is over, retired keys go, and nobody who signs in now notices.
        pruned = prune(provider.config.keys, time.time() + 2 * ID_TOKEN_LIFETIME)
        assert len(pruned) == 4 * (turns + 1), pruned  # one of each algorithm in each turn, and in the operator's
        wait_until(
            lambda: len(provider.get("/jwks").json()["keys"]) == 8, "only those to come and those that sign stay"
        )
        everybody_has_verified_more()
        assert turns >= 2
        for one in those:
            assert len(one.verified) >= 3, one.verified  # tokens of that many keys
            assert one.fetched <= 2 + (time.monotonic() - (ends - seconds)) / max_age * 1.5, "the cache was not kept"


def test_ky_03_keys_turn_under_load_and_no_caching_relying_party_notices(tmp_path: Path, made_once: Path) -> None:
    rotation(tmp_path, made_once / "keys", max_age=2, seconds=12)


@pytest.mark.long
def test_ky_03_keys_turn_under_a_minute_of_load_and_no_caching_relying_party_notices(
    tmp_path: Path, made_once: Path
) -> None:
    rotation(tmp_path, made_once / "keys", max_age=5, seconds=60)
