"""Spans that outlive their call: of generator functions, and of returned streams and coroutines.

The wrapper that makes the steps reports each step and the end to the span. If no further step is
made, because the generator was closed or collected or the process ends, the span is cancelled. Each
span ends once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from functools import partial
from typing import Any, Final, cast

from remit._base import guard
from remit._base.guard import guarded
from remit._base.ids import new_key
from remit._base.outcomes import CANCELLED, COMPLETE, FAILED, status_of
from remit._capture.encode import capture_mapping
from remit._capture.plan import Plan
from remit._capture.stream import Stream
from remit._record.asking import ApprovalPending, Ask, ask_later, ask_now
from remit._record.context import (
    SavedContext,
    check_terminated,
    for_consumer,
    open_context,
    termination,
)
from remit._record.runs import OpenRun, Reservation, SpanContext, opened
from remit._record.spans import NullSpan, OpenSpan, SpanRecorder, StepTracer
from remit.errors import DeniedError, RunTerminated, SettingsError, UsageError

_START: Final = "the start of a stream"


class DeferredSpan:
    """A span that outlives the call that it records, such as that of a returned coroutine.

    Attributes:
        context: The context inside the span, None before it is known.
        saved: The context of the user's code in each step.
        unrecorded: The span in whose place nothing is recorded, and in whose context the steps run.
    """

    __slots__ = ("__weakref__", "_span", "context", "saved", "unawaited", "unrecorded")

    def __init__(self, context: SpanContext | None) -> None:
        """Begin without a span: until `attach`, the steps run in *context*."""
        self.context: Any = context
        self.saved = SavedContext(context)
        self.unawaited: Any = None
        self.unrecorded: NullSpan | None = None
        self._span: OpenSpan | None = None

    def attach(self, span: OpenSpan) -> None:
        """Take over the open *span*."""
        self.rebase(span.context)
        span.context.run.defer(span.context.key, self)
        self._span = span

    def rebase(self, context: SpanContext) -> None:
        """Run the steps in *context* from now on; no step was made yet."""
        self.context = context
        self.saved.rebase(context)

    def detach(self) -> OpenSpan | None:
        """Return the span, for the caller to end; None if it has ended or another process ends it.

        The writer may cancel a stream while its consumer ends it: whichever pops the entry of the
        run ends the span. In the child of a fork the run has none: the parent ends the streams.
        """
        span, self._span = self._span, None
        if span is None:
            return None
        entry = span.context.run.deferred.pop(span.context.key, None)
        return None if entry is None else span

    @guarded("a step of a stream")
    def check(self) -> None:
        """Check that the run may go on; if not, end the span.

        Raises:
            RunTerminated: The run was terminated.
        """
        try:
            check_terminated(self.context)
        except RunTerminated as error:
            self.fail(error)
            raise

    @guarded("the end of a stream")
    def fail(self, error: BaseException) -> None:
        """End the span with an exception; a cancelled stream keeps the items so far."""
        if issubclass(type(error), GeneratorExit):
            self._close()
            return
        span = self.detach()
        if span is not None:
            if status_of(error, span.context.run.recorder.interrupts) == CANCELLED:
                span.end(CANCELLED, self._result())
            else:
                span.fail(error)
        self._ended(error)

    @guarded("the end of a stream")
    def cancel(self, ended_ns: int | None = None) -> None:
        """End the span because no further step is made, now or as of *ended_ns*."""
        span = self.detach()
        if span is not None:
            span.end(CANCELLED, self._result(), ended_ns)
        self._ended(GeneratorExit())

    def terminate(self) -> None:
        """Act on the termination of the run, which ends only streams at once."""

    def _result(self) -> bytes | None:
        """Return the result of a cancelled call; for a stream, the items so far."""
        return None

    def _ended(self, error: BaseException | None) -> None:
        """Called when the span has ended, with the exception that ended it."""

    def _is_pending(self) -> bool:
        return self._span is not None

    @guarded("the end of a closed call")
    def _close(self) -> None:
        """Cancel the span because its code was closed, on any thread if that was the collector."""
        if self._is_pending():
            run = self.context.run
            ended_ns = run.now_ns() if self._span is None else self._span.now_ns()
            run.recorder.close(self, ended_ns)

    def __del__(self) -> None:
        """Cancel the span of code that was collected before its end."""
        if not hasattr(self, "_span"):
            return  # `__init__` failed, as at the recursion limit
        if self.unawaited is not None:
            self.unawaited.close()  # so that only the caller's coroutine warns
        self._close()


class StreamSpan(DeferredSpan):
    """The span of a stream: its result holds the items."""

    __slots__ = ("_first_ms", "_stream", "_waiting")

    def __init__(self, context: SpanContext | None) -> None:
        super().__init__(context)
        self._stream: Stream | None = None
        self._first_ms: float | None = None
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Timeout] | None = None

    def attach(self, span: OpenSpan) -> None:
        """Take over the open *span*, and collect the items for its result."""
        super().attach(span)
        plan = cast("Plan", span.recorder.plan())  # a block has no stream
        self._stream = Stream(span.context.run.rules, plan)

    def begin(self) -> None:
        """Begin the span at the first step, if the call has not begun it."""

    async def begin_async(self) -> None:
        """Begin the span as `begin` does; a person's answer is awaited."""
        self.begin()

    def interruption(self, thrown: BaseException | None, /) -> BaseException | None:
        """Return the error to throw into the user's code instead of *thrown*, if it must stop.

        A stream that is being closed needs none.
        """
        self.saved.closing = issubclass(type(thrown), GeneratorExit)
        if self.saved.closing or issubclass(type(thrown), RunTerminated):
            return None
        try:
            if self.context is not None:
                check_terminated(self.context)
            self._admit(open_context())
        except (DeniedError, RecursionError, RunTerminated) as error:
            return error
        except Exception as error:
            fault = error
        else:
            return None
        try:
            self._contain(fault)
        except BaseException as denied:
            return denied
        return None

    def _contain(self, error: Exception) -> None:
        guard.contain("a step of a stream", error)

    def _admit(self, consumer: SpanContext | None) -> None:
        """Check that *consumer* may get the next item.

        Raises:
            RunTerminated: A run around the consumer was terminated.
            DeniedError: The step violates the remit of the consumer's agent.
        """

    @guarded("an awaited step of a stream", nullcontext())
    def begin_wait(self, thrown: BaseException | None, /) -> AbstractAsyncContextManager[object]:
        """Return the block around an awaited step, which a termination ends on asyncio.

        A step into which the end of the stream is *thrown* cleans up, and is not ended.
        """
        if issubclass(type(thrown), (GeneratorExit, DeniedError, RunTerminated)):
            return nullcontext()
        try:
            task = asyncio.current_task()
        except RuntimeError:
            task = None  # another event loop runs
        if task is None:
            return nullcontext()
        timeout = asyncio.timeout(None)
        self._waiting = (task.get_loop(), timeout)
        return timeout

    @guarded("an awaited step of a stream")
    def end_wait(self, error: BaseException | None, /) -> RunTerminated | None:
        """End the wait; return the termination of the run if *error* is how it ended the step."""
        waiting, self._waiting = self._waiting, None
        if waiting is None or type(error) is not TimeoutError or not waiting[1].expired():
            return None
        return termination(self.context)

    @guarded("the termination of a stream")
    def terminate(self) -> None:
        """Cancel the span, and stop the step that waits, in its own event loop."""
        waiting = self._waiting
        self.cancel()
        if waiting is not None:
            loop, timeout = waiting
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_expire, timeout)

    @guarded("an item of a stream")
    def add(self, item: object, /) -> None:
        """Add an item to the result."""
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        if self._span is None or self._stream is None:
            return
        if self._first_ms is None:
            self._first_ms = self._span.elapsed_ms
        self._stream.add(item)

    @guarded("the end of a stream")
    def end(self, *, closed: bool) -> None:
        """End the span: complete, or cancelled if it was closed before its end."""
        if closed:
            self._close()
            return
        span = self.detach()
        if span is not None:
            span.end(COMPLETE, self._result())
        self._ended(None)

    @guarded("the items of a stream")
    def _result(self) -> bytes | None:
        return None if self._stream is None else self._stream.payload(self._first_ms)


@guarded("the interruption of a stream")
def _expire(timeout: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # the step has ended
        timeout.reschedule(0)


def _no_params(context: SpanContext) -> Callable[[], bytes]:
    """Return a capture of no arguments, for the record of a denied step."""
    return partial(capture_mapping, {}, context.run.rules)


class GeneratorSpan(StreamSpan):
    """The span of a call of a generator function: bound to a run at the call, begun by a step.

    Between the call and the first step it counts as an open span of its run, so that the run does
    not end before the stream begins, is closed or is collected.

    A call outside any run is bound at its first step, to the run of that step, and the remit of
    that run's agent applies. If the consumer is in another run, the remit of the consumer's agent
    and the termination of its run apply as well.
    """

    __slots__ = (
        "_args", "_consumer", "_kwargs", "_own_run", "_owner", "_reserved_key", "_tracer",
    )  # fmt: skip

    def __init__(
        self,
        tracer: StepTracer,
        instance: object,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        """Bind a call of the function on *instance* to the current context."""
        self._tracer = tracer
        self._args = tracer.recorded(instance, args)
        self._owner = instance if self._args is args else args[0]
        self._kwargs: Mapping[str, Any] = kwargs
        self._consumer: SpanContext | None = None
        self._reserved_key: bytes | None = None
        self._own_run: OpenRun | None = None
        parent = tracer.parent()
        super().__init__(parent)
        if parent is not None and parent.run.recording:
            self._reserve(parent.run)

    @guarded(_START)
    def _reserve(self, run: OpenRun) -> None:
        """Count as an open span until the first step, under the key that the span will have."""
        key = new_key(run.now_ns())
        run.defer(key, self)
        run.open[key] = None
        self._reserved_key = key

    def begin(self) -> None:
        """Begin the span; for an agent outside any run, in a new run.

        Raises:
            RunTerminated: The run was terminated.
            DeniedError: The step violates the agent's remit, or got no yes.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        args, kwargs, owner = self._take_arguments()
        try:
            self._begin(args, kwargs, owner, ask_now)
        except BaseException as error:
            self._denied(error)
            raise

    async def begin_async(self) -> None:
        """Begin the span as `begin` does; a person's answer is awaited."""
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        args, kwargs, owner = self._take_arguments()
        asking = None
        try:
            try:
                self._begin(args, kwargs, owner, ask_later)
            except ApprovalPending as pending:
                asking = pending.asking
            if asking is not None:
                await asking.later()
                self._begin(args, kwargs, owner, None, asking.reservation)
        except BaseException as error:
            self._denied(error)
            raise

    def _take_arguments(self) -> tuple[tuple[Any, ...], Mapping[str, Any], object]:
        """Return the arguments of the call and its owner, and drop them."""
        args, kwargs, owner = self._args, self._kwargs, self._owner
        self._args, self._kwargs, self._owner = (), {}, None
        return args, kwargs, owner

    def _begin(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        owner: object,
        ask: Ask | None,
        reservation: Reservation | None = None,
    ) -> None:
        """Begin the span; without *ask*, the step was admitted before, with this *reservation*."""
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        recorder = self._tracer.recorder
        try:
            if self.context is None:
                self._bind()
            parent = self.context
            if parent is None:
                return
            call = recorder.call(args, kwargs, parent.run, owner)
            if ask is not None:
                self._consumer = open_context()
                reservation = recorder.permit(for_consumer(parent, self._consumer), call, ask)
            params = recorder.noting(reservation, call)
            self.rebase(recorder.within(parent, recorder.ceiling, params))
        except (DeniedError, RecursionError, SettingsError, UsageError):
            raise
        except Exception as error:
            fault = error
        else:
            if parent.run.recording:
                self._open(recorder, parent, params)
            return
        self._contain(fault)

    def _contain(self, error: Exception) -> None:
        """Contain a fault of the policy, and deny the step unless violations are observed."""
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        context = open_context() if self.context is None else self.context
        if context is None:
            guard.contain(_START, error)
            self._tracer.outside()
        else:
            self._tracer.recorder.react_to_fault(error, context, _no_params(context))

    @guarded(_START)
    def _open(
        self, recorder: SpanRecorder, parent: SpanContext, params: Callable[[], bytes]
    ) -> None:
        key = self._reserved_key
        if key not in parent.run.deferred:  # the child of a fork; the parent may use it
            key = None
        span = recorder.open(parent, params(), self.context.ceilings, key)
        self._reserved_key = None
        self.attach(span)

    def _bind(self) -> None:
        """Bind a call outside any run to the current run, or to a new run of its agent."""
        context = self._tracer.parent()
        if context is None and self._tracer.open_run is not None:
            self._own_run = opened(self._tracer.open_run)
            context = None if self._own_run is None else self._own_run.context
        if context is None:
            self._tracer.outside()
        else:
            self.rebase(context)

    def _denied(self, error: BaseException) -> None:
        """End a stream whose body does not run, because of *error*."""
        if self._reserved_key is not None and status_of(error) == FAILED:
            self.context.run.fail_after_block(self._reserved_key, self.context.key, error)
        self.detach()
        self._ended(error)

    def _admit(self, consumer: SpanContext | None) -> None:
        """Check that *consumer* may get the next item; checked again when the consumer changes."""
        if consumer is self._consumer or consumer is None:
            return
        context = consumer if self.context is None else for_consumer(self.context, consumer)
        if context is not self.context:
            self._tracer.recorder.permit_again(context, _no_params(context))
        self._consumer = consumer

    def detach(self) -> OpenSpan | None:
        """Return the span, as `DeferredSpan.detach` does; the run stops waiting for it to begin."""
        key, self._reserved_key = self._reserved_key, None
        if key is not None:
            run = self.context.run
            run.deferred.pop(key, None)
            run.discard(key)
        return super().detach()

    def _ended(self, error: BaseException | None) -> None:
        run, self._own_run = self._own_run, None
        if run is not None:
            run.exit(error)

    def _is_pending(self) -> bool:
        return not (self._span is None and self._reserved_key is None and self._own_run is None)
