"""The ends of what a process had open when it ended: failed, for it cannot be known how it went."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace

from remit._sink import Item, Kind

FAILED: Final = "failed"
REASON: Final = "process ended"
SPAN_RESULT: Final = msgspec.json.encode({"error": {"message": REASON, "type": "ProcessEnded"}})


def span_end(span: Item, ended_ns: int) -> Item:
    """Return the end of a span of which the beginning was sent, and whose process has ended."""
    return ended(span, Kind.FINISH, ended_ns, SPAN_RESULT)


def ended(item: Item, kind: int, ended_ns: int, result: bytes | None) -> Item:
    """Return an end of what began with *item*, not before its beginning."""
    return replace(
        item,
        kind=kind,
        finished_ns=max(ended_ns, item.started_ns or 0),
        status=FAILED,
        payload=None,
        result=result,
    )
