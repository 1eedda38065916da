"""Sentry: its own decorator, which records no values, and one by hand that does as remit does."""

from __future__ import annotations

import sentry_sdk
from sentry_sdk.consts import DEFAULT_QUEUE_SIZE
from sentry_sdk.tracing import Span

from benchmarks.peers.base import FLUSH_S, MANY_ITEMS, Decorator, Peer, Place
from benchmarks.peers.by_hand import decorator

RUN_TURNS = 300
"""Of three nested calls each, so that a run stays below the 1,000 spans that Sentry keeps of one.

It can be told to keep more, and then takes a tenth longer for each.
"""


def _start(place: Place, decorate: Decorator) -> Peer:
    sentry_sdk.init(
        dsn=f"http://benchmark@127.0.0.1:{place.port}/1",
        traces_sample_rate=1.0,
        # By default 100 transactions wait to be sent.
        transport_queue_size=MANY_ITEMS if place.roomy else DEFAULT_QUEUE_SIZE,
    )
    return Peer(
        decorate=decorate,
        run=lambda: sentry_sdk.start_transaction(name="run", op="run"),
        flush=lambda: sentry_sdk.flush(FLUSH_S),
        run_turns=RUN_TURNS,
    )


def start(place: Place) -> Peer:
    """Return Sentry under a decorator that sets arguments and result as data."""
    by_hand = decorator(lambda name: sentry_sdk.start_span(op="function", name=name), Span.set_data)
    return _start(place, by_hand)


def start_own(place: Place) -> Peer:
    """Return Sentry under `sentry_sdk.trace`."""
    return _start(place, sentry_sdk.trace)
