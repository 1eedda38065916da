"""The two clients: typed endpoints, tried again with the same keys, within one deadline."""

from __future__ import annotations

import inspect
import json
import math
import socket
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypedDict, Unpack

import pytest
from dirty_equals import IsPartialDict

from remit.client import AsyncClient, Client
from remit.errors import (
    ContractError,
    NotFoundError,
    RejectedError,
    SettingsError,
    UnavailableError,
    UsageError,
)
from remit.models.agent import Agent
from remit.models.agent_instance import AgentInstance, ShownInstance
from remit.models.agent_span import AgentSpan, AnsweredSpan
from remit.models.bulk import BulkResponse
from remit.models.envelope import ListResponse, PingResponse
from tests.inside import httpx
from tests.loopback import request_of, serving
from tests.subtests import each

ID = "013xrzp12g3nqk8n0123456789abcdef"
NOW = "2026-01-02T03:04:05Z"
INSTANCE = {
    "type": "agent_instance",
    **dict.fromkeys(("id", "account_id", "agent_id", "agent_version_id", "environment_id"), ID),
    "status": "active",
    "inserted_at": NOW,
    "updated_at": NOW,
}
SPAN = {
    "type": "agent_span",
    "id": ID,
    "agent_instance_id": ID,
    "schema_name": "n",
    "status": "active",
}
AGENT = {"type": "agent", "id": ID, "name": "n", "status": "active"}

AnyClient: TypeAlias = Any
"""A `Client` or an `AsyncClient`."""
Result: TypeAlias = Any
"""What a call returns, or what must be awaited for it."""
Call = Callable[[AnyClient], Result]
Handler = Callable[[httpx.Request], httpx.Response]


def one(details: dict[str, Any]) -> dict[str, Any]:
    """Return the answer that holds one thing."""
    return {"status": "success", "details": details}


def several(details: dict[str, Any]) -> dict[str, Any]:
    """Return the answer that holds a list of one thing."""
    return {"status": "success", "summaries": [details], "pagination": None, "sorting": None}


CALLS: dict[str, tuple[Call, str, dict[str, Any], type]] = {
    "ping": (lambda c: c.ping(), "GET /api/v1/ping", {"status": "success"}, PingResponse),
    "register": (
        lambda c: c.agent_instances.register(agent_version={}, agent_schema_version={}),
        "POST /api/v1/agent_instance/register",
        one(INSTANCE),
        AgentInstance,
    ),
    "start": (
        lambda c: c.agent_instances.start(ID, timestamp=NOW),
        f"POST /api/v1/agent_instance/{ID}/start",
        one(INSTANCE),
        AgentInstance,
    ),
    "finish": (
        lambda c: c.agent_instances.finish(ID, status="failed"),
        f"POST /api/v1/agent_instance/{ID}/finish",
        one(INSTANCE),
        AgentInstance,
    ),
    "get": (
        lambda c: c.agent_instances.get(ID),
        f"GET /api/v1/agent_instance/{ID}",
        one(INSTANCE),
        ShownInstance,
    ),
    "list": (
        lambda c: c.agent_instances.list(agent_id=ID, page_size=1),
        "GET /api/v1/agent_instance",
        several(INSTANCE),
        ListResponse[AgentInstance],
    ),
    "terminate": (
        lambda c: c.agent_instances.terminate(ID, reason="enough"),
        f"POST /api/v1/agent_instance/{ID}/terminate",
        one(INSTANCE),
        AgentInstance,
    ),
    "record_quality": (
        lambda c: c.agent_instances.record_quality(ID, name="n", payload=None),
        f"POST /api/v1/agent_instance/{ID}/record_quality",
        one(INSTANCE),
        AgentInstance,
    ),
    "create span": (
        lambda c: c.agent_spans.create(agent_instance_id=ID, schema_name="n", status="active"),
        "POST /api/v1/agent_spans",
        one(SPAN),
        AnsweredSpan,
    ),
    "finish span": (
        lambda c: c.agent_spans.finish(ID, result_payload={"a": 1}, sensitive_encoding=True),
        f"POST /api/v1/agent_spans/{ID}/finish",
        one(SPAN),
        AnsweredSpan,
    ),
    "list spans": (
        lambda c: c.agent_spans.list(agent_instance_id=ID),
        "GET /api/v1/agent_spans",
        several(SPAN),
        ListResponse[AgentSpan],
    ),
    "bulk": (
        lambda c: c.bulk.execute([{"_type": "agents/list"}]),
        "POST /api/v1/bulk",
        {"status": "success", "outputs": {}},
        BulkResponse,
    ),
    "show agent": (
        lambda c: c.agents.show(external_identifier="x", include_counts=True),
        "GET /api/v1/agent/show",
        one(AGENT),
        Agent,
    ),
    "create agent": (
        lambda c: c.agents.create(name="n"),
        "POST /api/v1/agent",
        one(AGENT),
        Agent,
    ),
}


class Options(TypedDict, total=False):
    """Options of both clients."""

    timeout_s: float
    max_retries: int


async def by_client(call: Call, handler: Handler, **options: Unpack[Options]) -> Result:
    """Return what *call* does with a `Client`."""
    with Client(transport=httpx.MockTransport(handler), **options) as client:
        return call(client)


async def by_async_client(call: Call, handler: Handler, **options: Unpack[Options]) -> Result:
    """Return what *call* does with an `AsyncClient`."""
    async with AsyncClient(transport=httpx.MockTransport(handler), **options) as client:
        return await call(client)


class Use(Protocol):
    """Does something with a client; the two in one shape."""

    async def __call__(self, call: Call, handler: Handler, **options: Unpack[Options]) -> Result:
        """Return what *call* does."""
        ...


both = pytest.mark.parametrize("use", [by_client, by_async_client], ids=["sync", "async"])


@both
@each(("call", "request_line", "answer", "kind"), list(CALLS.values()), ids=list(CALLS))
async def test_every_endpoint_is_there_and_typed(
    use: Use, call: Call, request_line: str, answer: dict[str, Any], kind: type
) -> None:
    """It sends its request and returns the model of its answer."""
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.path}")
        return httpx.Response(200, json=answer)

    result = await use(call, handle)
    assert type(result) is kind
    assert seen == [request_line]


@both
@each("name", [name for name in CALLS if "POST" in CALLS[name][1]])
async def test_a_write_is_tried_again_with_the_same_bytes(use: Use, name: str) -> None:
    """The key in them lets the server do it once."""
    call, _, answer, _ = CALLS[name]
    bodies: list[bytes] = []

    def handle(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        if len(bodies) < 3:
            return httpx.Response(503, headers={"Retry-After": "0"})
        return httpx.Response(200, json=answer)

    await use(call, handle)
    assert len(bodies) == 3
    assert len(set(bodies)) == 1
    assert b'"idempotency_key"' in bodies[0]


@both
async def test_a_lost_connection_is_tried_again(use: Use) -> None:
    """The wait before a try is the client's own."""
    failures = [httpx.ConnectError("down"), httpx.ReadTimeout("slow")]

    def handle(_request: httpx.Request) -> httpx.Response:
        if failures:
            raise failures.pop()
        return httpx.Response(200, json={"status": "success"})

    assert (await use(lambda client: client.ping(), handle)).status == "success"


@both
@each(
    ("status", "kind"),
    [(404, NotFoundError), (409, RejectedError), (302, ContractError)],
    ids=str,
)
async def test_what_cannot_help_is_not_tried_again(
    use: Use, status: int, kind: type[Exception]
) -> None:
    """The first failure is raised."""
    tried: list[int] = []

    def handle(_request: httpx.Request) -> httpx.Response:
        tried.append(status)
        return httpx.Response(status)

    with pytest.raises(kind):
        await use(lambda client: client.ping(), handle)
    assert tried == [status]


@both
@each("max_retries", [0, 1, 4])
async def test_the_number_of_tries_is_bounded(use: Use, max_retries: int) -> None:
    """The last failure is raised."""
    tried: list[int] = []

    def handle(_request: httpx.Request) -> httpx.Response:
        tried.append(503)
        return httpx.Response(503, headers={"Retry-After": "0"})

    with pytest.raises(UnavailableError, match="503 Service Unavailable"):
        await use(lambda client: client.ping(), handle, max_retries=max_retries)
    assert len(tried) == max_retries + 1


@both
async def test_a_wait_beyond_the_deadline_is_left_to_the_caller(use: Use) -> None:
    """The error has the seconds that the server asked for."""
    tried: list[int] = []

    def handle(_request: httpx.Request) -> httpx.Response:
        tried.append(429)
        return httpx.Response(429, headers={"Retry-After": "60"})

    with pytest.raises(UnavailableError) as caught:
        await use(lambda client: client.ping(), handle, timeout_s=5)
    assert caught.value.retry_after_s == 60
    assert tried == [429]


@pytest.mark.parametrize("kind", [Client, AsyncClient], ids=["sync", "async"])
async def test_all_tries_together_keep_to_one_deadline(kind: type) -> None:
    """A server that never answers gets one request: there is no time for a second."""
    requests: list[bytes] = []

    def silent(connection: socket.socket, over: threading.Event) -> None:
        requests.append(request_of(connection))
        over.wait()

    with serving(silent) as url:
        client = kind(url, "token", timeout_s=0.3, max_retries=5)
        with pytest.raises(UnavailableError, match="no response"):
            await waited(client.ping)
        await waited(getattr(client, "aclose", None) or client.close)
    assert len(requests) == 1


async def waited(function: Callable[[], Result]) -> Result:
    """Return what *function* returns, awaited if it must be."""
    result = function()
    return await result if inspect.isawaitable(result) else result


@both
async def test_a_wrong_argument_sends_nothing(use: Use) -> None:
    """The error names the argument."""

    def handle(_request: httpx.Request) -> httpx.Response:
        raise AssertionError

    with pytest.raises(UsageError, match="status"):
        await use(lambda client: client.agent_instances.finish(ID, status="done"), handle)


@both
async def test_fields_are_named_as_on_the_wire(use: Use) -> None:
    """Every argument of a span is sent under its name."""
    fields = {
        "agent_instance_id": ID,
        "schema_name": "n",
        "status": "complete",
        "payload": {"a": 1},
        "result_payload": {"b": 2},
        "id": ID,
        "parent_span_id": ID,
        "started_at": NOW,
        "finished_at": NOW,
        "sensitive_encoding": False,
        "idempotency_key": "k",
    }
    sent: list[Any] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return httpx.Response(
            200, json={**one(SPAN), "control": {"terminate": True, "reason": "enough"}}
        )

    span = await use(lambda client: client.agent_spans.create(**fields), handle)
    assert sent == [{"details": fields, "idempotency_key": "k"}]
    assert span.control.model_dump() == IsPartialDict(terminate=True, reason="enough")


@pytest.mark.parametrize("kind", [Client, AsyncClient], ids=["sync", "async"])
def test_a_client_that_cannot_work_is_rejected(kind: type) -> None:
    """A URL is needed, and limits have to be possible; the environment is not read."""
    with pytest.raises(SettingsError, match="api_url is missing"):
        kind()
    for timeout_s in (0, -1, math.nan):
        with pytest.raises(SettingsError, match=r"timeout_s is .* above 0"):
            kind("http://h", timeout_s=timeout_s)
    with pytest.raises(SettingsError, match="max_retries is -1; expected 0 or more"):
        kind("http://h", max_retries=-1)


@both
async def test_a_client_is_closed_by_its_block(use: Use) -> None:
    """A call after that is an error."""
    kept: list[AnyClient] = []

    def keep(client: AnyClient) -> Result:
        kept.append(client)
        return client.ping()

    await use(keep, lambda _request: httpx.Response(200, json={}))
    with pytest.raises(UsageError, match="was closed"):
        await waited(kept[0].ping)
