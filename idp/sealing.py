"""Secrets that wait in SQL: sealed with a key that is derived from ``keys/``, and bound to the place where they stand."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Sealer:
    """Seals values with AES-256-GCM. ``key``: 32 bytes (``keys.derive(…)``); ``random``: number of bytes in, bytes out."""

    def __init__(self, key: bytes, random: Callable[[int], bytes]) -> None:
        self._cipher = AESGCM(key)
        self._random = random

    def seal(self, secrets: dict[str, str], bound_to: str) -> str:
        """The values as text for SQL. They can only be opened with the same ``bound_to``."""
        nonce = self._random(12)
        closed = self._cipher.encrypt(nonce, json.dumps(secrets).encode(), bound_to.encode())
        return base64.b64encode(nonce + closed).decode()

    def open(self, sealed: str, bound_to: str) -> dict[str, str]:
        """The values again.

        :raises ValueError: another key, other words, or changed.
        """
        raw = base64.b64decode(sealed)
        try:
            opened: dict[str, str] = json.loads(self._cipher.decrypt(raw[:12], raw[12:], bound_to.encode()))
        except InvalidTag:
            raise ValueError("the sealed values do not belong here or to this key") from None
        return opened
