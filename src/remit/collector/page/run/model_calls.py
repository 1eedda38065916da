"""Model calls among other steps: the calls before, and the steps that they called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

from remit.collector.page import formats
from remit.collector.page.run.conversation import Conversation, conversation, shared_with
from remit.collector.page.run.messages import Message, Step
from remit.collector.page.visits import SPANS, Api
from remit.collector.times import US_PER_S, format_us, parse_us

Span: TypeAlias = Mapping[str, Any]
PAGE: Final = 100
MOST_PAGES: Final = 10
"""Pages of earlier calls, and of steps, that are read for one view."""
MOST_NODES: Final = 1_000
LANGCHAIN: Final = "langchain:"
AFTER_S: Final = 60
"""Time after the end of a call in which the steps begin that it leads to."""


class Earlier(NamedTuple):
    """An earlier step, and its model call."""

    span: Span
    call: Conversation


def shown_in_panel(api: Api, span: Span) -> Conversation | None:
    """Return a model call with the call before it and the steps that it called.

    Returns:
        The call; None if the step is not a model call.

    Raises:
        RequestError: The rejection.
    """
    call = conversation(span)
    if call is None:
        return None
    before = next(earlier_calls(api, span, pages=2), None)
    if before is not None:
        call = replace(
            call,
            before=f"/runs/{span['agent_instance_id']}?span={before.span['id']}",
            shared=shared_with(call, before.call),
        )
    return call.linked(called_steps(api, span, [call]))


def earlier_calls(api: Api, span: Span, *, pages: int = MOST_PAGES) -> Iterator[Earlier]:
    """Yield the model calls before a step that have its type and its parent, the latest first.

    LangChain's calls in the nodes of a graph belong together: the parent is the step around them.
    """
    nodes: Mapping[str, str | None] = {}
    if span["schema_name"].startswith(LANGCHAIN):
        nodes = _nodes(api, span)
    parent = _outside(span["parent_span_id"], nodes)
    of_type = {"type": span["schema_name"], "before": span["id"]}
    for earlier in _spans(api, span, pages, of_type):
        call = conversation(earlier)
        if call is not None and _outside(earlier["parent_span_id"], nodes) == parent:
            yield Earlier(earlier, call)


def _spans(api: Api, span: Span, pages: int, query: Mapping[str, str]) -> Iterator[Span]:
    """Yield the steps of the run of a step, the latest first, with their payloads."""
    limits = {"limit": str(PAGE), "payloads": "true"}
    listed = api.pages(SPANS, run_id=span["agent_instance_id"], **limits, **query)
    for response in islice(listed, pages):
        yield from response["spans"]


def _nodes(api: Api, span: Span) -> Mapping[str, str | None]:
    """Return the parents of the nodes of graphs in a run."""
    response = api.get(
        SPANS, run_id=span["agent_instance_id"], type=f"{LANGCHAIN}chain", limit=str(MOST_NODES)
    )
    return {node["id"]: node["parent_span_id"] for node in response["spans"]}


def _outside(parent: str | None, nodes: Mapping[str, str | None]) -> str | None:
    """Return the nearest step around a call that is not a node of a graph; None in a circle."""
    seen: set[str] = set()
    while parent is not None and parent in nodes:
        if parent in seen:
            return None
        seen.add(parent)
        parent = nodes[parent]
    return parent


def called_steps(api: Api, span: Span, calls: Sequence[Conversation]) -> dict[str, Step]:
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
    if not wanted or span["started_at"] is None:
        return {}
    # Up to shortly after the model call, in order.
    ended = parse_us(span["finished_at"] or span["started_at"])
    until = format_us(ended + AFTER_S * US_PER_S)
    steps = [*_spans(api, span, MOST_PAGES, {"until": until})][::-1]
    by_id = {
        str(step["payload"]["call_id"]): step for step in steps if "call_id" in step["payload"]
    }
    steps_of = {call_id: _step(by_id[call_id]) for call_id, _ in wanted if call_id in by_id}
    for name in {name for call_id, name in wanted if call_id not in by_id}:
        ids = list(dict.fromkeys(call_id for call_id, tool in wanted if tool == name))
        named = [step for step in steps if _is_named(step, name, span)]
        if len(ids) == len(named):
            steps_of |= {call_id: _step(step) for call_id, step in zip(ids, named, strict=True)}
    return steps_of


def _is_named(step: Span, tool: str, span: Span) -> bool:
    """Return whether a step with the parent of a model call has the name of a tool."""
    name = step["schema_name"].rpartition(":")[2]
    return tool in {name, name.rpartition(".")[2]} and (
        step["parent_span_id"] == span["parent_span_id"]
    )


def _step(step: Span) -> Step:
    address = f"/runs/{step['agent_instance_id']}?span={step['id']}"
    return Step(address, formats.duration(formats.between(step["started_at"], step["finished_at"])))


def joined(span: Span, call: Conversation, earlier: Iterator[Earlier]) -> list[Earlier]:
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
