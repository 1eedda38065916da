"""Versions of an agent's code and of its schemas: listed, shown, made apart from a registration."""

from __future__ import annotations

from typing import Final

from remit.collector.ingest.checks import check_declared, validated
from remit.collector.ingest.context import Context
from remit.collector.ingest.keys import Done, once
from remit.collector.ingest.resources import account_values, agent_of, found, listed, required
from remit.collector.ingest.schemas import schema_version_of, version_of
from remit.collector.models.deployment import AgentSchemaVersionForCreate, AgentVersionForCreate
from remit.collector.store import SchemaVersionRow, VersionRow
from remit.collector.views import schema_summary, schema_view, success_answer, version_view

SORTABLE: Final = ("id", "agent_id", "external_identifier", "inserted_at", "updated_at")
FILTERS: Final = ("agent_id", "external_identifier")


def list_versions(ctx: Context, params: bytes, key: str | None) -> bytes:
    """List the agent versions of the account, all or those of one agent."""
    del key
    return listed(ctx, VersionRow, params, version_view, sortable=SORTABLE, filters=FILTERS)


def show_version(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return an agent version."""
    del key
    version_id = required(account_values(ctx, params), "agent_version_id")
    return success_answer(version_view(found(ctx, VersionRow, version_id, "agent_version")))


def create_version(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Create an agent version, or return the one with the same external identifier."""
    values = account_values(ctx, params)

    def do() -> Done:
        request = validated(AgentVersionForCreate, values)
        row = version_of(ctx, agent_of(ctx, request.agent_id), request)
        return Done(success_answer(version_view(row)))

    return once(ctx, "agent_versions/create", key, values, do)


def list_schema_versions(ctx: Context, params: bytes, key: str | None) -> bytes:
    """List the schema versions of the account, all or those of one agent, without the schemas."""
    del key
    return listed(ctx, SchemaVersionRow, params, schema_summary, sortable=SORTABLE, filters=FILTERS)


def show_schema_version(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return a schema version."""
    del key
    row_id = required(account_values(ctx, params), "agent_schema_version_id")
    row = found(ctx, SchemaVersionRow, row_id, "agent_schema_version")
    return success_answer(schema_view(row))


def create_schema_version(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Create a schema version, or return the one with the same identifier and content."""
    values = account_values(ctx, params)

    def do() -> Done:
        check_declared(values)
        request = validated(AgentSchemaVersionForCreate, values)
        row = schema_version_of(ctx, agent_of(ctx, request.agent_id), request, None)
        return Done(success_answer(schema_view(row)))

    return once(ctx, "agent_schema_versions/create", key, values, do)
