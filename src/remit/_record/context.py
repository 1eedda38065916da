"""Makes the context of a call current and restores it by value: for a block, a step, nested runs.

Also here: the ceilings and terminations of the runs around a context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cache
from typing import Final

from msgspec.structs import replace

from remit._base.traceparent import traceparent
from remit._declare.registry import RUN_TYPE, AgentType
from remit._policy.limits import Ceilings
from remit._record.items import RunFeed
from remit._record.runs import OpenRun, SpanContext, current_context, outer_runs, set_context
from remit.errors import DeniedError, RunTerminated

AGENT_STEP: Final = "agent"
"""Kind of the step of an agent that a framework calls."""


class ReportedContext(SpanContext, frozen=True, eq=False):
    """The context inside an adapter's span, while it is current."""

    previous: SpanContext | None = None


class StepContext(SpanContext, frozen=True, eq=False):
    """The context of a stream while a consumer in another run or agent takes a step."""

    stream: SpanContext | None = None
    consumer: SpanContext | None = None


def nested_in(context: SpanContext, outer: SpanContext | None) -> SpanContext:
    """Return *context*, used inside *outer*, with the ceilings and runs of *outer* added."""
    if outer is None:
        return context
    keys = {context.run.feed.key, *(run.feed.key for run in context.outer_runs)}
    runs = tuple(run for run in outer_runs(outer) if run.feed.key not in keys)
    ceilings = tuple(ceiling for ceiling in outer.ceilings if ceiling not in context.ceilings)
    if not (runs or ceilings):
        return context
    return SpanContext(
        context.run,
        context.key,
        context.name,
        ceilings + context.ceilings,
        context.outer_runs + runs,
    )


def is_same_span(one: SpanContext | None, other: SpanContext | None) -> bool:
    """Return whether both are contexts of the same span, or both None."""
    return one is other or (one is not None and other is not None and one.key == other.key)


def for_consumer(context: SpanContext, consumer: SpanContext | None) -> SpanContext:
    """Return the context of a stream's step: *context* with the ceilings of *consumer* added.

    A stream belongs to the run and the agent in which it was called. If it is read in another run,
    or in a nested agent, the ceilings of both apply; the termination of either run ends it.
    """
    if consumer is None:
        return context
    if consumer.run is context.run and consumer.outer_runs is context.outer_runs:
        # Mostly those of one agent, the same object, or of an agent around it.
        ceilings = consumer.ceilings
        if ceilings is context.ceilings or ceilings == context.ceilings[: len(ceilings)]:
            return context
    nested = nested_in(context, consumer)
    if nested is context:
        return context
    return StepContext(
        nested.run, nested.key, nested.name, nested.ceilings, nested.outer_runs, context, consumer
    )


def first_open(context: SpanContext | None) -> SpanContext | None:
    """Return *context*, or the nearest one before it that is not of an adapter's ended span."""
    if isinstance(context, StepContext):
        stream = first_open(context.stream)
        return context if stream is context.stream else _for_step(stream, context)
    ended = False
    while isinstance(context, ReportedContext) and context.key not in context.run.reported:
        context, ended = context.previous, True
    if not ended or context is None:
        return context
    run, root = context.run, context.run.feed.root
    if context.key == root or context.key in run.open or context.key in run.reported:
        return context
    # The function or block in which the adapter's span became current has ended as well.
    return replace(context, key=root, name=RUN_TYPE)


def _for_step(context: SpanContext | None, step: StepContext) -> SpanContext | None:
    return step.consumer if context is None else for_consumer(context, step.consumer)


def open_context() -> SpanContext | None:
    """Return the current context, after leaving the spans of adapters that have ended.

    An adapter's span may end in another context of the interpreter than the one where it became
    current: frameworks call back at the end of a step in a task of its own.
    """
    current = current_context()
    if current is None or type(current) is SpanContext:
        return current
    context = first_open(current)
    if context is not current:
        set_context(context)
    return context


def traceparent_of(context: SpanContext | None) -> str | None:
    """Return the `traceparent` of a span; None outside any run, and in one that is not recorded."""
    if context is None or not context.run.recording:
        return None
    return traceparent(context.run.feed.root, context.key)


class use_context:  # noqa: N801 - reads as a word: `with use_context(context):`
    """Makes a context current in a block, and restores the previous one by value.

    It restores only if the context is still current, or was until an adapter's span inside became
    current: a block may be left in another context of the interpreter than the one it was entered
    in, where resetting by a token raises.
    """

    __slots__ = ("_context", "_previous")

    def __init__(self, context: SpanContext | None) -> None:
        """Prepare the block; None is outside any run."""
        self._context = context
        self._previous: SpanContext | None = None

    def __enter__(self) -> None:
        self._previous = current_context()
        set_context(self._context)

    def __exit__(self, *exc_info: object) -> None:
        current, previous = current_context(), first_open(self._previous)
        context = current
        while isinstance(context, StepContext):
            context = context.stream
        while isinstance(context, ReportedContext) and not is_same_span(context, self._context):
            context = context.previous
        if not is_same_span(context, self._context):
            return
        if isinstance(current, StepContext):
            # The step that leaves this block has another consumer than the one that entered it.
            previous = _for_step(previous, current)
        set_context(previous)


class SavedContext:
    """The context of code that runs in steps, such as a generator or a coroutine.

    If the code keeps the block of a span or a run open over a step, that block is current again in
    its next step, but not in between.

    Attributes:
        base: Context of the first step, that of the call's span. None outside any run: the code
            then runs in the context of its consumer, as undecorated code does.
        closing: Whether the code is being closed, perhaps by the garbage collector, which is no
            consumer.
    """

    __slots__ = ("_entered", "_opened_at", "base", "closing", "context")

    def __init__(self, base: SpanContext | None) -> None:
        self.base = self.context = self._entered = base
        self.closing = False
        self._opened_at: SpanContext | None = None

    def rebase(self, base: SpanContext) -> None:
        """Begin at *base* instead; no step was made yet."""
        self.base = self.context = self._entered = base

    def enter(self, consumer: SpanContext | None) -> None:
        """Begin a step for *consumer*, whose ceilings apply as well."""
        context = self.context
        if not (consumer is context or self.closing):
            context = consumer if context is None else for_consumer(context, consumer)
        self._entered = context
        set_context(context)

    def leave(self, consumer: SpanContext | None) -> None:
        """End a step: save its context, and restore *consumer*, the previous one."""
        context = current_context()
        if context is not self._entered:
            if self.context is self.base:
                # The step entered a block and did not leave it: the next step is inside it.
                self._opened_at = self._entered
                self.context = context
            else:
                # A block was open. If the step left it, the span in which it was opened is current
                # again, or the consumer's, if that was outside any run.
                closed = context is consumer or is_same_span(context, self._opened_at)
                self.context = self.base if closed else context
        set_context(consumer)

    def keep(self) -> None:
        """Keep the blocks current that the code left open, as a plain function does."""
        if self.context is not self.base:
            set_context(self.context)


def termination(context: SpanContext) -> RunTerminated | None:
    """Return the error to raise if the run of *context*, or one around it, was terminated."""
    feed = _terminated_feed(context)
    return None if feed is None else RunTerminated(feed.key, feed.terminated or None)


def _terminated_feed(context: SpanContext) -> RunFeed | None:
    for feed in (context.run.feed, *(run.feed for run in context.outer_runs)):
        if feed.terminated is not None:
            return feed
    return None


def check_terminated(context: SpanContext) -> None:
    """Check that neither the run of *context* nor one around it was terminated.

    Raises:
        RunTerminated: One of them was.
    """
    feed = _terminated_feed(context)
    if feed is not None:
        raise RunTerminated(feed.key, feed.terminated or None)


def agents_around(context: SpanContext) -> Callable[[], frozenset[str]]:
    """Return a function that returns the identifiers and names of the agents around *context*.

    They are those of its run, of the runs around it, and of the agents that were called in them.
    To find the project of an agent may take 50 ms, once for each agent.
    """

    @cache
    def names() -> frozenset[str]:
        found = set[str]()
        for run, key in ((context.run, context.key), *_outer(context)):
            agent = run.feed.agent
            found |= {agent.external_identifier, agent.name}
            prefix = ""
            if agent.identifier is not None:
                identifier = agent.identifier()
                prefix = identifier.removesuffix(agent.external_identifier)
                found.add(identifier)
            span = run.open.get(key)
            while span is not None:
                nested: AgentType | None = span.recorder.agent
                if nested is not None:
                    found |= {nested.name, nested.external_identifier}
                    found.add(nested.identifier_in(prefix.removesuffix("/") or None))
                elif span.recorder.kind == AGENT_STEP:
                    found.add(span.recorder.name)
                span = run.open.get(span.start.parent or b"")
        return frozenset(found)

    return names


def _outer(context: SpanContext) -> Iterator[tuple[OpenRun, bytes]]:
    for outer in context.outer_runs:
        run = outer.run()
        if run is not None:
            yield run, outer.key


denials: Final[ContextVar[list[DeniedError] | None]] = ContextVar("denials", default=None)
"""Where an adapter collects the denials in the rest of its task."""


def note_denial(context: SpanContext, error: DeniedError) -> None:
    """Note a denial on the adapters' spans around *context*, also on those in outer runs."""
    collected = denials.get()
    if collected is not None:
        collected.append(error)
    context.run.note_denial(context.key, error)
    for outer in context.outer_runs:
        run = outer.run()
        if run is not None:
            run.note_denial(outer.key, error)


def terminate(context: SpanContext, reason: str, violated: Ceilings) -> None:
    """Terminate the run of *context*, and those around it whose remit was *violated*."""
    outer = [run.feed for run in context.outer_runs if not set(violated).isdisjoint(run.ceilings)]
    for feed in (context.run.feed, *outer):
        if feed.terminated is None:
            feed.terminated = reason
