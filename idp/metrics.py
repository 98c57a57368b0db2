"""Metrics for Prometheus. Under ``idp serve`` each process keeps its numbers in a file that all can read (``share_metrics``).

Labels are from closed lists (routes, statuses, reasons), never what somebody sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, values
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ours = CollectorRegistry()
_requests = Histogram(
    "idp_request_seconds",
    "Requests by endpoint and status, and how long they took.",
    ["endpoint", "status"],
    registry=_ours,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
_failures = Counter(
    "idp_failed_steps", "Failed steps of attempts by reason (docs/reasons.md).", ["reason"], registry=_ours
)


def count_request(endpoint: str, status: int, seconds: float) -> None:
    """Count an answer.

    :param endpoint: the route, never the path that was sent.
    """
    _request(endpoint, status).observe(seconds)


def count_failure(reason: str) -> None:
    """Count a failed step of an attempt."""
    _failures.labels(reason).inc()


def exposition(now: Iterable[tuple[str, str, Mapping[str, float]]]) -> bytes:
    """All numbers of all workers, in the text format 0.0.4.

    :param now: gauges that are read at this moment: name, help, and value by the label ``of``.
    """
    registry = CollectorRegistry()
    if values.ValueClass is values.MutexValue:  # this process is the only one
        registry.register(_ours)
    else:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus-client leaves it untyped
    registry.register(_Now(now))
    return generate_latest(registry)


class _Now(Collector):
    def __init__(self, gauges: Iterable[tuple[str, str, Mapping[str, float]]]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        for name, documentation, found in self._gauges:
            gauge = GaugeMetricFamily(name, documentation, labels=["of"])
            for of, value in found.items():
                gauge.add_metric([of], value)
            yield gauge


@lru_cache(maxsize=1024)
def _request(endpoint: str, status: int) -> Histogram:
    return _requests.labels(endpoint, status)
