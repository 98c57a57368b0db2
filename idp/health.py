"""Health and numbers: what an orchestrator, a load balancer and Prometheus ask. The answers name parts, never details."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from time import perf_counter

from flask import Blueprint, Response, abort, g, request
from sqlalchemy import func, select

from idp.attempts import STREAM
from idp.metrics import CONTENT_TYPE, count_request, exposition
from idp.models import OutboxMail
from idp.parts import Parts, parts
from idp.readiness import readiness

bp = Blueprint("health", __name__)


@bp.get("/health/live")
def live() -> Response:
    """200 while this process answers at all: restart it if not."""
    return _say(200, {"status": "live"})


@bp.get("/health/ready")
def ready() -> Response:
    """200 if people can sign in here, else 503. ``kept``: a file is wrong, and what it said before still holds."""
    here = parts()
    found = readiness(here.store, here.database, here.clients, here.keys)
    if set(found.values()) <= {"ok", "kept"}:
        return _say(200, {"status": "ready", "parts": found})
    response = _say(503, {"status": "not ready", "parts": found})
    response.headers["Retry-After"] = "5"
    return response


@bp.get("/metrics")
def metrics() -> Response:
    """Numbers for Prometheus, for whoever knows IDP_METRICS_TOKEN; without that setting there is no such page."""
    here = parts()
    expected = here.config.metrics_token
    if not expected:
        abort(404)
    given = request.headers.get("Authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {expected}".encode()):
        return Response(status=401, headers={"WWW-Authenticate": 'Bearer realm="metrics"'})
    return Response(exposition(_gauges(here)), content_type=CONTENT_TYPE)


def _gauges(here: Parts) -> list[tuple[str, str, Mapping[str, float]]]:
    """What is only true at this moment. What cannot be asked now is left out, and ``idp_ready`` says why."""
    found = readiness(here.store, here.database, here.clients, here.keys)
    gauges: list[tuple[str, str, Mapping[str, float]]] = [
        (
            "idp_ready",
            "Whether a part is in order (1) or not (0).",
            {part: float(state == "ok") for part, state in found.items()},
        )
    ]
    if found["redis"] == "ok":
        waiting = float(here.store.command("XLEN", STREAM))
        gauges.append(
            ("idp_receipts_waiting", "Parcels of steps that the worker has not drained.", {"stream": waiting})
        )
    if found["migrations"] == "ok":
        with here.database.reading() as db:
            rows = db.execute(select(OutboxMail.state, func.count()).group_by(OutboxMail.state)).all()
        gauges.append(("idp_mails", "Mails in the outbox by state.", {state: float(count) for state, count in rows}))
    return gauges


@bp.before_app_request
def _start_the_clock() -> None:
    g.started = perf_counter()


@bp.after_app_request
def _count(response: Response) -> Response:
    if parts().config.metrics_token:
        now = perf_counter()
        rule = request.url_rule
        # A form that csrf.py refuses never came as far as our clock.
        count_request(rule.rule if rule else "none", response.status_code, now - g.get("started", now))
    return response


def _say(status: int, value: Mapping[str, object]) -> Response:
    return Response(json.dumps(value), status, content_type="application/json", headers={"Cache-Control": "no-store"})
