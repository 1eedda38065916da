"""Accounts, environments, deployments, versions and tokens on the wire."""

from __future__ import annotations

from typing import TypedDict, cast

from msgspec import Raw

from remit.collector.json_io import read_json
from remit.collector.store import (
    AccountRow,
    DeploymentRow,
    EnvironmentRow,
    SchemaVersionRow,
    TokenRow,
    VersionRow,
)
from remit.collector.times import format_us


class _SpanType(TypedDict):
    name: str
    params_schema: dict[str, object]
    result_schema: dict[str, object]


def account_view(row: AccountRow) -> dict[str, object]:
    """Return an account."""
    return {"type": "account", "id": row.id, "name": row.name, **_times(row)}


def environment_view(row: EnvironmentRow) -> dict[str, object]:
    """Return an environment."""
    return {
        "type": "environment",
        "id": row.id,
        "account_id": row.account_id,
        "name": row.name,
        **_times(row),
    }


def deployment_view(row: DeploymentRow) -> dict[str, object]:
    """Return a deployment."""
    return {
        "type": "agent_deployment",
        "id": row.id,
        "account_id": row.account_id,
        "agent_id": row.agent_id,
        "environment_id": row.environment_id,
        "current_version_id": row.current_version_id,
        **_times(row),
    }


def version_view(row: VersionRow) -> dict[str, object]:
    """Return a version of an agent's code."""
    environment = row.runtime_environment
    return {
        "type": "agent_version",
        "id": row.id,
        "account_id": row.account_id,
        "agent_id": row.agent_id,
        "external_identifier": row.external_identifier,
        "name": row.name,
        "description": row.description,
        "runtime_environment": None if environment is None else Raw(environment),
        **_times(row),
    }


def schema_summary(row: SchemaVersionRow) -> dict[str, object]:
    """Return a schema version as a list shows it: without the schemas, which may be long."""
    return {
        "type": "agent_schema_version",
        "id": row.id,
        "account_id": row.account_id,
        "agent_id": row.agent_id,
        "external_identifier": row.external_identifier,
        "content_hash": row.content_hash,
        "registered_by": row.registered_by,
        "environment_id": row.environment_id,
        **_times(row),
    }


def schema_view(row: SchemaVersionRow) -> dict[str, object]:
    """Return a schema version with its schemas, in the newer form and in the older."""
    types = cast("list[_SpanType]", read_json(row.span_type_schemas))
    return {
        **schema_summary(row),
        "span_type_schemas": types,
        "span_schemas": {one["name"]: one["params_schema"] for one in types},
        "span_result_schemas": {one["name"]: one["result_schema"] for one in types},
        "quality_schemas": Raw(row.quality_schemas),
    }


def token_view(row: TokenRow) -> dict[str, object]:
    """Return a token; its secret is kept nowhere."""
    return {
        "type": "api_token",
        "id": row.id,
        "token_scope": row.token_scope,
        "account_id": row.account_id,
        "agent_deployment_id": row.agent_deployment_id,
        "agent_id": row.agent_id,
        "environment_id": row.environment_id,
        "made_by": row.made_by,
        "name": row.name,
        "may": row.may,
        "status": row.status,
        "expires_at": None if row.expires_at is None else format_us(row.expires_at),
        "last_used_at": None if row.last_used_at is None else format_us(row.last_used_at),
        **_times(row),
    }


def _times(
    row: AccountRow | EnvironmentRow | DeploymentRow | VersionRow | SchemaVersionRow | TokenRow,
) -> dict[str, object]:
    return {"inserted_at": format_us(row.inserted_at), "updated_at": format_us(row.updated_at)}
