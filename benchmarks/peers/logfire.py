"""Logfire: `@logfire.instrument`, with arguments and result, over OTLP and HTTP."""

from __future__ import annotations

import logfire

from benchmarks.peers import FLUSH_S, Peer, Place
from benchmarks.peers.opentelemetry import make_roomy


def start(place: Place) -> Peer:
    """Return Logfire without its console, which would print each span."""
    make_roomy(place)
    logfire.configure(
        token="benchmark",
        send_to_logfire=True,
        service_name="benchmark",
        console=False,
        metrics=False,
        inspect_arguments=False,
        advanced=logfire.AdvancedOptions(base_url=place.url),
    )
    return Peer(
        decorate=logfire.instrument(record_return=True),
        run=lambda: logfire.span("run"),
        flush=lambda: logfire.force_flush(int(FLUSH_S * 1000)),
    )
