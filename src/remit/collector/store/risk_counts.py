"""Numbers that make up the risk of a run and of an agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from remit.collector.store.counts import HOURS_PER_DAY, SPAN_COUNTS
from remit.collector.store.filters import TypeCounts
from remit.collector.store.ids import to_bytes
from remit.collector.store.rows import (
    DENIED,
    INVALID,
    REDACTED,
    STATUSES,
    UNCHECKED,
    UNDECLARED,
    VIOLATION,
)
from remit.collector.store.span_rows import SpanRows
from remit.collector.store.statements import Value, Where

_FLAGGED: Final = ", ".join(
    f"SUM(CASE WHEN (s.alike & {flags}) <> 0 THEN s.spans ELSE 0 END)"
    for flags in (DENIED, REDACTED, VIOLATION, UNDECLARED, INVALID, UNCHECKED)
)
_FLAG_BITS: Final = 20
_STATUS_BITS: Final = 4
_TYPE_BITS: Final = _FLAG_BITS + _STATUS_BITS
_ALIKE: Final = (
    f"(CAST(s.type_ref AS BIGINT) * {2**_STATUS_BITS} + s.status) * {2**_FLAG_BITS} + s.flags"
)
"""Type, status and flags in one number: SQLite sorts 50,000 of them in half the time."""
_FAILED: Final = STATUSES.index("failed")
_SUMMED: Final = ", ".join(f"SUM({name}) AS {name}" for name in SPAN_COUNTS[:-2])
_AGENT: Final = "(SELECT ref FROM agents WHERE id = ?)"
_TYPES_OF_AGENT: Final = f"SELECT ref FROM span_types WHERE agent_ref = {_AGENT}"
MOST_SEEKS: Final = 400
"""Largest number of buckets that are looked up one by one."""
NEVER, EVER = -(2**31), 2**31 - 1
"""The first and the last bucket of a time without a begin or an end."""
_OF_ENVIRONMENT: Final = "environment_ref = (SELECT ref FROM environments WHERE id = ?)"
_TYPE: Final = "t.name, t.title, t.data_risk, t.hash"


class BucketRange(NamedTuple):
    """The rows of a table of counts whose bucket is at least `first` and less than `end`.

    `width` is the length of its buckets in those of the result.
    """

    table: str
    first: int
    end: int
    width: int = 1


def by_day(first: int, end: int) -> list[BucketRange]:
    """Return the days within the hours from *first* to *end*, and the hours around them."""
    first_day = NEVER if first == NEVER else -(-first // HOURS_PER_DAY)
    end_day = EVER if end == EVER else end // HOURS_PER_DAY
    if first_day >= end_day:
        return [BucketRange("span_hours", first, end)]
    parts = [BucketRange("span_days", first_day, end_day, HOURS_PER_DAY)]
    if first < first_day * HOURS_PER_DAY:
        parts.append(BucketRange("span_hours", first, first_day * HOURS_PER_DAY))
    if end_day * HOURS_PER_DAY < end:
        parts.append(BucketRange("span_hours", end_day * HOURS_PER_DAY, end))
    return parts


class RiskCounts(SpanRows):
    """Numbers of spans by type, of redacted values by rule, and of findings by sentence."""

    def types_in_run(self, run_id: str) -> list[TypeCounts]:
        """Return the numbers of spans of a run by type."""
        run_key = to_bytes(run_id)
        shard, of_run = self.in_shard("r.", run_key)
        counted = (
            f"SELECT {_ALIKE} AS alike, COUNT(*) AS spans FROM runs AS r {self._spans_of_run} "
            f"WHERE {shard}r.id = ? GROUP BY 1"
        )
        status = f"(s.alike >> {_FLAG_BITS}) & {2**_STATUS_BITS - 1}"
        sql = (
            f"SELECT {_TYPE}, SUM(s.spans), "
            f"SUM(CASE WHEN {status} = {_FAILED} THEN s.spans ELSE 0 END), {_FLAGGED} "
            f"FROM ({counted}) AS s JOIN span_types AS t ON t.ref = s.alike >> {_TYPE_BITS} "
            f"GROUP BY t.ref, {_TYPE}"
        )
        return [_type_counts(row) for row in self.rows(sql, (*of_run, run_key))]

    def types_of_agent(
        self, agent_id: str, environment_id: str | None, hours: tuple[int, int]
    ) -> list[TypeCounts]:
        """Return the numbers of spans of an agent by type.

        Args:
            hours: The first hour since 1970 and the one after the last.
        """
        chosen: list[str] = []
        values: list[Value] = []
        for part in by_day(*hours):
            where = _of_buckets(part)
            where.add(
                f"type_ref IN ({_TYPES_OF_AGENT}) AND agent_ref = {_AGENT}", agent_id, agent_id
            )
            where.add_known(_OF_ENVIRONMENT, environment_id)
            chosen.append(
                f"SELECT type_ref, {_SUMMED} FROM {self.counted(part.table)} AS c "
                f"WHERE {where.text} GROUP BY type_ref"
            )
            values += where.values
        sql = (
            f"SELECT {_TYPE}, SUM(unfinished + complete + failed + cancelled), SUM(failed), "
            "SUM(denied), SUM(redacted), SUM(violation), SUM(undeclared), SUM(invalid), "
            f"SUM(unchecked) FROM ({' UNION ALL '.join(chosen)}) AS h "
            f"JOIN span_types AS t ON t.ref = h.type_ref GROUP BY t.ref, {_TYPE}"
        )
        return [_type_counts(row) for row in self.rows(sql, values)]

    def counted(self, table: str) -> str:
        """Return the table of counts to read; PostgreSQL adds increments not folded yet."""
        return table

    def redacted(
        self, agent_id: str, environment_id: str | None, days: tuple[int, int]
    ) -> dict[str, int]:
        """Return how often rules redacted a value in spans of an agent, the most frequent first.

        Args:
            days: The first day since 1970 and the one after the last.
        """
        where = Where(["bucket >= ? AND bucket < ?"], [*days])
        where.add(f"agent_ref = {_AGENT}", agent_id)
        where.add_known(_OF_ENVIRONMENT, environment_id)
        sql = (
            f"SELECT rule, SUM(times) FROM {self.counted('redacted_days')} AS c "
            f"WHERE {where.text} GROUP BY rule ORDER BY 2 DESC, rule"
        )
        return {rule: int(times) for rule, times in self.rows(sql, where.values)}

    def sentences(
        self,
        kind: int,
        *,
        run_id: str | None = None,
        agent_id: str | None = None,
        environment_id: str | None = None,
        period_us: tuple[int, int] = (0, 0),
        most: int,
    ) -> dict[str, int]:
        """Return the sentences of findings of a kind, the most frequent first, with their numbers.

        Args:
            run_id: The run; else the agent and the period count.
            period_us: The first and the last instant, in microseconds since 1970.
        """
        # The sign keeps SQLite from the primary key, which has the findings of all agents.
        where = Where(["+f.kind = ?", "f.sentence IS NOT NULL"], [kind])
        if run_id is not None:
            run_key = to_bytes(run_id)
            shard, of_run = self.in_shard("f.", run_key)
            of_runs, _ = self.in_shard("", run_key)
            where.add(
                f"{shard}f.run_ref = (SELECT ref FROM runs WHERE {of_runs}id = ?)",
                *(*of_run, *of_run, run_key),
            )
        else:
            where.add("f.started_at >= ? AND f.started_at <= ?", *period_us)
            where.add(f"f.agent_ref = {_AGENT}", agent_id)
            where.add_known(_OF_ENVIRONMENT, environment_id)
        sql = (
            f"SELECT f.sentence, COUNT(*) FROM span_findings AS f WHERE {where.text} "
            "GROUP BY f.sentence ORDER BY 2 DESC, 1 LIMIT ?"
        )
        return dict(self.rows(sql, (*where.values, most)))


def _of_buckets(part: BucketRange) -> Where:
    """Return the condition on a bucket; few are looked up one by one, together with the types."""
    if part.end - part.first > MOST_SEEKS:
        return Where(["bucket >= ? AND bucket < ?"], [part.first, part.end])
    buckets = range(part.first, part.end)
    return Where([f"bucket IN ({', '.join('?' * len(buckets))})"], [*buckets])


def _type_counts(row: Sequence[Any]) -> TypeCounts:
    name, title, data_risk, declaration, *counts = row
    return TypeCounts(name, title, data_risk, bool(declaration), *map(int, counts))
