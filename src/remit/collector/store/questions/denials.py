"""Violations for which steps were denied."""

from __future__ import annotations

from collections.abc import Collection

from remit._policy.words import HELD
from remit.collector.store.ids import to_bytes, to_text
from remit.collector.store.questions.scope import Scope, same_shard
from remit.collector.store.rows import DENIED
from remit.collector.store.statements import Where
from remit.collector.store.transaction import Transaction
from remit.errors import AT_MOST, Violation


def denials(
    tx: Transaction, run_ids: Collection[str], span_ids: Collection[str]
) -> dict[str, dict[str, list[Violation]]]:
    """Return the violations of denied steps, in their order, by run and step.

    They are those of the steps *span_ids*, and those of holds and limits of all steps. Their fields
    about the agent and the hold are empty.
    """
    violations: dict[str, dict[str, list[Violation]]] = {}
    join = f"{same_shard(tx, 'r', 'f')}r.ref = f.run_ref"
    wanted, ids = tx.among_ids("f.span_id", [to_bytes(span_id) for span_id in span_ids])
    for group in tx.together([to_bytes(run_id) for run_id in run_ids]):
        among, values = tx.among_runs("r.", group)
        sql = (
            "SELECT r.id, f.span_id, f.sentence, f.part, f.name, f.word, f.limit_word, "
            f"f.limit_number FROM runs AS r JOIN span_findings AS f ON {join} "
            f"WHERE {among} AND f.kind = ? AND (f.limit_word IN (?, ?) OR {wanted}) "
            "ORDER BY f.number"
        )
        rows = tx.rows(sql, (*values, DENIED, HELD, AT_MOST, *ids))
        for run_id, span_id, sentence, part, name, word, limit, number in rows:
            violation = Violation(
                sentence or "",
                part=part or "",
                name=name or "",
                word=word or "",
                limit=limit or "",
                number=number or 0,
            )
            of_run = violations.setdefault(to_text(run_id), {})
            of_run.setdefault(to_text(span_id), []).append(violation)
    return violations


def runs_beyond(tx: Transaction, scope: Scope, since_us: int) -> dict[tuple[str, str], int]:
    """Return the number of runs of an agent with a denied step that was beyond a limit.

    Returns:
        The numbers by the agent that sets the limit, and the name of the limit.
    """
    where = Where()
    where.add("f.agent_ref = ? AND f.started_at >= ?", scope.agent_ref, since_us)
    where.add_known("f.environment_ref = ?", scope.environment_ref)
    # The index contains only findings with a sentence. The sign keeps SQLite from the primary key,
    # which has the findings of all agents.
    where.add("f.sentence IS NOT NULL AND +f.kind = ? AND f.limit_word = ?", DENIED, AT_MOST)
    sql = (
        "SELECT f.agent, f.name, COUNT(DISTINCT f.run_ref) FROM span_findings AS f "
        f"WHERE {where.text} GROUP BY f.agent, f.name"
    )
    return {
        (agent or "", name or ""): int(runs) for agent, name, runs in tx.rows(sql, where.values)
    }
