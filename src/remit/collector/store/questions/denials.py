"""Sentences of the violations for which steps were denied."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from remit.collector.store.ids import to_bytes, to_text
from remit.collector.store.questions.holds import HELD
from remit.collector.store.questions.scope import same_shard
from remit.collector.store.rows import DENIED
from remit.collector.store.transaction import Transaction

_BEYOND: Final = "%: % is beyond the limit of % a run, which the agent %"
"""Pattern of the sentence of a violation that is beyond a limit."""


def denials(
    tx: Transaction, run_ids: Collection[str], span_ids: Collection[str]
) -> dict[str, dict[str, list[str]]]:
    """Return sentences about denied steps, in their order, by run and step.

    They are those of the steps *span_ids*, and those about holds and limits of all steps.
    """
    sentences: dict[str, dict[str, list[str]]] = {}
    join = f"{same_shard(tx, 'r', 'f')}r.ref = f.run_ref"
    wanted, ids = tx.among_ids("f.span_id", [to_bytes(span_id) for span_id in span_ids])
    for group in tx.together([to_bytes(run_id) for run_id in run_ids]):
        among, values = tx.among_runs("r.", group)
        sql = (
            f"SELECT r.id, f.span_id, f.sentence FROM runs AS r JOIN span_findings AS f ON {join} "
            f"WHERE {among} AND f.kind = ? AND f.sentence IS NOT NULL "
            f"AND (f.sentence LIKE ? OR f.sentence LIKE ? OR {wanted}) ORDER BY f.number"
        )
        for run_id, span_id, sentence in tx.rows(sql, (*values, DENIED, HELD, _BEYOND, *ids)):
            of_run = sentences.setdefault(to_text(run_id), {})
            of_run.setdefault(to_text(span_id), []).append(sentence)
    return sentences
