"""The span of what runs in steps: begun with a call or its first step, ended with the last one.

Whoever drives the steps tells the span of each, and of the end. If nobody does, because what was
returned is collected or the process ends, the span is cancelled. Each ends once.
"""

from __future__ import annotations

import os
import sys
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from remit import _capture, _runtime
from remit._decorators._doors import AgentDoor, Door
from remit._decorators._standing import Stand
from remit._guard import guarded
from remit._ids import new_key
from remit._outcomes import CANCELLED, COMPLETE, FAILED, status_of
from remit._recording import Place, RunState, check_terminated, here, place_for
from remit._run_blocks import opened
from remit._runs import OpenRun
from remit._spans import OpenSpan, Step, open_span, permit
from remit.errors import DeniedError, RunTerminated, SettingsError, UsageError

if TYPE_CHECKING:
    import asyncio

_pid = os.getpid()
"""Id of this process, which saves a system call for each start and end of a stream."""


def _after_fork_in_child() -> None:
    global _pid  # noqa: PLW0603 - read at each step
    _pid = os.getpid()


os.register_at_fork(after_in_child=_after_fork_in_child)


class InFlight(ABC):
    """A span that outlives the call that it records.

    Attributes:
        place: Where the span is, None before it is known.
        stand: Where the user's code stands in each step.
    """

    __slots__ = ("__weakref__", "_pid", "_span", "place", "stand")

    def __init__(self, place: Place | None) -> None:
        """Hold no span yet; steps until then run at *place*."""
        self.place: Any = place
        self.stand = Stand(place)
        self._span: OpenSpan | None = None
        self._pid = 0

    def hold(self, span: OpenSpan) -> None:
        """Take over an open span; from here on it ends when this one is told so."""
        self._pid = _pid
        self.move(span.place)
        span.place.run.in_flight[span.place.key] = weakref.ref(self)
        self._span = span

    def move(self, place: Place) -> None:
        """Stand at *place* from now on."""
        self.place = place
        self.stand.move(place)

    def release(self) -> OpenSpan | None:
        """Return the span, to be ended by the caller; None if it has ended or is not ours.

        After a fork the child has a copy of the streams in flight, and the parent ends them. The
        writer may cancel a stream while its consumer ends it: whichever pops the entry ends it.
        """
        span, self._span = self._span, None
        if span is None or self._pid != _pid:
            return None
        taken = span.place.run.in_flight.pop(span.place.key, None)
        return None if taken is None else span

    @guarded("the start of a stream")  # noqa: B027 - the call has begun most
    def begin(self) -> None:
        """Begin the span, if the call has not.

        Raises:
            RunTerminated: The run was terminated.
            DeniedError: The step exceeds the agent's remit.
        """

    @guarded("a step of a stream")
    def interruption(self, thrown: BaseException | None, /) -> DeniedError | RunTerminated | None:
        """Return the error to throw into the user's code instead of *thrown*, if it must stop.

        A stream that is being closed needs none.
        """
        if thrown is not None and issubclass(type(thrown), (GeneratorExit, RunTerminated)):
            return None
        try:
            if self.place is not None:
                check_terminated(self.place)
            self.admit(here())
        except (DeniedError, RunTerminated) as error:
            return error
        return None

    def admit(self, consumer: Place | None) -> None:  # noqa: B027 - the call was asked for
        """Check that *consumer* may get the next item.

        Raises:
            RunTerminated: A run around the consumer was terminated.
            DeniedError: The step exceeds the remit of the consumer's agent.
        """

    @guarded("a step of a stream")
    def check(self) -> None:
        """Raise if nothing of the run may go on, and end the span.

        Raises:
            RunTerminated: The run was terminated.
        """
        try:
            check_terminated(self.place)
        except RunTerminated as error:
            self.fail(error)
            raise

    @abstractmethod
    def add(self, item: object, /) -> None:
        """Take note of what the user's code gave."""

    @guarded("the start of a block")  # noqa: B027 - a stream has its items
    def entered(self, value: object) -> None:
        """Take note of what was given on entering a `with` block."""

    @guarded("the end of a block")
    def left(self) -> None:
        """Take note that a `with` block has ended without an error."""
        self.end(closed=True)

    @guarded("the end of a stream")
    def end(self, *, closed: bool) -> None:
        """End the span: complete, or cancelled if it was closed before its end."""
        span = self.release()
        if span is not None:
            span.end((CANCELLED if closed else COMPLETE, self._result()))

    @guarded("the end of a stream")
    def fail(self, error: BaseException) -> None:
        """End the span with an exception; a cancelled one keeps what was given until then."""
        span = self.release()
        if span is None:
            return
        control_flow = span.place.run.recorder.control_flow
        if status_of(error, control_flow) == CANCELLED:
            span.end((CANCELLED, self._result()))
        else:
            span.fail(error)

    @guarded("the end of a stream")
    def cancel(self) -> None:
        """End the span because nobody will take another step."""
        self.end(closed=True)

    def begin_wait(self) -> None:  # noqa: B027 - only streams are interrupted
        """Begin an awaited step."""

    def end_wait(self, error: BaseException | None, /) -> RunTerminated | None:  # noqa: ARG002
        """End an awaited step; return the error that replaces *error*, None if none does."""
        return None

    def interrupt(self) -> None:  # noqa: B027 - only streams are interrupted
        """Stop the step that is awaited, if there is one; called by the writer's thread."""

    # Unguarded: only the interpreter calls it.
    def __del__(self) -> None:
        """Cancel the span of what was collected before its end."""
        self.cancel()

    @abstractmethod
    def _result(self) -> bytes | None:
        """Return what was given so far, as the result of the call."""


class ValueSpan(InFlight):
    """The span of one value that comes later: what a coroutine returns, what a block is given."""

    __slots__ = ("_captured",)

    def __init__(self, place: Place | None) -> None:
        """Wait for the value."""
        super().__init__(place)
        self._captured: bytes | None = None

    @guarded("a value that came later")
    def add(self, item: object, /) -> None:
        """Take note of the value."""
        if self._span is not None:
            self._captured = self._span.captured(item)

    def entered(self, value: object) -> None:
        """Take note of the value that a block was given."""
        self.add(value)

    def left(self) -> None:
        """Complete the span with its block."""
        self.end(closed=False)

    def _result(self) -> bytes | None:
        return self._captured


class StreamSpan(InFlight):
    """The span of an iterator: its result holds the items."""

    __slots__ = ("_first_ms", "_stream", "_wait")

    def __init__(self, place: Place | None) -> None:
        """Wait for the first item."""
        super().__init__(place)
        self._stream: _capture.Stream | None = None
        self._first_ms: float | None = None
        self._wait: Wait | None = None

    @guarded("the start of a stream")
    def hold(self, span: OpenSpan) -> None:
        """Take over an open span, its items to come."""
        super().hold(span)
        span.place.run.feed.streams.add(span.place.key)
        self._stream = _capture.Stream(span.place.run.rules, span.step.plan())

    @guarded("an awaited step of a stream")
    def begin_wait(self) -> None:
        """Note which task awaits the step, on asyncio; elsewhere nothing is interrupted."""
        library: Any = sys.modules.get("asyncio")
        try:
            task = None if library is None else library.current_task()
        except RuntimeError:
            task = None  # another event loop runs
        self._wait = None if task is None else Wait(task)

    @guarded("an awaited step of a stream")
    def end_wait(self, error: BaseException | None, /) -> RunTerminated | None:
        """Return the termination that replaces the cancellation by which it stopped the step."""
        wait, self._wait = self._wait, None
        if wait is None or not wait.over(error):
            return None
        try:
            check_terminated(self.place)
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

    def release(self) -> OpenSpan | None:
        """Return the span, as `InFlight.release` does, and remove it from the run's streams."""
        span = super().release()
        if span is not None:
            span.place.run.feed.streams.discard(span.place.key)
        return span

    @guarded("an item of a stream")
    def add(self, item: object, /) -> None:
        """Take note of an item."""
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        if self._span is None or self._stream is None:
            return
        if self._first_ms is None:
            self._first_ms = self._span.elapsed_ms
        self._stream.add(item)

    @guarded("the items of a stream")
    def _result(self) -> bytes | None:
        if self._stream is None:
            return None
        return self._stream.payload(self._first_ms)


class Wait:
    """The task that awaits a step of a stream, and its cancellation by a termination of the run.

    It follows `asyncio.timeout`: the task is cancelled, and the cancellation is taken back and
    replaced by another error where the step ends.
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
        """End the step; tell whether *error* is the cancellation by `cancel` and no other one."""
        self._over = True
        if not self._cancelled:
            return False
        only_ours = self.task.uncancel() <= self._cancelling
        return only_ours and error is not None and status_of(error) == CANCELLED


class Captured(NamedTuple):
    """What is kept of the arguments from the call to the first step.

    Attributes:
        payload: The payload as JSON bytes.
        rules: The rules it was captured by; of no run yet for a call outside any.
    """

    payload: bytes
    rules: _capture.Rules


class BoundStream(StreamSpan):
    """The span of a generator function's call: bound at the call, begun at the first step.

    Between the call and the first step it counts among the open spans of its run, so that the run
    does not end before the stream begins, is closed or is collected.

    A stream that was called outside any run is bound at its first step, to the run in which that
    happens, and the remit of that run's agent applies. If the consumer is in another run than the
    stream, the remit of the consumer's agent and the termination of its run apply as well.
    """

    __slots__ = ("_captured", "_consumer", "_door", "_key", "_run")

    def __init__(self, door: Door, parent: Place | None, captured: Captured | None) -> None:
        """Bind run, parent and arguments."""
        super().__init__(parent)
        self._door = door
        self._captured = captured
        self._consumer: Place | None = None
        self._key: bytes | None = None
        self._run: OpenRun | None = None
        if parent is not None and captured is not None and parent.run.recording:
            self._await_first_step(parent.run)

    @guarded("the start of a stream", passes=(DeniedError, SettingsError, UsageError))
    def begin(self) -> None:
        """Begin the span, in a run of its own if an agent is outside any."""
        if self.place is None:
            self._bind()
        if self.place is None:
            return
        try:
            self._consumer = here()
            permit(
                self._door.step,
                place_for(self.place, self._consumer),
                self._captured.payload if self._captured is not None else None,
            )
        except BaseException as error:
            self._refused(error)
            raise
        self._begin()

    def admit(self, consumer: Place | None) -> None:
        """Check that *consumer* may get the next item, once as long as the consumer is the same."""
        if consumer is self._consumer or consumer is None:
            return
        place = consumer if self.place is None else place_for(self.place, consumer)
        if place is not self.place:
            permit(self._door.step, place)
        self._consumer = consumer

    def _bind(self) -> None:
        place = here()
        if place is None and isinstance(self._door, AgentDoor):
            self._run = opened(self._door.open_run)
            place = None if self._run is None else self._run.place
        if place is None:
            self._door.outside()
        else:
            self.move(place)

    def _begin(self) -> None:
        captured, self._captured = self._captured, None
        if captured is not None and self.place.run.recording:
            key = self._key if self._pid == _pid else None
            self.place.run.rules.share(captured.rules)
            span = open_span(self._door.step, self.place, captured.payload, key)
            self._key = None
            self.hold(span)

    def _await_first_step(self, run: RunState) -> None:
        """Count among the open spans of *run*, under the key that the span will have."""
        self._pid = _pid
        key = self._key = new_key(run.recorder.clock.wall_ns())
        run.in_flight[key] = weakref.ref(self)
        run.feed.streams.add(key)
        run.open.add(key)

    def release(self) -> OpenSpan | None:
        """Return the span, as `InFlight.release` does; the run no longer waits for its start."""
        key, self._key = self._key, None
        if key is not None:
            run = self.place.run
            run.in_flight.pop(key, None)
            run.feed.streams.discard(key)
            run.open.discard(key)
            if run.exited and not run.open:
                run.settle()
        return super().release()

    @guarded("a refused stream")
    def _refused(self, error: BaseException) -> None:
        """End a stream whose body does not run because of *error*."""
        if self._key is not None and status_of(error) == FAILED:
            self.place.run.fail_after_block(self._key, self.place.key, error)
        self.release()
        self._leave_run(error)

    @guarded("the end of a stream")
    def end(self, *, closed: bool) -> None:
        """End the span, and the run if it is its own."""
        super().end(closed=closed)
        self._leave_run(GeneratorExit() if closed else None)

    @guarded("the end of a stream")
    def fail(self, error: BaseException) -> None:
        """End the span, and the run if it is its own, with an exception."""
        super().fail(error)
        self._leave_run(error)

    def _leave_run(self, error: BaseException | None) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.exit(error)


@guarded("a call of a generator")
def bound(
    door: Door,
    instance: object,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    for_block: bool,
) -> BoundStream:
    """Return the span of a generator function's call, bound to where the call stands.

    Args:
        door: What was called.
        instance: What it was called on.
        args: The positional arguments.
        kwargs: The keyword arguments.
        for_block: Whether the generator manages a `with` block.
    """
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    parent = here()
    rules = _runtime.current().recorder.rules.in_run() if parent is None else parent.run.rules
    given = door.recorded(instance, args)
    stream = BoundStream(door, parent, _captured(door.step, given, kwargs, rules))
    stream.stand.shared = for_block
    return stream


@guarded("the arguments of a call")
def _captured(
    step: Step, args: tuple[Any, ...], kwargs: Mapping[str, Any], rules: _capture.Rules
) -> Captured:
    return Captured(step.plan().params(args, kwargs, rules), rules)
