"""Folders with signing keys, and how tests turn and read them."""

from __future__ import annotations

import base64
import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from idp.keys import ALGORITHMS, PUBLISHING, Rotation, TooEarly, create_keys, read_ring, rotate

NOW = 1_800_000_000
MAX_AGE = 3_600
READY = MAX_AGE + PUBLISHING  # when a key may sign after it was made
LONGEST = 7_200
CLAIMS = {"iss": "https://login.example", "sub": "k7", "text": "é\u2028"}


@functools.cache
def _made() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as place:
        create_keys(Path(place) / "keys", ALGORITHMS, NOW)
        return {file.name: file.read_bytes() for file in (Path(place) / "keys").iterdir()}


def rings_at(folder: Path) -> Path:
    """Make a folder with one ring per algorithm, whose keys were made at ``NOW``."""
    folder.mkdir(mode=0o700)
    for name, content in _made().items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_bytes(content)
    return folder


def turn(folder: Path, now: float, *algorithms: str, emergency: bool = False) -> Rotation | TooEarly:
    return rotate(folder, algorithms, now, jwks_max_age=MAX_AGE, longest_token=LONGEST, emergency=emergency)


def turned(folder: Path, now: float, *algorithms: str) -> Rotation:
    done = turn(folder, now, *algorithms)
    assert isinstance(done, Rotation)
    return done


def states(folder: Path, alg: str = "RS256") -> dict[str, str]:
    return {record.kid: record.state for record in read_ring(folder) if record.alg == alg}


def kid_of(folder: Path, state: str, alg: str = "RS256") -> str:
    [kid] = [kid for kid, found in states(folder, alg).items() if found == state]
    return kid


def encode(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
