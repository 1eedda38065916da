"""The counters of a collector, and their text for Prometheus."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from remit.collector.metrics import REJECTIONS, REQUESTS, SPANS
from remit.collector.server.prometheus import (
    BUCKETS_S,
    DIRECTORY_VARIABLE,
    LATENCY,
    PrometheusMetrics,
)
from tests.serving import environment

MONITOR = Path(__file__).parents[2] / "docs" / "operate" / "monitor.md"
COUNT = """
import sys
from pathlib import Path
from remit.collector.metrics import SPANS
from remit.collector.server.prometheus import PrometheusMetrics
metrics = PrometheusMetrics(Path(sys.argv[1]))
metrics.add(SPANS, count=int(sys.argv[2]))
sys.stdout.buffer.write(metrics.text())
"""


def samples(text: bytes, name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a metric, by the values of their labels without the worker."""
    return {
        tuple(value for label, value in sample.labels.items() if label != "worker"): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name == name
    }


def test_counters_have_labels() -> None:
    """Any value of a label can be read back; a counter without labels begins at zero."""
    metrics = PrometheusMetrics()
    metrics.add(REQUESTS, "GET", "/api/v1/ping", "200")
    metrics.add(REQUESTS, "GET", "/api/v1/ping", "200")
    metrics.add(REJECTIONS, 'a "quoted"\\code\n')

    text = metrics.text()

    assert samples(text, REQUESTS) == {("GET", "/api/v1/ping", "200"): 2}
    assert samples(text, REJECTIONS) == {('a "quoted"\\code\n',): 1}
    assert samples(text, SPANS) == {(): 0}


def test_each_metric_has_a_row_in_the_documentation() -> None:
    """The names, types and meanings that a scraper reads are those of the page."""
    metrics = PrometheusMetrics()
    metrics.add(REQUESTS, "GET", "/api/v1/ping", "200")
    metrics.add(REJECTIONS, "bad_request")
    metrics.took("/api/v1/ping", 0.1)
    text = metrics.text().decode()
    exposed = re.findall(r"^# HELP (\w+) (.*)\n# TYPE \1 (\w+)$", text, re.MULTILINE)
    row = re.compile(r"^\| `(remit_\w+)` \| (\w+) \| .* \| (.*) \|$", re.MULTILINE)

    rows = [(name, text, kind) for name, kind, text in row.findall(MONITOR.read_text())]

    assert len(rows) > 4
    assert sorted(rows) == sorted(exposed)


def test_how_long_requests_took_is_a_histogram() -> None:
    """Each bucket includes those below it."""
    metrics = PrometheusMetrics()
    for seconds in (0.0005, 0.001, 0.3, 99.0):
        metrics.took("/x", seconds)

    text = metrics.text()
    buckets = samples(text, f"{LATENCY}_bucket")

    assert len(buckets) == len(BUCKETS_S) + 1
    assert buckets["0.001", "/x"] == 2
    assert buckets["0.5", "/x"] == 3
    assert buckets["+Inf", "/x"] == 4
    assert samples(text, f"{LATENCY}_count") == {("/x",): 4}
    assert samples(text, f"{LATENCY}_sum") == {("/x",): 99.3015}


def test_the_names_of_the_samples_are_those_of_the_manual() -> None:
    """The library's samples of when a counter was created are left out."""
    metrics = PrometheusMetrics()
    metrics.add(REQUESTS, "GET", "/x", "200")
    metrics.took("/x", 1.0)

    assert not re.search(rb"^\w+_created", metrics.text(), re.MULTILINE)


def test_processes_that_share_a_port_report_all_counts(tmp_path: Path) -> None:
    """Each process reports also the counts of one that has ended."""
    env = environment(**{DIRECTORY_VARIABLE: str(tmp_path)})
    for count in (3, 4):
        command = [sys.executable, "-c", COUNT, str(tmp_path), str(count)]
        text = subprocess.run(command, env=env, check=True, capture_output=True, timeout=60).stdout

    found = re.findall(rf'^{SPANS}{{worker="(\d+)"}} (\S+)$', text.decode(), re.MULTILINE)
    assert sorted(count for _, count in found) == ["3.0", "4.0"]
    assert len({worker for worker, _ in found}) == 2


def test_all_threads_are_counted() -> None:
    """No addition is lost."""
    metrics = PrometheusMetrics()

    def count() -> None:
        for _ in range(20_000):
            metrics.add(SPANS)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert samples(metrics.text(), SPANS) == {(): 80_000}
