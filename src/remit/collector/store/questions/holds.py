"""Holds, the steps that they denied, and the processes that know them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from remit._policy.words import HELD
from remit.collector.store.ids import to_bytes, to_text
from remit.collector.store.questions.scope import same_shard
from remit.collector.store.rows import DENIED, HoldProcessRow, HoldRow
from remit.collector.store.statements import SELECT
from remit.collector.store.transaction import Transaction

_SKEW_US: Final = 3_600_000_000
"""How much the clock of a program may differ: a step has the time of its program."""
# Each change adds one: a hold is made once and lifted once.
_NUMBER: Final = "SELECT COUNT(*) + COUNT(lifted_at) FROM holds WHERE account_id = ?"
_DENIED: Final = (
    "SELECT COUNT(DISTINCT span_id) FROM span_findings WHERE kind = ? AND started_at >= ? "
    "AND agent_ref IN (SELECT ref FROM agents WHERE account_id = ?) AND hold = ? "
    "GROUP BY run_ref"
)


class DeniedSteps(NamedTuple):
    """How many steps a hold denied, and in how many runs."""

    steps: int
    runs: int


def number(tx: Transaction, account_id: str) -> int:
    """Return the number of an account's holds, which grows with every change of them."""
    ((count,),) = tx.rows(_NUMBER, (account_id,))
    return int(count)


def in_force(tx: Transaction, account_id: str, now_us: int) -> list[HoldRow]:
    """Return the holds of an account that are in force, the oldest first."""
    sql = (
        f"{SELECT[HoldRow]} WHERE account_id = ? AND lifted_at IS NULL "
        "AND (ends_at IS NULL OR ends_at > ?) ORDER BY inserted_at, id"
    )
    return [HoldRow(*row) for row in tx.rows(sql, (account_id, now_us))]


def since(tx: Transaction, account_id: str, since_us: int, most: int) -> list[HoldRow]:
    """Return the holds that were made since a time, the newest first, at most *most*."""
    sql = (
        f"{SELECT[HoldRow]} WHERE account_id = ? AND inserted_at >= ? "
        "ORDER BY inserted_at DESC, id DESC LIMIT ?"
    )
    return [HoldRow(*row) for row in tx.rows(sql, (account_id, since_us, most))]


def denied_by(tx: Transaction, row: HoldRow) -> DeniedSteps:
    """Return how many steps a hold denied, of those whose findings are kept."""
    values = (DENIED, row.inserted_at - _SKEW_US, row.account_id, row.id)
    counts = [int(count) for (count,) in tx.rows(_DENIED, values)]
    return DeniedSteps(sum(counts), len(counts))


def held_steps(tx: Transaction, run_ids: Collection[str]) -> dict[str, set[str]]:
    """Return the ids of the steps that holds denied, by run."""
    held: dict[str, set[str]] = {}
    join = f"{same_shard(tx, 'r', 'f')}r.ref = f.run_ref"
    for group in tx.together([to_bytes(run_id) for run_id in run_ids]):
        among, values = tx.among_runs("r.", group)
        sql = (
            f"SELECT r.id, f.span_id FROM runs AS r JOIN span_findings AS f ON {join} "
            f"WHERE {among} AND f.kind = ? AND f.limit_word = ?"
        )
        for run_id, span_id in tx.rows(sql, (*values, DENIED, HELD)):
            held.setdefault(to_text(run_id), set()).add(to_text(span_id))
    return held


def denied_by_agent(tx: Transaction, account_id: str) -> dict[str, int]:
    """Return how many steps holds denied, by agent."""
    sql = (
        "SELECT a.id, COUNT(DISTINCT f.span_id) FROM span_findings AS f "
        "JOIN agents AS a ON a.ref = f.agent_ref WHERE a.account_id = ? AND f.kind = ? "
        "AND f.limit_word = ? GROUP BY a.id"
    )
    return dict(tx.rows(sql, (account_id, DENIED, HELD)))


def processes(tx: Transaction, account_id: str) -> list[HoldProcessRow]:
    """Return the processes that knew the holds in the last day, the last seen first."""
    names = ", ".join(HoldProcessRow.__struct_fields__)
    sql = f"SELECT {names} FROM hold_processes WHERE account_id = ? ORDER BY seen_at DESC, id"
    return [HoldProcessRow(*row) for row in tx.rows(sql, (account_id,))]
