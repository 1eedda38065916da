"""A run that was erased stays so: what comes later for it is kept without its payloads."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from remit.collector.store import InstanceRow, SpanRow, SubjectRow
from remit.collector.store.statements import EMPTY, ERASED
from remit.collector.store.subjects import ROOT_SPAN, cause, subject_hash


def without_payloads(row: InstanceRow) -> InstanceRow:
    """Return an instance as it may be kept."""
    if row.erased_at is None or (row.quality_payloads == EMPTY and row.termination_reason is None):
        return row
    reason = None if row.termination_reason is None else ERASED
    return msgspec.structs.replace(row, quality_payloads=EMPTY, termination_reason=reason)


def span_without_payloads(row: SpanRow, instance: InstanceRow) -> SpanRow:
    """Return a span of *instance* as it may be kept."""
    if instance.erased_at is None:
        return row
    result = None if row.result_payload is None else EMPTY
    return msgspec.structs.replace(row, payload=EMPTY, result_payload=result)


def subject_of(row: SpanRow) -> SubjectRow | None:
    """Return whose data a run is about, if this span says it."""
    if row.schema_name != ROOT_SPAN:
        return None
    found = subject_hash(row.payload)
    return None if found is None else SubjectRow(row.agent_instance_id, found)


def causes_of(rows: Iterable[SpanRow]) -> dict[str, str]:
    """Return the traces that caused runs, by the id of the run, as far as these spans say it."""
    roots = (row for row in rows if row.schema_name == ROOT_SPAN)
    causes = ((row.agent_instance_id, cause(row.payload)) for row in roots)
    return {instance_id: trace for instance_id, trace in causes if trace is not None}
