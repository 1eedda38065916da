"""The rows of the tables; the order of the fields is that of the columns.

Rows are frozen: a change makes a new row. Times are microseconds since 1970 in UTC.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

SENSITIVE: Final = 1
"""Flag of a span: its payloads hold values in the `$sensitive` encoding."""
# The flags 2, 4 and 8 are in rows that earlier versions wrote, and mean nothing now.
BAD_PAYLOAD: Final = 16
"""Flag of a span: its payload does not match the schema of its type."""
UNCHECKED_PAYLOAD: Final = 32
"""Flag of a span: its payload could not be checked against the schema of its type."""
BAD_RESULT: Final = 64
"""Flag of a span: its result does not match its schema."""
UNCHECKED_RESULT: Final = 128
"""Flag of a span: its result could not be checked against its schema."""
UNDECLARED: Final = 256
"""Flag of a span: its type was not declared."""
MARKED: Final = 512
"""Flag of a span: a value in it was withheld, or exceeds the remit of its agent."""
FOUND: Final = BAD_PAYLOAD | UNCHECKED_PAYLOAD | BAD_RESULT | UNCHECKED_RESULT | UNDECLARED | MARKED
"""The flags that the collector sets; the others come from the client."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """Base of the rows; their values refer to no objects, so they are not garbage-collected."""


class AccountRow(Row, frozen=True, gc=False):
    """An account, which owns all other rows; their ids share the partition of its id."""

    id: str
    name: str
    inserted_at: int
    updated_at: int


class EnvironmentRow(Row, frozen=True, gc=False):
    """Where agents run: production, staging."""

    id: str
    account_id: str
    name: str
    inserted_at: int
    updated_at: int


class AgentRow(Row, frozen=True, gc=False):
    """An agent. `body_hash` is that of the request which created it."""

    id: str
    account_id: str
    name: str
    description: str | None
    external_identifier: str | None
    status: str
    owner_person_id: str | None
    risk_profile_id: str | None
    team_id: str | None
    body_hash: str
    inserted_at: int
    updated_at: int


class VersionRow(Row, frozen=True, gc=False):
    """A version of an agent's code; `runtime_environment` is JSON."""

    id: str
    account_id: str
    agent_id: str
    external_identifier: str | None
    name: str | None
    description: str | None
    runtime_environment: str | None
    inserted_at: int
    updated_at: int


class SchemaVersionRow(Row, frozen=True, gc=False):
    """The span types and qualities that an agent declared; both are JSON arrays.

    `content_hash` is SHA-256 of both, with a newline between them. `registered_by` is the id of the
    token that registered the content first, and `environment_id` the environment that it was
    registered in.
    """

    id: str
    account_id: str
    agent_id: str
    external_identifier: str | None
    span_type_schemas: str
    quality_schemas: str
    content_hash: str
    registered_by: str | None
    environment_id: str | None
    inserted_at: int
    updated_at: int


def content_hash(span_type_schemas: str, quality_schemas: str) -> str:
    """Return the `content_hash` of a schema version; migrations compute it too."""
    return hashlib.sha256(f"{span_type_schemas}\n{quality_schemas}".encode()).hexdigest()


class DeploymentRow(Row, frozen=True, gc=False):
    """An agent in an environment."""

    id: str
    account_id: str
    agent_id: str
    environment_id: str
    current_version_id: str | None
    inserted_at: int
    updated_at: int


class TokenRow(Row, frozen=True, gc=False):
    """A token; `token_hash` is SHA-256 of the secret, which is not stored.

    `made_by` is the id of the token with which it was made over the API.
    """

    id: str
    account_id: str
    token_scope: str
    agent_id: str | None
    environment_id: str | None
    agent_deployment_id: str | None
    token_hash: bytes
    status: str
    expires_at: int | None
    inserted_at: int
    updated_at: int
    last_used_at: int | None = None
    made_by: str | None = None


class InstanceRow(Row, frozen=True, gc=False):
    """One run of an agent.

    `start_seen` says whether a start has arrived, because a finish may arrive first.
    `quality_payloads` is a JSON object by name. Since `erased_at`, payloads are not stored.
    `caused_by` is the trace id of the `traceparent` that its root span names.
    """

    id: str
    account_id: str
    agent_id: str
    agent_version_id: str
    agent_schema_version_id: str
    environment_id: str
    agent_deployment_id: str
    external_identifier: str | None
    purpose: str
    body_hash: str
    inserted_at: int
    status: str
    start_seen: int
    started_at: int | None
    finished_at: int | None
    termination_reason: str | None
    quality_payloads: str
    updated_at: int
    spans_pending: int = 0
    spans_active: int = 0
    spans_complete: int = 0
    spans_failed: int = 0
    spans_cancelled: int = 0
    erased_at: int | None = None
    caused_by: str | None = None


class SpanRow(Row, frozen=True, gc=False):
    """One step of a run; the payloads are JSON as received."""

    agent_instance_id: str
    id: str
    parent_span_id: str | None
    schema_name: str
    status: str
    created_status: str
    flags: int
    started_at: int | None
    finished_at: int | None
    inserted_at: int
    updated_at: int
    create_key: str | None
    finish_key: str | None
    payload: str
    result_payload: str | None


class KeyRow(Row, frozen=True, gc=False):
    """The first answer to an idempotency key: the answer itself, or the span.

    `request_hash` is the hash of the request; a request about a span is compared with the span.
    """

    account_id: str
    operation: str
    key: str
    agent_instance_id: str | None
    agent_span_id: str | None
    answer: bytes | None
    inserted_at: int
    request_hash: str | None = None


class SubjectRow(Row, frozen=True, gc=False):
    """A person whose data a run is about: SHA-256 of the name that the program uses."""

    agent_instance_id: str
    subject_hash: str


class ErasureRow(Row, frozen=True, gc=False):
    """An erasure of a run's payloads; `asked_for` is the run, agent or subject of the request."""

    id: str
    account_id: str
    agent_instance_id: str
    asked_for: str
    reason: str
    erased_by: str
    spans: int
    answers: int
    inserted_at: int
