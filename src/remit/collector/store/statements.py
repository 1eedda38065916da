"""The SQL of both databases: each row type is a table, each field a column.

Rows of runs and spans are joined from several tables, in which their ids are bytes. `?` is the
placeholder of a value. Statements are built from the names in the tables below, never from a text
of a request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import NoneType
from typing import Final, TypeAlias, get_args

import msgspec

from remit.collector.store.rows import (
    AccountRow,
    AgentRow,
    AskRow,
    DeploymentRow,
    EnvironmentRow,
    ErasureRow,
    HoldRow,
    KeyRow,
    LateAnswerRow,
    Row,
    RunRow,
    SchemaVersionRow,
    SealRow,
    SessionRow,
    SpanRow,
    TokenRow,
    TypeRow,
    VersionRow,
)

Value: TypeAlias = str | int | bytes | None


@dataclass(slots=True)
class Where:
    """Conditions that all hold, and their values in the same order."""

    texts: list[str] = field(default_factory=list[str])
    values: list[Value] = field(default_factory=list[Value])

    def add(self, text: str, *values: Value) -> None:
        """Add a condition."""
        self.texts.append(text)
        self.values += values

    def add_known(self, text: str, value: Value) -> None:
        """Add a condition with one value, unless the value is None."""
        if value is not None:
            self.add(text, value)

    def add_nested(self, text: str, inner: Where) -> None:
        """Add a condition in which *inner* replaces `{}`, unless *inner* is empty."""
        if inner.texts:
            self.add(text.format(inner.text), *inner.values)

    @property
    def text(self) -> str:
        """The conditions."""
        return " AND ".join(self.texts) or "TRUE"


TABLES: Final[dict[type[Row], str]] = {
    AccountRow: "accounts",
    EnvironmentRow: "environments",
    AgentRow: "agents",
    VersionRow: "agent_versions",
    SchemaVersionRow: "agent_schema_versions",
    DeploymentRow: "agent_deployments",
    TokenRow: "api_tokens",
    RunRow: "runs",
    SpanRow: "spans",
    KeyRow: "idempotency_keys",
    ErasureRow: "erasures",
    SessionRow: "page_sessions",
    AskRow: "asks",
    LateAnswerRow: "late_answers",
    SealRow: "used_seals",
    HoldRow: "holds",
}
MUTABLE: Final[dict[type[Row], tuple[str, ...]]] = {
    AccountRow: ("name", "updated_at"),
    EnvironmentRow: ("name", "updated_at"),
    AgentRow: (
        "name",
        "description",
        "external_identifier",
        "status",
        "owner_person_id",
        "risk_profile_id",
        "team_id",
        "updated_at",
    ),
    DeploymentRow: ("current_version_id", "updated_at"),
    TokenRow: ("status", "updated_at"),
    SessionRow: ("last_used_at",),
    HoldRow: ("lifted_at", "lifted_by"),
    SpanRow: (
        "status",
        "flags",
        "started_at",
        "finished_at",
        "updated_at",
        "summary",
    ),
}
SPANS_OF_RUN: Final = (
    "spans_pending",
    "spans_active",
    "spans_complete",
    "spans_failed",
    "spans_cancelled",
)
"""The numbers of a run's spans, by status."""
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
    """Return *field* if it is a column of *kind*: no other string gets into a statement.

    Raises:
        ValueError: It is not one.
    """
    if field not in kind.__struct_fields__:
        raise ValueError(f"{TABLES[kind]} has no column {field!r}")
    return field


def _nullable(kind: type[Row]) -> frozenset[str]:
    fields = msgspec.structs.fields(kind)
    return frozenset(field.name for field in fields if NoneType in get_args(field.type))


def _insert(kind: type[Row]) -> str:
    places = ", ".join("?" for _ in kind.__struct_fields__)
    return f"INSERT INTO {TABLES[kind]} ({columns(kind)}) VALUES ({places})"


def _update(kind: type[Row], where: str) -> str:
    changes = ", ".join(f"{field} = ?" for field in MUTABLE[kind])
    return f"UPDATE {TABLES[kind]} SET {changes} WHERE {where}"


NULLABLE: Final = {kind: _nullable(kind) for kind in TABLES}
_STORED: Final = [kind for kind in TABLES if kind not in {RunRow, SpanRow}]
SELECT: Final[dict[type[Row], str]] = {
    kind: f"SELECT {columns(kind)} FROM {TABLES[kind]}" for kind in _STORED
}
INSERT: Final = {kind: _insert(kind) for kind in _STORED}
UPDATE: Final = {kind: _update(kind, "id = ?") for kind in MUTABLE if kind in _STORED}
TYPE_COLUMNS: Final = columns(TypeRow)

# Runs

PLACE: Final = (
    "account_id",
    "agent_id",
    "agent_version_id",
    "agent_schema_version_id",
    "environment_id",
    "agent_deployment_id",
)
"""The columns of a run that it shares with others of its registration."""
PLACE_REFS: Final = ("account_ref", "agent_ref", "environment_ref")
OF_RUN: Final = tuple(name for name in RunRow.__struct_fields__ if name not in PLACE)
"""The columns of `runs`."""
LASTING: Final = frozenset(
    {"id", "external_identifier", "purpose", "body_hash", "inserted_at", "erased_at"}
    | {"ref", "place_ref", *PLACE_REFS}
)
"""Columns that no request about the run and none of its spans changes."""
RUN_COLUMNS: Final = ", ".join(
    f"{'p' if name in PLACE else 'r'}.{name}" for name in RunRow.__struct_fields__
)
"""The columns of a run `r` and its place `p`, in the order of the fields of its row."""
WITH_PLACE: Final = "JOIN run_places AS p ON p.ref = r.place_ref"
RUNS: Final = f"SELECT {RUN_COLUMNS} FROM runs AS r {WITH_PLACE}"
INSERTED: Final = tuple(name for name in OF_RUN if name != "ref")
FIND_PLACE: Final = (
    "SELECT ref, account_ref, agent_ref, environment_ref FROM run_places WHERE "
    + " AND ".join(f"{name} = ?" for name in PLACE)
)
ADD_PLACE: Final = (
    f"INSERT INTO run_places ({', '.join(PLACE)}, {', '.join(PLACE_REFS)}) "
    "SELECT ?, ?, ?, ?, ?, ?, accounts.ref, agents.ref, environments.ref "
    "FROM accounts, agents, environments "
    "WHERE accounts.id = ? AND agents.id = ? AND environments.id = ? "
    "ON CONFLICT DO NOTHING"
)
# A filter of runs by an id goes through the reference, for which there is an index.
RUN_FILTERS: Final[dict[str, str]] = {
    "account_id": "r.account_ref = (SELECT ref FROM accounts WHERE id = ?)",
    "agent_id": "r.agent_ref = (SELECT ref FROM agents WHERE id = ?)",
    "environment_id": "r.environment_ref = (SELECT ref FROM environments WHERE id = ?)",
    "agent_version_id": "r.place_ref IN (SELECT ref FROM run_places WHERE agent_version_id = ?)",
    "agent_deployment_id": (
        "r.place_ref IN (SELECT ref FROM run_places WHERE agent_deployment_id = ?)"
    ),
    "external_identifier": ("r.id IN (SELECT run_id FROM run_keys WHERE external_identifier = ?)"),
    "caused_by": "r.caused_by = ?",
    "status": "r.status = ?",
}
FIND_TYPE: Final = "SELECT ref FROM span_types WHERE agent_ref = ? AND name = ? AND hash = ?"
ADD_TYPE: Final = (
    f"INSERT INTO span_types ({TYPE_COLUMNS}) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
ADD_TYPE_WORD: Final = (
    "INSERT INTO span_type_words (word, side, type_ref) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
)

# Spans

SPAN_COLUMNS: Final = (
    "r.id, s.id, s.parent_id, t.name, s.status, s.created_status, s.flags, s.started_at, "
    "s.finished_at, s.inserted_at, s.updated_at, b.payload, b.result, s.summary, s.run_ref, "
    "s.type_ref"
)
"""The columns of a span `s` of the run `r`, with its type `t` and its payloads `b`."""
NEXT_KEYS: Final = (
    "SELECT account_id, operation, key FROM idempotency_keys "
    "WHERE (account_id, operation, key) > (?, ?, ?) ORDER BY account_id, operation, key LIMIT ?"
)
# The key of a deleted span cannot be used again.
FORGET_KEYS: Final = (
    "DELETE FROM idempotency_keys WHERE (account_id, operation, key) > (?, ?, ?) "
    "AND (account_id, operation, key) <= (?, ?, ?) "
    "AND (agent_span_id < ? OR (agent_instance_id IS NULL AND inserted_at < ?))"
)

NOTE_USE: Final = (
    "UPDATE api_tokens SET last_used_at = ? "
    "WHERE id = ? AND (last_used_at IS NULL OR last_used_at < ?)"
)
ADD_PROBE: Final = (
    "INSERT INTO idempotency_keys (account_id, operation, key, response, inserted_at) "
    "VALUES ('', '', ?, ?, 0)"
)
DELETE_PROBE: Final = (
    "DELETE FROM idempotency_keys WHERE account_id = '' AND operation = '' AND key = ?"
)
NOTE_PROCESS: Final = (
    "INSERT INTO hold_processes (account_id, id, host, agents, number, known_at, seen_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account_id, id) DO UPDATE SET "
    "host = excluded.host, agents = excluded.agents, number = excluded.number, known_at = CASE "
    "WHEN hold_processes.number = excluded.number THEN hold_processes.known_at "
    "ELSE excluded.known_at END, seen_at = excluded.seen_at"
)
FORGET_PROCESSES: Final = "DELETE FROM hold_processes WHERE account_id = ? AND seen_at < ?"
ERASED: Final = "erased"
"""Replaces an erased reason."""
EMPTY: Final = "{}"
ERASE_PAYLOADS: Final = (
    f"payload = '{EMPTY}', result = CASE WHEN result IS NULL THEN NULL ELSE '{EMPTY}' END"
)
"""The assignments that erase payloads."""
HAS_PAYLOAD: Final = f"(payload <> '{EMPTY}' OR result <> '{EMPTY}')"
ERASE_RUN: Final = (
    f"UPDATE runs SET quality_payloads = '{EMPTY}', termination_reason = "
    f"CASE WHEN termination_reason IS NULL THEN NULL ELSE '{ERASED}' END, summary = NULL, "
    "failure_text = NULL, conversation = NULL, question = NULL, answer = NULL, "
    "erased_at = ? WHERE "
)
ERASE_RESPONSES: Final = (
    "UPDATE idempotency_keys SET response = ?, request_hash = NULL WHERE agent_instance_id = ? "
    "AND agent_span_id IS NULL AND response IS NOT NULL "
    # Not by LIKE: its `%` means a value in PostgreSQL's driver. `0` follows `/`.
    "AND operation > 'agent_instances/' AND operation < 'agent_instances0'"
)
