"""``/operator/keys``: the signing keys and what comes next. Moving them on is a command's work, at the server that holds them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flask import Blueprint, Response

from idp.admin.access import admin_page, needs
from idp.admin.operator_counts import moment
from idp.admin.staff import Right
from idp.errors import OperatorError
from idp.keys import ALGORITHMS, KeyRecord, read_ring
from idp.parts import parts

bp = Blueprint("key_pages", __name__)

ORDER = ("signing", "next", "retired", "gone")
MOST_GONE = 5  # of an algorithm: the newest


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it may be shown: ``dates`` are what happened when, or will, each as (what, when)."""

    kid: str
    state: str
    revoked: bool
    dates: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys of one algorithm.

    :ivar step: what comes next: wait (until ``at``) or rotate.
    :ivar rotate: the command that rotates them; ``prune``: the one that removes a retired key which nobody needs, "": there is none.
    """

    alg: str
    keys: tuple[Key, ...]
    step: str
    at: str
    rotate: str
    prune: str


@bp.get("/operator/keys")
@needs(Right.see_operations)
def show_keys() -> Response:
    """The ring of each algorithm, as it stands in the file."""
    here = parts()
    problem = here.keys.problem or ""
    try:
        rings = rings_of(read_ring(here.config.keys), here.config.jwks_max_age, here.clock())
    except OperatorError as error:
        rings, problem = [], str(error)
    return admin_page("admin/operator_keys.html", place="operator", here="keys", rings=rings, problem=problem)


def rings_of(records: Iterable[KeyRecord], jwks_max_age: int, now: float) -> list[Ring]:
    """What is shown of the keys, without any part of them but their names."""
    known = list(records)
    return [
        _ring(alg, [record for record in known if record.alg == alg], jwks_max_age, now)
        for alg in ALGORITHMS
        if any(record.alg == alg for record in known)
    ]


def _ring(alg: str, records: list[KeyRecord], jwks_max_age: int, now: float) -> Ring:
    records.sort(key=lambda record: (ORDER.index(record.state), -record.created_at))
    gone = [record for record in records if record.state == "gone"]
    ready = next((record.ready_at(jwks_max_age) for record in records if record.state == "next"), None)
    over = (record.state == "retired" and (record.public_until or 0) <= now for record in records)
    return Ring(
        alg,
        tuple(_key(record) for record in records if record not in gone[MOST_GONE:]),
        "wait" if ready is not None and ready > now else "rotate",
        moment(ready) if ready is not None else "",
        f"idp keys rotate --alg {alg}",
        "idp keys prune" if any(over) else "",
    )


def _key(record: KeyRecord) -> Key:
    dates = {
        "created": record.created_at,
        "signing": record.signing_at,
        "retired": record.retired_at,
        "public_until": record.public_until,
        "gone": record.gone_at,
    }
    known = tuple((what, moment(at)) for what, at in dates.items() if at is not None)
    return Key(record.kid, record.state, record.revoked, known)
