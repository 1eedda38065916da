"""Model calls among other steps: the calls before, and the steps that they called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from remit.collector.page import formats
from remit.collector.page.run.conversation import Conversation, conversation, shared_with
from remit.collector.page.run.facts import RunRows
from remit.collector.page.run.messages import Message, Step
from remit.collector.page.run.spans import ListedSpan
from remit.collector.times import US_PER_S

MOST_PAGES: Final = 10
"""Pages of earlier calls, and of steps, that are read for one view."""
MOST_NODES: Final = 1_000
LANGCHAIN: Final = "langchain:"
AFTER_S: Final = 60
"""Time after the end of a call in which the steps begin that it leads to."""


class Earlier(NamedTuple):
    """An earlier step, and its model call."""

    span: ListedSpan
    call: Conversation


def shown_in_panel(rows: RunRows, span: ListedSpan) -> Conversation | None:
    """Return a model call with the call before it and the steps that it called.

    Returns:
        The call; None if the step is not a model call.
    """
    call = conversation(span)
    if call is None:
        return None
    before = call_before(rows, span)
    if before is not None:
        shared = shared_with(call, before.call)
        call = replace(call, before=before.span.address, shared=shared)
    return call.linked(called_steps(rows, span, [call]))


def call_before(rows: RunRows, span: ListedSpan) -> Earlier | None:
    """Return the model call before a step, if it is near."""
    return next(earlier_calls(rows, span, pages=2), None)


def earlier_calls(rows: RunRows, span: ListedSpan, *, pages: int = MOST_PAGES) -> Iterator[Earlier]:
    """Yield the model calls before a step that have its type and its parent, the latest first.

    LangChain's calls in the nodes of a graph belong together: the parent is the step around them.
    """
    nodes: Mapping[str, str | None] = {}
    if span.schema_name.startswith(LANGCHAIN):
        nodes = rows.parents(f"{LANGCHAIN}chain", MOST_NODES)
    parent = _outside(span.parent_id, nodes)
    for earlier in rows.listed(pages, schema_name=span.schema_name, before=span.id):
        call = conversation(earlier)
        if call is not None and _outside(earlier.parent_id, nodes) == parent:
            yield Earlier(earlier, call)


def _outside(parent: str | None, nodes: Mapping[str, str | None]) -> str | None:
    """Return the nearest step around a call that is not a node of a graph; None in a circle."""
    seen: set[str] = set()
    while parent is not None and parent in nodes:
        if parent in seen:
            return None
        seen.add(parent)
        parent = nodes[parent]
    return parent


def called_steps(rows: RunRows, span: ListedSpan, calls: Sequence[Conversation]) -> dict[str, Step]:
    """Return the steps that model calls of a run led to, by id of the call.

    A step of an integration has the id of its call. For others, the name counts: as many steps
    with the name of a tool as there are calls of it, in the same order.
    """
    wanted = [
        (part.call_id, part.name)
        for call in calls
        for message in call.all
        for part in message.parts
        if part.call_id is not None
    ]
    if not wanted or span.started_at is None:
        return {}
    # Up to shortly after the model call, in order.
    until_us = (span.finished_at or span.started_at) + AFTER_S * US_PER_S
    steps = [*rows.listed(MOST_PAGES, until_us=until_us)][::-1]
    by_id = {str(step.payload["call_id"]): step for step in steps if "call_id" in step.payload}
    steps_of = {call_id: _step(by_id[call_id]) for call_id, _ in wanted if call_id in by_id}
    for name in {name for call_id, name in wanted if call_id not in by_id}:
        ids = list(dict.fromkeys(call_id for call_id, tool in wanted if tool == name))
        named = [step for step in steps if _is_named(step, name, span)]
        if len(ids) == len(named):
            steps_of |= {call_id: _step(step) for call_id, step in zip(ids, named, strict=True)}
    return steps_of


def _is_named(step: ListedSpan, tool: str, span: ListedSpan) -> bool:
    """Return whether a step with the parent of a model call has the name of a tool."""
    name = step.schema_name.rpartition(":")[2]
    return step.parent_id == span.parent_id and tool in {name, name.rpartition(".")[2]}


def _step(step: ListedSpan) -> Step:
    return Step(step.address, formats.duration(step.took_us))


def joined(span: ListedSpan, call: Conversation, earlier: Iterator[Earlier]) -> list[Earlier]:
    """Return a call after the calls that recorded its first messages, as far as they are found.

    Returns:
        The calls in order; of each, only the messages that belong to this conversation.
    """
    calls = [Earlier(span, call)]
    needed = call.omitted
    for before in earlier if needed else ():
        if before.call.total < needed or before.call.omitted >= needed:
            continue
        calls.append(Earlier(before.span, _up_to(before.call, needed)))
        needed = before.call.omitted
        if not needed:
            break
    return calls[::-1]


def _up_to(call: Conversation, last: int) -> Conversation:
    """Return a call with its messages up to a number."""

    def kept(messages: Sequence[Message]) -> list[Message]:
        return [message for message in messages if (message.number or 0) <= last]

    return replace(call, messages=kept(call.messages), answer=kept(call.answer))
