"""Tables for a spreadsheet."""

from __future__ import annotations

import csv as writing
import io
from collections.abc import Iterable, Sequence
from typing import Final

from remit.collector.page.visits import Data

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def csv_file(filename: str, columns: Sequence[str], lines: Iterable[Iterable[object]]) -> Data:
    """Return a table as a CSV file."""
    return Data(csv(columns, lines), "text/csv; charset=utf-8", filename)


def csv(columns: Sequence[str], lines: Iterable[Iterable[object]]) -> bytes:
    """Return a table as CSV; a text that a spreadsheet would compute stays a text."""
    text = io.StringIO()
    writer = writing.writer(text)
    writer.writerow(columns)
    writer.writerows([_safe(value) for value in line] for line in lines)
    return text.getvalue().encode()


def _safe(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
