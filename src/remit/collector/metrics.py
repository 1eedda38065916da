"""Metrics of a collector in Prometheus' text format, summed over its processes.

By hand, because the format is a page long, while the library of that name keeps its counters in a
global registry and several processes' in files that a variable of the environment must name.

Source: the text-based exposition format, version 0.0.4.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
REQUESTS: Final = "remit_requests_total"
LATENCY: Final = "remit_request_duration_seconds"
SPANS: Final = "remit_spans_ingested_total"
ITEMS: Final = "remit_bulk_items_total"
REFUSALS: Final = "remit_refusals_total"
DB_ERRORS: Final = "remit_database_errors_total"
HELP: Final = {
    REQUESTS: "Requests answered, by route and status.",
    SPANS: "Spans created.",
    ITEMS: "Operations carried out or refused in bulk requests.",
    REFUSALS: "Requests and bulk items refused, by code.",
    DB_ERRORS: "Requests that failed because the database could not be used.",
}
LABELS: Final = {
    REQUESTS: ("method", "route", "status"),
    SPANS: (),
    ITEMS: (),
    REFUSALS: ("code",),
    DB_ERRORS: (),
}
_SUFFIX: Final = ".metrics"


class Counted(msgspec.Struct):
    """What one process counted.

    Attributes:
        counters: By name of the metric, then by its labels' values joined by line feeds.
        buckets: By route, how many requests took so long; the last took longer than all of them.
        seconds: By route, how long all took together.
    """

    counters: dict[str, dict[str, int]] = msgspec.field(
        default_factory=lambda: {name: {} if LABELS[name] else {"": 0} for name in HELP}
    )
    buckets: dict[str, list[int]] = {}
    seconds: dict[str, float] = {}


class Metrics:
    """The counters of one process; its methods may be called from any thread."""

    def __init__(self, folder: Path | None = None) -> None:
        """Count from nothing.

        Args:
            folder: Where the processes that share a port tell each other what they counted.
        """
        self._counted = Counted()
        self._lock = threading.Lock()
        self._folder = folder
        self._shared = b""

    def add(self, name: str, *labels: str, count: int = 1) -> None:
        """Count something."""
        values = self._counted.counters[name]
        key = "\n".join(labels)
        with self._lock:
            values[key] = values.get(key, 0) + count

    def took(self, route: str, seconds: float) -> None:
        """Count how long a request to *route* took."""
        with self._lock:
            buckets = self._counted.buckets.setdefault(route, [0] * (len(BUCKETS_S) + 1))
            buckets[bisect_left(BUCKETS_S, seconds)] += 1
            self._counted.seconds[route] = self._counted.seconds.get(route, 0.0) + seconds

    def share(self) -> None:
        """Tell the other processes what was counted, if there are any and there is news."""
        if self._folder is None:
            return
        counted = self._encoded()
        if counted == self._shared:
            return
        path = self._folder / f"{os.getpid()}{_SUFFIX}"
        new = path.with_suffix(".new")
        # The folder may be gone when the processes are being stopped.
        with suppress(OSError):
            new.write_bytes(counted)
            new.replace(path)
            self._shared = counted

    def text(self) -> str:
        """Return what all processes counted, each with its number."""
        self.share()
        return "\n".join(_lines(self._all())) + "\n"

    def _all(self) -> dict[str, Counted]:
        own = str(os.getpid())
        # A copy, which nobody counts in while it is written down.
        found = {own: msgspec.json.decode(self._encoded(), type=Counted)}
        if self._folder is not None:
            for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
                if path.stem != own:
                    found[path.stem] = msgspec.json.decode(path.read_bytes(), type=Counted)
        return found

    def _encoded(self) -> bytes:
        with self._lock:
            return msgspec.json.encode(self._counted)


def _lines(counted: Mapping[str, Counted]) -> Iterable[str]:
    for name, text in HELP.items():
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} counter"
        for worker, of in counted.items():
            for key, value in sorted(of.counters[name].items()):
                labels = zip(LABELS[name], key.split("\n"), strict=False)
                yield f"{name}{_labels(worker, dict(labels))} {value}"
    yield f"# HELP {LATENCY} How long requests took, by route."
    yield f"# TYPE {LATENCY} histogram"
    for worker, of in counted.items():
        for route, buckets in sorted(of.buckets.items()):
            yield from _histogram(worker, route, buckets, of.seconds[route])


def _histogram(worker: str, route: str, buckets: list[int], seconds: float) -> Iterable[str]:
    total = 0
    for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), buckets, strict=True):
        total += count
        labels = _labels(worker, {"route": route, "le": bound})
        yield f"{LATENCY}_bucket{labels} {total}"
    labels = _labels(worker, {"route": route})
    yield f"{LATENCY}_sum{labels} {seconds:.6f}"
    yield f"{LATENCY}_count{labels} {total}"


def _labels(worker: str, labels: Mapping[str, str]) -> str:
    said = {"worker": worker, **labels}
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in said.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
