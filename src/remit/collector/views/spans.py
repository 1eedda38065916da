"""Spans on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from msgspec import Raw

from remit.collector.store.rows import (
    BAD_PAYLOAD,
    BAD_RESULT,
    SENSITIVE,
    UNCHECKED_PAYLOAD,
    UNCHECKED_RESULT,
    UNDECLARED,
    RunRow,
    SpanRow,
)
from remit.collector.times import format_us

_BAD: Final = BAD_PAYLOAD | BAD_RESULT
_UNCHECKED: Final = UNCHECKED_PAYLOAD | UNCHECKED_RESULT | UNDECLARED


class SpanView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A span; a struct, because encoding one costs a third of encoding a dict."""

    type: Literal["agent_span"] = "agent_span"
    id: str
    account_id: str
    agent_id: str
    agent_instance_id: str
    parent_span_id: str | None
    schema_name: str
    schema_title: str
    status: str
    payload: Raw
    result_payload: Raw | None
    summary: str | None = None
    started_at: str | None
    finished_at: str | None
    sensitive_encoding: bool
    risk_level: str | None = None
    risk_score: float | None = None
    purpose: str
    valid: bool | None
    schema_errors: Sequence[str]
    payload_byte_size_estimate: int
    inserted_at: str
    updated_at: str


def span_view(
    row: SpanRow,
    run: RunRow,
    title: str,
    *,
    schema_errors: Sequence[str] = (),
) -> SpanView:
    """Return a span as it is now."""
    inserted_at = format_us(row.inserted_at)
    result = row.result_payload
    return SpanView(
        id=row.id,
        account_id=run.account_id,
        agent_id=run.agent_id,
        agent_instance_id=row.agent_instance_id,
        parent_span_id=row.parent_span_id,
        schema_name=row.schema_name,
        schema_title=title,
        status=row.status,
        payload=Raw(row.payload),
        result_payload=None if result is None else Raw(result),
        started_at=None if row.started_at is None else format_us(row.started_at),
        finished_at=None if row.finished_at is None else format_us(row.finished_at),
        sensitive_encoding=bool(row.flags & SENSITIVE),
        purpose=run.purpose,
        summary=row.summary,
        valid=is_valid(row.flags),
        schema_errors=schema_errors,
        payload_byte_size_estimate=len(row.payload) + len(result or ""),
        inserted_at=inserted_at,
        updated_at=inserted_at if row.updated_at == row.inserted_at else format_us(row.updated_at),
    )


def without_values(view: SpanView) -> SpanView:
    """Return a span without its values."""
    return msgspec.structs.replace(
        view, payload=Raw(b"{}"), result_payload=None, summary=None, schema_errors=()
    )


def is_valid(flags: int) -> bool | None:
    """Return whether a span is as its type declares; None if that was not found out."""
    if flags & _BAD:
        return False
    return None if flags & _UNCHECKED else True
