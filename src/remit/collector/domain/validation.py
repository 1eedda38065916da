"""Compares spans and quality payloads with their declarations, and renders summaries.

A span is compared when it arrives, and the outcome is stored as flags of its row; the differences
are listed again when it is read. Nothing is refused because of them. The summary of a span is
rendered once, when it ends.
"""

from __future__ import annotations

from typing import Final, cast

import msgspec

from remit.collector.domain.context import Context
from remit.collector.domain.findings import LOSS_SPAN, Marks
from remit.collector.domain.spans import SpanToCreate, SpanToFinish
from remit.collector.domain.states import COMPLETE
from remit.collector.json_io import encode, read_json
from remit.collector.store import (
    BAD_PAYLOAD,
    BAD_RESULT,
    INVALID,
    LOST,
    UNCHECKED,
    UNCHECKED_PAYLOAD,
    UNCHECKED_RESULT,
    UNDECLARED,
    InstanceRow,
    SpanRow,
    Transaction,
)
from remit.collector.store.questions import SpanRecord
from remit.collector.store.statements import EMPTY
from remit.collector.validation import (
    Budget,
    CompiledSpanType,
    Declarations,
    Declared,
    SchemaVerdict,
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


def found_at_creation(
    ctx: Context, span_type: CompiledSpanType | None, fields: SpanToCreate
) -> tuple[int, Marks | None]:
    """Return the flags of a new span, and what its markers mean."""
    text = str(fields.payload, "utf-8")
    payload = cast("dict[str, object]", fields.payload_read)
    held = may_hold(text)
    marks = Marks()
    if held:
        marks.take_payload(payload)
    flags = LOST if fields.schema_name == LOSS_SPAN else 0
    if fields.result_read is not None:
        flags |= _of_result(ctx, span_type, fields.status, fields, marks)
    flags |= marks.flags
    if span_type is None:
        flags |= UNDECLARED
    else:
        flags |= _PAYLOAD[span_type.params.verdict(payload, text, ctx.budget, held=held)]
    return flags, marks if marks.flags else None


def found_at_finish(
    ctx: Context, span_type: CompiledSpanType | None, status: str, fields: SpanToFinish
) -> tuple[int, Marks | None]:
    """Return the flags that the finish of a span adds, and what the markers in its result mean."""
    if fields.result_read is None:
        return 0, None
    marks = Marks()
    flags = _of_result(ctx, span_type, status, fields, marks) | marks.flags
    return flags, marks if marks.flags else None


def marks_of(
    row: SpanRow, payload: dict[str, object], result: dict[str, object] | None
) -> Marks | None:
    """Return what the markers of a stored span mean.

    Args:
        row: The span.
        payload: Its payload, read.
        result: Its result, read.
    """
    marks = Marks()
    if may_hold(row.payload):
        marks.take_payload(payload)
    if result is not None and row.result_payload is not None:
        held = may_hold(row.result_payload)
        _mark_result(marks, result, row.result_payload, row.status, held=held)
    return marks if marks.flags else None


def with_summary(row: SpanRow, span_type: CompiledSpanType | None, budget: Budget) -> SpanRow:
    """Return a span that ended with what the template of its type makes of it."""
    if span_type is None or not span_type.template.usable:
        return row
    payload = cast("dict[str, object]", read_json(row.payload))
    result = cast("dict[str, object]", read_json(row.result_payload or "{}"))
    chars = len(row.payload) + len(row.result_payload or "")
    # The members of the result replace those of the payload.
    text = span_type.template.summary({**payload, **result}, chars, budget)
    return row if text is None else msgspec.structs.replace(row, summary=text)


def shown(ctx: Context, row: SpanRow, instance: InstanceRow) -> SpanView:
    """Return the view of a span, with its differences from its declaration."""
    version = ctx.declarations.of(ctx.tx, instance.agent_schema_version_id)
    return shown_span(version, row, instance, ctx.budget)


def shown_span(version: Declared, row: SpanRow, instance: InstanceRow, budget: Budget) -> SpanView:
    """Return the view of a span; to list its errors takes no longer than *budget*."""
    span_type = version.types.get(row.schema_name)
    title = row.schema_name if span_type is None else span_type.title
    errors = schema_errors(version, row, budget)
    return span_view(row, instance, title, schema_errors=errors)


def schema_errors(version: Declared, row: SpanRow | SpanRecord, budget: Budget) -> list[str]:
    """Return the differences of a span from its type, or why it was not compared."""
    span_type = version.types.get(row.schema_name)
    errors: list[str] = []
    if span_type is None or row.payload is None or not row.flags & (INVALID | UNCHECKED):
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
    marks: Marks,
) -> int:
    text = str(fields.result_payload, "utf-8")
    result = cast("dict[str, object]", fields.result_read)
    held = may_hold(text)
    _mark_result(marks, result, text, status, held=held)
    # A span type declares the result of a step, but not its errors.
    if span_type is None or status != COMPLETE:
        return 0
    return _RESULT[span_type.result.verdict(result, text, ctx.budget, held=held)]


def _mark_result(
    marks: Marks, result: dict[str, object], text: str, status: str, *, held: bool
) -> None:
    failed = status == _FAILED and _VIOLATIONS in text
    if held or failed:
        marks.take_result(result, failed=failed, held=held)
