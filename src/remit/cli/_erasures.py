"""What was erased of a run, for people and for programs."""

from __future__ import annotations

from remit.cli._terminal import printable
from remit.collector.store import ErasureRow
from remit.collector.times import format_us


def erasure_json(row: ErasureRow) -> dict[str, object]:
    """Return the record of an erasure."""
    return {
        "erased_at": format_us(row.inserted_at),
        "asked_for": row.asked_for,
        "reason": row.reason,
        "erased_by": row.erased_by,
        "spans": row.spans,
        "answers": row.answers,
    }


def erasure_line(row: ErasureRow) -> str:
    """Return the record of an erasure as a line."""
    when = format_us(row.inserted_at)[:16].replace("T", " ")
    spans = "1 span" if row.spans == 1 else f"{row.spans} spans"
    return (
        f"Erased {when} by {printable(row.erased_by)}, asked for as {row.asked_for}: "
        f"the payloads of {spans}. Reason: {printable(row.reason)}"
    )
