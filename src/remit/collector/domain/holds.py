"""Holds: actions that people deny for a while, for all agents of an account or for some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from remit.collector.domain.context import Context
from remit.collector.domain.params import Query, Switch, check_text, instant, row_of
from remit.collector.domain.runs import named_caller
from remit.collector.errors import invalid_action, invalid_field
from remit.collector.models.hold import (
    MAX_NAME_CHARS,
    MAX_REASON_CHARS,
    HoldForCreate,
    KnownHolds,
)
from remit.collector.store.questions import holds as stored
from remit.collector.store.rows import AgentRow, HoldProcessRow, HoldRow
from remit.collector.times import US_PER_S, format_us
from remit.collector.views.runs import named_agent, time_view

LISTED_DAYS: Final = 90
"""Age of the oldest hold in a list, unless it is in force."""
MOST_LISTED: Final = 200
_US_PER_DAY: Final = 24 * 3600 * US_PER_S


class HoldsQuery(Query):
    """Which holds to list."""

    in_force: Switch = False
    counts: Switch = False


def list_holds(ctx: Context, query: HoldsQuery) -> dict[str, object]:
    """List the holds of the last 90 days and those in force, newest first."""
    number, rows = stored.number(ctx.tx, ctx.caller.account_id), listed(ctx)
    if query.in_force:
        rows = [row for row in rows if row.is_in_force(ctx.now_us)]
    return {
        "status": "success",
        "number": number,
        "holds": [view(ctx, row, counts=query.counts) for row in rows],
    }


def listed(ctx: Context) -> list[HoldRow]:
    """Return the holds of the last 90 days and those in force that are about the caller."""
    caller, now_us = ctx.caller, ctx.now_us
    since_us = now_us - LISTED_DAYS * _US_PER_DAY
    rows = stored.in_force(ctx.tx, caller.account_id, now_us)
    rows += stored.since(ctx.tx, caller.account_id, since_us, MOST_LISTED)
    own = {row.id: row for row in rows if _is_about(row, caller.agent_id)}
    return sorted(own.values(), key=lambda row: (row.inserted_at, row.id), reverse=True)


def in_force(ctx: Context, agent_id: str | None = None) -> list[dict[str, object]]:
    """Return the holds in force that the caller may see, or those about an agent, newest first."""
    rows = [row for row in listed(ctx) if row.is_in_force(ctx.now_us) and _is_about(row, agent_id)]
    return [view(ctx, row) for row in rows]


def _is_about(row: HoldRow, agent_id: str | None) -> bool:
    return agent_id is None or not row.agent_ids or agent_id in row.agent_ids.split(",")


def create(ctx: Context, request: HoldForCreate) -> dict[str, object]:
    """Hold actions: steps that may take them are denied in all programs that use this server."""
    reason = request.reason.strip()
    check_text("reason", reason)
    if not reason:
        raise invalid_field("reason", "must not be empty")
    if len(reason) > MAX_REASON_CHARS:
        raise invalid_field("reason", f"must have at most {MAX_REASON_CHARS} characters")
    ends_at = None
    if request.until is not None:
        ends_at = instant("until", request.until, ctx.now_us)
        if ends_at <= ctx.now_us:
            raise invalid_field("until", "must lie in the future")
    row = HoldRow(
        id=ctx.new_id(),
        account_id=ctx.caller.account_id,
        actions=",".join(dict.fromkeys(request.actions)),
        agent_ids=",".join(dict.fromkeys(_agent_ids(ctx, request.agents))),
        declared_only=int(request.declared_only),
        reason=reason,
        held_by=named_caller(ctx),
        inserted_at=ctx.now_us,
        ends_at=ends_at,
    )
    ctx.tx.add(row)
    return _changed(ctx, row)


def _agent_ids(ctx: Context, names: Sequence[str]) -> list[str]:
    ids: list[str] = []
    for name in names:
        agents = ctx.tx.agents_named(ctx.caller.account_id, name)
        if not agents:
            shown = name[:MAX_NAME_CHARS]
            raise invalid_field(
                "agents",
                f"{shown!r} is no agent here: give the id, the external identifier or the display "
                "name of an agent that has sent a run",
            )
        ids += [agent.id for agent in agents]
    return ids


def lift(ctx: Context, hold_id: str) -> dict[str, object]:
    """Lift a hold."""
    row = row_of(ctx, HoldRow, hold_id, "hold")
    if not row.is_in_force(ctx.now_us):
        raise invalid_action(
            f"the hold {'ended' if row.lifted_at is None else 'was lifted'} already"
        )
    lifted = msgspec.structs.replace(row, lifted_at=ctx.now_us, lifted_by=named_caller(ctx))
    ctx.tx.change(lifted)
    return _changed(ctx, lifted)


def _changed(ctx: Context, row: HoldRow) -> dict[str, object]:
    number = stored.number(ctx.tx, row.account_id)
    return {"status": "success", "number": number, "hold": view(ctx, row)}


def note_known(ctx: Context, known: KnownHolds) -> dict[str, object]:
    """Record which holds a process knows."""
    account_id = ctx.caller.account_id
    for field, text in (("process", known.process), ("host", known.host)):
        check_text(field, text)
    agents = ",".join(known.agents)
    check_text("agents", agents)
    process = HoldProcessRow(
        account_id, known.process, known.host, agents, known.number, ctx.now_us, ctx.now_us
    )
    ctx.tx.note_hold_process(process)
    return {"status": "success", "number": stored.number(ctx.tx, account_id)}


def view(ctx: Context, row: HoldRow, *, counts: bool = False) -> dict[str, object]:
    """Return a hold as a response has it; the token of one agent does not see the others."""
    denied = stored.denied_by(ctx.tx, row) if counts else None
    left_us = None if row.ends_at is None else max(0, row.ends_at - ctx.now_us)
    return {
        "id": row.id,
        "actions": row.actions.split(","),
        "agents": [
            _agent_view(ctx, agent_id)
            for agent_id in filter(None, row.agent_ids.split(","))
            if ctx.caller.agent_id in {None, agent_id}
        ],
        "declared_only": bool(row.declared_only),
        "reason": row.reason,
        "held_by": row.held_by,
        "held_at": format_us(row.inserted_at),
        "until": time_view(row.ends_at),
        "ends_in_s": None if left_us is None else left_us / US_PER_S,
        "in_force": row.is_in_force(ctx.now_us),
        "lifted_at": time_view(row.lifted_at),
        "lifted_by": row.lifted_by,
        "denied": None if denied is None else denied.steps,
        "runs": None if denied is None else denied.runs,
    }


def _agent_view(ctx: Context, agent_id: str) -> dict[str, object]:
    row: AgentRow | None = ctx.tx.agent(ctx.caller.account_id, agent_id)
    # An agent without runs may be deleted.
    identifier, name = (None, agent_id) if row is None else (row.external_identifier, row.name)
    return named_agent(agent_id, name, identifier)
