"""Counters and durations for Prometheus; nothing in them tells content or who called."""

import logging
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from math import inf

from prometheus_client import CollectorRegistry, Counter, ProcessCollector
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from chatkeep.core.model.completion import STATUSES, Status
from chatkeep.core.records.retention import Expired

CONTENT_TYPE = CONTENT_TYPE_LATEST
_log = logging.getLogger("chatkeep")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_BOUNDS = tuple(map(floatToGoString, (*_BUCKETS, inf)))


class _Durations:
    """Of the requests of one route, method and status."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.buckets = [0] * len(_BOUNDS)

    def include(self, other: "_Durations") -> None:
        self.seconds += other.seconds
        self.buckets = [mine + its for mine, its in zip(self.buckets, other.buckets, strict=True)]


class Requests(Collector):
    """Plain numbers until Prometheus asks: its own counters lock each, 3 µs a request."""

    def __init__(self) -> None:
        self._answered: dict[tuple[str, str, int], _Durations] = {}

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        found = self._answered.get((route, method, status))
        if found is None:
            found = self._answered[route, method, status] = _Durations()
        found.seconds += seconds
        found.buckets[bisect_left(_BUCKETS, seconds)] += 1

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "chatkeep_requests", "Requests answered.", labels=("route", "method", "status")
        )
        durations: dict[tuple[str, str], _Durations] = {}
        for (route, method, status), found in self._answered.items():
            requests.add_metric((route, method, str(status)), sum(found.buckets))
            durations.setdefault((route, method), _Durations()).include(found)
        seconds = HistogramMetricFamily(
            "chatkeep_request_seconds",
            "Time from a request's arrival to the end of its answer.",
            labels=("route", "method"),
        )
        for labels, total in durations.items():
            buckets = list(zip(_BOUNDS, accumulate(total.buckets), strict=True))
            seconds.add_metric(labels, buckets, total.seconds)
        yield requests
        yield seconds


class Metrics:
    """One registry a server, so that two in one process do not meet. Is the core's Watcher."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Requests()
        self._registry.register(self.requests)
        stored = Counter(
            "chatkeep_completions_kept",
            "Completions committed to the store, by how they ended.",
            ("status",),
            registry=self._registry,
        )
        self._stored: dict[Status, Counter] = {status: stored.labels(status) for status in STATUSES}
        self._not_stored = Counter(
            "chatkeep_completions_not_kept",
            "Completions that were to be stored and were not, by reason.",
            ("reason",),
            registry=self._registry,
        )
        self._expired: dict[Expired, Counter] = {
            "completions": Counter(
                "chatkeep_completions_expired",
                "Completions deleted because their project keeps them no longer.",
                registry=self._registry,
            ),
            "bodies": Counter(
                "chatkeep_bodies_expired",
                "Completions whose request and answer their project keeps no longer.",
                registry=self._registry,
            ),
        }

    def stored(self, status: Status) -> None:
        self._stored[status].inc()

    def not_stored(self, reason: str, error: Exception | None) -> None:
        self._not_stored.labels(reason).inc()
        _log.warning(
            "a completion was not kept",
            extra={"reason": reason, "error": None if error is None else str(error)},
        )

    def expired(self, project: str, what: Expired, count: int, error: str | None) -> None:
        self._expired[what].inc(count)
        _log.info(f"{what} were deleted for their age", extra={"project": project, what: count})
        if error is not None:
            extra = {"project": project, "error": error}
            _log.warning(f"{what} could not be deleted for their age", extra=extra)

    def text(self) -> bytes:
        return generate_latest(self._registry)
