"""Metrics of a collector for Prometheus, summed over its processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from typing_extensions import override

from remit.collector.metrics import DB_ERRORS, ITEMS, REJECTIONS, REQUESTS, SPANS, Metrics

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LATENCY: Final = "remit_request_duration_seconds"
LATENCY_TEXT: Final = "Duration of requests, by route."
LATENCY_LABELS: Final = ("route",)
COUNTERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    REQUESTS: ("Requests, by method, route and status.", ("method", "route", "status")),
    SPANS: ("Spans created.", ()),
    ITEMS: ("Items of bulk requests, carried out or rejected.", ()),
    REJECTIONS: ("Rejected requests and rejected bulk items, by code.", ("code",)),
    DB_ERRORS: (
        "API requests that got 503, because the database or memory for bodies was unavailable.",
        (),
    ),
}
"""Text and labels of each counter."""
WORKER: Final = "worker"
"""The label with the id of the process, which all samples have."""
DIRECTORY_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The directory in which processes share their counts; prometheus_client reads it at import."""
_SAMPLES: Final = (*COUNTERS, *(f"{LATENCY}_{suffix}" for suffix in ("bucket", "count", "sum")))


class PrometheusMetrics(Metrics):
    """The counters of one process; its methods may be called from any thread."""

    def __init__(self, directory: Path | None = None) -> None:
        """Begin at zero.

        Args:
            directory: That of `DIRECTORY_VARIABLE`, if several processes share a port; the variable
                has to be set before the process starts.
        """
        own, everything = CollectorRegistry(), CollectorRegistry()
        self._worker = str(os.getpid())
        self._counters = {
            name: Counter(name, text, (WORKER, *labels), registry=own)
            for name, (text, labels) in COUNTERS.items()
        }
        self._latency = Histogram(
            LATENCY,
            LATENCY_TEXT,
            (WORKER, *LATENCY_LABELS),
            buckets=BUCKETS_S,
            registry=own,
        )
        for name, counter in self._counters.items():
            if not COUNTERS[name][1]:
                counter.labels(self._worker)  # a counter that is zero has a sample
        if directory is not None:
            MultiProcessCollector(everything, str(directory))  # type: ignore[no-untyped-call]  # its constructor has no annotations
        # Without `_created`, which several processes do not have either.
        self._exposed = own.restricted_registry(_SAMPLES) if directory is None else everything

    @override
    def add(self, name: str, *labels: str, count: int = 1) -> None:
        self._counters[name].labels(self._worker, *labels).inc(count)

    @override
    def took(self, route: str, seconds: float) -> None:
        self._latency.labels(self._worker, route).observe(seconds)

    @override
    def text(self) -> bytes:
        return generate_latest(self._exposed)
