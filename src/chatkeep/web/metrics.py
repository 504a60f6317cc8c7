"""Counters and durations for Prometheus; nothing in them tells content or who called."""

import logging

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from chatkeep.core.model import Status
from chatkeep.core.retention import Expired

CONTENT_TYPE = CONTENT_TYPE_LATEST
_log = logging.getLogger("chatkeep")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """One registry a server, so that two in one process do not meet. Is the core's Watcher."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "chatkeep_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "chatkeep_request_seconds",
            "Time from a request's arrival to the end of its answer.",
            ("route", "method"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._kept = Counter(
            "chatkeep_completions_kept",
            "Completions committed to the store, by how they ended.",
            ("status",),
            registry=self._registry,
        )
        self._not_kept = Counter(
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

        self._of_route: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        found = self._of_route.get((route, method, status))
        if found is None:
            found = (
                self._requests.labels(route, method, status),
                self._seconds.labels(route, method),
            )
            self._of_route[route, method, status] = found
        requests, histogram = found
        requests.inc()
        histogram.observe(seconds)

    def kept(self, status: Status) -> None:
        self._kept.labels(status).inc()

    def not_kept(self, reason: str, error: Exception | None) -> None:
        self._not_kept.labels(reason).inc()
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
