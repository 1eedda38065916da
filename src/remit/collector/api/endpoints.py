"""The table of endpoints: path, method, operation, handler, and the models of both directions.

Dispatch, bulk items, the OpenAPI document and docs/reference/endpoints.md use this one table. What
the client calls too is in `remit.models.routes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeAlias

from pydantic import BaseModel

from remit.collector.domain import (
    agents,
    asks,
    collisions,
    erasure,
    holds,
    lists,
    places,
    risk,
    runs,
    span_operations,
    tokens,
    versions,
    waiting,
)
from remit.collector.domain import service_operations as small
from remit.collector.domain.agents import AgentForUpdate
from remit.collector.domain.context import Caller, Context, Permission
from remit.collector.domain.params import ListQuery, Query, Values, check_names
from remit.collector.domain.spans import CREATE, FINISH
from remit.collector.errors import RequestError, forbidden
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
from remit.collector.models.erasure import ErasedResponse, ErasureForCreate, ErasureList
from remit.collector.models.hold import (
    HoldForCreate,
    KnownHolds,
    KnownHoldsResponse,
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
from remit.collector.views.resources import row_view, schema_view
from remit.models import routes
from remit.models.agent import Agent
from remit.models.agent_instance import AgentInstance, InstanceForUpdate, RegisteredResponse
from remit.models.agent_span import AgentSpan
from remit.models.asks import (
    ASKS,
    SEALS,
    AnswerForCreate,
    Ask,
    AskAnswered,
    AskForCreate,
    AskList,
    AskState,
    SealForCreate,
    SealUsed,
)
from remit.models.remit_api import (
    AgentForIdentify,
    ChangeList,
    CollisionList,
    CostList,
    CountList,
    HoldList,
    HoldResponse,
    IdentifiedAgent,
    RedactedList,
    RunList,
    SpanList,
)
from remit.models.risk import Risk
from remit.models.routes import Route

PREFIX: Final = routes.API
OWN_PREFIX: Final = routes.OWN_API
"""Prefix of remit's own endpoints, which a bulk request cannot have."""
PREFIXES: Final = (PREFIX, OWN_PREFIX)
BULK: Final = routes.BULK.operation
DOCUMENT: Final = "openapi"
ON_RUNS: Final = "agent_instances/"
"""Start of the names of the operations on runs."""
REGISTER: Final = routes.REGISTER_INSTANCE.operation
_ID: Final = "{id}"
_KEY: Final = "idempotency_key"
_ACCOUNT_ID: Final = "account_id"
_OF_SERVICE: Final = ("include_costs", "include_counts", "include_risk_score")
"""Parameters of the hosted service without effect on a collector's responses."""
_ID_PART: Final = 2


class Endpoint(NamedTuple):
    """One path and method.

    Attributes:
        path: Path after the prefix; `{id}` is the id of the resource.
        operation: Name of the operation in a bulk item, except for bulk and the document.
        perform: Carries it out. Takes the context, the id unless the model has a field for it, the
            model if there is one, and the fields as they came where `with_fields` says so. Returns
            encoded bytes, or what `view` takes.
        answers: Model of a success; of one item, if it is a list.
        view: Makes the response out of the result; takes the context and the result.
        id_field: The operation's name of the id.
        wrapped: Whether the body's fields are under `details`.
        bare: Whether `answers` is the whole response, without an envelope.
        writes: Whether it needs the write lock.
        account: Whether it needs an account's token.
        again: Reads the resource for a repeated request; takes the context, its id, and
            the other arguments of `perform`. None if the response never changes and is stored.
        compared: The fields that two requests with one key must have in common.
        with_fields: Whether `perform` also takes the fields as they came.
        minimal: Makes the response to a request with `Prefer: return=minimal` out of the result.
        erases: Whether it erases runs: `perform` reads which, and `dispatch` erases them.
        stops: Whether it terminates a run, or holds an action.
        records: Whether a program needs it in order to record. Its responses have no values for a
            token that may only record.
        ignored: Parameters of the query that clients of the service may send, without effect here.
        approves: Whether a person needs it in order to answer requests for approval.
        waits: Whether a request with `wait_s` is held while the thing waits for an answer.
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
    prefix: str = PREFIX
    erases: bool = False
    stops: bool = False
    records: bool = False
    ignored: tuple[str, ...] = ()
    approves: bool = False
    waits: bool = False

    @property
    def route(self) -> str:
        """The whole path."""
        return self.prefix + self.path

    @property
    def needs(self) -> Permission:
        """The permission that a token needs; a bulk request may hold operations that write."""
        if self.erases:
            return Permission.ERASE
        if self.approves and self.writes:
            return Permission.APPROVE
        if self.stops:
            return Permission.STOP
        if self.operation == BULK or (self.records and self.writes):
            return Permission.RECORD
        return Permission.WRITE if self.writes else Permission.READ

    @property
    def permissions(self) -> tuple[Permission, ...]:
        """The permissions of which a token needs one, the usual one first."""
        also = {Permission.RECORD: self.records, Permission.APPROVE: self.approves}
        return tuple(
            dict.fromkeys((self.needs, *(word for word, permits in also.items() if permits)))
        )

    def check_permission(self, caller: Caller) -> None:
        """Reject a caller whose token does not permit this.

        Raises:
            RequestError: 403.
        """
        may, needed = caller.may, self.needs
        if any(map(may.permits, self.permissions)):
            return
        raise forbidden(
            f"this token may only {may.in_words}, and this needs a token that may {needed}: create "
            f"one with `remit token create --may {needed}`"
        )

    def check_query(self, query: Mapping[str, str]) -> None:
        """Reject a query with a parameter that this endpoint does not have.

        Raises:
            RequestError: 422.
        """
        if query:
            known = () if self.query is None else self.query.names()
            of_account = (_ACCOUNT_ID,) if self.account and self.method == "GET" else ()
            check_names(query, {*known, *of_account}, (_KEY, *self.ignored))

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
Model: TypeAlias = type[BaseModel]


def _plain(ctx: Context, result: object) -> object:
    del ctx
    return result


def _of_row(view: Callable[[Any], object]) -> Callable[[Context, Any], object]:
    """Return *view*, which takes a row alone, as one that takes the context too."""
    return lambda _, row: view(row)


def _by_dispatch(*_: object) -> None:
    """Bulk and the document are handled by `dispatch` itself."""


def _at(route: Route[Any], perform: Perform, **fields: Any) -> Endpoint:
    defaults: dict[str, Any] = {
        "answers": route.answers,
        "view": _plain,
        "body": route.body,
        "id_field": route.id_field,
        "wrapped": route.wrapped,
    }
    return Endpoint(route.method, route.path, route.operation, perform, **{**defaults, **fields})


class _Resource(NamedTuple):
    """A kind of resource; its methods make the rows of the table that are about it.

    Attributes:
        name: Its name; the operations have it in the plural, and paths too if `path` says so.
        view: Makes a response out of a row; by default that of the model `answers`.
        account: Whether its operations need an account's token.
        path: Path of all of them, if not the name.
        minimal: See `Endpoint`.
    """

    name: str
    answers: Model
    find: Perform
    view: Callable[[Context, Any], object] | None = None
    account: bool = True
    path: str = ""
    minimal: Callable[[Any], object] | None = None

    def at(self, route: Route[Any], perform: Perform, **fields: Any) -> Endpoint:
        """Return the row of a route; a write can be repeated unless *fields* say otherwise."""
        view = self.view or _of_row(partial(row_view, self.answers))
        defaults: dict[str, Any] = {"view": view, "account": self.account}
        if route.method != "GET":
            defaults |= {"writes": True, "again": self.find, "minimal": self.minimal}
        return _at(route, perform, **{**defaults, **fields})

    def row(
        self,
        method: str,
        tail: str,
        step: str,
        perform: Perform,
        body: Model | None = None,
        **fields: Any,
    ) -> Endpoint:
        path, operation = f"/{self.path or self.name}{tail}", f"{self.name}s/{step}"
        return self.at(Route(operation, method, path, self.answers, body), perform, **fields)

    def list(self, perform: Perform, query: type[Query] = ListQuery) -> Endpoint:
        return self.row("GET", "", "list", perform, query=query)

    def show(self) -> Endpoint:
        return self.row("GET", f"/{_ID}", "show", self.find)

    def read(self, step: str, perform: Perform, answers: Model, **fields: Any) -> Endpoint:
        fields = {"answers": answers, "view": _plain, **fields}
        return self.row("GET", f"/{_ID}/{step}", step, perform, **fields)

    def create(self, perform: Perform, body: Model, **fields: Any) -> Endpoint:
        return self.row("POST", "", "create", perform, body, wrapped=True, **fields)

    def update(
        self,
        perform: Perform,
        body: Model,
        method: str = "PUT",
        tail: str = "",
        **fields: Any,
    ) -> Endpoint:
        return self.row(method, f"/{_ID}{tail}", "update", perform, body, wrapped=True, **fields)

    def step(self, step: str, perform: Perform) -> Endpoint:
        """Return the row of a step on one, without fields."""
        return self.row("POST", f"/{_ID}/{step}", step, perform, StepRequest)

    def delete(self, perform: Perform) -> Endpoint:
        """Return the row that deletes one; its response is stored for a repetition."""
        return self.row("DELETE", f"/{_ID}", "delete", perform, again=None)


def _own(
    method: str, path: str, operation: str, perform: Perform, answers: Model, **fields: Any
) -> Endpoint:
    """Return the row of an endpoint of remit's own API."""
    defaults: dict[str, Any] = {
        "view": _plain,
        "bare": True,
        "writes": method == "POST",
        "prefix": OWN_PREFIX,
    }
    path, operation = path.removeprefix(OWN_PREFIX), f"remit/{operation}"
    return Endpoint(method, path, operation, perform, answers, **{**defaults, **fields})


def _list(
    path: str, perform: Perform, answers: Model, query: type[Query], **fields: Any
) -> Endpoint:
    name = path.removeprefix("/")
    return _own("GET", path, name, perform, answers, query=query, account=False, **fields)


def _ask(
    method: str, tail: str, step: str, perform: Perform, answers: Model, **fields: Any
) -> Endpoint:
    id_field = "ask_id" if _ID in tail else ""
    defaults = {"bare": False, "account": False, "id_field": id_field, "again": asks.find}
    return _own(method, ASKS + tail, f"asks/{step}", perform, answers, **{**defaults, **fields})


_RUN: Final = _Resource(
    "agent_instance", AgentInstance, runs.find, runs.view, account=False, minimal=runs.minimal_view
)
_SPAN: Final = _Resource(
    "agent_span",
    AgentSpan,
    span_operations.find,
    span_operations.view,
    account=False,
    path="agent_spans",
)
_AGENT: Final = _Resource("agent", Agent, agents.find, agents.view)
_VERSION: Final = _Resource("agent_version", AgentVersion, versions.find_version)
_SCHEMA: Final = _Resource(
    "agent_schema_version",
    AgentSchemaVersion,
    versions.find_schema_version,
    _of_row(schema_view),
)
_ACCOUNT: Final = _Resource("account", Account, places.find_account)
_ENVIRONMENT: Final = _Resource("environment", Environment, places.find_environment)
_DEPLOYMENT: Final = _Resource("agent_deployment", AgentDeployment, places.find_deployment)
_TOKEN: Final = _Resource("api_token", ApiToken, tokens.find)
# A collector has none of these.
_USER: Final = _Resource("admin_user", AdminUser, small.none_called("admin_user"))
_INVITE: Final = _Resource(
    "admin_user_invite", AdminUserInvite, small.none_called("admin_user_invite")
)
_PROFILE: Final = _Resource("risk_profile", RiskProfile, small.none_called("risk_profile"))

ENDPOINTS: Final = (
    _at(routes.PING, small.ping, answers=TokenScopeDetails, account=False, records=True),
    Endpoint(
        "POST",
        "/pfid/generate",
        "pfids/generate",
        small.generate_pfids,
        GeneratedPfids,
        _plain,
        GeneratePfidsRequest,
        writes=True,
        account=False,
    ),
    _at(routes.BULK, _by_dispatch, bare=True),
    *(
        Endpoint("GET", path, DOCUMENT, _by_dispatch, OpenApiDocument, _plain, bare=True)
        for path in ("/openapi", "/openapi.json")
    ),
    _RUN.at(
        routes.REGISTER_INSTANCE,
        runs.register,
        answers=RegisteredResponse,
        view=runs.registered_view,
        bare=True,
        again=runs.registered_again,
        compared=runs.identity,
        with_fields=True,
        minimal=runs.minimal_registered_view,
        records=True,
    ),
    _RUN.at(routes.LIST_INSTANCES, runs.list_runs, query=runs.RunQuery, ignored=_OF_SERVICE),
    _RUN.at(routes.GET_INSTANCE, runs.find, view=runs.shown, records=True, ignored=_OF_SERVICE),
    _RUN.read("risk", risk.of_run, Risk),
    _RUN.update(runs.update, InstanceForUpdate, records=True),
    _RUN.at(routes.START_INSTANCE, runs.start, records=True),
    _RUN.at(routes.FINISH_INSTANCE, runs.finish, records=True),
    _RUN.at(routes.TERMINATE_INSTANCE, runs.terminate, stops=True),
    _RUN.at(routes.RECORD_QUALITY, runs.record_quality, records=True),
    _RUN.update(runs.update, InstanceForUpdate, "POST", "/update", records=True),
    _RUN.read("agent_context", risk.agent_context, AgentContextResponse, bare=True),
    _SPAN.at(
        routes.LIST_SPANS,
        span_operations.list_spans,
        query=span_operations.SpanQuery,
        ignored=_OF_SERVICE,
    ),
    _SPAN.show(),
    _SPAN.at(routes.CREATE_SPAN, span_operations.create, records=True),
    _SPAN.row(
        "POST",
        "/create_test_spans",
        "create_test_spans",
        span_operations.create_test_spans,
        CreateTestSpansRequest,
        answers=TestSpansResponse,
        view=_of_row(span_operations.test_spans_view),
        bare=True,
        again=None,
    ),
    _SPAN.at(routes.FINISH_SPAN, span_operations.finish, records=True),
    _AGENT.list(agents.list_agents, agents.AgentListQuery),
    _AGENT.at(routes.CREATE_AGENT, agents.create, with_fields=True, records=True),
    *(
        _AGENT.at(
            route, agents.show, view=_plain, query=agents.AgentQuery, account=False, records=True
        )
        for route in (routes.SHOW_AGENT, routes.SHOW_AGENT._replace(path=f"/agent/{_ID}"))
    ),
    _AGENT.read("risk", risk.of_agent, Risk, query=risk.RiskQuery, account=False),
    _AGENT.update(agents.update, AgentForUpdate),
    _AGENT.delete(agents.delete),
    _AGENT.step("retire", agents.retire),
    _AGENT.step("reinstate", agents.reinstate),
    _VERSION.list(versions.list_versions, versions.VersionQuery),
    _VERSION.create(versions.create_version, AgentVersionForCreate),
    _VERSION.show(),
    _SCHEMA.list(versions.list_schema_versions, versions.VersionQuery),
    _SCHEMA.create(versions.create_schema_version, AgentSchemaVersionForCreate),
    _SCHEMA.show(),
    _ACCOUNT.list(places.list_accounts, places.AccountQuery),
    _ACCOUNT.show(),
    _ACCOUNT.update(places.update_account, AccountForUpdate),
    _ENVIRONMENT.list(places.list_environments, places.EnvironmentQuery),
    _ENVIRONMENT.create(places.create_environment, EnvironmentForCreate),
    _ENVIRONMENT.show(),
    _ENVIRONMENT.update(places.update_environment, EnvironmentForUpdate),
    _ENVIRONMENT.delete(places.delete_environment),
    _DEPLOYMENT.list(places.list_deployments, places.DeploymentQuery),
    _DEPLOYMENT.create(places.create_deployment, AgentDeploymentForCreate),
    _DEPLOYMENT.show(),
    _DEPLOYMENT.update(places.update_deployment, AgentDeploymentForUpdate),
    _DEPLOYMENT.delete(places.delete_deployment),
    _TOKEN.list(tokens.list_of_account, tokens.TokenQuery),
    _TOKEN.create(
        tokens.create,
        ApiTokenForCreate,
        answers=CreatedTokenResponse,
        view=_of_row(tokens.created_view),
        bare=True,
        again=tokens.find_created,
    ),
    _TOKEN.show(),
    _TOKEN.step("suspend", tokens.suspend),
    _TOKEN.step("activate", tokens.activate),
    _TOKEN.step("revoke", tokens.revoke),
    _TOKEN.delete(tokens.delete),
    _USER.list(small.nothing_listed),
    _USER.show(),
    _INVITE.list(small.nothing_listed),
    _INVITE.create(small.invite, AdminUserInviteForCreate, writes=False),
    _INVITE.show(),
    _INVITE.row("POST", f"/{_ID}/revoke", "revoke", _INVITE.find, StepRequest, writes=False),
    _PROFILE.list(small.nothing_listed),
    _PROFILE.show(),
    Endpoint(
        "GET",
        "/alerts/count",
        "alerts/count",
        small.count_alerts,
        AlertCountResponse,
        _plain,
        bare=True,
    ),
    _list("/runs", lists.list_runs, RunList, lists.RunsQuery),
    _RUN.at(
        routes.FIND_WAITING,
        waiting.find,
        query=waiting.WaitingQuery,
        prefix=OWN_PREFIX,
        records=True,
    ),
    _list("/spans", lists.list_spans, SpanList, lists.SpansQuery),
    _list("/counts", lists.count, CountList, lists.CountsQuery),
    _list("/costs", lists.list_costs, CostList, lists.CostsQuery),
    _list("/changes", lists.list_changes, ChangeList, lists.ChangesQuery),
    _list("/collisions", collisions.list_collisions, CollisionList, collisions.CollisionsQuery),
    _list("/redacted", lists.count_redacted, RedactedList, lists.RedactedQuery),
    _list("/erasures", erasure.list_erasures, ErasureList, erasure.ErasureQuery),
    _ask(
        "GET", "", "list", asks.list_asks, AskList, query=asks.AsksQuery, bare=True, approves=True
    ),
    _ask("GET", f"/{_ID}", "show", asks.find, Ask, view=asks.view, approves=True),
    _ask(
        "POST",
        "",
        "create",
        asks.create,
        AskState,
        view=asks.state_view,
        body=AskForCreate,
        records=True,
    ),
    _ask(
        "GET",
        f"/{_ID}/answer",
        "wait",
        asks.await_answer,
        AskState,
        view=asks.state_view,
        query=asks.AnswerQuery,
        records=True,
        waits=True,
    ),
    _ask(
        "POST",
        f"/{_ID}/answer",
        "answer",
        asks.answer,
        AskAnswered,
        view=asks.answered_view,
        body=AnswerForCreate,
        bare=True,
        approves=True,
        again=asks.answered_before,
    ),
    _ask(
        "POST",
        f"/{_ID}/withdraw",
        "withdraw",
        asks.withdraw,
        AskState,
        view=asks.state_view,
        body=StepRequest,
        records=True,
    ),
    _own(
        "POST",
        SEALS,
        "seals/use",
        asks.use_seal,
        SealUsed,
        body=SealForCreate,
        account=False,
        records=True,
    ),
    _own(
        "POST",
        routes.IDENTIFY_AGENT,
        "agents/identify",
        agents.identify,
        IdentifiedAgent,
        body=AgentForIdentify,
        records=True,
    ),
    _own(
        "POST",
        "/erasures",
        "erasures/create",
        erasure.select,
        ErasedResponse,
        body=ErasureForCreate,
        writes=False,
        account=False,
        erases=True,
    ),
    _list("/holds", holds.list_holds, HoldList, holds.HoldsQuery, records=True),
    _own(
        "POST",
        "/holds",
        "holds/create",
        holds.create,
        HoldResponse,
        body=HoldForCreate,
        stops=True,
    ),
    _own(
        "POST",
        f"/holds/{_ID}/lift",
        "holds/lift",
        holds.lift,
        HoldResponse,
        body=StepRequest,
        id_field="hold_id",
        stops=True,
    ),
    _own(
        "POST",
        "/holds/known",
        "holds/known",
        holds.note_known,
        KnownHoldsResponse,
        body=KnownHolds,
        account=False,
        records=True,
    ),
)
OPERATIONS: Final[Mapping[str, Endpoint]] = {
    # Of several endpoints of one operation the first; its model has a field for the id.
    endpoint.operation: endpoint
    for endpoint in reversed(ENDPOINTS)
    if endpoint.operation not in {BULK, DOCUMENT} and endpoint.prefix == PREFIX
}
_BY_ROUTE: Final[dict[str, dict[str, Endpoint]]] = {}
for _endpoint in ENDPOINTS:
    _BY_ROUTE.setdefault(_endpoint.route, {})[_endpoint.method] = _endpoint


def match(method: str, path: str) -> tuple[Endpoint, str]:
    """Return the endpoint of a request, and the id in its path, empty without one.

    Args:
        path: Path, decoded; a slash at its end is ignored.

    Raises:
        RequestError: 404 or 405.
    """
    route = path.rstrip("/")
    verb = "GET" if method == "HEAD" else method
    named = {} if _ID in route else _BY_ROUTE.get(route, {})
    if verb in named:
        return named[verb], ""
    prefix = next((each for each in PREFIXES if route.startswith(f"{each}/")), "")
    parts = route.removeprefix(prefix).split("/", 3)
    if len(parts) > _ID_PART and parts[_ID_PART]:
        thing_id, parts[_ID_PART] = parts[_ID_PART], _ID
        by_id = _BY_ROUTE.get(prefix + "/".join(parts), {})
        if verb in by_id:
            return by_id[verb], thing_id
        named = named or by_id
    if not named:
        raise RequestError(HTTPStatus.NOT_FOUND, "not_found", "there is no such path")
    raise RequestError(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "method_not_allowed",
        f"this path does not support {method}",
        headers={"Allow": ", ".join([*named, *(["HEAD"] if "GET" in named else [])])},
    )
