"""Agent spans: create, finish, list."""

from __future__ import annotations

from typing import Final, Unpack

from remit._endpoints._arguments import body_of, encode, key, query_of, segment
from remit._endpoints._call import API, MAX_LIST_BYTES, Call, page, success
from remit._endpoints._fields import JsonMapping, SpanFields, SpanListFields, Timestamp
from remit._endpoints._instances import PAGING
from remit.errors import UsageError
from remit.models._words import FinishStatus
from remit.models.agent_span import (
    AgentSpan,
    AnsweredSpan,
    CreateAgentSpanRequest,
    FinishAgentSpanRequest,
)
from remit.models.envelope import ListResponse

PATH: Final = f"{API}/agent_spans"
LIST_NAMES: Final = {
    "agent_instance_id": "agent_instance_id",
    "agent_id": "agent_id",
    "start_time": "start_time",
    "end_time": "end_time",
    "include_summaries": "include_summaries",
    "include_risk_level": "include_risk_level",
    **PAGING,
}

_spans: Final = page(AgentSpan)


def _answered(body: bytes) -> AnsweredSpan:
    answer = success(AnsweredSpan, body)
    return answer.details.model_copy(update={"control": answer.control})


def create_span(**fields: Unpack[SpanFields]) -> Call[AnsweredSpan]:
    """Describe a new span, which may have ended already."""
    where = "agent_spans.create"
    idempotency_key = key(fields.get("idempotency_key"))
    given = {**fields, "idempotency_key": idempotency_key}
    given["payload"] = fields.get("payload") or {}
    details = body_of(where, given, CreateAgentSpanRequest)
    # Both places: the published Python client sends it in the one, the TypeScript client in the
    # other, and which of them a server reads is not known (CONTRACT.md section 4).
    body = {"details": details, "idempotency_key": idempotency_key}
    return Call("POST", PATH, _answered, encode(where, body))


def finish_span(
    agent_span_id: str,
    *,
    status: FinishStatus | None = None,
    result_payload: JsonMapping | None = None,
    timestamp: Timestamp = None,
    sensitive_encoding: bool | None = None,
    idempotency_key: str | None = None,
) -> Call[AnsweredSpan]:
    """Describe a span's finish: it stands where *status* says, for good."""
    where = "agent_spans.finish"
    fields = {
        "status": status,
        "result_payload": result_payload,
        "timestamp": timestamp,
        "sensitive_encoding": sensitive_encoding,
        "idempotency_key": key(idempotency_key),
    }
    path = f"{PATH}/{segment('agent_span_id', agent_span_id)}/finish"
    return Call(
        "POST", path, _answered, encode(where, body_of(where, fields, FinishAgentSpanRequest))
    )


def list_spans(**fields: Unpack[SpanListFields]) -> Call[ListResponse[AgentSpan]]:
    """Describe a page of the spans of an instance or of an agent."""
    where = "agent_spans.list"
    query = query_of(where, fields, LIST_NAMES)
    if not (fields.get("agent_instance_id") or fields.get("agent_id")):
        raise UsageError(f"{where} needs agent_instance_id or agent_id: the API lists no others")
    return Call("GET", PATH, _spans, query=query, limit_bytes=MAX_LIST_BYTES)
