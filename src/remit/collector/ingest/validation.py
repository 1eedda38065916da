"""Compares spans and qualities with what was declared, and renders summaries.

That is done when a span arrives and kept as flags of its row: comparing takes less than a
hundredth of what storing does, and whoever reads later knows at once. Nothing is refused for it.
"""

from __future__ import annotations

from typing import Final, cast

from remit.collector.ingest.context import Context
from remit.collector.ingest.spans import SpanToCreate, SpanToFinish
from remit.collector.ingest.states import COMPLETE
from remit.collector.meaning import (
    Budget,
    CompiledSpanType,
    Declarations,
    Declared,
    SchemaVerdict,
    exceeded,
    markers_in,
    may_hold,
)
from remit.collector.store import (
    BAD_PAYLOAD,
    BAD_RESULT,
    FOUND,
    MARKED,
    UNCHECKED_PAYLOAD,
    UNCHECKED_RESULT,
    UNDECLARED,
    InstanceRow,
    Reading,
    SpanRow,
)
from remit.collector.store.statements import EMPTY
from remit.collector.views import span_view
from remit.collector.views.spans import SpanView
from remit.collector.wire import encode, read_json

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
    """Return the flags of what is found out about a new span."""
    said = ctx.declarations.of(ctx.tx, instance.agent_schema_version_id)
    declared = said.types.get(fields.schema_name)
    text = str(fields.payload, "utf-8")
    payload = cast("dict[str, object]", fields.payload_read)
    held = may_hold(text)
    flags = MARKED if held and _marked(payload) else 0
    if fields.result_read is not None:
        flags |= _of_result(ctx, declared, fields.status, fields)
    if declared is None:
        return flags | UNDECLARED
    return flags | _PAYLOAD[declared.params.verdict(payload, text, ctx.budget, held=held)]


def found_at_finish(ctx: Context, instance: InstanceRow, row: SpanRow, fields: SpanToFinish) -> int:
    """Return the flags of what a span's finish shows."""
    if fields.result_read is None:
        return 0
    said = ctx.declarations.of(ctx.tx, instance.agent_schema_version_id)
    return _of_result(ctx, said.types.get(row.schema_name), row.status, fields)


def shown(
    ctx: Context, row: SpanRow, instance: InstanceRow, *, with_summary: bool = False
) -> SpanView:
    """Return a span as it stands, with what was found out about it.

    Args:
        ctx: The request.
        row: The span.
        instance: Its run.
        with_summary: Whether its template is rendered.
    """
    said = ctx.declarations.of(ctx.tx, instance.agent_schema_version_id)
    return shown_span(said, row, instance, ctx.budget, with_summary=with_summary)


def shown_span(
    said: Declared,
    row: SpanRow,
    instance: InstanceRow,
    budget: Budget,
    *,
    with_summary: bool = True,
) -> SpanView:
    """Return a span as it stands; its errors and its summary are found out within *budget*."""
    declared = said.types.get(row.schema_name)
    title = row.schema_name if declared is None else declared.title
    errors = schema_errors(said, row, budget) if row.flags & FOUND else ()
    summary = _summary(declared, row, budget) if with_summary and declared is not None else None
    return span_view(row, instance, title, schema_errors=errors, summary=summary)


def schema_errors(said: Declared, row: SpanRow, budget: Budget) -> list[str]:
    """Return what in a span is not as its type declares, or why that was not found out."""
    declared = said.types.get(row.schema_name)
    found: list[str] = []
    if declared is not None and row.flags & (BAD_PAYLOAD | UNCHECKED_PAYLOAD):
        wrong = declared.params.errors(read_json(row.payload), row.payload, budget)
        found += [f"payload {each}" for each in wrong]
    result = row.result_payload
    if declared is not None and result and row.flags & (BAD_RESULT | UNCHECKED_RESULT):
        wrong = declared.result.errors(read_json(result), result, budget)
        found += [f"result_payload {each}" for each in wrong]
    return found


def judged_qualities(
    tx: Reading, declarations: Declarations, instance: InstanceRow, budget: Budget
) -> tuple[dict[str, str | None], dict[str, list[str]]]:
    """Return the summaries of the quality payloads of a run, and their errors, both by name.

    Nothing is compared if the agent declares no quality payload.
    """
    summaries: dict[str, str | None] = {}
    errors: dict[str, list[str]] = {}
    if instance.quality_payloads == EMPTY:
        return summaries, errors
    declared = declarations.of(tx, instance.agent_schema_version_id).qualities
    payloads = cast("dict[str, dict[str, object]]", read_json(instance.quality_payloads))
    chars = len(instance.quality_payloads)
    for name, payload in payloads.items() if declared else ():
        quality = declared.get(name)
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
    declared: CompiledSpanType | None,
    status: str,
    fields: SpanToCreate | SpanToFinish,
) -> int:
    text = str(fields.result_payload, "utf-8")
    result = cast("dict[str, object]", fields.result_read)
    held = may_hold(text)
    denied = status == _FAILED and _VIOLATIONS in text
    flags = MARKED if denied or (held and _marked(result)) else 0
    # What a step returns is declared, not how it fails.
    if declared is None or status != COMPLETE:
        return flags
    return flags | _RESULT[declared.result.verdict(result, text, ctx.budget, held=held)]


def _marked(payload: dict[str, object]) -> bool:
    return any(markers_in(payload)) or bool(exceeded(payload))


def _summary(declared: CompiledSpanType, row: SpanRow, budget: Budget) -> str | None:
    """Return the summary of a span: of its payload with the members of its result over it."""
    if not declared.template.usable:
        return None
    payload = cast("dict[str, object]", read_json(row.payload))
    result = cast("dict[str, object]", read_json(row.result_payload or "{}"))
    chars = len(row.payload) + len(row.result_payload or "")
    return declared.template.summary({**payload, **result}, chars, budget)
