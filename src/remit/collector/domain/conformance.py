"""Compares spans and quality payloads with their declarations, and renders summaries.

A span is compared when it arrives, and the outcome is stored as flags of its row; the differences
are listed again when it is read. They reject nothing. The summary of a span is
rendered once, when it ends.
"""

from __future__ import annotations

from typing import Final, cast

import msgspec

from remit._base.markers import VIOLATIONS, may_hold
from remit.collector.domain.context import Context
from remit.collector.domain.findings import LOSS_SPAN, OF_PERSONS, Findings
from remit.collector.domain.spans import Payload, SpanToCreate, SpanToFinish
from remit.collector.domain.states import COMPLETE, FAILED
from remit.collector.json_io import encode, read_json
from remit.collector.store.questions.span_lists import SpanRecord
from remit.collector.store.rows import (
    BAD_PAYLOAD,
    BAD_RESULT,
    INVALID,
    LOST,
    UNCHECKED,
    UNCHECKED_PAYLOAD,
    UNCHECKED_RESULT,
    UNDECLARED,
    RunRow,
    SpanRow,
)
from remit.collector.store.statements import EMPTY
from remit.collector.store.transaction import Transaction
from remit.collector.validation.budget import Budget
from remit.collector.validation.declarations import CompiledSpanType, Declarations, Declared
from remit.collector.validation.schemas import SchemaResult
from remit.collector.views.spans import SpanView, span_view

_PAYLOAD: Final = {
    SchemaResult.GOOD: 0,
    SchemaResult.BAD: BAD_PAYLOAD,
    SchemaResult.UNCHECKED: UNCHECKED_PAYLOAD,
}
_RESULT: Final = {
    SchemaResult.GOOD: 0,
    SchemaResult.BAD: BAD_RESULT,
    SchemaResult.UNCHECKED: UNCHECKED_RESULT,
}
_VIOLATIONS: Final = f'"{VIOLATIONS}"'
_UNDECLARED_QUALITY: Final = "the name is not declared in the schema version of the run"


_NO_PAYLOAD: Final = Payload(EMPTY, {})


def found_at_creation(
    ctx: Context, span_type: CompiledSpanType | None, fields: SpanToCreate
) -> tuple[int, Findings | None]:
    """Return the flags of a new span, and the findings of its markers."""
    payload, result = fields.params, fields.result
    findings = _findings_in(payload, result, fields.status)
    flags = 0 if findings is None else findings.flags
    if fields.schema_name == LOSS_SPAN:
        flags |= LOST
    if span_type is None:
        return flags | (0 if fields.schema_name in OF_PERSONS else UNDECLARED), findings
    flags |= _PAYLOAD[span_type.params.compare(payload.value, payload.text, ctx.budget)]
    return flags | _compared(ctx, span_type, fields.status, result), findings


def found_at_finish(
    ctx: Context, span_type: CompiledSpanType | None, status: str, fields: SpanToFinish
) -> tuple[int, Findings | None]:
    """Return the flags that the finish of a span adds, and the findings of its result."""
    findings = _findings_in(_NO_PAYLOAD, fields.result, status)
    flags = 0 if findings is None else findings.flags
    return flags | _compared(ctx, span_type, status, fields.result), findings


def with_summary(
    row: SpanRow,
    span_type: CompiledSpanType | None,
    budget: Budget,
    fields: SpanToCreate | SpanToFinish,
) -> SpanRow:
    """Return a span that *fields* ended with the summary that its template gives."""
    if span_type is None or not span_type.template.usable:
        return row
    payload = fields.params.value if isinstance(fields, SpanToCreate) else read_json(row.payload)
    chars = len(row.payload) + len(row.result_payload or "")
    # The members of the result replace those of the payload.
    values: dict[str, object] = {**payload, **(fields.result.value if fields.result else {})}
    text = span_type.template.summary(values, chars, budget)
    return row if text is None else msgspec.structs.replace(row, summary=text)


def shown(ctx: Context, row: SpanRow, run: RunRow) -> SpanView:
    """Return the view of a span, with its differences from its declaration."""
    version = ctx.declarations.of(ctx.tx, run.agent_schema_version_id)
    return shown_span(version, row, run, ctx.budget)


def shown_span(version: Declared, row: SpanRow, run: RunRow, budget: Budget) -> SpanView:
    """Return the view of a span; to list its errors takes no longer than *budget*."""
    span_type = version.types.get(row.schema_name)
    title = row.schema_name if span_type is None else span_type.title
    errors = schema_errors(version, row, budget)
    return span_view(row, run, title, schema_errors=errors)


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
    tx: Transaction, declarations: Declarations, run: RunRow, budget: Budget
) -> tuple[dict[str, str | None], dict[str, list[str]]]:
    """Return the summaries and the errors of the quality payloads of a run, both by name.

    Nothing is compared if the agent declares no quality payload.
    """
    summaries: dict[str, str | None] = {}
    errors: dict[str, list[str]] = {}
    if run.quality_payloads == EMPTY:
        return summaries, errors
    qualities = declarations.of(tx, run.agent_schema_version_id).qualities
    payloads = cast("dict[str, dict[str, object]]", read_json(run.quality_payloads))
    chars = len(run.quality_payloads)
    for name, payload in payloads.items() if qualities else ():
        quality = qualities.get(name)
        if quality is None:
            errors[name] = [_UNDECLARED_QUALITY]
            continue
        summaries[name] = quality.template.summary(payload, chars, budget)
        text = encode(payload).decode()
        if quality.schema.compare(payload, text, budget) is not SchemaResult.GOOD:
            errors[name] = quality.schema.errors(payload, text, budget)
    return summaries, errors


def _compared(
    ctx: Context, span_type: CompiledSpanType | None, status: str, result: Payload | None
) -> int:
    # A span type declares the result of a step, but not its errors.
    if result is None or span_type is None or status != COMPLETE:
        return 0
    return _RESULT[span_type.result.compare(result.value, result.text, ctx.budget)]


def _findings_in(payload: Payload, result: Payload | None, status: str) -> Findings | None:
    held = may_hold(payload.text)
    result_held = result is not None and may_hold(result.text)
    failed = result is not None and status == FAILED and _VIOLATIONS in result.text
    if not (held or result_held or failed):
        return None
    findings = Findings()
    if held:
        findings.take_payload(payload.value)
    if result is not None and (result_held or failed):
        findings.take_result(result.value, failed=failed, held=result_held)
    return findings if findings.flags else None
