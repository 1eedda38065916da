"""What a registration declares: versions of an agent, found again by external identifier."""

from __future__ import annotations

from typing import Final

from remit.collector.ingest.checks import check_identifier, check_name, check_text
from remit.collector.ingest.context import Context
from remit.collector.store import AgentRow, SchemaVersionRow, VersionRow, content_hash
from remit.collector.wire import encode
from remit.models.agent_instance import (
    AgentSchemaVersionForRegister,
    AgentVersionForRegister,
    QualitySchemaForCreate,
    SpanTypeSchemaForCreate,
)

LEGACY_QUALITY: Final = "quality"


def version_of(ctx: Context, agent: AgentRow, given: AgentVersionForRegister) -> VersionRow:
    """Return the agent's version that *given* describes; one seen before stays as it was."""
    identifier = given.external_identifier
    if identifier is not None:
        check_identifier("agent_version.external_identifier", identifier)
        known = ctx.tx.version(agent.id, identifier)
        if known is not None:
            return known
    check_text("agent_version.name", given.name)
    check_text("agent_version.description", given.description)
    environment = given.runtime_environment
    encoded = None if environment is None else environment.model_dump_json(exclude_none=True)
    check_text("agent_version.runtime_environment", encoded)
    row = VersionRow(
        id=ctx.new_id(),
        account_id=agent.account_id,
        agent_id=agent.id,
        external_identifier=identifier,
        name=given.name,
        description=given.description,
        runtime_environment=encoded,
        inserted_at=ctx.now_us,
        updated_at=ctx.now_us,
    )
    ctx.tx.add(row)
    return row


def schema_version_of(
    ctx: Context,
    agent: AgentRow,
    given: AgentSchemaVersionForRegister,
    environment_id: str | None,
) -> SchemaVersionRow:
    """Return the agent's schema version of this identifier and content, made if there is none.

    Args:
        ctx: The request.
        agent: The agent.
        given: The identifier and the content.
        environment_id: Where a run is registered; None for a schema version alone.
    """
    identifier = given.external_identifier
    check_identifier("agent_schema_version.external_identifier", identifier)
    span_type_schemas = encode([_span_type(one) for one in span_types(given)]).decode()
    quality_schemas = encode([_quality(one) for one in qualities(given)]).decode()
    hashed = content_hash(span_type_schemas, quality_schemas)
    if identifier is not None:
        known = ctx.tx.schema_version(agent.id, identifier, hashed)
        if known is not None:
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
    )
    ctx.tx.add(row)
    return row


def span_types(given: AgentSchemaVersionForRegister) -> list[SpanTypeSchemaForCreate]:
    """Return the span types; the two older maps count only without the newer list."""
    if given.span_type_schemas is not None:
        return given.span_type_schemas
    results = given.span_result_schemas or {}
    return [
        SpanTypeSchemaForCreate(name=name, params_schema=schema, result_schema=results.get(name))
        for name, schema in (given.span_schemas or {}).items()
    ]


def qualities(given: AgentSchemaVersionForRegister) -> list[QualitySchemaForCreate]:
    """Return the quality schemas; the older one without a name is called `quality`."""
    if given.quality_schemas is None and given.quality_schema is not None:
        return [
            QualitySchemaForCreate.model_validate(
                {"name": LEGACY_QUALITY, "schema": given.quality_schema}
            )
        ]
    return given.quality_schemas or []


def _span_type(one: SpanTypeSchemaForCreate) -> dict[str, object]:
    check_name("agent_schema_version.span_type_schemas.name", one.name)
    described = one.model_dump(mode="python")
    return {**described, "result_schema": described["result_schema"] or {}}


def _quality(one: QualitySchemaForCreate) -> dict[str, object]:
    check_name("agent_schema_version.quality_schemas.name", one.name)
    return one.model_dump(mode="python", by_alias=True)
