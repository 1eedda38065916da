"""The steps of two runs in the order in which they ran, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from remit.collector.page import formats
from remit.collector.store.subjects import ROOT_SPAN

LONGER: Final = 1.5
"""Ratio of two durations from which a step counts as slower or faster."""
Places: TypeAlias = tuple[int | None, int | None]
"""Places of one name in both lists; None where it is in one list only."""
_LATEST: Final = "9"
"""Later than every time, as a text."""
AROUND: Final = 2
"""Rows that are shown before and after a difference."""


class Ran(NamedTuple):
    """A step in a sequence."""

    id: str
    name: str
    depth: int
    status: str
    denied: bool
    took_us: int | None
    is_parent: bool


@dataclass(frozen=True, slots=True)
class AlignedRow:
    """A row of both sequences: one step of each, or a step that only one of them has.

    Attributes:
        first: Whether the failure began at it.
        skipped: Number of steps that are the same in both and are not shown, in a row without any.
    """

    older: Ran | None = None
    newer: Ran | None = None
    first: bool = False
    skipped: int = 0

    @property
    def shown(self) -> Ran | None:
        """The step whose name and depth are shown."""
        return self.newer or self.older

    def is_same(self, least_us: int) -> bool:
        """Return whether both runs have the step, with the same end, and it took about as long."""
        older, newer = self.older, self.newer
        if older is None or newer is None or self.first:
            return False
        ends = (older.status, older.denied) == (newer.status, newer.denied)
        return ends and not differ(older.took_us, newer.took_us, least_us)


def differ(older_us: int | None, newer_us: int | None, least_us: int) -> bool:
    """Return whether two durations differ; one that is not known differs from no other."""
    if older_us is None or newer_us is None or abs(newer_us - older_us) < least_us:
        return False
    low, high = sorted((older_us, newer_us))
    return high >= LONGER * low


def sequence_of(spans: Sequence[Mapping[str, Any]]) -> list[Ran]:
    """Return the steps of a run in the order of its tree, without the run itself.

    Parallel steps are in the order of their names: which of them began first tells nothing.
    """
    below: dict[str | None, list[Mapping[str, Any]]] = {}
    known = {span["id"]: span for span in spans}
    root = next((span["id"] for span in spans if span["schema_name"] == ROOT_SPAN), None)
    for span in sorted(spans, key=lambda span: (span["started_at"] or _LATEST, span["id"])):
        parent = span["parent_span_id"]
        below.setdefault(parent if parent in known and parent != root else None, []).append(span)
    sequence: list[Ran] = []
    waiting = [(span, 0) for span in reversed(_in_order(below.get(None, [])))]
    while waiting:
        span, depth = waiting.pop()
        under = below.get(span["id"], []) if span["id"] != root else []
        if span["id"] != root:
            sequence.append(_ran(span, depth, is_parent=bool(under)))
        waiting += [(child, depth + 1) for child in reversed(_in_order(under))]
    return sequence


def _in_order(siblings: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return siblings by their start, and by name if all ran at the same time."""
    ordered: list[Mapping[str, Any]] = []
    parallel: list[Mapping[str, Any]] = []
    for span in siblings:
        began = span["started_at"] or _LATEST
        if any(began >= (other["finished_at"] or _LATEST) for other in parallel):
            ordered += sorted(parallel, key=_name_of)
            parallel = []
        parallel.append(span)
    return ordered + sorted(parallel, key=_name_of)


def _name_of(span: Mapping[str, Any]) -> str:
    return str(span["schema_name"])


def _ran(span: Mapping[str, Any], depth: int, *, is_parent: bool) -> Ran:
    return Ran(
        span["id"],
        span["schema_name"],
        depth,
        span["status"],
        "denied" in span["flags"],
        formats.between(span["started_at"], span["finished_at"]),
        is_parent,
    )


def carriers_of(sequence: Sequence[Ran], origin: str | None) -> Sequence[str]:
    """Return the types of the failed steps around that where a failure began, the nearest first."""
    at = _failed_at(sequence, origin)
    if at is None:
        return ()
    depth, names = sequence[at].depth, list[str]()
    for step in reversed(sequence[:at]):
        if step.depth < depth:
            depth = step.depth
            if step.status == "failed":
                names.append(step.name)
    return names


def rows_of(
    older: Sequence[Ran], newer: Sequence[Ran], origin: str | None, *, failed_newer: bool
) -> list[AlignedRow]:
    """Return both sequences side by side, aligned on the names of their types."""
    at = _failed_at(newer if failed_newer else older, origin)
    rows: list[AlignedRow] = []
    for one, other in aligned([step.name for step in older], [step.name for step in newer]):
        rows.append(
            AlignedRow(
                None if one is None else older[one],
                None if other is None else newer[other],
                first=at is not None and at == (other if failed_newer else one),
            )
        )
    return rows


def _failed_at(sequence: Sequence[Ran], origin: str | None) -> int | None:
    failed = (
        index
        for index, step in enumerate(sequence)
        if step.name == origin and step.status == "failed"
    )
    return next(failed, None)


def without_the_same(rows: Sequence[AlignedRow], least_us: int) -> list[AlignedRow]:
    """Return the rows of differences with those around them, and one row for each gap."""
    same = [row.is_same(least_us) for row in rows]
    kept = {
        near
        for index, is_same in enumerate(same)
        if not is_same
        for near in range(index - AROUND, index + AROUND + 1)
    }
    shown: list[AlignedRow] = []
    skipped: list[AlignedRow] = []
    for index, row in enumerate(rows):
        if index in kept:
            shown += [*_gap(skipped), row]
            skipped = []
        else:
            skipped.append(row)
    return [*shown, *_gap(skipped)]


def _gap(rows: Sequence[AlignedRow]) -> Sequence[AlignedRow]:
    return rows if len(rows) <= AROUND else [AlignedRow(skipped=len(rows))]


def aligned(first: Sequence[str], second: Sequence[str]) -> list[Places]:
    """Return both lists as one, in which the names that they have in common are pairs.

    Each row of the table of lengths is one integer, with a bit for each name of the first list
    (H. Hyyrö, Bit-parallel LCS-length computation revisited, 2004): 2,000 names by 2,000 take
    milliseconds.
    """
    places: dict[str, int] = {}
    for index, name in enumerate(first):
        places[name] = places.get(name, 0) | 1 << index
    mask = (1 << len(first)) - 1
    row, rows = mask, [mask]
    for name in second:
        common = row & places.get(name, 0)
        row = ((row + common) | (row - common)) & mask
        rows.append(row)
    return _path(rows, len(first))[::-1]


def _path(rows: Sequence[int], column: int) -> list[Places]:
    """Return the pairs from the last to the first; a bit that is 0 is a step up of the length."""
    row, pairs = len(rows) - 1, list[Places]()
    while row or column:
        if not row or (column and rows[row] >> (column - 1) & 1):
            column -= 1
            pairs.append((column, None))
        elif not column or not rows[row - 1] >> (column - 1) & 1:
            row -= 1
            pairs.append((None, row))
        else:
            row -= 1
            column -= 1
            pairs.append((column, row))
    return pairs
