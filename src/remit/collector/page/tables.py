"""Tables for a spreadsheet."""

from __future__ import annotations

import csv as writing
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from remit.collector.page.visits import Data

T = TypeVar("T")
CSV: Final = "text/csv; charset=utf-8"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of a text that a spreadsheet computes: the last four are full-width signs.

Source: OWASP, CSV injection.
"""


def csv_file(
    filename: str, columns: Mapping[str, Callable[[T], object]], things: Iterable[T]
) -> Data:
    """Return a table as a CSV file."""
    lines = ([read(thing) for read in columns.values()] for thing in things)
    return Data(csv(list(columns), lines), CSV, filename)


def csv_parts(
    columns: Mapping[str, Callable[[T], object]], pages: Iterable[Iterable[T]]
) -> Iterator[bytes]:
    """Yield a table as CSV in parts: the names of its columns, and the lines of each page."""
    yield _written([list(columns)])
    for page in pages:
        yield _written([read(thing) for read in columns.values()] for thing in page)


def csv(columns: Sequence[str], lines: Iterable[Iterable[object]]) -> bytes:
    """Return a table as CSV; a text that a spreadsheet would compute stays a text."""
    return _written([columns, *lines])


def _written(lines: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    writing.writer(text).writerows([_safe(value) for value in line] for line in lines)
    return text.getvalue().encode()


def _safe(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
