"""Records of erasures as text."""

from __future__ import annotations

from collections.abc import Mapping

from remit.cli._terminal import printable


def erasure_line(erasure: Mapping[str, object]) -> str:
    """Return the record of an erasure as a line."""
    when = str(erasure["erased_at"])[:16].replace("T", " ")
    spans = "1 span" if erasure["spans"] == 1 else f"{erasure['spans']} spans"
    return (
        f"Erased {when} by {printable(str(erasure['erased_by']))}, asked for as "
        f"{erasure['asked_for']}: the payloads of {spans}. "
        f"Reason: {printable(str(erasure['reason']))}"
    )
