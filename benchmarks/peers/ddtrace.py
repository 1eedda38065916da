"""ddtrace under a decorator by hand: its own, `tracer.wrap`, records no values."""

from __future__ import annotations

import os

from benchmarks.peers import Peer, Place
from benchmarks.peers.by_hand import decorator

ROOMY_BYTES = 1 << 30
OFF = (
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED",
    "DD_REMOTE_CONFIGURATION_ENABLED",
    "DD_CRASHTRACKING_ENABLED",
    "DD_TRACE_STARTUP_LOGS",
)
"""Not tracing: the sink does not answer it, and it would be measured too."""


def start(place: Place) -> Peer:
    """Return ddtrace under a decorator that sets arguments and result as tags."""
    os.environ.update({"DD_TRACE_AGENT_URL": place.url, **dict.fromkeys(OFF, "false")})
    if place.roomy:
        os.environ["DD_TRACE_WRITER_BUFFER_SIZE_BYTES"] = str(ROOMY_BYTES)
    from ddtrace.trace import Span, tracer  # noqa: PLC0415 - reads the environment at import

    return Peer(
        decorate=decorator(tracer.trace, Span.set_tag),
        run=lambda: tracer.trace("run"),
        flush=tracer.flush,
    )
