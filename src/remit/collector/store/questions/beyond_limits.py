"""Runs with a step that was denied because it was beyond a limit of its agent."""

from __future__ import annotations

from collections import Counter
from typing import Final

from remit.collector.store.questions.scope import Scope
from remit.collector.store.rows import DENIED
from remit.collector.store.statements import Where
from remit.collector.store.transaction import Transaction

MOST_FINDINGS: Final = 10_000
"""Findings that are read; of more, the newest."""
_NAME_CHARS: Final = 30
"""Longer than the name of a limit, with which the sentence of the finding begins."""
_SPECIAL: Final = str.maketrans({sign: f"!{sign}" for sign in "!%_"})


def runs_beyond(tx: Transaction, scope: Scope, agent: str, since_us: int) -> dict[str, int]:
    """Return the number of runs with a denied step beyond each limit that an agent sets.

    Args:
        agent: The name of the span type of the agent.
    """
    where = Where()
    where.add("f.agent_ref = ? AND f.started_at >= ?", scope.agent_ref, since_us)
    where.add_known("f.environment_ref = ?", scope.environment_ref)
    where.add("f.sentence IS NOT NULL AND f.kind = ?", DENIED)
    pattern = (
        f"%: % is beyond the limit of % a run, which the agent %{agent.translate(_SPECIAL)} sets"
    )
    where.add("f.sentence LIKE ? ESCAPE '!'", pattern)
    sql = (
        f"SELECT f.run_ref, SUBSTR(f.sentence, 1, {_NAME_CHARS}) FROM span_findings AS f "
        f"WHERE {where.text} ORDER BY f.started_at DESC LIMIT ?"
    )
    rows = tx.rows(sql, (*where.values, MOST_FINDINGS))
    return Counter(name for _, name in {(ref, text.partition(":")[0]) for ref, text in rows})
