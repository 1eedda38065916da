"""What the parts of sending share, wired once for each process."""

from __future__ import annotations

from dataclasses import dataclass

from remit._clock import Clock
from remit._delivery.calls import Door
from remit._delivery.health import Pulse
from remit._delivery.opening import Opening
from remit._delivery.settling import Settling
from remit._delivery.tracks import Tracks
from remit._losses import Losses
from remit._spool import Outbox


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts.

    Attributes:
        outbox: What is to be sent.
        door: Through which it is sent.
        tracks: The runs it belongs to.
        opening: Opens them.
        settling: Counts what became of it.
        losses: Counts what was given up.
        pulse: How sending fares.
        clock: The time.
    """

    outbox: Outbox
    door: Door
    tracks: Tracks
    opening: Opening
    settling: Settling
    losses: Losses
    pulse: Pulse
    clock: Clock
