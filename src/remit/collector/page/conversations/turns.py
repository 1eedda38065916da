"""A turn of a conversation: what ran in a run, what was denied, and what waits for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from remit._policy.violations import denied_by
from remit.collector.domain import asks
from remit.collector.domain.context import Context
from remit.collector.domain.findings import ASKED_SPAN, OF_REMIT
from remit.collector.domain.first_exchange import (
    answer_in,
    answer_text,
    goes_on,
    question_in,
    question_text,
)
from remit.collector.page import formats
from remit.collector.page.declared import verbs_of
from remit.collector.page.hiding import hidden_of
from remit.collector.page.payload_tree import items, members
from remit.collector.page.run.asked import Question
from remit.collector.page.run.facts import PAGE_STEPS, RunFacts, RunRows, questions_in, run_facts
from remit.collector.page.run.messages import Message, content_of
from remit.collector.page.runs.rows import ListedRow, Outcome, row_of
from remit.collector.page.sides import held_reason, of_one_agent, reason_of
from remit.collector.store.ask_rows import WAITING
from remit.collector.store.questions.conversations import Turn
from remit.collector.store.questions.run_steps import StepRecord
from remit.collector.store.rows import DENIED

MOST_FIRST: Final = 20
"""Steps below the root of which the payloads are read."""
MOST_NAMED: Final = 4
"""Different steps that the line of a turn names."""
MOST_RAN: Final = 50
"""Steps of a turn that are listed."""
MOST_DENIED: Final = 5
"""Denied steps of a turn that are explained."""
MOST_ANSWERED: Final = 5
"""Questions of a turn, with their answers, that are shown."""
_ENDED: Final = {
    "approved": "was approved",
    "refused": "was refused",
    "expired": "expired without an answer",
    "denied": "got no yes",
    "answered": "was answered",
}
"""The statuses of the questions that are shown, in words."""


class Ran(NamedTuple):
    """A step that ran; `word` says what it is, and may be empty."""

    name: str
    word: str
    address: str
    took_us: int | None


class DeniedStep(NamedTuple):
    """A step that did not run; `reason` is empty if the record does not have it."""

    name: str
    address: str
    reason: str


class Asked(NamedTuple):
    """The question to a person for whose answer a run waits.

    Attributes:
        step: The step that runs after a yes; empty if the record does not name it.
        may: What the step may do, in words; empty if that is not known.
        since_us: When it was asked.
        ask_id: The request at this server; None if another one, or a framework, asks.
        expires_us: When the request expires.
    """

    step: str
    may: str
    since_us: int | None
    ask_id: str | None
    expires_us: int | None


class Answered(NamedTuple):
    """A question to a person that ended.

    Attributes:
        shape: The sign of its status, which `ended` says in words.
        step: The step that was asked about; empty if a framework asked.
        text: The question of a framework; None if it is hidden, or no text.
        value: The answer to a framework, likewise.
        took_us: The time until the answer; None if that is not known.
    """

    shape: str
    ended: str
    step: str
    text: str | None
    value: str | None
    by: str | None
    why: str | None
    took_us: int | None
    address: str


class ShownTurn(NamedTuple):
    """A turn with its run.

    Attributes:
        rows: The spans of the run.
        ran: What ran, in one line; empty if nothing did.
        steps: The steps that ran, at most `MOST_RAN`.
        more: How many others ran, or were not read.
        question: The first question whole, as far as it is recorded; the line of the list if its
            span was not read. `answer` is the answer to it.
        undescribed: How many denied steps are not among `denied`.
        answered: The first questions that ended.
        outcome: How it failed, or why it was terminated; None if a denial says it, or it did not.
    """

    turn: Turn
    row: ListedRow
    rows: RunRows
    facts: RunFacts
    question: Message | None
    answer: Message | None
    ran: str
    steps: Sequence[Ran]
    more: int
    denied: Sequence[DeniedStep]
    undescribed: int
    answered: Sequence[Answered]
    asked: Asked | None
    outcome: Outcome | None


def shown(ctx: Context, turn: Turn, run: Mapping[str, Any], runs: int) -> ShownTurn:
    """Return a turn.

    Args:
        run: The run as the API lists it.
        runs: Number of runs of the conversation.
    """
    rows = RunRows(ctx, turn.id)
    facts = run_facts(rows, whole=PAGE_STEPS, turns=runs)
    row = row_of(run, ctx.now_us)
    parents = {step.parent_id for step in facts.steps.values()}
    inner = [
        step
        for step in facts.steps.values()
        if step.id not in parents and step.schema_name not in OF_REMIT and not step.flags & DENIED
    ]
    refused = [step for step in facts.steps.values() if step.flags & DENIED]
    denied = [_denied(rows, facts, step) for step in refused[:MOST_DENIED]]
    question, answer = _exchange(rows, facts, row)
    return ShownTurn(
        turn,
        row,
        rows,
        facts,
        None if question is None else Message(None, "user", content_of(question)),
        None if answer is None else Message(None, "assistant", content_of(answer)),
        _line(rows, facts, inner),
        [_ran(facts, step) for step in inner[:MOST_RAN]],
        max(0, len(inner) - MOST_RAN) + max(0, facts.total - len(facts.steps)),
        denied,
        max(0, turn.denied - len(denied)),
        _answered(rows) if rows.run.asked else (),
        _asked(ctx, rows, facts) if turn.is_waiting else None,
        _outcome(row, turn.denied),
    )


def _exchange(rows: RunRows, facts: RunFacts, row: ListedRow) -> tuple[str | None, str | None]:
    """Return question and answer whole, from the spans from which the list has their lines."""
    question, answer = row.question, row.answer
    top = None if facts.root is None else facts.root.row.id
    below = [step for step in facts.steps.values() if step.parent_id == top]
    if question is None or top is None:
        return question, answer
    for step in below[:MOST_FIRST]:
        span = None if step.schema_name in rows.hidden else rows.get(step.id)
        if span is None:
            continue
        if question_in(span.payload) == row.question:
            question = question_text(span.payload)
        elif not goes_on(span.payload):
            continue
        if answer_in(span.result) == row.answer:
            return question, answer_text(span.result)
    return question, answer


def _line(rows: RunRows, facts: RunFacts, steps: Sequence[StepRecord]) -> str:
    """Return the steps that ran in one line: `2 model calls, find_order and track_parcel`."""
    types = rows.version.types
    calls = sum(
        step.schema_name in types and types[step.schema_name].is_model_call for step in steps
    )
    names = Counter(
        facts.name(step)
        for step in steps
        if step.schema_name not in types or not types[step.schema_name].is_model_call
    )
    parts = [f"{calls:,} model call{'' if calls == 1 else 's'}"] if calls else []
    parts += [
        name if count == 1 else f"{name} {formats.times(count)}"
        for name, count in list(names.items())[:MOST_NAMED]
    ]
    more = sum(list(names.values())[MOST_NAMED:])
    return formats.listed(parts + ([f"{more:,} more"] if more else []))


def _ran(facts: RunFacts, step: StepRecord) -> Ran:
    name = facts.names.get(step.id)
    took_us = None
    if step.started_at is not None and step.finished_at is not None:
        took_us = max(0, step.finished_at - step.started_at)
    word = "" if name is None else name.word
    return Ran(facts.name(step), word, _address(facts, step), took_us)


def _denied(rows: RunRows, facts: RunFacts, step: StepRecord) -> DeniedStep:
    span = rows.get(step.id)
    violations = () if span is None else denied_by(span.result) or ()
    reason = held_reason(violations) or reason_of(of_one_agent(violations))
    return DeniedStep(facts.name(step), _address(facts, step), reason)


def _address(facts: RunFacts, step: StepRecord) -> str:
    return f"/runs/{facts.row.id}?span={step.id}"


def _asked(ctx: Context, rows: RunRows, facts: RunFacts) -> Asked:
    """Return the newest question of a run that waits."""
    asked = [step for step in facts.steps.values() if step.schema_name == ASKED_SPAN]
    span = rows.get(asked[-1].id) if asked else None
    step = None if span is None else span.payload.get("step")
    words = items(None if span is None else span.payload.get("words"))
    waiting = asks.seen(ctx.caller)
    asks.add_status(waiting, WAITING, ctx.now_us)
    waiting.add("run = ?", facts.row.external_identifier or facts.row.id)
    request = next(iter(ctx.tx.asks(waiting, 1)), None)
    return Asked(
        formats.step(step) if isinstance(step, str) else "",
        verbs_of([word for word in words if isinstance(word, str)]),
        None if span is None else span.row.started_at or span.row.inserted_at,
        None if request is None else request.id,
        None if request is None else request.expires_at,
    )


def _answered(rows: RunRows) -> list[Answered]:
    """Return the questions of a run that ended, the oldest first."""
    ended = [each for each in questions_in(rows) if each.answer is not None]
    shown = [each for each in ended if each.status in _ENDED]
    return [_of_question(rows, each) for each in shown[:MOST_ANSWERED]]


def _of_question(rows: RunRows, question: Question) -> Answered:
    span, answer = rows.get(question.span_id), question.answer
    is_hidden = span is None or hidden_of(span.row, (), rows.hidden).values
    asked = None if span is None or is_hidden or question.step else span.payload.get("asked")
    value = None if answer is None or answer.decision or is_hidden else answer.value
    return Answered(
        question.shape,
        _ENDED[question.status],
        formats.step(question.step) if question.step else "",
        asked if isinstance(asked, str) else question_text(members(asked)),
        value if isinstance(value, str) else None,
        None if answer is None else answer.by,
        None if answer is None or question.status != asks.REFUSED else answer.why,
        question.waited_us,
        f"/runs/{rows.run.id}?span={question.span_id}",
    )


def _outcome(row: ListedRow, denied: int) -> Outcome | None:
    """Return how a run failed or was terminated; None if its denied steps say it."""
    outcome = row.outcome
    if outcome is None or row.status not in {"failed", "terminated"}:
        return None
    return None if denied and outcome.lead.startswith("denied: ") else outcome
