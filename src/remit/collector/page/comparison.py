"""What is different in two runs: by type of step, in the order in which they ran, in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from remit.collector.page import formats
from remit.collector.page.alignment import aligned
from remit.collector.store.questions import TypeCounts

Run: TypeAlias = Mapping[str, Any]
ROOT: Final = "remit:run"
"""The step that is the run itself."""
LONGER: Final = 1.5
"""A step took longer or shorter if one duration is so many times the other."""
NOTICED: Final = 0.01
"""A difference of durations counts if it is such a part of the longer run."""
LEAST_US: Final = 1_000
ENDED_EARLY: Final = frozenset({"failed", "cancelled", "terminated"})


class Change(NamedTuple):
    """One type of step in both runs.

    Attributes:
        older: Its steps in the older run.
        newer: Those in the newer one.
        rank: Its place among the differences; None if it is the same in both.
        why: What is different, in words.
        is_timed_otherwise: Whether its time differs.
    """

    older: TypeCounts
    newer: TypeCounts
    rank: int | None
    why: str
    is_timed_otherwise: bool

    @property
    def name(self) -> str:
        """Name of the type, without its module."""
        return formats.step(self.older.name)


class Ran(NamedTuple):
    """A step in a sequence.

    Attributes:
        id: Its id.
        name: Name of its type.
        depth: Number of steps around it.
        status: Its status.
        refused: Whether the policy refused it.
        took_us: How long it took, if that is known.
        is_parent: Whether steps are beneath it.
    """

    id: str
    name: str
    depth: int
    status: str
    refused: bool
    took_us: int | None
    is_parent: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A row of both sequences: one step of each, or a step that only one of them has.

    Attributes:
        older: The step of the older run.
        newer: That of the newer one.
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
        ends = (older.status, older.refused) == (newer.status, newer.refused)
        return ends and not differ(older.took_us, newer.took_us, least_us)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs, the older one first.

    Attributes:
        older: The older run, as a list of the API has it.
        newer: The newer one.
        older_version: The version of its agent.
        newer_version: That of the newer one.
    """

    older: Run
    newer: Run
    older_version: str
    newer_version: str

    @property
    def is_new_version(self) -> bool:
        """Whether the versions differ."""
        return self.older_version != self.newer_version

    @property
    def failed(self) -> Run | None:
        """The run that failed, if exactly one did."""
        failed = [run for run in (self.older, self.newer) if run["status"] == "failed"]
        return failed[0] if len(failed) == 1 else None

    @property
    def origin(self) -> str | None:
        """The step at which the failure of exactly one run began."""
        return origin_of(self.failed) if self.failed is not None else None

    def least_us(self, counts: Iterable[TypeCounts]) -> int:
        """Return the difference from which on durations differ."""
        longest = max((each.duration_us for each in counts), default=0)
        return max(LEAST_US, round(longest * NOTICED))


def origin_of(run: Run) -> str | None:
    """Return the step at which the failure of a run began."""
    return None if run["failure"] is None else run["failure"]["step"]


def differ(older_us: int | None, newer_us: int | None, least_us: int) -> bool:
    """Return whether two durations differ; one that is not known differs from no other."""
    if older_us is None or newer_us is None or abs(newer_us - older_us) < least_us:
        return False
    low, high = sorted((older_us, newer_us))
    return high >= LONGER * low


def changes_of(
    pair: Pair,
    older: Mapping[str, TypeCounts],
    newer: Mapping[str, TypeCounts],
    carriers: frozenset[str],
) -> list[Change]:
    """Return the types of steps: those that differ in the order of cause, then the others.

    Args:
        pair: The runs.
        older: Counts of the older run by type.
        newer: Counts of the newer one.
        carriers: Types of the steps around the one at which the failure began.
    """
    names = [name for name in {**newer, **older} if name != ROOT]
    least_us = pair.least_us([*older.values(), *newer.values()])
    changes: list[Change] = []
    for name in names:
        known = newer.get(name) or older[name]
        none = TypeCounts(name, known.title, 0)
        one, other = older.get(name, none), newer.get(name, none)
        rank, why = _difference(pair, one, other, carriers, least_us)
        otherwise = differ(one.duration_us, other.duration_us, least_us)
        changes.append(Change(one, other, rank, why, otherwise))
    end = len(_ORDER)
    return sorted(
        changes,
        key=lambda each: (
            end if each.rank is None else each.rank,
            0 if each.rank is None else -abs(each.newer.duration_us - each.older.duration_us),
            each.name.casefold(),
        ),
    )


_ORDER: Final = ("first", "carries", "failed", "refused", "new", "longer", "count", "gone", "marks")
"""The differences in the order of cause."""
_FIRST, _CARRIES, _FAILED, _REFUSED, _NEW, _LONGER, _COUNT, _GONE, _MARKS = range(len(_ORDER))


def _difference(  # noqa: PLR0911 - one for each difference
    pair: Pair, one: TypeCounts, other: TypeCounts, carriers: frozenset[str], least_us: int
) -> tuple[int | None, str]:
    """Return the place and the words of a difference."""
    pace = _pace(one, other, least_us)
    if one.name == pair.origin:
        return _FIRST, "; ".join(filter(None, ("failed first", pace)))
    if one.failed != other.failed:
        if one.name in carriers:
            return _CARRIES, "carries its error"
        more, run = (other, "newer") if other.failed > one.failed else (one, "older")
        return _FAILED, f"failed {formats.times(more.failed)} in the {run} run"
    if one.denied != other.denied:
        more, run = (other, "newer") if other.denied > one.denied else (one, "older")
        return _REFUSED, f"refused {formats.times(more.denied)} in the {run} run"
    if not one.steps:
        early = pair.older["status"] in ENDED_EARLY
        never = "never reached in the older run" if early else "only in the newer run"
        return _NEW, f"new in {pair.newer_version}" if pair.is_new_version else never
    if not other.steps:
        early = pair.newer["status"] in ENDED_EARLY
        return _GONE, "never reached" if early else "only in the older run"
    if pace and one.steps == other.steps:
        return _LONGER, pace
    if one.steps != other.steps:
        count = other.steps - one.steps
        return _COUNT, f"{abs(count):,} {'more' if count > 0 else 'fewer'}"
    if one.withheld != other.withheld:
        return _MARKS, "other values withheld"
    return None, ""


def _pace(one: TypeCounts, other: TypeCounts, least_us: int) -> str:
    """Return how many times as long the steps of the newer run took, if that differs."""
    if not (one.timed and other.timed):
        return ""
    before, after = one.duration_us // one.timed, other.duration_us // other.timed
    if not differ(one.duration_us, other.duration_us, least_us) or not before or not after:
        return ""
    times = max(before, after) / min(before, after)
    if times < LONGER:
        return ""
    shown = f"{times:,.0f}" if times >= 10 else f"{times:.1f}".removesuffix(".0")  # noqa: PLR2004
    return f"{shown} times as long" if after > before else f"{shown} times as fast"


def sequence_of(spans: Sequence[Mapping[str, Any]]) -> list[Ran]:
    """Return the steps of a run in the order of its tree, without the run itself."""
    beneath: dict[str | None, list[Mapping[str, Any]]] = {}
    known = {span["id"]: span for span in spans}
    root = next((span["id"] for span in spans if span["schema_name"] == ROOT), None)
    for span in sorted(spans, key=lambda each: (each["started_at"] or "9", each["id"])):
        parent = span["parent_span_id"]
        beneath.setdefault(parent if parent in known and parent != root else None, []).append(span)
    sequence: list[Ran] = []
    waiting = [(span, 0) for span in reversed(beneath.get(None, []))]
    while waiting:
        span, depth = waiting.pop()
        under = beneath.get(span["id"], []) if span["id"] != root else []
        if span["id"] != root:
            sequence.append(_ran(span, depth, is_parent=bool(under)))
        waiting += [(each, depth + 1) for each in reversed(under)]
    return sequence


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


def carriers_of(sequence: Sequence[Ran], origin: str | None) -> frozenset[str]:
    """Return the types of the failed steps around the one at which a failure began."""
    at = _failed_at(sequence, origin)
    if at is None:
        return frozenset()
    depth, names = sequence[at].depth, set[str]()
    for step in reversed(sequence[:at]):
        if step.depth < depth:
            depth = step.depth
            if step.status == "failed":
                names.add(step.name)
    return frozenset(names - {origin or ""})


def rows_of(pair: Pair, older: Sequence[Ran], newer: Sequence[Ran]) -> list[Row]:
    """Return both sequences side by side, aligned on the names of their types."""
    is_newer = pair.failed is pair.newer
    at = _failed_at(newer if is_newer else older, pair.origin)
    rows: list[Row] = []
    for one, other in aligned([each.name for each in older], [each.name for each in newer]):
        rows.append(
            Row(
                None if one is None else older[one],
                None if other is None else newer[other],
                first=at is not None and at == (other if is_newer else one),
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


AROUND: Final = 2
"""Rows that are shown before and after a difference."""


def without_the_same(rows: Sequence[Row], least_us: int) -> list[Row]:
    """Return the rows of differences with those around them; one row stands for each gap."""
    same = [row.is_same(least_us) for row in rows]
    kept = {
        near
        for index, is_same in enumerate(same)
        if not is_same
        for near in range(index - AROUND, index + AROUND + 1)
    }
    shown: list[Row] = []
    skipped: list[Row] = []
    for index, row in enumerate(rows):
        if index in kept:
            shown += [*_gap(skipped), row]
            skipped = []
        else:
            skipped.append(row)
    return [*shown, *_gap(skipped)]


def _gap(rows: Sequence[Row]) -> Sequence[Row]:
    return rows if len(rows) <= AROUND else [Row(skipped=len(rows))]
