"""Erasures as people asked for them: of a run, of an agent, of a subject."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from remit.collector.domain.context import Context
from remit.collector.page.visibility import erased_runs
from remit.collector.store.questions.records import erasures
from remit.collector.store.rows import ErasureRow
from remit.collector.times import format_us

MOST_RECORDS: Final = 1000
"""Most records of erased runs that are read for one page, the newest."""
_TOGETHER_US: Final = 3600 * 1_000_000
"""Erasures of many runs take a while, one run after the other."""


class Erasure(NamedTuple):
    """What one request erased.

    Attributes:
        record: The record of the newest run.
        at: When it ended.
        agent: The name of the agent, if it was chosen.
        runs: How many runs.
        spans: How many spans with payloads.
    """

    record: ErasureRow
    at: str
    agent: str | None
    runs: int
    spans: int


def erasures_since(ctx: Context, since_us: int) -> list[Erasure]:
    """Return the erasures that the caller sees, the newest first."""
    caller = ctx.caller
    rows = erasures(ctx.tx, caller.account_id, since_us, MOST_RECORDS)
    runs = erased_runs(ctx, rows)
    rows = [row for row in rows if row.agent_instance_id in runs]
    listed: list[Erasure] = []
    for group in _groups(rows):
        newest = group[0]
        run = runs.get(newest.agent_instance_id)
        named = run is not None and newest.asked_for == "agent"
        agent = ctx.tx.agent(caller.account_id, run.agent_id) if run and named else None
        name = None if agent is None else agent.name
        spans = sum(row.spans for row in group)
        listed.append(Erasure(newest, format_us(newest.inserted_at), name, len(group), spans))
    return listed


def _groups(rows: Iterable[ErasureRow]) -> list[list[ErasureRow]]:
    """Return the records of each request; a run is always a request alone."""
    groups: list[list[ErasureRow]] = []
    for row in rows:
        last = groups[-1][-1] if groups else None
        same = (
            last is not None
            and row.asked_for != "run"
            and (row.asked_for, row.reason, row.erased_by)
            == (last.asked_for, last.reason, last.erased_by)
            and last.inserted_at - row.inserted_at < _TOGETHER_US
        )
        if same:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups
