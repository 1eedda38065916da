"""Waits between retries: growing waits with jitter, and the server's `Retry-After`."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from remit._base.clock import NS_PER_S

# A proxy that asks for a day must not silence a program for a day.
MAX_RETRY_AFTER_S: Final = 300.0

# Its own generator: a user's `random.seed(...)` must not make a fleet retry in step.
_generator: Final = random.Random()  # noqa: S311 - spreads load, keeps no secret


def delays(
    *,
    first_s: float = 0.1,
    max_s: float = 5.0,
    uniform: Callable[[float, float], float] = _generator.uniform,
) -> Iterator[float]:
    """Yield the seconds to wait before each further try: doubling, with full jitter, without end.

    Args:
        first_s: Longest first wait, in seconds.
        max_s: No wait is longer, in seconds.
        uniform: Draws a random number between two others; tests pass a constant one.
    """
    ceiling_s = min(first_s, max_s)
    while True:
        yield uniform(0.0, ceiling_s)
        ceiling_s = min(2 * ceiling_s, max_s)


def retry_after_s(value: str | None, *, wall_ns: int) -> float | None:
    """Return the seconds of a `Retry-After` header, bounded; None without a valid one.

    Args:
        value: The header: seconds, or an HTTP date.
        wall_ns: Now, nanoseconds since 1970 in UTC; a date is counted from here.

    Source: RFC 9110 section 10.2.3.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER_S)
    at_ns = http_date_ns(text)
    if at_ns is None:
        return None
    return min(max(0.0, (at_ns - wall_ns) / NS_PER_S), MAX_RETRY_AFTER_S)


def http_date_ns(text: str) -> int | None:
    """Return an HTTP date in nanoseconds since 1970, None if it is invalid."""
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return int(aware.timestamp()) * NS_PER_S
