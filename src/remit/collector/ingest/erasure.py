"""Erasing: the payloads of runs go, their skeleton stays, and a record of it is made."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from remit._base.clock import NS_PER_US, Clock, SystemClock
from remit._base.ids import partition_of
from remit.collector.ingest.context import IdSource
from remit.collector.store import ErasureRow, Reading, Store, Writing, write
from remit.collector.store.subjects import hash_of_subject
from remit.collector.views import instance_view, success_answer


class AskedFor(StrEnum):
    """As what a run was named to be erased."""

    RUN = "run"
    AGENT = "agent"
    SUBJECT = "subject"


class Erased(NamedTuple):
    """What was erased.

    Attributes:
        runs: How many runs.
        spans: How many spans had payloads.
        answers: How many answers, kept for repeated requests, held some.
    """

    runs: int
    spans: int
    answers: int


def runs_about(tx: Reading, subject: str) -> list[str]:
    """Return the ids of the runs that are about *subject*, oldest first.

    A run that was erased is not found again: it does not say any more whom it was about.
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

    Their bytes may stand in the database's files until `Store.scrub` was called.

    Args:
        store: The database; a collector may be serving it.
        instance_ids: The runs.
        asked_for: As what they were named.
        reason: Why, for the record.
        erased_by: Who does it, for the record.
        clock: Tells when.

    Raises:
        StoreUnavailableError: The database cannot be used now; the same may be done again.
    """
    clock = clock or SystemClock()
    ids = IdSource(clock)
    now_us = clock.wall_ns() // NS_PER_US
    runs = spans = answers = 0

    for instance_id in instance_ids:

        def work(tx: Writing, instance_id: str = instance_id) -> ErasureRow | None:
            said = ErasureRow("", "", instance_id, asked_for, reason, erased_by, 0, 0, now_us)
            return _erase_run(tx, said, ids)

        done = write(store, work)
        if done is not None:
            runs, spans, answers = runs + 1, spans + done.spans, answers + done.answers
    return Erased(runs, spans, answers)


def _erase_run(tx: Writing, said: ErasureRow, ids: IdSource) -> ErasureRow | None:
    """Erase one run, and return the record of it; None if the run is gone meanwhile."""
    instance_id = said.agent_instance_id
    tx.hold([instance_id], [])
    row = tx.instances(None, [instance_id]).get(instance_id)
    if row is None:
        return None
    spans = tx.erase(instance_id, said.inserted_at)
    after = tx.instances(None, [instance_id])[instance_id]
    answers = tx.replace_answers(instance_id, success_answer(instance_view(after)))
    record = msgspec.structs.replace(
        said,
        id=ids.new(partition_of(row.account_id) or 0),
        account_id=row.account_id,
        spans=spans,
        answers=answers,
    )
    tx.add(record)
    return record
