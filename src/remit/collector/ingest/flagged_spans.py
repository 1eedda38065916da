"""Counts what was refused, exceeded or withheld in the spans that are flagged.

They are read some at a time: one may be as long as a request, and there are many.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, cast

from remit.collector.meaning import KEY, WITHHELD, exceeded, markers_in
from remit.collector.store import Page, Reading, SpanFilter, SpanRow
from remit.collector.wire import read_json

MOST_SPANS: Final = 10_000
"""Most spans that are read, the newest."""
MOST_CHARS: Final = 64 * 1024 * 1024
"""Most characters of their payloads; reading so many takes a quarter of a second."""
PAGE_SPANS: Final = 1000
PAGE_CHARS: Final = 8 * 1024 * 1024
"""Most spans and characters that are read at once."""


@dataclass
class Marks:
    """What was found in the spans that were looked into.

    Attributes:
        spans: How many spans these were.
        chars: How long all that is in them is.
        refused: How many of them were refused.
        violations: Why, by sentence.
        exceeding: How many of them went beyond their agent's remit.
        excesses: In what, by sentence.
        withheld: How many values were withheld, by rule.
    """

    spans: int = 0
    chars: int = 0
    refused: int = 0
    violations: Counter[str] = field(default_factory=Counter[str])
    exceeding: int = 0
    excesses: Counter[str] = field(default_factory=Counter[str])
    withheld: Counter[str] = field(default_factory=Counter[str])

    def take(self, row: SpanRow) -> None:
        """Look into a span."""
        self.spans += 1
        self.chars += len(row.payload) + len(row.result_payload or "")
        payload, result = _object(row.payload), _object(row.result_payload)
        self._take_refusal(row.status, result.get("error"))
        beyond = exceeded(payload)
        self.exceeding += bool(beyond)
        self.excesses.update(beyond)
        self.withheld.update(
            str(each.get("rule", ""))
            for value in (payload, result)
            for each in markers_in(value)
            if each[KEY] == WITHHELD
        )

    def _take_refusal(self, status: str, error: object) -> None:
        said = (
            cast("dict[str, object]", error).get("violations") if isinstance(error, dict) else None
        )
        if status == "failed" and isinstance(said, list):
            self.refused += 1
            self.violations.update(str(each) for each in cast("list[object]", said))


def marks_in(tx: Reading, wanted: SpanFilter) -> Marks:
    """Return what is found in the newest of the spans that pass the filter."""
    found = Marks()
    while found.spans < MOST_SPANS and found.chars < MOST_CHARS:
        size = min(PAGE_SPANS, MOST_SPANS - found.spans)
        page = Page(found.spans, size, "id", descending=True)
        left = min(PAGE_CHARS, MOST_CHARS - found.chars)
        listed = tx.list_spans(wanted, page, most_chars=left)
        for row in listed.rows:
            found.take(row)
        if not listed.rows or found.spans >= listed.total:
            break
    return found


def _object(text: str | None) -> dict[str, object]:
    return cast("dict[str, object]", read_json(text)) if text else {}
