"""The operations by name: the same for an endpoint and for an item of a bulk request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from remit.collector.ingest import (
    agents,
    deployments,
    environments,
    instances,
    people,
    risk,
    span_queries,
    token_steps,
    versions,
)
from remit.collector.ingest.checks import validated
from remit.collector.ingest.context import Context
from remit.collector.ingest.declared import agent_context
from remit.collector.ingest.keys import Done, once
from remit.collector.ingest.register import REGISTER, register
from remit.collector.ingest.span_batch import SpanBatch
from remit.collector.ingest.spans import CREATE, FINISH, SpanCall
from remit.collector.ingest.trial_spans import create_test_spans
from remit.collector.models.service import GeneratePfidsRequest
from remit.collector.refusals import RequestError, not_found
from remit.collector.views import success_answer
from remit.collector.wire import object_of

Perform: TypeAlias = Callable[[Context, bytes, str | None], bytes]


class Operation(NamedTuple):
    """One operation.

    Attributes:
        perform: Does it; takes the context, the fields as JSON, and the idempotency key.
        writes: Whether it needs the write lock.
        sortable: For a list: fields that it can be sorted by.
        query: Fields that a request may give in its query, paging and sorting aside.
    """

    perform: Perform
    writes: bool
    sortable: Sequence[str] = ()
    query: Sequence[str] = ()


def _create_span(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Create a span."""
    return _alone(ctx, SpanCall(CREATE, params, key))


def _finish_span(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Finish a span."""
    return _alone(ctx, SpanCall(FINISH, params, key))


def _alone(ctx: Context, call: SpanCall) -> bytes:
    (answer,) = SpanBatch(ctx).execute([call])
    if isinstance(answer, RequestError):
        raise answer
    return answer


def _ping(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return the scope of the token."""
    del params, key
    caller = ctx.caller
    return success_answer(
        {
            "token_scope": caller.scope,
            "account_id": caller.account_id,
            "agent_id": caller.agent_id,
            "environment_id": caller.environment_id,
        }
    )


def _generate_pfids(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Generate ids in the partition of the account."""
    values = object_of(params, ctx.settings.max_depth)

    def do() -> Done:
        request = validated(GeneratePfidsRequest, values)
        if request.account_id not in {None, ctx.caller.account_id}:
            raise not_found("account")
        return Done(success_answer({"pfids": [ctx.new_id() for _ in range(request.count)]}))

    return once(ctx, "pfids/generate", key, values, do)


OPERATIONS: Final = MappingProxyType(
    {
        "ping": Operation(_ping, writes=False),
        "pfids/generate": Operation(_generate_pfids, writes=True),
        REGISTER: Operation(register, writes=True),
        "agent_instances/start": Operation(instances.start, writes=True),
        "agent_instances/finish": Operation(instances.finish, writes=True),
        "agent_instances/terminate": Operation(instances.terminate, writes=True),
        "agent_instances/record_quality": Operation(instances.record_quality, writes=True),
        "agent_instances/update": Operation(instances.update, writes=True),
        "agent_instances/risk": Operation(risk.of_instance, writes=False),
        "agents/risk": Operation(risk.of_agent, writes=False, query=risk.QUERY),
        "agent_instances/show": Operation(instances.show, writes=False),
        "agent_instances/list": Operation(
            instances.list_instances,
            writes=False,
            sortable=instances.SORTABLE,
            query=("agent_id", *instances.FILTERS, *instances.IDENTIFYING),
        ),
        "agent_instances/agent_context": Operation(agent_context, writes=False),
        CREATE: Operation(_create_span, writes=True),
        FINISH: Operation(_finish_span, writes=True),
        "agent_spans/list": Operation(
            span_queries.list_spans,
            writes=False,
            sortable=span_queries.SORTABLE,
            query=span_queries.QUERY,
        ),
        "agent_spans/create_test_spans": Operation(create_test_spans, writes=True),
        "agents/create": Operation(agents.create, writes=True),
        "agents/show": Operation(agents.show, writes=False, query=agents.SHOWN_BY),
        "agents/list": Operation(
            agents.list_agents, writes=False, sortable=agents.SORTABLE, query=agents.FILTERS
        ),
        "agents/update": Operation(agents.update, writes=True),
        "agents/retire": Operation(agents.retire, writes=True),
        "agents/reinstate": Operation(agents.reinstate, writes=True),
        "agents/delete": Operation(agents.delete, writes=True),
        "accounts/list": Operation(
            environments.list_accounts, writes=False, sortable=environments.SORTABLE
        ),
        "accounts/show": Operation(environments.show_account, writes=False),
        "accounts/update": Operation(environments.update_account, writes=True),
        "environments/list": Operation(
            environments.list_environments,
            writes=False,
            sortable=environments.SORTABLE,
            query=("account_id",),
        ),
        "environments/create": Operation(environments.create_environment, writes=True),
        "environments/show": Operation(environments.show_environment, writes=False),
        "environments/update": Operation(environments.update_environment, writes=True),
        "environments/delete": Operation(environments.delete_environment, writes=True),
        "agent_deployments/list": Operation(
            deployments.list_deployments,
            writes=False,
            sortable=deployments.SORTABLE,
            query=deployments.FILTERS,
        ),
        "agent_deployments/create": Operation(deployments.create, writes=True),
        "agent_deployments/show": Operation(deployments.show, writes=False),
        "agent_deployments/update": Operation(deployments.update, writes=True),
        "agent_deployments/delete": Operation(deployments.delete, writes=True),
        "agent_versions/list": Operation(
            versions.list_versions, writes=False, sortable=versions.SORTABLE, query=versions.FILTERS
        ),
        "agent_versions/create": Operation(versions.create_version, writes=True),
        "agent_versions/show": Operation(versions.show_version, writes=False),
        "agent_schema_versions/list": Operation(
            versions.list_schema_versions,
            writes=False,
            sortable=versions.SORTABLE,
            query=versions.FILTERS,
        ),
        "agent_schema_versions/create": Operation(versions.create_schema_version, writes=True),
        "agent_schema_versions/show": Operation(versions.show_schema_version, writes=False),
        "api_tokens/list": Operation(
            token_steps.list_tokens,
            writes=False,
            sortable=token_steps.SORTABLE,
            query=("account_id", *token_steps.FILTERS),
        ),
        "api_tokens/create": Operation(token_steps.create, writes=True),
        "api_tokens/show": Operation(token_steps.show, writes=False),
        "api_tokens/suspend": Operation(token_steps.suspend, writes=True),
        "api_tokens/activate": Operation(token_steps.activate, writes=True),
        "api_tokens/revoke": Operation(token_steps.revoke, writes=True),
        "api_tokens/delete": Operation(token_steps.delete, writes=True),
        "admin_users/list": Operation(
            people.nothing_listed, writes=False, sortable=people.SORTABLE
        ),
        "admin_users/show": Operation(people.none_called("admin_user"), writes=False),
        "admin_user_invites/list": Operation(
            people.nothing_listed, writes=False, sortable=people.SORTABLE
        ),
        "admin_user_invites/create": Operation(people.invite, writes=False),
        "admin_user_invites/show": Operation(people.none_called("admin_user_invite"), writes=False),
        "admin_user_invites/revoke": Operation(
            people.none_called("admin_user_invite"), writes=False
        ),
        "risk_profiles/list": Operation(
            people.nothing_listed, writes=False, sortable=people.SORTABLE
        ),
        "risk_profiles/show": Operation(people.none_called("risk_profile"), writes=False),
        "alerts/count": Operation(people.count_alerts, writes=False),
    }
)
