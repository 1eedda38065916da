"""Agents: created, identified, shown, listed, changed, retired, reinstated, deleted if unused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Final

import msgspec

from remit._base.text import PROJECT_PATTERN
from remit.collector.domain.collisions import latest_program, program_of
from remit.collector.domain.context import Context
from remit.collector.domain.keys import body_hash
from remit.collector.domain.params import (
    Filter,
    ListQuery,
    Query,
    Switch,
    Text,
    Values,
    check_identifier,
    check_name,
    check_text,
    checked_id,
    row_of,
    taken,
)
from remit.collector.domain.risk import declared_risk
from remit.collector.domain.versions import span_types
from remit.collector.errors import invalid_action, invalid_field, not_found
from remit.collector.store.rows import AgentRow, EnvironmentRow
from remit.collector.views.envelopes import list_response
from remit.collector.views.resources import agent_view
from remit.models._types import WireModel
from remit.models.agent import AgentForCreate
from remit.models.remit_api import AgentForIdentify

ACTIVE: Final = "active"
RETIRED: Final = "retired"


class AgentForUpdate(WireModel):
    """Changes of an agent: an absent field stays, a null clears."""

    name: str = ""
    description: str | None = None
    owner_person_id: str | None = None
    risk_profile_id: str | None = None
    team_id: str | None = None


class AgentQuery(Query):
    """Which agent to show, and how."""

    agent_id: Text = None
    external_identifier: Text = None
    environment_id: Text = None
    include_counts: Switch = True
    include_risk_rollup: Switch = False


class AgentListQuery(ListQuery):
    """Which agents to list."""

    sortable: ClassVar[tuple[str, ...]] = (
        "id",
        "name",
        "inserted_at",
        "updated_at",
        "status",
        "external_identifier",
    )
    risk_profile_id: Filter = None
    team_id: Filter = None
    owner_person_id: Filter = None


def create(ctx: Context, request: AgentForCreate, fields: Values) -> AgentRow:
    """Create an agent."""
    _check_texts(request.model_dump())
    hashed = body_hash(fields)
    agent_id = checked_id(request.id)
    known = ctx.tx.agent(None, agent_id) if agent_id is not None else None
    if known is not None:
        if known.account_id != ctx.caller.account_id or known.body_hash != hashed:
            raise taken("id")
        return known
    identifier = request.external_identifier
    if identifier and ctx.tx.agent_of_identifier(ctx.caller.account_id, identifier):
        raise taken("external_identifier")
    agent_id, account_id = agent_id or ctx.new_id(), ctx.caller.account_id
    row = new_agent(agent_id, account_id, request, ctx.now_us, hashed=hashed)
    ctx.tx.add(row)
    ctx.tx.name_agent_of_asks(row)
    return row


def identify(ctx: Context, request: AgentForIdentify) -> dict[str, object]:
    """Find the agent of an identifier, or give the identifier to an agent without the project.

    The agent `module:qualname` gets the identifier `project/module:qualname` if its latest program
    has the owner and a step of the request. An agent that nothing registered gets it too.
    """
    identifier, account_id = request.external_identifier, ctx.caller.account_id
    check_identifier("external_identifier", identifier)
    row = ctx.tx.agent_of_identifier(account_id, identifier)
    project, _, bare = identifier.partition("/")
    if row is None and bare and re.fullmatch(PROJECT_PATTERN, project):
        known = ctx.tx.agent_of_identifier(account_id, bare)
        latest = None if known is None else latest_program(ctx, known)
        declared = [one.model_dump() for one in span_types(request.agent_schema_version)]
        program = program_of(identifier, msgspec.json.encode(declared))
        if known is not None and (latest is None or latest.agrees_with(program)):
            row = _changed(ctx, known, external_identifier=identifier)
            ctx.tx.name_agent_of_asks(row)
    return {"status": "success", "agent": None if row is None else view(ctx, row)}


def show(ctx: Context, query: AgentQuery) -> dict[str, object]:
    """Return an agent by its id or external identifier."""
    row = _agent_of_query(ctx, query)
    environment_id = query.environment_id or ctx.caller.environment_id
    if environment_id is not None:
        row_of(ctx, EnvironmentRow, environment_id, "environment")
    view = agent_view(row, ctx.tx.run_counts([row.id], environment_id)[row.id])
    elsewhere = ctx.caller.environment_id not in {None, environment_id}
    if elsewhere or not query.include_counts:
        del view["instance_counts"]
    if query.include_risk_rollup:
        view["risk_rollup"] = declared_risk(ctx, row)
    return view


def list_agents(ctx: Context, query: AgentListQuery) -> bytes:
    """Return a page of the account's agents."""
    listed = ctx.tx.list_rows(AgentRow, ctx.caller.account_id, query.equal, query.page)
    counts = ctx.tx.run_counts([row.id for row in listed.rows])
    views = [agent_view(row, counts[row.id]) for row in listed.rows]
    return list_response(views, query.page, listed.total)


def update(ctx: Context, agent_id: str, request: AgentForUpdate) -> AgentRow:
    """Update an agent."""
    row = find(ctx, agent_id)
    changes = request.model_dump(include=request.model_fields_set)
    _check_texts(changes)
    if row.status == RETIRED:
        raise invalid_action("agent is retired: reinstate it first")
    return _changed(ctx, row, **changes)


def retire(ctx: Context, agent_id: str) -> AgentRow:
    """Retire an agent."""
    row = find(ctx, agent_id)
    if row.status == RETIRED:
        raise invalid_action("agent is already retired")
    return _changed(ctx, row, status=RETIRED)


def reinstate(ctx: Context, agent_id: str) -> AgentRow:
    """Reinstate a retired agent."""
    row = find(ctx, agent_id)
    if row.status != RETIRED:
        raise invalid_action("agent is not retired")
    return _changed(ctx, row, status=ACTIVE)


def delete(ctx: Context, agent_id: str) -> AgentRow:
    """Delete an agent that does not have runs."""
    row = find(ctx, agent_id)
    if sum(ctx.tx.run_counts([row.id])[row.id].values()):
        raise invalid_action("agent has instances: retire it")
    ctx.tx.remove_agent(row.id)
    return row


def find(ctx: Context, agent_id: str, *_: object) -> AgentRow:
    """Return the agent of this id.

    Raises:
        RequestError: 404, it does not exist for this caller.
    """
    return _seen(ctx, ctx.tx.agent(ctx.caller.account_id, agent_id))


def view(ctx: Context, row: AgentRow) -> dict[str, object]:
    """Return an agent on the wire."""
    return agent_view(row, ctx.tx.run_counts([row.id])[row.id])


def new_agent(
    agent_id: str,
    account_id: str,
    described: AgentForCreate,
    now_us: int,
    *,
    hashed: str = "",
) -> AgentRow:
    """Return a new agent; *hashed* is the hash of the request that described it."""
    return AgentRow(
        id=agent_id,
        account_id=account_id,
        status=ACTIVE,
        body_hash=hashed,
        inserted_at=now_us,
        updated_at=now_us,
        **described.model_dump(exclude={"id"}),
    )


def _agent_of_query(ctx: Context, query: AgentQuery) -> AgentRow:
    account_id = ctx.caller.account_id
    if query.agent_id is not None:
        return find(ctx, query.agent_id)
    if query.external_identifier is not None:
        return _seen(ctx, ctx.tx.agent_of_identifier(account_id, query.external_identifier))
    raise invalid_field("agent_id", "or external_identifier is required")


def _seen(ctx: Context, row: AgentRow | None) -> AgentRow:
    if row is None or ctx.caller.agent_id not in {None, row.id}:
        raise not_found("agent")
    return row


def _changed(ctx: Context, row: AgentRow, **changes: object) -> AgentRow:
    row = msgspec.structs.replace(row, updated_at=ctx.now_us, **changes)
    ctx.tx.change(row)
    return row


def _check_texts(texts: Mapping[str, str | None]) -> None:
    checks = {"description": check_text, "external_identifier": check_identifier}
    for name, text in texts.items():
        if name != "id":
            checks.get(name, check_name)(name, text)
