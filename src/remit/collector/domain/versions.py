"""Versions of an agent's code and of its schemas: listed, shown, registered."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Final

from remit.collector.domain.context import Context
from remit.collector.domain.params import (
    Filter,
    ListQuery,
    agent_of,
    check_identifier,
    check_name,
    check_text,
    listed,
    row_of,
)
from remit.collector.json_io import encode
from remit.collector.models.deployment import (
    AgentSchemaVersionForCreate,
    AgentVersion,
    AgentVersionForCreate,
)
from remit.collector.store.rows import AgentRow, SchemaVersionRow, VersionRow, content_hash
from remit.collector.views.resources import row_view, schema_summary
from remit.models.agent_instance import (
    AgentSchemaVersionForRegister,
    AgentVersionForRegister,
    QualitySchemaForCreate,
    SpanTypeSchemaForCreate,
)

LEGACY_QUALITY: Final = "quality"


class VersionQuery(ListQuery):
    """Which versions to list."""

    sortable: ClassVar[tuple[str, ...]] = (
        "id",
        "agent_id",
        "external_identifier",
        "inserted_at",
        "updated_at",
    )
    agent_id: Filter = None
    external_identifier: Filter = None


def list_versions(ctx: Context, query: VersionQuery) -> bytes:
    """List the agent versions of the account or of one agent."""
    return listed(ctx, VersionRow, query, partial(row_view, AgentVersion))


def find_version(ctx: Context, version_id: str, *_: object) -> VersionRow:
    """Return an agent version."""
    return row_of(ctx, VersionRow, version_id, "agent_version")


def create_version(ctx: Context, request: AgentVersionForCreate) -> VersionRow:
    """Create an agent version, or return the existing one with the same identifier."""
    return version_of(ctx, agent_of(ctx, request.agent_id), request)


def list_schema_versions(ctx: Context, query: VersionQuery) -> bytes:
    """List the schema versions of the account or of one agent, without the schemas."""
    return listed(ctx, SchemaVersionRow, query, schema_summary)


def find_schema_version(ctx: Context, version_id: str, *_: object) -> SchemaVersionRow:
    """Return a schema version."""
    return row_of(ctx, SchemaVersionRow, version_id, "agent_schema_version")


def create_schema_version(ctx: Context, request: AgentSchemaVersionForCreate) -> SchemaVersionRow:
    """Create a schema version, or return the existing one with the same identifier and content."""
    return schema_version_of(ctx, agent_of(ctx, request.agent_id), request, None)


def version_of(ctx: Context, agent: AgentRow, declared: AgentVersionForRegister) -> VersionRow:
    """Return the agent's version that *declared* describes; one seen before stays as it was."""
    identifier = declared.external_identifier
    if identifier is not None:
        check_identifier("agent_version.external_identifier", identifier)
        known = ctx.tx.version(agent.id, identifier)
        if known is not None:
            return known
    check_text("agent_version.name", declared.name)
    check_text("agent_version.description", declared.description)
    environment = declared.runtime_environment
    encoded = None if environment is None else environment.model_dump_json(exclude_none=True)
    check_text("agent_version.runtime_environment", encoded)
    row = VersionRow(
        id=ctx.new_id(),
        account_id=agent.account_id,
        agent_id=agent.id,
        external_identifier=identifier,
        name=declared.name,
        description=declared.description,
        runtime_environment=encoded,
        inserted_at=ctx.now_us,
        updated_at=ctx.now_us,
    )
    ctx.tx.add(row)
    return row


def schema_version_of(
    ctx: Context,
    agent: AgentRow,
    declared: AgentSchemaVersionForRegister,
    environment_id: str | None,
) -> SchemaVersionRow:
    """Return the agent's schema version of this identifier and content, created if missing."""
    identifier = declared.external_identifier
    check_identifier("agent_schema_version.external_identifier", identifier)
    span_type_schemas = encode([_span_type(one) for one in span_types(declared)]).decode()
    quality_schemas = encode([_quality(one) for one in qualities(declared)]).decode()
    hashed = content_hash(span_type_schemas, quality_schemas)
    if identifier is not None:
        known = ctx.tx.schema_version(agent.id, identifier, hashed)
        if known is not None:
            ctx.tx.note_registration(known.id, ctx.now_us)
            return known
    row = SchemaVersionRow(
        id=ctx.new_id(),
        account_id=agent.account_id,
        agent_id=agent.id,
        external_identifier=identifier,
        span_type_schemas=span_type_schemas,
        quality_schemas=quality_schemas,
        content_hash=hashed,
        registered_by=ctx.caller.token_id,
        environment_id=environment_id,
        inserted_at=ctx.now_us,
        updated_at=ctx.now_us,
        registered_at=ctx.now_us,
    )
    ctx.tx.add(row)
    return row


def span_types(declared: AgentSchemaVersionForRegister) -> list[SpanTypeSchemaForCreate]:
    """Return the span types; the two older maps count only without the newer list."""
    if declared.span_type_schemas is not None:
        return declared.span_type_schemas
    results = declared.span_result_schemas or {}
    return [
        SpanTypeSchemaForCreate(name=name, params_schema=schema, result_schema=results.get(name))
        for name, schema in (declared.span_schemas or {}).items()
    ]


def qualities(declared: AgentSchemaVersionForRegister) -> list[QualitySchemaForCreate]:
    """Return the quality schemas; the older one without a name is called `quality`."""
    if declared.quality_schemas is None and declared.quality_schema is not None:
        return [
            QualitySchemaForCreate.model_validate(
                {"name": LEGACY_QUALITY, "schema": declared.quality_schema}
            )
        ]
    return declared.quality_schemas or []


def _span_type(one: SpanTypeSchemaForCreate) -> dict[str, object]:
    check_name("agent_schema_version.span_type_schemas.name", one.name)
    described = one.model_dump(mode="python")
    return {**described, "result_schema": described["result_schema"] or {}}


def _quality(one: QualitySchemaForCreate) -> dict[str, object]:
    check_name("agent_schema_version.quality_schemas.name", one.name)
    return one.model_dump(mode="python", by_alias=True)
