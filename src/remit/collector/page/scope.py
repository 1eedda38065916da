"""Which agents and runs a person may see on pages that read the database and not the API.

No other module of the page reads the agent or the environment of a token.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from remit.collector.domain.context import Context
from remit.collector.domain.params import run_of
from remit.collector.errors import not_found
from remit.collector.store.questions.holds import processes
from remit.collector.store.questions.scope import RunRef, Scope, run_ref_of, scope_of
from remit.collector.store.rows import ErasureRow, HoldProcessRow, RunRow


class SeenRun(NamedTuple):
    """A run that the person may see."""

    row: RunRow
    ref: RunRef


def scope_in(ctx: Context, agent_id: str | None = None) -> Scope:
    """Return the scope of an agent, or of all agents, as far as the caller sees them.

    Raises:
        RequestError: 404.
    """
    caller = ctx.caller
    scope = None
    if agent_id is None or caller.agent_id in {None, agent_id}:
        wanted = agent_id or caller.agent_id
        scope = scope_of(ctx.tx, caller.account_id, wanted, caller.environment_id)
    if scope is None:
        raise not_found("agent")
    return scope


def run_in(ctx: Context, run_id: str) -> SeenRun:
    """Return a run.

    Raises:
        RequestError: 404, there is none for the caller.
    """
    row = run_of(ctx, run_id)
    ref = run_ref_of(ctx.tx, run_id)
    if ref is None:
        raise not_found("agent_instance")
    return SeenRun(row, ref)


def processes_in(ctx: Context) -> list[HoldProcessRow]:
    """Return the processes that reported the holds that they know, the last seen first.

    A process may run several agents: only tokens of the account see it.
    """
    caller = ctx.caller
    return [] if caller.agent_id is not None else processes(ctx.tx, caller.account_id)


def erased_runs(ctx: Context, records: Iterable[ErasureRow]) -> dict[str, RunRow | None]:
    """Return the erased runs that the caller sees, by id; None for one that is gone.

    The record of a run that is gone does not name its agent: only tokens of the account see it.
    """
    caller = ctx.caller
    ids = {record.agent_instance_id for record in records}
    rows = ctx.tx.runs(caller.account_id, ids)
    if caller.agent_id is None:
        return {run_id: rows.get(run_id) for run_id in ids}
    return {row.id: row for row in rows.values() if caller.sees(row)}
