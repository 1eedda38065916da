"""A buffer without a writer, on a clock that stands still."""

from __future__ import annotations

import time
from collections import Counter

from remit.testing import FakeClock
from tests.inside import AnyItem, Buffer, Drained, Losses, SpanStart, cost, new_key

RUN = "01m8854jxatem2qtpj6f5qsb2f"


class Made:
    """A buffer, and what it asked for."""

    def __init__(self, max_bytes: int = 1 << 26) -> None:
        """Make it, on a clock that stands still."""
        self.clock = FakeClock()
        self.losses = Losses()
        self.asked: Counter[str] = Counter()
        self.buffer = Buffer(
            max_bytes=max_bytes,
            losses=self.losses,
            clock=self.clock,
            announce_after_s=1.0,
            rouse=lambda: self.asked.update(["rouse"]),
            nudge=lambda: self.asked.update(["nudge"]),
        )

    def start(self, key: int = 0, *, started_ns: int = 1, size_bytes: int = 2) -> SpanStart:
        """Begin a span."""
        payload = b"{" + b" " * (size_bytes - 2) + b"}"
        start = (RUN, key or new_key(time.time_ns()), None, "m:f", started_ns, payload)
        self.buffer.start_span(start)
        return start

    def span(self, *, started_ns: int = 1, size_bytes: int = 2) -> SpanStart:
        """Record a whole span."""
        start = self.start(started_ns=started_ns, size_bytes=size_bytes)
        self.buffer.end_span(start, started_ns + 1, "complete", b"{}")
        return start

    def fill(self, held_bytes: float) -> None:
        """Record spans until so much is held."""
        while self.buffer.held_bytes < held_bytes:
            self.span()

    def drain(self, *, everything: bool = False) -> list[AnyItem]:
        """Drain, and let go of what came."""
        drained = Drained()
        self.buffer.drain(drained, everything=everything)
        items = drained.in_order()
        self.buffer.release(sum(map(cost, items)))
        return items
