"""Tables for a spreadsheet."""

from __future__ import annotations

import csv as writing
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from remit.collector.page.visits import Data

T = TypeVar("T")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def csv_file(
    filename: str, columns: Mapping[str, Callable[[T], object]], things: Iterable[T]
) -> Data:
    """Return a table as a CSV file.

    Args:
        filename: Name of the file.
        columns: How a cell is read, by the name of its column.
        things: What the table has lines of.
    """
    lines = ([read(thing) for read in columns.values()] for thing in things)
    return Data(csv(list(columns), lines), "text/csv; charset=utf-8", filename)


def csv(columns: Sequence[str], lines: Iterable[Iterable[object]]) -> bytes:
    """Return a table as CSV; a text that a spreadsheet would compute stays a text."""
    text = io.StringIO()
    writer = writing.writer(text)
    writer.writerow(columns)
    writer.writerows([_safe(value) for value in line] for line in lines)
    return text.getvalue().encode()


def _safe(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
