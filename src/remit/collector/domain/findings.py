"""Findings of spans: what the policy refused, what exceeded a remit, and what was redacted.

The markers are those of docs/reference/payloads.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from remit._base import markers
from remit._policy.violations import denied_by, violations_in
from remit.collector.store.rows import (
    BAD_PAYLOAD,
    BEYOND,
    DENIED,
    HIDDEN,
    HOLE,
    INVALID,
    LOST,
    REDACTED,
    FindingRow,
    RunRow,
    SpanRow,
)
from remit.errors import Violation

LOSS_SPAN: Final = "remit:loss"
"""Name of the span that reports what a run lost."""
NOT_IN_REPR: Final = "hidden:repr"
"""Rule of a value that the author of its class leaves out of its repr; it is no secret by that."""
MAX_SENTENCES: Final = 20
MAX_SENTENCE_CHARS: Final = 500
MAX_RULES: Final = 100
MAX_RULE_CHARS: Final = 200
_ALONE: Final = (REDACTED, LOST)
WITH_ROWS: Final = INVALID | DENIED | BEYOND | REDACTED | LOST
"""The flags that `finding_rows` makes rows of."""


@dataclass(slots=True)
class Marks:
    """What the markers in the payload and the result of a span mean.

    Attributes:
        sentences: Why the policy refused the step, and how it exceeded its remit, by flag.
        rules: How often each rule redacted a value.
    """

    flags: int = 0
    sentences: dict[int, list[str]] = field(default_factory=dict[int, list[str]])
    rules: Counter[str] = field(default_factory=Counter[str])

    def take_payload(self, payload: dict[str, object]) -> None:
        """Take the markers of a payload that may hold some."""
        self._take_rules(payload)
        self._take(BEYOND, violations_in(payload))

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
            self.flags |= REDACTED if rules.keys() - {NOT_IN_REPR} else HIDDEN
            self.rules.update(dict(rules.most_common(MAX_RULES)))

    def _take(self, flag: int, violations: Sequence[Violation] | None) -> None:
        if violations is not None:
            self.flags |= flag
            sentences = (violation.sentence for violation in violations[:MAX_SENTENCES])
            self.sentences[flag] = [sentence[:MAX_SENTENCE_CHARS] for sentence in sentences]


def finding_rows(
    run: RunRow, row: SpanRow, added: int, marks: Marks | None
) -> Iterator[FindingRow]:
    """Yield the findings of a span.

    Args:
        marks: What its markers mean; None without any.
    """
    kept = {} if marks is None or run.erased_at is not None else marks.sentences
    kinds: dict[int, list[str | None]] = {flag: [None] for flag in _ALONE if added & flag}
    if added & INVALID:
        kinds[BAD_PAYLOAD] = [None]
    for flag in (DENIED, BEYOND):
        if added & flag:
            kinds[flag] = [*kept.get(flag, [])] or [None]
    for kind, sentences in kinds.items():
        for number, sentence in enumerate(sentences):
            yield _row(run, row, kind, number, sentence)


def hole_row(run: RunRow, root: SpanRow, recorded: int) -> FindingRow:
    """Return the finding that a run has fewer spans than it recorded."""
    return _row(run, root, HOLE, recorded)


def _row(
    run: RunRow, row: SpanRow, kind: int, number: int, sentence: str | None = None
) -> FindingRow:
    began_us = row.inserted_at if row.started_at is None else row.started_at
    return FindingRow(
        kind,
        began_us,
        row.run_ref,
        row.id,
        number,
        run.agent_ref,
        run.environment_ref,
        sentence,
    )
