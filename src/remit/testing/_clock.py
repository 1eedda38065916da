"""A clock that moves only by `advance`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from remit._base.clock import NS_PER_S

START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """A clock for tests; wall and monotonic time move together, by `advance` only.

    Args:
        start: The wall time to begin at.
    """

    def __init__(self, start: datetime = START) -> None:
        """Start at *start*."""
        self._wall_ns = int(start.timestamp()) * NS_PER_S
        self._monotonic_ns = 0

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970 in UTC."""
        return self._wall_ns

    def monotonic_ns(self) -> int:
        """Return nanoseconds since the clock was made."""
        return self._monotonic_ns

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass on both clocks."""
        passed_ns = int(seconds * NS_PER_S)
        self._wall_ns += passed_ns
        self._monotonic_ns += passed_ns

    def jump(self, seconds: float) -> None:
        """Set the wall clock by *seconds*, either way, as a time server would."""
        self._wall_ns += int(seconds * NS_PER_S)
