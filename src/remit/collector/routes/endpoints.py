"""The endpoints: path, method, operation, and what each takes and answers on the wire.

The routes, the OpenAPI document and docs/reference/endpoints.md are made from this one table.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pydantic import BaseModel

from remit.collector.ingest.agents import AgentForUpdate
from remit.collector.models.account import (
    Account,
    AccountForUpdate,
    AdminUser,
    AdminUserInvite,
    AdminUserInviteForCreate,
    Environment,
    EnvironmentForCreate,
    EnvironmentForUpdate,
    RiskProfile,
)
from remit.collector.models.api_token import ApiToken, ApiTokenForCreate, CreatedTokenResponse
from remit.collector.models.deployment import (
    AgentDeployment,
    AgentDeploymentForCreate,
    AgentDeploymentForUpdate,
    AgentSchemaVersion,
    AgentSchemaVersionForCreate,
    AgentVersion,
    AgentVersionForCreate,
)
from remit.collector.models.service import (
    AgentContextResponse,
    AlertCountResponse,
    CreateTestSpansRequest,
    GeneratedPfids,
    GeneratePfidsRequest,
    OpenApiDocument,
    StepRequest,
    TestSpansResponse,
    TokenScopeDetails,
)
from remit.models.agent import Agent, AgentForCreate
from remit.models.agent_instance import (
    AgentInstance,
    FinishInstanceRequest,
    InstanceForUpdate,
    RecordQualityRequest,
    RegisterDeploymentInstanceRequest,
    RegisteredResponse,
    TerminateInstanceRequest,
    TimestampRequest,
)
from remit.models.agent_span import AgentSpan, CreateAgentSpanRequest, FinishAgentSpanRequest
from remit.models.bulk import BulkRequest, BulkResponse
from remit.models.risk import Risk

PREFIX: Final = "/api/v1"
BULK: Final = "bulk"
DOCUMENT: Final = "openapi"


class ServedEndpoint(NamedTuple):
    """One path and method.

    Attributes:
        method: HTTP method.
        path: Path after the prefix; `{id}` is the id of what it is about.
        operation: Name of the operation; the bulk request and the document are none.
        answers: What a success is about; a list if the operation can be sorted.
        takes: What the body says; None without a body.
        id_field: The operation's name of that id.
        wrapped: Whether the body's fields stand under `details`.
        bare: Whether `answers` is the whole answer, and not what its envelope holds.
    """

    method: str
    path: str
    operation: str
    answers: type[BaseModel]
    takes: type[BaseModel] | None = None
    id_field: str = ""
    wrapped: bool = False
    bare: bool = False


def _get(
    path: str,
    operation: str,
    answers: type[BaseModel],
    id_field: str = "",
    *,
    bare: bool = False,
) -> ServedEndpoint:
    return ServedEndpoint("GET", path, operation, answers, None, id_field, bare=bare)


def _post(
    path: str,
    operation: str,
    answers: type[BaseModel],
    takes: type[BaseModel] = StepRequest,
    id_field: str = "",
    *,
    bare: bool = False,
) -> ServedEndpoint:
    return ServedEndpoint("POST", path, operation, answers, takes, id_field, bare=bare)


def _wrapped(
    method: str,
    path: str,
    operation: str,
    answers: type[BaseModel],
    takes: type[BaseModel],
    id_field: str = "",
    *,
    bare: bool = False,
) -> ServedEndpoint:
    return ServedEndpoint(
        method, path, operation, answers, takes, id_field, wrapped=True, bare=bare
    )


def _delete(path: str, operation: str, answers: type[BaseModel], id_field: str) -> ServedEndpoint:
    return ServedEndpoint("DELETE", path, operation, answers, None, id_field)


_RUN: Final = "agent_instance_id"
_AGENT: Final = "agent_id"
_ACCOUNT: Final = "account_id"
_ENVIRONMENT: Final = "environment_id"
_DEPLOYMENT: Final = "agent_deployment_id"
_TOKEN: Final = "api_token_id"  # noqa: S105 - the name of a field

INSTANCES: Final = (
    _post(
        "/agent_instance/register",
        "agent_instances/register",
        RegisteredResponse,
        RegisterDeploymentInstanceRequest,
        bare=True,
    ),
    _get("/agent_instance", "agent_instances/list", AgentInstance),
    _get("/agent_instance/{id}", "agent_instances/show", AgentInstance, _RUN),
    _get("/agent_instance/{id}/risk", "agent_instances/risk", Risk, _RUN),
    _wrapped(
        "PUT",
        "/agent_instance/{id}",
        "agent_instances/update",
        AgentInstance,
        InstanceForUpdate,
        _RUN,
    ),
    _post(
        "/agent_instance/{id}/start",
        "agent_instances/start",
        AgentInstance,
        TimestampRequest,
        _RUN,
    ),
    _post(
        "/agent_instance/{id}/finish",
        "agent_instances/finish",
        AgentInstance,
        FinishInstanceRequest,
        _RUN,
    ),
    _post(
        "/agent_instance/{id}/terminate",
        "agent_instances/terminate",
        AgentInstance,
        TerminateInstanceRequest,
        _RUN,
    ),
    _post(
        "/agent_instance/{id}/record_quality",
        "agent_instances/record_quality",
        AgentInstance,
        RecordQualityRequest,
        _RUN,
    ),
    _wrapped(
        "POST",
        "/agent_instance/{id}/update",
        "agent_instances/update",
        AgentInstance,
        InstanceForUpdate,
        _RUN,
    ),
    _get(
        "/agent_instance/{id}/agent_context",
        "agent_instances/agent_context",
        AgentContextResponse,
        _RUN,
        bare=True,
    ),
)
SPANS: Final = (
    _get("/agent_spans", "agent_spans/list", AgentSpan),
    _wrapped("POST", "/agent_spans", "agent_spans/create", AgentSpan, CreateAgentSpanRequest),
    _post(
        "/agent_spans/create_test_spans",
        "agent_spans/create_test_spans",
        TestSpansResponse,
        CreateTestSpansRequest,
        bare=True,
    ),
    _post(
        "/agent_spans/{id}/finish",
        "agent_spans/finish",
        AgentSpan,
        FinishAgentSpanRequest,
        "agent_span_id",
    ),
)
AGENTS: Final = (
    _get("/agent", "agents/list", Agent),
    _wrapped("POST", "/agent", "agents/create", Agent, AgentForCreate),
    _get("/agent/show", "agents/show", Agent),
    _get("/agent/{id}", "agents/show", Agent, _AGENT),
    _get("/agent/{id}/risk", "agents/risk", Risk, _AGENT),
    _wrapped("PUT", "/agent/{id}", "agents/update", Agent, AgentForUpdate, _AGENT),
    _delete("/agent/{id}", "agents/delete", Agent, _AGENT),
    _post("/agent/{id}/retire", "agents/retire", Agent, StepRequest, _AGENT),
    _post("/agent/{id}/reinstate", "agents/reinstate", Agent, StepRequest, _AGENT),
)
VERSIONS: Final = (
    _get("/agent_version", "agent_versions/list", AgentVersion),
    _wrapped(
        "POST", "/agent_version", "agent_versions/create", AgentVersion, AgentVersionForCreate
    ),
    _get("/agent_version/{id}", "agent_versions/show", AgentVersion, "agent_version_id"),
    _get("/agent_schema_version", "agent_schema_versions/list", AgentSchemaVersion),
    _wrapped(
        "POST",
        "/agent_schema_version",
        "agent_schema_versions/create",
        AgentSchemaVersion,
        AgentSchemaVersionForCreate,
    ),
    _get(
        "/agent_schema_version/{id}",
        "agent_schema_versions/show",
        AgentSchemaVersion,
        "agent_schema_version_id",
    ),
)
PLACES: Final = (
    _get("/account", "accounts/list", Account),
    _get("/account/{id}", "accounts/show", Account, _ACCOUNT),
    _wrapped("PUT", "/account/{id}", "accounts/update", Account, AccountForUpdate, _ACCOUNT),
    _get("/environment", "environments/list", Environment),
    _wrapped("POST", "/environment", "environments/create", Environment, EnvironmentForCreate),
    _get("/environment/{id}", "environments/show", Environment, _ENVIRONMENT),
    _wrapped(
        "PUT",
        "/environment/{id}",
        "environments/update",
        Environment,
        EnvironmentForUpdate,
        _ENVIRONMENT,
    ),
    _delete("/environment/{id}", "environments/delete", Environment, _ENVIRONMENT),
    _get("/agent_deployment", "agent_deployments/list", AgentDeployment),
    _wrapped(
        "POST",
        "/agent_deployment",
        "agent_deployments/create",
        AgentDeployment,
        AgentDeploymentForCreate,
    ),
    _get("/agent_deployment/{id}", "agent_deployments/show", AgentDeployment, _DEPLOYMENT),
    _wrapped(
        "PUT",
        "/agent_deployment/{id}",
        "agent_deployments/update",
        AgentDeployment,
        AgentDeploymentForUpdate,
        _DEPLOYMENT,
    ),
    _delete("/agent_deployment/{id}", "agent_deployments/delete", AgentDeployment, _DEPLOYMENT),
)
TOKENS: Final = (
    _get("/api_token", "api_tokens/list", ApiToken),
    _wrapped(
        "POST",
        "/api_token",
        "api_tokens/create",
        CreatedTokenResponse,
        ApiTokenForCreate,
        bare=True,
    ),
    _get("/api_token/{id}", "api_tokens/show", ApiToken, _TOKEN),
    _post("/api_token/{id}/suspend", "api_tokens/suspend", ApiToken, StepRequest, _TOKEN),
    _post("/api_token/{id}/activate", "api_tokens/activate", ApiToken, StepRequest, _TOKEN),
    _post("/api_token/{id}/revoke", "api_tokens/revoke", ApiToken, StepRequest, _TOKEN),
    _delete("/api_token/{id}", "api_tokens/delete", ApiToken, _TOKEN),
)
PEOPLE: Final = (
    _get("/admin_user", "admin_users/list", AdminUser),
    _get("/admin_user/{id}", "admin_users/show", AdminUser, "admin_user_id"),
    _get("/admin_user_invite", "admin_user_invites/list", AdminUserInvite),
    _wrapped(
        "POST",
        "/admin_user_invite",
        "admin_user_invites/create",
        AdminUserInvite,
        AdminUserInviteForCreate,
    ),
    _get(
        "/admin_user_invite/{id}",
        "admin_user_invites/show",
        AdminUserInvite,
        "admin_user_invite_id",
    ),
    _post(
        "/admin_user_invite/{id}/revoke",
        "admin_user_invites/revoke",
        AdminUserInvite,
        StepRequest,
        "admin_user_invite_id",
    ),
    _get("/risk_profile", "risk_profiles/list", RiskProfile),
    _get("/risk_profile/{id}", "risk_profiles/show", RiskProfile, "risk_profile_id"),
    _get("/alerts/count", "alerts/count", AlertCountResponse, bare=True),
)
SERVICE: Final = (
    _get("/ping", "ping", TokenScopeDetails),
    _post("/pfid/generate", "pfids/generate", GeneratedPfids, GeneratePfidsRequest),
    _post("/bulk", BULK, BulkResponse, BulkRequest, bare=True),
    _get("/openapi", DOCUMENT, OpenApiDocument, bare=True),
    _get("/openapi.json", DOCUMENT, OpenApiDocument, bare=True),
)
ENDPOINTS: Final = (
    *SERVICE,
    *INSTANCES,
    *SPANS,
    *AGENTS,
    *VERSIONS,
    *PLACES,
    *TOKENS,
    *PEOPLE,
)
