"""The counters of a collector, and their text for Prometheus."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from remit.collector.metrics import BUCKETS_S, REFUSALS, REQUESTS, SPANS, Metrics

LABEL = r'[a-z]+="(\\.|[^"\\\n])*"'
LINE = re.compile(rf"# (HELP|TYPE) [a-z_]+ .+|[a-z_]+\{{{LABEL}(,{LABEL})*\}} [0-9.]+")


def values(text: str, name: str) -> dict[str, float]:
    """Return the samples of a metric, by their labels without the worker."""
    found = re.findall(rf'^{name}{{worker="[0-9]+",?(.*)}} ([0-9.]+)$', text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def test_what_was_counted_is_told() -> None:
    """By labels, in lines that a reader of the format understands."""
    metrics = Metrics()
    metrics.add(REQUESTS, "GET", "/api/v1/ping", "200")
    metrics.add(REQUESTS, "GET", "/api/v1/ping", "200")
    metrics.add(SPANS, count=7)
    metrics.add(REFUSALS, 'a "quoted"\\code')

    text = metrics.text()

    assert values(text, REQUESTS) == {'method="GET",route="/api/v1/ping",status="200"': 2}
    assert values(text, SPANS) == {"": 7}
    assert values(text, REFUSALS) == {r'code="a \"quoted\"\\code"': 1}
    assert [line for line in text.splitlines() if not LINE.fullmatch(line)] == []


def test_how_long_requests_took_is_a_histogram() -> None:
    """Each bucket holds those before it, the last holds all."""
    metrics = Metrics()
    for seconds in (0.0005, 0.001, 0.3, 99.0):
        metrics.took("/x", seconds)

    text = metrics.text()
    buckets = values(text, "remit_request_duration_seconds_bucket")

    assert list(buckets.values()) == sorted(buckets.values())
    assert len(buckets) == len(BUCKETS_S) + 1
    assert buckets['route="/x",le="0.001"'] == 2
    assert buckets['route="/x",le="0.5"'] == 3
    assert buckets['route="/x",le="+Inf"'] == 4
    assert values(text, "remit_request_duration_seconds_count") == {'route="/x"': 4}
    assert values(text, "remit_request_duration_seconds_sum") == {'route="/x"': 99.3015}


def test_processes_that_share_a_port_tell_all_that_they_counted(tmp_path: Path) -> None:
    """Whichever of them is asked, and also what one counted that is gone."""
    gone = Metrics(tmp_path)
    gone.add(SPANS, count=3)
    gone.share()
    own = tmp_path / f"{os.getpid()}.metrics"
    own.rename(tmp_path / "1.metrics")
    metrics = Metrics(tmp_path)
    metrics.add(SPANS, count=4)

    text = metrics.text()

    assert re.findall(rf'^{SPANS}{{worker="([0-9]+)"}} ([0-9]+)$', text, re.MULTILINE) == [
        (str(os.getpid()), "4"),
        ("1", "3"),
    ]


def test_a_folder_that_is_gone_is_no_fault(tmp_path: Path) -> None:
    """It goes with the process that made it, while others still count."""
    metrics = Metrics(tmp_path / "gone")
    metrics.add(SPANS)

    assert values(metrics.text(), SPANS) == {"": 1}


@pytest.fixture
def taking_turns() -> Iterator[None]:
    """Have threads take turns as often as they can."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before_s)


@pytest.mark.usefixtures("taking_turns")
def test_all_threads_are_counted() -> None:
    """However they take turns."""
    metrics = Metrics()

    def count() -> None:
        for _ in range(20_000):
            metrics.add(SPANS)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert values(metrics.text(), SPANS) == {"": 80_000}
