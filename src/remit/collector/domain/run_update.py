"""What the spans of one batch change in a run: counts, flags, tokens, failure, labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import msgspec

from remit._base.first_failure import FailedSpan, first_failed
from remit._base.ids import HASHES
from remit._base.traceparent import trace_id
from remit.collector.domain.failures import (
    MOST_FAILED,
    Failure,
    ended_us,
    failed_span_of,
    failure_in,
    failure_of,
    shows_text,
    with_failure,
    without_hidden_text,
)
from remit.collector.domain.findings import (
    ANSWERED_SPAN,
    ASKED_SPAN,
    WITH_ROWS,
    Findings,
    finding_rows,
    hole_row,
)
from remit.collector.domain.first_exchange import Exchange, answer_in, goes_on, question_in
from remit.collector.domain.spans import SpanToCreate, SpanToFinish
from remit.collector.domain.states import COMPLETE, FAILED, UNFINISHED
from remit.collector.domain.waiting import NEW_INPUT
from remit.collector.model_usage import ModelUsage, usage_of_call, with_usage
from remit.collector.store.filters import SpanFilter
from remit.collector.store.rows import (
    DENIED,
    FOUND,
    HOLE,
    FindingRow,
    RunRow,
    SpanRow,
    TypeRow,
    all_spans,
)
from remit.collector.store.statements import SPANS_OF_RUN
from remit.collector.store.subjects import (
    ROOT_SPAN,
    conversation,
    labels,
    person_hashes,
    root_id,
)
from remit.collector.store.transaction import Transaction
from remit.collector.validation.declarations import CompiledSpanType

MOST_RECORDED: Final = 2**31 - 1
"""Larger numbers of spans are ignored."""
_SIDES: Final = {
    "action_profile": ("action", "allowed"),
    "params_data_categories": ("params", "included"),
    "result_data_categories": ("result", "included"),
}


_SAID: Final = frozenset((*HASHES, "conversation"))
"""Members of a payload that say something of the run."""


class RunUpdate:
    """The update of one run."""

    __slots__ = (
        "_answered",
        "_asked",
        "_counts",
        "_denied",
        "_ended",
        "_exchange",
        "_failed",
        "_flags",
        "_model_calls",
        "_recorded",
        "_root",
        "_root_id",
        "_roots",
        "_suggested",
        "_summary",
        "_tokens",
        "_tx",
        "_type_refs",
        "findings",
        "has_new_input",
        "run",
        "types",
    )

    def __init__(self, tx: Transaction, run: RunRow, types: Mapping[str, CompiledSpanType]) -> None:
        """Begin without changes."""
        self.run = run
        self.types = types
        self.findings: list[FindingRow] = []
        self._tx = tx
        self._counts: dict[str, int] = {}
        self._denied = self._flags = self._asked = self._answered = 0
        self.has_new_input = False
        self._tokens: list[int] | None = None
        self._model_calls: list[ModelUsage] = []
        self._summary: str | None = None
        self._failed: list[SpanRow] = []
        self._roots: list[dict[str, object]] = []
        self._suggested: list[Mapping[str, object]] = []
        self._root_id = root_id(run.id)
        self._exchange = Exchange(run.question, run.answer)
        self._root: SpanRow | None = None
        self._recorded: int | None = None
        self._type_refs: dict[str, int] = {}
        self._ended = False

    def type_ref(self, name: str) -> int:
        """Return the reference of a span type of the run."""
        ref = self._type_refs.get(name)
        if ref is None:
            row, words = type_row(self.run.agent_ref, name, self.types.get(name))
            ref = self._type_refs[name] = self._tx.type_ref(row, words)
        return ref

    def take(
        self,
        before: SpanRow | None,
        after: SpanRow,
        findings: Findings | None,
        fields: SpanToCreate | SpanToFinish,
    ) -> None:
        """Take a span that is created or changed by *fields*.

        Args:
            before: The span before the change; None for a new one.
        """
        result: dict[str, object] = {} if fields.result is None else fields.result.value
        run, counts, counted = self.run, self._counts, self._tx.counts
        added = after.flags & FOUND
        if before is not None:
            counts[before.status] = counts.get(before.status, 0) - 1
            counted.span(run, before, -1)
            added &= ~before.flags
        else:
            self._asked += after.schema_name == ASKED_SPAN
            self._answered += after.schema_name == ANSWERED_SPAN
        counts[after.status] = counts.get(after.status, 0) + 1
        counted.span(run, after)
        if added:
            self._flags |= added
            if added & WITH_ROWS:
                self._denied += bool(added & DENIED)
                self.findings.extend(finding_rows(run, after, added, findings))
        if findings is not None:
            for rule, times in findings.rules.items():
                counted.redact(run, after, rule, times)
        if "token_usage" in result or "cost" in result:
            self._take_usage(after, result)
        if after.schema_name == ROOT_SPAN:
            self._take_root(after, result)
        if run.erased_at is None:
            created = fields.params.value if isinstance(fields, SpanToCreate) else None
            self._take_texts(after, created, result)
        if after.status == FAILED:
            self._failed.append(after)
        self._ended = self._ended or after.status not in UNFINISHED

    def _take_texts(
        self, span: SpanRow, created: dict[str, object] | None, result: Mapping[str, object]
    ) -> None:
        """Take what is kept of the texts of a span; *created* is the payload of a new one."""
        if created is not None:
            self._take_said(span, created)
        if self._exchange.answer is None and self._is_first_level(span):
            self._take_exchange(span, created, result)

    def _take_exchange(
        self, span: SpanRow, created: dict[str, object] | None, result: Mapping[str, object]
    ) -> None:
        """Take the first question, and the answer of the span that was asked, or went on with it.

        Nothing is taken from a step whose values are shown only on request.
        """
        if not shows_text(self.types.get(span.schema_name)):
            return
        if self._exchange.question is None and created is not None:
            self._exchange = Exchange(question_in(created))
        question = self._exchange.question
        answer = answer_in(result) if question and span.status == COMPLETE else None
        if answer is not None:
            payload = msgspec.json.decode(span.payload) if created is None else created
            was_asked = self.run.asked + self._asked > 0
            if question_in(payload) == question or (was_asked and goes_on(payload)):
                self._exchange = Exchange(question, answer)

    def _is_first_level(self, span: SpanRow) -> bool:
        return span.parent_span_id is not None and span.parent_span_id == self._root_id

    def _take_said(self, span: SpanRow, payload: dict[str, object]) -> None:
        """Take what the root span says of the run, or the agent of a framework directly below."""
        if span.schema_name == ROOT_SPAN:
            self._roots.append(payload)
            self.has_new_input = payload.get(NEW_INPUT) is True
        elif self._is_first_level(span):
            span_type = self.types.get(span.schema_name)
            if span_type is not None and span_type.is_agent and not _SAID.isdisjoint(payload):
                self._suggested.append(payload)

    def _take_usage(self, after: SpanRow, result: Mapping[str, object]) -> None:
        call = usage_of_call(after.payload, result)
        if call is not None:
            self._model_calls.append(call)
        usage = result.get("token_usage")
        if isinstance(usage, dict):
            members = cast("dict[str, object]", usage)
            numbers = [members.get(name) for name in ("prompt_tokens", "completion_tokens")]
            tokens = self._tokens or [0, 0]
            for place, number in enumerate(numbers):
                if type(number) is int and 0 <= number < 2**53:
                    tokens[place] += number
                    self._tokens = tokens

    def _take_root(self, after: SpanRow, result: Mapping[str, object]) -> None:
        self._summary = after.summary or self._summary
        steps = result.get("spans")
        if type(steps) is int and 0 <= steps < MOST_RECORDED and after.status not in UNFINISHED:
            self._root, self._recorded = after, steps + 1

    def write(self) -> RunRow:
        """Write labels and subjects; return the run as it is to be written."""
        tx, run = self._tx, self.run
        changes: dict[str, object] = {
            f"spans_{status}": getattr(run, f"spans_{status}") + change
            for status, change in self._counts.items()
        }
        changes |= {
            "flags": run.flags | self._flags,
            "denied": run.denied + self._denied,
            "asked": run.asked + self._asked,
            "answered": run.answered + self._answered,
            "summary": self._summary or run.summary,
            "question": self._exchange.question,
            "answer": self._exchange.answer,
        }
        if self._tokens is not None:
            changes["tokens_in"] = (run.tokens_in or 0) + self._tokens[0]
            changes["tokens_out"] = (run.tokens_out or 0) + self._tokens[1]
        if self._model_calls:
            changes["model_usage"] = with_usage(run.model_usage, self._model_calls)
        for root in self._roots:
            changes["caused_by"] = trace_id(root.get("traceparent")) or run.caused_by
            changes["conversation"] = conversation(root) or run.conversation
            for hashed in person_hashes(root):
                tx.add_subject(run, hashed)
            tx.add_labels(run, labels(root))
        if self._suggested:
            suggested = self._unsaid_by_root()
            known = changes.get("conversation") or run.conversation
            changes["conversation"] = known or conversation(suggested)
            for hashed in person_hashes(suggested):
                tx.add_subject(run, hashed)
        changed = msgspec.structs.replace(run, **changes)
        changed = with_failure(changed, self._failure())
        if self._ended and changed.spans_failed and changed.status not in UNFINISHED:
            changed = msgspec.structs.replace(changed, handled=tx.count_handled(run.id))
        return self._with_hole(changed)

    def _unsaid_by_root(self) -> dict[str, object]:
        """Return what agents of frameworks say of the run and its root does not."""
        root: Mapping[str, object] = self._roots[0] if self._roots else {}
        if not self._roots and self._root_id is not None:
            row = self._tx.spans(self.run.account_id, [self._root_id]).get(self._root_id)
            root = {} if row is None else msgspec.json.decode(row.payload)
        suggested: dict[str, object] = {}
        for payload in self._suggested:
            suggested = {**{name: payload[name] for name in _SAID if name in payload}, **suggested}
        return {name: value for name, value in suggested.items() if root.get(name) is None}

    def _with_hole(self, run: RunRow) -> RunRow:
        """Return a run marked if its end says that more spans were recorded than are here.

        A span that arrives later may close the hole. Spans that were deleted because of their age
        are counted in the run, so that they leave no hole.
        """
        recorded = self._tx.recorded(run) if self._recorded is None else self._recorded
        if recorded is None:
            return run
        if sum(getattr(run, name) for name in SPANS_OF_RUN) >= all_spans(run.flags, recorded):
            if run.flags & HOLE:
                self._tx.close_hole(run)
            return msgspec.structs.replace(run, flags=run.flags & ~HOLE)
        if self._root is not None:
            self.findings.append(hole_row(run, self._root, recorded))
        return msgspec.structs.replace(run, flags=run.flags | HOLE)

    def _failure(self) -> Failure | None:
        """Return the failure to keep; no other place of the collector chooses it."""
        kept, added = failure_in(self.run), self._failed
        if not added or (kept is not None and self._is_settled(kept)):
            return kept
        before = self._failed_spans() if self.run.spans_failed else []
        rows = {row.id: row for row in (*before, *added)}
        spans = [failed_span_of(row) for row in rows.values()]
        if kept is not None and kept.span is not None and kept.span not in rows:
            # Deleted because of its age, or one of many.
            raised = kept.kind, kept.place
            origins = frozenset({raised})
            spans.append(
                FailedSpan(kept.span, None, kept.step is None, 0, kept.at_us, raised, origins)
            )
        first = first_failed(spans)
        row = None if first is None else rows.get(first.id)
        failure = kept if row is None else failure_of(row, self.types.get(row.schema_name))
        hidden = {name for name, span_type in self.types.items() if not shows_text(span_type)}
        if failure is None or failure.text is None or not hidden:
            return failure
        return without_hidden_text(failure, list(rows.values()), hidden)

    def _is_settled(self, kept: Failure) -> bool:
        """Return whether no failed span of this batch can change the failure that is kept.

        The spans of an erased run have no errors any more.
        """
        return self.run.erased_at is not None or not any(
            ended_us(row) <= kept.at_us
            or row.schema_name == ROOT_SPAN
            or not shows_text(self.types.get(row.schema_name))
            for row in self._failed
        )

    def _failed_spans(self) -> list[SpanRow]:
        wanted = SpanFilter(agent_instance_id=self.run.id, status=FAILED)
        return self._tx.some_spans(wanted, MOST_FAILED)


def type_row(
    agent_ref: int, name: str, declared: CompiledSpanType | None
) -> tuple[TypeRow, list[tuple[str, str]]]:
    """Return the row of a span type, and the words of its data risk with their sides."""
    if declared is None:
        return TypeRow(agent_ref, name, name, None, ""), []
    risk = declared.data_risk or {}
    words = [
        (word, side)
        for part, (side, wanted) in _SIDES.items()
        for word, value in (risk.get(part) or {}).items()
        if value == wanted
    ]
    text = None if declared.data_risk is None else msgspec.json.encode(declared.data_risk).decode()
    return TypeRow(agent_ref, name, declared.title, text, declared.hash), words
