"""Erasure: payloads of runs are removed for good, their skeleton and a record of it stay."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from remit._base.clock import NS_PER_US, Clock, SystemClock
from remit._base.ids import partition_of
from remit.collector.domain.context import IdSource
from remit.collector.store import (
    ErasureRow,
    InstanceRow,
    SpanRow,
    Store,
    Transaction,
    write,
)
from remit.collector.store.statements import EMPTY, ERASED
from remit.collector.store.subjects import hash_of_subject
from remit.collector.views import instance_view, success_answer


class AskedFor(StrEnum):
    """How the runs to be erased were chosen."""

    RUN = "run"
    AGENT = "agent"
    SUBJECT = "subject"


class Erased(NamedTuple):
    """Counts of an erasure.

    Attributes:
        runs: Number of runs.
        spans: Number of spans with payloads.
        answers: Number of idempotency keys whose answer and request hash were removed.
    """

    runs: int
    spans: int
    answers: int


def runs_about(tx: Transaction, subject: str) -> list[str]:
    """Return the ids of the runs that are about *subject*, oldest first.

    An erased run is not among them, because its subject was erased too.
    """
    return tx.instances_of_subject(hash_of_subject(subject))


def erase(
    store: Store,
    instance_ids: Sequence[str],
    asked_for: AskedFor,
    *,
    reason: str,
    erased_by: str,
    clock: Clock | None = None,
) -> Erased:
    """Erase the payloads of runs, one transaction for each.

    Their bytes may remain in the database's files until `Store.scrub` is called.

    Args:
        store: The database; a collector may be serving it.
        instance_ids: The runs.
        asked_for: How they were chosen.
        reason: Why, for the record.
        erased_by: Name of the operator, for the record.
        clock: Source of the time.

    Raises:
        StoreUnavailableError: The database cannot be used now; the same may be done again.
    """
    clock = clock or SystemClock()
    ids = IdSource(clock)
    now_us = clock.wall_ns() // NS_PER_US
    runs = spans = answers = 0

    for instance_id in instance_ids:

        def work(tx: Transaction, instance_id: str = instance_id) -> ErasureRow | None:
            record = ErasureRow("", "", instance_id, asked_for, reason, erased_by, 0, 0, now_us)
            return _erase_run(tx, record, ids)

        done = write(store, work)
        if done is not None:
            runs, spans, answers = runs + 1, spans + done.spans, answers + done.answers
    return Erased(runs, spans, answers)


def _erase_run(tx: Transaction, record: ErasureRow, ids: IdSource) -> ErasureRow | None:
    """Erase one run, and return the stored *record*; None if the run does not exist any more."""
    instance_id = record.agent_instance_id
    tx.hold([instance_id], [])
    row = tx.instances(None, [instance_id]).get(instance_id)
    if row is None:
        return None
    spans = tx.erase(row, record.inserted_at)
    after = tx.instances(None, [instance_id])[instance_id]
    answers = tx.replace_answers(instance_id, success_answer(instance_view(after)))
    record = msgspec.structs.replace(
        record,
        id=ids.new(partition_of(row.account_id) or 0),
        account_id=row.account_id,
        spans=spans,
        answers=answers,
    )
    tx.add(record)
    return record


# Payloads that arrive after an erasure


def without_payloads(row: InstanceRow) -> InstanceRow:
    """Return an instance as it may be stored: an erased one has no payloads."""
    if row.erased_at is None or (row.quality_payloads == EMPTY and row.termination_reason is None):
        return row
    reason = None if row.termination_reason is None else ERASED
    return msgspec.structs.replace(row, quality_payloads=EMPTY, termination_reason=reason)


def span_without_payloads(row: SpanRow, instance: InstanceRow) -> SpanRow:
    """Return a span of *instance* as it may be stored."""
    if instance.erased_at is None:
        return row
    result = None if row.result_payload is None else EMPTY
    return msgspec.structs.replace(row, payload=EMPTY, result_payload=result)
