"""Counts of spans and runs by time, as far as one transaction changes them."""

from __future__ import annotations

from collections import defaultdict
from typing import Final, TypeAlias

from remit.collector.store.ids import ms_of
from remit.collector.store.rows import (
    DENIED,
    INVALID,
    REDACTED,
    STATUSES,
    UNCHECKED,
    UNDECLARED,
    VIOLATION,
    RunRow,
    SpanRow,
)

US_PER_HOUR: Final = 3_600_000_000
MS_PER_HOUR: Final = 3_600_000
HOURS_PER_DAY: Final = 24
SPAN_KEY: Final = ("bucket", "agent_ref", "environment_ref", "purpose", "type_ref")
SPAN_COUNTS: Final = (
    "unfinished",
    "complete",
    "failed",
    "cancelled",
    "denied",
    "redacted",
    "violation",
    "undeclared",
    "invalid",
    "unchecked",
    "duration_us",
    "duration_max_us",
)
RUN_KEY: Final = ("bucket", "agent_ref", "environment_ref", "purpose")
RUN_COUNTS: Final = ("pending", "active", "complete", "failed", "terminated", "cancelled")
REDACTED_KEY: Final = ("bucket", "agent_ref", "environment_ref", "type_ref", "rule")

SpanKey: TypeAlias = tuple[int, int, int, str, int]
RunKey: TypeAlias = tuple[int, int, int, str]
RedactedKey: TypeAlias = tuple[int, int, int, int, str]

_MAX: Final = len(SPAN_COUNTS) - 1
_DURATION: Final = _MAX - 1
_OF_STATUS: Final = {"active": 0, "pending": 0, "complete": 1, "failed": 2, "cancelled": 3}
_OF_FLAG: Final = (
    (DENIED, 4),
    (REDACTED, 5),
    (VIOLATION, 6),
    (UNDECLARED, 7),
    (INVALID, 8),
    (UNCHECKED, 9),
)
_FLAGS: Final = DENIED | REDACTED | VIOLATION | UNDECLARED | INVALID | UNCHECKED
assert tuple(sorted(_OF_STATUS)) == STATUSES  # noqa: S101 - the statuses that are counted


class Counts:
    """Additions of a transaction to the counts, and the runs that it changes."""

    __slots__ = ("changed", "redacted", "runs", "spans")

    def __init__(self) -> None:
        """Add nothing."""
        self.spans: dict[SpanKey, list[int]] = {}
        self.runs: dict[RunKey, list[int]] = {}
        self.redacted: dict[RedactedKey, int] = defaultdict(int)
        self.changed: dict[int, str] = {}

    def copy(self) -> Counts:
        """Return a copy, to which a savepoint returns."""
        copied = Counts()
        copied.spans = {key: list(values) for key, values in self.spans.items()}
        copied.runs = {key: list(values) for key, values in self.runs.items()}
        copied.redacted.update(self.redacted)
        copied.changed.update(self.changed)
        return copied

    def change(self, run: RunRow) -> None:
        """Note that a run, or one of its spans, is written."""
        self.changed[run.ref] = run.id

    def run(self, before: RunRow | None, after: RunRow) -> None:
        """Count a run that is registered, or whose status changes."""
        self.change(after)
        if before is not None and before.status == after.status:
            return
        hour = ms_of(after.id) // MS_PER_HOUR
        key = (hour, after.agent_ref, after.environment_ref, after.purpose)
        counts = self.runs.setdefault(key, [0] * len(RUN_COUNTS))
        counts[RUN_COUNTS.index(after.status)] += 1
        if before is not None:
            counts[RUN_COUNTS.index(before.status)] -= 1

    def span(self, run: RunRow, row: SpanRow, sign: int = 1) -> None:
        """Count a span, or with a *sign* of -1 take it back as it was before a change."""
        began_us, ended_us, flags = row.started_at, row.finished_at, row.flags
        hour = (row.inserted_at if began_us is None else began_us) // US_PER_HOUR
        key = (hour, run.agent_ref, run.environment_ref, run.purpose, row.type_ref)
        counts = self.spans.get(key)
        if counts is None:
            counts = self.spans[key] = [0] * len(SPAN_COUNTS)
        counts[_OF_STATUS[row.status]] += sign
        if flags & _FLAGS:
            for flag, place in _OF_FLAG:
                if flags & flag:
                    counts[place] += sign
        if began_us is not None and ended_us is not None:
            duration_us = max(0, ended_us - began_us)
            counts[_DURATION] += sign * duration_us
            counts[_MAX] = max(counts[_MAX], duration_us)

    def redact(self, run: RunRow, row: SpanRow, rule: str, times: int) -> None:
        """Count the values that a rule redacted in a span."""
        began_us = row.inserted_at if row.started_at is None else row.started_at
        day = began_us // US_PER_HOUR // HOURS_PER_DAY
        self.redacted[day, run.agent_ref, run.environment_ref, row.type_ref, rule] += times

    def days(self) -> dict[SpanKey, list[int]]:
        """Return the counts of spans by day."""
        days: dict[SpanKey, list[int]] = {}
        for (hour, agent_ref, environment_ref, purpose, type_ref), counts in self.spans.items():
            key = (hour // HOURS_PER_DAY, agent_ref, environment_ref, purpose, type_ref)
            summed = days.get(key)
            if summed is None:
                days[key] = list(counts)
                continue
            for place in range(_MAX):
                summed[place] += counts[place]
            summed[_MAX] = max(summed[_MAX], counts[_MAX])
        return days
