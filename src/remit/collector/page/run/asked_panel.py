"""The panel of a question to a person: the answer, what the person saw, why it was asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from remit._policy.violations import denied_by
from remit.collector.domain.asks import APPROVED
from remit.collector.domain.declared import Declared
from remit.collector.domain.findings import ASKED_SPAN
from remit.collector.page.declared import verbs_of
from remit.collector.page.payload_tree import Node, PayloadTree, items, members, node_of, tree_of
from remit.collector.page.run.asked import Question
from remit.collector.page.run.facts import (
    AskedFacts,
    RunRows,
    SpanFacts,
    questions_in,
    request_of,
    still_waiting,
)
from remit.collector.page.run.spans import ListedSpan


class AskedPanel(NamedTuple):
    """What the panel of a question shows in addition to what is known of every step.

    Attributes:
        saw: The arguments that the person saw; None if they are hidden.
        asked: The question of a framework; None if it is hidden, or a step was asked about.
        redacted: How many values are redacted.
        unbound: The arguments that are compared by type only.
        value: The answer to a framework; None if it is hidden.
        may: The actions that it was asked about, as verbs.
        does: The actions that the step declares, as verbs.
        step: The declaration of the step; None if it is not declared.
    """

    facts: AskedFacts
    saw: PayloadTree | None
    asked: Node | None
    redacted: int
    unbound: Sequence[str]
    value: Node | None
    may: str
    does: str
    step: Declared | None


def asked_facts(rows: RunRows, facts: SpanFacts) -> AskedFacts | None:
    """Return the question of a step that asked a person; None of another one."""
    span = facts.span.row
    if span.schema_name != ASKED_SPAN:
        return None
    question = next((each for each in questions_in(rows) if each.span_id == span.id), None)
    if question is None:
        return None
    request = request_of(rows.ctx, rows.run, question)
    is_waiting = still_waiting(rows.ctx, request) is not None
    agents = [
        each for each in rows.declaration.all if not set(each.asks).isdisjoint(question.words)
    ]
    return AskedFacts(question, request, is_waiting, _ran(rows, question), agents)


def _ran(rows: RunRows, question: Question) -> ListedSpan | None:
    """Return the step that ran after a yes, if it is among the latest of its type."""
    if question.status != APPROVED:
        return None
    after = (
        span
        for span in rows.listed(1, schema_name=question.step)
        if question.let_run(span.schema_name, span.parent_id, span.started_at)
        and denied_by(span.result) is None
    )
    return min(after, key=lambda span: span.started_at or 0, default=None)


def asked_panel(facts: SpanFacts, *, hidden: bool) -> AskedPanel | None:
    """Return the panel of a question; None of another step.

    Args:
        hidden: Whether to leave out the values.
    """
    if facts.asked is None:
        return None
    step = facts.types.get(facts.asked.question.step)
    question, payload = facts.asked.question, facts.span.payload
    has_step = bool(question.step)
    saw = tree_of(members(payload.get("arguments"))) if has_step and not hidden else None
    asked = None if has_step or hidden else node_of(payload.get("asked"))
    answer = question.answer
    is_shown = answer is not None and not answer.decision and not hidden
    return AskedPanel(
        facts.asked,
        saw,
        asked,
        _redacted(saw.nodes if saw is not None else () if asked is None else (asked,)),
        [name for name in items(payload.get("unbound")) if isinstance(name, str)],
        node_of(answer.value) if answer is not None and is_shown else None,
        verbs_of(question.words),
        "" if step is None else verbs_of(step.allowed),
        step,
    )


def _redacted(nodes: Iterable[Node]) -> int:
    return sum((node.kind == "redacted") + _redacted(node.nodes) for node in nodes)
