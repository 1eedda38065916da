"""A request to every endpoint, and the things that these requests are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from tests.collecting import NOBODY, Json
from tests.golden.recorder import Call

CHOSEN: Final = "013xrzp12g3nqk8n00000000000000a1"
OTHER_CHOSEN: Final = "013xrzp12g3nqk8n00000000000000a2"
"""Ids that a client chooses."""
EARLY: Final = "2025-12-31T10:00:00.123456Z"
LATE: Final = "2025-12-31T11:30:00+01:00"
"""Times that a client sends."""
TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
"""A trace that caused a run."""

VERSION: Final[dict[str, Json]] = {
    "external_identifier": "v1",
    "name": "Desk 1",
    "description": "The first.",
}
RISK: Final[dict[str, Json]] = {
    "action_profile": {"read_data": "allowed", "destroy_data": "disallowed"},
    "params_data_categories": {
        "contact_information": "included",
        "health_and_medical": "excluded",
        "classification": "internal",
    },
    "result_data_categories": {
        "personal_identifiers": "included",
        "health_and_medical": "excluded",
        "classification": "confidential",
    },
}
SCHEMA: Final[dict[str, Json]] = {
    "external_identifier": "s1",
    "span_type_schemas": [
        {
            "name": "desk:answer",
            "title": "Answer",
            "description": "Answers a question.",
            "params_schema": {
                "type": "object",
                "properties": {"question": {"type": "string"}},
                "required": ["question"],
            },
            "result_schema": {"type": "object", "properties": {"answer": {"type": "string"}}},
            "template": "{{ question }} -> {{ answer | default: 'none' }}",
            "data_risk": RISK,
        },
        {"name": "desk:plain", "params_schema": {}},
    ],
    "quality_schemas": [
        {
            "name": "review",
            "title": "Review",
            "schema": {"type": "object", "properties": {"score": {"type": "integer"}}},
            "template": "{{ score }} of 5",
        }
    ],
}


def registration(agent: str = "<agent 1>", **more: Json) -> dict[str, Json]:
    """Return the body of a registration; without an agent the token has to name it."""
    named = {"agent_id": agent} if agent else {}
    schema = {"external_identifier": "s0", "span_schemas": {}}
    return {"agent_version": {}, "agent_schema_version": schema, **named, **more}


def details(**fields: Json) -> dict[str, Json]:
    """Return a body whose fields are under `details`."""
    return {"details": fields}


def span(run: str = "<agent_instance 1>", **more: Json) -> dict[str, Json]:
    """Return the fields of a new span."""
    return {
        "agent_instance_id": run,
        "schema_name": "desk:answer",
        "status": "active",
        "payload": {"question": "why"},
        **more,
    }


def keyed(body: dict[str, Json], key: Json) -> dict[str, Json]:
    """Return a body with an idempotency key."""
    return {**body, "idempotency_key": key}


def bulk(*items: dict[str, Json], key: str = "item") -> dict[str, Json]:
    """Return the body of a bulk request; an item without a key gets *key* and its number."""
    return {
        "items": [
            {"idempotency_key": f"{key}-{number:04}", **item} for number, item in enumerate(items)
        ]
    }


@dataclass(frozen=True)
class Row:
    """One endpoint with a request that an account's token may make after `THINGS`.

    Attributes:
        request: Method, path and query.
        operation: Name of the operation in a bulk request; empty if it is none.
        target: Field of the operation that holds the id in the path.
        fields: Fields of the body, or of the query as the operation takes them.
        wrapped: Whether the fields are under `details`.
    """

    request: str
    operation: str = ""
    target: str = ""
    fields: Mapping[str, Json] | None = None
    wrapped: bool = False

    def call(self, name: str, token: str = "account") -> Call:
        """Return the request as a call."""
        body: Json = None
        if not self.request.startswith("GET") and self.fields is not None:
            body = {"details": dict(self.fields)} if self.wrapped else dict(self.fields)
        return Call(name, self.request, body, token)

    def item(self, *, wrapped: bool) -> dict[str, Json]:
        """Return the request as an item of a bulk request."""
        fields: dict[str, Json] = dict(self.fields or {})
        if self.target:
            path = self.request.partition(" ")[2].partition("?")[0]
            fields[self.target] = path.split("/")[2]
        inner = {"details": fields} if wrapped else fields
        return {"_type": self.operation, **inner}


def as_column(rows: Sequence[Row], token: str) -> list[Call]:
    """Return the requests of *rows* with one token."""
    return [row.call(row.request, token) for row in rows]


THINGS: Final = [
    Call(
        "a run",
        "POST /agent_instance/register",
        registration(
            agent_version=VERSION,
            agent_schema_version=SCHEMA,
            external_identifier="run-1",
            environment_id="<environment 1>",
        ),
    ),
    Call("its start", "POST /agent_instance/<agent_instance 1>/start", {}),
    Call("a run to start", "POST /agent_instance/register", registration()),
    Call("a run to finish", "POST /agent_instance/register", registration()),
    Call("a run to terminate", "POST /agent_instance/register", registration()),
    Call("the start of that", "POST /agent_instance/<agent_instance 4>/start", {}),
    Call("a span", "POST /agent_spans", details(**span())),
    Call(
        "its root span",
        "POST /agent_spans",
        details(**span(schema_name="remit:run", payload={"conversation": "thread-9"})),
    ),
    Call(
        "a question to a person",
        "POST /agent_spans",
        details(**span(schema_name="remit:asked", status="complete", payload={"ticket": "1"})),
    ),
    Call("a schema version", "GET /agent_schema_version"),
    Call(
        "an agent to delete",
        "POST /agent",
        details(name="Unused", external_identifier="unused"),
    ),
    Call("an agent to retire", "POST /agent", details(name="Spare", external_identifier="spare")),
    Call("an environment", "POST /environment", details(name="staging")),
    Call("an environment to delete", "POST /environment", details(name="unused")),
    Call(
        "a deployment",
        "POST /agent_deployment",
        details(agent_id="<agent 1>", environment_id="<environment 3>"),
    ),
    Call("a token", "POST /api_token", details(token_scope="account")),
    Call(
        "a deployment's token",
        "POST /api_token",
        details(
            token_scope="agent_deployment",
            agent_id="<agent 1>",
            environment_id="<environment 1>",
        ),
    ),
    Call(
        "another agent's token",
        "POST /api_token",
        details(token_scope="agent_deployment", agent_id="<agent 4>"),
    ),
]
"""Makes one of everything, and what the rows change, retire and delete."""

_RUN: Final = "agent_instance_id"
_AGENT: Final = "agent_id"
_wrapped: Final = partial(Row, wrapped=True)

ROWS: Final = [
    Row("GET /ping", "ping"),
    Row("POST /pfid/generate", "pfids/generate", fields={"count": 2}),
    Row(
        "POST /bulk",
        fields=bulk({"_type": "agent_instances/show", "agent_instance_id": "<agent_instance 1>"}),
    ),
    Row("POST /agent_instance/register", "agent_instances/register", fields=registration()),
    Row(
        "GET /agent_instance?agent_id=<agent 1>",
        "agent_instances/list",
        fields={"agent_id": "<agent 1>"},
    ),
    Row("GET /agent_instance/<agent_instance 1>", "agent_instances/show", _RUN),
    Row("GET /agent_instance/<agent_instance 1>/risk", "agent_instances/risk", _RUN),
    Row(
        "GET /agent_instance/<agent_instance 1>/agent_context",
        "agent_instances/agent_context",
        _RUN,
    ),
    _wrapped(
        "PUT /agent_instance/<agent_instance 1>",
        "agent_instances/update",
        _RUN,
        {"quality_payload": {"score": 1}},
    ),
    _wrapped(
        "POST /agent_instance/<agent_instance 1>/update",
        "agent_instances/update",
        _RUN,
        {"quality_payload": {"score": 2}},
    ),
    Row("POST /agent_instance/<agent_instance 2>/start", "agent_instances/start", _RUN, {}),
    Row(
        "POST /agent_instance/<agent_instance 3>/finish",
        "agent_instances/finish",
        _RUN,
        {"status": "failed"},
    ),
    Row(
        "POST /agent_instance/<agent_instance 4>/terminate",
        "agent_instances/terminate",
        _RUN,
        {"reason": "enough"},
    ),
    Row(
        "POST /agent_instance/<agent_instance 1>/record_quality",
        "agent_instances/record_quality",
        _RUN,
        {"name": "review", "payload": {"score": 3}},
    ),
    Row(
        "GET /agent_spans?agent_instance_id=<agent_instance 1>",
        "agent_spans/list",
        fields={"agent_instance_id": "<agent_instance 1>"},
    ),
    Row("GET /agent_spans/<agent_span 1>", "agent_spans/show", "agent_span_id"),
    _wrapped("POST /agent_spans", "agent_spans/create", fields=span()),
    Row(
        "POST /agent_spans/create_test_spans",
        "agent_spans/create_test_spans",
        fields={"agent_instance_id": "<agent_instance 1>", "count": 3},
    ),
    Row(
        "POST /agent_spans/<agent_span 1>/finish",
        "agent_spans/finish",
        "agent_span_id",
        {"result_payload": {"answer": "because"}},
    ),
    Row("GET /agent", "agents/list"),
    _wrapped("POST /agent", "agents/create", fields={"name": "New"}),
    Row("GET /agent/show?agent_id=<agent 1>", "agents/show", fields={"agent_id": "<agent 1>"}),
    Row("GET /agent/<agent 1>", "agents/show", _AGENT),
    Row("GET /agent/<agent 1>/risk", "agents/risk", _AGENT),
    _wrapped("PUT /agent/<agent 4>", "agents/update", _AGENT, {"name": "Renamed"}),
    Row("POST /agent/<agent 4>/retire", "agents/retire", _AGENT),
    Row("POST /agent/<agent 4>/reinstate", "agents/reinstate", _AGENT),
    Row("DELETE /agent/<agent 3>", "agents/delete", _AGENT),
    Row("GET /agent_version", "agent_versions/list"),
    _wrapped(
        "POST /agent_version",
        "agent_versions/create",
        fields={"agent_id": "<agent 1>", "external_identifier": "v2"},
    ),
    Row("GET /agent_version/<agent_version 1>", "agent_versions/show", "agent_version_id"),
    Row("GET /agent_schema_version", "agent_schema_versions/list"),
    _wrapped(
        "POST /agent_schema_version",
        "agent_schema_versions/create",
        fields={"agent_id": "<agent 1>", "span_schemas": {"desk:old": {"type": "object"}}},
    ),
    Row(
        "GET /agent_schema_version/<agent_schema_version 1>",
        "agent_schema_versions/show",
        "agent_schema_version_id",
    ),
    Row("GET /account", "accounts/list"),
    Row("GET /account/<account 1>", "accounts/show", "account_id"),
    _wrapped("PUT /account/<account 1>", "accounts/update", "account_id", {"name": "Renamed"}),
    Row("GET /environment", "environments/list"),
    _wrapped("POST /environment", "environments/create", fields={"name": "New"}),
    Row("GET /environment/<environment 3>", "environments/show", "environment_id"),
    _wrapped(
        "PUT /environment/<environment 3>",
        "environments/update",
        "environment_id",
        {"name": "Renamed"},
    ),
    Row("DELETE /environment/<environment 4>", "environments/delete", "environment_id"),
    Row("GET /agent_deployment", "agent_deployments/list"),
    _wrapped(
        "POST /agent_deployment",
        "agent_deployments/create",
        fields={"agent_id": "<agent 4>", "environment_id": "<environment 3>"},
    ),
    Row(
        "GET /agent_deployment/<agent_deployment 1>",
        "agent_deployments/show",
        "agent_deployment_id",
    ),
    _wrapped(
        "PUT /agent_deployment/<agent_deployment 2>",
        "agent_deployments/update",
        "agent_deployment_id",
        {"current_version_id": "<agent_version 1>"},
    ),
    Row(
        "DELETE /agent_deployment/<agent_deployment 2>",
        "agent_deployments/delete",
        "agent_deployment_id",
    ),
    Row("GET /api_token", "api_tokens/list"),
    _wrapped("POST /api_token", "api_tokens/create", fields={"token_scope": "account"}),
    Row("GET /api_token/<api_token 3>", "api_tokens/show", "api_token_id"),
    Row("POST /api_token/<api_token 3>/suspend", "api_tokens/suspend", "api_token_id", {}),
    Row("POST /api_token/<api_token 3>/activate", "api_tokens/activate", "api_token_id", {}),
    Row("POST /api_token/<api_token 3>/revoke", "api_tokens/revoke", "api_token_id", {}),
    Row("DELETE /api_token/<api_token 3>", "api_tokens/delete", "api_token_id"),
    Row("GET /admin_user", "admin_users/list"),
    Row(f"GET /admin_user/{NOBODY}", "admin_users/show", "admin_user_id"),
    Row("GET /admin_user_invite", "admin_user_invites/list"),
    _wrapped(
        "POST /admin_user_invite", "admin_user_invites/create", fields={"email": "a@example.org"}
    ),
    Row(f"GET /admin_user_invite/{NOBODY}", "admin_user_invites/show", "admin_user_invite_id"),
    Row(
        f"POST /admin_user_invite/{NOBODY}/revoke",
        "admin_user_invites/revoke",
        "admin_user_invite_id",
        {},
    ),
    Row("GET /risk_profile", "risk_profiles/list"),
    Row(f"GET /risk_profile/{NOBODY}", "risk_profiles/show", "risk_profile_id"),
    Row("GET /alerts/count", "alerts/count"),
    Row("GET //api/remit/v1/runs?agent_id=<agent 1>&total=true&limit=2"),
    Row("GET //api/remit/v1/spans?run_id=<agent_instance 1>&payloads=true"),
    Row("GET //api/remit/v1/counts?agent_id=<agent 1>&by=type"),
    Row("GET //api/remit/v1/changes?run_id=<agent_instance 1>&after=0-0"),
    Row("GET //api/remit/v1/costs?agent_id=<agent 1>&by=model"),
    Row("GET //api/remit/v1/collisions?agent_id=<agent 1>"),
    Row(
        "POST //api/remit/v1/agents/identify",
        fields={"external_identifier": "shop/unknown", "agent_schema_version": {}},
    ),
    Row("GET //api/remit/v1/waiting?agent_id=<agent 1>&conversation=thread-9"),
    Row("GET //api/remit/v1/redacted?agent_id=<agent 1>"),
    Row("GET //api/remit/v1/erasures?run_id=<agent_instance 1>"),
    Row(
        "POST //api/remit/v1/erasures",
        fields={"run_id": "<agent_instance 1>", "reason": "a request"},
    ),
    Row(
        "POST //api/remit/v1/asks",
        fields={
            "run": "asking",
            "ticket": "ticket-1",
            "agent": "desk",
            "step": "desk:answer",
            "words": ["financial_transactions"],
            "arguments": {"order": "1021", "amount": 12.5},
            "time_limit_s": 120,
        },
    ),
    Row("GET //api/remit/v1/asks?status=waiting&limit=2"),
    Row(f"GET //api/remit/v1/asks/{NOBODY}"),
    Row(f"GET //api/remit/v1/asks/{NOBODY}/answer?wait_s=0"),
    Row(f"POST //api/remit/v1/asks/{NOBODY}/answer", fields={"answer": "approved"}),
    Row(f"POST //api/remit/v1/asks/{NOBODY}/withdraw", fields={}),
    Row("POST //api/remit/v1/seals", fields={"seal": "seal-1", "use": "nonce-1"}),
    Row("GET //api/remit/v1/holds?counts=true"),
    Row(
        "POST //api/remit/v1/holds",
        fields={
            "actions": ["external_communication"],
            "reason": "wrong prices",
            "until": "2100-01-01T00:00:00Z",
        },
    ),
    Row(f"POST //api/remit/v1/holds/{NOBODY}/lift", fields={}),
    Row(
        "POST //api/remit/v1/holds/known",
        fields={"process": "p1", "host": "mail-2", "agents": ["shop:desk"], "number": 1},
    ),
]
"""Every endpoint but the OpenAPI document, which is recorded apart."""
DOCUMENTS: Final = ("GET /openapi", "GET /openapi.json")
NEVER_DONE: Final = (
    "GET /admin_user/{id}",
    "POST /admin_user_invite",
    "GET /admin_user_invite/{id}",
    "POST /admin_user_invite/{id}/revoke",
    "GET /risk_profile/{id}",
    "POST /api/remit/v1/erasures",
    "GET /api/remit/v1/asks/{id}",
    "GET /api/remit/v1/asks/{id}/answer",
    "POST /api/remit/v1/asks/{id}/answer",
    "POST /api/remit/v1/asks/{id}/withdraw",
    "POST /api/remit/v1/holds/{id}/lift",
)
"""Endpoints of things that a collector has none of, and one that the tokens here may not use."""
COLUMNS: Final = {
    "none": "none",
    "unknown": "remit_unknown",
    "other_account": "other",
    "deployment": "<secret 2>",
    "deployment_of_another_agent": "<secret 3>",
}
"""The tokens that are tried on every endpoint."""

READS: Final = [row for row in ROWS if row.request.startswith("GET")]
OF_A_DEPLOYMENT: Final = [
    row
    for row in ROWS
    if row.operation in {"ping", "pfids/generate", "agents/show", "agents/risk", ""}
    or row.operation.startswith(("agent_instances/", "agent_spans/"))
]
"""The endpoints that a deployment's token may use."""
