"""Items while they wait: in the buffer, and between the buffer and the outbox."""

from __future__ import annotations

from operator import itemgetter
from typing import Final

from msgspec import Struct
from msgspec.structs import astuple

from remit._sink import AnyItem, Item, Kind, SpanStart

# As a plain integer: an `IntEnum` is packed and compared at twice the cost.
SPAN: Final = int(Kind.SPAN)

_started_ns: Final = itemgetter(5)


class Queued(Struct, gc=False):
    """An item while it waits, with the fields of `Item`.

    Of a tuple for each the garbage collector takes account: after every 700 it would look at all
    that is new, and now and then at each object of the program.
    """

    kind: int
    run_key: str
    key: int
    parent: int | None
    name: str | None
    started_ns: int | None
    finished_ns: int | None
    status: str | None
    payload: bytes | None
    result: bytes | None


class Drained:
    """What was taken from the buffer and is not in the outbox yet.

    An alarm may interrupt the thread that takes it, which is the main one when a program ends: so
    what is taken goes in here in one step of C.
    """

    def __init__(self) -> None:
        """Hold nothing."""
        self.starts: list[SpanStart] = []
        self.queued: list[Queued] = []

    def in_order(self) -> list[AnyItem]:
        """Return all of it: runs, spans by their starts, ends."""
        kinds: list[list[AnyItem]] = [[] for _ in Kind]
        kinds[SPAN].extend(map(_active, self.starts))
        for item in self.queued:
            kinds[item.kind].append(astuple(item))
        kinds[SPAN].sort(key=_started_ns)
        return [item for items in kinds for item in items]

    def clear(self) -> None:
        """Let go of it: it was put."""
        self.starts.clear()
        self.queued.clear()

    def __len__(self) -> int:
        """Count the items, those that tell of a beginning included."""
        return len(self.starts) + len(self.queued)


def _active(start: SpanStart) -> Item:
    run_key, key, parent, name, started_ns, payload = start
    return Item(SPAN, run_key, key, parent, name, started_ns, None, "active", payload, None)
