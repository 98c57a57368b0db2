"""Promises of sealing.py: what waits in SQL opens only where it stands, with the same key."""

from __future__ import annotations

import secrets

import pytest

from idp.sealing import Sealer


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(secrets.token_bytes(32), secrets.token_bytes)


def test_what_is_sealed_opens_again_in_its_place(sealer: Sealer) -> None:
    sealed = sealer.seal({"key": "-----BEGIN é"}, "connection a")

    assert "BEGIN" not in sealed
    assert sealer.open(sealed, "connection a") == {"key": "-----BEGIN é"}


def test_it_opens_nowhere_else_with_no_other_key_and_not_changed(sealer: Sealer) -> None:
    sealed = sealer.seal({"key": "secret"}, "connection a")
    changed = ("B" if sealed[30] == "A" else "A").join([sealed[:30], sealed[31:]])

    for opener, text, place in (
        (sealer, sealed, "connection b"),
        (Sealer(secrets.token_bytes(32), secrets.token_bytes), sealed, "connection a"),
        (sealer, changed, "connection a"),
    ):
        with pytest.raises(ValueError, match="do not belong") as error:
            opener.open(text, place)
        assert "secret" not in str(error.value)


def test_a_sealer_never_repeats_itself(sealer: Sealer) -> None:
    assert sealer.seal({"link": "/"}, "x") != sealer.seal({"link": "/"}, "x")
