"""Makes the context of a call current and restores it: for a block, a step, a nested run.

One `SpanContext` is the ambient value. It is set and restored by value.
"""

from __future__ import annotations

from remit._record.context_variable import set_context
from remit._record.items import RunFeed
from remit._record.policy import Ceilings
from remit._record.runs import SpanContext, current_context, outer_runs
from remit.errors import RunTerminated


class StepContext(SpanContext, frozen=True, eq=False):
    """The context of a stream during one step for a consumer in another run.

    Attributes:
        consumer: The context of the consumer.
    """

    consumer: SpanContext | None = None


# Unguarded: comparisons.
def nested_in(context: SpanContext, outer: SpanContext | None) -> SpanContext:
    """Return *context* with the ceilings and runs of *outer*, where it is used, added."""
    if outer is None:
        return context
    known = {context.run.feed.key, *(each.feed.key for each in context.outer_runs)}
    added = tuple(each for each in outer_runs(outer) if each.feed.key not in known)
    ceilings = tuple(each for each in outer.ceilings if each not in context.ceilings)
    if not (added or ceilings):
        return context
    return SpanContext(
        context.run,
        context.key,
        context.name,
        ceilings + context.ceilings,
        context.outer_runs + added,
    )


# Unguarded: comparisons.
def is_same_span(one: SpanContext | None, other: SpanContext | None) -> bool:
    """Return whether both are contexts of the same span, or both None."""
    return one is other or (one is not None and other is not None and one.key == other.key)


# Unguarded: comparisons.
def for_consumer(context: SpanContext, consumer: SpanContext | None) -> SpanContext:
    """Return the context of a stream's step: *context* under the ceilings of *consumer* as well.

    A stream belongs to the run in which it was called. If it is read in another run, the ceilings
    of both apply, and the termination of either ends it.
    """
    if consumer is None:
        return context
    if consumer.run is context.run and consumer.outer_runs is context.outer_runs:
        return context
    both = nested_in(context, consumer)
    if both is context:
        return context
    return StepContext(both.run, both.key, both.name, both.ceilings, both.outer_runs, consumer)


# Unguarded: assignments, and a context variable.
class use_context:  # noqa: N801 - reads as a word: `with use_context(context):`
    """Makes a context current in a block, and restores by value what was current before.

    It is restored only if the context is still current: a block may be left in another context of
    the interpreter than the one it was entered in, where the token of a variable raises.
    """

    __slots__ = ("_context", "_previous")

    def __init__(self, context: SpanContext | None) -> None:
        """Prepare the block; None is outside any run."""
        self._context = context
        self._previous: SpanContext | None = None

    def __enter__(self) -> None:
        """Make the context current."""
        self._previous = current_context()
        set_context(self._context)

    def __exit__(self, *exc_info: object) -> None:
        """Restore what was current before."""
        current, previous = current_context(), self._previous
        self._previous = None
        if not is_same_span(current, self._context):
            return
        if isinstance(current, StepContext):
            # The step that leaves this block has another consumer than the one that entered it.
            consumer = current.consumer
            previous = consumer if previous is None else for_consumer(previous, consumer)
        set_context(previous)


# Unguarded: assignments, and a context variable.
class SavedContext:
    """The context of code that runs in steps, such as a generator or a coroutine.

    A block of a span or a run that the code holds open over a step is current again in its next
    step, and for nobody else in between.

    Attributes:
        base: Context of the first step: that of the call's span. None outside any run: then the
            code has the context of its consumer, as an undecorated call has.
        context: Context of the next step.
        closing: Whether the code is being closed. The garbage collector may do that, and is no
            consumer.
    """

    __slots__ = ("_entered", "_opened_at", "base", "closing", "context")

    def __init__(self, base: SpanContext | None) -> None:
        """Begin at *base*."""
        self.base = self.context = self._entered = base
        self.closing = False
        self._opened_at: SpanContext | None = None

    def rebase(self, base: SpanContext) -> None:
        """Begin at *base* instead; no step was made yet."""
        self.base = self.context = self._entered = base

    def enter(self, consumer: SpanContext | None) -> None:
        """Begin a step for *consumer*, whose ceilings apply to it as well."""
        context = self.context
        if not (consumer is context or self.closing):
            context = consumer if context is None else for_consumer(context, consumer)
        self._entered = context
        set_context(context)

    def leave(self, consumer: SpanContext | None) -> None:
        """End a step: remember its context, and restore *consumer*, which was current before."""
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
        """After the last step: leave current the block that is still open, as a function would."""
        if self.context is not self.base:
            set_context(self.context)


def terminated_around(context: SpanContext) -> RunFeed | None:
    """Return the feed of a terminated run around *context*, or None if there is none."""
    if context.run.feed.terminated is not None:
        return context.run.feed
    for each in context.outer_runs:
        if each.feed.terminated is not None:
            return each.feed
    return None


def check_terminated(context: SpanContext) -> None:
    """Check that neither the run of *context* nor one around it was terminated.

    Raises:
        RunTerminated: One of them was.
    """
    ended = terminated_around(context)
    if ended is not None:
        raise RunTerminated(ended.key, ended.terminated or None)


def terminate(context: SpanContext, reason: str, exceeded: Ceilings) -> None:
    """Terminate the run of *context*, and those around it whose remit was *exceeded*.

    Args:
        context: Where a step would have begun.
        reason: Why.
        exceeded: The ceilings that the step would have exceeded.
    """
    outer = [
        each.feed for each in context.outer_runs if not set(exceeded).isdisjoint(each.ceilings)
    ]
    for feed in (context.run.feed, *outer):
        if feed.terminated is None:
            feed.terminated = reason
