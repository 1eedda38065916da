"""The calls that the sender makes, with answers read only as far as it needs them.

A model of the whole instance would refuse answers of older servers for fields that do not matter
here; the paths and the bulk call are those of `remit.client.endpoints`.
"""

from __future__ import annotations

import hashlib
from typing import Final, Protocol, TypeVar

import msgspec
from msgspec import Raw

from remit._base.clock import Deadline, iso8601
from remit._base.encoding import growing
from remit._base.ids import key_text
from remit._deliver.losses import ORPHAN
from remit._deliver.spool import Registration, RunRecord
from remit._record.items import Item
from remit.client.endpoints import Call, lenient
from remit.client.endpoints.table import (
    CREATE_AGENT,
    FINISH_INSTANCE,
    GET_INSTANCE,
    RECORD_QUALITY,
    REGISTER_INSTANCE,
    SHOW_AGENT,
    START_INSTANCE,
)
from remit.errors import ApiError, ContractError, NotFoundError, RejectedError, UnavailableError

T = TypeVar("T")

LIVE: Final = "live"
AGENT_KEY_CHARS: Final = 32


class Client(Protocol):
    """Sends calls: `remit.client._http.HttpClient`, the collector of local mode, a double."""

    @property
    def holds_locks(self) -> bool:
        """Whether a call may hold locks that the child of a fork needs."""
        ...

    def send(self, call: Call[T], *, timeout_s: float | None = None) -> T:
        """Send *call* once and return its parsed answer."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class OutOfTimeError(Exception):
    """The deadline of a shutdown passed, so nothing more is sent. It is caught in delivery."""


SEND_ERRORS: Final = (ApiError, OutOfTimeError)
"""Exceptions of a call that are not faults of remit's."""


class DeadlineClient:
    """Sends calls with the timeout of a request and the deadline of a shutdown.

    Attributes:
        limit: Deadline of a shutdown; None before one.
        answered: Number of calls that the API answered, refusals included.
    """

    def __init__(self, client: Client, timeout_s: float) -> None:
        """Send through *client*, each call at most *timeout_s* seconds long."""
        self.limit: Deadline | None = None
        self.answered = 0
        self._client = client
        self._timeout_s = timeout_s

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
            self.answered += 1
            raise
        except UnavailableError as error:
            if self.limit is not None and self.limit.remaining_s() <= 0:
                # The process ends; the server did not fail.
                raise OutOfTimeError from error
            raise
        self.answered += 1
        return answer

    def _remaining_s(self) -> float:
        if self.limit is None:
            return self._timeout_s
        left_s = self.limit.remaining_s()
        if left_s <= 0:
            raise OutOfTimeError
        return min(self._timeout_s, left_s)


class Agent(msgspec.Struct):
    """An agent, as far as the sender reads it."""

    id: str
    external_identifier: str | None = None


class Instance(msgspec.Struct):
    """An agent instance, as far as the sender reads it.

    Attributes:
        id: The id.
        status: The status.
        termination_reason: The reason of a termination.
        agent_id: Id of the agent.
        agent: The agent; remit's collector returns it at a registration.
    """

    id: str
    status: str | None = None
    termination_reason: str | None = None
    agent_id: str | None = None
    agent: Agent | None = None


class _InstanceAnswer(msgspec.Struct):
    details: Instance
    agent: Agent | None = None


class _AgentAnswer(msgspec.Struct):
    details: Agent


class _AnyAnswer(msgspec.Struct):
    """Any JSON object; its content is not read."""


_encode: Final = growing(msgspec.json.Encoder())


def register(record: RunRecord, agent_id: str | None) -> Call[Instance]:
    """Return the call that registers a run; its bytes depend only on the arguments."""
    registration = record.registration
    body = _body(
        agent_version=Raw(registration.version),
        agent_schema_version=Raw(registration.schema),
        purpose=record.purpose,
        update_current_version=record.purpose == LIVE,
        external_identifier=record.key,
        idempotency_key=f"reg-{record.key}",
        agent_id=agent_id,
        environment_id=registration.environment_id,
    )
    return REGISTER_INSTANCE.raw(read=_instance, body=body)


def start(record: RunRecord, instance_id: str) -> Call[None]:
    """Return the call that starts a run."""
    body = _body(idempotency_key=f"start-{record.key}", timestamp=iso8601(record.started_ns))
    return START_INSTANCE.raw(instance_id, read=_nothing, body=body)


def finish(item: Item, instance_id: str) -> Call[None]:
    """Return the call that ends a run, from its `CLOSE` item."""
    body = _body(
        idempotency_key=f"{'orphan' if item.name == ORPHAN else 'fin'}-{item.run_key}",
        timestamp=None if item.finished_ns is None else iso8601(item.finished_ns),
        status=item.status,
    )
    return FINISH_INSTANCE.raw(instance_id, read=_nothing, body=body)


def quality(item: Item, instance_id: str) -> Call[None]:
    """Return the call that records a quality, from its `QUALITY` item."""
    body = _body(
        name=item.name,
        payload=Raw(item.payload or b"null"),
        idempotency_key=f"q-{key_text(item.key)}",
    )
    return RECORD_QUALITY.raw(instance_id, read=_nothing, body=body)


def get_instance(instance_id: str) -> Call[Instance]:
    """Return the call that reads an instance."""
    return GET_INSTANCE.raw(instance_id, read=_instance)


def find_agent(registration: Registration) -> Call[Agent]:
    """Return the call that looks up an agent by its external identifier."""
    query = (("external_identifier", registration.external_identifier),)
    return SHOW_AGENT.raw(read=_agent, query=query)


def create_agent(registration: Registration) -> Call[Agent]:
    """Return the call that creates an agent; equal agents have equal idempotency keys."""
    name = registration.external_identifier
    # Depends on the whole body: a server refuses a known key with another body.
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
_read_agent: Final = lenient(_AgentAnswer)
_read_any: Final = lenient(_AnyAnswer)


def _instance(body: bytes) -> Instance:
    answer = _read_instance(body)
    answer.details.agent = answer.agent
    return answer.details


def _agent(body: bytes) -> Agent:
    return _read_agent(body).details


def _nothing(body: bytes) -> None:
    _read_any(body)
