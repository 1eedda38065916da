"""The failure that is kept with a run, for lists."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple, cast, get_args

import msgspec

from remit._base.first_failure import FailedSpan, failed_span
from remit._base.markers import is_marker
from remit._policy.violations import denied_by
from remit._policy.words import PARAMS, RESULT
from remit.collector.json_io import read_json
from remit.collector.store.rows import RunRow, SpanRow
from remit.collector.store.subjects import ROOT_SPAN
from remit.collector.validation.declarations import CompiledSpanType
from remit.errors import causes
from remit.models.data_risk import Classification

MOST_FAILED: Final = 100
"""Failed steps of a run that are read to relate their exceptions."""
MOST_CAUSES: Final = 5
"""Causes of an exception that are recorded."""
MAX_CHARS: Final = 200
"""Most characters of a class, a place or a line."""
_CLASSES: Final = get_args(Classification)
_SHOWN: Final = frozenset(_CLASSES[: _CLASSES.index("internal") + 1])
_SPECIAL: Final = ("gdpr_", "health_and_medical")
_PARTS: Final = (PARAMS, RESULT)


class Failure(NamedTuple):
    """The failure of a span.

    Attributes:
        step: Name of the span's type; None for the run as a whole.
        kind: Class of the exception.
        text: First line of its message, or the violations of a denied step; None if it is shown
            only on request.
        span: Id of the span; None if the run was written before ids were kept.
    """

    at_us: int
    step: str | None
    kind: str | None
    place: str | None
    text: str | None
    span: str | None

    @property
    def fingerprint(self) -> int:
        """A number that equal failures share, up to 2^63 - 1."""
        text = "\x00".join(part or "" for part in (self.step, self.kind, self.place))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


class HiddenErrors(NamedTuple):
    """Exceptions of steps whose messages are shown only on request."""

    alike: frozenset[tuple[str, str]] = frozenset()
    all: bool = False

    @property
    def any(self) -> bool:
        """Whether there are any."""
        return self.all or bool(self.alike)

    def has(self, error: Mapping[str, object]) -> bool:
        """Return whether an exception is one of them, or has one in its chain, which it may quote.

        One of them may be in a part of the chain that was not recorded: the members of a group are
        recorded without their causes.
        """
        if self.all or not self.any:
            return self.all
        causes = error.get("causes", [])
        listed = _objects(causes)
        is_whole = isinstance(causes, list) and not any(map(is_marker, listed))
        if "members" in error or not is_whole or len(listed) >= MOST_CAUSES:
            return True
        return any(_exception(each) in self.alike for each in (error, *listed))


def hidden_errors_of(failed: Sequence[SpanRow], hidden: Collection[str]) -> HiddenErrors:
    """Return the exceptions of steps with hidden values among the failed steps of a run.

    They are all exceptions if the run may have more failed steps than were read.

    Args:
        failed: The failed steps, at most `MOST_FAILED`.
    """
    if hidden and len(failed) >= MOST_FAILED:
        return HiddenErrors(all=True)
    errors = [_error_of(row) for row in failed if row.schema_name in hidden]
    for error in errors:
        errors += [*_objects(error.get("causes")), *_objects(error.get("members"))]
    return HiddenErrors(frozenset(map(_exception, errors)))


def without_hidden_text(
    failure: Failure, failed: Sequence[SpanRow], hidden: Collection[str]
) -> Failure:
    """Return a failure without its text if it is hidden or may quote a hidden message."""
    errors = hidden_errors_of(failed, hidden)
    alike = (
        error
        for error in map(_error_of, failed)
        if (_line(error.get("type")), _line(error.get("at"))) == (failure.kind, failure.place)
    )
    return failure._replace(text=None) if any(map(errors.has, alike)) else failure


def failed_span_of(row: SpanRow) -> FailedSpan:
    """Return a failed span as it is compared with the others of its run."""
    return failed_span(
        row.id,
        row.parent_span_id,
        is_root=row.schema_name == ROOT_SPAN,
        began=row.started_at or 0,
        ended=ended_us(row),
        result=_result_of(row),
    )


def ended_us(row: SpanRow) -> int:
    """Return when a failed span ended."""
    return row.updated_at if row.finished_at is None else row.finished_at


def failure_of(row: SpanRow, span_type: CompiledSpanType | None) -> Failure:
    """Return the failure of a failed span."""
    result = _result_of(row)
    error = _members(result.get("error"))
    violations = denied_by(result)
    message = "; ".join(causes(violations)) if violations else error.get("message")
    is_root = row.schema_name == ROOT_SPAN
    kind = _line(error.get("type")) if error else failed_span_of(row).exception[0]
    return Failure(
        ended_us(row),
        None if is_root else row.schema_name,
        kind,
        _line(error.get("at")),
        _line(message) if shows_text(span_type) else None,
        row.id,
    )


def failure_in(run: RunRow) -> Failure | None:
    """Return the failure that is kept with a run."""
    if run.failure_us is None:
        return None
    return Failure(
        run.failure_us,
        run.failure_step,
        run.failure_type,
        run.failure_place,
        run.failure_text,
        run.failure_span,
    )


def with_failure(run: RunRow, failure: Failure | None) -> RunRow:
    """Return a run with a failure."""
    if failure is None:
        return run
    return msgspec.structs.replace(
        run,
        failure_us=failure.at_us,
        failure_step=failure.step,
        failure_type=failure.kind,
        failure_place=failure.place,
        failure_text=None if run.erased_at is not None else failure.text,
        failure_span=failure.span,
        fingerprint=failure.fingerprint,
    )


def shows_text(span_type: CompiledSpanType | None) -> bool:
    """Return whether texts of a step may be listed."""
    return not is_hidden((span_type.data_risk if span_type is not None else None) or {})


def is_hidden(risk: Mapping[str, Mapping[str, str] | None]) -> bool:
    """Return whether values are shown only on request: from *confidential* on, or of article 9."""
    parts = [risk.get(part) or {} for part in _PARTS]
    return any(
        words.get("classification", "unknown") not in _SHOWN
        or any(name.startswith(_SPECIAL) and words[name] == "included" for name in words)
        for words in parts
    )


def _line(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    lines = value.replace("\x00", "").splitlines()
    return lines[0][:MAX_CHARS] if lines else ""


def _exception(error: Mapping[str, object]) -> tuple[str, str]:
    return str(error.get("type")), str(error.get("at"))


def _result_of(row: SpanRow) -> dict[str, object]:
    return cast("dict[str, object]", read_json(row.result_payload or "{}"))


def _error_of(row: SpanRow) -> dict[str, object]:
    return _members(_result_of(row).get("error"))


def _objects(value: object) -> list[dict[str, object]]:
    listed = cast("list[object]", value) if isinstance(value, list) else []
    return [_members(each) for each in listed]


def _members(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
