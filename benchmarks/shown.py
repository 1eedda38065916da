"""How figures and tables are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from benchmarks.results import Spread

DIGITS = 3
NOTHING = "-"


def figure(value: float | None) -> str:
    """Return a number with three digits that count: `0.234`, `12.3`, `123,000`."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    places = DIGITS - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):,.{max(places, 0)}f}"


def whole(value: float | None) -> str:
    """Return a count, with all its digits."""
    return NOTHING if value is None else f"{value:,.0f}"


def spread(found: Spread | None) -> str:
    """Return a median with its minimum and maximum behind it."""
    if found is None:
        return NOTHING
    if found.low == found.high:
        return figure(found.middle)
    return f"{figure(found.middle)} ({figure(found.low)} to {figure(found.high)})"


def times(value: float | None, base: float | None) -> str:
    """Return how many times *base* a value is."""
    if value is None or not base:
        return NOTHING
    return f"{value / base:.2f}" if value < base * 10 else f"{value / base:.0f}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; the first column is text, the others are figures.

    A row of which nothing was measured is left out.
    """
    told = [row for row in rows if any(cell != NOTHING for cell in row[1:])]
    lines = [
        "| " + " | ".join(heads) + " |",
        "|---" + "|---:" * (len(heads) - 1) + "|",
        *("| " + " | ".join(row) + " |" for row in told),
    ]
    return "\n".join(lines)
