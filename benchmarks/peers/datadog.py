"""ddtrace: its own decorator, which records no values, and one by hand that does as remit does."""

from __future__ import annotations

import os

from benchmarks.peers.base import Decorator, Function, Peer, Place
from benchmarks.peers.by_hand import decorator

ROOMY_BYTES = 1 << 30


def _environment(place: Place) -> dict[str, str]:
    # What is not tracing is off: nothing listens for it here, and it would be measured with it.
    off = (
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED",
        "DD_REMOTE_CONFIGURATION_ENABLED",
        "DD_CRASHTRACKING_ENABLED",
        "DD_TRACE_STARTUP_LOGS",
    )
    room = {"DD_TRACE_WRITER_BUFFER_SIZE_BYTES": str(ROOMY_BYTES)} if place.roomy else {}
    return {"DD_TRACE_AGENT_URL": place.url, **dict.fromkeys(off, "false"), **room}


def _start(place: Place, *, own: bool) -> Peer:
    os.environ.update(_environment(place))
    from ddtrace.trace import Span, tracer  # noqa: PLC0415 - reads the environment at import

    def wrap(function: Function) -> Function:
        wrapped: Function = tracer.wrap(function.__qualname__)(function)
        return wrapped

    by_hand: Decorator = decorator(tracer.trace, Span.set_tag)
    return Peer(
        decorate=wrap if own else by_hand,
        run=lambda: tracer.trace("run"),
        flush=tracer.flush,
    )


def start(place: Place) -> Peer:
    """Return ddtrace under a decorator that sets arguments and result as tags."""
    return _start(place, own=False)


def start_own(place: Place) -> Peer:
    """Return ddtrace under `tracer.wrap`."""
    return _start(place, own=True)
