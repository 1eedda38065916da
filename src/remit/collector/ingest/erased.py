"""A run that was erased stays so: what comes later for it is kept without its payloads."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from remit.collector.store import InstanceRow, SpanRow, SubjectRow
from remit.collector.store.statements import EMPTY, ERASED

ROOT_SPAN: Final = "remit:run"
"""Name of the span that says whose data a run is about."""


class _Root(msgspec.Struct):
    subject: str | None = None


_read_root: Final = msgspec.json.Decoder(_Root).decode


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


def hash_of_subject(subject: str) -> str:
    """Return that by which the runs about *subject* are found."""
    return hashlib.sha256(subject.encode()).hexdigest()


def subject_of(row: SpanRow) -> SubjectRow | None:
    """Return whose data a run is about, if this span says it."""
    if row.schema_name != ROOT_SPAN:
        return None
    try:
        subject = _read_root(row.payload).subject
    except msgspec.ValidationError:
        # A marker in its place, or somebody else's span of that name.
        return None
    if subject is None:
        return None
    return SubjectRow(row.agent_instance_id, hash_of_subject(subject))
