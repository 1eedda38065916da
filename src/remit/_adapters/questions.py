"""Records the questions by which a framework pauses, and their answers.

A question and its answer are two complete spans, `remit:asked` and `remit:answered`, because the
wait may outlast the process. The run stays open, and the call with the answer goes on in it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from remit._adapters.declare import classified_tools
from remit._adapters.spans import ManualSpan
from remit._base.clock import NS_PER_MS
from remit._base.guard import guarded
from remit._base.ids import derived_key, key_text
from remit._capture.encode import capture_mapping
from remit._capture.follow import follow_run
from remit._inspect.introspection import type_name
from remit._record import questions
from remit._record.about import suggested_text
from remit._record.approvals import SUPERSEDED, ApprovalRequest, Outcome, RunAsks
from remit._record.asking import answered
from remit._record.context import open_context
from remit._record.questions import NO_TIME
from remit._record.runs import OpenRun, SpanContext
from remit._record.waiting import WaitingRun

_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@guarded("the record of a question")
def ask(
    span: ManualSpan,
    conversation: object,
    asked: Mapping[str, object],
    how: str,
    *,
    leave_open: bool = True,
    approvals: Collection[str] = (),
) -> None:
    """Record the questions by which the agent of *span* pauses.

    Args:
        conversation: What the framework knows; the program may have said another one.
        asked: The questions, by the framework's ids.
        how: By which means, such as `interrupt`.
        leave_open: Leave the run open if an answer can find it, by a conversation.
        approvals: The ids of those that an approver asks, whose questions are recorded already.
    """
    context = span.context
    if context is None:
        return
    run = context.run
    text = _conversation(run, conversation)
    if text is not None and leave_open:
        run.leave_open()
    for ticket, question in asked.items():
        is_new = True
        if text is not None:
            waiting = WaitingRun(run.feed.key, run.feed.root)
            is_new = run.recorder.waiting.ask(
                run.feed.agent.external_identifier, text, waiting, ticket, run.now_ns()
            )
        if is_new and ticket not in approvals:
            captured = _captured(run, questions.ASKED, question)
            payload, key = {questions.HOW: how}, questions.portable_key(ticket)
            questions.record_asked(run, context.key, ticket, payload, captured, key=key)


def tickets(span: ManualSpan, conversation: object) -> list[str]:
    """Return the open questions that this process knows, in a conversation of the agent."""
    run = None if span.context is None else span.context.run
    if run is None:
        return []
    agent = run.feed.agent.external_identifier
    waiting = run.recorder.waiting.get(agent, _conversation(run, conversation))
    return [] if waiting is None else list(waiting.asked_ns)


@guarded("the record of an answer")
def answer(
    span: ManualSpan,
    conversation: object,
    answers: Mapping[str | None, object],
    by: object,
    *,
    approvals: Collection[str | None] = (),
) -> None:
    """Record the answers with which the agent of *span* goes on.

    Args:
        answers: By the ids of the questions; None is the only open one, if this process does not
            know it.
        by: Who goes on, as the framework knows.
        approvals: The ids of those that an approver gets, whose answers are recorded there.
    """
    context = span.context
    if context is None:
        return
    run = context.run
    text, agent = _conversation(run, conversation), run.feed.agent.external_identifier
    person = run.about.on_behalf_of or suggested_text("on_behalf_of", by, run.rules.off)
    for ticket, value in answers.items():
        asked_ns = None
        if text is not None and ticket is not None:
            asked_ns = run.recorder.waiting.answer(agent, text, ticket)
        if ticket in approvals:
            continue
        waited_ms = None if asked_ns is None else max(0, run.now_ns() - asked_ns) // NS_PER_MS
        captured = _captured(run, questions.ANSWER, value)
        payload = {questions.BY: person, questions.WAITED_MS: waited_ms}
        questions.record_answered(run, context.key, ticket, payload, captured)


def _captured(run: OpenRun, name: str, value: object) -> Mapping[str, msgspec.Raw]:
    """Return a question or an answer as JSON, without values that the run redacted."""
    if not run.recording:
        return {}
    data = capture_mapping({name: value}, run.rules)
    return _members(follow_run(data, run.rules, classified_tools(), is_model_call=False))


def _conversation(run: OpenRun, conversation: object) -> str | None:
    known = run.about.conversation
    return known or suggested_text("conversation", conversation, run.rules.off)


SUSPENDED: Final[Mapping[str, object]] = {"suspended": True}
"""Result of the cancelled span of a step that waits for an answer."""

# The questions of approvers, over a pause of the framework

SEAL: Final = "seal"
"""In a question of an approver that pauses its framework, and in the answer."""
TICKET: Final = "ticket"
"""In both as well."""


def shown(request: ApprovalRequest) -> dict[str, object]:
    """Return what an approver sends with its question to the person, with a new seal.

    Arguments that remit cannot read are as they are recorded.
    """
    return {
        "step": request.step,
        "words": list(request.words),
        "agent": request.agent,
        "run": request.run,
        "arguments": _shown_arguments(request),
        "unbound": list(request.unbound),
        TICKET: request.ticket,
        SEAL: request.seal(),
    }


def _shown_arguments(request: ApprovalRequest) -> dict[str, object]:
    unreadable = {path.partition(".")[0].partition("[")[0] for path in request.unbound}
    recorded: dict[str, object] = {}
    if unreadable:
        recorded = msgspec.json.decode(request.captured_arguments())
    return {
        name: recorded.get(name, type_name(type(value))) if name in unreadable else value
        for name, value in request.arguments.items()
    }


def ticket_in(place: str, request: ApprovalRequest) -> str:
    """Return a ticket that is the same in every process that asks *request* at a *place*.

    It is made of what is recorded, so it lets nobody guess a redacted value.

    Args:
        place: Where in the work of the framework the step is called.
    """
    shown = (place, request.step, request.captured_arguments().decode())
    return key_text(derived_key(NO_TIME, "/".join(shown)))


def known_asks(context: SpanContext | None = None) -> RunAsks | None:
    """Return what is known of the questions of a run; by default, of the current one."""
    context = context or open_context()
    return None if context is None else context.run.asks


@guarded("the record of an answer")
def end_unanswered(context: SpanContext, ticket: object, seal: object, outcome: Outcome) -> None:
    """Record how a question of an approver ended that was answered without calling the step.

    Args:
        context: The context below which it is recorded.
        ticket: The question; anything but a text is not known.
        seal: The seal of the question, by which a no of a person holds for the run.
        outcome: The answer.
    """
    run, text = context.run, ticket if isinstance(ticket, str) else None
    known = run.asks
    waited_ns = known.end_wait_ns(text, run.now_ns())
    if outcome.decision != SUPERSEDED:
        known.refuse(text, seal, outcome)
    questions.record_answered(run, context.key, text, answered(outcome, waited_ns))
