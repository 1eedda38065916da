"""The ends of what a process had open when it ended: failed, for it cannot be known how it went."""

from __future__ import annotations

from typing import Final

import msgspec

from remit._outcomes import FAILED
from remit._sink import AnyItem, Kind

REASON: Final = "process ended"
SPAN_RESULT: Final = msgspec.json.encode({"error": {"message": REASON, "type": "ProcessEnded"}})


def span_end(span: AnyItem, ended_ns: int) -> AnyItem:
    """Return the end of a span of which the beginning was sent, and whose process has ended."""
    return ended(span, Kind.FINISH, ended_ns, SPAN_RESULT)


def ended(item: AnyItem, kind: Kind, ended_ns: int, result: bytes | None) -> AnyItem:
    """Return an end of what began with *item*, not before its beginning."""
    _, run_key, key, parent, name, started_ns, *_ = item
    finished_ns = max(ended_ns, started_ns or 0)
    return (
        int(kind), run_key, key, parent, name, started_ns, finished_ns, FAILED, None, result,
    )  # fmt: skip
