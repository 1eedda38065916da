"""The header `traceparent` of W3C Trace Context, by which runs of several processes are joined.

Source: https://www.w3.org/TR/trace-context/, section 3.2.
"""

from __future__ import annotations

import re
from typing import Final

SPAN_BYTES: Final = 8

_HEADER: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32}-)([0-9a-f]{32})-(?!0{16}-)[0-9a-f]{16}-[0-9a-f]{2}"
)


def traceparent(trace: bytes, span: bytes) -> str:
    """Return the header of the trace *trace*, 16 bytes, and the last 8 bytes of *span*."""
    return f"00-{trace.hex()}-{span[-SPAN_BYTES:].hex()}-01"


def known_part(header: str) -> str | None:
    """Return *header* without the fields that a higher version may add; None if it is malformed."""
    found = _HEADER.match(header)
    if found is None:
        return None
    rest = header[found.end() :]
    if rest and (header.startswith("00") or not rest.startswith("-")):
        return None
    return found[0]


def trace_id(header: object) -> str | None:
    """Return the trace id of a `traceparent`, 32 digits; None if it is malformed, or no text."""
    found = _HEADER.match(header) if isinstance(header, str) else None
    return None if found is None else found[1]
