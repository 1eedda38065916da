"""Rows as the text of a `COPY`, which costs PostgreSQL less than any `INSERT`.

The delimiters are control characters, which JSON does not contain, so that all values can be
escaped at once. Rows with a delimiter in a value, such as a name that a client chose, or with a
value equal to the word for NULL, cannot be copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

import msgspec

from remit.collector.store import statements
from remit.collector.store.rows import Row

_VALUE: Final = "\x01"
_ROW: Final = "\x02"
_ABSENT: Final = str(None)
_ESCAPES: Final = (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), (_ROW, "\n"))


def copying(kind: type[Row]) -> bytes:
    """Return the statement for rows of *kind*."""
    return (
        f"COPY {statements.TABLES[kind]} ({statements.columns(kind)}) FROM STDIN "
        f"WITH (DELIMITER '{_VALUE}', NULL '{_ABSENT}')"
    ).encode()


def copied(rows: Sequence[Row]) -> str | None:
    """Return *rows*, all of one kind, as the text after the statement; None if it cannot hold them.

    Their values are texts, numbers and None.
    """
    values = tuple(chain.from_iterable(map(msgspec.structs.astuple, rows)))
    line = _VALUE.join(["%s"] * (len(values) // len(rows))) + _ROW
    text = line * len(rows) % values
    marks = len(values) - len(rows)
    if _ABSENT in values or text.count(_VALUE) != marks or text.count(_ROW) != len(rows):
        return None
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text
