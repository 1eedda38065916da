"""The table of endpoints: path, method, operation, handler, and the models of both directions.

Dispatch, bulk items, the OpenAPI document and docs/reference/endpoints.md use this one table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeAlias

from pydantic import BaseModel

from remit.collector import views
from remit.collector.ingest import (
    agents,
    places,
    risk,
    runs,
    service_operations,
    span_operations,
    tokens,
    versions,
)
from remit.collector.ingest.agents import AgentForUpdate
from remit.collector.ingest.context import Context
from remit.collector.ingest.params import ListQuery, Query, Values
from remit.collector.ingest.spans import CREATE, FINISH
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
from remit.collector.refusals import RequestError
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
ON_RUNS: Final = "agent_instances/"
"""Start of the names of the operations on runs."""
REGISTER: Final = ON_RUNS + "register"
_ID: Final = "{id}"
_ID_PART: Final = 2


class Endpoint(NamedTuple):
    """One path and method.

    Attributes:
        method: HTTP method.
        path: Path after the prefix; `{id}` is the id of the thing.
        operation: Name of the operation in a bulk item; bulk and the document are none.
        perform: Carries it out. Takes the context, the id unless the model has a field for it, the
            model if there is one, and the fields as they came where `with_fields` says so. Returns
            encoded bytes, or what `view` takes.
        answers: Model of a success; of one item, if it is a list.
        view: Makes the answer out of the result; takes the context and the result.
        body: Model of the body on the wire; None without a body.
        query: Model of the query.
        id_field: The operation's name of the id.
        wrapped: Whether the body's fields are under `details`.
        bare: Whether `answers` is the whole answer, and not what its envelope holds.
        writes: Whether it needs the write lock.
        account: Whether it needs an account's token.
        again: Reads the thing as it is now, for a repeated request; takes the context, its id, and
            the other arguments of `perform`. None if the answer never changes and is stored.
        compared: The fields that tell a request from another one with the same key.
        with_fields: Whether `perform` also takes the fields as they came.
        minimal: Makes the answer to a request with `Prefer: return=minimal` out of the result.
    """

    method: str
    path: str
    operation: str
    perform: Callable[..., Any]
    answers: type[BaseModel]
    view: Callable[[Context, Any], object]
    body: type[BaseModel] | None = None
    query: type[Query] | None = None
    id_field: str = ""
    wrapped: bool = False
    bare: bool = False
    writes: bool = False
    account: bool = True
    again: Callable[..., Any] | None = None
    compared: Callable[[Values], Values] = dict
    with_fields: bool = False
    minimal: Callable[[Any], object] | None = None

    @property
    def model(self) -> type[BaseModel] | None:
        """The model that `perform` takes."""
        return self.query or (None if self.body is StepRequest else self.body)

    @property
    def sortable(self) -> tuple[str, ...]:
        """For a list: the fields that it can be sorted by."""
        query = self.query
        return query.sortable if query is not None and issubclass(query, ListQuery) else ()

    @property
    def on_spans(self) -> bool:
        """Whether it is a step on one span, which a span batch carries out."""
        return self.operation in {CREATE, FINISH}

    @property
    def on_run(self) -> bool:
        """Whether its idempotency key belongs to a run, and is deleted with it."""
        return self.operation.startswith(ON_RUNS) or self.answers is TestSpansResponse


Perform: TypeAlias = Callable[..., Any]
View: TypeAlias = Callable[[Any], object]
Model: TypeAlias = type[BaseModel]
Fields: TypeAlias = dict[str, Any]


def _plain(ctx: Context, result: object) -> object:
    del ctx
    return result


def _row(view: View) -> Callable[[Context, Any], object]:
    """Return *view*, which takes a row alone, as one that takes the context too."""
    return lambda _, row: view(row)


def _answered_apart(*_: object) -> None:
    """Bulk and the document are answered by `dispatch` itself."""


def _get(
    path: str,
    operation: str,
    perform: Perform,
    answers: Model,
    **more: Any,  # noqa: ANN401 - fields of `Endpoint`
) -> Endpoint:
    return Endpoint("GET", path, operation, perform, answers, **{"view": _plain, **more})


def _write(
    method: str,
    path: str,
    operation: str,
    perform: Perform,
    answers: Model,
    **more: Any,  # noqa: ANN401 - as above
) -> Endpoint:
    return Endpoint(method, path, operation, perform, answers, writes=True, **more)


_RUN: Final[Fields] = {"view": runs.view, "id_field": "agent_instance_id", "account": False}
_RUN_STEP: Final[Fields] = {**_RUN, "again": runs.find, "minimal": runs.minimal_view}
_AGENT: Final[Fields] = {"view": agents.view, "id_field": "agent_id", "again": agents.find}
_ACCOUNT: Final[Fields] = {"view": _row(views.account_view), "id_field": "account_id"}
_ENVIRONMENT: Final[Fields] = {
    "view": _row(views.environment_view),
    "id_field": "environment_id",
}
_DEPLOYMENT: Final[Fields] = {
    "view": _row(views.deployment_view),
    "id_field": "agent_deployment_id",
}
_TOKEN: Final[Fields] = {"view": _row(views.token_view), "id_field": "api_token_id"}

SERVICE: Final = (
    _get("/ping", "ping", service_operations.ping, TokenScopeDetails, account=False),
    _write(
        "POST",
        "/pfid/generate",
        "pfids/generate",
        service_operations.generate_pfids,
        GeneratedPfids,
        view=_row(lambda ids: {"pfids": ids.pfids}),
        body=GeneratePfidsRequest,
        account=False,
    ),
    _write(
        "POST",
        "/bulk",
        BULK,
        _answered_apart,
        BulkResponse,
        view=_plain,
        body=BulkRequest,
        bare=True,
    ),
    _get("/openapi", DOCUMENT, _answered_apart, OpenApiDocument, bare=True),
    _get("/openapi.json", DOCUMENT, _answered_apart, OpenApiDocument, bare=True),
)
RUNS: Final = (
    _write(
        "POST",
        "/agent_instance/register",
        REGISTER,
        runs.register,
        RegisteredResponse,
        view=runs.registered_view,
        body=RegisterDeploymentInstanceRequest,
        bare=True,
        account=False,
        again=runs.registered_again,
        compared=runs.identity,
        with_fields=True,
        minimal=runs.minimal_registered_view,
    ),
    _get(
        "/agent_instance",
        "agent_instances/list",
        runs.list_runs,
        AgentInstance,
        query=runs.RunQuery,
        account=False,
    ),
    _get(
        "/agent_instance/{id}",
        "agent_instances/show",
        runs.find,
        AgentInstance,
        **{**_RUN, "view": runs.shown},
    ),
    _get(
        "/agent_instance/{id}/risk",
        "agent_instances/risk",
        risk.of_instance,
        Risk,
        **{**_RUN, "view": _plain},
    ),
    _write(
        "PUT",
        "/agent_instance/{id}",
        "agent_instances/update",
        runs.update,
        AgentInstance,
        body=InstanceForUpdate,
        wrapped=True,
        **_RUN_STEP,
    ),
    _write(
        "POST",
        "/agent_instance/{id}/start",
        "agent_instances/start",
        runs.start,
        AgentInstance,
        body=TimestampRequest,
        **_RUN_STEP,
    ),
    _write(
        "POST",
        "/agent_instance/{id}/finish",
        "agent_instances/finish",
        runs.finish,
        AgentInstance,
        body=FinishInstanceRequest,
        **_RUN_STEP,
    ),
    _write(
        "POST",
        "/agent_instance/{id}/terminate",
        "agent_instances/terminate",
        runs.terminate,
        AgentInstance,
        body=TerminateInstanceRequest,
        **_RUN_STEP,
    ),
    _write(
        "POST",
        "/agent_instance/{id}/record_quality",
        "agent_instances/record_quality",
        runs.record_quality,
        AgentInstance,
        body=RecordQualityRequest,
        **_RUN_STEP,
    ),
    _write(
        "POST",
        "/agent_instance/{id}/update",
        "agent_instances/update",
        runs.update,
        AgentInstance,
        body=InstanceForUpdate,
        wrapped=True,
        **_RUN_STEP,
    ),
    _get(
        "/agent_instance/{id}/agent_context",
        "agent_instances/agent_context",
        risk.agent_context,
        AgentContextResponse,
        bare=True,
        **{**_RUN, "view": _plain},
    ),
)
SPANS: Final = (
    _get(
        "/agent_spans",
        "agent_spans/list",
        span_operations.list_spans,
        AgentSpan,
        query=span_operations.SpanQuery,
        account=False,
    ),
    _write(
        "POST",
        "/agent_spans",
        CREATE,
        span_operations.create,
        AgentSpan,
        view=_plain,
        body=CreateAgentSpanRequest,
        wrapped=True,
        account=False,
    ),
    _write(
        "POST",
        "/agent_spans/create_test_spans",
        "agent_spans/create_test_spans",
        span_operations.create_test_spans,
        TestSpansResponse,
        view=_row(span_operations.test_spans_view),
        body=CreateTestSpansRequest,
        bare=True,
        account=False,
    ),
    _write(
        "POST",
        "/agent_spans/{id}/finish",
        FINISH,
        span_operations.finish,
        AgentSpan,
        view=_plain,
        body=FinishAgentSpanRequest,
        id_field="agent_span_id",
        account=False,
    ),
)
AGENTS: Final = (
    _get("/agent", "agents/list", agents.list_agents, Agent, query=agents.AgentListQuery),
    _write(
        "POST",
        "/agent",
        "agents/create",
        agents.create,
        Agent,
        view=agents.view,
        body=AgentForCreate,
        wrapped=True,
        again=agents.find,
        with_fields=True,
    ),
    _get("/agent/show", "agents/show", agents.show, Agent, query=agents.AgentQuery, account=False),
    _get(
        "/agent/{id}",
        "agents/show",
        agents.show,
        Agent,
        query=agents.AgentQuery,
        id_field="agent_id",
        account=False,
    ),
    _get(
        "/agent/{id}/risk",
        "agents/risk",
        risk.of_agent,
        Risk,
        query=risk.RiskQuery,
        id_field="agent_id",
        account=False,
    ),
    _write(
        "PUT",
        "/agent/{id}",
        "agents/update",
        agents.update,
        Agent,
        body=AgentForUpdate,
        wrapped=True,
        **_AGENT,
    ),
    _write(
        "DELETE", "/agent/{id}", "agents/delete", agents.delete, Agent, **{**_AGENT, "again": None}
    ),
    _write(
        "POST",
        "/agent/{id}/retire",
        "agents/retire",
        agents.retire,
        Agent,
        body=StepRequest,
        **_AGENT,
    ),
    _write(
        "POST",
        "/agent/{id}/reinstate",
        "agents/reinstate",
        agents.reinstate,
        Agent,
        body=StepRequest,
        **_AGENT,
    ),
)
VERSIONS: Final = (
    _get(
        "/agent_version",
        "agent_versions/list",
        versions.list_versions,
        AgentVersion,
        query=versions.VersionQuery,
    ),
    _write(
        "POST",
        "/agent_version",
        "agent_versions/create",
        versions.create_version,
        AgentVersion,
        view=_row(views.version_view),
        body=AgentVersionForCreate,
        wrapped=True,
        again=versions.find_version,
    ),
    _get(
        "/agent_version/{id}",
        "agent_versions/show",
        versions.find_version,
        AgentVersion,
        view=_row(views.version_view),
        id_field="agent_version_id",
    ),
    _get(
        "/agent_schema_version",
        "agent_schema_versions/list",
        versions.list_schema_versions,
        AgentSchemaVersion,
        query=versions.VersionQuery,
    ),
    _write(
        "POST",
        "/agent_schema_version",
        "agent_schema_versions/create",
        versions.create_schema_version,
        AgentSchemaVersion,
        view=_row(views.schema_view),
        body=AgentSchemaVersionForCreate,
        wrapped=True,
        again=versions.find_schema_version,
    ),
    _get(
        "/agent_schema_version/{id}",
        "agent_schema_versions/show",
        versions.find_schema_version,
        AgentSchemaVersion,
        view=_row(views.schema_view),
        id_field="agent_schema_version_id",
    ),
)
PLACES: Final = (
    _get("/account", "accounts/list", places.list_accounts, Account, query=places.AccountQuery),
    _get("/account/{id}", "accounts/show", places.find_account, Account, **_ACCOUNT),
    _write(
        "PUT",
        "/account/{id}",
        "accounts/update",
        places.update_account,
        Account,
        body=AccountForUpdate,
        wrapped=True,
        again=places.find_account,
        **_ACCOUNT,
    ),
    _get(
        "/environment",
        "environments/list",
        places.list_environments,
        Environment,
        query=places.EnvironmentQuery,
    ),
    _write(
        "POST",
        "/environment",
        "environments/create",
        places.create_environment,
        Environment,
        view=_row(views.environment_view),
        body=EnvironmentForCreate,
        wrapped=True,
        again=places.find_environment,
    ),
    _get(
        "/environment/{id}",
        "environments/show",
        places.find_environment,
        Environment,
        **_ENVIRONMENT,
    ),
    _write(
        "PUT",
        "/environment/{id}",
        "environments/update",
        places.update_environment,
        Environment,
        body=EnvironmentForUpdate,
        wrapped=True,
        again=places.find_environment,
        **_ENVIRONMENT,
    ),
    _write(
        "DELETE",
        "/environment/{id}",
        "environments/delete",
        places.delete_environment,
        Environment,
        **_ENVIRONMENT,
    ),
    _get(
        "/agent_deployment",
        "agent_deployments/list",
        places.list_deployments,
        AgentDeployment,
        query=places.DeploymentQuery,
    ),
    _write(
        "POST",
        "/agent_deployment",
        "agent_deployments/create",
        places.create_deployment,
        AgentDeployment,
        view=_row(views.deployment_view),
        body=AgentDeploymentForCreate,
        wrapped=True,
        again=places.find_deployment,
    ),
    _get(
        "/agent_deployment/{id}",
        "agent_deployments/show",
        places.find_deployment,
        AgentDeployment,
        **_DEPLOYMENT,
    ),
    _write(
        "PUT",
        "/agent_deployment/{id}",
        "agent_deployments/update",
        places.update_deployment,
        AgentDeployment,
        body=AgentDeploymentForUpdate,
        wrapped=True,
        again=places.find_deployment,
        **_DEPLOYMENT,
    ),
    _write(
        "DELETE",
        "/agent_deployment/{id}",
        "agent_deployments/delete",
        places.delete_deployment,
        AgentDeployment,
        **_DEPLOYMENT,
    ),
)
TOKENS: Final = (
    _get(
        "/api_token",
        "api_tokens/list",
        tokens.list_of_account,
        ApiToken,
        query=tokens.TokenQuery,
    ),
    _write(
        "POST",
        "/api_token",
        "api_tokens/create",
        tokens.create,
        CreatedTokenResponse,
        view=_row(tokens.created_view),
        body=ApiTokenForCreate,
        wrapped=True,
        bare=True,
        again=tokens.find_created,
    ),
    _get("/api_token/{id}", "api_tokens/show", tokens.find, ApiToken, **_TOKEN),
    *(
        _write(
            "POST",
            f"/api_token/{{id}}/{step}",
            f"api_tokens/{step}",
            perform,
            ApiToken,
            body=StepRequest,
            again=tokens.find,
            **_TOKEN,
        )
        for step, perform in (
            ("suspend", tokens.suspend),
            ("activate", tokens.activate),
            ("revoke", tokens.revoke),
        )
    ),
    _write("DELETE", "/api_token/{id}", "api_tokens/delete", tokens.delete, ApiToken, **_TOKEN),
)
# A collector has no people, profiles and alerts.
PEOPLE: Final = (
    _get(
        "/admin_user",
        "admin_users/list",
        service_operations.nothing_listed,
        AdminUser,
        query=ListQuery,
    ),
    _get(
        "/admin_user/{id}",
        "admin_users/show",
        service_operations.none_called("admin_user"),
        AdminUser,
        id_field="admin_user_id",
    ),
    _get(
        "/admin_user_invite",
        "admin_user_invites/list",
        service_operations.nothing_listed,
        AdminUserInvite,
        query=ListQuery,
    ),
    Endpoint(
        "POST",
        "/admin_user_invite",
        "admin_user_invites/create",
        service_operations.invite,
        AdminUserInvite,
        _plain,
        AdminUserInviteForCreate,
        wrapped=True,
    ),
    _get(
        "/admin_user_invite/{id}",
        "admin_user_invites/show",
        service_operations.none_called("admin_user_invite"),
        AdminUserInvite,
        id_field="admin_user_invite_id",
    ),
    Endpoint(
        "POST",
        "/admin_user_invite/{id}/revoke",
        "admin_user_invites/revoke",
        service_operations.none_called("admin_user_invite"),
        AdminUserInvite,
        _plain,
        StepRequest,
        id_field="admin_user_invite_id",
    ),
    _get(
        "/risk_profile",
        "risk_profiles/list",
        service_operations.nothing_listed,
        RiskProfile,
        query=ListQuery,
    ),
    _get(
        "/risk_profile/{id}",
        "risk_profiles/show",
        service_operations.none_called("risk_profile"),
        RiskProfile,
        id_field="risk_profile_id",
    ),
    _get(
        "/alerts/count",
        "alerts/count",
        service_operations.count_alerts,
        AlertCountResponse,
        bare=True,
    ),
)
ENDPOINTS: Final = (
    *SERVICE,
    *RUNS,
    *SPANS,
    *AGENTS,
    *VERSIONS,
    *PLACES,
    *TOKENS,
    *PEOPLE,
)
OPERATIONS: Final[Mapping[str, Endpoint]] = {
    # Of several endpoints of one operation the first; its model has a field for the id.
    endpoint.operation: endpoint
    for endpoint in reversed(ENDPOINTS)
    if endpoint.operation not in {BULK, DOCUMENT}
}
_BY_PATH: Final[dict[str, dict[str, Endpoint]]] = {}
for _endpoint in ENDPOINTS:
    _BY_PATH.setdefault(_endpoint.path, {})[_endpoint.method] = _endpoint


def match(method: str, path: str) -> tuple[Endpoint, str]:
    """Return the endpoint of a request, and the id that its path names, empty if it names none.

    Args:
        method: HTTP method.
        path: Path, decoded; a slash at its end is ignored.

    Raises:
        RequestError: 404 or 405.
    """
    rest = path.rstrip("/").removeprefix(PREFIX) if path.startswith(PREFIX) else ""
    verb = "GET" if method == "HEAD" else method
    named = {} if _ID in rest else _BY_PATH.get(rest, {})
    if verb in named:
        return named[verb], ""
    parts = rest.split("/", 3)
    if len(parts) > _ID_PART and parts[_ID_PART]:
        thing_id, parts[_ID_PART] = parts[_ID_PART], _ID
        by_id = _BY_PATH.get("/".join(parts), {})
        if verb in by_id:
            return by_id[verb], thing_id
        named = named or by_id
    if not named:
        raise RequestError(HTTPStatus.NOT_FOUND, "not_found", "there is no such path")
    raise RequestError(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "method_not_allowed",
        f"this path does not take {method}",
        headers={"Allow": ", ".join([*named, *(["HEAD"] if "GET" in named else [])])},
    )
