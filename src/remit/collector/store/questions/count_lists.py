"""Numbers of spans, runs and redacted values, from the tables of counts.

Whole days of a time come from the table by day, and the hours before and after them from the one by
hour. On PostgreSQL the increments that are not folded yet are added.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from remit.collector.store.counts import HOURS_PER_DAY, RUN_COUNTS, SPAN_COUNTS, US_PER_HOUR
from remit.collector.store.questions.scope import Scope
from remit.collector.store.risk_counts import EVER, MOST_SEEKS, NEVER, BucketRange, by_day
from remit.collector.store.statements import Value, Where
from remit.collector.store.transaction import Transaction

_FINISHES: Final = SPAN_COUNTS[:4]
_LARGEST: Final = "duration_max_us"


@dataclass(frozen=True, slots=True, kw_only=True)
class CountCriteria:
    """Criteria of a count; fields that are None exclude nothing.

    Attributes:
        purpose: Purpose of the runs; redacted values are counted for all purposes together.
        since_us: Begin of the time, rounded down to an hour (a day for redacted values).
        until_us: End of the time, rounded up.
    """

    scope: Scope
    purpose: str | None = None
    since_us: int | None = None
    until_us: int | None = None


Group: TypeAlias = str | int
"""Id of an agent, name of types, a word, or number of an hour or a day since 1970."""
Numbers: TypeAlias = dict[str, int]


class Counted(NamedTuple):
    """The numbers of one group.

    Attributes:
        total: The number of its spans, runs or redacted values.
        numbers: Its other numbers by name; none if the groups are statuses.
        title: Title of a type, from its newest declaration; name of an agent.
    """

    group: Group
    total: int
    numbers: Numbers
    title: str | None = None
    external_identifier: str | None = None


class StepCount(NamedTuple):
    """Numbers of spans of one type of an agent."""

    agent_id: str
    name: str
    spans: int = 0
    denied: int = 0
    violation: int = 0


def span_counts(tx: Transaction, wanted: CountCriteria, by: str) -> list[Counted]:
    """Return numbers of spans.

    Args:
        by: hour, day, type, category, agent or status.
    """
    first, end = _buckets(wanted, US_PER_HOUR)
    parts = [BucketRange("span_hours", first, end)] if by == "hour" else by_day(first, end)
    if tx.dialect == "postgres":
        parts.append(BucketRange("span_increments", first, end))
    return _counted(tx, wanted, parts, by, SPAN_COUNTS, _FINISHES)


def step_counts(tx: Transaction, wanted: CountCriteria) -> list[StepCount]:
    """Return numbers of spans by agent and type; declarations of one type are taken together."""
    sums: dict[tuple[str, str], StepCount] = {}
    for each in span_counts(tx, wanted, "step"):
        key = (str(each.external_identifier), str(each.title))
        known = sums.get(key, StepCount(*key))
        sums[key] = known._replace(
            spans=known.spans + each.total,
            denied=known.denied + each.numbers["denied"],
            violation=known.violation + each.numbers["violation"],
        )
    return list(sums.values())


def run_counts(tx: Transaction, wanted: CountCriteria, by: str) -> list[Counted]:
    """Return numbers of runs, by hour, day, agent or status."""
    first, end = _buckets(wanted, US_PER_HOUR)
    parts = [BucketRange("run_hours", first, end)]
    if tx.dialect == "postgres":
        parts.append(BucketRange("run_increments", first, end))
    return _counted(tx, wanted, parts, by, RUN_COUNTS, RUN_COUNTS)


def redacted_counts(tx: Transaction, wanted: CountCriteria, by: str) -> list[Counted]:
    """Return how often values were redacted (`times`), by rule, type or day."""
    first, end = _buckets(wanted, HOURS_PER_DAY * US_PER_HOUR)
    parts = [BucketRange("redacted_days", first, end, HOURS_PER_DAY)]
    if tx.dialect == "postgres":
        parts.append(BucketRange("redacted_increments", first, end, HOURS_PER_DAY))
    return _counted(tx, wanted, parts, by, ("times",), ("times",))


def _buckets(wanted: CountCriteria, width_us: int) -> tuple[int, int]:
    since_us, until_us = wanted.since_us, wanted.until_us
    first = NEVER if since_us is None else since_us // width_us
    return first, EVER if until_us is None else -(-until_us // width_us)


class _Grouping(NamedTuple):
    """How rows are grouped.

    Attributes:
        column: The column of the tables of counts by which the database adds up; empty if all rows
            are one group.
        selected: The columns of the key, the title and the external identifier of a group `g`.
        joined: The joins that name it, and the condition that it belongs to an account.
    """

    column: str
    selected: str = "g.grouped, NULL, NULL"
    joined: str = ""


_BY_TYPE: Final = frozenset({"span_hours", "span_days"})
"""The tables whose keys begin with bucket and type."""
_CATEGORIES: Final = "SELECT DISTINCT word, type_ref FROM span_type_words WHERE side <> 'action'"
_AGENT: Final = "a.id, a.name, a.external_identifier"
_OF_TYPE: Final = (
    "JOIN span_types AS t ON t.ref = g.grouped JOIN agents AS a ON a.ref = t.agent_ref"
)
_GROUPINGS: Final = {
    "hour": _Grouping("bucket"),
    "day": _Grouping("bucket"),
    "status": _Grouping(""),
    "rule": _Grouping("rule"),
    "type": _Grouping("type_ref", "t.name, t.title, NULL", _OF_TYPE),
    "category": _Grouping(
        "type_ref",
        "w.word, NULL, NULL",
        f"{_OF_TYPE} JOIN ({_CATEGORIES}) AS w ON w.type_ref = t.ref",
    ),
    "agent": _Grouping("type_ref", _AGENT, _OF_TYPE),
    "step": _Grouping("type_ref", "t.ref, t.name, a.id", _OF_TYPE),
}
_RUNS_BY_AGENT: Final = _Grouping("agent_ref", _AGENT, "JOIN agents AS a ON a.ref = g.grouped")


def _counted(
    tx: Transaction,
    wanted: CountCriteria,
    parts: Sequence[BucketRange],
    by: str,
    numbers: Sequence[str],
    statuses: Sequence[str],
) -> list[Counted]:
    """Return the sums of the columns *numbers*, of which *statuses* make up the whole."""
    groups: dict[Group, Counted] = {}
    grouping = _RUNS_BY_AGENT if by == "agent" and numbers is RUN_COUNTS else _GROUPINGS[by]
    for key, title, identifier, *row in _sums(tx, wanted, parts, grouping, numbers):
        if None in row:
            continue  # the sums of no rows
        group = int(key) // HOURS_PER_DAY if by == "day" else key
        sums = dict(zip(numbers, map(int, row), strict=True))
        if group in groups:
            sums = _added(groups[group].numbers, sums)
        total = sum(sums[name] for name in statuses)
        groups[group] = Counted(group, total, sums, title, identifier)
    if by == "status":
        all_sums = [counted.numbers for counted in groups.values()]
        by_status = [Counted(word, sums[word], {}) for sums in all_sums for word in statuses]
        return [counted for counted in by_status if counted.total > 0]
    present = [counted for counted in groups.values() if counted.total > 0]
    if by in {"hour", "day"}:
        return sorted(present, key=lambda counted: int(counted.group))
    return sorted(present, key=lambda counted: (-counted.total, str(counted.group)))


def _sums(
    tx: Transaction,
    wanted: CountCriteria,
    parts: Sequence[BucketRange],
    grouping: _Grouping,
    numbers: Sequence[str],
) -> Iterable[tuple[Any, ...]]:
    """Return the columns of the name of each group, and its sums in one part."""
    sums = ", ".join(
        # PostgreSQL sums bigints to a decimal number.
        f"CAST({'MAX' if name == _LARGEST else 'SUM'}(c.{name}) AS bigint) AS {name}"
        for name in numbers
    )
    rows: list[str] = []
    values: list[Value] = []
    for part in parts:
        where = _of_part(tx, wanted, part, grouping)
        column = f"c.{grouping.column}" if grouping.column else ""
        key = f"c.bucket * {part.width}" if grouping.column == "bucket" else column or "0"
        source = f"{part.table} AS c"
        if _seeks(tx, part, grouping):
            source = f"span_types AS y CROSS JOIN {source}"
            column = key = "y.ref"
        grouped = f" GROUP BY {column}" if column else ""
        rows.append(f"SELECT {key} AS grouped, {sums} FROM {source} WHERE {where.text}{grouped}")
        values += where.values
    selected = ", ".join([grouping.selected, *(f"g.{name}" for name in numbers)])
    of_account = ""
    if grouping.joined and wanted.scope.agent_ref is None:
        of_account = " WHERE a.account_id = ?"
        values.append(wanted.scope.account_id)
    order = " ORDER BY t.ref" if "t.ref" in grouping.joined else ""
    return tx.rows(
        f"SELECT {selected} FROM ({' UNION ALL '.join(rows)}) AS g {grouping.joined}"
        f"{of_account}{order}",
        values,
    )


def _seeks(tx: Transaction, part: BucketRange, grouping: _Grouping) -> bool:
    """Return whether the counts of spans of each type are looked up bucket by bucket.

    SQLite would sort all rows of the time to add them up by type, which takes longer.
    """
    few = part.table in _BY_TYPE and part.end - part.first <= MOST_SEEKS
    return tx.dialect == "sqlite" and grouping.column == "type_ref" and few


def _of_part(
    tx: Transaction, wanted: CountCriteria, part: BucketRange, grouping: _Grouping
) -> Where:
    scope = wanted.scope
    where = Where()
    if _seeks(tx, part, grouping):
        buckets = range(part.first, part.end)
        where.add("c.type_ref = y.ref")
        where.add(f"c.bucket IN ({', '.join('?' * len(buckets))})", *buckets)
        where.add_known("y.agent_ref = ?", scope.agent_ref)
    else:
        where.add("c.bucket >= ? AND c.bucket < ?", part.first, part.end)
        where.add_known("c.agent_ref = ?", scope.agent_ref)
    if scope.agent_ref is None and not grouping.joined:
        of_account = "c.agent_ref IN (SELECT a.ref FROM agents AS a WHERE a.account_id = ?)"
        where.add(of_account, scope.account_id)
    where.add_known("c.environment_ref = ?", scope.environment_ref)
    where.add_known("c.purpose = ?", wanted.purpose)
    return where


def _added(one: Numbers, other: Numbers) -> Numbers:
    return {
        name: max(one[name], other[name]) if name == _LARGEST else one[name] + other[name]
        for name in one
    }
