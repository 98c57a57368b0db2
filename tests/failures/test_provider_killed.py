"""``idp serve`` with its embedded stores: its server is killed, or all of it is, while people sign in."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends import wait_until
from tests.party import Party, answer_of
from tests.running import Provider, is_alive, running_provider
from tests.sign_in_stream import sign_in_stream
from tests.visitor import Visitor


@pytest.fixture
def provider(tmp_path: Path, made_once: Path) -> Iterator[Provider]:
    settings = {"IDP_WORKERS": "2", "IDP_TRUSTED_PROXIES": "127.0.0.1/32"}
    with running_provider(tmp_path, settings=settings, keys=made_once / "keys") as running:
        yield running


def test_ds_10_the_embedded_server_or_all_of_the_provider_killed_in_the_middle_of_sign_ins(provider: Provider) -> None:
    party = Party(provider)
    with sign_in_stream(provider, "example.org", cuts=True) as stream:
        holder = Visitor(provider)
        tokens = party.redeem(answer_of(holder.sign_in(party.url(), "bob@example.org"))["code"]).json()

        # Its server: it comes back by itself, with its data.
        [store] = provider.family().store
        os.kill(store, signal.SIGKILL)
        wait_until(lambda: not is_alive(store), "the server is dead")
        stream.goes_on()
        assert provider.family().store != (store,)
        assert party.userinfo(tokens["access_token"]).status_code == 200

        # All of it: nobody stays behind, and the next one on the folder goes on where this one was.
        family = provider.family()
        assert len(family.all) == 4
        code = answer_of(holder.sign_in(party.url()))["code"]
        provider.stop(signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, family.all)), "all its processes have ended with it")
        provider.start()
        stream.goes_on()
        assert party.userinfo(tokens["access_token"]).status_code == 200
        assert party.redeem(code).status_code == 200
        assert party.redeem(code).json()["error"] == "invalid_grant"
        assert len(provider.family().all) == 4
