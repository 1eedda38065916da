"""The rows of the tables; the order of the fields is that of the columns.

Rows are frozen: a change makes a new row. Times are microseconds since 1970 in UTC.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

SENSITIVE: Final = 1
"""Flag of a span: its payloads hold values in the `$sensitive` encoding."""
CREATED_BY_KEY: Final = 2
"""Flag of a span: the idempotency key of its creation was derived from its id."""
FINISHED_BY_KEY: Final = 4
"""Flag of a span: the idempotency key of its finish was derived from its id."""
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
DENIED: Final = 512
"""Flag of a span: the policy denied the step."""
REDACTED: Final = 1024
"""Flag of a span: a value in it was redacted."""
VIOLATION: Final = 2048
"""Flag of a span: the step violates the remit of its agent."""
LOST: Final = 4096
"""Flag of a span: it reports losses of its run."""
HOLE: Final = 8192
"""Flag of a run: its end says that more spans were recorded than are here."""
NO_REPR: Final = 16384
"""Flag of a span: a value was left out of it only because its class leaves it out of its repr."""
INVALID: Final = BAD_PAYLOAD | BAD_RESULT
UNCHECKED: Final = UNCHECKED_PAYLOAD | UNCHECKED_RESULT
FOUND: Final = INVALID | UNCHECKED | UNDECLARED | DENIED | REDACTED | VIOLATION | LOST | NO_REPR
"""The flags that the collector sets; the others come from the client."""
FINDINGS: Final = (BAD_PAYLOAD, DENIED, REDACTED, VIOLATION, LOST, HOLE)
"""The kinds of findings that have rows: `BAD_PAYLOAD` means payload or result."""
STATUSES: Final[tuple[str, ...]] = ("active", "cancelled", "complete", "failed", "pending")
"""Statuses of spans; the database has their places in this order, which is that of the words."""


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
    registered in. `registered_at` is when a process last sent it whole, which each does once.
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
    registered_at: int | None = None


def content_hash(span_type_schemas: str, quality_schemas: str) -> str:
    """Return the `content_hash` of a schema version."""
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

    `made_by` is the id of the token with which it was made over the API. `may` is what it may do,
    with commas between several permissions.
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
    name: str | None = None
    may: str = "write"


class SessionRow(Row, frozen=True, gc=False):
    """A session of a person at the page, or a code with which one begins.

    `kind` is `session` or `code`. `secret_hash` is SHA-256 of the secret, which is not stored.
    `token_id` is the token with which the session began; None if the operator began it.
    """

    id: str
    account_id: str
    kind: str
    token_id: str | None
    secret_hash: bytes
    inserted_at: int
    last_used_at: int
    expires_at: int


class RunRow(Row, frozen=True, gc=False):
    """One run of an agent.

    `start_seen` says whether a start has arrived, because a finish may arrive first.
    `quality_payloads` is a JSON object by name. Since `erased_at`, payloads are not stored.
    `caused_by` is the trace id of the `traceparent` of its root span. `flags` are those of
    its spans together, and `HOLE`; `denied` counts the denied spans, `handled` the
    failed ones whose parent is complete. The tokens are None if no span has any. `summary` is that
    of the root span. `terminated_by` is who terminated it. The failure is the one that ended the
    run, else the first: its time, step, class, place in the code, first line, a number that equal
    failures share, and the id of the span where it began. `conversation` is as the program said;
    `question` and `answer` are the first question and the answer, one line each. `asked` counts
    its questions to a person, `answered` their answers.

    The database sets the references.
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
    flags: int = 0
    denied: int = 0
    handled: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None
    model_usage: str | None = None
    summary: str | None = None
    terminated_by: str | None = None
    failure_us: int | None = None
    failure_step: str | None = None
    failure_type: str | None = None
    failure_place: str | None = None
    failure_text: str | None = None
    fingerprint: int | None = None
    failure_span: str | None = None
    conversation: str | None = None
    question: str | None = None
    answer: str | None = None
    asked: int = 0
    answered: int = 0
    ref: int = 0
    place_ref: int = 0
    account_ref: int = 0
    agent_ref: int = 0
    environment_ref: int = 0


class RunWithAgent(RunRow, frozen=True, gc=False):
    """A run in a list, without its quality payloads, and with the names of its agent.

    `recorded` is the number of spans that its end says were recorded, None unless fewer are here.
    """

    agent_name: str = ""
    agent_identifier: str | None = None
    recorded: int | None = None


def all_spans(flags: int, recorded: int) -> int:
    """Return how many spans a run has in all, if its end says that *recorded* were recorded.

    The end of a run does not count the span that reports its losses.
    """
    return recorded + bool(flags & LOST)


class SpanRow(Row, frozen=True, gc=False):
    """One step of a run; the payloads are JSON as received.

    `summary` is what the template of its type made when it ended. The database sets `ref`.
    """

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
    payload: str
    result_payload: str | None
    summary: str | None = None
    run_ref: int = 0
    type_ref: int = 0
    ref: int = 0


class TypeRow(Row, frozen=True, gc=False):
    """A type of spans as an agent declared it; `data_risk` is JSON.

    `hash` is that of the declaration, empty for a type that was not declared.
    """

    agent_ref: int
    name: str
    title: str
    data_risk: str | None
    hash: str


class FindingRow(Row, frozen=True, gc=False):
    """A finding of a span; `kind` is its flag, `number` counts those of one kind.

    A `HOLE` is a finding of the root span; `number` says how many spans the run recorded. The
    fields from `part` on are those of a violation; `limit_word` and `limit_number` are its `limit`
    and `number`.
    """

    kind: int
    started_at: int
    run_ref: int
    span_id: str
    number: int
    agent_ref: int
    environment_ref: int
    sentence: str | None
    part: str | None = None
    name: str | None = None
    word: str | None = None
    agent: str | None = None
    limit_word: str | None = None
    limit_number: int | None = None
    hold: str | None = None


class KeyRow(Row, frozen=True, gc=False):
    """The first response to an idempotency key: the response itself, or the span.

    `request_hash` is the hash of the request; a request about a span is compared with the span.
    """

    account_id: str
    operation: str
    key: str
    agent_instance_id: str | None
    agent_span_id: str | None
    response: bytes | None
    inserted_at: int
    request_hash: str | None = None


class HoldRow(Row, frozen=True, gc=False):
    """A hold: actions that are denied from `inserted_at` on, until `ends_at` or `lifted_at`.

    `actions` and `agent_ids` are lists with commas between their items; without agents the hold is
    about all.
    """

    id: str
    account_id: str
    actions: str
    agent_ids: str
    declared_only: int
    reason: str
    held_by: str
    inserted_at: int
    ends_at: int | None = None
    lifted_at: int | None = None
    lifted_by: str | None = None

    def is_in_force(self, now_us: int) -> bool:
        """Return whether it denies steps now."""
        return self.lifted_at is None and (self.ends_at is None or self.ends_at > now_us)


class HoldProcessRow(Row, frozen=True, gc=False):
    """A process that knows the holds of an account.

    Attributes:
        id: Made by the process.
        agents: Identifiers of its agents, with commas between them.
        number: Number of the holds that it knows.
        known_at: When it first said that it knows them.
        seen_at: When it last said so, to half a minute.
    """

    account_id: str
    id: str
    host: str
    agents: str
    number: int
    known_at: int
    seen_at: int


class ErasureRow(Row, frozen=True, gc=False):
    """An erasure of a run's payloads; `asked_for` is the run, agent or subject of the request."""

    id: str
    account_id: str
    agent_instance_id: str
    asked_for: str
    reason: str
    erased_by: str
    spans: int
    responses: int
    inserted_at: int


class AskRow(Row, frozen=True, gc=False):
    """A request for a person's approval.

    `run` is the key of the run, which may be registered later. `words`, `arguments`, `hidden`,
    `unbound` and `changed` are JSON. `asked_by` is the id of the program's token. The answer is
    the first one; `why` and `answered_at` may also be those of a withdrawal.
    """

    id: str
    account_id: str
    agent_id: str | None
    environment_id: str | None
    agent: str
    run: str
    ticket: str
    step: str
    words: str
    arguments: str
    hidden: str
    unbound: str
    changed: str
    seal: str | None
    after: str | None
    body_hash: str
    asked_by: str | None
    asked_at: int
    expires_at: int
    status: str
    answered_by: str | None = None
    answered_how: str | None = None
    why: str | None = None
    answered_at: int | None = None


class LateAnswerRow(Row, frozen=True, gc=False):
    """An answer that came after the first one, or too late."""

    id: str
    account_id: str
    ask_id: str
    answer: str
    answered_by: str
    answered_how: str
    why: str | None
    answered_at: int


class SealRow(Row, frozen=True, gc=False):
    """A used seal; `nonce` is random text of the use."""

    account_id: str
    seal: str
    nonce: str
    used_at: int
