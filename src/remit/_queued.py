"""Items between the buffer and the outbox."""

from __future__ import annotations

from operator import attrgetter
from typing import Final

from remit._sink import Item, Kind

_started_ns: Final = attrgetter("started_ns")


class Drained:
    """What was taken from the buffer and is not in the outbox yet.

    An alarm may interrupt the thread that takes it, which is the main one when a program ends: so
    what is taken goes in here in one step of C.
    """

    def __init__(self) -> None:
        """Hold nothing."""
        self.starts: list[Item] = []
        self.queued: list[Item] = []

    def in_order(self) -> list[Item]:
        """Return all of it: runs, spans by their starts, ends."""
        kinds: list[list[Item]] = [[] for _ in range(Kind.CLOSE + 1)]
        kinds[Kind.SPAN].extend(self.starts)
        for item in self.queued:
            kinds[item.kind].append(item)
        kinds[Kind.SPAN].sort(key=_started_ns)
        return [item for items in kinds for item in items]

    def clear(self) -> None:
        """Let go of it: it was put."""
        self.starts.clear()
        self.queued.clear()

    def __len__(self) -> int:
        """Count the items, those that tell of a beginning included."""
        return len(self.starts) + len(self.queued)
