"""OpenTelemetry's SDK: a decorator written by hand, spans in batches over OTLP and HTTP."""

from __future__ import annotations

import os

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from benchmarks.peers import FLUSH_S, MANY_ITEMS, Peer, Place
from benchmarks.peers.by_hand import decorator


def make_roomy(place: Place) -> None:
    """Let the queue of every batch processor of this process hold everything, if asked to."""
    if place.roomy:
        os.environ["OTEL_BSP_MAX_QUEUE_SIZE"] = str(MANY_ITEMS)


def start(place: Place) -> Peer:
    """Return the SDK with its batch processor."""
    make_roomy(place)
    provider = TracerProvider()
    exporter = OTLPSpanExporter(f"{place.url}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    tracer = trace.get_tracer("benchmark")
    return Peer(
        decorate=decorator(tracer.start_as_current_span, Span.set_attribute),
        run=lambda: tracer.start_as_current_span("run"),
        flush=lambda: provider.force_flush(int(FLUSH_S * 1000)),
    )
