"""A JWS is taken apart only in its one spelling, and is believed for one key and one algorithm only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from idp.jws import BadSignature, base64url, is_signed, load_public_jwk, public_jwk, read_jws
from idp.key_ring import KeyRing
from idp.keys import ALGORITHMS
from tests.rings import CLAIMS, MAX_AGE, rings_at


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(rings_at(tmp_path / "keys"), MAX_AGE)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_signature_counts_for_its_own_key_data_and_algorithm_only(ring: KeyRing, alg: str) -> None:
    read = read_jws(ring.sign_jwt(CLAIMS, alg))
    assert (read.header["alg"], read.claims()) == (alg, CLAIMS)
    believed = {
        (other, claimed)
        for other in ALGORITHMS
        for claimed in (*ALGORITHMS, "none", "HS256", "")
        if is_signed(load_public_jwk(ring.signing(other).public_jwk), claimed, read.signed, read.signature)
    }
    assert believed == {(alg, alg)}
    assert not is_signed(load_public_jwk(ring.signing(alg).public_jwk), alg, read.signed + b"A", read.signature)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_public_key_survives_its_jwk(ring: KeyRing, alg: str) -> None:
    key = ring.signing(alg)
    assert public_jwk(load_public_jwk(key.public_jwk), key.kid, alg) == key.public_jwk


def test_nothing_is_read_that_could_be_spelled_otherwise() -> None:
    header, body = base64url(b'{"alg":"RS256"}').decode(), base64url(json.dumps(CLAIMS).encode()).decode()
    assert read_jws(f"{header}.{body}.AA").signature == b"\0"
    for other in (f"{header}=.{body}.AA", f"{header}.{body}.AB", f"{header}.{body}.A", f"{header}.{body}.A+"):
        with pytest.raises(BadSignature, match="base64url"):
            read_jws(other)
