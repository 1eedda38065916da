"""One measurement: what one call of a small function costs the thread that makes it.

Run as `python -m benchmarks.caller PEER PORT CALLS`; prints one JSON object. The function takes
two small arguments and returns a small dict.
"""

from __future__ import annotations

import atexit
import functools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

BATCH = 1000
"""Calls between two readings of the clock; a reading costs as much as a bare call."""


def lookup(order_id: str, limit: int) -> dict[str, object]:
    """Return what was asked."""
    return {"order": order_id, "limit": limit, "state": "shipped"}


def bare(port: int) -> tuple[Callable[..., Any], AbstractContextManager[Any], Callable[[], Any]]:
    """Return the function as it is."""
    del port
    return lookup, nullcontext(), lambda: None


def remit_call(
    port: int,
) -> tuple[Callable[..., Any], AbstractContextManager[Any], Callable[[], Any]]:
    """Return the function decorated with `@remit.span_type`, in a run that is delivered."""
    import remit  # noqa: PLC0415 - each peer only in its own process

    folder = tempfile.TemporaryDirectory()
    # Registered before remit's own, so run after it.
    atexit.register(folder.cleanup)
    remit.configure(api_url=f"http://127.0.0.1:{port}", api_token="benchmark", data_dir=folder.name)
    decorated = remit.span_type(lookup)

    @remit.agent
    def agent() -> None:
        """Hold the run."""

    return decorated, agent.run(), lambda: remit.flush(120)


def opentelemetry_call(
    port: int,
) -> tuple[Callable[..., Any], AbstractContextManager[Any], Callable[[], Any]]:
    """Return the function under a hand-written decorator that records arguments and result."""
    from opentelemetry import trace  # noqa: PLC0415 - as above
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - as above
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above

    provider = TracerProvider()
    exporter = OTLPSpanExporter(f"http://127.0.0.1:{port}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=1_000_000))
    trace.set_tracer_provider(provider)
    tracer = trace.get_tracer("benchmark")

    def record(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            with tracer.start_as_current_span("otel_lookup") as span:
                span.set_attribute("args", json.dumps(args))
                span.set_attribute("kwargs", json.dumps(kwargs))
                result = function(*args, **kwargs)
                span.set_attribute("result", json.dumps(result))
                return result

        return call

    return (
        record(lookup),
        tracer.start_as_current_span("run"),
        lambda: provider.force_flush(120_000),
    )


PEERS = {"bare": bare, "remit": remit_call, "opentelemetry": opentelemetry_call}


def measure(peer: str, port: int, calls: int) -> dict[str, float]:
    """Return microseconds a call: the caller's CPU and wall time, and when all had arrived."""
    function, block, flush = PEERS[peer](port)
    cpu_ns = wall_ns = 0
    begun = time.perf_counter()
    with block:
        for _ in range(BATCH):
            function("order-7", 10)
        for _ in range(calls // BATCH):
            cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
            for _ in range(BATCH):
                function("order-7", 10)
            cpu_ns += time.thread_time_ns() - cpu
            wall_ns += time.perf_counter_ns() - wall
    flush()
    return {
        "cpu_us": cpu_ns / calls / 1000,
        "wall_us": wall_ns / calls / 1000,
        "delivered_s": time.perf_counter() - begun,
    }


if __name__ == "__main__":
    name, port, calls = sys.argv[1:]
    print(json.dumps(measure(name, int(port), int(calls))))
