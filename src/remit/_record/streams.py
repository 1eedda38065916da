"""Spans that outlive their call: of generator functions, and of returned streams and coroutines.

The wrapper that makes the steps reports each step and the end to the span. If no further step is
made, because the generator was closed or collected or the process ends, the span is cancelled. Each
span ends once.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from remit import _capture
from remit._base.guard import guarded
from remit._base.ids import new_key
from remit._base.outcomes import CANCELLED, COMPLETE, FAILED, status_of
from remit._record.context import SavedContext, check_terminated, for_consumer
from remit._record.run_blocks import opened
from remit._record.runs import OpenRun, SpanContext, current_context
from remit._record.spans import OpenSpan, SpanRecorder
from remit._record.tracer import StepTracer
from remit.errors import DeniedError, RunTerminated, SettingsError, UsageError

if TYPE_CHECKING:
    import asyncio

_pid = os.getpid()
"""Id of this process; kept because `os.getpid` is a system call."""


def _after_fork_in_child() -> None:
    global _pid  # noqa: PLW0603 - a cache
    _pid = os.getpid()


os.register_at_fork(after_in_child=_after_fork_in_child)


class DeferredSpan:
    """A span that outlives the call that it records, such as that of a returned coroutine.

    Attributes:
        context: The context inside the span, None before it is known.
        saved: The context of the user's code in each step.
    """

    __slots__ = ("__weakref__", "_pid", "_span", "context", "saved")

    def __init__(self, context: SpanContext | None) -> None:
        """Begin without a span: until `attach`, the steps run in *context*."""
        self.context: Any = context
        self.saved = SavedContext(context)
        self._span: OpenSpan | None = None
        self._pid = 0

    def attach(self, span: OpenSpan) -> None:
        """Take over the open *span*."""
        self._pid = _pid
        self.rebase(span.context)
        span.context.run.deferred[span.context.key] = weakref.ref(self)
        self._span = span

    def rebase(self, context: SpanContext) -> None:
        """Run the steps in *context* from now on; no step was made yet."""
        self.context = context
        self.saved.rebase(context)

    def detach(self) -> OpenSpan | None:
        """Return the span, for the caller to end; None if it has ended or another process ends it.

        In the child of a fork the streams are copies, which the parent ends. The writer may cancel
        a stream while its consumer ends it: whichever pops the entry of the run ends the span.
        """
        span, self._span = self._span, None
        if span is None or self._pid != _pid:
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

    def interrupt(self) -> None:
        """Stop the awaited step, if there is one; only streams have one."""

    # The end

    @guarded("the end of a stream")
    def fail(self, error: BaseException) -> None:
        """End the span with an exception; a cancelled stream keeps the items so far."""
        if issubclass(type(error), GeneratorExit):
            self._close()
            return
        span = self.detach()
        if span is not None:
            control_flow = span.context.run.recorder.interrupts
            if status_of(error, control_flow) == CANCELLED:
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

    def _result(self) -> bytes | None:
        """Return the result of a cancelled call: of a stream, the items so far."""
        return None

    def _ended(self, error: BaseException | None) -> None:
        """Called when the span has ended, with the exception that ended it."""

    def _is_pending(self) -> bool:
        """Return whether there is anything left to end."""
        return self._span is not None

    @guarded("the end of a closed call")
    def _close(self) -> None:
        """Cancel the span because its code was closed, on any thread if that was the collector."""
        if self._is_pending():
            run = self.context.run
            ended_ns = run.now_ns() if self._span is None else self._span.now_ns()
            run.recorder.close(self, ended_ns)

    # Unguarded: only the interpreter calls it.
    def __del__(self) -> None:
        """Cancel the span of code that was collected before its end."""
        self._close()


class StreamSpan(DeferredSpan):
    """The span of a stream: its result holds the items."""

    __slots__ = ("_first_ms", "_stream", "_wait")

    def __init__(self, context: SpanContext | None) -> None:
        """Wait for the first item."""
        super().__init__(context)
        self._stream: _capture.Stream | None = None
        self._first_ms: float | None = None
        self._wait: _Wait | None = None

    @guarded("the start of a stream")
    def attach(self, span: OpenSpan) -> None:
        """Take over the open *span*, and collect the items for its result."""
        super().attach(span)
        span.context.run.feed.streams.add(span.context.key)
        self._stream = _capture.Stream(span.context.run.rules, span.recorder.plan())

    @guarded("the start of a stream")
    def begin(self) -> None:
        """Begin the span, if the call has not begun it.

        Raises:
            RunTerminated: The run was terminated.
            DeniedError: The step exceeds the agent's remit.
        """

    @guarded("a step of a stream")
    def interruption(self, thrown: BaseException | None, /) -> DeniedError | RunTerminated | None:
        """Return the error to throw into the user's code instead of *thrown*, if it must stop.

        A stream that is being closed needs none.
        """
        if issubclass(type(thrown), (GeneratorExit, RunTerminated)):
            return None
        try:
            if self.context is not None:
                check_terminated(self.context)
            self.admit(current_context())
        except (DeniedError, RunTerminated) as error:
            return error
        return None

    def admit(self, consumer: SpanContext | None) -> None:
        """Check that *consumer* may get the next item.

        Raises:
            RunTerminated: A run around the consumer was terminated.
            DeniedError: The step exceeds the remit of the consumer's agent.
        """

    def detach(self) -> OpenSpan | None:
        """Return the span, as `DeferredSpan.detach` does, and remove it from the run's streams."""
        span = super().detach()
        if span is not None:
            span.context.run.feed.streams.discard(span.context.key)
        return span

    @guarded("an awaited step of a stream")
    def begin_wait(self) -> None:
        """Note the asyncio task that awaits the step; other event loops stop no step."""
        library: Any = sys.modules.get("asyncio")
        try:
            task = None if library is None else library.current_task()
        except RuntimeError:
            task = None  # another event loop runs
        self._wait = None if task is None else _Wait(task)

    @guarded("an awaited step of a stream")
    def end_wait(self, error: BaseException | None, /) -> RunTerminated | None:
        """End the wait; return the termination if it is why the step was cancelled with *error*."""
        wait, self._wait = self._wait, None
        if wait is None or not wait.over(error):
            return None
        try:
            check_terminated(self.context)
        except RunTerminated as terminated:
            return terminated
        return None

    @guarded("the interruption of a stream")
    def interrupt(self) -> None:
        """Cancel the task that awaits the step, in its own event loop."""
        wait = self._wait
        if wait is not None:
            with suppress(RuntimeError):  # the loop is closed
                wait.task.get_loop().call_soon_threadsafe(wait.cancel)

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


class _Wait:
    """The task that awaits a step of a stream; cancelled if the run is terminated.

    Works as `asyncio.timeout` does: the task is cancelled, and where the step ends the cancellation
    is taken back and replaced by another error.
    """

    __slots__ = ("_cancelled", "_cancelling", "_over", "task")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        """Begin a step of *task*."""
        self.task = task
        self._cancelling = task.cancelling()
        self._cancelled = self._over = False

    @guarded("the interruption of a stream")
    def cancel(self) -> None:
        """Cancel the task, if the step has not ended; called in its event loop."""
        if not (self._over or self._cancelled):
            self._cancelled = True
            self.task.cancel()

    def over(self, error: BaseException | None) -> bool:
        """End the step; return whether *error* is the cancellation by `cancel` alone."""
        self._over = True
        if not self._cancelled:
            return False
        no_other = self.task.uncancel() <= self._cancelling
        return no_other and error is not None and status_of(error) == CANCELLED


class _Captured(NamedTuple):
    """The arguments of a call, captured and kept until the first step.

    Attributes:
        payload: The payload as JSON bytes.
        rules: The rules used; for a call outside any run, not those of a run.
    """

    payload: bytes
    rules: _capture.Rules


class GeneratorSpan(StreamSpan):
    """The span of a call of a generator function: bound to a run at the call, begun by a step.

    Between the call and the first step it counts as an open span of its run, so that the run does
    not end before the stream begins, is closed or is collected.

    A call outside any run is bound at its first step, to the run of that step, and the remit of
    that run's agent applies. If the consumer is in another run, the remit of the consumer's agent
    and the termination of its run apply as well.
    """

    __slots__ = ("_captured", "_consumer", "_key", "_own_run", "_tracer")

    def __init__(
        self, tracer: StepTracer, parent: SpanContext | None, captured: _Captured | None
    ) -> None:
        """Bind the call to its parent and its captured arguments."""
        super().__init__(parent)
        self._tracer = tracer
        self._captured = captured
        self._consumer: SpanContext | None = None
        self._key: bytes | None = None
        self._own_run: OpenRun | None = None
        if parent is not None and captured is not None and parent.run.recording:
            # Counts as an open span until the first step, under the key that the span will have.
            run = parent.run
            self._pid = _pid
            key = self._key = new_key(run.now_ns())
            run.deferred[key] = weakref.ref(self)
            run.feed.streams.add(key)
            run.open[key] = parent.key

    @guarded("the start of a stream", passes=(DeniedError, SettingsError, UsageError))
    def begin(self) -> None:
        """Begin the span; of an agent outside any run, in a new run."""
        if self.context is None:
            self._bind()
        if self.context is None:
            return
        recorder, captured = self._tracer.recorder, self._captured
        try:
            self._consumer = current_context()
            recorder.permit(
                for_consumer(self.context, self._consumer),
                None if captured is None else captured.payload,
            )
        except BaseException as error:
            self._refused(error)
            raise
        self._captured = None
        run = self.context.run
        if captured is not None and run.recording:
            run.rules.share(captured.rules)
            key = self._key if self._pid == _pid else None
            span = recorder.open(self.context, captured.payload, key)
            self._key = None
            self.attach(span)

    def _bind(self) -> None:
        context = current_context()
        if context is None and self._tracer.open_run is not None:
            self._own_run = opened(self._tracer.open_run)
            context = None if self._own_run is None else self._own_run.context
        if context is None:
            self._tracer.outside()
        else:
            self.rebase(context)

    def admit(self, consumer: SpanContext | None) -> None:
        """Check that *consumer* may get the next item; checked again when the consumer changes."""
        if consumer is self._consumer or consumer is None:
            return
        context = consumer if self.context is None else for_consumer(self.context, consumer)
        if context is not self.context:
            self._tracer.recorder.permit(context)
        self._consumer = consumer

    def detach(self) -> OpenSpan | None:
        """Return the span, as `StreamSpan.detach` does; the run stops waiting for it to begin."""
        key, self._key = self._key, None
        if key is not None:
            run = self.context.run
            run.deferred.pop(key, None)
            run.feed.streams.discard(key)
            run.discard(key)
        return super().detach()

    @guarded("a refused stream")
    def _refused(self, error: BaseException) -> None:
        """End a stream whose body does not run, because of *error*."""
        if self._key is not None and status_of(error) == FAILED:
            self.context.run.fail_after_block(self._key, self.context.key, error)
        self.detach()
        self._ended(error)

    def _ended(self, error: BaseException | None) -> None:
        run, self._own_run = self._own_run, None
        if run is not None:
            run.exit(error)

    def _is_pending(self) -> bool:
        return not (self._span is None and self._key is None and self._own_run is None)


def generator_span(
    tracer: StepTracer, instance: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> GeneratorSpan:
    """Return the span of a generator function's call, bound to the context of the call.

    Args:
        tracer: The tracer of the function.
        instance: The object that it was called on.
        args: The positional arguments.
        kwargs: The keyword arguments.
    """
    parent = current_context()
    rules = tracer.rules().in_run() if parent is None else parent.run.rules
    recorded = tracer.recorded(instance, args)
    return GeneratorSpan(tracer, parent, _captured(tracer.recorder, recorded, kwargs, rules))


@guarded("the arguments of a call")
def _captured(
    recorder: SpanRecorder, args: tuple[Any, ...], kwargs: Mapping[str, Any], rules: _capture.Rules
) -> _Captured:
    return _Captured(recorder.plan().params(args, kwargs, rules), rules)
