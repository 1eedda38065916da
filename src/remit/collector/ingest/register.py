"""Registration: an instance of an agent, with the versions under which it runs.

What public sources leave open is decided in docs/reference/wire.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import msgspec

from remit._base.ids import is_pfid
from remit.collector.ingest.checks import (
    MAX_NAME_CHARS,
    check_declared,
    check_identifier,
    checked_id,
    taken,
    validated,
)
from remit.collector.ingest.context import Context, Place
from remit.collector.ingest.deployments import deployment_of, new_agent
from remit.collector.ingest.keys import Done, body_hash, once, used_otherwise
from remit.collector.ingest.resources import agent_of
from remit.collector.ingest.schemas import schema_version_of, version_of
from remit.collector.ingest.states import PENDING
from remit.collector.refusals import (
    forbidden,
    invalid_field,
    not_found,
    unknown_schema_version,
)
from remit.collector.store import AgentRow, DeploymentRow, InstanceRow, VersionRow
from remit.collector.views import registered_answer
from remit.collector.wire import canonical, object_of
from remit.models.agent_instance import RegisterDeploymentInstanceRequest

REGISTER = "agent_instances/register"
LIVE = "live"
KEPT: Final = "schema_kept"
"""Says that a registration has the identifier of its schema version alone."""


class _Agent(msgspec.Struct):
    agent_id: str


class _Answer(msgspec.Struct):
    details: _Agent


_read_agent: Final = msgspec.json.Decoder(_Answer).decode
_PLACED_BY: Final = (
    "agent_id",
    "environment_id",
    "update_current_version",
    "agent_version",
    "agent_schema_version",
)
"""The fields of a registration that decide where its run belongs."""
_PER_PROCESS: Final = frozenset({"agent_id", "update_current_version", KEPT})


def register(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Register an instance; it is pending until it is started."""
    values = object_of(params, ctx.settings.max_depth)

    def do() -> Done:
        check_declared(values)
        request = validated(RegisterDeploymentInstanceRequest, values)
        known = _known(ctx, request, values)
        if known is not None:
            agent = ctx.tx.agent(known.account_id, known.agent_id)
            return Done(registered_answer(known, agent), known.id)
        row, agent = _registered(ctx, request, values)
        return Done(registered_answer(row, agent), row.id)

    answer = once(ctx, REGISTER, key, _identity(values), do)
    agent_id = values.get("agent_id")
    if (
        key is not None
        and agent_id is not None
        and agent_id != _read_agent(answer).details.agent_id
    ):
        raise used_otherwise()
    return answer


def _identity(values: Mapping[str, object]) -> dict[str, object]:
    """Return the fields that identify a registration.

    A process that takes over a run may differ from the first one in the other fields: it may name
    the agent where the first one did not, or run on another machine.
    """
    fields = {name: value for name, value in values.items() if name not in _PER_PROCESS}
    schema = fields.get("agent_schema_version")
    if isinstance(schema, dict):
        # It may have been sent whole the first time, and by its identifier now, or the other way.
        identifier = cast("dict[str, object]", schema).get("external_identifier")
        fields["agent_schema_version"] = identifier or schema
    version = fields.get("agent_version")
    if isinstance(version, dict):
        fields["agent_version"] = {**version, "runtime_environment": None}
    return fields


def _registered(
    ctx: Context, request: RegisterDeploymentInstanceRequest, values: Mapping[str, object]
) -> tuple[InstanceRow, AgentRow]:
    # Equal registrations of one request belong to the same place. One that is sent whole is read.
    kept = values.get(KEPT) is True
    place_key = canonical([values.get(name) for name in _PLACED_BY]) if kept else b""
    place = ctx.places.get(place_key)
    if place is not None:
        return _add(ctx, request, values, place), place.agent
    with ctx.tx.savepoint():
        place = _place(ctx, request, kept=kept)
        row = _add(ctx, request, values, place)
    if kept:
        ctx.places[place_key] = place
    return row, place.agent


def _add(
    ctx: Context,
    request: RegisterDeploymentInstanceRequest,
    values: Mapping[str, object],
    place: Place,
) -> InstanceRow:
    identifier = request.external_identifier
    check_identifier("external_identifier", identifier)
    if identifier is not None and ctx.tx.instance_of_identifier(
        place.agent.id, place.environment_id, identifier
    ):
        raise taken("external_identifier")
    row = InstanceRow(
        id=request.id or ctx.new_id(),
        account_id=place.agent.account_id,
        agent_id=place.agent.id,
        agent_version_id=place.version_id,
        agent_schema_version_id=place.schema_version_id,
        environment_id=place.environment_id,
        agent_deployment_id=place.deployment_id,
        external_identifier=identifier,
        purpose=request.purpose or LIVE,
        body_hash=body_hash(values),
        inserted_at=ctx.now_us,
        status=PENDING,
        start_seen=0,
        started_at=None,
        finished_at=None,
        termination_reason=None,
        quality_payloads="{}",
        updated_at=ctx.now_us,
    )
    ctx.tx.add(row)
    if row.id in ctx.instances:
        ctx.instances[row.id] = row
    return row


def _place(ctx: Context, request: RegisterDeploymentInstanceRequest, *, kept: bool) -> Place:
    """Return where a run belongs; its versions and its deployment are made if there are none."""
    agent = _agent(ctx, request)
    environment_id = environment_for(ctx, request.environment_id, agent)
    version = version_of(ctx, agent, request.agent_version)
    schema = request.agent_schema_version
    if kept:
        schema_version_id = ctx.tx.newest_schema_version(agent.id, schema.external_identifier or "")
        if schema_version_id is None:
            raise unknown_schema_version()
    else:
        schema_version_id = schema_version_of(ctx, agent, schema, environment_id).id
    deployment = deployment_of(ctx.tx, agent, environment_id, new_id=ctx.new_id, now_us=ctx.now_us)
    if request.update_current_version is not False:
        _pin(ctx, deployment, version)
    return Place(agent, environment_id, version.id, schema_version_id, deployment.id)


def _pin(ctx: Context, deployment: DeploymentRow, version: VersionRow) -> None:
    """Make *version* the deployment's current one."""
    if deployment.current_version_id != version.id:
        changes = {"current_version_id": version.id, "updated_at": ctx.now_us}
        ctx.tx.change(msgspec.structs.replace(deployment, **changes))


def _known(
    ctx: Context, request: RegisterDeploymentInstanceRequest, values: Mapping[str, object]
) -> InstanceRow | None:
    """Return the instance of the id that was asked for, if an equal request made it.

    Raises:
        RequestError: 422, the id is no PFID, or taken by another registration.
    """
    instance_id = checked_id(request.id)
    if instance_id is None:
        return None
    if instance_id in ctx.instances:
        row = ctx.instances[instance_id]
    else:
        row = ctx.tx.instances(None, [instance_id]).get(instance_id)
    if row is not None and not (ctx.caller.sees(row) and row.body_hash == body_hash(values)):
        raise taken("id")
    return row


def _agent(ctx: Context, request: RegisterDeploymentInstanceRequest) -> AgentRow:
    """Return the agent: the token's, else the one that the request names."""
    caller = ctx.caller
    agent_id = request.agent_id or caller.agent_id
    if agent_id is None:
        raise invalid_field("agent_id", "is required with an account's token")
    if not ctx.settings.create_agents or not is_pfid(agent_id) or ctx.tx.agent(None, agent_id):
        return _named(ctx, agent_of(ctx, agent_id), request.agent_version.name)
    name = request.agent_version.name or agent_id
    row = new_agent(agent_id, caller.account_id, name, ctx.now_us)
    ctx.tx.add(row)
    return row


def _named(ctx: Context, agent: AgentRow, name: str | None) -> AgentRow:
    """Return *agent* with the name that its code gives, if it has none yet but its identifier.

    `remit token create` makes such an agent, which no request described or changed.
    """
    unnamed = (
        agent.name == agent.external_identifier
        and not agent.body_hash
        and agent.updated_at == agent.inserted_at
    )
    if not unnamed or not name or len(name) > MAX_NAME_CHARS:
        return agent
    agent = msgspec.structs.replace(agent, name=name, updated_at=ctx.now_us)
    ctx.tx.change(agent)
    return agent


def environment_for(ctx: Context, wanted: str | None, agent: AgentRow) -> str:
    """Return the environment: the token's, the wanted one, the agent's only one, or the first.

    Raises:
        RequestError: 404, the account has no such environment; 403, the token is for another one.
    """
    caller = ctx.caller
    if caller.environment_id is not None and wanted in {None, caller.environment_id}:
        return caller.environment_id
    environments = [row.id for row in ctx.tx.environments(caller.account_id)]
    if wanted is not None:
        if wanted not in environments:
            raise not_found("environment")
        if caller.environment_id is not None:
            raise forbidden("this token is for another environment: leave environment_id out")
        return wanted
    deployments = ctx.tx.deployments(agent.id)
    return deployments[0].environment_id if len(deployments) == 1 else environments[0]
