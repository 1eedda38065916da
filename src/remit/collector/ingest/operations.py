"""The operations by name: the same for an endpoint and for an item of a bulk request."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from remit.collector.ingest import agents, instances
from remit.collector.ingest.checks import integer
from remit.collector.ingest.context import Context
from remit.collector.ingest.keys import Done, once
from remit.collector.ingest.reading import list_spans
from remit.collector.ingest.register import REGISTER, register
from remit.collector.ingest.span_run import SpanRun
from remit.collector.ingest.spans import CREATE, FINISH, SpanCall
from remit.collector.refusals import Refusal, forbidden
from remit.collector.views import success_answer
from remit.collector.wire import object_of

Perform: TypeAlias = Callable[[Context, bytes, str | None], bytes]
MAX_PFIDS: Final = 1000


class Operation(NamedTuple):
    """One operation.

    Attributes:
        perform: Does it; takes the context, the fields as JSON, and the idempotency key.
        writes: Whether it needs the write lock.
    """

    perform: Perform
    writes: bool


def _create_span(ctx: Context, params: bytes, key: str | None) -> bytes:
    return _alone(ctx, SpanCall(CREATE, params, key))


def _finish_span(ctx: Context, params: bytes, key: str | None) -> bytes:
    return _alone(ctx, SpanCall(FINISH, params, key))


def _alone(ctx: Context, call: SpanCall) -> bytes:
    (answer,) = SpanRun(ctx).execute([call])
    if isinstance(answer, Refusal):
        raise answer
    return answer


def _ping(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Tell what the token is good for."""
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
    """Make ids in the account's partition."""
    values = object_of(params, ctx.settings.max_depth)

    def do() -> Done:
        if values.get("account_id") not in {None, ctx.caller.account_id}:
            raise forbidden("this token is for another account")
        count = integer("count", values.get("count", 1), least=1, most=MAX_PFIDS)
        return Done(success_answer({"pfids": [ctx.new_id() for _ in range(count)]}))

    return once(ctx, "pfids/generate", key, do)


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
        "agent_instances/show": Operation(instances.show, writes=False),
        "agent_instances/list": Operation(instances.list_instances, writes=False),
        CREATE: Operation(_create_span, writes=True),
        FINISH: Operation(_finish_span, writes=True),
        "agent_spans/list": Operation(list_spans, writes=False),
        "agents/create": Operation(agents.create, writes=True),
        "agents/show": Operation(agents.show, writes=False),
        "agents/list": Operation(agents.list_agents, writes=False),
        "agents/update": Operation(agents.update, writes=True),
        "agents/retire": Operation(agents.retire, writes=True),
        "agents/reinstate": Operation(agents.reinstate, writes=True),
        "agents/delete": Operation(agents.delete, writes=True),
    }
)
