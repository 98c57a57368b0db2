"""``/operator/reasons``: why attempts failed in the last two weeks, as a chart that is drawn here, with the same in a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import Blueprint, Response, abort, request

from idp.admin.access import admin_page, needs
from idp.admin.staff import Right
from idp.attempts import DAY, reasons_by_day
from idp.parts import parts
from idp.reasons import REASONS
from idp.redirects import go

bp = Blueprint("reason_charts", __name__)

PATH = "/operator/reasons"
DAYS = 14
MOST_SERIES = 6  # reasons with a colour of their own; the others are one
OTHERS = "others"

# The drawing, in its own units.
LEFT, TOP, HEIGHT, STEP, BAR = 44, 12, 180, 42, 28
WIDTH = LEFT + DAYS * STEP


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a bar: ``series`` is the number of its reason, from 0."""

    x: int
    y: float
    height: float
    series: int


@dataclass(frozen=True, slots=True)
class Row:
    """A reason with its counts, one for each day. ``told``: its sentence is in the catalogues."""

    series: int
    reason: str
    told: bool
    counts: tuple[int, ...]

    @property
    def whole(self) -> int:
        """In all these days."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn: ``labels`` are the days with where they stand, ``lines`` the heights with their numbers."""

    rows: tuple[Row, ...]
    pieces: tuple[Piece, ...]
    labels: tuple[tuple[int, str], ...]
    lines: tuple[tuple[float, int], ...]


@bp.get(PATH)
@needs(Right.see_operations)
def show_reasons() -> Response:
    """Of all products, and of attempts that named none."""
    return _page("")


@bp.get(f"{PATH}/<client_id>")
@needs(Right.see_operations)
def show_reasons_of(client_id: str) -> Response:
    """Of one product."""
    if client_id not in parts().clients.all():
        abort(404)
    return _page(client_id)


@bp.post(PATH)
@needs(Right.see_operations)
def choose_product() -> Response:
    """From the list of products to the one that was chosen."""
    client_id = request.form.get("client", "")
    return go(f"{PATH}/{client_id}" if client_id in parts().clients.all() else PATH)


def draw(counts: Mapping[tuple[int, str], int], first: int) -> Chart:
    """The chart of counts by (day, reason), for the days from ``first`` on."""
    wholes: Counter[str] = Counter()
    for (_, reason), number in counts.items():
        wholes[reason] += number
    ranked = sorted(wholes, key=lambda reason: (-wholes[reason], reason))
    days = range(first, first + DAYS)
    rows = [
        Row(series, reason, reason in REASONS, tuple(counts.get((day, reason), 0) for day in days))
        for series, reason in enumerate(ranked[:MOST_SERIES])
    ]
    if rest := ranked[MOST_SERIES:]:
        summed = tuple(sum(counts.get((day, reason), 0) for reason in rest) for day in days)
        rows.append(Row(MOST_SERIES, OTHERS, False, summed))
    top = _round_up(max((sum(row.counts[number] for row in rows) for number in range(DAYS)), default=0))
    names = [datetime.fromtimestamp(day * DAY, UTC).strftime("%m-%d") for day in days]
    pieces = []
    for number in range(DAYS):
        floor = float(TOP + HEIGHT)
        for row in rows:
            tall = row.counts[number] * HEIGHT / top
            floor -= tall
            if tall:
                at = LEFT + number * STEP + (STEP - BAR) // 2
                pieces.append(Piece(at, round(floor, 1), round(tall, 1), row.series))
    labels = tuple((LEFT + number * STEP + STEP // 2, day) for number, day in enumerate(names))
    lines = tuple((TOP + HEIGHT * (1 - part / 2), top * part // 2) for part in (0, 1, 2))
    return Chart(tuple(rows), tuple(pieces), labels, lines)


def _round_up(number: int) -> int:
    """The next even number that people like to read: 2, 4, 6, 10, 20, 40 …"""
    size = 1
    while True:
        for nice in (2, 4, 6, 10):
            if nice * size >= number:
                return nice * size
        size *= 10


def _page(client_id: str) -> Response:
    here = parts()
    first = int(here.clock()) // DAY - DAYS + 1
    with here.database.reading() as db:
        counts = reasons_by_day(db, client_id, first)
    return admin_page(
        "admin/operator_reasons.html",
        place="operator",
        here="reasons",
        chart=draw(counts, first),
        width=WIDTH,
        height=TOP + HEIGHT + 24,
        left=LEFT,
        bar=BAR,
        client_id=client_id,
        products=sorted((client.name, client.client_id) for client in here.clients.all().values()),
    )
