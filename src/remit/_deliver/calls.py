"""The calls that the sender makes, with answers read only as far as it needs them.

A model of the whole instance would reject answers of older servers for fields that do not matter
here; the paths and the bulk call are those of `remit.client.endpoints`.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import msgspec
from msgspec import Raw

from remit._base.clock import Deadline, iso8601
from remit._base.encoding import growing
from remit._base.guard import attempt
from remit._base.ids import key_text
from remit._base.loops import SENDER
from remit._deliver.losses import ORPHAN
from remit._deliver.stored import Registration, StoredRun
from remit._record.items import Item
from remit.client.endpoints.endpoint import Call, Endpoint
from remit.client.endpoints.responses import lenient, output_error
from remit.client.endpoints.table import (
    BULK,
    CREATE_AGENT,
    FINISH_INSTANCE,
    GET_INSTANCE,
    RECORD_QUALITY,
    REGISTER_INSTANCE,
    SHOW_AGENT,
    START_INSTANCE,
)
from remit.errors import ApiError, ContractError, NotFoundError, RejectedError, UnavailableError
from remit.models.routes import IDENTIFY_AGENT, OWN_API

T = TypeVar("T")

Instances: TypeAlias = "Mapping[str, Instance | ApiError]"
"""By idempotency key: the instance, or the rejection of the first operation that was rejected."""

LIVE: Final = "live"
HOLDS: Final = "/api/remit/v1/holds"
BUSY: Final = "unavailable"
"""Error code of an item for which the server had no time; it may take such items in bulk."""
NAMES_NONE: Final = "the bulk response has none of the items that were sent; check the api_url"
WAITING_PATH: Final = "/api/remit/v1/waiting"
AGENT_KEY_CHARS: Final = 32
# Requests of different runs that are sent at the same time.
SIDE_BY_SIDE: Final = 4


class Client(Protocol):
    """Sends calls: `remit.client._http.HttpClient`, the collector of local mode, a double."""

    @property
    def holds_locks(self) -> bool:
        """Whether a call may hold locks that the child of a fork needs."""
        ...

    @property
    def hold_number(self) -> int | None:
        """Number of the holds in the last answer that had one; None before."""
        ...

    def send(self, call: Call[T], *, timeout_s: float | None = None) -> T:
        """Send *call* once and return its parsed answer."""
        ...

    def close(self) -> None: ...


class OutOfTimeError(Exception):
    """The deadline of a shutdown passed, so nothing more is sent. It is caught in delivery."""


SEND_ERRORS: Final = (ApiError, OutOfTimeError)
"""Exceptions of a call that are not faults of remit's."""


@dataclass(slots=True)
class BulkSupport:
    """Which operations on runs a server takes in bulk requests; each is tried once.

    Attributes:
        registrations: Registrations; None before the first was taken. False once the server has
            taken one alone that it rejected in bulk, before it took any in bulk.
        runs: Starts, quality payloads and ends; None before the first.
        reads: Reads of instances, until the server has rejected them.
    """

    registrations: bool | None = None
    runs: bool | None = None
    reads: bool = True


class DeadlineClient:
    """Sends calls with the timeout of a request and the deadline of a shutdown.

    Attributes:
        deadline: Deadline of a shutdown; None before one.
        answered: Number of calls that the API answered, rejections included.
    """

    def __init__(self, client: Client, timeout_s: float) -> None:
        """Send through *client*, each call at most *timeout_s* seconds long."""
        self.deadline: Deadline | None = None
        self.answered = 0
        self._client = client
        self._timeout_s = timeout_s
        self._counting = threading.Lock()

    @property
    def hold_number(self) -> int | None:
        """Number of the holds in the last answer that had one; None before."""
        return self._client.hold_number

    def call(self, call: Call[T]) -> T:
        """Return the API's answer to *call*.

        Raises:
            OutOfTimeError: The deadline passed before an answer came.
            ContractError: Also for a 404 that is not the API's own: the URL is wrong.
            ApiError: As the client raises it.
        """
        try:
            answer = self._client.send(call, timeout_s=self._remaining_s())
        except RejectedError as error:
            if isinstance(error, NotFoundError) and error.code is None:
                raise ContractError(str(error), status=error.status) from error
            self._count()
            raise
        except UnavailableError as error:
            if self.deadline is not None and self.deadline.remaining_s() <= 0:
                # The process ends; the server did not fail.
                raise OutOfTimeError from error
            raise
        self._count()
        return answer

    def call_side_by_side(self, requests: Sequence[Call[T]]) -> list[T | Exception]:
        """Send *requests* on several threads; return for each its answer or its exception."""
        results: list[T | Exception] = [OutOfTimeError()] * len(requests)
        numbers = deque(range(len(requests)))

        def work() -> None:
            with suppress(IndexError):
                while True:
                    number = numbers.popleft()
                    results[number] = attempt(partial(self.call, requests[number]))

        threads = list[threading.Thread]()
        with suppress(RuntimeError):  # no thread starts while the interpreter exits
            for _ in range(min(SIDE_BY_SIDE, len(requests)) - 1):
                thread = threading.Thread(target=work, name=SENDER, daemon=True)
                thread.start()
                threads.append(thread)
        work()
        for thread in threads:
            thread.join()
        return results

    def _count(self) -> None:
        with self._counting:
            self.answered += 1

    def _remaining_s(self) -> float:
        if self.deadline is None:
            return self._timeout_s
        left_s = self.deadline.remaining_s()
        if left_s <= 0:
            raise OutOfTimeError
        return min(self._timeout_s, left_s)


class Agent(msgspec.Struct, gc=False):
    """An agent, as far as the sender reads it."""

    id: str
    external_identifier: str | None = None


class Collision(msgspec.Struct, gc=False):
    """Another program that registered the same agent.

    Attributes:
        steps: Names of some of its steps.
    """

    steps: list[str] = []
    owner: str | None = None


class Instance(msgspec.Struct, gc=False):
    """An agent instance, as far as the sender reads it.

    Attributes:
        agent: The agent; remit's collector returns it at a registration.
        keeps_schema: Whether the server takes the identifier of the schema version alone next time;
            remit's collector does.
        collision: Another program that registered the agent in the last 24 hours; remit's collector
            says it at the first registration of a process.
    """

    id: str
    status: str | None = None
    termination_reason: str | None = None
    agent_id: str | None = None
    agent: Agent | None = None
    keeps_schema: bool = False
    collision: Collision | None = None


class _InstanceAnswer(msgspec.Struct):
    details: Instance
    agent: Agent | None = None
    keeps_schema: bool = False
    collision: Collision | None = None


class _InstanceOutput(msgspec.Struct, gc=False):
    status: str
    code: str | None = None
    message: str | None = None
    errors: object = None
    details: Instance | None = None
    agent: Agent | None = None
    keeps_schema: bool = False
    collision: Collision | None = None


class _BulkAnswer(msgspec.Struct):
    outputs: dict[str, _InstanceOutput]


class HeldAgent(msgspec.Struct, gc=False):
    """An agent that a hold is about."""

    name: str
    external_identifier: str | None = None


class ListedHold(msgspec.Struct, gc=False):
    """A hold of remit's collector, as far as the sender reads it."""

    id: str
    actions: list[str]
    agents: list[HeldAgent]
    declared_only: bool
    reason: str
    held_by: str
    ends_in_s: float | None = None


class ListedHolds(msgspec.Struct, gc=False):
    """The holds in force, and their number."""

    number: int
    holds: list[ListedHold]


class _AgentAnswer(msgspec.Struct):
    details: Agent


class _IdentifiedAnswer(msgspec.Struct):
    agent: Agent | None = None


class _SchemaVersion(msgspec.Struct):
    external_identifier: str


class _AnyAnswer(msgspec.Struct):
    """Any JSON object; its content is not read."""


_encode: Final = growing(msgspec.json.Encoder())
_read_identifier: Final = msgspec.json.Decoder(_SchemaVersion).decode


class InstanceOperation(msgspec.Struct, frozen=True, gc=False):
    """One operation on a run: a single request, or an item of a bulk request.

    Both forms carry the same idempotency key, so that one of each is one operation.

    Attributes:
        fields: The other fields; those that are None are not sent.
    """

    endpoint: Endpoint[Any]
    key: str
    instance_id: str | None
    fields: Mapping[str, object]

    def item(self) -> Raw:
        """Return the item of a bulk request."""
        return Raw(
            _body(
                _type=self.endpoint.route.operation,
                agent_instance_id=self.instance_id,
                **self._sent,
            )
        )

    def call(self) -> Call[None]:
        """Return the single request; its answer is not read."""
        body = _body(**self._sent)
        return self.endpoint.raw(self.instance_id or "", read=_nothing, body=body, minimal=True)

    @property
    def _sent(self) -> dict[str, object]:
        return {"idempotency_key": self.key, **self.fields}


def register(run: StoredRun, agent_id: str | None, *, kept: bool = False) -> InstanceOperation:
    """Return the operation that registers a run; its bytes depend only on the arguments.

    If the server has *kept* the schema version, only its identifier is sent.
    """
    registration = run.registration
    fields = {
        "agent_version": Raw(registration.version),
        "agent_schema_version": _identifier_alone(registration)
        if kept
        else Raw(registration.schema),
        "schema_kept": kept or None,
        "purpose": run.purpose,
        "update_current_version": run.purpose == LIVE,
        "external_identifier": run.key,
        "agent_id": agent_id,
        "environment_id": registration.environment_id,
    }
    return InstanceOperation(REGISTER_INSTANCE, f"reg-{run.key}", None, fields)


def alone(operation: InstanceOperation) -> Call[Instance]:
    """Return the single request of a registration."""
    body = _body(idempotency_key=operation.key, **operation.fields)
    return operation.endpoint.raw(read=_instance, body=body, minimal=True)


@lru_cache
def _identifier_alone(registration: Registration) -> Raw:
    return Raw(_encode(_read_identifier(registration.schema)))


def start_key(run_key: str) -> str:
    """Return the idempotency key of the start of a run."""
    return f"start-{run_key}"


def start(run: StoredRun, instance_id: str) -> InstanceOperation:
    """Return the operation that starts a run."""
    fields = {"timestamp": iso8601(run.started_ns)}
    return InstanceOperation(START_INSTANCE, start_key(run.key), instance_id, fields)


def finish(item: Item, instance_id: str) -> InstanceOperation:
    """Return the operation that ends a run, from its `CLOSE` item."""
    fields = {
        "timestamp": None if item.finished_ns is None else iso8601(item.finished_ns),
        "status": item.status,
    }
    key = f"{'orphan' if item.name == ORPHAN else 'fin'}-{item.run_key}"
    return InstanceOperation(FINISH_INSTANCE, key, instance_id, fields)


def quality(item: Item, instance_id: str) -> InstanceOperation:
    """Return the operation that records a quality, from its `QUALITY` item."""
    fields = {"name": item.name, "payload": Raw(item.payload or b"null")}
    key = f"q-{key_text(item.key)}"
    return InstanceOperation(RECORD_QUALITY, key, instance_id, fields)


def get_instance(instance_id: str) -> Call[Instance]:
    """Return the call that reads an instance."""
    return GET_INSTANCE.raw(instance_id, read=_instance)


def find_waiting(run: StoredRun) -> Call[Instance]:
    """Return the call that finds the run which waits for an answer in a conversation."""
    registration = run.registration
    query = [("agent", registration.external_identifier), ("conversation", run.conversation or "")]
    if registration.agent_id is not None:
        query[0] = ("agent_id", registration.agent_id)
    return Call("GET", WAITING_PATH, _instance, None, tuple(query))


def show(run_key: str, instance_id: str) -> InstanceOperation:
    """Return the operation that reads the instance of a run, for a bulk request."""
    return InstanceOperation(GET_INSTANCE, f"show-{run_key}", instance_id, {})


def in_bulk(operations: Sequence[InstanceOperation]) -> Call[Instances]:
    """Return the bulk request of *operations*; the server stops at the first that it rejects."""
    body = _encode({"items": [operation.item() for operation in operations]})
    return BULK.raw(read=_instances, body=body, minimal=True)


def holds_in_force() -> Call[ListedHolds]:
    """Return the call that lists the holds in force at remit's collector."""
    return Call("GET", HOLDS, _read_holds, query=(("in_force", "true"),))


def report_holds(body: Mapping[str, object]) -> Call[None]:
    """Return the call that says which holds this process knows."""
    return Call("POST", f"{HOLDS}/known", _nothing, _encode(body))


def find_agent(identifier: str) -> Call[Agent]:
    """Return the call that looks up an agent by its external identifier."""
    query = (("external_identifier", identifier),)
    return SHOW_AGENT.raw(read=_agent, query=query)


def identify_agent(registration: Registration) -> Call[Agent | None]:
    """Return the call that finds the agent of an identifier with a project.

    remit's collector gives the identifier to the agent without the project if their programs agree.
    """
    body = _encode(
        {
            "external_identifier": registration.external_identifier,
            "agent_schema_version": Raw(registration.schema),
        }
    )
    return Call("POST", OWN_API + IDENTIFY_AGENT, _identified, body)


def create_agent(registration: Registration) -> Call[Agent]:
    """Return the call that creates an agent; equal agents have equal idempotency keys."""
    name = registration.external_identifier
    # Depends on the whole body: a server rejects a known key with another body.
    body = _encode([name, registration.name, registration.description])
    digest = hashlib.sha256(body).hexdigest()[:AGENT_KEY_CHARS]
    call = CREATE_AGENT.call(
        name=registration.name,
        description=registration.description,
        external_identifier=name,
        idempotency_key=f"agent-{digest}",
    )
    return CREATE_AGENT.raw(read=_agent, body=call.body)


def _body(**fields: object) -> bytes:
    return _encode({name: value for name, value in fields.items() if value is not None})


_read_instance: Final = lenient(_InstanceAnswer)
_read_bulk: Final = lenient(_BulkAnswer)
_read_agent: Final = lenient(_AgentAnswer)
_read_identified: Final = lenient(_IdentifiedAnswer)
_read_holds: Final = lenient(ListedHolds)
_read_any: Final = lenient(_AnyAnswer)


def _instance(body: bytes) -> Instance:
    answer = _read_instance(body)
    answer.details.agent = answer.agent
    answer.details.keeps_schema = answer.keeps_schema
    answer.details.collision = answer.collision
    return answer.details


def _instances(body: bytes) -> Instances:
    instances: dict[str, Instance | ApiError] = {}
    for key, output in _read_bulk(body).outputs.items():
        if output.status != "success":
            where = "an operation on a run"
            instances[key] = output_error(where, output.code, output.message, output.errors)
        elif output.details is not None:
            output.details.agent = output.agent
            output.details.keeps_schema = output.keeps_schema
            output.details.collision = output.collision
            instances[key] = output.details
    return instances


def _agent(body: bytes) -> Agent:
    return _read_agent(body).details


def _identified(body: bytes) -> Agent | None:
    return _read_identified(body).agent


def _nothing(body: bytes) -> None:
    _read_any(body)
