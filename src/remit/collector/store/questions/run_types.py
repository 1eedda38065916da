"""The steps of one run by type: number, duration, status."""

from __future__ import annotations

from typing import Final, NamedTuple

from remit.collector.store.questions.scope import RunRef, of_key
from remit.collector.store.questions.span_lists import windows
from remit.collector.store.rows import DENIED, REDACTED, STATUSES
from remit.collector.store.statements import Value
from remit.collector.store.transaction import Transaction

_FAILED: Final = STATUSES.index("failed")
_COUNTS: Final = (
    "COUNT(*)",
    "COUNT(s.finished_at - s.started_at)",
    "COALESCE(SUM(s.finished_at - s.started_at), 0)",
    f"SUM(CASE WHEN s.status = {_FAILED} THEN 1 ELSE 0 END)",
    f"SUM(CASE WHEN (s.flags & {DENIED}) <> 0 THEN 1 ELSE 0 END)",
    f"SUM(CASE WHEN (s.flags & {REDACTED}) <> 0 THEN 1 ELSE 0 END)",
)


class TypeCounts(NamedTuple):
    """The steps of one type in a run."""

    name: str
    title: str
    steps: int
    timed: int = 0
    duration_us: int = 0
    failed: int = 0
    denied: int = 0
    redacted: int = 0


def run_types(tx: Transaction, run: RunRef) -> dict[str, TypeCounts]:
    """Return the steps of a run by the name of their type."""
    counts: dict[int, list[int]] = {}
    for window in windows(tx, run):
        where = of_key(tx, "s", run)
        where.add_nested("{}", window)
        sql = (
            f"SELECT s.type_ref, {', '.join(_COUNTS)} FROM spans AS s WHERE {where.text} "
            "GROUP BY s.type_ref"
        )
        for ref, *numbers in tx.rows(sql, where.values):
            before = counts.get(ref, [0] * len(numbers))
            added = zip(before, map(int, numbers), strict=True)
            counts[ref] = [one + other for one, other in added]
        if sum(steps for steps, *_ in counts.values()) >= run.spans:
            break
    types: dict[str, TypeCounts] = {}
    for ref, name, title in _named(tx, list(counts)):
        known = types.get(name, TypeCounts(name, title, 0))
        added = zip(known[2:], counts[ref], strict=True)
        types[name] = TypeCounts(name, title, *(int(one) + int(other) for one, other in added))
    return types


def _named(tx: Transaction, refs: list[Value]) -> list[tuple[int, str, str]]:
    if not refs:
        return []
    placeholders = ", ".join("?" * len(refs))
    sql = f"SELECT t.ref, t.name, t.title FROM span_types AS t WHERE t.ref IN ({placeholders})"
    return [(int(ref), name, title) for ref, name, title in tx.rows(sql, refs)]
