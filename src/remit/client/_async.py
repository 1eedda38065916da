"""The asynchronous client; `_sync.py` is generated from it, by `python tools/sync_client.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, Self, TypeVar, Unpack

from remit._base.backoff import delays
from remit._base.clock import Deadline, SystemClock
from remit.client._http import DEFAULT_TIMEOUT_S, AsyncHttpClient, AsyncTransport, tries
from remit.client.endpoints import table as endpoints
from remit.client.endpoints.bulk import bulk
from remit.client.endpoints.endpoint import Call, JsonMapping
from remit.errors import SettingsError, UnavailableError, UsageError
from remit.models._types import FinishStatus
from remit.models.agent import Agent
from remit.models.agent_instance import AgentInstance
from remit.models.agent_span import AgentSpan, AnsweredSpan
from remit.models.bulk import BulkItem, BulkResponse
from remit.models.envelope import ListResponse, PingResponse

T = TypeVar("T")


class AsyncCallSender(Protocol):
    """Sends a call and returns its result, awaitable."""

    async def __call__(self, call: Call[T]) -> T:
        """Return the API's response to *call*."""
        ...


class AsyncEndpoints:
    """Base of the endpoints of one kind."""

    def __init__(self, send: AsyncCallSender) -> None:
        """Send through *send*."""
        self._send: Final = send


class AsyncAgentInstances(AsyncEndpoints):
    """The endpoints for agent instances. An instance is a run of an agent."""

    async def register(self, **fields: Unpack[endpoints.RegisterFields]) -> AgentInstance:
        """Register a pending instance of an agent, with the agent version and its span types."""
        return await self._send(
            endpoints.REGISTER_INSTANCE.call(**{"update_current_version": True, **fields})
        )

    async def start(
        self,
        agent_instance_id: str,
        *,
        timestamp: endpoints.Timestamp = None,
        idempotency_key: str | None = None,
    ) -> AgentInstance:
        """Start a pending instance. The default for *timestamp* is the current time."""
        return await self._send(
            endpoints.START_INSTANCE.call(
                agent_instance_id, timestamp=timestamp, idempotency_key=idempotency_key
            )
        )

    async def finish(
        self,
        agent_instance_id: str,
        *,
        status: FinishStatus | None = None,
        timestamp: endpoints.Timestamp = None,
        idempotency_key: str | None = None,
    ) -> AgentInstance:
        """End an instance. The default status is `complete`."""
        return await self._send(
            endpoints.FINISH_INSTANCE.call(
                agent_instance_id,
                status=status,
                timestamp=timestamp,
                idempotency_key=idempotency_key,
            )
        )

    async def get(self, agent_instance_id: str) -> AgentInstance:
        """Return one instance."""
        return await self._send(endpoints.GET_INSTANCE.call(agent_instance_id))

    async def list(
        self, **fields: Unpack[endpoints.InstanceListFields]
    ) -> ListResponse[AgentInstance]:
        """Return a page of an agent's instances."""
        if not fields.get("agent_id"):
            raise UsageError(
                "agent_instances.list needs agent_id: the API lists the instances of one agent"
            )
        return await self._send(endpoints.LIST_INSTANCES.call(**fields))

    async def terminate(
        self, agent_instance_id: str, *, reason: str, idempotency_key: str | None = None
    ) -> AgentInstance:
        """Terminate an active instance. The response to its next span contains a signal."""
        return await self._send(
            endpoints.TERMINATE_INSTANCE.call(
                agent_instance_id, reason=reason, idempotency_key=idempotency_key
            )
        )

    async def record_quality(
        self,
        agent_instance_id: str,
        *,
        name: str,
        payload: JsonMapping | None,
        idempotency_key: str | None = None,
    ) -> AgentInstance:
        """Set the score *name*. If *payload* is None, remove the score."""
        return await self._send(
            endpoints.RECORD_QUALITY.call(
                agent_instance_id, name=name, payload=payload, idempotency_key=idempotency_key
            )
        )


class AsyncAgentSpans(AsyncEndpoints):
    """The endpoints for spans. A span is a step of a run."""

    async def create(self, **fields: Unpack[endpoints.SpanFields]) -> AnsweredSpan:
        """Create a span. The returned object's `control` shows whether the run was terminated."""
        payload = fields.get("payload") or {}
        return await self._send(endpoints.CREATE_SPAN.call(**{**fields, "payload": payload}))

    async def finish(
        self,
        agent_span_id: str,
        *,
        status: FinishStatus | None = None,
        result_payload: JsonMapping | None = None,
        timestamp: endpoints.Timestamp = None,
        sensitive_encoding: bool | None = None,
        idempotency_key: str | None = None,
    ) -> AnsweredSpan:
        """End a span. The returned object's `control` shows whether the run was terminated."""
        return await self._send(
            endpoints.FINISH_SPAN.call(
                agent_span_id,
                status=status,
                result_payload=result_payload,
                timestamp=timestamp,
                sensitive_encoding=sensitive_encoding,
                idempotency_key=idempotency_key,
            )
        )

    async def list(self, **fields: Unpack[endpoints.SpanListFields]) -> ListResponse[AgentSpan]:
        """Return a page of the spans of an instance or an agent."""
        if not (fields.get("agent_instance_id") or fields.get("agent_id")):
            raise UsageError(
                "agent_spans.list needs agent_instance_id or agent_id: the API lists no others"
            )
        return await self._send(endpoints.LIST_SPANS.call(**fields))


class AsyncBulk(AsyncEndpoints):
    """The endpoint that executes several operations in one request."""

    async def execute(self, items: Sequence[BulkItem | JsonMapping]) -> BulkResponse:
        """Execute *items* in order, up to the first one that fails. Later items have no output."""
        return await self._send(bulk(items))


class AsyncAgents(AsyncEndpoints):
    """The endpoints for agents."""

    async def show(
        self,
        *,
        agent_id: str | None = None,
        external_identifier: str | None = None,
        environment_id: str | None = None,
        include_counts: bool = False,
        include_risk_rollup: bool = False,
    ) -> Agent:
        """Return one agent, by its id or its external identifier."""
        if bool(agent_id) == bool(external_identifier):
            raise UsageError("agents.show needs either agent_id or external_identifier")
        return await self._send(
            endpoints.SHOW_AGENT.call(
                agent_id=agent_id,
                external_identifier=external_identifier,
                environment_id=environment_id,
                include_counts=include_counts,
                include_risk_rollup=include_risk_rollup,
            )
        )

    async def create(self, **fields: Unpack[endpoints.AgentFields]) -> Agent:
        """Create an agent."""
        return await self._send(endpoints.CREATE_AGENT.call(**fields))


class AsyncClient:
    """A typed client for the HTTP API, for use with `async with` in one event loop.

    Every call that changes something sends an idempotency key, so that the client can safely retry
    it.
    """

    agent_instances: AsyncAgentInstances
    """Methods to register, start, finish, get, list and terminate instances, and to record
    scores.
    """
    agent_spans: AsyncAgentSpans
    """Methods to create, finish and list spans."""
    bulk: AsyncBulk
    """Method to execute several operations in one request."""
    agents: AsyncAgents
    """Methods to show and create agents."""

    def __init__(
        self,
        api_url: str | None = None,
        api_token: str | None = None,
        *,
        transport: AsyncTransport | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_retries: int = 2,
    ) -> None:
        """Send to *api_url*; nothing is opened before the first call.

        Args:
            api_url: URL of the API, without `/api/v1`. It is optional if you pass a transport.
            api_token: Bearer token. Without it, requests do not contain an `Authorization` header.
            transport: An `httpx.AsyncBaseTransport`, or its equivalent in httpx2, to use instead of
                the network.
            timeout_s: Maximum seconds for one call, including retries and the waits between them.
            max_retries: Maximum number of retries if the API cannot be reached or responds that it
                is unavailable.

        Raises:
            SettingsError: If a value is not valid.
        """
        if max_retries < 0:
            raise SettingsError(f"max_retries is {max_retries}; expected 0 or more")
        self._timeout_s: Final = timeout_s
        self._max_retries: Final = max_retries
        self._http = AsyncHttpClient(api_url, api_token, transport=transport, timeout_s=timeout_s)
        self.agent_instances = AsyncAgentInstances(self._send)
        self.agent_spans = AsyncAgentSpans(self._send)
        self.bulk = AsyncBulk(self._send)
        self.agents = AsyncAgents(self._send)

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connections."""
        await self.aclose()

    async def ping(self) -> PingResponse:
        """Check that the API responds and accepts the token."""
        return await self._send(endpoints.PING.call())

    async def aclose(self) -> None:
        """Close the connections. Later calls raise an error."""
        await self._http.aclose()

    async def _send(self, call: Call[T]) -> T:
        deadline = Deadline.after(self._timeout_s, SystemClock())
        decisions = tries(deadline, self._max_retries, delays())
        wait_s = next(decisions)
        while True:
            await self._http.wait(wait_s)
            try:
                return await self._http.send(call, timeout_s=deadline.remaining_s())
            except UnavailableError as error:
                wait_s = decisions.send(error)
