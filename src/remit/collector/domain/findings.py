"""Findings of spans: denied steps, violations, and redacted values.

The markers are those of docs/reference/payloads.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from remit._base import markers
from remit._base.outcomes import ASKED_SPAN as ASKED_SPAN
from remit._policy.violations import denied_by, violations_in
from remit.collector.store.rows import (
    BAD_PAYLOAD,
    DENIED,
    HOLE,
    INVALID,
    LOST,
    NO_REPR,
    REDACTED,
    VIOLATION,
    FindingRow,
    RunRow,
    SpanRow,
)
from remit.collector.store.subjects import ROOT_SPAN
from remit.errors import Violation

LOSS_SPAN: Final = "remit:loss"
"""Name of the span that reports losses of a run."""
ANSWERED_SPAN: Final = "remit:answered"
OF_PERSONS: Final = frozenset({ASKED_SPAN, ANSWERED_SPAN})
"""Names of the spans of questions to a person and their answers. Agents of frameworks may record
them without a declaration."""
OF_REMIT: Final = OF_PERSONS | {ROOT_SPAN, LOSS_SPAN}
"""Names of the spans that remit records itself; all other spans are steps of the program."""
NOT_IN_REPR: Final = "hidden:repr"
"""Rule of a value that its class leaves out of its repr, which does not make it a secret."""
MAX_VIOLATIONS: Final = 20
MAX_SENTENCE_CHARS: Final = 500
MAX_RULES: Final = 100
MAX_RULE_CHARS: Final = 200
_ALONE: Final = (REDACTED, LOST)
WITH_ROWS: Final = INVALID | DENIED | VIOLATION | REDACTED | LOST
"""The flags that `finding_rows` makes rows of."""


@dataclass(slots=True)
class Findings:
    """The meaning of a span's markers, in payload and result.

    Attributes:
        violations: The violations by flag: of a denied step, of one that ran.
        rules: How often each rule redacted a value.
    """

    flags: int = 0
    violations: dict[int, Sequence[Violation]] = field(
        default_factory=dict[int, Sequence[Violation]]
    )
    rules: Counter[str] = field(default_factory=Counter[str])

    def take_payload(self, payload: dict[str, object]) -> None:
        """Take the markers of a payload that may hold some."""
        self._take_rules(payload)
        self._take(VIOLATION, violations_in(payload))

    def take_result(self, result: dict[str, object], *, failed: bool, held: bool) -> None:
        """Take the markers of a result."""
        if held:
            self._take_rules(result)
        if failed:
            self._take(DENIED, denied_by(result))

    def _take_rules(self, value: object) -> None:
        rules = Counter(
            str(marker.get("rule", ""))[:MAX_RULE_CHARS]
            for marker in markers.markers_in(value)
            if markers.kind_of(marker) == markers.REDACTED
        )
        if rules:
            self.flags |= REDACTED if rules.keys() - {NOT_IN_REPR} else NO_REPR
            self.rules.update(dict(rules.most_common(MAX_RULES)))

    def _take(self, flag: int, violations: Sequence[Violation] | None) -> None:
        if violations is not None:
            self.flags |= flag
            self.violations[flag] = violations[:MAX_VIOLATIONS]


def finding_rows(
    run: RunRow, row: SpanRow, added: int, findings: Findings | None
) -> Iterator[FindingRow]:
    """Yield the findings of a span."""
    found = {} if findings is None or run.erased_at is not None else findings.violations
    kinds = [flag for flag in _ALONE if added & flag]
    if added & INVALID:
        kinds.append(BAD_PAYLOAD)
    for kind in kinds:
        yield _row(run, row, kind, 0)
    for flag in (DENIED, VIOLATION):
        if added & flag:
            for number, violation in enumerate(found.get(flag) or (None,)):
                yield _row(run, row, flag, number, violation)


def hole_row(run: RunRow, root: SpanRow, recorded: int) -> FindingRow:
    """Return the finding that a run has fewer spans than it recorded."""
    return _row(run, root, HOLE, recorded)


def _row(
    run: RunRow, row: SpanRow, kind: int, number: int, violation: Violation | None = None
) -> FindingRow:
    began_us = row.inserted_at if row.started_at is None else row.started_at
    finding = FindingRow(
        kind, began_us, row.run_ref, row.id, number, run.agent_ref, run.environment_ref, None
    )
    if violation is None:
        return finding
    return replace(
        finding,
        sentence=violation.sentence[:MAX_SENTENCE_CHARS],
        part=violation.part or None,
        name=violation.name or None,
        word=violation.word or None,
        agent=violation.agent or None,
        limit_word=violation.limit or None,
        limit_number=violation.number or None,
        hold=violation.hold or None,
    )
