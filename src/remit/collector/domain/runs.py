"""Runs (agent instances): registered, started, finished, terminated, judged, shown, listed.

docs/reference/wire.md decides the cases that public sources do not define.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, NamedTuple, cast

import msgspec

from remit._base.ids import (
    PARTITION_CHARS,
    is_key,
    is_pfid,
    is_short,
    pfid_text,
)
from remit._base.ids import (
    encode as encode_chars,
)
from remit.collector.domain.agents import new_agent
from remit.collector.domain.collisions import Program, other_program, program_view
from remit.collector.domain.conformance import judged_qualities
from remit.collector.domain.context import Context, Place
from remit.collector.domain.erasure import without_payloads
from remit.collector.domain.keys import body_hash, used_otherwise
from remit.collector.domain.params import (
    MAX_NAME_CHARS,
    Filter,
    ListQuery,
    Values,
    agent_of,
    check_identifier,
    check_name,
    check_text,
    checked_id,
    instant,
    run_of,
    taken,
)
from remit.collector.domain.places import deployment_of
from remit.collector.domain.states import (
    COMPLETE,
    PENDING,
    finish_run,
    start_run,
    terminate_run,
)
from remit.collector.domain.step_names import names_of_failures
from remit.collector.domain.versions import LEGACY_QUALITY, schema_version_of, version_of
from remit.collector.errors import (
    ambiguous,
    forbidden,
    invalid_field,
    not_found,
    unknown_schema_version,
)
from remit.collector.json_io import canonical, encode, read_json
from remit.collector.settings import KIB
from remit.collector.store.filters import Page
from remit.collector.store.ids import ms_of
from remit.collector.store.questions.run_lists import names_of_agents
from remit.collector.store.retention import US_PER_MS
from remit.collector.store.rows import AgentRow, RunRow, TokenRow, all_spans
from remit.collector.times import US_PER_S
from remit.collector.views.envelopes import list_response
from remit.collector.views.runs import detail_view, instance_view, named_agent, summary_view
from remit.models.agent import AgentForCreate
from remit.models.agent_instance import (
    FinishInstanceRequest,
    InstanceForUpdate,
    RecordQualityRequest,
    RegisterDeploymentInstanceRequest,
    TerminateInstanceRequest,
    TimestampRequest,
)

LIVE: Final = "live"
KEPT: Final = "schema_kept"
"""Field of a registration that has the identifier of its schema version alone."""
MAX_QUALITY_BYTES: Final = 400 * KIB
"""Length of all quality payloads of one run. Every response about the run holds them, one of them
twice, and must stay below the 1 MiB that the SDK reads."""
_PLACED_BY: Final = (
    "agent_id",
    "environment_id",
    "update_current_version",
    "agent_version",
    "agent_schema_version",
)
"""The fields of a registration that decide where its run belongs."""
_SAME_KEY: Final = Page(0, 10, "id", descending=True)
"""Most runs of one key that are looked at; agents and environments may share a key."""
MOST_NAMED: Final = 10
"""Most runs that are listed for the end of an id."""
MOST_DIFFERENCE_US: Final = 24 * 3600 * US_PER_S
"""Most that the time in a run's key may differ from the server's, if its id has the same."""
_PER_PROCESS: Final = frozenset({"agent_id", "update_current_version", KEPT})


# Registration


class Registered(NamedTuple):
    """A registered run and its agent.

    Attributes:
        other: Another program that registered the agent, at the first registration of a process.
    """

    row: RunRow
    agent: AgentRow | None
    other: Program | None = None

    @property
    def id(self) -> str:
        """Id of the run."""
        return self.row.id


def register(
    ctx: Context, request: RegisterDeploymentInstanceRequest, fields: Values
) -> Registered:
    """Register a run. It is pending until it is started."""
    known = _known(ctx, request, fields)
    if known is not None:
        return Registered(known, ctx.tx.agent(known.account_id, known.agent_id))
    # Equal registrations of one request belong to the same place. One that is sent whole is read.
    kept = fields.get(KEPT) is True
    place_key = canonical([fields.get(name) for name in _PLACED_BY]) if kept else b""
    place = ctx.places.get(place_key)
    if place is not None:
        return Registered(_add(ctx, request, fields, place), place.agent)
    with ctx.tx.savepoint():
        place = _place(ctx, request, kept=kept)
        row = _add(ctx, request, fields, place)
    if kept:
        ctx.places[place_key] = place
        return Registered(row, place.agent)
    return Registered(row, place.agent, _other_program(ctx, place))


def registered_again(
    ctx: Context, run_id: str, request: RegisterDeploymentInstanceRequest, *_: object
) -> Registered:
    """Return the run of a repeated registration.

    Raises:
        RequestError: 422, the repetition has another agent.
    """
    row = run_of(ctx, run_id)
    if request.agent_id not in {None, row.agent_id}:
        raise used_otherwise()
    return Registered(row, ctx.tx.agent(row.account_id, row.agent_id))


def identity(fields: Values) -> dict[str, object]:
    """Return the fields that identify a registration.

    A process that takes over a run may differ from the first one in the other fields: it may name
    the agent where the first one did not, or run on another machine.
    """
    compared = {name: value for name, value in fields.items() if name not in _PER_PROCESS}
    schema = compared.get("agent_schema_version")
    if isinstance(schema, dict):
        # One of the two may have sent it whole, the other one its identifier.
        identifier = cast("dict[str, object]", schema).get("external_identifier")
        compared["agent_schema_version"] = identifier or schema
    version = compared.get("agent_version")
    if isinstance(version, dict):
        compared["agent_version"] = {**version, "runtime_environment": None}
    return compared


def registered_view(ctx: Context, registered: Registered) -> dict[str, object]:
    """Return the response to a registration.

    A client learns the agent of its token, and by `keeps_schema` that it may send
    the identifier of the schema version alone next time.
    """
    return _registration(registered, view(ctx, registered.row))


def minimal_registered_view(registered: Registered) -> dict[str, object]:
    """Return the response to a registration, with the members that the SDK reads."""
    return _registration(registered, minimal_view(registered.row))


def _registration(registered: Registered, details: dict[str, object]) -> dict[str, object]:
    agent, other = registered.agent, registered.other
    return {
        "status": "success",
        "details": details,
        "agent": agent and named_agent(agent.id, agent.name, agent.external_identifier),
        "keeps_schema": True,
        **({} if other is None else {"collision": program_view(other)}),
    }


def _known(
    ctx: Context, request: RegisterDeploymentInstanceRequest, fields: Values
) -> RunRow | None:
    """Return the run of the chosen id, if an equal request created it."""
    run_id = checked_id(request.id)
    if run_id is None:
        return None
    row = ctx.tx.runs(None, [run_id]).get(run_id)
    if row is not None and not (ctx.caller.sees(row) and row.body_hash == body_hash(fields)):
        raise taken("id")
    return row


def _add(
    ctx: Context, request: RegisterDeploymentInstanceRequest, fields: Values, place: Place
) -> RunRow:
    identifier = request.external_identifier
    check_identifier("external_identifier", identifier)
    # Most are new, which is one look-up in one table.
    is_known = identifier is not None and ctx.tx.has_key(identifier)
    if is_known and ctx.tx.run_of_identifier(
        place.agent.id, place.environment_id, identifier or ""
    ):
        raise taken("external_identifier")
    id_of_key = None if is_known or identifier is None else _id_of_key(ctx, identifier)
    row = RunRow(
        id=request.id or id_of_key or ctx.new_id(),
        account_id=place.agent.account_id,
        agent_id=place.agent.id,
        agent_version_id=place.version_id,
        agent_schema_version_id=place.schema_version_id,
        environment_id=place.environment_id,
        agent_deployment_id=place.deployment_id,
        external_identifier=identifier,
        purpose=request.purpose or LIVE,
        body_hash=body_hash(fields),
        inserted_at=ctx.now_us,
        status=PENDING,
        start_seen=0,
        started_at=None,
        finished_at=None,
        termination_reason=None,
        quality_payloads="{}",
        updated_at=ctx.now_us,
    )
    return ctx.tx.add_run(row)


def _id_of_key(ctx: Context, key: str) -> str | None:
    """Return the id of the run with this key: the same time and the same random characters.

    None if it is no key of remit, or if its time differs much from the server's: lists, windows of
    time and retention go by the time of ids.
    """
    if not is_key(key) or abs(ms_of(key) * US_PER_MS - ctx.now_us) > MOST_DIFFERENCE_US:
        return None
    return pfid_text(key, encode_chars(ctx.caller.partition, PARTITION_CHARS))


def _place(ctx: Context, request: RegisterDeploymentInstanceRequest, *, kept: bool) -> Place:
    """Return where a run belongs; versions and deployment are created if they do not exist."""
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
    if request.update_current_version is not False and deployment.current_version_id != version.id:
        changes = {"current_version_id": version.id, "updated_at": ctx.now_us}
        ctx.tx.change(msgspec.structs.replace(deployment, **changes))
    return Place(agent, environment_id, version.id, schema_version_id, deployment.id)


def _other_program(ctx: Context, place: Place) -> Program | None:
    registered = ctx.tx.schema_version_of_id(place.schema_version_id)
    return None if registered is None else other_program(ctx, place.agent, registered)


def _agent(ctx: Context, request: RegisterDeploymentInstanceRequest) -> AgentRow:
    """Return the agent of the request, else that of the token."""
    caller = ctx.caller
    agent_id = request.agent_id or caller.agent_id
    if agent_id is None:
        raise invalid_field("agent_id", "is required with an account's token")
    if not ctx.settings.create_agents or not is_pfid(agent_id) or ctx.tx.agent(None, agent_id):
        return _named(ctx, agent_of(ctx, agent_id), request.agent_version.name)
    described = AgentForCreate(name=request.agent_version.name or agent_id)
    row = new_agent(agent_id, caller.account_id, described, ctx.now_us)
    ctx.tx.add(row)
    return row


def _named(ctx: Context, agent: AgentRow, name: str | None) -> AgentRow:
    """Return *agent*, renamed to *name* if its name is only its identifier.

    `remit token create` creates such an agent, which no request described or changed.
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


def environment_for(ctx: Context, wanted: str | None, agent: AgentRow | None) -> str:
    """Return the environment: the token's, the wanted one, the agent's only one, or the first.

    An agent that is not known yet has none.

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
    deployments = [] if agent is None else ctx.tx.deployments(agent.id)
    return deployments[0].environment_id if len(deployments) == 1 else environments[0]


# Steps


def start(ctx: Context, run_id: str, request: TimestampRequest) -> RunRow:
    """Start a run."""
    row = run_of(ctx, run_id)
    at_us = instant("timestamp", request.timestamp, ctx.now_us)
    return _changed(ctx, row, start_run(row, at_us, ctx.now_us))


def finish(ctx: Context, run_id: str, request: FinishInstanceRequest) -> RunRow:
    """Finish a run."""
    row = run_of(ctx, run_id)
    at_us = instant("timestamp", request.timestamp, ctx.now_us)
    ended = finish_run(row, request.status or COMPLETE, at_us, ctx.now_us)
    ctx.tx.withdraw_asks_of(ended, f"the run is {ended.status}")
    return _changed(ctx, row, _with_handled(ctx, ended))


def terminate(ctx: Context, run_id: str, request: TerminateInstanceRequest) -> RunRow:
    """Terminate a run."""
    row = run_of(ctx, run_id)
    check_text("reason", request.reason)
    ended = terminate_run(row, request.reason, named_caller(ctx), ctx.now_us)
    ctx.tx.withdraw_asks_of(ended, "the run was terminated")
    return _changed(ctx, row, _with_handled(ctx, ended))


def named_caller(ctx: Context) -> str:
    """Return who makes the request, in words: by which way, and with which token."""
    caller = ctx.caller
    token = None
    if caller.token_id is not None:
        token = ctx.tx.row(TokenRow, caller.account_id, caller.token_id)
    name = None if token is None else f"token {token.name or token.id}"
    if caller.in_session:
        return f"web UI, session of {name or 'a one-time link'}"
    return "holder of the database" if name is None else f"API, {name}"


def record_quality(ctx: Context, run_id: str, request: RecordQualityRequest) -> RunRow:
    """Set or remove the quality payload with one name."""
    row = run_of(ctx, run_id)
    check_name("name", request.name)
    return _changed(ctx, row, _with_quality(row, request.name, request.payload, ctx.now_us))


def update(ctx: Context, run_id: str, request: InstanceForUpdate) -> RunRow:
    """Replace the quality payload `quality`. Older clients use this endpoint."""
    row = run_of(ctx, run_id)
    if "quality_payload" not in request.model_fields_set:
        return row
    changed = _with_quality(row, LEGACY_QUALITY, request.quality_payload, ctx.now_us)
    return _changed(ctx, row, changed)


def _changed(ctx: Context, before: RunRow, row: RunRow) -> RunRow:
    row = without_payloads(row)
    ctx.tx.counts.run(before, row)
    ctx.tx.change_runs([row])
    return row


def _with_handled(ctx: Context, row: RunRow) -> RunRow:
    """Return an ended run with the number of its failed spans whose parent is complete."""
    if not row.spans_failed:
        return row
    return msgspec.structs.replace(row, handled=ctx.tx.count_handled(row.id))


def _with_quality(row: RunRow, name: str, payload: object, now_us: int) -> RunRow:
    qualities = cast("dict[str, object]", read_json(row.quality_payloads))
    qualities.pop(name, None)
    if payload is not None:
        qualities[name] = payload
    encoded = encode(qualities)
    if payload is not None and len(encoded) > MAX_QUALITY_BYTES:
        raise invalid_field(
            "payload",
            f"makes the quality payloads of the run longer than {MAX_QUALITY_BYTES} bytes together",
        )
    return msgspec.structs.replace(row, quality_payloads=encoded.decode(), updated_at=now_us)


# Reading


class RunQuery(ListQuery):
    """Which runs to list; the last two filters identify few, of one agent or of all."""

    sortable: ClassVar[tuple[str, ...]] = (
        "id",
        "inserted_at",
        "updated_at",
        "started_at",
        "finished_at",
        "status",
        "purpose",
    )
    agent_id: Filter = None
    agent_version_id: Filter = None
    environment_id: Filter = None
    agent_deployment_id: Filter = None
    external_identifier: Filter = None
    caused_by: Filter = None


def list_runs(ctx: Context, query: RunQuery) -> bytes:
    """Return a page of an agent's runs, or of the runs that a filter selects."""
    agent_id = query.agent_id or ctx.caller.agent_id
    if agent_id is None and query.external_identifier is None and query.caused_by is None:
        raise invalid_field("agent_id", "is required")
    if agent_id is not None and ctx.caller.agent_id not in {None, agent_id}:
        agent_of(ctx, agent_id)
    equal = query.equal
    if agent_id is not None:
        equal["agent_id"] = agent_id
    if ctx.caller.environment_id is not None:
        equal["environment_id"] = ctx.caller.environment_id
    listed = ctx.tx.list_runs(ctx.caller.account_id, equal, query.page)
    return list_response([summary_view(row) for row in listed.rows], query.page, listed.total)


def find(ctx: Context, name: str, *_: object) -> RunRow:
    """Return a run by its id, its key (the external identifier), or the last 8 characters of one.

    Raises:
        RequestError: 404, it does not exist for this caller; 409, the runs that end so are several.
    """
    named = [] if is_pfid(name) else runs_named(ctx, name)
    if is_short(name) and len(named) > 1:
        raise ambiguous("runs", name, [row.id for row in named])
    return named[0] if named else run_of(ctx, name)


def runs_named(ctx: Context, name: str) -> list[RunRow]:
    """Return the runs with this key, else those whose id or key ends with it, the newest first."""
    account_id, sees = ctx.caller.account_id, ctx.caller.sees
    if is_key(name) or is_short(name):
        listed = ctx.tx.list_runs(account_id, {"external_identifier": name}, _SAME_KEY)
        rows = [row for row in listed.rows if sees(row)]
        if rows or not is_short(name):
            return rows
        ids = ctx.tx.runs_ending(account_id, name, MOST_NAMED)
        by_id = ctx.tx.runs(account_id, ids)
        return [row for row in map(by_id.get, ids) if row is not None and sees(row)]
    return []


def view(ctx: Context, row: RunRow) -> dict[str, object]:
    """Return the response to a step on a run."""
    row = _readable(ctx, row)
    return instance_view(row, *_qualities(ctx, row))


def minimal_view(row: RunRow) -> dict[str, object]:
    """Return the members of a run that the SDK reads."""
    return {
        "id": row.id,
        "status": row.status,
        "termination_reason": row.termination_reason,
        "agent_id": row.agent_id,
    }


def shown(ctx: Context, row: RunRow) -> dict[str, object]:
    """Return a run as it is shown alone."""
    row = _readable(ctx, row)
    recorded = ctx.tx.recorded(row)
    spans = None if recorded is None else all_spans(row.flags, recorded)
    name = names_of_failures(ctx, [row]).get(row.failure_span or "") if ctx.caller.reads else None
    details = detail_view(row, *_qualities(ctx, row), spans, ctx.settings.prices, name)
    return {**details, "agent": _agent_of_run(ctx, row)}


def _agent_of_run(ctx: Context, run: RunRow) -> dict[str, object]:
    agent = agent_of(ctx, run.agent_id)
    name = names_of_agents(ctx.tx, [run.id]).get(run.id, agent.name)
    return named_agent(agent.id, name, agent.external_identifier)


def _readable(ctx: Context, row: RunRow) -> RunRow:
    """Return a run, without values for a caller who may not read them."""
    if ctx.caller.reads:
        return row
    return msgspec.structs.replace(row, quality_payloads="{}", failure_text=None)


def _qualities(
    ctx: Context, row: RunRow
) -> tuple[Mapping[str, str | None], Mapping[str, list[str]]]:
    return judged_qualities(ctx.tx, ctx.declarations, row, ctx.budget)
