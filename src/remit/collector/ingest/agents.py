"""Agents: made, shown, listed, changed, retired and brought back, deleted while unused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from remit.collector.ingest.checks import (
    check_identifier,
    check_name,
    check_text,
    checked_id,
    taken,
    validated,
)
from remit.collector.ingest.context import Context
from remit.collector.ingest.declared import declared_risk
from remit.collector.ingest.deployments import ACTIVE, RETIRED
from remit.collector.ingest.keys import Done, body_hash, once
from remit.collector.ingest.lists import page_of, text_in
from remit.collector.ingest.resources import account_values, equal_to, found, truth
from remit.collector.refusals import invalid_action, invalid_field, not_found
from remit.collector.store import AgentRow, EnvironmentRow
from remit.collector.views import agent_view, list_answer, success_answer
from remit.collector.wire import object_of
from remit.models._types import WireModel
from remit.models.agent import AgentForCreate

SORTABLE: Final = ("id", "name", "inserted_at", "updated_at", "status", "external_identifier")
FILTERS: Final = ("risk_profile_id", "team_id", "owner_person_id")
SHOWN_BY: Final = (
    "agent_id",
    "external_identifier",
    "environment_id",
    "include_counts",
    "include_risk_rollup",
)

Step = Callable[[AgentRow, Mapping[str, object]], AgentRow]


class AgentForUpdate(WireModel):
    """What can be changed in an agent: an absent field stays, a null clears."""

    name: str = ""
    description: str | None = None
    owner_person_id: str | None = None
    risk_profile_id: str | None = None
    team_id: str | None = None


def create(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Create an agent."""
    values = account_values(ctx, params)

    def do() -> Done:
        request = validated(AgentForCreate, values)
        row = _created(ctx, request, body_hash(values))
        return Done(success_answer(agent_view(row, {})))

    return once(ctx, "agents/create", key, values, do)


def show(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return an agent, by id or by external identifier."""
    del key
    values = object_of(params, ctx.settings.max_depth)
    row = _agent(ctx, values)
    environment_id = text_in(values, "environment_id") or ctx.caller.environment_id
    if environment_id is not None:
        found(ctx, EnvironmentRow, environment_id, "environment")
    counts = ctx.tx.instance_counts([row.id], environment_id)[row.id]
    view = agent_view(row, counts)
    elsewhere = ctx.caller.environment_id not in {None, environment_id}
    if elsewhere or not truth(values, "include_counts", default=True):
        del view["instance_counts"]
    if truth(values, "include_risk_rollup", default=False):
        view["risk_rollup"] = declared_risk(ctx, row.id)
    return success_answer(view)


def list_agents(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return a page of the agents of the account."""
    del key
    values = account_values(ctx, params)
    equal = equal_to(values, FILTERS)
    page = page_of(values, SORTABLE)
    listed = ctx.tx.list_rows(AgentRow, ctx.caller.account_id, equal, page)
    counts = ctx.tx.instance_counts([row.id for row in listed.rows])
    views = [agent_view(row, counts[row.id]) for row in listed.rows]
    return list_answer(views, page, listed.total)


def update(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Update an agent."""

    def step(row: AgentRow, values: Mapping[str, object]) -> AgentRow:
        request = validated(AgentForUpdate, values)
        given = request.model_dump(include=request.model_fields_set)
        _check_texts(given)
        if row.status == RETIRED:
            raise invalid_action("agent is retired: reinstate it first")
        return msgspec.structs.replace(row, **given)

    return _changed(ctx, "agents/update", params, key, step)


def retire(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Retire an agent."""

    def step(row: AgentRow, values: Mapping[str, object]) -> AgentRow:
        del values
        if row.status == RETIRED:
            raise invalid_action("agent is already retired")
        return msgspec.structs.replace(row, status=RETIRED)

    return _changed(ctx, "agents/retire", params, key, step)


def reinstate(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Reinstate a retired agent."""

    def step(row: AgentRow, values: Mapping[str, object]) -> AgentRow:
        del values
        if row.status != RETIRED:
            raise invalid_action("agent is not retired")
        return msgspec.structs.replace(row, status=ACTIVE)

    return _changed(ctx, "agents/reinstate", params, key, step)


def delete(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Delete an agent without instances."""
    values = account_values(ctx, params)

    def do() -> Done:
        row = _agent(ctx, values)
        if sum(ctx.tx.instance_counts([row.id])[row.id].values()):
            raise invalid_action("agent has instances: retire it")
        ctx.tx.remove_agent(row.id)
        return Done(success_answer(agent_view(row, {})))

    return once(ctx, "agents/delete", key, values, do)


def _changed(ctx: Context, operation: str, params: bytes, key: str | None, step: Step) -> bytes:
    values = account_values(ctx, params)

    def do() -> Done:
        row = step(_agent(ctx, values), values)
        row = msgspec.structs.replace(row, updated_at=ctx.now_us)
        ctx.tx.change(row)
        return Done(success_answer(_view(ctx, row)))

    return once(ctx, operation, key, values, do)


def _created(ctx: Context, request: AgentForCreate, hashed: str) -> AgentRow:
    """Return the new agent, or the one that an equal request for the same id made."""
    _check_texts(request.model_dump())
    agent_id = checked_id(request.id)
    known = ctx.tx.agent(None, agent_id) if agent_id is not None else None
    if known is not None:
        if known.account_id != ctx.caller.account_id or known.body_hash != hashed:
            raise taken("id")
        return _as_created(known, request)
    identifier = request.external_identifier
    if identifier and ctx.tx.agent_of_identifier(ctx.caller.account_id, identifier):
        raise taken("external_identifier")
    row = AgentRow(
        id=agent_id or ctx.new_id(),
        account_id=ctx.caller.account_id,
        status=ACTIVE,
        body_hash=hashed,
        inserted_at=ctx.now_us,
        updated_at=ctx.now_us,
        **request.model_dump(exclude={"id"}),
    )
    ctx.tx.add(row)
    return row


def _as_created(row: AgentRow, request: AgentForCreate) -> AgentRow:
    """Return *row* as it was when it was made, whatever changed since."""
    said = request.model_dump(exclude={"id"})
    return msgspec.structs.replace(row, status=ACTIVE, updated_at=row.inserted_at, **said)


def _check_texts(given: Mapping[str, str | None]) -> None:
    for name, text in given.items():
        if name == "description":
            check_text(name, text)
        elif name == "external_identifier":
            check_identifier(name, text)
        elif name != "id":
            check_name(name, text)


def _agent(ctx: Context, values: Mapping[str, object]) -> AgentRow:
    account_id = ctx.caller.account_id
    agent_id = text_in(values, "agent_id")
    identifier = text_in(values, "external_identifier")
    if agent_id is not None:
        row = ctx.tx.agent(account_id, agent_id)
    elif identifier is not None:
        row = ctx.tx.agent_of_identifier(account_id, identifier)
    else:
        raise invalid_field("agent_id", "or external_identifier is required")
    if row is None or ctx.caller.agent_id not in {None, row.id}:
        raise not_found("agent")
    return row


def _view(ctx: Context, row: AgentRow) -> dict[str, object]:
    return agent_view(row, ctx.tx.instance_counts([row.id])[row.id])
