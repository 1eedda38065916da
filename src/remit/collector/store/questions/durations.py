"""How long the newest steps of an agent took, by type."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from remit.collector.store.ids import first_at
from remit.collector.store.questions.scope import Query, Scope, run_meets
from remit.collector.store.questions.span_lists import DAY_US
from remit.collector.store.rows import DENIED
from remit.collector.store.statements import Where
from remit.collector.store.transaction import Transaction

MOST_DECLARATIONS: Final = 4
"""Declarations of one type whose steps are read, the newest."""
MOST_REFS: Final = 60
"""Declarations of all types whose steps are read."""
_LISTED: Final = 1_000
_RAN: Final = f"s.finished_at IS NOT NULL AND (s.flags & {DENIED}) = 0"


def last_durations(
    tx: Transaction, scope: Scope, names: Sequence[str], since_us: int, *, most: int
) -> dict[str, list[int]]:
    """Return how long the newest steps of types took that ended and were not denied.

    Only the newest steps of each type are read, so the cost does not grow with their number.

    Args:
        names: The types, the most important first; if there are too many, the last are left out.
        most: The number of steps of a type that are looked at.

    Returns:
        Durations in microseconds by type, the shortest first; types without one are left out.
    """
    refs = _refs(tx, scope, names)
    steps: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for query in _newest(tx, scope, list(refs), since_us, most):
        for ref, started_at, finished_at in tx.rows(query.sql, query.values):
            steps[refs[int(ref)]].append((int(started_at), int(finished_at)))
    return {
        name: sorted(ended - began for began, ended in sorted(of_name, reverse=True)[:most])
        for name, of_name in steps.items()
    }


def _refs(tx: Transaction, scope: Scope, names: Sequence[str]) -> dict[int, str]:
    if not names:
        return {}
    placeholders = ", ".join("?" * len(names))
    sql = (
        "SELECT t.ref, t.name FROM span_types AS t "
        f"WHERE t.agent_ref = ? AND t.name IN ({placeholders}) ORDER BY t.ref DESC LIMIT ?"
    )
    known: dict[str, list[int]] = {name: [] for name in names}
    for ref, name in tx.rows(sql, (scope.agent_ref, *names, _LISTED)):
        known[name].append(int(ref))
    refs = [(ref, name) for name in known for ref in known[name][:MOST_DECLARATIONS]]
    return dict(refs[:MOST_REFS])


def _newest(
    tx: Transaction, scope: Scope, refs: Sequence[int], since_us: int, most: int
) -> list[Query]:
    """Return the statements that select the newest steps of types, with type, start and end."""
    if not refs:
        return []
    started = Where()
    started.add("s.started_at >= ? AND s.id >= ?", since_us, first_at(since_us - DAY_US))
    ran = Where()
    ran.add(_RAN)
    of_environment = Where()
    of_environment.add_known("r.environment_ref = ?", scope.environment_ref)
    ran.add_nested("{}", run_meets(tx, "s", of_environment))
    newest = f"{started.text} ORDER BY s.started_at DESC LIMIT ?"
    bounds: list[Any] = [*started.values, most]
    selected = "s.type_ref, s.started_at, s.finished_at"
    if tx.distributed:
        # Citus knows no limit for each row of another table.
        sql = (
            f"SELECT {selected} FROM (SELECT s.* FROM spans AS s WHERE s.type_ref = ? "
            f"AND {newest}) AS s WHERE {ran.text}"
        )
        return [Query(sql, [ref, *bounds, *ran.values]) for ref in refs]
    placeholders = ", ".join("?" * len(refs))
    of_type = f"FROM spans AS s WHERE s.type_ref = t.ref AND {newest}"
    if tx.dialect == "postgres":
        sql = (
            f"SELECT {selected} FROM span_types AS t CROSS JOIN LATERAL "
            f"(SELECT s.* {of_type}) AS s WHERE t.ref IN ({placeholders}) AND {ran.text}"
        )
        return [Query(sql, [*bounds, *refs, *ran.values])]
    sql = (
        f"SELECT {selected} FROM span_types AS t CROSS JOIN spans AS s "
        f"WHERE t.ref IN ({placeholders}) AND s.ref IN (SELECT s.ref {of_type}) AND {ran.text}"
    )
    return [Query(sql, [*refs, *bounds, *ran.values])]
