"""Differences of two runs, by type of step and in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from remit.collector.page import formats
from remit.collector.page.runs.sequences import LONGER, AlignedRow, differ
from remit.collector.store.questions.run_types import TypeCounts
from remit.collector.store.subjects import ROOT_SPAN

Run: TypeAlias = Mapping[str, Any]
NOTICED: Final = 0.01
"""Part of the longer run from which a difference of durations counts."""
LEAST_US: Final = 1_000
_TEN, _MOST = 10, 100
ENDED_EARLY: Final = frozenset({"failed", "cancelled", "terminated"})


class TypeChange(NamedTuple):
    """One type of step in both runs.

    Attributes:
        rank: Its place among the differences; None if it is the same in both.
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


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs, the older one first."""

    older: Run
    newer: Run
    older_version: str
    newer_version: str

    @property
    def is_new_version(self) -> bool:
        """Whether the versions differ."""
        return bool(self.older["agent_version_id"] != self.newer["agent_version_id"])

    @property
    def failed(self) -> Run | None:
        """The run that failed, if exactly one did."""
        failed = [run for run in (self.older, self.newer) if run["status"] == "failed"]
        return failed[0] if len(failed) == 1 else None

    @property
    def failed_newer(self) -> bool:
        """Whether exactly the newer run failed."""
        return self.failed is self.newer

    @property
    def origin(self) -> str | None:
        """The step at which the failure of exactly one run began."""
        failure = None if self.failed is None else self.failed["failure"]
        return None if failure is None else failure["step"]

    def least_us(self, counts: Iterable[TypeCounts]) -> int:
        """Return the difference from which on durations differ."""
        longest = max((types.duration_us for types in counts), default=0)
        return max(LEAST_US, round(longest * NOTICED))


def changes_of(
    pair: Pair,
    older: Mapping[str, TypeCounts],
    newer: Mapping[str, TypeCounts],
    carriers: Sequence[str],
    order: Sequence[str],
) -> list[TypeChange]:
    """Return the types of steps: differing ones in the order of cause, then the others.

    Args:
        older: Counts of the older run by type.
        carriers: Types of the steps around that where the failure began, the nearest first.
        order: The types in the order in which they ran, as far as it is known.
    """
    names = [name for name in {**newer, **older} if name != ROOT_SPAN]
    least_us = pair.least_us([*older.values(), *newer.values()])
    changes: list[TypeChange] = []
    for name in names:
        known = newer.get(name) or older[name]
        none = TypeCounts(name, known.title, 0)
        was, is_ = older.get(name, none), newer.get(name, none)
        rank, why = _difference(pair, was, is_, carriers, least_us)
        otherwise = differ(was.duration_us, is_.duration_us, least_us)
        otherwise = otherwise or bool(was.timed) != bool(is_.timed)
        changes.append(TypeChange(was, is_, rank, why, otherwise))
    places: dict[str, int] = {}
    for name in (*carriers, *order):
        places.setdefault(name, len(places))

    def place(change: TypeChange) -> tuple[int, int, str]:
        name = change.name.casefold()
        if change.rank is None:
            return len(_ORDER), 0, name
        slower = abs(change.newer.duration_us - change.older.duration_us)
        known = -slower if change.rank == _LONGER else places.get(change.older.name, len(places))
        return change.rank, known, name

    return sorted(changes, key=place)


_ORDER: Final = ("first", "carries", "failed", "denied", "new", "longer", "count", "gone", "marks")
"""The differences in the order of cause."""
_FIRST, _CARRIES, _FAILED, _DENIED, _NEW, _LONGER, _COUNT, _GONE, _MARKS = range(len(_ORDER))


def _difference(  # noqa: PLR0911 - one for each difference
    pair: Pair, older: TypeCounts, newer: TypeCounts, carriers: Sequence[str], least_us: int
) -> tuple[int | None, str]:
    """Return the place and the words of a difference."""
    pace = _pace(older, newer, least_us)
    if older.name == pair.origin:
        return _FIRST, "; ".join(filter(None, ("failed first", pace)))
    if older.failed != newer.failed:
        if older.name in carriers:
            return _CARRIES, "passed the error on"
        more, run = (newer, "newer") if newer.failed > older.failed else (older, "older")
        return _FAILED, f"failed {formats.times(more.failed)} in the {run} run"
    if older.denied != newer.denied:
        more, run = (newer, "newer") if newer.denied > older.denied else (older, "older")
        return _DENIED, f"denied {formats.times(more.denied)} in the {run} run"
    if not older.steps:
        early = pair.older["status"] in ENDED_EARLY
        never = "never reached in the older run" if early else "only in the newer run"
        return _NEW, f"new in {pair.newer_version}" if pair.is_new_version else never
    if not newer.steps:
        early = pair.newer["status"] in ENDED_EARLY
        return _GONE, "never reached" if early else "only in the older run"
    if pace and older.steps == newer.steps:
        return _LONGER, pace
    if older.steps != newer.steps:
        count = newer.steps - older.steps
        return _COUNT, f"{abs(count):,} {'more' if count > 0 else 'fewer'}"
    if older.redacted != newer.redacted:
        return _MARKS, "other values redacted"
    return None, ""


def _pace(older: TypeCounts, newer: TypeCounts, least_us: int) -> str:
    """Return how many times as long the steps of the newer run took, if that differs."""
    if not (older.timed and newer.timed):
        return ""
    before, after = older.duration_us // older.timed, newer.duration_us // newer.timed
    if not differ(older.duration_us, newer.duration_us, least_us) or not before or not after:
        return ""
    times = max(before, after) / min(before, after)
    if times < LONGER:
        return ""
    if times > _MOST:
        return f"over {_MOST} times as {'long' if after > before else 'fast'}"
    shown = f"{times:.0f}" if times >= _TEN else f"{times:.1f}".removesuffix(".0")
    return f"{shown} times as long" if after > before else f"{shown} times as fast"


NAMED: Final = 3
"""Number of steps that are named in a sentence."""


class Difference(NamedTuple):
    """The differences in a sentence.

    Attributes:
        below: What follows from it; empty if nothing does.
    """

    lead: str
    more: str
    below: str
    bad: bool


def summary_of(pair: Pair, changes: Sequence[TypeChange], rows: Sequence[AlignedRow]) -> Difference:
    """Return the sentence about two runs; *rows* is empty if there are too many steps."""
    if pair.failed is not None:
        return _one_failed(pair, changes, rows)
    lead = _lead(pair, changes)
    different = [change for change in changes if change.rank is not None]
    slowest = max(
        (change for change in different if change.older.steps and change.newer.steps),
        key=lambda change: abs(change.newer.duration_us - change.older.duration_us),
        default=None,
    )
    more = ""
    if slowest is not None and slowest.newer.duration_us != slowest.older.duration_us:
        more = (
            f"{slowest.name} took {formats.duration(slowest.newer.duration_us)} instead of "
            f"{formats.duration(slowest.older.duration_us)}."
        )
    return Difference(lead, more, _only(different), bad=False)


def _lead(pair: Pair, changes: Sequence[TypeChange]) -> str:
    """Return the result for two runs if none failed, or both."""
    older, newer = pair.older, pair.newer
    if older["status"] == newer["status"] == "failed":
        return _both_failed(pair)
    if older["status"] != newer["status"]:
        words = {"active": "is running", "pending": "has not started", "complete": "is complete"}
        ends = [words.get(run["status"], f"was {run['status']}") for run in (older, newer)]
        return f"The older run {ends[0]}; the newer one {ends[1]}."
    if all(change.rank is None for change in changes):
        steps = sum(change.newer.steps for change in changes)
        return f"Both ran the same {formats.steps(steps)} in about the same time."
    times = [formats.between(run["started_at"], run["finished_at"]) for run in (older, newer)]
    before, after = times
    if before is None or after is None or abs(after - before) * 100 < max(before, after):
        return "Both took about the same time."
    word = "longer" if after > before else "less"
    return f"The newer run took {formats.duration(abs(after - before))} {word}."


def _both_failed(pair: Pair) -> str:
    one: Run = pair.older["failure"] or {}
    other: Run = pair.newer["failure"] or {}
    steps = one.get("step"), other.get("step")
    names = [formats.step(step) if step else "an unknown step" for step in steps]
    if one.get("fingerprint") == other.get("fingerprint") is not None:
        return f"Both failed in the same way: {names[0]}, {other['type']}."
    if all(steps) and names[0] == names[1]:
        return f"Both failed in {names[0]}, with different errors."
    return f"Both failed: the older run in {names[0]}, the newer one in {names[1]}."


def _one_failed(
    pair: Pair, changes: Sequence[TypeChange], rows: Sequence[AlignedRow]
) -> Difference:
    """Return the sentence about the run that failed."""
    is_newer = pair.failed_newer
    this, other = ("newer", "older") if is_newer else ("older", "newer")
    where = "" if is_newer else " in the older run"
    change = next((change for change in changes if change.older.name == pair.origin), None)
    if change is None:
        return Difference(f"The {this} run failed.", "", _unreached(changes, is_newer), bad=True)
    mine, its = (change.newer, change.older) if is_newer else (change.older, change.newer)
    row = next((row for row in rows if row.first), None)
    failed, peer = (None, None) if row is None else (row.newer, row.older)
    if not is_newer:
        failed, peer = peer, failed
    took = mine.duration_us if failed is None else failed.took_us
    before = its.duration_us if peer is None else peer.took_us
    lead = f"{change.name} failed{where} after {formats.duration(took)}; "
    if its.steps:
        lead += f"in the {other} run it took {formats.duration(before)}."
    else:
        lead += f"the {other} run did not reach it."
    return Difference(lead, _before(pair, changes, rows), _unreached(changes, is_newer), bad=True)


def _before(pair: Pair, changes: Sequence[TypeChange], rows: Sequence[AlignedRow]) -> str:
    """Return the steps of both before the failure."""
    at = next((index for index, row in enumerate(rows) if row.first), None)
    if at is None:
        return ""
    both = [row for row in rows[:at] if row.older and row.newer]
    if not both:
        return ""
    one_only = {row.shown.name for row in rows[:at] if row.shown and not (row.older and row.newer)}
    added = [
        change.name
        for change in changes
        if change.older.name in one_only and not change.older.steps
    ]
    sentence = f"Before the failure, both ran the same {formats.steps(len(both))}"
    if added and len(added) <= NAMED:
        whose = (
            f"{pair.newer_version} added" if pair.is_new_version else "only the newer run called"
        )
        return f"{sentence}, except for {formats.listed(added)}, which {whose}."
    return f"{sentence}." if not one_only else ""


def _unreached(changes: Sequence[TypeChange], is_newer: bool) -> str:  # noqa: FBT001 - one of two runs
    """Return which steps the run that failed never reached."""
    names = [
        change.name for change in changes if not (change.newer if is_newer else change.older).steps
    ]
    if not names:
        return ""
    return f"{_few(names)} {'was' if len(names) == 1 else 'were'} never reached."


def _only(different: Sequence[TypeChange]) -> str:
    """Return which steps only one of the runs has."""
    sentences: list[str] = []
    for run, names in (
        ("newer", [change.name for change in different if not change.older.steps]),
        ("older", [change.name for change in different if not change.newer.steps]),
    ):
        if names:
            sentences.append(f"Only the {run} run called {_few(names)}.")
    return " ".join(sentences)


def _few(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    if more <= 0:
        return formats.listed(names)
    return formats.listed([*names[:NAMED], f"{more} more"])
