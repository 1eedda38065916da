"""The benchmarks' own arithmetic: what the sink counts, what is kept, how figures are written.

What they measure is nobody's promise; that they count right is.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks import protocols, shown
from benchmarks.results import Results, Spread


def otlp(*sizes: int, pending: int = 0) -> bytes:
    """Return a request with a resource for each size, and with some spans that are announced."""
    request = ExportTraceServiceRequest()
    for size in sizes:
        scope = request.resource_spans.add().scope_spans.add()
        scope.scope.name = "scope"
        for number in range(size):
            span = scope.spans.add(name=f"span {number}", start_time_unix_nano=number)
            span.attributes.add(key="text").value.string_value = "x" * 200
    for _ in range(pending):
        announced = request.resource_spans[0].scope_spans[0].spans.add(name="announced")
        announced.attributes.add(key="type").value.string_value = "pending_span"
    body: bytes = request.SerializeToString()
    return body


def envelope(spans: int, *, length: bool) -> bytes:
    """Return a Sentry envelope with a transaction and something else."""
    transaction = json.dumps({"type": "transaction", "spans": [{"op": "a"}] * spans}).encode()
    header = {"type": "transaction", **({"length": len(transaction)} if length else {})}
    parts = [b'{"event_id":"1"}', json.dumps(header).encode(), transaction]
    return b"\n".join([*parts, b'{"type":"client_report","length":2}', b"{}"]) + b"\n"


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        pytest.param("/v1/traces", otlp(3, 200), 203, id="OTLP"),
        pytest.param("/api/public/otel/v1/traces", otlp(2, pending=2), 2, id="announcements"),
        pytest.param(
            "/v0.4/traces", msgspec.msgpack.encode([[{"name": "a"}] * 2, [{}]]), 3, id="agent 0.4"
        ),
        pytest.param(
            "/v0.5/traces", msgspec.msgpack.encode([["", "a"], [[[1, 0]] * 4]]), 4, id="agent 0.5"
        ),
        pytest.param("/api/1/envelope/", envelope(5, length=True), 6, id="envelope"),
        pytest.param("/api/1/envelope/", envelope(5, length=False), 6, id="without lengths"),
        pytest.param("/info", b"", 0, id="a question"),
    ],
)
def test_the_sink_counts_each_span_once(path: str, body: bytes, expected: int) -> None:
    """In the protocol of each peer; the root of a transaction is a span of it."""
    assert protocols.spans_in(path, body) == expected


def test_the_sink_reads_compressed_bodies() -> None:
    """An encoding that it does not know is an error, and not a body without spans."""
    body = otlp(7)
    assert protocols.plain(gzip.compress(body), "gzip") == body
    assert protocols.plain(body, "") == body
    with pytest.raises(ValueError, match="br"):
        protocols.plain(body, "br")


def test_results_are_kept_as_they_come_and_failures_are_measured_again(tmp_path: Path) -> None:
    """A run that broke goes on with what is missing."""
    path = tmp_path / "build" / "results.json"
    results = Results(path)
    for number, cpu_us in enumerate((3.0, 1.0, 2.0)):
        results.add(("calls", "remit", "sync", number), {"cpu_us": cpu_us})
    results.add(("calls", "ddtrace", "sync", 0), {"error": "gave up after 60 s"})
    again = Results(path)
    assert again.spread("calls", "remit", "sync", "cpu_us") == Spread(2.0, 1.0, 3.0)
    assert again.has(("calls", "remit", "sync", 2))
    assert not again.has(("calls", "remit", "sync", 3))
    assert not again.has(("calls", "ddtrace", "sync", 0))
    assert again.errors() == {"calls": ["ddtrace, sync, round 1: gave up after 60 s"]}
    again.forget("calls")
    assert again.spread("calls", "remit", "sync", "cpu_us") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "-"), (0, "0"), (0.01234, "0.0123"), (5.678, "5.68"), (123456, "123,000")],
)
def test_a_figure_has_three_digits_that_count(value: float | None, expected: str) -> None:
    """More would say what the next run does not."""
    assert shown.figure(value) == expected
