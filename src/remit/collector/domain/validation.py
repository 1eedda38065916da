"""Compares spans and quality payloads with their declarations, and renders summaries.

A span is compared when it arrives, and the outcome is stored as flags of its row; the differences
are listed again when it is read. Nothing is refused because of them.
"""

from __future__ import annotations

from typing import Final, cast

from remit.collector.domain.context import Context
from remit.collector.domain.spans import SpanToCreate, SpanToFinish
from remit.collector.domain.states import COMPLETE
from remit.collector.json_io import encode, read_json
from remit.collector.store import (
    BAD_PAYLOAD,
    BAD_RESULT,
    FOUND,
    MARKED,
    UNCHECKED_PAYLOAD,
    UNCHECKED_RESULT,
    UNDECLARED,
    InstanceRow,
    SpanRow,
    Transaction,
)
from remit.collector.store.statements import EMPTY
from remit.collector.validation import (
    Budget,
    CompiledSpanType,
    Declarations,
    Declared,
    SchemaVerdict,
    exceeded,
    markers_in,
    may_hold,
)
from remit.collector.views import span_view
from remit.collector.views.spans import SpanView

_PAYLOAD: Final = {
    SchemaVerdict.GOOD: 0,
    SchemaVerdict.BAD: BAD_PAYLOAD,
    SchemaVerdict.UNCHECKED: UNCHECKED_PAYLOAD,
}
_RESULT: Final = {
    SchemaVerdict.GOOD: 0,
    SchemaVerdict.BAD: BAD_RESULT,
    SchemaVerdict.UNCHECKED: UNCHECKED_RESULT,
}
_FAILED: Final = "failed"
_VIOLATIONS: Final = '"violations"'
_UNDECLARED_QUALITY: Final = "the name is not declared in the schema version of the run"


def found_at_creation(ctx: Context, instance: InstanceRow, fields: SpanToCreate) -> int:
    """Return the flags of a new span."""
    version = ctx.declarations.of(ctx.tx, instance.agent_schema_version_id)
    span_type = version.types.get(fields.schema_name)
    text = str(fields.payload, "utf-8")
    payload = cast("dict[str, object]", fields.payload_read)
    held = may_hold(text)
    flags = MARKED if held and _marked(payload) else 0
    if fields.result_read is not None:
        flags |= _of_result(ctx, span_type, fields.status, fields)
    if span_type is None:
        return flags | UNDECLARED
    return flags | _PAYLOAD[span_type.params.verdict(payload, text, ctx.budget, held=held)]


def found_at_finish(ctx: Context, instance: InstanceRow, row: SpanRow, fields: SpanToFinish) -> int:
    """Return the flags that the finish of a span adds."""
    if fields.result_read is None:
        return 0
    version = ctx.declarations.of(ctx.tx, instance.agent_schema_version_id)
    return _of_result(ctx, version.types.get(row.schema_name), row.status, fields)


def shown(
    ctx: Context, row: SpanRow, instance: InstanceRow, *, with_summary: bool = False
) -> SpanView:
    """Return the view of a span, with its differences from its declaration.

    Args:
        ctx: The request.
        row: The span.
        instance: Its run.
        with_summary: Whether its template is rendered.
    """
    version = ctx.declarations.of(ctx.tx, instance.agent_schema_version_id)
    return shown_span(version, row, instance, ctx.budget, with_summary=with_summary)


def shown_span(
    version: Declared,
    row: SpanRow,
    instance: InstanceRow,
    budget: Budget,
    *,
    with_summary: bool = True,
) -> SpanView:
    """Return the view of a span; its errors and its summary take no longer than *budget*."""
    span_type = version.types.get(row.schema_name)
    title = row.schema_name if span_type is None else span_type.title
    errors = schema_errors(version, row, budget) if row.flags & FOUND else ()
    summary = _summary(span_type, row, budget) if with_summary and span_type is not None else None
    return span_view(row, instance, title, schema_errors=errors, summary=summary)


def schema_errors(version: Declared, row: SpanRow, budget: Budget) -> list[str]:
    """Return the differences of a span from its type, or why it was not compared."""
    span_type = version.types.get(row.schema_name)
    errors: list[str] = []
    if span_type is None:
        return errors
    if row.flags & (BAD_PAYLOAD | UNCHECKED_PAYLOAD):
        differences = span_type.params.errors(read_json(row.payload), row.payload, budget)
        errors += [f"payload {difference}" for difference in differences]
    result = row.result_payload
    if result and row.flags & (BAD_RESULT | UNCHECKED_RESULT):
        differences = span_type.result.errors(read_json(result), result, budget)
        errors += [f"result_payload {difference}" for difference in differences]
    return errors


def judged_qualities(
    tx: Transaction, declarations: Declarations, instance: InstanceRow, budget: Budget
) -> tuple[dict[str, str | None], dict[str, list[str]]]:
    """Return the summaries and the errors of the quality payloads of a run, both by name.

    Nothing is compared if the agent declares no quality payload.
    """
    summaries: dict[str, str | None] = {}
    errors: dict[str, list[str]] = {}
    if instance.quality_payloads == EMPTY:
        return summaries, errors
    qualities = declarations.of(tx, instance.agent_schema_version_id).qualities
    payloads = cast("dict[str, dict[str, object]]", read_json(instance.quality_payloads))
    chars = len(instance.quality_payloads)
    for name, payload in payloads.items() if qualities else ():
        quality = qualities.get(name)
        if quality is None:
            errors[name] = [_UNDECLARED_QUALITY]
            continue
        summaries[name] = quality.template.summary(payload, chars, budget)
        text = encode(payload).decode()
        if quality.schema.verdict(payload, text, budget) is not SchemaVerdict.GOOD:
            errors[name] = quality.schema.errors(payload, text, budget)
    return summaries, errors


def _of_result(
    ctx: Context,
    span_type: CompiledSpanType | None,
    status: str,
    fields: SpanToCreate | SpanToFinish,
) -> int:
    text = str(fields.result_payload, "utf-8")
    result = cast("dict[str, object]", fields.result_read)
    held = may_hold(text)
    denied = status == _FAILED and _VIOLATIONS in text
    flags = MARKED if denied or (held and _marked(result)) else 0
    # A span type declares the result of a step, but not its errors.
    if span_type is None or status != COMPLETE:
        return flags
    return flags | _RESULT[span_type.result.verdict(result, text, ctx.budget, held=held)]


def _marked(payload: dict[str, object]) -> bool:
    return any(markers_in(payload)) or bool(exceeded(payload))


def _summary(span_type: CompiledSpanType, row: SpanRow, budget: Budget) -> str | None:
    """Return the summary of a span; the members of its result replace those of its payload."""
    if not span_type.template.usable:
        return None
    payload = cast("dict[str, object]", read_json(row.payload))
    result = cast("dict[str, object]", read_json(row.result_payload or "{}"))
    chars = len(row.payload) + len(row.result_payload or "")
    return span_type.template.summary({**payload, **result}, chars, budget)
