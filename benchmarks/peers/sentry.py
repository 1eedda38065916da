"""Sentry under a decorator by hand: its own, `sentry_sdk.trace`, records no values."""

from __future__ import annotations

import sentry_sdk
from sentry_sdk.consts import DEFAULT_QUEUE_SIZE
from sentry_sdk.tracing import Span

from benchmarks.peers import FLUSH_S, MANY_ITEMS, Peer, Place
from benchmarks.peers.by_hand import decorator

RUN_TURNS = 300
"""Of three nested calls each: Sentry keeps 1,000 spans of a transaction."""


def start(place: Place) -> Peer:
    """Return Sentry under a decorator that sets arguments and result as data."""
    sentry_sdk.init(
        dsn=f"http://benchmark@127.0.0.1:{place.port}/1",
        traces_sample_rate=1.0,
        # By default 100 transactions wait to be sent.
        transport_queue_size=MANY_ITEMS if place.roomy else DEFAULT_QUEUE_SIZE,
    )
    return Peer(
        decorate=decorator(
            lambda name: sentry_sdk.start_span(op="function", name=name), Span.set_data
        ),
        run=lambda: sentry_sdk.start_transaction(name="run", op="run"),
        flush=lambda: sentry_sdk.flush(FLUSH_S),
        run_turns=RUN_TURNS,
    )
