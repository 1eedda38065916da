"""One outbox on its way to the server: what is wired anew for each, and what they all share."""

from __future__ import annotations

from dataclasses import dataclass

from remit._clock import Clock
from remit._delivery.batches import BatchLimits
from remit._delivery.calls import Door
from remit._delivery.health import Pulse
from remit._delivery.opening import Opening
from remit._delivery.parts import Parts
from remit._delivery.sender import WINDOW_BATCHES, Sender
from remit._delivery.settling import Settling, Tally
from remit._delivery.spans import Spans
from remit._delivery.tracks import Tracks
from remit._losses import Losses
from remit._spool import Outbox


@dataclass(frozen=True, slots=True)
class Shared:
    """What everything that one process sends has in common.

    Attributes:
        door: Through which it is sent.
        pulse: How sending fares.
        losses: Counts what was given up.
        tally: Counts what was delivered or set aside.
        limits: How much goes into one bulk request.
        poll_interval_s: Seconds without an answer about a run before it is asked after.
        stream_interval_s: The same, while a stream of the run is open.
        clock: The time.
    """

    door: Door
    pulse: Pulse
    losses: Losses
    tally: Tally
    limits: BatchLimits
    poll_interval_s: float
    stream_interval_s: float
    clock: Clock


def sender_of(outbox: Outbox, tracks: Tracks, shared: Shared) -> Sender:
    """Return what sends *outbox*, whose runs are in *tracks*."""
    parts = Parts(
        outbox=outbox,
        door=shared.door,
        tracks=tracks,
        opening=Opening(shared.door, outbox, shared.clock, shared.tally),
        settling=Settling(outbox, shared.losses, shared.tally, shared.pulse),
        losses=shared.losses,
        pulse=shared.pulse,
        clock=shared.clock,
    )
    return Sender(
        parts,
        Spans(parts, shared.limits),
        window_items=WINDOW_BATCHES * shared.limits.items,
        poll_interval_s=shared.poll_interval_s,
        stream_interval_s=shared.stream_interval_s,
    )
