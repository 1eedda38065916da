"""Numbers that make up the risk of a run and of an agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from remit.collector.store.counts import HOURS_PER_DAY, SPAN_COUNTS
from remit.collector.store.filters import TypeCounts
from remit.collector.store.ids import to_bytes
from remit.collector.store.rows import (
    BEYOND,
    DENIED,
    INVALID,
    STATUSES,
    UNCHECKED,
    UNDECLARED,
    WITHHELD,
)
from remit.collector.store.span_rows import SpanRows
from remit.collector.store.statements import Value

_FLAGGED: Final = ", ".join(
    f"SUM(CASE WHEN (s.alike & {flags}) <> 0 THEN s.spans ELSE 0 END)"
    for flags in (DENIED, WITHHELD, BEYOND, UNDECLARED, INVALID, UNCHECKED)
)
_FLAG_BITS: Final = 20
_STATUS_BITS: Final = 4
_TYPE_BITS: Final = _FLAG_BITS + _STATUS_BITS
_ALIKE: Final = (
    f"(CAST(s.type_ref AS BIGINT) << {_TYPE_BITS}) + (s.status << {_FLAG_BITS}) + s.flags"
)
"""Type, status and flags in one number: SQLite sorts 50,000 of them in half the time."""
_FAILED: Final = STATUSES.index("failed")
_SUMMED: Final = ", ".join(f"SUM({name}) AS {name}" for name in SPAN_COUNTS[:-2])
_AGENT: Final = "(SELECT ref FROM agents WHERE id = ?)"
_TYPES_OF_AGENT: Final = f"SELECT ref FROM span_types WHERE agent_ref = {_AGENT}"  # noqa: S608 - a fixed text
MOST_SEEKS: Final = 400
"""Largest number of buckets that are looked up one by one."""
_TYPE: Final = "t.name, t.title, t.data_risk, t.hash"


class RiskCounts(SpanRows):
    """Numbers of spans by type, of withheld values by rule, and of findings by sentence."""

    def types_in_run(self, instance_id: str) -> list[TypeCounts]:
        """Return the numbers of spans of a run by type."""
        run_id = to_bytes(instance_id)
        shard, of_run = self.in_shard("r.", run_id)
        counted = (
            f"SELECT {_ALIKE} AS alike, COUNT(*) AS spans FROM runs AS r {self._spans_of_run} "  # noqa: S608 - fixed texts
            f"WHERE {shard}r.id = ? GROUP BY 1"
        )
        status = f"(s.alike >> {_FLAG_BITS}) & {2**_STATUS_BITS - 1}"
        sql = (
            f"SELECT {_TYPE}, SUM(s.spans), "  # noqa: S608 - fixed texts
            f"SUM(CASE WHEN {status} = {_FAILED} THEN s.spans ELSE 0 END), {_FLAGGED} "
            f"FROM ({counted}) AS s JOIN span_types AS t ON t.ref = s.alike >> {_TYPE_BITS} "
            f"GROUP BY t.ref, {_TYPE}"
        )
        return [_type_counts(row) for row in self.rows(sql, (*of_run, run_id))]

    def types_of_agent(
        self, agent_id: str, environment_id: str | None, hours: tuple[int, int]
    ) -> list[TypeCounts]:
        """Return the numbers of spans of an agent by type.

        Args:
            agent_id: The agent.
            environment_id: Only this environment; None for all.
            hours: The first hour since 1970 and the one after the last.
        """
        begin, end = hours
        first_day, end_day = -(-begin // HOURS_PER_DAY), end // HOURS_PER_DAY
        if first_day >= end_day:
            parts = [("span_hours", begin, end)]
        else:
            parts = [
                ("span_hours", begin, first_day * HOURS_PER_DAY),
                ("span_days", first_day, end_day),
                ("span_hours", end_day * HOURS_PER_DAY, end),
            ]
        within = _within(environment_id)
        chosen: list[str] = []
        values: list[Value] = []
        for table, first, after in parts:
            if first == after:
                continue
            buckets, bounds = _buckets(first, after)
            chosen.append(
                f"SELECT type_ref, {_SUMMED} FROM {self.counted(table)} AS c WHERE {buckets} AND "  # noqa: S608 - fixed texts
                f"type_ref IN ({_TYPES_OF_AGENT}) AND agent_ref = {_AGENT}{within.text} "
                "GROUP BY type_ref"
            )
            values += [*bounds, agent_id, agent_id, *within.values]
        sql = (
            f"SELECT {_TYPE}, SUM(unfinished + complete + failed + cancelled), SUM(failed), "  # noqa: S608 - fixed texts
            "SUM(denied), SUM(withheld), SUM(beyond), SUM(undeclared), SUM(invalid), "
            f"SUM(unchecked) FROM ({' UNION ALL '.join(chosen)}) AS h "
            f"JOIN span_types AS t ON t.ref = h.type_ref GROUP BY t.ref, {_TYPE}"
        )
        return [_type_counts(row) for row in self.rows(sql, values)]

    def counted(self, table: str) -> str:
        """Return the table of counts to read; PostgreSQL adds what is not folded yet."""
        return table

    def withheld(
        self, agent_id: str, environment_id: str | None, days: tuple[int, int]
    ) -> dict[str, int]:
        """Return how often rules withheld a value in spans of an agent, the most frequent first.

        Args:
            agent_id: The agent.
            environment_id: Only this environment; None for all.
            days: The first day since 1970 and the one after the last.
        """
        within = _within(environment_id)
        sql = (
            f"SELECT rule, SUM(times) FROM {self.counted('withheld_days')} AS c "  # noqa: S608 - fixed texts
            f"WHERE bucket >= ? AND bucket < ? AND agent_ref = {_AGENT}{within.text} "
            "GROUP BY rule ORDER BY 2 DESC, rule"
        )
        values = (*days, agent_id, *within.values)
        return {rule: int(times) for rule, times in self.rows(sql, values)}

    def sentences(
        self,
        kind: int,
        *,
        instance_id: str | None = None,
        agent_id: str | None = None,
        environment_id: str | None = None,
        period_us: tuple[int, int] = (0, 0),
        most: int,
    ) -> dict[str, int]:
        """Return the sentences of findings of a kind, the most frequent first, with their numbers.

        Args:
            kind: The flag.
            instance_id: The run; else the agent and the period count.
            agent_id: The agent.
            environment_id: Only this environment; None for all.
            period_us: The first and the last instant, in microseconds since 1970.
            most: Number of sentences.
        """
        if instance_id is not None:
            run_id = to_bytes(instance_id)
            shard, of_run = self.in_shard("f.", run_id)
            of_runs, _ = self.in_shard("", run_id)
            where = f"{shard}f.run_ref = (SELECT ref FROM runs WHERE {of_runs}id = ?)"  # noqa: S608 - fixed texts
            values: list[Value] = [*of_run, *of_run, run_id]
        else:
            within = _within(environment_id)
            where = (
                f"f.started_at >= ? AND f.started_at <= ? AND f.agent_ref = {_AGENT}{within.text}"
            )
            values = [*period_us, agent_id, *within.values]
        # The sign keeps SQLite from the primary key, which has the findings of all agents.
        sql = (
            f"SELECT f.sentence, COUNT(*) FROM span_findings AS f WHERE +f.kind = ? AND {where} "  # noqa: S608 - fixed texts
            "AND f.sentence IS NOT NULL GROUP BY f.sentence ORDER BY 2 DESC, 1 LIMIT ?"
        )
        return dict(self.rows(sql, (kind, *values, most)))


class _Condition(NamedTuple):
    """A condition and its values."""

    text: str
    values: tuple[Value, ...]


def _within(environment_id: str | None) -> _Condition:
    """Return the further condition that a count is of an environment, if one is given."""
    if environment_id is None:
        return _Condition("", ())
    text = " AND environment_ref = (SELECT ref FROM environments WHERE id = ?)"
    return _Condition(text, (environment_id,))


def _buckets(first: int, after: int) -> _Condition:
    """Return the condition on a bucket; few are looked up one by one, together with the types."""
    if after - first > MOST_SEEKS:
        return _Condition("bucket >= ? AND bucket < ?", (first, after))
    return _Condition(f"bucket IN ({', '.join('?' * (after - first))})", tuple(range(first, after)))


def _type_counts(row: Sequence[Any]) -> TypeCounts:
    name, title, data_risk, declaration, *counts = row
    return TypeCounts(name, title, data_risk, bool(declaration), *map(int, counts))
