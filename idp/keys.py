"""The signing keys in their folder ``keys/``, and their life: a ring of them per algorithm.

A key goes ``next → signing → retired → gone``. ``next`` is published in /jwks and signs nothing yet, so that relying
parties can fetch it in time; ``signing`` signs; ``retired`` is published until the last token it signed has expired;
``gone`` is history. The private part is erased when a key retires.

``keys/ring.json`` holds the ring, ``keys/secrets.json`` what must never change (pairwise subjects rest on it). Both are
0600 in a 0700 folder and replaced atomically. Keys are made by ``cryptography`` alone (P-01, P-04).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from idp.errors import OperatorError
from idp.files import only_one, read_private, replace, usable
from idp.jws import RSA_BITS, dump_json, public_jwk

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

ALGORITHMS = ("RS256", "ES256", "PS256", "EdDSA")
# The clocks of relying parties may be behind: a retired key stays public this much longer than its last token lived.
CLOCK_SKEW = 300
# What to do about keys that are lost; part of several messages.
RESTORE = "restore keys/ from the backup; if there is none, see “ring.json is lost” in docs/operators/rotate-keys.md"
# Seconds that may pass between the moment noted as a key's making and the first /jwks that shows it: others are made
# with it, times are whole seconds, and an older /jwks may still be under way.
PUBLISHING = 5


class KeyRecord(BaseModel):
    """One key as it stands in ``ring.json``. Times are epoch seconds. ``private`` is a PKCS#8 PEM, only while needed."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    kid: str = Field(pattern=r"^[a-z0-9-]{8,64}$")
    alg: Literal["RS256", "ES256", "PS256", "EdDSA"]
    state: Literal["next", "signing", "retired", "gone"]
    created_at: int
    signing_at: int | None = None
    retired_at: int | None = None
    public_until: int | None = None
    gone_at: int | None = None
    revoked: bool = False
    jwk: dict[str, str]
    private: str | None = Field(None, repr=False)

    @property
    def is_public(self) -> bool:
        """Whether /jwks shows the key and its signatures count."""
        return self.state != "gone"

    def ready_at(self, jwks_max_age: int) -> int:
        """When a ``next`` key has been public for longer than anybody may have cached a /jwks without it."""
        return self.created_at + PUBLISHING + jwks_max_age


class _Ring(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    version: Literal[1]
    keys: list[KeyRecord]


class LastingSecrets(BaseModel):
    """What ``secrets.json`` holds, as hex: what pairwise subjects are made with, and what other secrets come from."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    version: Literal[1]
    subjects: str = Field(pattern="^[0-9a-f]{64}$", repr=False)
    master: str = Field(pattern="^[0-9a-f]{64}$", repr=False)

    @property
    def subjects_secret(self) -> bytes:
        """What pairwise subject identifiers are made with."""
        return bytes.fromhex(self.subjects)

    def derive(self, purpose: str) -> bytes:
        """32 secret bytes for one purpose, always the same (HKDF, RFC 5869)."""
        hkdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"idp " + purpose.encode())
        return hkdf.derive(bytes.fromhex(self.master))


@dataclass(frozen=True, slots=True)
class TooEarly:
    """Why a rotation was refused: this ``next`` key has not been public for long enough."""

    alg: str
    kid: str
    ready_at: int
    wait: int


@dataclass(frozen=True, slots=True)
class Swap:
    """What happened to one algorithm. ``retired`` is None when its first keys were made."""

    alg: str
    signing: str
    retired: str | None
    next: str
    public_until: int | None


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did. ``hurried`` are the kids that now sign although they were not public for long enough."""

    swaps: tuple[Swap, ...]
    pruned: tuple[str, ...]
    hurried: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Revocation:
    """What a revocation did. ``signing`` is the key that had to take over at once, ``next`` the new one in waiting."""

    kid: str
    alg: str
    was: str
    signing: str | None
    next: str | None


def has_no_keys(folder: Path) -> bool:
    """Whether neither a ring nor secrets are there: at a first start, or when they are lost.

    :raises OperatorError: when the folder cannot be looked into.
    """
    with usable(folder, "IDP_KEYS"):
        return not (folder / "ring.json").exists() and not (folder / "secrets.json").exists()


def create_keys(folder: Path, algorithms: Iterable[str], now: float) -> tuple[str, ...]:
    """The keys of a start: at the first, the folder, the secrets, and a ring for RS256 and each of ``algorithms``; later
    the rings that ``algorithms`` lack. That it is the first start, only the caller can know: ``has_no_keys``.

    A first key signs at once, because nobody can have cached a /jwks with older keys of its algorithm.

    :returns: the algorithms for which keys were made.
    :raises OperatorError: when the folder cannot be used, or a part of what it held is gone.
    """
    refuse_optimised_python()
    _prepare(folder)
    with only_one(folder):
        if has_no_keys(folder):
            return _complete(folder, [], algorithms, now)
        records = read_ring(folder)
        read_lasting_secrets(folder)
        return _complete(folder, records, algorithms, now)


@dataclass(frozen=True, slots=True)
class Replacement:
    """What was lost and is made anew: the algorithms that have keys now, and whether there are other secrets."""

    algorithms: tuple[str, ...]
    secrets: bool


def replace_lost(folder: Path, algorithms: Iterable[str], now: float) -> Replacement:
    """Make anew what the folder has lost for ever: the ring, the secrets, or both. What is there stays.

    :raises OperatorError: when the folder cannot be used, or what is there is damaged.
    """
    refuse_optimised_python()
    _prepare(folder)
    with only_one(folder):
        without_secrets = not (folder / "secrets.json").exists()
        if not without_secrets:
            read_lasting_secrets(folder)
        records = read_ring(folder) if (folder / "ring.json").exists() else ()
        return Replacement(_complete(folder, records, algorithms, now), without_secrets)


def _complete(folder: Path, records: Iterable[KeyRecord], algorithms: Iterable[str], now: float) -> tuple[str, ...]:
    ring = list(records)
    present = {record.alg for record in ring if record.state == "signing"}
    missing = tuple(alg for alg in ALGORITHMS if alg in {"RS256", *algorithms} - present)
    for alg in missing:
        ring += [_make(alg, "signing", now), _make(alg, "next", now)]
    # Only now, when all is made: a start that is killed leaves one without the other as rarely as can be.
    if not (folder / "secrets.json").exists():
        made = {"version": 1, "subjects": secrets.token_hex(32), "master": secrets.token_hex(32)}
        replace(folder / "secrets.json", dump_json(made))
    if missing:
        _write(folder, ring)
    return missing


def rotate(
    folder: Path,
    algorithms: Collection[str],
    now: float,
    *,
    jwks_max_age: int,
    longest_token: int,
    emergency: bool = False,
) -> Rotation | TooEarly:
    """``next`` signs, ``signing`` retires, a new ``next`` is published; retired keys whose time is over go.

    All algorithms together or none. One that has no keys yet gets its first two. A ring must be there: that one is lost
    is no reason to sign with keys that nobody knows.

    :param algorithms: which rings; empty means every ring there is.
    :param longest_token: seconds that the longest-lived ID token is valid: the old key stays public that long.
    :param emergency: do not wait until the next key was public for ``jwks_max_age`` seconds.
    :returns: what was done, or which key is too young and how long to wait.
    :raises OperatorError: when the ring cannot be read or written.
    """
    refuse_optimised_python()
    read_ring(folder)  # says what is wrong, also when there is no folder to hold
    with only_one(folder):
        records = list(read_ring(folder))
        read_lasting_secrets(folder)
        present = {record.alg for record in records if record.state == "signing"}
        wanted = [alg for alg in ALGORITHMS if alg in (algorithms or present)]
        hurried = []
        for record in records:
            ready_at = record.ready_at(jwks_max_age)
            if record.alg in wanted and record.state == "next" and ready_at > now:
                if not emergency:
                    return TooEarly(record.alg, record.kid, ready_at, int(-(-(ready_at - now) // 1)))
                hurried.append(record.kid)
        records, pruned = _prune(records, now)
        swaps = []
        for alg in wanted:
            made = [_make(alg, "next", now)]
            if alg not in present:
                made.insert(0, _make(alg, "signing", now))
            old = _one(records, alg, "signing")
            records = [_step(record, now, longest_token) if record.alg == alg else record for record in records] + made
            swaps.append(
                Swap(
                    alg=alg,
                    signing=_one(records, alg, "signing").kid,  # type: ignore[union-attr]  # there is always one now
                    retired=old.kid if old else None,
                    next=made[-1].kid,
                    public_until=int(now) + longest_token + CLOCK_SKEW if old else None,
                )
            )
        _write(folder, records)
        return Rotation(tuple(swaps), pruned, tuple(hurried))


def prune(folder: Path, now: float) -> tuple[str, ...]:
    """Take retired keys whose last token has expired out of /jwks.

    :returns: their kids.
    :raises OperatorError: when the ring cannot be read or written.
    """
    read_ring(folder)  # says what is wrong, also when there is no folder to hold
    with only_one(folder):
        records, pruned = _prune(list(read_ring(folder)), now)
        if pruned:
            _write(folder, records)
        return pruned


def revoke(folder: Path, kid: str, now: float) -> Revocation:
    """Take a stolen key out of use at once: no token that it signed counts any more (KY-05).

    If it was signing, the ``next`` key signs from now on, however young; a new ``next`` is published.

    :raises OperatorError: when there is no such key, or it is gone already.
    """
    read_ring(folder)  # says what is wrong, also when there is no folder to hold
    with only_one(folder):
        records = list(read_ring(folder))
        found = next((record for record in records if record.kid == kid), None)
        if found is None or not found.is_public:
            known = ", ".join(record.kid for record in records if record.is_public)
            raise OperatorError(f"No key in use is called {kid!r}. In use: {known}")
        dead = found.model_copy(update={"state": "gone", "gone_at": int(now), "revoked": True, "private": None})
        records[records.index(found)] = dead
        successor = _one(records, found.alg, "next") if found.state == "signing" else None
        if successor is not None:
            signing = successor.model_copy(update={"state": "signing", "signing_at": int(now)})
            records[records.index(successor)] = signing
        made = _make(found.alg, "next", now) if found.state in ("signing", "next") else None
        if made is not None:
            records.append(made)
        _write(folder, records)
        return Revocation(kid, found.alg, found.state, successor.kid if successor else None, made.kid if made else None)


def read_ring(folder: Path) -> tuple[KeyRecord, ...]:
    """All keys, also those that are gone, in the order in which they were made.

    :raises OperatorError: when the ring is missing, damaged, or readable by others.
    """
    path = folder / "ring.json"
    try:
        ring = _Ring.model_validate_json(read_private(path))
    except FileNotFoundError as error:
        raise OperatorError(_no_keys(folder)) from error
    except OSError as error:
        raise OperatorError(
            f"{path}: cannot be read ({error.strerror}). It must belong to the user who runs idp."
        ) from error
    except ValidationError as error:
        raise OperatorError(f"{path}: damaged ({_where(error)}). Restore keys/ from the backup.") from None
    records = tuple(ring.keys)
    if len({record.kid for record in records}) != len(records):
        raise OperatorError(f"{path}: damaged (one kid twice). Restore keys/ from the backup.")
    for alg in {"RS256"} | {record.alg for record in records if record.is_public}:
        for state in ("signing", "next"):
            if sum(record.alg == alg and record.state == state for record in records) != 1:
                raise OperatorError(
                    f"{path}: damaged ({alg} needs exactly one {state} key). Restore keys/ from the backup."
                )
    return records


def read_lasting_secrets(folder: Path) -> LastingSecrets:
    """The secrets that never change.

    :raises OperatorError: when they are missing, damaged, or readable by others.
    """
    path = folder / "secrets.json"
    try:
        return LastingSecrets.model_validate_json(read_private(path))
    except OSError as error:
        raise OperatorError(
            f"{path}: missing ({error.strerror}). Restore it from the backup: subject identifiers of pairwise clients rest "
            "on it. If there is no backup, see “secrets.json is lost” in docs/operators/rotate-keys.md"
        ) from error
    except ValidationError as error:
        raise OperatorError(f"{path}: damaged ({_where(error)}). Restore keys/ from the backup.") from None


def refuse_optimised_python() -> None:
    """Under ``python -O`` the libraries below lose checks that they wrote as assertions (P-32).

    :raises OperatorError: then.
    """
    if not __debug__:
        raise OperatorError(
            "Python runs with -O or PYTHONOPTIMIZE, which switches security checks off. Start it without."
        )


def _make(alg: str, state: Literal["next", "signing"], now: float) -> KeyRecord:
    # The randomness of keys is the operating system's and no argument: a test that could choose it, so could a mistake.
    private = _MAKERS[alg]()
    public = private.public_key()
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    day = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d")
    kid = f"{alg.lower()}-{day}-{hashlib.sha256(spki).hexdigest()[:8]}"
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return KeyRecord(
        kid=kid,
        alg=alg,  # type: ignore[arg-type]  # one of ALGORITHMS; pydantic checks it
        state=state,
        created_at=int(now),
        signing_at=int(now) if state == "signing" else None,
        jwk=public_jwk(public, kid, alg),
        private=pem.decode("ascii"),
    )


_MAKERS: dict[str, Callable[[], PrivateKey]] = {
    "RS256": lambda: rsa.generate_private_key(65537, RSA_BITS),
    "PS256": lambda: rsa.generate_private_key(65537, RSA_BITS),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


def _step(record: KeyRecord, now: float, longest_token: int) -> KeyRecord:
    if record.state == "next":
        return record.model_copy(update={"state": "signing", "signing_at": int(now)})
    if record.state == "signing":
        until = int(now) + longest_token + CLOCK_SKEW
        return record.model_copy(
            update={"state": "retired", "retired_at": int(now), "public_until": until, "private": None}
        )
    return record


def _prune(records: list[KeyRecord], now: float) -> tuple[list[KeyRecord], tuple[str, ...]]:
    over = {r.kid for r in records if r.state == "retired" and r.public_until is not None and r.public_until <= now}
    gone = {"state": "gone", "gone_at": int(now)}
    return [r.model_copy(update=gone) if r.kid in over else r for r in records], tuple(sorted(over))


def _one(records: Iterable[KeyRecord], alg: str, state: str) -> KeyRecord | None:
    return next((record for record in records if record.alg == alg and record.state == state), None)


def _prepare(folder: Path) -> None:
    with usable(folder, "IDP_KEYS"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (folder / "ring.json").exists():
            folder.chmod(0o700)  # a checkout made it, readable by all, before there was anything to hide


def _write(folder: Path, records: list[KeyRecord]) -> None:
    replace(folder / "ring.json", _Ring(version=1, keys=records).model_dump_json(indent=1, exclude_none=True).encode())


def _no_keys(folder: Path) -> str:
    return (
        f"{folder.absolute()}: no {'keys' if has_no_keys(folder) else 'ring.json'} there. Is it the right folder (IDP_KEYS)? "
        f"Keys are made by the first start of `idp serve`. If they are lost, {RESTORE}"
    )


def _where(error: ValidationError) -> str:
    # Never the input: it may be a private key.
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    return ": ".join(filter(None, (".".join(str(part) for part in first["loc"]), first["type"])))
