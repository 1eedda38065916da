"""The SQL of both databases: each row type is a table, each field a column.

`?` is the placeholder of a value. Statements are built from the names in the tables below, never
from a text of a request.
"""

from __future__ import annotations

from types import NoneType
from typing import Final, TypeAlias, get_args

import msgspec

from remit.collector.store.rows import (
    AccountRow,
    AgentRow,
    DeploymentRow,
    EnvironmentRow,
    ErasureRow,
    InstanceRow,
    KeyRow,
    Row,
    SchemaVersionRow,
    SpanRow,
    SubjectRow,
    TokenRow,
    VersionRow,
)

Value: TypeAlias = str | int | bytes | None

TABLES: Final[dict[type[Row], str]] = {
    AccountRow: "accounts",
    EnvironmentRow: "environments",
    AgentRow: "agents",
    VersionRow: "agent_versions",
    SchemaVersionRow: "agent_schema_versions",
    DeploymentRow: "agent_deployments",
    TokenRow: "api_tokens",
    InstanceRow: "agent_instances",
    SpanRow: "agent_spans",
    KeyRow: "idempotency_keys",
    SubjectRow: "run_subjects",
    ErasureRow: "erasures",
}
MUTABLE: Final[dict[type[Row], tuple[str, ...]]] = {
    AccountRow: ("name", "updated_at"),
    EnvironmentRow: ("name", "updated_at"),
    AgentRow: (
        "name",
        "description",
        "status",
        "owner_person_id",
        "risk_profile_id",
        "team_id",
        "updated_at",
    ),
    DeploymentRow: ("current_version_id", "updated_at"),
    TokenRow: ("status", "updated_at"),
    InstanceRow: (
        "status",
        "start_seen",
        "started_at",
        "finished_at",
        "termination_reason",
        "quality_payloads",
        "updated_at",
    ),
    SpanRow: (
        "status",
        "flags",
        "started_at",
        "finished_at",
        "updated_at",
        "finish_key",
        "result_payload",
    ),
}
COUNTS: Final = ("pending", "active", "complete", "failed", "cancelled")
NEWEST_SCHEMA_VERSION: Final = (
    "SELECT id FROM agent_schema_versions WHERE agent_id = ? AND external_identifier = ?"
    " ORDER BY inserted_at DESC, id DESC LIMIT 1"
)
OF_AGENT: Final = ("agent_deployments", "agent_versions", "agent_schema_versions", "api_tokens")
"""The tables whose rows are deleted with their agent."""


def columns(kind: type[Row], prefix: str = "") -> str:
    """Return the columns of *kind*, in the order of its fields."""
    return ", ".join(prefix + field for field in kind.__struct_fields__)


def known(kind: type[Row], field: str) -> str:
    """Return *field* if it is a column of *kind*: no other text gets into a statement.

    Raises:
        ValueError: It is none.
    """
    if field not in kind.__struct_fields__:
        raise ValueError(f"{TABLES[kind]} has no column {field!r}")
    return field


def _nullable(kind: type[Row]) -> frozenset[str]:
    fields = msgspec.structs.fields(kind)
    return frozenset(field.name for field in fields if NoneType in get_args(field.type))


def _insert(kind: type[Row]) -> str:
    places = ", ".join("?" for _ in kind.__struct_fields__)
    return f"INSERT INTO {TABLES[kind]} ({columns(kind)}) VALUES ({places})"  # noqa: S608 - names from the tables above


def _update(kind: type[Row], where: str) -> str:
    changes = ", ".join(f"{field} = ?" for field in MUTABLE[kind])
    return f"UPDATE {TABLES[kind]} SET {changes} WHERE {where}"  # noqa: S608 - as above


NULLABLE: Final = {kind: _nullable(kind) for kind in TABLES}
SELECT: Final = {kind: f"SELECT {columns(kind)} FROM {TABLES[kind]}" for kind in TABLES}  # noqa: S608 - as above
INSERT: Final = {kind: _insert(kind) for kind in TABLES}
UPDATE: Final = {kind: _update(kind, "id = ?") for kind in MUTABLE}
UPDATE_SPAN: Final = _update(SpanRow, "agent_instance_id = ? AND id = ?")
ADD_COUNTS: Final = (
    "UPDATE agent_instances SET "  # noqa: S608 - as above
    + ", ".join(f"spans_{status} = spans_{status} + ?" for status in COUNTS)
    + " WHERE id = ?"
)
NOTE_CAUSE: Final = "UPDATE agent_instances SET caused_by = ? WHERE id = ?"
# To count the instances of an account: through its agents, for which an index is enough.
OWNED: Final = "agent_id IN (SELECT id FROM agents WHERE account_id = ?)"
SPANS: Final = "FROM agent_spans AS s"
_THEIRS: Final = "agent_instances AS i ON i.id = s.agent_instance_id"
SPANS_AND_THEIRS: Final = f"{SPANS} JOIN {_THEIRS}"
# For SQLite, where CROSS JOIN sets the order of the join.
SPANS_BY_START: Final = f"{SPANS} INDEXED BY agent_spans_by_start"
SPANS_BY_START_AND_THEIRS: Final = f"{SPANS_BY_START} CROSS JOIN {_THEIRS}"
# The number grows when a span begins and when it ends.
MOVES: Final = (
    "SELECT id, spans_pending + 2 * spans_active "
    "+ 3 * (spans_complete + spans_failed + spans_cancelled) FROM agent_instances"
)
MAY_MOVE: Final = (
    "status IN ('pending', 'active', 'terminated') OR spans_pending > 0 OR spans_active > 0 "
    "OR id >= ?"
)
SPANLESS: Final = (
    "NOT EXISTS (SELECT 1 FROM agent_spans AS s WHERE s.agent_instance_id = agent_instances.id)"
)
# `finished_at` comes from the client, `updated_at` from the collector.
OLD: Final = (
    "SELECT id FROM agent_instances WHERE finished_at < ? AND updated_at < ? "  # noqa: S608 - as above
    f"AND {SPANLESS} ORDER BY id LIMIT ?"
)
# The key of a deleted span can neither be answered nor be used again.
FORGET_KEYS: Final = (
    "DELETE FROM idempotency_keys WHERE (account_id, operation, key) IN ("
    "SELECT account_id, operation, key FROM idempotency_keys WHERE agent_span_id < ? "
    "OR (agent_instance_id IS NULL AND inserted_at < ?) LIMIT ?)"
)

NOTE_USE: Final = (
    "UPDATE api_tokens SET last_used_at = ? "
    "WHERE id = ? AND (last_used_at IS NULL OR last_used_at < ?)"
)
ERASED: Final = "erased"
"""Replaces an erased reason."""
EMPTY: Final = "{}"
ERASE_SPANS: Final = (
    f"UPDATE agent_spans SET payload = '{EMPTY}', result_payload = "  # noqa: S608 - a fixed text
    f"CASE WHEN result_payload IS NULL THEN NULL ELSE '{EMPTY}' END "
    f"WHERE agent_instance_id = ? AND (payload <> '{EMPTY}' OR result_payload <> '{EMPTY}')"
)
ERASE_INSTANCE: Final = (
    f"UPDATE agent_instances SET quality_payloads = '{EMPTY}', termination_reason = "  # noqa: S608 - as above
    f"CASE WHEN termination_reason IS NULL THEN NULL ELSE '{ERASED}' END, erased_at = ? "
    "WHERE id = ?"
)
ERASE_ANSWERS: Final = (
    "UPDATE idempotency_keys SET answer = ?, request_hash = NULL WHERE agent_instance_id = ? "
    "AND agent_span_id IS NULL AND answer IS NOT NULL "
    # Not by LIKE: its `%` means a value in PostgreSQL's driver. `0` follows `/`.
    "AND operation > 'agent_instances/' AND operation < 'agent_instances0'"
)
