"""Parameters of span operations, read by msgspec, five times as fast as the wire models.

A property test verifies that both accept the same.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Raw
from pydantic import BaseModel

from remit.collector.domain.params import check_name, checked_id, model_of
from remit.collector.errors import invalid_field, malformed
from remit.collector.json_io import finite, value_of
from remit.models.agent_span import CreateAgentSpanRequest, FinishAgentSpanRequest

CREATE: Final = "agent_spans/create"
FINISH: Final = "agent_spans/finish"
NULL: Final = Raw(b"null")

SpanStatus: TypeAlias = Literal["pending", "active", "complete", "failed", "cancelled"]
FinishStatus: TypeAlias = Literal["complete", "failed", "cancelled"]
T = TypeVar("T")


class SpanCall(NamedTuple):
    """One span operation.

    Attributes:
        params: Its fields, a JSON object in UTF-8.
    """

    operation: str
    params: bytes | Raw
    key: str | None


class SpanToCreate(msgspec.Struct, gc=False):
    """Fields of a create; the payloads are stored as received and decoded for checks.

    Values that a client sends under the names of the last two are overwritten.
    """

    agent_instance_id: str
    schema_name: str
    status: SpanStatus
    payload: Raw = Raw(b"{}")
    result_payload: Raw = NULL
    id: str | None = None
    parent_span_id: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    sensitive_encoding: bool | None = None
    payload_read: object = None
    result_read: object = None

    @property
    def result(self) -> str | None:
        """JSON of the result, or None."""
        return _text(self.result_payload)


class SpanToFinish(msgspec.Struct, gc=False):
    """Fields of a finish."""

    agent_span_id: str
    status: FinishStatus | None = None
    result_payload: Raw = NULL
    timestamp: str | None = None
    sensitive_encoding: bool | None = None
    result_read: object = None

    @property
    def result(self) -> str | None:
        """JSON of the result, or None."""
        return _text(self.result_payload)


class _FinishRequest(FinishAgentSpanRequest):
    """A finish with the id that its path names."""

    agent_span_id: str


_read_create: Final = msgspec.json.Decoder(SpanToCreate, float_hook=finite)
_read_finish: Final = msgspec.json.Decoder(SpanToFinish, float_hook=finite)
_UNFINISHED: Final = frozenset({"pending", "active"})


def span_to_create(params: bytes | Raw, max_depth: int) -> SpanToCreate:
    """Return the fields of a create, validated without the database.

    Raises:
        RequestError: 400 or 422.
    """
    span = _read(_read_create, CreateAgentSpanRequest, params, max_depth)
    span.payload_read = span.result_read = None
    check_name("schema_name", span.schema_name)
    check_name("parent_span_id", span.parent_span_id)
    checked_id(span.id)
    span.payload_read = _object("payload", span.payload, max_depth)
    if span.result_payload != NULL:
        span.result_read = _object("result_payload", span.result_payload, max_depth)
        if span.status in _UNFINISHED:
            raise invalid_field("result_payload", f"must be absent while a span is {span.status}")
    return span


def span_to_finish(params: bytes | Raw, max_depth: int) -> SpanToFinish:
    """Return the fields of a finish, validated without the database.

    Raises:
        RequestError: 400 or 422.
    """
    span = _read(_read_finish, _FinishRequest, params, max_depth)
    span.result_read = None
    if span.result_payload != NULL:
        span.result_read = _object("result_payload", span.result_payload, max_depth)
    return span


def _read(
    decoder: msgspec.json.Decoder[T], model: type[BaseModel], params: bytes | Raw, max_depth: int
) -> T:
    try:
        return decoder.decode(params)
    except (msgspec.DecodeError, RecursionError) as error:
        # The wire model names every wrong field; msgspec stops at the first.
        model_of(model, bytes(params), max_depth)
        raise malformed(f"the item is not readable: {error}") from error


def _object(field: str, raw: Raw, max_depth: int) -> dict[str, object]:
    """Return a payload, an object that every reader can decode."""
    value = value_of(raw, max_depth)
    if not isinstance(value, dict):
        raise invalid_field(field, "must be an object")
    return cast("dict[str, object]", value)


def _text(raw: Raw) -> str | None:
    return None if raw == NULL else str(raw, "utf-8")
