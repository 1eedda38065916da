"""What all senders of one process share: its own, and those of files that ended processes left."""

from __future__ import annotations

from dataclasses import dataclass

from remit._clock import Clock
from remit._delivery.batches import BatchLimits
from remit._delivery.calls import DeadlineClient
from remit._delivery.circuit import CircuitBreaker
from remit._delivery.refusals import Tally
from remit._losses import Losses


@dataclass(frozen=True, slots=True)
class SenderContext:
    """What all senders of one process share.

    Attributes:
        client: Sends calls.
        circuit: Whether anything may be sent.
        losses: Counts what was given up.
        tally: Counts what was delivered or set aside.
        limits: How much goes into one bulk request.
        poll_interval_s: Seconds without an answer about a run before it is asked after.
        stream_interval_s: The same, while a stream of the run is open.
        clock: The time.
    """

    client: DeadlineClient
    circuit: CircuitBreaker
    losses: Losses
    tally: Tally
    limits: BatchLimits
    poll_interval_s: float
    stream_interval_s: float
    clock: Clock
