"""The difference of two runs in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from remit.collector.page import formats
from remit.collector.page.runs.comparison import Change, Pair, Run
from remit.collector.page.runs.sequences import Row

NAMED: Final = 3
"""So many steps are named in a sentence."""


class Verdict(NamedTuple):
    """What is different.

    Attributes:
        lead: The answer.
        more: The rest of the sentence.
        below: What follows from it; empty if nothing does.
        bad: Whether exactly one run failed.
    """

    lead: str
    more: str
    below: str
    bad: bool


def verdict_of(pair: Pair, changes: Sequence[Change], rows: Sequence[Row]) -> Verdict:
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
    return Verdict(lead, more, _only(different), bad=False)


def _lead(pair: Pair, changes: Sequence[Change]) -> str:
    """Return the answer about two runs of which none failed, or both."""
    older, newer = pair.older, pair.newer
    if older["status"] == newer["status"] == "failed":
        return _both_failed(pair)
    if older["status"] != newer["status"]:
        words = {"active": "is running", "pending": "has not started", "complete": "is complete"}
        ends = [words.get(run["status"], f"was {run['status']}") for run in (older, newer)]
        return f"The older run {ends[0]}, the newer one {ends[1]}."
    if all(change.rank is None for change in changes):
        steps = sum(change.newer.steps for change in changes)
        return f"Both did the same {formats.steps(steps)}, and took about as long."
    times = [formats.between(run["started_at"], run["finished_at"]) for run in (older, newer)]
    before, after = times
    if before is None or after is None or abs(after - before) * 100 < max(before, after):
        return "Both took about as long."
    word = "longer" if after > before else "less"
    return f"The newer run took {formats.duration(abs(after - before))} {word}."


def _both_failed(pair: Pair) -> str:
    one: Run = pair.older["failure"] or {}
    other: Run = pair.newer["failure"] or {}
    steps = one.get("step"), other.get("step")
    names = [formats.step(step) if step else "a step that is not known" for step in steps]
    if one.get("fingerprint") == other.get("fingerprint") is not None:
        return f"Both failed in the same way: {names[0]}, {other['type']}."
    if all(steps) and names[0] == names[1]:
        return f"Both failed at {names[0]}, each with another error."
    return f"Both failed: the older run at {names[0]}, the newer one at {names[1]}."


def _one_failed(pair: Pair, changes: Sequence[Change], rows: Sequence[Row]) -> Verdict:
    """Return the sentence about the run that failed."""
    is_newer = pair.failed_newer
    this, other = ("newer", "older") if is_newer else ("older", "newer")
    where = "" if is_newer else " in the older run"
    change = next((change for change in changes if change.older.name == pair.origin), None)
    if change is None:
        return Verdict(f"The {this} run failed.", "", _unreached(changes, is_newer), bad=True)
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
    return Verdict(lead, _before(pair, changes, rows), _unreached(changes, is_newer), bad=True)


def _before(pair: Pair, changes: Sequence[Change], rows: Sequence[Row]) -> str:
    """Return what both did before the failure."""
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
    sentence = f"Before it both did the same {formats.steps(len(both))}"
    if added and len(added) <= NAMED:
        whose = f"{pair.newer_version} added" if pair.is_new_version else "only the newer run did"
        return f"{sentence}, but for {formats.listed(added)}, which {whose}."
    return f"{sentence}." if not one_only else ""


def _unreached(changes: Sequence[Change], is_newer: bool) -> str:  # noqa: FBT001 - one of two runs
    """Return which steps the run that failed never reached."""
    names = [
        change.name for change in changes if not (change.newer if is_newer else change.older).steps
    ]
    if not names:
        return ""
    return f"{_few(names)} {'was' if len(names) == 1 else 'were'} never reached."


def _only(different: Sequence[Change]) -> str:
    """Return which steps only one of the runs has."""
    sentences: list[str] = []
    for run, names in (
        ("newer", [change.name for change in different if not change.older.steps]),
        ("older", [change.name for change in different if not change.newer.steps]),
    ):
        if names:
            sentences.append(f"Only the {run} run did {_few(names)}.")
    return " ".join(sentences)


def _few(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    if more <= 0:
        return formats.listed(names)
    return formats.listed([*names[:NAMED], f"{more} more"])
